"""CREATE_CHILD_SA for a further child (RFC 7296 §1.3.1)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from ikectl.config.model import Child
from ikectl.crypto.ke import KePair
from ikectl.crypto.proposal import ChildSuite
from ikectl.errors import BackendError, InvalidKe, NoAdditionalSas, PeerMisbehaved, Refused, TemporaryFailure
from ikectl.exchange import children
from ikectl.exchange.v2 import child as agreement
from ikectl.exchange.v2.base import Answer, Case, Done, Exchange, Next, Reply, first_error
from ikectl.exchange.v2.child import Agreed, ChildOffer, Keying, Pair, Promise, Stillborn
from ikectl.exchange.v2.config_reply import reply_beside_child
from ikectl.exchange.v2.delete import DeleteChildren
from ikectl.exchange.v2.followup_ke import Creation, Plan, go_on, postpone
from ikectl.exchange.v2.nonce import NONCE_OCTETS, nonce_of
from ikectl.exchange.v2.refusal import mismatch, refusal_text
from ikectl.iana.v2 import KeyExchangeMethod, NotifyType
from ikectl.sa.asks import AnswerKe, CombineKe, GenerateKe
from ikectl.sa.association import IkeState
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.events import ChildFailed, Note
from ikectl.sa.followups import Followup
from ikectl.sa.ike_sa import IkeSa
from ikectl.values.secret import NO_SECRET, Secret
from ikectl.values.selector import covers, meet
from ikectl.wire.payload import Payload
from ikectl.wire.v2.keying import KE, Nonce
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import invalid_ke_group
from ikectl.wire.v2.sa import SA
from ikectl.wire.v2.ts import TSi, TSr

MAX_CORRECTIONS = 2
"""How often one CREATE_CHILD_SA follows INVALID_KE_PAYLOAD to another method (RFC 7296 §1.3)."""

MAX_SINGLE = 16
"""Children that stand for one where the peer takes single pairs of addresses: beyond it the operator should choose."""


@dataclass(slots=True, eq=False)
class ChildRequest:
    """The initiator's side of every CREATE_CHILD_SA that makes a child: offer, nonce, key exchange."""

    config: Child
    asked: Pair | None = None
    """The traffic to ask for; None: all that the configuration says."""
    whole: bool = False
    """The peer may not narrow it."""
    offer: ChildOffer | None = None
    nonce: bytes = b""
    method: KeyExchangeMethod = KeyExchangeMethod.NONE
    """The key exchange method to begin with; NONE means the first that is offered."""
    pair: KePair | None = None
    agreed: Agreed | None = None
    """What the answer chose, and what its keys are made of."""
    keying: Keying | None = None

    async def payloads(self, sa: IkeSa) -> list[Payload]:
        """SA, Ni, [KEi,] TSi, TSr (and the mode). Raises BackendError."""
        self.offer = await agreement.offer(sa, self.config, asked=self.asked, whole=self.whole)
        self.nonce = sa.random(NONCE_OCTETS)
        payloads: list[Payload] = [self.offer.sa_payload(), Nonce(self.nonce)]
        methods = self.offer.ke_methods
        if methods:
            if self.method not in methods:
                self.method = methods[0]
            self.pair = await GenerateKe(self.method, sa.random)
            payloads.append(KE(self.method, self.pair.public))
        return payloads + self.offer.selectors()

    async def hear(self, sa: IkeSa, reply: Message) -> tuple[KeyExchangeMethod, ...]:
        """Take the answer: what it agrees to, and its keys but for the additional key exchanges, which are returned.

        Raises Refused, PeerMisbehaved, BackendError.
        """
        assert self.offer is not None and sa.suite is not None
        self.agreed = agreement.agree(sa, self.offer, reply)
        suite = ChildSuite.of(self.agreed.chosen)
        nonce_r, shared = nonce_of(reply, sa.suite.prf), b""
        if suite.ke is not None:
            ke = reply.one(KE)
            if self.pair is None or suite.ke != self.method or ke.method != self.method:
                raise PeerMisbehaved(f"the peer chose key exchange {suite.ke}; we sent {self.method}")
            shared = await CombineKe(self.pair, ke.public)
        self.keying = Keying(self.nonce, nonce_r, shared)
        return suite.additional

    async def settle(self, sa: IkeSa, additional: Secret) -> ChildSa:
        """The child that came of it. Raises Stillborn, Refused, BackendError."""
        assert self.offer is not None and self.agreed is not None and self.keying is not None
        self.keying.additional = additional
        return await agreement.settle(sa, self.offer, self.agreed, self.keying)

    def corrected(self, reply: Message) -> KeyExchangeMethod:
        """The method of an INVALID_KE_PAYLOAD answer. Raises PeerMisbehaved if we cannot follow it."""
        notify = reply.notify(NotifyType.INVALID_KE_PAYLOAD)
        assert notify is not None and self.offer is not None
        wanted = invalid_ke_group(notify)
        if wanted not in self.offer.ke_methods:
            raise PeerMisbehaved(f"the peer wants key exchange {wanted}, which we did not offer")
        if wanted == self.method:
            raise PeerMisbehaved(f"the peer refused key exchange {wanted} and asks for it at once")
        return wanted

    async def withdraw(self) -> None:
        if self.offer is not None:
            await self.offer.withdraw()


