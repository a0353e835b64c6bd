"""TCP connections that carry IKE, and ESP where the kernel takes it out (RFC 9329).

Whoever may connect is a stranger until an SA uses its connection: strangers
are few, for all and for one site, and have seconds. What is told to a peer
that does not read is bounded as well. The kernel's ESP is put on a connection
as soon as its prefix has passed; from then on the kernel parts messages, and
gives us those of IKE.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from ikectl.daemon.carrier import Connection
from ikectl.errors import BackendError
from ikectl.kernel.netlink import bypass
from ikectl.kernel.translate import NO_ESP_IN_TCP
from ikectl.sa.asks import CloseStream, OpenStream
from ikectl.values.path import Endpoint, Path, Stream, site_of

log = structlog.get_logger(__name__)

MAX_CONNECTIONS = 4096
"""In all. Each may hold some 64 KiB of an unfinished message, and takes a descriptor."""
MAX_STRANGERS = 256
"""Of these, those that no SA has used yet: what strangers can hold is bounded well below what peers have."""
MAX_STRANGERS_OF_SITE = 8
"""The same from one site (`site_of`), behind which there may be an office with a NAT."""
STRANGER_FOR = 15.0
"""Seconds until a connection that no SA uses is closed, be it new or left by its SA: time for an IKE_SA_INIT that is
to be repeated with another key exchange, and for a peer to close it first (RFC 9329 §6.1, §6.4)."""
LOOK_EVERY = 5.0
"""Seconds between two looks at which connections are in use. One takes a walk over all SAs, and there is none
without connections."""
CONNECT_WITHIN = 10.0
"""Seconds to open one: the first SYN and three repeats."""
FLUSH_WITHIN = 1.0
"""Seconds that what was said last has to leave before a connection is closed."""
REST = 1.0
"""Seconds in which nobody is accepted after there was no descriptor left."""
BACKLOG = 128
ACCEPTED_AT_ONCE = 16
"""Taken from a listening socket before others have their turn."""
SPARE_DESCRIPTORS = 256
"""For everything else that the daemon has open."""
SILENT_FOR = 30_000
"""Milliseconds that the peer's TCP may leave what we sent unacknowledged, or a probe unanswered: then the connection is
dead, and whoever opened it opens another one. TCP by itself would wait for a quarter of an hour."""
PROBE_AFTER = 60
"""Seconds of silence after which TCP probes: it keeps a NAT open, and finds connections that are dead (§6.7)."""


class Host(Protocol):
    """Whom connections serve: the shell."""

    def received(self, message: bytes, path: Path) -> None:
        """A message came; the marker or an SPI is in front."""

    def broken(self, path: Path, why: str) -> None:
        """One that we opened is gone, and not by our will."""

    def streams(self) -> set[Path]:
        """Those that some SA uses."""


@dataclass(frozen=True, slots=True)
class TcpSettings:
    """`port` to listen on, None for no listening; `fwmark` is set on all packets sent, 0 on none.

    `esp`: the kernel has ESP inside TCP. `privileged`: it may be told that no policy holds for our sockets, as for
    those of UDP; tests may not.
    """

    port: int | None = None
    fwmark: int = 0
    esp: bool = False
    privileged: bool = True


class TcpStreams:
    """All connections, accepted and opened."""

    def __init__(self, settings: TcpSettings) -> None:
        """Raises BackendError when the port cannot be had."""
        self._settings = settings
        self._host: Host | None = None
        self._loop = asyncio.get_running_loop()
        self._listening: list[socket.socket] = []
        self._all: dict[Path, Connection] = {}
        self._strangers: Counter[bytes] = Counter()
        """Accepted connections that no SA has used yet, by site."""
        self._look: asyncio.TimerHandle | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        if settings.port is not None:
            self._listen(settings.port)

    def start(self, host: Host) -> None:
        """Take connections from now on."""
        self._host = host
        for sock in self._listening:
            self._loop.add_reader(sock, self._accept, sock)

    def close(self) -> None:
        """Close them all, at once."""
        for timer in (self._look, *self._timers):
            if timer is not None:
                timer.cancel()
        for sock in self._listening:
            self._loop.remove_reader(sock)
            sock.close()
        for connection in self._all.values():
            connection.close()
        self._listening.clear()
        self._all.clear()

    def __len__(self) -> int:
        return len(self._all)

    # -- what the shell and the engine want ----------------------------------------

    def send(self, message: bytes, path: Path) -> None:
        """Say it, when the peer reads. Raises OSError."""
        connection = self._all.get(path)
        if connection is None:
            raise OSError(errno.ENOTCONN, "the TCP connection is gone")
        connection.send(message)

    async def open(self, ask: OpenStream) -> Path:
        """Connect, and say the prefix. Raises BackendError."""
        if ask.esp and not self._settings.esp:
            raise BackendError(NO_ESP_IN_TCP)
        if len(self._all) >= MAX_CONNECTIONS:
            raise BackendError(f"there are {MAX_CONNECTIONS} TCP connections already")
        local, remote = ask.path.local, ask.path.remote
        sock = self._socket(socket.AF_INET6 if local.is_v6 else socket.AF_INET)
        try:
            sock.bind((local.host, 0))
            async with asyncio.timeout(CONNECT_WITHIN):
                await self._loop.sock_connect(sock, (remote.host, remote.port))
            path = Stream(Endpoint(local.address, sock.getsockname()[1]), remote)
            connection = Connection(sock, path, True, self)
            connection.start(self._settings.esp)
        except TimeoutError:
            sock.close()
            raise BackendError(f"nobody answers at {remote} (TCP)") from None
        except OSError as error:
            sock.close()
            raise BackendError(f"no TCP connection with {remote}: {_why(error)}") from error
        except BaseException:
            sock.close()
            raise
        self._keep(connection)
        return path

    def finish(self, ask: CloseStream) -> None:
        """Close it when what was said has left, soon in any case, if no SA uses it then."""
        connection = self._all.get(ask.path)

        def end() -> None:
            if connection is not None and (self._host is None or connection.path not in self._host.streams()):
                self._end(connection)

        if connection is not None:
            self._after(FLUSH_WITHIN, end)

    # -- what connections tell ---------------------------------------------------------

    def received(self, connection: Connection, message: bytes) -> None:
        """A message came."""
        if self._host is not None and self._all.get(connection.path) is connection:
            self._host.received(message, connection.path)

    def lost(self, connection: Connection, why: str) -> None:
        """It is of no use any more."""
        if self._all.get(connection.path) is not connection:
            return
        self._end(connection)
        log.info("a TCP connection ended", path=str(connection.path), why=why)
        if connection.ours and self._host is not None:
            self._host.broken(connection.path, why)

    # -- accepting -----------------------------------------------------------------

    def _listen(self, port: int) -> None:
        try:
            for family in (socket.AF_INET, socket.AF_INET6):
                sock = self._socket(family)
                self._listening.append(sock)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    sock.bind(("::" if family == socket.AF_INET6 else "", port))
                except OSError as error:
                    if family == socket.AF_INET6 and error.errno == errno.EADDRNOTAVAIL:
                        self._listening.pop().close()  # IPv6 is switched off
                        continue
                    raise
                sock.listen(BACKLOG)
        except OSError as error:
            for each in self._listening:
                each.close()
            raise BackendError(f"cannot listen on TCP port {port}: {error.strerror or error}") from error
        _allow_descriptors()

    def _socket(self, family: int) -> socket.socket:
        """Raises OSError, BackendError."""
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self._prepare(sock)
        except BaseException:
            sock.close()
            raise
        return sock

    def _prepare(self, sock: socket.socket) -> None:
        if self._settings.fwmark:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, self._settings.fwmark)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_FOR)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PROBE_AFTER)
        if self._settings.privileged:
            bypass(sock)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                sock, peer = listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    log.warning("no TCP connection can be taken just now", why=error.strerror)
                    self._loop.remove_reader(listening)
                    self._after(REST, lambda: self._loop.add_reader(listening, self._accept, listening))
                    return
                continue  # it was gone before we came to it
            self._admit(sock, _endpoint(sock.family, peer))

    def _admit(self, sock: socket.socket, remote: Endpoint) -> None:
        """Keep a stranger's connection, or close it where there are too many."""
        site = site_of(remote.address)
        crowded = (
            len(self._all) >= MAX_CONNECTIONS
            or self._strangers.total() >= MAX_STRANGERS
            or self._strangers[site] >= MAX_STRANGERS_OF_SITE
        )
        if crowded:
            log.debug("a TCP connection more than strangers may have", remote=str(remote))
            sock.close()
            return
        try:
            sock.setblocking(False)
            self._prepare(sock)
            path = Stream(_endpoint(sock.family, sock.getsockname()), remote)
            connection = Connection(sock, path, False, self)
            connection.start(self._settings.esp)
        except (OSError, BackendError) as error:
            log.warning("a TCP connection cannot be used", remote=str(remote), why=str(error))
            sock.close()
            return
        self._strangers[site] += 1
        connection.stranger = True
        self._keep(connection)

    # -- keeping -------------------------------------------------------------------

    def _keep(self, connection: Connection) -> None:
        old = self._all.pop(connection.path, None)
        if old is not None:
            self._forget(old)  # its peer came again from the same port, so it is gone
        connection.used_at = self._loop.time()
        self._all[connection.path] = connection
        if self._look is None:
            self._look = self._loop.call_later(LOOK_EVERY, self._look_around)

    def _look_around(self) -> None:
        """Close what no SA has used for a while; strangers that became peers count as such no longer."""
        self._look = None
        if self._host is None:
            return
        used, now = self._host.streams(), self._loop.time()
        for connection in list(self._all.values()):
            if connection.path in used:
                connection.used_at = now
                self._known(connection)
            elif now - connection.used_at >= STRANGER_FOR:
                self._end(connection)
        if self._all:
            self._look = self._loop.call_later(LOOK_EVERY, self._look_around)

    def _known(self, connection: Connection) -> None:
        if connection.stranger:
            connection.stranger = False
            site = site_of(connection.path.remote.address)
            self._strangers[site] -= 1
            if not self._strangers[site]:
                del self._strangers[site]

    def _end(self, connection: Connection) -> None:
        if self._all.get(connection.path) is connection:
            del self._all[connection.path]
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        self._known(connection)
        connection.close()

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        def due() -> None:
            self._timers.discard(timer)
            act()

        timer = self._loop.call_later(seconds, due)
        self._timers.add(timer)


def _endpoint(family: int, name: tuple[str, int]) -> Endpoint:
    return Endpoint(socket.inet_pton(family, name[0].partition("%")[0]), name[1])


def _why(error: OSError) -> str:
    """In the system's words; asyncio has others of its own."""
    return os.strerror(error.errno) if error.errno else str(error)


def _allow_descriptors() -> None:
    """As many as connections may take, if that is for us to say."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
