"""One client's conversation: octets in, commands to run and octets out; no IO.

Requests are served one after another, in the order they came. While a command
runs, what follows it stays unread; `full` says when the carrier should stop
reading. What is to be sent waits in a queue that is bounded: a reader that is
too slow misses log lines, and is told how many; one that would miss anything
else is cut off, because its picture of the SAs would be wrong for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from ikectl.vici.message import (
    MAX_FRAME,
    Draft,
    Frames,
    MessageError,
    Packet,
    PacketType,
    Tree,
    decode,
    encode,
)

BACKLOG = 1024 * 1024  # octets of broadcast events that may wait for one client
PIECE = 64 * 1024  # octets handed to the carrier at once


class Overrun(Exception):
    """The client reads too slowly, or says what no client says: end the conversation."""


@dataclass(frozen=True, slots=True)
class Call:
    """A command to run. `message` is None if it could not be read."""

    name: str
    message: Tree | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Broadcast:
    """An event for every client that registered for it, written once for all of them."""

    name: str
    frame: bytes

    @classmethod
    def of(cls, name: str, tree: Draft) -> Broadcast:
        return cls(name, Packet(PacketType.EVENT, name, encode(tree)).frame())


class Session:
    """The server's end of one connection."""

    def __init__(self, commands: Collection[str], events: Collection[str]) -> None:
        self._commands = commands
        self._events = events
        self._frames = Frames()
        self._registered: dict[str, None] = {}
        self._running: Call | None = None
        self._out: deque[bytes] = deque()
        self._waiting = 0
        self._missed = 0

    # -- in

    def receive(self, octets: bytes) -> None:
        self._frames.feed(octets)

    @property
    def full(self) -> bool:
        """Enough is held: read no more until a command has ended."""
        return len(self._frames) > MAX_FRAME + 4

    def next(self) -> Call | None:
        """The command to run now; None while one runs or nothing whole is there.

        Registrations on the way are answered. Packets of unknown types are
        passed over without an answer, as every vici server does.

        Raises:
            Overrun: a frame longer than vici allows was announced.
        """
        if self._running is not None:
            return None
        while True:
            try:
                octets = self._frames.next()
            except MessageError as error:
                raise Overrun(str(error)) from None
            if octets is None:
                return None
            try:
                packet = Packet.read(octets)
            except MessageError:
                continue
            if packet.type is PacketType.EVENT_REGISTER:
                self._register(packet.name)
            elif packet.type is PacketType.EVENT_UNREGISTER:
                self._unregister(packet.name)
            elif packet.type is PacketType.CMD_REQUEST:
                if packet.name in self._commands:
                    self._running = _call(packet)
                    return self._running
                self._send(Packet(PacketType.CMD_UNKNOWN))

    def _register(self, name: str) -> None:
        known = name in self._events
        if known:
            self._registered[name] = None
        self._send(Packet(PacketType.EVENT_CONFIRM if known else PacketType.EVENT_UNKNOWN))

    def _unregister(self, name: str) -> None:
        known = name in self._registered
        if known:
            del self._registered[name]
        self._send(Packet(PacketType.EVENT_CONFIRM if known else PacketType.EVENT_UNKNOWN))

    # -- out

    def registered(self, event: str) -> bool:
        return event in self._registered

    def respond(self, response: Draft) -> None:
        """End the running command with its answer. Raises MessageError: it does not fit into a frame."""
        packet = Packet(PacketType.CMD_RESPONSE, "", encode(response))
        self._send(packet)
        self._running = None

    def stream(self, event: str, tree: Draft) -> None:
        """One event of the running command, for this client alone, if it registered.

        Unbounded: who streams waits for `waiting` to fall, see the carrier.
        """
        if event in self._registered:
            self._send(Packet(PacketType.EVENT, event, encode(tree)))

    def offer(self, event: Broadcast) -> None:
        """An event for everybody.

        Raises:
            Overrun: there is no room, and the event is none that may be missed.
        """
        if event.name not in self._registered:
            return
        if self._waiting + len(event.frame) > BACKLOG:
            if event.name != "log":
                raise Overrun(f"too slow a reader of {event.name} events")
            self._missed += 1
            return
        if self._missed:
            self._queue(_missed(self._missed).frame)
            self._missed = 0
        self._queue(event.frame)

    def _send(self, packet: Packet) -> None:
        self._queue(packet.frame())

    def _queue(self, frame: bytes) -> None:
        self._out.append(frame)
        self._waiting += len(frame)

    @property
    def waiting(self) -> int:
        """Octets that wait to be taken."""
        return self._waiting

    def take(self) -> bytes:
        """The next octets for the stream: some whole frames, about PIECE octets."""
        parts: list[bytes] = []
        size = 0
        while self._out and size < PIECE:
            parts.append(self._out.popleft())
            size += len(parts[-1])
        self._waiting -= size
        return b"".join(parts)


def _call(packet: Packet) -> Call:
    try:
        return Call(packet.name, decode(packet.body))
    except MessageError as error:
        return Call(packet.name, None, f"malformed request: {error}")


def _missed(count: int) -> Broadcast:
    return Broadcast.of(
        "log",
        {
            "group": "app",
            "level": "0",
            "msg": f"{count} log lines are missing here: this client reads too slowly",
        },
    )