class ChildCreation(Creation):
    """Every CREATE_CHILD_SA of ours that makes a child: a further one, or one in place of another."""

    token: int
    method: KeyExchangeMethod
    corrections: int
    """How often the peer wanted another key exchange method."""
    tries: int
    """How often the peer was busy already."""
    made: ChildRequest | None

    async def withdraw(self, sa: IkeSa) -> None:
        """Take back what the request had set up."""
        if self.made is not None:
            await self.made.withdraw()

    async def abandon(self, sa: IkeSa, why: str) -> None:
        await self.withdraw(sa)

    def again(self, method: KeyExchangeMethod, corrections: int, tries: int) -> ChildCreation:
        """The same, to be begun anew."""
        raise NotImplementedError

    async def on_invalid_ke(self, sa: IkeSa, reply: Message) -> Next:
        assert self.made is not None
        await self.withdraw(sa)
        if self.corrections >= MAX_CORRECTIONS:
            return Done(failed="the peer keeps asking for another key exchange method")
        return Done(follow=(self.again(self.made.corrected(reply), self.corrections + 1, self.tries),))

    async def on_busy(self, sa: IkeSa, reply: Message) -> Next:
        """§2.25: the peer is rekeying or deleting something itself; try again later, if it is still wanted."""
        await self.withdraw(sa)
        return Done(retry=self.anew())


