"""Window: message IDs, the requests in flight and the replies kept for a repeat (RFC 7296 §2.1-2.3).

Theory. Each side numbers its own requests 0, 1, 2 ...; a response carries the
number of its request. A window is one message wide (§2.3) until its end says
that it takes more, which few do. How many of ours may be in flight the peer
says; of the peer's we expect exactly one number, or one of several
(`WideWindow`). The reply to a request is kept as sealed octets for as long as
that may come again, because a repeat must get the very same octets: a fresh
seal would draw a new IV for the same number. A message is one datagram, or
several fragments (RFC 7383); only one that seems not to arrive is cut anew.
"""

from __future__ import annotations

from enum import Enum, auto
from hashlib import sha256
from typing import Any

from ikectl.iana.v2 import ExchangeType
from ikectl.values.path import Path
from ikectl.values.record import record
from ikectl.wire.payload import Payload

_MARK_OCTETS = 16
"""A mark is kept for every SA. So much of SHA-256 is enough: a forger needs a second request of the same mark,
which is 2^128 work; two requests of one mark (2^64) are of no use."""


class Verdict(Enum):
    """What an incoming request is, by its number."""

    NEW = auto()
    REPEAT = auto()
    OUTSIDE = auto()


@record
class InFlight:
    """Our request that waits for its response."""

    exchange: ExchangeType
    message_id: int
    datagrams: tuple[bytes, ...]
    """As sent, to be repeated bit by bit (§2.1)."""
    purpose: Any = None
    """Which exchange it belongs to; for who sent it to know."""
    payloads: list[Payload] | None = None
    """Its content, should it have to be cut smaller."""
    tries: int = 0
    """How often it was sent again."""
    sent_on: Path | None = None
    """Where it last went."""
    heard_at: float = 0.0
    """When the peer had been heard last, as it went there."""
    reprieves: int = 0
    """How often it was given more time, because the peer was heard meanwhile."""


class Window:
    """The two counters of one IKE SA. Of the peer's requests it takes one at a time."""

    __slots__ = ("_reply", "_reply_to", "expected", "in_flight", "next_request")

    def __init__(self) -> None:
        self.next_request = 0
        self.expected = 0
        """The lowest number of a request that was not answered yet."""
        self.in_flight: tuple[InFlight, ...] = ()
        """In the order of their numbers."""
        self._reply: bytes | tuple[bytes, ...] = ()
        """Bare where it is one datagram, as it mostly is: every SA keeps one."""
        self._reply_to: bytes = b""

    @property
    def highest(self) -> int:
        """The highest number of a request that was answered; -1 if none was."""
        return self.expected - 1

    def moved(self, next_request: int, expected: int) -> Window:
        """One that goes on at these numbers; what was said and asked before counts no more (RFC 6311 §5.1)."""
        window = Window()
        window.next_request, window.expected = next_request, expected
        return window

    # -- our requests ------------------------------------------------------------

    def send(self, exchange: ExchangeType, datagrams: tuple[bytes, ...], purpose: Any = None) -> InFlight:
        """Take the next number for a request of these datagrams."""
        request = InFlight(exchange, self.next_request, datagrams, purpose)
        self.in_flight += (request,)
        self.next_request += 1
        return request

    def has_room(self, width: int) -> bool:
        """Whether the next request is within the window of a peer that takes `width` of them at once.

        What counts is the oldest one: the peer keeps replies from there on (§2.3).
        """
        return not self.in_flight or self.next_request - self.in_flight[0].message_id < width

    def answered(self, exchange: ExchangeType, message_id: int) -> InFlight | None:
        """The request in flight that a response with these numbers answers (§2.2)."""
        for request in self.in_flight:
            if request.message_id == message_id and request.exchange == exchange:
                return request
        return None

    def settle(self, request: InFlight) -> None:
        """This one was answered."""
        if self.in_flight == (request,):
            self.in_flight = ()
        else:
            self.in_flight = tuple(each for each in self.in_flight if each is not request)

    def give_up(self) -> None:
        """Nothing that is in flight is waited for any more."""
        self.in_flight = ()

    # -- the peer's --------------------------------------------------------------

    def judge(self, message_id: int) -> Verdict:
        """Where a request number stands."""
        if message_id == self.expected:
            return Verdict.NEW
        if message_id == self.expected - 1 and self._reply:
            return Verdict.REPEAT
        return Verdict.OUTSIDE

    def replied(self, number: int, request: bytes, reply: tuple[bytes, ...]) -> None:
        """That request was answered with `reply`; keep it for a repeat.

        Of a request in fragments the first one stands for all: only that may fetch the reply again (RFC 7383 §2.6.1).
        One without octets is nobody's: somebody else knows when it comes again, and asks for the `reply`.
        """
        self.expected = number + 1
        self._reply_to = mark(request) if request else b""
        self._reply = reply[0] if len(reply) == 1 else reply

    def recut(self, number: int, reply: tuple[bytes, ...]) -> None:
        """The reply to that request goes out in other fragments from now on (RFC 7383 §2.5.2)."""
        self._reply = reply[0] if len(reply) == 1 else reply

    def repeat(self, number: int, request: bytes) -> tuple[bytes, ...]:
        """The kept reply, if `request` is the one it answered, bit by bit (§2.1).

        Any other gets nothing: a few octets with the right number must not fetch a long reply to an address
        that somebody made up.
        """
        return self.reply(number) if mark(request) == self._reply_to else ()

    def reply(self, number: int) -> tuple[bytes, ...]:
        """The kept reply to the request of that number, for whoever has proven to be entitled to it."""
        return (self._reply,) if isinstance(self._reply, bytes) else self._reply


