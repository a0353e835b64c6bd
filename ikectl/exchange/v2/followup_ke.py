"""IKE_FOLLOWUP_KE: additional key exchanges after CREATE_CHILD_SA (RFC 9370 §2.2.4).

What CREATE_CHILD_SA agreed on is made only when the last of them is done: its
keys come from all secrets. So each half has two steps. Ours is a `Creation`,
which `FollowupKe` completes; the peer's is a `Plan`, which waits in the facts
of the IKE SA (`sa.followups`) and is finished by `AnswerFollowupKe`.

Rekeyings by both ends at once are decided by the nonces of CREATE_CHILD_SA,
before any SA exists: who loses just does not go on, and the winner forgets
what the loser began.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from ikectl.crypto.ke import KePair
from ikectl.errors import IkectlError, PeerMisbehaved, StateNotFound, TemporaryFailure
from ikectl.exchange.v2.base import Answer, Birth, Case, Done, Exchange, Next, Reply
from ikectl.exchange.v2.delete import DeleteIke
from ikectl.iana.v2 import ExchangeType, KeyExchangeMethod, NotifyType
from ikectl.sa.asks import AnswerKe, CombineKe, FreeSpi, GenerateKe
from ikectl.sa.association import IkeState
from ikectl.sa.events import Note
from ikectl.sa.followups import Followup, Followups
from ikectl.sa.ike_sa import IkeSa
from ikectl.values.secret import NO_SECRET, Secret
from ikectl.wire.payload import Payload
from ikectl.wire.v2.keying import KE
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify

MAX_LOSSES = 3
"""How often a peer may forget what it agreed to before the IKE SA is given up (RFC 9370 §2.2.4)."""

LIVE = (IkeState.ESTABLISHED, IkeState.REKEYING)
"""States in which an IKE SA takes IKE_FOLLOWUP_KE; in others what was to be made is wanted no more."""


def link_of(message: Message) -> bytes:
    """The link a message carries, of any octets and none: they mean something to the responder alone.

    Raises PeerMisbehaved if there is none.
    """
    notify = message.notify(NotifyType.ADDITIONAL_KEY_EXCHANGE)
    if notify is None:
        raise PeerMisbehaved("ADDITIONAL_KEY_EXCHANGE, which links key exchanges, is missing (RFC 9370 §2.2.4)")
    return notify.data


# -- our half ---------------------------------------------------------------


class Creation(Exchange):
    """CREATE_CHILD_SA of ours, which additional key exchanges may follow."""

    type: ClassVar[ExchangeType] = ExchangeType.CREATE_CHILD_SA

    losses: int
    """How often the peer forgot what it had agreed to."""

    async def complete(self, sa: IkeSa, additional: Secret) -> Next:
        """All key exchanges are done: make what was agreed on. `additional` is SK(1) | ... | SK(n)."""
        raise NotImplementedError

    async def on_refused(self, sa: IkeSa, reply: Message) -> Next:
        """The peer says no, to this or to one of the additional key exchanges."""
        raise NotImplementedError

    async def on_busy(self, sa: IkeSa, reply: Message) -> Next:
        """The peer says not now."""
        raise NotImplementedError

    def anew(self) -> Creation | None:
        """The same to be begun again later; None if it is not wanted any more."""
        raise NotImplementedError

    async def on_lost(self, sa: IkeSa) -> Next:
        """The peer forgot what it had agreed to: all of it failed (RFC 9370 §2.2.4)."""
        why = "the peer forgot our CREATE_CHILD_SA before its additional key exchanges were done"
        await self.abandon(sa, why)
        if self.losses >= MAX_LOSSES:
            return Done(follow=(DeleteIke(f"{why}, again and again"),), failed=why)
        again = self.anew()
        if again is None:
            return Done()
        again.losses = self.losses + 1
        return Done(retry=again)


@dataclass(slots=True, eq=False)
class FollowupKe(Exchange):
    """One additional key exchange of `origin`, initiator's half."""

    type: ClassVar[ExchangeType] = ExchangeType.IKE_FOLLOWUP_KE

    origin: Creation
    sa: IkeSa
    """Where it began: keys come from its SK_d, and the link means something there alone."""
    methods: tuple[KeyExchangeMethod, ...]
    """This one and those after it."""
    link: bytes
    secrets: Secret = NO_SECRET
    """SK(1) | SK(2) | ... of those before it."""
    token: int = 0
    pair: KePair | None = None

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        if sa is not self.sa:
            raise IkectlError("the IKE SA was replaced before all key exchanges were done")
        self.pair = await GenerateKe(self.methods[0], sa.random)
        return [KE(self.pair.method, self.pair.public), Notify(NotifyType.ADDITIONAL_KEY_EXCHANGE, self.link)]

    async def on_answer(self, sa: IkeSa, reply: Message) -> Next:
        assert self.pair is not None
        ke = reply.one(KE)
        if ke.method != self.pair.method:
            raise PeerMisbehaved(f"the peer answered key exchange {ke.method}; we sent {self.pair.method}")
        secrets = Secret(self.secrets + await CombineKe(self.pair, ke.public))
        left = self.methods[1:]
        if not left:
            return await self.origin.complete(sa, secrets)
        return Done(follow=(FollowupKe(self.origin, sa, left, link_of(reply), secrets, self.token),))

    async def on_lost(self, sa: IkeSa, reply: Message) -> Next:
        return await self.origin.on_lost(sa)

    async def on_busy(self, sa: IkeSa, reply: Message) -> Next:
        return await self.origin.on_busy(sa, reply)

    async def on_refused(self, sa: IkeSa, reply: Message) -> Next:
        return await self.origin.on_refused(sa, reply)

    async def abandon(self, sa: IkeSa, why: str) -> None:
        await self.origin.abandon(self.sa, why)

    async def spoilt(self, sa: IkeSa, why: str) -> tuple[Exchange, ...]:
        return await self.origin.spoilt(self.sa, why)

    cases = (
        Case(on_lost, notify=NotifyType.STATE_NOT_FOUND),
        Case(on_busy, notify=NotifyType.TEMPORARY_FAILURE),
        Case(on_refused, error=True),
        Case(on_answer, required=(KE,)),
    )

    @property
    def subject(self) -> str:
        return self.origin.subject


