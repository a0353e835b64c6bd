"""What an exchange is: two halves, a request, a reply, and what comes next.

Theory. IKEv2 is made of exchanges: one request, one response (RFC 7296 §1).
The half that asks is an `Exchange`: it makes the request, waits (as plain
state, for minutes if need be), takes the reply, and says what comes `Next`.
The half that answers is an `Answer`: one coroutine from request to `Reply`.
Both receive facts (`IkeSa`) and may await asks; neither can reach the window,
the clock, the sockets or another exchange. Facts change only after the
message proved itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ikectl.config.model import Child
from ikectl.crypto.kdf_v2 import IkeKeys
from ikectl.errors import PeerMisbehaved
from ikectl.iana.v2 import FIRST_STATUS, ExchangeType, NotifyType
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify


@dataclass(slots=True)
class Birth:
    """A new IKE SA, and what it is to begin with."""

    sa: IkeSa
    follow: tuple[Exchange, ...] = ()


@dataclass(slots=True)
class Done:
    """The exchange is over.

    `follow` are exchanges to begin next, before anything that waits already.
    `born` is an IKE SA that now exists beside this one. `retry` is an exchange
    to be begun later because the peer is busy. `failed` says why it did not do
    what it was for, though the IKE SA goes on. `redundant` is another IKE SA
    that the peer should delete, and that we delete if it does not. `apart` is a child that the peer does not take
    on this IKE SA, and `afresh` says that the SA cannot be renewed but by making it from scratch: then the outcome is
    theirs who see to that, and `failed` is what the peer said. `close` ends the IKE SA here and now, without a further
    message, for the reason it gives.
    """

    follow: tuple[Exchange, ...] = ()
    born: Birth | None = None
    retry: Exchange | None = None
    failed: str | None = None
    redundant: IkeSa | None = None
    apart: Child | None = None
    afresh: bool = False
    close: str | None = None


@dataclass(slots=True)
class Again:
    """The request must be made anew, under the same message ID (IKE_SA_INIT alone may)."""


@dataclass(slots=True)
class Ignore:
    """As if the reply never came: go on waiting. Only an unprotected reply may be met so."""

    why: str


@dataclass(slots=True)
class Doubt:
    """The reply refuses us but proves nothing about its sender.

    The machine goes on waiting until the request would be repeated, in case a
    better answer comes, and only then gives up for the reason given.
    """

    why: str


@dataclass(slots=True)
class Aside:
    """The request must be made anew as after `Again`, but work comes first: seconds of it.

    The reply that gave reason for it proves nothing, so another one is taken meanwhile, and the work dropped if that
    leads on. The request is not repeated until the work is done. `job` raises nothing. With `take` the work is for
    what follows from the reply: afterwards that is taken again, and the request is not made anew.
    """

    job: Coroutine[Any, Any, None]
    take: bool = False


Next = Done | Again | Aside | Ignore | Doubt


@dataclass(slots=True)
class Reply:
    """What the answering half says, and what follows from it once it is sent.

    `keys` are those in force from then on; the reply itself is sealed with the old ones.
    """

    payloads: list[Payload] = field(default_factory=list)
    follow: tuple[Exchange, ...] = ()
    born: Birth | None = None
    keys: IkeKeys | None = None
    close: str | None = None


OnReply = Callable[[Any, IkeSa, Message], Awaitable[Next]]


class Case:
    """One kind of reply and the method for it.

    Fits if the notify `notify` is there, or any error notify (`error`), or
    every payload class of `required` exactly once. The first fit wins.
    """

    __slots__ = ("error", "handler", "notify", "required")

    def __init__(
        self,
        handler: OnReply,
        *,
        notify: NotifyType | None = None,
        error: bool = False,
        required: tuple[type[Payload], ...] = (),
    ) -> None:
        self.handler = handler
        self.notify = notify
        self.error = error
        self.required = required

    def fits(self, reply: Message) -> bool:
        """Whether it does, unless it is for a notify."""
        if self.error:
            return first_error(reply) is not None
        for kind in self.required:  # noqa: SIM110  a generator costs more than all the rest
            if reply.get(kind) is None:
                return False
        return True


def first_error(message: Message) -> Notify | None:
    """The first notify that reports an error (types below 16384, RFC 7296 §3.10.1)."""
    for notify in message.all(Notify):
        if notify.type < FIRST_STATUS:
            return notify
    return None


class Exchange:
    """The half that asks. Subclasses are dataclasses holding what they need between request and reply."""

    type: ClassVar[ExchangeType]
    cases: ClassVar[tuple[Case, ...]]
    token: int
    """The part of a command this serves, 0 for none."""

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        """The payloads of the request; None if there is nothing to ask any more."""
        raise NotImplementedError

    async def take(self, sa: IkeSa, reply: Message) -> Next:
        """The reply came (and, after IKE_SA_INIT, proved itself)."""
        said = reply.said
        for case in self.cases:
            if case.notify in said if case.notify is not None else case.fits(reply):
                return await case.handler(self, sa, reply)
        raise self.answers_nothing(reply)

    def answers_nothing(self, reply: Message) -> PeerMisbehaved:
        """The error for a response that is none to this request."""
        found = ", ".join(str(payload.TYPE) for payload in reply.payloads) or "nothing"
        return PeerMisbehaved(f"the {self.type} response holds {found}, which answers no question of ours")

    async def abandon(self, sa: IkeSa, why: str) -> None:
        """No reply will come, or none that helps: take back what the request had set up."""

    async def spoilt(self, sa: IkeSa, why: str) -> tuple[Exchange, ...]:
        """The peer's own reply came and cannot be used: `abandon`, and what to tell the peer.

        Nothing may be said in answer to a response (RFC 7296 §2.5), but what the
        peer now believes to stand has to be deleted there.
        """
        await self.abandon(sa, why)
        return ()

    def serves(self, other: Exchange) -> bool:
        """Whether `other` need not be begun where this one waits or is under way: what it is for comes of this one.

        Peers give reason for exchanges as often as they like, and may leave ours without an answer for minutes:
        the kinds that a request can bring about say here that one of them is enough.
        """
        return False

    @property
    def concerns(self) -> tuple[Hashable, ...]:
        """What no other exchange may be about while this one is in flight, where several may be (RFC 7296 §2.3)."""
        return ()

    @property
    def subject(self) -> str:
        """What this exchange is about, for error texts and command outcomes."""
        return str(self.type)


class Answer:
    """The half that answers."""

    async def respond(self, sa: IkeSa, request: Message) -> Reply:
        """The reply to `request`. Facts change only when it is sure to be sent.

        Raises Refused or PeerMisbehaved, whose notify then is the reply.
        """
        raise NotImplementedError
