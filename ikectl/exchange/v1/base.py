"""What an exchange of ISAKMP is: one half of a conversation under one message ID.

Theory. IKEv1 is made of exchanges of one to six messages (RFC 2408 §4). Both
halves are an `Exchange`: it may `begin`, it takes every further message that
proved itself, and each time says what its `Turn` is: `Say` something and wait,
be `Done`, or `Ignore` what came. It receives facts (`IsakmpSa`) and may await
asks; it cannot reach the sockets, the clock or another exchange. Facts change
only after the message proved itself.

What proves a message after phase 1 is its first payload, a HASH keyed with
SKEYID_a (RFC 2409 §5.5, §5.7). What it covers differs by message: a `Guard`
says so, and whoever seals and opens messages computes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ikectl.config.model import Child
from ikectl.errors import IkectlError
from ikectl.exchange.v1 import diagnosis
from ikectl.iana.v1 import ExchangeType, NotifyType
from ikectl.sa.association import IkeState
from ikectl.sa.events import Note
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.values.record import record
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.notify import Notify
from ikectl.wire.v1.payload import Payload


@record
class Guard:
    """HASH = prf(SKEYID_a, `lead` | M-ID | `binding` | what follows the HASH payload).

    `alone`: what follows is not covered, so nothing may follow (HASH(3), RFC 2409 §5.5).
    """

    lead: bytes = b""
    binding: bytes = b""
    alone: bool = False


PLAIN = Guard()
"""HASH(1), and that of informational and transaction exchanges."""


@dataclass(slots=True)
class Say:
    """Send this and wait for the next message."""

    payloads: list[Payload]
    clear: bool = False
    """In clear though there are keys: the message that makes them."""
    commit: bool = False
    """With the commit bit: the peer waits for our CONNECTED (RFC 2408 §3.1)."""


@dataclass(slots=True)
class Done:
    """The exchange is over once `payloads`, if there are any, are sent.

    `follow` are exchanges to begin next, before anything that waits already.
    `failed` says why it did not do what it was for, though the SA goes on.
    `retry`: begin that exchange later. `close` ends the SA here and now,
    without a further message, for the reason it gives.
    """

    payloads: list[Payload] | None = None
    follow: tuple[Exchange, ...] = ()
    failed: str | None = None
    retry: Exchange | None = None
    close: str | None = None
    wanted: tuple[Child, ...] = ()
    """Children to bring up anew."""
    errors: tuple[Notify, ...] = ()
    """What the peer refuses, in words that name no exchange: whoever sees them all finds out which it is."""
    first_contact: bool = False
    """The peer says that it knows no other SA with us (INITIAL-CONTACT)."""


@dataclass(slots=True)
class Ignore:
    """As if the message never came: go on waiting for a better one."""

    why: str


Turn = Say | Done | Ignore


class Exchange:
    """One half. Subclasses are dataclasses holding what they need between messages."""

    type: ClassVar[ExchangeType]
    REPEATS: ClassVar[bool] = True
    """Whether our last message is repeated by time while we wait, not only when the peer repeats its own."""
    ALONE: ClassVar[bool] = False
    """Whether it is begun only when none of ours is under way, and keeps others from beginning."""
    PROTECTED: ClassVar[bool] = True
    """Whether every message must be encrypted and begin with a HASH; phase 1 proves itself in its own way."""
    token: int = 0
    """The part of a command this serves, 0 for none."""

    async def begin(self, sa: IsakmpSa) -> Turn:
        """Our first message; `Done()` if there is nothing to say any more."""
        raise NotImplementedError

    async def take(self, sa: IsakmpSa, message: Message) -> Turn:
        """The peer's next message. Raises Refused or PeerMisbehaved, which end the exchange."""
        raise NotImplementedError

    async def abandon(self, sa: IsakmpSa, why: str) -> None:
        """No further message will come, or none that helps: take back what was set up."""

    def outgoing(self) -> Guard:
        """What the HASH of our next message covers."""
        return PLAIN

    def incoming(self) -> Guard:
        """What the HASH of the peer's next message covers."""
        return PLAIN

    def may_begin(self, sa: IsakmpSa) -> bool:
        """Whether the SA is in a state for our first message."""
        return sa.state not in (IkeState.CREATED, IkeState.CONNECTING)

    def unanswered(self, sa: IsakmpSa, octets: int = 0) -> str:
        """What it most likely means that the peer never answers our last message.

        `octets` is the length of the longest datagram of that.
        """
        return f"the peer does not answer {self.subject}"

    def refused(self, sa: IsakmpSa, types: Sequence[NotifyType]) -> str:
        """What it most likely means that the peer refuses with these words."""
        return diagnosis.refused(types, sa)

    def report(self, sa: IsakmpSa, error: IkectlError, why: str) -> None:
        """Emit the event that tells operators of a failure; `why` is the error with our subject in front."""
        sa.emit(Note(sa, why))

    @property
    def step(self) -> str:
        """Which message of ours went out last, in words."""
        return self.subject

    @property
    def subject(self) -> str:
        """What this exchange is about, for error texts and command outcomes."""
        return str(self.type)


__all__ = ["PLAIN", "Done", "Exchange", "Guard", "Ignore", "Say", "Turn"]