def go_on(origin: Creation, sa: IkeSa, methods: tuple[KeyExchangeMethod, ...], reply: Message) -> Done:
    """What follows an answer to CREATE_CHILD_SA that agrees to additional key exchanges. Raises PeerMisbehaved."""
    return Done(follow=(FollowupKe(origin, sa, methods, link_of(reply), token=origin.token),))


# -- the peer's half --------------------------------------------------------


class Plan(Protocol):
    """What a CREATE_CHILD_SA of the peer is to make."""

    async def finish(self, sa: IkeSa, additional: Secret) -> Birth | None:
        """All key exchanges are done: make it. Raises Refused; nothing is left behind then."""


def pending(sa: IkeSa, old: Any) -> Followup[Plan] | None:
    """The peer's renewal of `old` whose additional key exchanges are under way."""
    return sa.followups.replacing(old) if sa.followups is not None else None


async def postpone(sa: IkeSa, followup: Followup[Plan]) -> Notify:
    """Remember what is to be made: ADDITIONAL_KEY_EXCHANGE for the answer. Raises TemporaryFailure."""
    if sa.followups is None:
        sa.followups = Followups()
    if followup.replaces is not None:
        # The peer begins anew, so it has given up what it began before.
        await forget(sa, pending(sa, followup.replaces))
    if sa.followups.full:
        await _release(followup)
        raise TemporaryFailure("too many of the peer's SAs wait for additional key exchanges")
    return Notify(NotifyType.ADDITIONAL_KEY_EXCHANGE, sa.followups.put(followup))


async def forget(sa: IkeSa, followup: Followup[Plan] | None) -> None:
    """Nothing will come of it: the peer must not go on, or did not."""
    if followup is not None and sa.followups is not None:
        sa.followups.drop(followup)
        await _release(followup)


async def expire(sa: IkeSa, number: int) -> None:
    """The peer did not go on in time (RFC 9370 §2.2.4)."""
    followup = sa.followups.pending.get(number) if sa.followups is not None else None
    if followup is not None:
        sa.emit(Note(sa, "the peer did not go on with its additional key exchanges; what it began is forgotten"))
        await forget(sa, followup)


async def _release(followup: Followup[Plan]) -> None:
    held, followup.reserved = followup.reserved, ()
    for each in held:
        await FreeSpi(each.protocol, each.path, each.spi)


@dataclass(slots=True, eq=False)
class AnswerFollowupKe(Answer):
    """One additional key exchange of the peer's, responder's half."""

    async def respond(self, sa: IkeSa, request: Message) -> Reply:
        """Raises StateNotFound, PeerMisbehaved, and what the plan raises."""
        followups, link, ke = sa.followups, link_of(request), request.one(KE)
        followup = followups.get(link) if followups is not None else None
        if followups is None or followup is None or sa.state not in LIVE:
            raise StateNotFound("nothing waits for this additional key exchange, or not any more")
        method, *left = followup.methods
        if ke.method != method:
            raise PeerMisbehaved(f"key exchange {ke.method} is not the one that is due ({method})")
        public, shared = await AnswerKe(method, ke.public, sa.random)
        followups.drop(followup)
        followup.methods, followup.secrets = tuple(left), Secret(followup.secrets + shared)
        answer: list[Payload] = [KE(method, public)]
        if left:
            return Reply([*answer, Notify(NotifyType.ADDITIONAL_KEY_EXCHANGE, followups.put(followup))])
        return Reply(answer, born=await followup.plan.finish(sa, followup.secrets))
