"""DnsLinks: an interface of its own for the name servers of each peer, for resolvers that keep servers by link.

A dummy device bears our inner addresses. What a resolver sends by it finds a
routing table of its own, has an inner address as its source, and so goes into
the tunnel, policies being no matter of interfaces; without a tunnel it goes
nowhere. Nobody else's packets are routed there, whatever servers a peer names.
Our links are known by name and alias, our rules by who made them, so that
after a crash the next start finds and removes them.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import Any

import structlog
from pyroute2 import AsyncIPRoute, NetlinkError

from ikectl.errors import BackendError
from ikectl.kernel.interfaces import PROTO

log = structlog.get_logger(__name__)

NAME = "ikedns"
"""What the names begin with; a number follows."""
ALIAS = "name servers of an IPsec peer (ikectl)"
MAX_LINKS = 64
"""Peers with name servers of their own; beyond, the resolver is told in another way."""
PRIORITY = 219
"""Of the rules, before that of source routes."""
TABLES = 2200
"""The first of their routing tables."""
IFA_F_NODAD, IFA_F_NOPREFIXROUTE = 0x02, 0x200


class DnsLinks:
    """One caller at a time."""

    def __init__(self) -> None:
        self._ip: AsyncIPRoute | None = None
        self._made: set[str] = set()

    async def start(self) -> None:
        """Remove what a daemon that was killed left. Raises BackendError."""
        try:
            self._ip = AsyncIPRoute()
            found = [link async for link in await self._ip.get_links()]
            for link in found:
                name = str(link.get("IFLA_IFNAME") or "")
                if name.startswith(NAME) and link.get("IFLA_IFALIAS") == ALIAS:
                    await self._delete(name)
            await self._forget_rules("")
        except (NetlinkError, OSError) as error:
            raise BackendError(f"cannot read interfaces over rtnetlink: {error}") from error

    async def stop(self) -> None:
        """Remove every link that is ours."""
        if self._ip is not None:
            for name in sorted(self._made):
                await self._delete(name)
            self._made.clear()
            self._ip.close()
            self._ip = None

    async def add(self, sources: tuple[bytes, ...]) -> str:
        """Name of a new link with these addresses (packed). Raises BackendError, leaving nothing."""
        for number in range(MAX_LINKS):
            name = f"{NAME}{number}"
            if name in self._made:
                continue
            try:
                if not await self._make(name):
                    continue
                await self._set_up(name, TABLES + number, sources)
            except (NetlinkError, OSError) as error:
                await self.remove(name)
                raise BackendError(f"no interface for the name servers of a peer: {error}") from error
            return name
        raise BackendError(f"name servers of more than {MAX_LINKS} peers have no interface of their own")

    async def _make(self, name: str) -> bool:
        """Whether the link could be made; one of that name may be somebody else's. Raises NetlinkError, OSError."""
        try:
            await self._route.link("add", ifname=name, kind="dummy")
        except NetlinkError as error:
            if error.code == errno.EEXIST:
                return False
            raise
        self._made.add(name)
        return True

    async def remove(self, name: str) -> None:
        """Gone already is no trouble."""
        if name in self._made:
            self._made.discard(name)
            await self._delete(name)

    async def _set_up(self, name: str, table: int, sources: tuple[bytes, ...]) -> None:
        index = await self._index(name)
        for source in sources:
            flags: dict[str, Any] = {} if len(source) == 4 else {"flags": IFA_F_NODAD | IFA_F_NOPREFIXROUTE}
            await self._route.addr(
                "add", index=index, address=_text(source), prefixlen=8 * len(source), proto=PROTO, **flags
            )
        await self._route.link("set", index=index, state="up", ifalias=ALIAS)
        for source in {len(each): each for each in reversed(sources)}.values():
            family = _family(source)
            everything = "0.0.0.0/0" if family == socket.AF_INET else "::/0"
            way = {"family": family, "table": table, "oif": index, "proto": PROTO}
            await self._route.route("replace", dst=everything, prefsrc=_text(source), **way)
            await self._route.rule("add", family=family, oifname=name, table=table, priority=PRIORITY, protocol=PROTO)

    async def _index(self, name: str) -> int:
        found = await self._route.link_lookup(ifname=name)
        if not found:
            raise OSError(errno.ENODEV, f"{name} is not there")
        return int(found[0])

    async def _forget_rules(self, name: str) -> None:
        """Rules outlive their interface. No name: all of ours."""
        for family in (socket.AF_INET, socket.AF_INET6):
            rules = [rule async for rule in await self._route.get_rules(family=family)]
            for rule in rules:
                by = str(rule.get("FRA_OIFNAME") or "")
                if rule.get("FRA_PROTOCOL") == PROTO and by.startswith(NAME) and name in ("", by):
                    table = rule.get("FRA_TABLE")
                    await self._route.rule(
                        "del", family=family, oifname=by, table=table, priority=PRIORITY, protocol=PROTO
                    )

    async def _delete(self, name: str) -> None:
        try:
            await self._forget_rules(name)
            for index in await self._route.link_lookup(ifname=name):
                await self._route.link("del", index=index)
        except NetlinkError as error:
            if error.code not in (errno.ENODEV, errno.ENOENT, errno.ESRCH):
                log.warning("cannot remove an interface for name servers", name=name, why=str(error))

    @property
    def _route(self) -> AsyncIPRoute:
        if self._ip is None:
            raise BackendError("interfaces for name servers are not served: the daemon is ending")
        return self._ip


def _family(address: bytes) -> int:
    return socket.AF_INET if len(address) == 4 else socket.AF_INET6


def _text(address: bytes) -> str:
    return str(ipaddress.ip_address(address))
