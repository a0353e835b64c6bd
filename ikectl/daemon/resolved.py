"""Resolved: name servers of peers, told to systemd-resolved.

It keeps servers by link and chooses among links by domain, so that each peer's
servers get a link of their own (`kernel/dnslinks.py`): only names of the
peer's domains are asked there, or, if the peer named none, all names. Told by
`resolvectl`, whose words are stable; what was told goes with the link.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import structlog

from ikectl.errors import BackendError
from ikectl.kernel.dnslinks import DnsLinks
from ikectl.sa.asks import InstallDns
from ikectl.values.domain import is_domain

log = structlog.get_logger(__name__)

RUNTIME = Path("/run/systemd/resolve")
"""There while systemd-resolved serves."""
WITHIN = 20.0
"""Seconds that all of it may take; whoever asks waits for a minute."""
TRIES, PAUSE = 5, 0.2
"""It may be told of a link before resolved has heard of it from the kernel."""
DOT_PORT = 853


class Resolved:
    """One caller at a time."""

    def __init__(self, links: DnsLinks, program: str | None = None, runtime: Path = RUNTIME) -> None:
        """`program` is the resolvectl to use, by default the one in PATH."""
        self._links = links
        self._program = program
        self._runtime = runtime
        self._of: dict[str, str] = {}
        """The link of each owner."""

    async def start(self) -> None:
        """Take back what a daemon that was killed left. Raises BackendError."""
        await self._links.start()

    async def stop(self) -> None:
        """Take back everything."""
        self._of.clear()
        await self._links.stop()

    async def install(self, ask: InstallDns) -> bool:
        """See `InstallDns`; whether resolved serves here and took it."""
        program = self._program or shutil.which("resolvectl", path=os.environ.get("PATH", os.defpath))
        if program is None or not self._runtime.is_dir() or not ask.sources:
            return False
        await self.remove(ask.owner)
        try:
            link = await self._links.add(ask.sources)
        except BackendError as failure:
            log.warning("systemd-resolved is not told of name servers", why=str(failure))
            return False
        self._of[ask.owner] = link
        why = await _tell(program, commands(link, ask))
        if why is not None:
            log.warning("systemd-resolved does not take the name servers of a peer", why=why)
            await self.remove(ask.owner)
        return why is None

    async def remove(self, owner: str) -> None:
        """`owner` needs them no longer; gone already is no error."""
        link = self._of.pop(owner, None)
        if link is not None:
            await self._links.remove(link)


def commands(link: str, ask: InstallDns) -> list[list[str]]:
    """What resolvectl is called with. Pure."""
    secure = [
        _server(address, one.port, one.name) for one in ask.secure for address in one.addresses if is_domain(one.name)
    ]
    servers = secure or [str(ipaddress.ip_address(server)) for server in ask.servers]
    # Domains that are none leave nothing to be asked there, rather than everything.
    routes = [f"~{name}" for name in _good(ask.routes)] if ask.routes else ["~."]
    domains = [*_good(ask.domains), *routes]
    return [
        ["dns", link, *dict.fromkeys(servers)],
        ["domain", link, *(domains or [""])],
        ["default-route", link, "no" if ask.routes else "yes"],
        ["dnsovertls", link, "yes" if secure else "no"],
    ]


def _good(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.rstrip(".") for name in names if is_domain(name)))


def _server(address: bytes, port: int, name: str) -> str:
    """As `resolvectl dns` takes it: address, port if it is another than usual, and the name of the certificate."""
    text = str(ipaddress.ip_address(address))
    if port not in (0, DOT_PORT):
        text = f"{text}:{port}" if len(address) == 4 else f"[{text}]:{port}"
    return f"{text}#{name}"


async def _tell(program: str, calls: list[list[str]]) -> str | None:
    """Why resolvectl failed; None if it did not."""
    try:
        async with asyncio.timeout(WITHIN):
            for words in calls:
                for remaining in reversed(range(TRIES)):
                    why = await _call(program, words)
                    if why is None:
                        break
                    if not remaining:
                        return why
                    await asyncio.sleep(PAUSE)
    except TimeoutError:
        return f"resolvectl did nothing within {WITHIN:.0f} seconds"
    return None


async def _call(program: str, words: list[str]) -> str | None:
    """Why it failed; None if it did not."""
    null, pipe = asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(program, *words, stdin=null, stdout=null, stderr=pipe)
    except OSError as error:
        return f"cannot start {program}: {error.strerror}"
    try:
        _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    why = errors.decode(errors="replace").strip()[:200] or "no reason told"
    return f"resolvectl {words[0]}: {why}" if process.returncode else None
