"""InnerAddresses: the addresses that peers gave us, on the interface that leads to them.

A client of a gateway gets an inner address by mode config (or a CFG_REPLY), and
its packets bear that address inside the tunnel. It is put on the interface of
the way to the gateway as a host's own (a /32 or /128 unless told otherwise),
without a route and, with IPv6, never preferred as a source: only the routes of
the tunnel say `src`. Other traffic does not notice it.

Addresses are known as ours by who made them (IFA_PROTO, Linux 5.18), IPv4 ones
by their label too, so that after a crash the next start finds and removes them.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from dataclasses import dataclass
from typing import Any

import structlog
from pyroute2 import AsyncIPRoute, NetlinkError

from ikectl.errors import BackendError
from ikectl.kernel.interfaces import PROTO
from ikectl.sa.asks import InstallAddress, RemoveAddress
from ikectl.values.hosts import is_of_a_host

log = structlog.get_logger(__name__)

LABEL = ":ike"
"""What the labels of our IPv4 addresses end with, after the interface's name."""
MAX_LABEL = 15
"""IFNAMSIZ less the terminating zero."""
MAX_ADDRESSES = 1024
"""Inner addresses of one host; a client has one or two of each connection."""
IFA_F_NODAD, IFA_F_NOPREFIXROUTE = 0x02, 0x200


@dataclass(slots=True)
class _Held:
    interface: int
    prefix: int
    ask: InstallAddress | None = None
    """Who wanted it first; None for what is swept."""
    holders: int = 1
    ours: bool = True
    """False: this host had it before, and keeps it."""


class InnerAddresses:
    """Answers InstallAddress and RemoveAddress, one after the other."""

    def __init__(self) -> None:
        self._ip: AsyncIPRoute | None = None
        self._held: dict[bytes, _Held] = {}
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Remove what a daemon that was killed left. Raises BackendError."""
        try:
            self._ip = AsyncIPRoute()
            await self._sweep(self._ip)
        except (NetlinkError, OSError) as error:
            raise BackendError(f"cannot read addresses over rtnetlink: {error}") from error

    async def stop(self) -> None:
        """Remove every address that is ours."""
        async with self._turn:
            for address, held in list(self._held.items()):
                await self._delete(address, held)
            self._held.clear()
            if self._ip is not None:
                self._ip.close()
                self._ip = None

    async def install(self, ask: InstallAddress) -> None:
        """See `InstallAddress`. Raises BackendError."""
        _check(ask)
        async with self._turn:
            held = self._held.get(ask.address)
            if held is not None:
                held.holders += 1
                return
            if len(self._held) >= MAX_ADDRESSES:
                raise BackendError(f"more than {MAX_ADDRESSES} inner addresses; no further one is installed")
            self._held[ask.address] = await self._add(ask)

    async def remove(self, ask: RemoveAddress) -> None:
        """See `RemoveAddress`."""
        async with self._turn:
            held = self._held.get(ask.address)
            if held is None:
                return
            held.holders -= 1
            if held.holders == 0:
                del self._held[ask.address]
                await self._delete(ask.address, held)

    async def restore(self) -> None:
        """Links or routes changed: what went with its interface, or has its way over another one, comes back."""
        async with self._turn:
            try:
                present = [message async for message in await self._route.get_addr()]
            except (NetlinkError, OSError, BackendError) as error:
                log.warning("cannot read addresses; inner ones stay as they are", why=str(error))
                return
            there = {
                (ipaddress.ip_address(message.get("IFA_LOCAL") or message.get("IFA_ADDRESS")).packed, message["index"])
                for message in present
            }
            for address, held in list(self._held.items()):
                if held.ours and held.ask is not None:
                    await self._put_back(address, held, held.ask, there)

    async def _put_back(self, address: bytes, held: _Held, ask: InstallAddress, there: set[tuple[bytes, int]]) -> None:
        try:
            interface = await self._interface(ask)
            if (address, interface) in there:
                return
            await self._delete(address, held)
            made = await self._add(ask)
        except (BackendError, NetlinkError) as error:
            log.info("an inner address is without an interface for now", address=_text(address), why=str(error))
            return
        made.holders = held.holders
        self._held[address] = made
        log.info("an inner address follows the way to its peer", address=_text(address))

    async def _add(self, ask: InstallAddress) -> _Held:
        """Raises BackendError."""
        text, width = _text(ask.address), 8 * len(ask.address)
        try:
            interface = await self._interface(ask)
            held = _Held(interface, ask.prefix or width, ask)
            arguments: dict[str, Any] = {"flags": IFA_F_NOPREFIXROUTE}
            if width == 32:
                arguments |= _label(interface)
            else:
                arguments = {"flags": IFA_F_NOPREFIXROUTE | IFA_F_NODAD, "preferred": 0}
            await self._route.addr(
                "add", index=interface, address=text, prefixlen=held.prefix, proto=PROTO, **arguments
            )
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise BackendError(f"cannot install the inner address {text}: {error}") from error
            log.info("this host has the inner address already", address=text)
            held.ours = False
        return held

    async def _interface(self, ask: InstallAddress) -> int:
        """Index of the interface to put it on. Raises BackendError, NetlinkError."""
        if ask.interface:
            try:
                return socket.if_nametoindex(ask.interface)
            except OSError:
                raise BackendError(f"there is no interface {ask.interface!r} for an inner address") from None
        try:
            found = await self._route.route("get", dst=_text(ask.remote))
        except NetlinkError as error:
            raise BackendError(f"no way to the peer {_text(ask.remote)}: {error}; check the routes") from error
        return int(found[0].get("RTA_OIF"))

    async def _delete(self, address: bytes, held: _Held) -> None:
        """Gone already, alone or with its interface, is no trouble."""
        if not held.ours:
            return
        try:
            await self._route.addr("del", index=held.interface, address=_text(address), prefixlen=held.prefix)
        except NetlinkError as error:
            if error.code not in (errno.EADDRNOTAVAIL, errno.ENODEV):
                log.warning("cannot remove an inner address", address=_text(address), why=str(error))

    async def _sweep(self, ip: AsyncIPRoute) -> None:
        found = [message async for message in await ip.get_addr()]
        for message in found:
            if message.get("IFA_PROTO") != PROTO and not str(message.get("IFA_LABEL") or "").endswith(LABEL):
                continue
            address = ipaddress.ip_address(message.get("IFA_LOCAL") or message.get("IFA_ADDRESS")).packed
            await self._delete(address, _Held(message["index"], message["prefixlen"]))

    @property
    def _route(self) -> AsyncIPRoute:
        if self._ip is None:
            raise BackendError("inner addresses are not served: the daemon is ending")
        return self._ip


def _check(ask: InstallAddress) -> None:
    """A peer names the address: it must be one that a host can have, and not the peer's own outer one.

    Raises BackendError.
    """
    address, width = ipaddress.ip_address(ask.address), 8 * len(ask.address)
    if not is_of_a_host(ask.address):
        raise BackendError(f"the peer's idea of an inner address, {address}, is none that a host can have")
    if ask.address == ask.remote:
        raise BackendError(f"the inner address {address} is the peer's own outer one; it would cut the way to it")
    if not 0 <= ask.prefix <= width:
        raise BackendError(f"an inner address with a prefix of {ask.prefix} bits")


def _label(interface: int) -> dict[str, str]:
    label = socket.if_indextoname(interface) + LABEL
    return {"label": label} if len(label) <= MAX_LABEL else {}


def _text(address: bytes) -> str:
    return str(ipaddress.ip_address(address))