@dataclass(slots=True, eq=False)
class CreateChild(ChildCreation):
    """CREATE_CHILD_SA for a new child, initiator's half."""

    child: Child
    token: int = 0
    method: KeyExchangeMethod = KeyExchangeMethod.NONE
    corrections: int = 0
    tries: int = 0
    losses: int = 0
    made: ChildRequest | None = None
    asked: Pair | None = None
    """The traffic to ask for; None: all that the configuration says."""

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        if sa.state is not IkeState.ESTABLISHED:
            return None
        self.made = ChildRequest(self.child, self.asked, method=self.method)
        return await self.made.payloads(sa)

    async def on_created(self, sa: IkeSa, reply: Message) -> Next:
        assert self.made is not None
        try:
            additional = await self.made.hear(sa, reply)
            after = go_on(self, sa, additional, reply) if additional else None
        except (Refused, BackendError, PeerMisbehaved) as failure:
            return Done(follow=await self.spoilt(sa, str(failure)), failed=str(failure))
        return after or await self.complete(sa, NO_SECRET)

    async def complete(self, sa: IkeSa, additional: Secret) -> Next:
        assert self.made is not None
        try:
            child = await self.made.settle(sa, additional)
        except Stillborn as gone:
            await self.made.withdraw()
            return Done(failed=str(gone))
        except (Refused, BackendError) as failure:
            return Done(follow=await self.spoilt(sa, str(failure)), failed=str(failure))
        children.announce(sa, child)
        return Done()

    async def on_single_pair(self, sa: IkeSa, reply: Message) -> Next:
        """The peer takes one pair of addresses for each child (RFC 7296 §2.9): ask for one at a time."""
        assert self.made is not None and self.made.offer is not None
        single = singly(self.made.offer, self.token)
        if not single:
            return await self.on_refused(sa, reply)
        await self.withdraw(sa)
        sa.emit(Note(sa, f"child {self.child.name}: the peer takes a single pair of addresses; asking for each"))
        return Done(follow=single)

    async def on_full(self, sa: IkeSa, reply: Message) -> Next:
        """The peer takes no further child on this IKE SA (RFC 7296 §1.3): it may on another one."""
        if self.asked is not None:
            return await self.on_refused(sa, reply)  # a part of a child, whose other parts are here
        await self.withdraw(sa)
        return Done(apart=self.child, failed=refusal_text(first_error(reply)))

    async def on_refused(self, sa: IkeSa, reply: Message) -> Next:
        why = refusal_text(first_error(reply), None if self.made is None else self.made.offer)
        await self.withdraw(sa)
        sa.emit(ChildFailed(sa, self.child.name, why))
        return Done(failed=f"child {self.child.name} not established: {why}")

    async def spoilt(self, sa: IkeSa, why: str) -> tuple[Exchange, ...]:
        assert self.made is not None and self.made.offer is not None
        sa.emit(ChildFailed(sa, self.child.name, why))
        return (DeleteChildren.of_offer(self.made.offer),)

    def again(self, method: KeyExchangeMethod, corrections: int, tries: int) -> CreateChild:
        return CreateChild(self.child, self.token, method, corrections, tries, self.losses, asked=self.asked)

    def serves(self, other: Exchange) -> bool:
        if not isinstance(other, CreateChild) or other.token or self.made is not None:
            return False  # one under way may be for another child, or fail
        return other.child == self.child and other.asked == self.asked

    @property
    def concerns(self) -> tuple[Hashable, ...]:
        return (self.child.name,)

    def anew(self) -> CreateChild:
        return self.again(self.method, 0, self.tries + 1)

    cases = (
        Case(ChildCreation.on_invalid_ke, notify=NotifyType.INVALID_KE_PAYLOAD),
        Case(ChildCreation.on_busy, notify=NotifyType.TEMPORARY_FAILURE),
        Case(on_single_pair, notify=NotifyType.SINGLE_PAIR_REQUIRED),
        Case(on_full, notify=NotifyType.NO_ADDITIONAL_SAS),
        Case(on_refused, error=True),
        Case(on_created, required=(SA, Nonce, TSi, TSr)),
    )

    @property
    def subject(self) -> str:
        return f"child {self.child.name}"


def singly(offer: ChildOffer, token: int) -> tuple[CreateChild, ...]:
    """What asks for an offer again with one pair of selectors each; nothing if it had but one, or too many.

    A packet that wanted the child is asked for alone (RFC 7296 §2.9). The last exchange ends the command.
    """
    pairs = [((one,), (other,)) for one in offer.ts_local for other in offer.ts_remote if meet((one,), (other,))]
    if len(pairs) > 1 and any(covers(one, pairs[0][0]) and covers(other, pairs[0][1]) for one, other in pairs[1:]):
        pairs = pairs[:1]
    elif not 1 < len(pairs) <= MAX_SINGLE:
        return ()
    return tuple(CreateChild(offer.config, token if pair is pairs[-1] else 0, asked=pair) for pair in pairs)


