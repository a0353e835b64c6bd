"""Connection: one TCP connection of IKE, with its prefix, its messages in and its queue out (RFC 9329).

Either we part the messages ourselves, or the kernel does, which then takes ESP
out of them and puts ESP between ours: see `take_esp`.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Protocol

from ikectl.errors import WireError
from ikectl.kernel.features import take_esp
from ikectl.values.path import Path
from ikectl.wire.header import NON_ESP_MARKER
from ikectl.wire.stream import MAX_MESSAGE, PREFIX, Unframer, frame

READ_AT_ONCE = 16 * 1024
"""Octets taken before others have their turn."""
MESSAGES_AT_ONCE = 32
"""The same where the kernel parts messages."""
MAX_WAITING = 256 * 1024
"""Octets that wait for a peer to read: four of the longest messages. Who reads no more of them is not heard either,
for the connection is closed; an end that lives opens another one, and asks again."""
MAX_STRAYS = 64
"""Messages in turn that are none of IKE. ESP of a child that is just gone is no fault (RFC 9329 §6.1); a stream of
nothing else is out of step."""
KEEPALIVE = b"\xff"
"""Of no use inside TCP, and no fault either (§6.6)."""
TCP_ESTABLISHED = 1
"""net/tcp_states.h: the first octet of TCP_INFO."""


class ConnectionLost(OSError):
    """The connection is of no use any more."""


class Owner(Protocol):
    """Whom it serves: `TcpStreams`."""

    def received(self, connection: Connection, message: bytes) -> None:
        """A message of IKE came, with its marker."""

    def lost(self, connection: Connection, why: str) -> None:
        """It is of no use any more."""


class Connection:
    """`ours`: we opened it, so the prefix is ours to say. Runs in the event loop from `start` to `close`."""

    __slots__ = (
        "_awaited",
        "_loop",
        "_owner",
        "_parted",
        "_sock",
        "_strays",
        "_unframer",
        "_waiting",
        "_waits",
        "ours",
        "path",
        "stranger",
        "used_at",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, path: Path, ours: bool, owner: Owner) -> None:
        self.path = path
        self.ours = ours
        self.stranger = False
        """It counts among those that no SA has used."""
        self.used_at = 0.0
        """When an SA used it last, or it was made; loop time."""
        self._sock = sock
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._awaited = b"" if ours else PREFIX
        """What of the prefix has yet to come."""
        self._unframer = Unframer()
        self._parted = False
        """The kernel parts messages."""
        self._strays = 0
        self._waiting: deque[bytes] = deque()
        self._waits = 0
        """Octets in there."""

    def start(self, esp: bool) -> None:
        """Say the prefix, or wait for it. `esp`: the kernel has ESP inside TCP. Raises OSError."""
        self._parted = esp
        if self.ours:
            if self._sock.send(PREFIX) != len(PREFIX):
                raise OSError("the prefix did not leave")
            self._hand_over()
        self._loop.add_reader(self._sock, self._readable)

    def close(self) -> None:
        """At once."""
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()

    # -- out -----------------------------------------------------------------------

    def send(self, message: bytes) -> None:
        """Now, or behind what waits already. Raises OSError."""
        if len(message) > MAX_MESSAGE:
            raise OSError(f"a message of {len(message)} octets is too long for TCP")
        octets = message if self._parted else frame(message)
        if self._waits + len(octets) > MAX_WAITING:
            why = "the peer does not read what it is told"
            self._loop.call_soon(self._owner.lost, self, why)
            raise ConnectionLost(why)
        self._waiting.append(octets)
        self._waits += len(octets)
        if len(self._waiting) == 1:
            self._write()

    def _write(self) -> None:
        try:
            while self._waiting:
                octets = self._waiting[0]
                sent = self._sock.send(octets)
                self._waits -= sent
                if sent < len(octets):
                    self._waiting[0] = octets[sent:]
                else:
                    self._waiting.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._sock, self._write)
            return
        except OSError as error:
            # Not amid what the engine does just now: it may have more to say.
            self._loop.call_soon(self._owner.lost, self, error.strerror or str(error))
            self._waiting.clear()
            self._waits = 0
        self._loop.remove_writer(self._sock)

    # -- in ------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            if self._awaited:
                self._take_prefix()
            elif self._parted:
                self._take_parted()
            else:
                self._take_stream()
        except BlockingIOError:
            return
        except (OSError, WireError) as error:
            self._owner.lost(self, getattr(error, "strerror", None) or str(error))

    def _take_prefix(self) -> None:
        """No octet more: what follows may be the kernel's to part."""
        octets = self._sock.recv(len(self._awaited))
        if not octets:
            raise ConnectionLost("it was closed before it began")
        if not self._awaited.startswith(octets):
            raise ConnectionLost("it does not begin with IKETCP")  # RFC 9329 §4
        self._awaited = self._awaited[len(octets) :]
        if not self._awaited:
            self._hand_over()

    def _hand_over(self) -> None:
        """The prefix has passed. Raises OSError."""
        if self._parted and not take_esp(self._sock):
            raise ConnectionLost("the kernel does not take ESP out of it")

    def _take_stream(self) -> None:
        octets = self._sock.recv(READ_AT_ONCE)
        if not octets:
            raise ConnectionLost("the peer closed it")
        for message in self._unframer.feed(octets):
            self._take(message)

    def _take_parted(self) -> None:
        """One message at a time. Where the kernel reads no end of file, the state of TCP shows that the peer closed."""
        for _ in range(MESSAGES_AT_ONCE):
            try:
                message = self._sock.recv(MAX_MESSAGE)
            except BlockingIOError:
                state = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
                if state != TCP_ESTABLISHED:
                    raise ConnectionLost("the peer closed it") from None
                return
            if not message:  # the kernel gives none that has no marker
                raise ConnectionLost("the peer closed it")
            self._take(message)

    def _take(self, message: bytes) -> None:
        if message.startswith(NON_ESP_MARKER):
            self._strays = 0
            self._owner.received(self, message)
            return
        if message == KEEPALIVE:
            return
        self._strays += 1
        if self._strays > MAX_STRAYS:
            raise ConnectionLost(f"{MAX_STRAYS} messages in turn are none of IKE")
