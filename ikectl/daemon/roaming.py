"""Whereabouts: which addresses this host has, and word of it when they, links or routes change.

The kernel tells every change on a netlink socket; what a message says in
detail does not matter here, for afterwards addresses are read anew and every
SA asks for its own route. A change comes seldom alone (an interface that comes
up brings a link, addresses and routes, a flapping one dozens), so word is given
once a moment passed without another one.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from collections.abc import Awaitable, Callable

import structlog
from pyroute2 import AsyncIPRoute, NetlinkError

from ikectl.errors import BackendError
from ikectl.kernel.addresses import LABEL
from ikectl.kernel.interfaces import PROTO, RT_SCOPE_HOST, RT_SCOPE_LINK

log = structlog.get_logger(__name__)

SETTLE = 0.2
"""Seconds without a further change until word is given."""
AT_LATEST = 2.0
"""Seconds after the first change that word is given even if they do not end, as with a routing daemon."""
EVENT_BUFFER = 1 << 20
"""Octets. If it overflows the kernel says so, which is a change like any other."""
DATAGRAM = 1 << 16
MAX_OWN = 1024
"""Addresses of this host that are considered; one with more is no end of tunnels."""

# linux/rtnetlink.h
RTMGRP = 0x1 | 0x10 | 0x40 | 0x100 | 0x400  # links; addresses and routes of IPv4, of IPv6
RTM_NEWROUTE, RTM_DELROUTE = 24, 25
RTM_F_CLONED = 0x200
NLMSGHDR = struct.Struct("=IHHII")
RTMSG = struct.Struct("=BBBBBBBBI")  # family, prefixes, TOS, table, protocol, scope, type, flags
# linux/if_addr.h, linux/if.h
UNUSABLE = 0x08 | 0x20 | 0x40  # duplicate address, deprecated, tentative
IFF_UP, IFF_RUNNING = 0x1, 0x40


def matters(datagram: bytes) -> bool:
    """Whether a netlink datagram tells of a change that is not of our own making, nor a mere cache entry. Pure."""
    at = 0
    while at + NLMSGHDR.size <= len(datagram):
        length, kind, *_ = NLMSGHDR.unpack_from(datagram, at)
        if kind not in (RTM_NEWROUTE, RTM_DELROUTE) or length < NLMSGHDR.size + RTMSG.size:
            return True
        *_, protocol, _, _, flags = RTMSG.unpack_from(datagram, at + NLMSGHDR.size)
        if protocol != PROTO and not flags & RTM_F_CLONED:
            return True
        at += max(length + 3 & ~3, NLMSGHDR.size)
    return False


Observer = Callable[[], Awaitable[None]]


class Whereabouts:
    """See the module. `addresses` never waits; `observe` names who is told of changes."""

    def __init__(self) -> None:
        self._ip: AsyncIPRoute | None = None
        self._socket: socket.socket | None = None
        self._own: tuple[bytes, ...] = ()
        self._observers: list[Observer] = []
        self._changed = asyncio.Event()
        self._last = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read addresses, and listen from now on. Raises BackendError."""
        try:
            sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
            self._socket = sock
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, EVENT_BUFFER)
            sock.bind((0, RTMGRP))
            self._ip = AsyncIPRoute()
            self._own = await self._read()
        except (NetlinkError, OSError) as error:
            raise BackendError(f"cannot follow addresses over rtnetlink: {error}") from error
        loop = asyncio.get_running_loop()
        loop.add_reader(sock, self._readable)
        self._task = loop.create_task(self._run())

    async def stop(self) -> None:
        """Listen no longer."""
        if self._task is not None:
            self._task.cancel()
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
        if self._ip is not None:
            self._ip.close()

    def addresses(self) -> tuple[bytes, ...]:
        """The packed addresses others can reach this host at, as far as is known: on interfaces that are up.

        Those that peers gave us for the inside of tunnels are none.
        """
        return self._own

    def observe(self, observer: Observer) -> None:
        """One more is told when something changed and has settled, and waited for."""
        self._observers.append(observer)

    def _readable(self) -> None:
        assert self._socket is not None
        while True:
            try:
                news = matters(self._socket.recv(DATAGRAM))
            except BlockingIOError:
                return
            except OSError:
                news = True  # some were lost
            if news:
                self._last = asyncio.get_running_loop().time()
                self._changed.set()

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._settled()
            try:
                self._own = await self._read()
            except (NetlinkError, OSError) as error:
                log.warning("cannot read addresses; going by those known before", why=str(error))
            for observer in self._observers:
                await observer()

    async def _settled(self) -> None:
        loop = asyncio.get_running_loop()
        latest = loop.time() + AT_LATEST
        while (pause := min(self._last + SETTLE, latest) - loop.time()) > 0:
            await asyncio.sleep(pause)

    async def _read(self) -> tuple[bytes, ...]:
        assert self._ip is not None
        up = {
            link["index"]
            async for link in await self._ip.get_links()
            if link["flags"] & IFF_UP and link["flags"] & IFF_RUNNING
        }
        found: dict[bytes, None] = {}
        async for message in await self._ip.get_addr():
            text = message.get("IFA_LOCAL") or message.get("IFA_ADDRESS")
            flags = message.get("IFA_FLAGS") or message["flags"]
            inner = message.get("IFA_PROTO") == PROTO or str(message.get("IFA_LABEL") or "").endswith(LABEL)
            reachable = message["scope"] not in (RT_SCOPE_LINK, RT_SCOPE_HOST) and message["index"] in up
            if text and reachable and not inner and not flags & UNUSABLE:
                found[ipaddress.ip_address(text).packed] = None
        return tuple(found)[:MAX_OWN]