@dataclass(slots=True, eq=False)
class ChildAnswer:
    """The answering side of every CREATE_CHILD_SA that makes a child: what it agrees to."""

    promise: Promise
    keying: Keying
    payloads: list[Payload]

    async def make(self, sa: IkeSa, additional: Secret = NO_SECRET, *, outbound: bool) -> ChildSa:
        """The child. Raises BackendError, TsUnacceptable; nothing is left behind then."""
        self.keying.additional = additional
        return await self.promise.keep(sa, self.keying, outbound=outbound)

    def followup(self, plan: Plan, old: ChildSa | None = None) -> Followup[Plan] | None:
        """What is to be remembered if additional key exchanges come first."""
        additional = self.promise.choice.suite.additional
        return Followup(plan, additional, old, self.promise.reserved) if additional else None


async def negotiate(
    sa: IkeSa, request: Message, configs: tuple[Child, ...], *, limit: int, whole: Pair | None = None
) -> ChildAnswer:
    """Agree to a child of the peer's; no more than `limit` may stand after it.

    `whole`: what it may not be narrower than.

    Raises NoProposalChosen, TsUnacceptable, InvalidKe, NoAdditionalSas, BackendError.
    """
    awaited = len(sa.followups.pending) if sa.followups is not None else 0
    if len(sa.living_children) + awaited >= limit:
        raise NoAdditionalSas(f"{len(sa.living_children)} children on one IKE SA are enough")
    choice = agreement.choose(sa, request, configs, whole=whole)
    assert sa.suite is not None
    nonce_i, method = nonce_of(request, sa.suite.prf), choice.suite.ke
    answer: list[Payload] = []
    shared = b""
    if method is not None:
        ke = request.get(KE)
        if ke is None or ke.method != method:
            raise InvalidKe(method)
        public, shared = await AnswerKe(method, ke.public, sa.random)
        answer.append(KE(method, public))
    keying = Keying(nonce_i, sa.random(NONCE_OCTETS), shared)
    promise = await agreement.promise(sa, choice)
    chosen, selectors = promise.payloads()
    return ChildAnswer(promise, keying, [chosen, Nonce(keying.nonce_r), *answer, *selectors])


@dataclass(slots=True, eq=False)
class NewChild(Plan):
    """A further child, once its additional key exchanges are done."""

    answer: ChildAnswer

    async def finish(self, sa: IkeSa, additional: Secret = NO_SECRET) -> None:
        try:
            child = await self.answer.make(sa, additional, outbound=True)
        except Refused as refusal:
            sa.emit(mismatch(sa, refusal))
            raise
        except BackendError as failure:
            sa.emit(ChildFailed(sa, self.answer.promise.choice.config.name, str(failure)))
            raise TemporaryFailure(str(failure)) from failure
        children.announce(sa, child)


@dataclass(slots=True, eq=False)
class AnswerCreateChild(Answer):
    """CREATE_CHILD_SA for a new child, responder's half."""

    async def respond(self, sa: IkeSa, request: Message) -> Reply:
        if sa.state is not IkeState.ESTABLISHED:
            raise TemporaryFailure(f"the IKE SA is {sa.state.name}")
        assert sa.connection is not None
        try:
            limit = sa.env.settings.max_children
            config = await reply_beside_child(sa, request)
            answer = await negotiate(sa, request, sa.connection.negotiable, limit=limit)
        except InvalidKe:
            raise
        except Refused as refusal:
            sa.emit(mismatch(sa, refusal))
            raise
        except BackendError as failure:
            sa.emit(ChildFailed(sa, "", str(failure)))
            raise TemporaryFailure(str(failure)) from failure
        plan = NewChild(answer)
        followup = answer.followup(plan)
        if followup is not None:
            return Reply([*config, *answer.payloads, await postpone(sa, followup)])
        await plan.finish(sa)
        return Reply([*config, *answer.payloads])
