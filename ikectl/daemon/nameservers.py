"""NameServers: the DNS servers that peers gave us, told to the rest of the host.

Three doors:

- systemd-resolved, if it serves here (`resolved.py`): the only one that can tell
  domains apart, and speak DNS over TLS. What it takes does not go to resolvconf.
- A file in the form of resolv.conf, beside the control socket:
  `/run/ikectl/resolv.conf`. It is there while servers of a peer are in use that may be asked for all names.
  Local resolvers can be pointed at it: dnsmasq's `resolv-file`, or a script.
- `resolvconf`, if the host has it (Debian's, or openresolv): the same text is
  registered as `lo.ikectl`, which ranks before what interfaces bring, and is
  taken back at the end.

/etc/resolv.conf itself is never written here: it is somebody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from ikectl.daemon.resolved import Resolved
from ikectl.errors import BackendError
from ikectl.sa.asks import InstallDns, RemoveDns
from ikectl.values.domain import is_domain

log = structlog.get_logger(__name__)

MAX_OWNERS = 1024
MAX_SERVERS = 8
"""Of one owner; the C library looks at three in all."""
MAX_DOMAINS = 32
"""Of one owner."""
RECORD = "lo.ikectl"
WITHIN = 10.0
"""Seconds that `resolvconf` may take, with whatever it restarts."""


@dataclass(frozen=True, slots=True)
class _Known:
    ask: InstallDns
    servers: tuple[str, ...]
    domains: tuple[str, ...]
    resolved: bool
    """systemd-resolved has them."""


class NameServers:
    """Answers InstallDns and RemoveDns, one after the other."""

    def __init__(self, path: str | Path, program: str | None = None, resolved: Resolved | None = None) -> None:
        """`path` of the file; `program` is the resolvconf to use, by default the one in PATH."""
        self._path = Path(path)
        self._program = program
        self._resolved = resolved
        self._known: dict[str, _Known] = {}
        self._merged = False
        """resolvconf has, or may have, a record of ours."""
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Take back what a daemon that was killed left. Raises BackendError."""
        if self._resolved is not None:
            await self._resolved.start()
        if self._path.exists():
            async with self._turn:
                self._merged = True
                await self._tell()

    async def stop(self) -> None:
        """Take back everything."""
        async with self._turn:
            if self._known:
                self._known.clear()
                await self._tell()
            if self._resolved is not None:
                await self._resolved.stop()

    async def install(self, ask: InstallDns) -> None:
        """See `InstallDns`. Raises BackendError when the file cannot be written, or servers are of no use here."""
        async with self._turn:
            before = self._known.get(ask.owner)
            if before is None and len(self._known) >= MAX_OWNERS:
                raise BackendError(f"name servers of more than {MAX_OWNERS} peers; no further ones are taken")
            if before is not None and before.ask == ask:
                return
            taken = self._resolved is not None and await self._resolved.install(ask)
            why = "" if taken else _obstacle(ask)
            if why:
                if self._known.pop(ask.owner, None) is not None:
                    await self._tell()
                raise BackendError(f"{why}: that takes systemd-resolved")
            known = self._known[ask.owner] = _known(ask, taken)
            told = None if before is None else (before.servers, before.domains, before.resolved)
            if told != (known.servers, known.domains, taken):
                await self._tell()

    async def remove(self, ask: RemoveDns) -> None:
        """See `RemoveDns`."""
        async with self._turn:
            if self._resolved is not None:
                await self._resolved.remove(ask.owner)
            if self._known.pop(ask.owner, None) is not None:
                await self._tell()

    async def _tell(self) -> None:
        try:
            _replace(self._path, self._text(one for one in self._known.values() if not one.ask.narrow))
        except OSError as error:
            raise BackendError(f"cannot write {self._path}: {error.strerror}") from error
        text = self._text(one for one in self._known.values() if not one.resolved)
        if not text and not self._merged:
            return
        self._merged = bool(text)
        program = self._program or shutil.which(
            "resolvconf", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
        )
        if program is not None:
            await _run(program, text)

    def _text(self, known: Iterable[_Known]) -> str:
        """Empty when nobody has any. The latest peer's come first: resolvers ask in this order."""
        known = list(known)[::-1]
        servers = dict.fromkeys(server for one in known for server in one.servers)
        domains = dict.fromkeys(domain for one in known for domain in one.domains)
        if not servers:
            return ""
        lines = ["# Name servers of IPsec peers, written by ikectld."]
        if domains:
            lines.append(f"search {' '.join(domains)}")
        return "\n".join([*lines, *(f"nameserver {server}" for server in servers), ""])


def _obstacle(ask: InstallDns) -> str:
    """Why a resolver that does not tell domains apart, and does not encrypt, is not to be told; empty if it may be."""
    if ask.narrow:
        return "dns_domains says which names the peer's name servers may be asked for"
    if ask.secure and not ask.servers:
        return "the peer's name servers speak DNS over TLS alone"
    return ""


def _known(ask: InstallDns, resolved: bool) -> _Known:
    """Without a resolver that tells domains apart, those of split DNS are searched like others."""
    servers = tuple(dict.fromkeys(str(ipaddress.ip_address(server)) for server in ask.servers))[:MAX_SERVERS]
    domains = tuple(dict.fromkeys(filter(_good, (*ask.domains, *ask.routes))))[:MAX_DOMAINS]
    return _Known(ask, servers, domains, resolved)


def _good(domain: str) -> bool:
    """Peers name the domains, and a line break would let them write lines of their own."""
    fits = is_domain(domain)
    if not fits:
        log.warning("a peer's DNS domain is none, and is left out", domain=repr(domain[:80]))
    return fits


def _replace(path: Path, text: str) -> None:
    """Readers see the old file or the new one; no text is no file. Raises OSError."""
    if not text:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
        os.replace(name, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


async def _run(program: str, text: str) -> None:
    """Register the text, or take the record back. A failure is told and no more: the file stands."""
    words = ["-a", RECORD] if text else ["-d", RECORD]
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        log.warning("cannot start resolvconf", program=program, why=error.strerror)
        return
    try:
        async with asyncio.timeout(WITHIN):
            _, errors = await process.communicate(text.encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        log.warning("resolvconf took too long and was ended", program=program, seconds=WITHIN)
        return
    if process.returncode:
        why = errors.decode(errors="replace").strip()[:200]
        log.warning("resolvconf refused the name servers of peers", program=program, why=why)