class WideWindow(Window):
    """One that takes up to `size` requests of the peer at once, in whatever order they come."""

    __slots__ = ("_replies", "size")

    def __init__(self, narrow: Window, size: int) -> None:
        """It goes on where `narrow` stands."""
        super().__init__()
        self.size = size
        self.next_request, self.expected, self.in_flight = narrow.next_request, narrow.expected, narrow.in_flight
        self._replies: dict[int, tuple[bytes, tuple[bytes, ...]]] = {}
        """By number: the mark of a request that was answered, and the reply."""
        last = narrow.expected - 1
        if reply := narrow.reply(last):
            self._replies[last] = narrow._reply_to, reply

    @property
    def highest(self) -> int:
        return max(self._replies, default=self.expected - 1)

    def moved(self, next_request: int, expected: int) -> Window:
        return WideWindow(super().moved(next_request, expected), self.size)

    def judge(self, message_id: int) -> Verdict:
        if message_id in self._replies:
            return Verdict.REPEAT
        inside = self.expected <= message_id < self.expected + self.size
        return Verdict.NEW if inside else Verdict.OUTSIDE

    def replied(self, number: int, request: bytes, reply: tuple[bytes, ...]) -> None:
        self._replies[number] = mark(request), reply
        while self.expected in self._replies:
            self.expected += 1
        # Who sends a number has the answers to all that are `size` below it (§2.3).
        oldest = max(self._replies) - self.size
        self._replies = {each: kept for each, kept in self._replies.items() if each > oldest}

    def recut(self, number: int, reply: tuple[bytes, ...]) -> None:
        self._replies[number] = self._replies[number][0], reply

    def repeat(self, number: int, request: bytes) -> tuple[bytes, ...]:
        kept, reply = self._replies.get(number, (b"", ()))
        return reply if kept == mark(request) else ()

    def reply(self, number: int) -> tuple[bytes, ...]:
        return self._replies[number][1] if number in self._replies else ()


def mark(request: bytes) -> bytes:
    """What a request is recognised by."""
    return sha256(request).digest()[:_MARK_OCTETS]
