"""CREATE_CHILD_SA for a further child (RFC 7296 §1.3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ikectl.config.model import Child
from ikectl.crypto import proposal as proposals
from ikectl.crypto.ke import KePair
from ikectl.crypto.proposal import ChildSuite
from ikectl.errors import BackendError, InvalidKe, NoAdditionalSas, PeerMisbehaved, Refused, TemporaryFailure
from ikectl.exchange import children
from ikectl.exchange.v2 import child as agreement
from ikectl.exchange.v2.base import Answer, Case, Done, Exchange, Next, Reply, first_error
from ikectl.exchange.v2.child import ChildOffer, Keying, Stillborn
from ikectl.exchange.v2.delete import DeleteChildren
from ikectl.exchange.v2.nonce import NONCE_OCTETS, nonce_of
from ikectl.exchange.v2.refusal import mismatch, refusal_text
from ikectl.iana.v2 import ExchangeType, KeyExchangeMethod, NotifyType
from ikectl.sa.asks import AnswerKe, CombineKe, GenerateKe
from ikectl.sa.association import IkeState
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.events import ChildFailed
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.payload import Payload
from ikectl.wire.v2.keying import KE, Nonce
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import invalid_ke_group
from ikectl.wire.v2.sa import SA
from ikectl.wire.v2.ts import TSi, TSr

MAX_CORRECTIONS = 2
"""How often one CREATE_CHILD_SA follows INVALID_KE_PAYLOAD to another method (RFC 7296 §1.3)."""


@dataclass(slots=True, eq=False)
class ChildRequest:
    """The initiator's side of every CREATE_CHILD_SA that makes a child: offer, nonce, key exchange."""

    config: Child
    offer: ChildOffer | None = None
    nonce: bytes = b""
    method: KeyExchangeMethod = KeyExchangeMethod.NONE
    """The key exchange method to begin with; NONE means the first that is offered."""
    pair: KePair | None = None

    async def payloads(self, sa: IkeSa) -> list[Payload]:
        """SA, Ni, [KEi,] TSi, TSr (and the mode). Raises BackendError."""
        self.offer = await agreement.offer(sa, self.config)
        self.nonce = sa.random(NONCE_OCTETS)
        payloads: list[Payload] = [self.offer.sa_payload(), Nonce(self.nonce)]
        methods = self.offer.ke_methods
        if methods:
            if self.method not in methods:
                self.method = methods[0]
            self.pair = await GenerateKe(self.method, sa.random)
            payloads.append(KE(self.method, self.pair.public))
        return payloads + self.offer.selectors()

    async def accept(self, sa: IkeSa, reply: Message) -> tuple[ChildSa, Keying]:
        """The child that came of it. Raises Refused, PeerMisbehaved, BackendError."""
        assert self.offer is not None
        chosen = proposals.accepted(self.offer.offered, agreement.one_proposal(reply))
        method = ChildSuite.of(chosen).ke
        assert sa.suite is not None
        nonce_r, shared = nonce_of(reply, sa.suite.prf), b""
        if method is not None:
            ke = reply.one(KE)
            if self.pair is None or method != self.method or ke.method != self.method:
                raise PeerMisbehaved(f"the peer chose key exchange {method}; we sent {self.method}")
            shared = await CombineKe(self.pair, ke.public)
        keying = Keying(self.nonce, nonce_r, shared)
        return await agreement.accept(sa, self.offer, reply, keying), keying

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


