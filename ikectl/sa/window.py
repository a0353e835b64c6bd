"""Window: message IDs, the request in flight and the reply kept for a repeat (RFC 7296 §2.1-2.3).

Theory. Each side numbers its own requests 0, 1, 2 ...; a response carries the
number of its request. Our window and the peer's are one message wide (§2.3):
we send the next request once the last one was answered, and of the peer's we
expect exactly one number. The reply to its last request is kept as sealed
octets until the next request comes, because a repeat must get the very same
octets: a fresh seal would draw a new IV for the same number. A message is one
datagram, or several fragments (RFC 7383).
"""

from __future__ import annotations

from enum import Enum, auto
from hashlib import sha256

from ikectl.iana.v2 import ExchangeType
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
    tries: int = 0
    """How often it was sent again."""
    payloads: list[Payload] | None = None
    """Its content, if it may have to be cut smaller."""


class Window:
    """The two counters of one IKE SA, each way one message wide."""

    __slots__ = ("_reply", "_reply_to", "expected", "in_flight", "next_request")

    def __init__(self) -> None:
        self.next_request = 0
        self.expected = 0
        self.in_flight: InFlight | None = None
        self._reply: bytes | tuple[bytes, ...] = ()
        """Bare where it is one datagram, as it mostly is: every SA keeps one."""
        self._reply_to: bytes = b""

    def send(self, exchange: ExchangeType, datagrams: tuple[bytes, ...]) -> InFlight:
        """Take the next number for a request of these datagrams."""
        self.in_flight = InFlight(exchange, self.next_request, datagrams)
        self.next_request += 1
        return self.in_flight

    def resend_as(self, datagrams: tuple[bytes, ...]) -> None:
        """The request in flight is replaced under its own number (IKE_SA_INIT with a cookie, §2.6)."""
        if self.in_flight is None:
            raise RuntimeError("no request is in flight")
        self.in_flight = InFlight(self.in_flight.exchange, self.in_flight.message_id, datagrams)

    def answers(self, exchange: ExchangeType, message_id: int) -> bool:
        """Whether a response with these numbers answers the request in flight (§2.2)."""
        request = self.in_flight
        return request is not None and request.message_id == message_id and request.exchange == exchange

    def settle(self) -> None:
        """The request in flight was answered."""
        self.in_flight = None

    def judge(self, message_id: int) -> Verdict:
        """Where a request number stands."""
        if message_id == self.expected:
            return Verdict.NEW
        if message_id == self.expected - 1 and self._reply:
            return Verdict.REPEAT
        return Verdict.OUTSIDE

    def replied(self, request: bytes, reply: tuple[bytes, ...]) -> None:
        """The expected request was answered with `reply`; keep it for a repeat.

        Of a request in fragments the first one stands for all: only that may fetch the reply again (RFC 7383 §2.6.1).
        """
        self.expected += 1
        self._reply_to = _mark(request)
        self._reply = reply[0] if len(reply) == 1 else reply

    def repeat(self, request: bytes) -> tuple[bytes, ...]:
        """The kept reply, if `request` is the one it answered, bit by bit (§2.1).

        Any other gets nothing: a few octets with the right number must not fetch a long reply to an address
        that somebody made up.
        """
        return self.reply if _mark(request) == self._reply_to else ()

    @property
    def reply(self) -> tuple[bytes, ...]:
        """The kept reply, for whoever has proven to be entitled to it."""
        return (self._reply,) if isinstance(self._reply, bytes) else self._reply


def _mark(request: bytes) -> bytes:
    """What a request is recognised by."""
    return sha256(request).digest()[:_MARK_OCTETS]
