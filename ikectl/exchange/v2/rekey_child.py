"""CREATE_CHILD_SA that replaces a child, with every collision (RFC 7296 §1.3.3, §2.8, §2.25).

The new child stands before the old one goes, and each end sends on the new
one only when the other can receive on it: the initiator as soon as the answer
is there, the responder when the old child is deleted. So no packet is lost.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from ikectl.errors import BackendError, ChildSaNotFound, PeerMisbehaved, Refused, StateNotFound, TemporaryFailure
from ikectl.exchange import children
from ikectl.exchange.v2.base import Answer, Case, Done, Exchange, Next, Reply, first_error
from ikectl.exchange.v2.child import Stillborn
from ikectl.exchange.v2.create_child import ChildAnswer, ChildCreation, ChildRequest, CreateChild, negotiate
from ikectl.exchange.v2.delete import DeleteChildren
from ikectl.exchange.v2.followup_ke import Plan, forget, go_on, pending, postpone
from ikectl.exchange.v2.refusal import refusal_text
from ikectl.iana.v2 import KeyExchangeMethod, NotifyType
from ikectl.sa.asks import RemoveChild
from ikectl.sa.association import IkeState
from ikectl.sa.child_sa import ChildSa, ChildState
from ikectl.sa.collision import Outcome, Rival, decide, lowest
from ikectl.sa.events import ChildFailed, ChildRekeyed, Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.values.secret import NO_SECRET, Secret
from ikectl.wire.payload import Payload
from ikectl.wire.v2.keying import Nonce
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify
from ikectl.wire.v2.sa import SA
from ikectl.wire.v2.ts import TSi, TSr


@dataclass(slots=True, eq=False)
class RekeyChild(ChildCreation):
    """CREATE_CHILD_SA with REKEY_SA, initiator's half (RFC 7296 §1.3.3)."""

    old: ChildSa
    token: int = 0
    method: KeyExchangeMethod = KeyExchangeMethod.NONE
    corrections: int = 0
    tries: int = 0
    losses: int = 0
    made: ChildRequest | None = None

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        old = self.old
        if sa.children.get(old.spi_in) is not old or old.state is not ChildState.INSTALLED:
            return None  # gone, or replaced by the peer while this waited
        # §2.9.2: what the old child has, and nothing of a packet's.
        asked = old.ts_local, old.ts_remote
        self.made = ChildRequest(
            old.config, asked, True, method=self.method or (old.suite.ke or KeyExchangeMethod.NONE)
        )
        payloads = await self.made.payloads(sa)
        old.move(ChildState.REKEYING)
        spi = old.spi_in.to_bytes(4, "big")
        return [Notify(NotifyType.REKEY_SA, b"", old.protocol, spi), *payloads]

    async def on_created(self, sa: IkeSa, reply: Message) -> Next:
        assert self.made is not None
        try:
            additional = await self.made.hear(sa, reply)
            after = go_on(self, sa, additional, reply) if additional else None
        except (Refused, BackendError, PeerMisbehaved) as failure:
            return Done(follow=await self.spoilt(sa, str(failure)), failed=str(failure))
        if after is None:
            return await self.complete(sa, NO_SECRET)
        if self._loses(sa):
            # RFC 9370 §2.2.4: nothing was made yet, so there is nothing to delete. We just do not go on.
            sa.emit(Note(sa, f"child {self.old.name}: both ends rekey it; the peer's rekeying goes on, not ours"))
            await self.withdraw(sa)
            return Done(retry=self.anew())
        await forget(sa, pending(sa, self.old))
        return after

    async def complete(self, sa: IkeSa, additional: Secret) -> Next:
        assert self.made is not None
        old = self.old
        try:
            new = await self.made.settle(sa, additional)
        except Stillborn as stillborn:
            # The peer ended the tunnel while we renewed it: end the old child too.
            await self.withdraw(sa)
            return Done(follow=(DeleteChildren((old,), str(stillborn)),), failed=str(stillborn))
        except (Refused, BackendError) as failure:
            return Done(follow=await self.spoilt(sa, str(failure)), failed=str(failure))
        if self._loses(sa):
            # §2.8.1: ours holds the lowest nonce, so it is redundant and we delete it; the peer deletes the old one.
            sa.emit(Note(sa, f"child {old.name}: both ends rekeyed it; the peer's new child stays"))
            self._settle_without_ours(sa)
            return Done(follow=(DeleteChildren((new,), "redundant after a simultaneous rekeying", self.token),))
        await forget(sa, pending(sa, old))
        gone = old.state is ChildState.DELETED
        sa.emit(ChildRekeyed(sa, old, new))
        if gone:
            return Done()
        old.successor = new
        old.move(ChildState.REKEYED)
        # Send on the new child alone from here on; the old one still receives until it is deleted.
        await RemoveChild(old, False, True)
        old.outbound = False
        return Done(follow=(DeleteChildren((old,), "rekeyed", self.token),))

    def _loses(self, sa: IkeSa) -> bool:
        """Whether the peer's rekeying of the child is the one that stays (§2.8.1)."""
        rival, keying = self.old.rival, self.made.keying if self.made is not None else None
        if rival is None or keying is None or (rival.made is None and pending(sa, self.old) is None):
            return False
        return decide(lowest(keying.nonce_i, keying.nonce_r), rival.nonce) is Outcome.THEIRS_STAYS

    async def on_not_found(self, sa: IkeSa, reply: Message) -> Next:
        """The peer does not know the child (any more): make a new one in its stead (§2.25)."""
        await self.withdraw(sa)
        if self.old.state is ChildState.DELETED or self.old.successor is not None:
            return Done()  # the peer's own rekeying or delete took it; all is well
        await children.remove(sa, self.old, "the peer does not know it")
        return Done(follow=(CreateChild(self.old.config, self.token),))

    async def on_refused(self, sa: IkeSa, reply: Message) -> Next:
        why = refusal_text(first_error(reply), None if self.made is None else self.made.offer)
        await self.withdraw(sa)
        sa.emit(ChildFailed(sa, self.old.name, f"rekeying: {why}"))
        if self.old.state is not ChildState.INSTALLED:
            return Done(failed=why)
        if sa.caller and reply.notify(NotifyType.NO_ADDITIONAL_SAS) is not None:
            # RFC 7296 §4: a peer that takes one child and no other needs a new IKE SA for new keys.
            sa.emit(Note(sa, "the peer renews no child on this IKE SA; making both anew"))
            return Done(afresh=True)
        return Done(retry=RekeyChild(self.old, 0, self.method, 0, self.tries + 1), failed=why)

    async def spoilt(self, sa: IkeSa, why: str) -> tuple[Exchange, ...]:
        assert self.made is not None and self.made.offer is not None
        self._settle_without_ours(sa)
        sa.emit(ChildFailed(sa, self.old.name, f"rekeying: {why}"))
        return (DeleteChildren.of_offer(self.made.offer),)

    async def withdraw(self, sa: IkeSa) -> None:
        if self.made is not None:
            await self.made.withdraw()
        self._settle_without_ours(sa)

    def serves(self, other: Exchange) -> bool:
        return isinstance(other, RekeyChild) and other.old is self.old and not other.token

    @property
    def concerns(self) -> tuple[Hashable, ...]:
        return (self.old,)

    def again(self, method: KeyExchangeMethod, corrections: int, tries: int) -> RekeyChild:
        return RekeyChild(self.old, self.token, method, corrections, tries, self.losses)

    def anew(self) -> RekeyChild | None:
        if self.old.state is not ChildState.INSTALLED:
            return None  # gone, or renewed by the peer
        return self.again(self.method, 0, self.tries + 1)

    def _settle_without_ours(self, sa: IkeSa) -> None:
        """Our attempt came to nothing: the peer's stands if there is one, else the old child goes on."""
        old = self.old
        if old.state is not ChildState.REKEYING:
            return
        made = old.rival.made if old.rival is not None else None
        if made is not None and made.state is not ChildState.DELETED:
            old.successor = made
            old.move(ChildState.REKEYED)
            sa.emit(ChildRekeyed(sa, old, made))
        else:
            old.move(ChildState.INSTALLED)
        old.rival = None

    cases = (
        Case(on_not_found, notify=NotifyType.CHILD_SA_NOT_FOUND),
        Case(ChildCreation.on_busy, notify=NotifyType.TEMPORARY_FAILURE),
        Case(ChildCreation.on_invalid_ke, notify=NotifyType.INVALID_KE_PAYLOAD),
        Case(on_refused, error=True),
        Case(on_created, required=(SA, Nonce, TSi, TSr)),
    )

    @property
    def subject(self) -> str:
        return f"rekeying of child {self.old.name}"