@dataclass(slots=True, eq=False)
class CreateChild(Exchange):
    """CREATE_CHILD_SA for a new child, initiator's half."""

    type: ClassVar[ExchangeType] = ExchangeType.CREATE_CHILD_SA

    child: Child
    token: int = 0
    method: KeyExchangeMethod = KeyExchangeMethod.NONE
    corrections: int = 0
    tries: int = 0
    """How often the peer was busy already."""
    made: ChildRequest | None = None

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        if sa.state is not IkeState.ESTABLISHED:
            return None
        self.made = ChildRequest(self.child, method=self.method)
        return await self.made.payloads(sa)

    async def on_created(self, sa: IkeSa, reply: Message) -> Next:
        assert self.made is not None and self.made.offer is not None
        try:
            child, _ = await self.made.accept(sa, reply)
        except Stillborn as gone:
            await self.made.withdraw()
            return Done(failed=str(gone))
        except (Refused, BackendError, PeerMisbehaved) as failure:
            sa.emit(ChildFailed(sa, self.child.name, str(failure)))
            return Done(follow=(DeleteChildren.of_offer(self.made.offer),), failed=str(failure))
        children.announce(sa, child)
        return Done()

    async def on_invalid_ke(self, sa: IkeSa, reply: Message) -> Next:
        assert self.made is not None
        await self.made.withdraw()
        if self.corrections >= MAX_CORRECTIONS:
            return Done(failed="the peer keeps asking for another key exchange method")
        method = self.made.corrected(reply)
        return Done(follow=(CreateChild(self.child, self.token, method, self.corrections + 1, self.tries),))

    async def on_busy(self, sa: IkeSa, reply: Message) -> Next:
        assert self.made is not None
        await self.made.withdraw()
        return Done(retry=CreateChild(self.child, self.token, self.method, 0, self.tries + 1))

    async def on_refused(self, sa: IkeSa, reply: Message) -> Next:
        assert self.made is not None
        await self.made.withdraw()
        why = refusal_text(first_error(reply))
        sa.emit(ChildFailed(sa, self.child.name, why))
        return Done(failed=f"child {self.child.name} not established: {why}")

    async def abandon(self, sa: IkeSa, why: str) -> None:
        if self.made is not None:
            await self.made.withdraw()

    async def spoilt(self, sa: IkeSa, why: str) -> tuple[Exchange, ...]:
        assert self.made is not None and self.made.offer is not None
        sa.emit(ChildFailed(sa, self.child.name, why))
        return (DeleteChildren.of_offer(self.made.offer),)

    cases = (
        Case(on_invalid_ke, notify=NotifyType.INVALID_KE_PAYLOAD),
        Case(on_busy, notify=NotifyType.TEMPORARY_FAILURE),
        Case(on_refused, error=True),
        Case(on_created, required=(SA, Nonce, TSi, TSr)),
    )

    @property
    def subject(self) -> str:
        return f"child {self.child.name}"


async def negotiate(
    sa: IkeSa, request: Message, configs: tuple[Child, ...], *, outbound: bool, limit: int
) -> tuple[ChildSa, list[Payload], Keying]:
    """The answering side of every CREATE_CHILD_SA that makes a child; no more than `limit` may stand after it.

    Raises NoProposalChosen, TsUnacceptable, InvalidKe, NoAdditionalSas, BackendError.
    """
    if len(sa.living_children) >= limit:
        raise NoAdditionalSas(f"{len(sa.living_children)} children on one IKE SA are enough")
    choice = agreement.choose(sa, request, configs)
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
    child, chosen, selectors = await agreement.answer(sa, choice, keying, outbound=outbound)
    return child, [chosen, Nonce(keying.nonce_r), *answer, *selectors], keying


@dataclass(slots=True, eq=False)
class AnswerCreateChild(Answer):
    """CREATE_CHILD_SA for a new child, responder's half."""

    async def respond(self, sa: IkeSa, request: Message) -> Reply:
        if sa.state is not IkeState.ESTABLISHED:
            raise TemporaryFailure(f"the IKE SA is {sa.state.name}")
        assert sa.connection is not None
        try:
            limit = sa.env.settings.max_children
            child, payloads, _ = await negotiate(sa, request, sa.connection.children, outbound=True, limit=limit)
        except InvalidKe:
            raise
        except Refused as refusal:
            sa.emit(mismatch(sa, refusal))
            raise
        except BackendError as failure:
            sa.emit(ChildFailed(sa, "", str(failure)))
            raise TemporaryFailure(str(failure)) from failure
        children.announce(sa, child)
        return Reply(payloads)