@dataclass(slots=True, eq=False)
class AnswerRekeyChild(Answer):
    """CREATE_CHILD_SA with REKEY_SA, responder's half (RFC 7296 §1.3.3, §2.25.1)."""

    async def respond(self, sa: IkeSa, request: Message) -> Reply:
        notify = request.notify(NotifyType.REKEY_SA)
        assert notify is not None
        old = sa.child_by_outbound(int.from_bytes(notify.spi, "big")) if len(notify.spi) == 4 else None
        if old is None or old.protocol is not notify.protocol or old.state is ChildState.DELETED:
            raise ChildSaNotFound(notify.protocol, notify.spi)
        if sa.state is not IkeState.ESTABLISHED:
            raise TemporaryFailure(f"the IKE SA is {sa.state.name}")
        if old.state not in (ChildState.INSTALLED, ChildState.REKEYING) or old.rival is not None:
            # §2.25.1: being closed, or replaced already.
            raise TemporaryFailure(f"child {old.name} is {old.state.name}")
        try:
            # Old and new stand side by side for a while; a peer that never deletes the old ones meets the limit.
            limit = 2 * sa.env.settings.max_children
            answer = await negotiate(sa, request, (old.config,), limit=limit, whole=(old.ts_local, old.ts_remote))
        except BackendError as failure:
            sa.emit(ChildFailed(sa, old.name, f"rekeying: {failure}"))
            raise TemporaryFailure(str(failure)) from failure
        plan = RenewedChild(answer, old)
        followup = answer.followup(plan, old)
        if followup is None:
            await plan.finish(sa)
            return Reply(answer.payloads)
        link = await postpone(sa, followup)
        if old.state is ChildState.REKEYING:
            old.rival = Rival(plan.nonce, None)
        return Reply([*answer.payloads, link])


@dataclass(slots=True, eq=False)
class RenewedChild(Plan):
    """A child in place of another, once its additional key exchanges are done."""

    answer: ChildAnswer
    old: ChildSa

    @property
    def nonce(self) -> bytes:
        """The one that counts if both ends rekey at once."""
        return lowest(self.answer.keying.nonce_i, self.answer.keying.nonce_r)

    async def finish(self, sa: IkeSa, additional: Secret = NO_SECRET) -> None:
        old = self.old
        if old.state not in (ChildState.INSTALLED, ChildState.REKEYING):
            # Between the first key exchange and the last it was closed, or replaced by us.
            await self.answer.promise.withdraw()
            raise StateNotFound(f"child {old.name} is {old.state.name}")
        try:
            new = await self.answer.make(sa, additional, outbound=False)
        except BackendError as failure:
            sa.emit(ChildFailed(sa, old.name, f"rekeying: {failure}"))
            raise TemporaryFailure(str(failure)) from failure
        if old.state is ChildState.REKEYING:
            # Both ends at once: nonces decide when our own exchange is answered (§2.8.1).
            old.rival = Rival(self.nonce, new)
        else:
            old.successor = new
            old.move(ChildState.REKEYED)
            sa.emit(ChildRekeyed(sa, old, new))
