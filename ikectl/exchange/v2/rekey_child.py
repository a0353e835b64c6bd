"""CREATE_CHILD_SA that replaces a child, with every collision (RFC 7296 §1.3.3, §2.8, §2.25).

The new child stands before the old one goes, and each end sends on the new
one only when the other can receive on it: the initiator as soon as the answer
is there, the responder when the old child is deleted. So no packet is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ikectl.errors import BackendError, ChildSaNotFound, PeerMisbehaved, Refused, TemporaryFailure
from ikectl.exchange import children
from ikectl.exchange.v2.base import Answer, Case, Done, Exchange, Next, Reply, first_error
from ikectl.exchange.v2.child import Stillborn
from ikectl.exchange.v2.create_child import MAX_CORRECTIONS, ChildRequest, CreateChild, negotiate
from ikectl.exchange.v2.delete import DeleteChildren
from ikectl.exchange.v2.refusal import refusal_text
from ikectl.iana.v2 import ExchangeType, KeyExchangeMethod, NotifyType
from ikectl.sa.asks import RemoveChild
from ikectl.sa.association import IkeState
from ikectl.sa.child_sa import ChildSa, ChildState
from ikectl.sa.collision import Outcome, Rival, decide, lowest
from ikectl.sa.events import ChildFailed, ChildRekeyed, Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.payload import Payload
from ikectl.wire.v2.keying import Nonce
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify
from ikectl.wire.v2.sa import SA
from ikectl.wire.v2.ts import TSi, TSr


@dataclass(slots=True, eq=False)
class RekeyChild(Exchange):
    """CREATE_CHILD_SA with REKEY_SA, initiator's half (RFC 7296 §1.3.3)."""

    type: ClassVar[ExchangeType] = ExchangeType.CREATE_CHILD_SA

    old: ChildSa
    token: int = 0
    method: KeyExchangeMethod = KeyExchangeMethod.NONE
    corrections: int = 0
    tries: int = 0
    """How often the peer was busy already."""
    made: ChildRequest | None = None

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        old = self.old
        if sa.children.get(old.spi_in) is not old or old.state is not ChildState.INSTALLED:
            return None  # gone, or replaced by the peer while this waited
        self.made = ChildRequest(old.config, method=self.method or (old.suite.ke or KeyExchangeMethod.NONE))
        payloads = await self.made.payloads(sa)
        old.move(ChildState.REKEYING)
        spi = old.spi_in.to_bytes(4, "big")
        return [Notify(NotifyType.REKEY_SA, b"", old.protocol, spi), *payloads]

    async def on_created(self, sa: IkeSa, reply: Message) -> Next:
        assert self.made is not None and self.made.offer is not None
        old, rival = self.old, self.old.rival
        try:
            new, keying = await self.made.accept(sa, reply)
        except Stillborn as stillborn:
            # The peer ended the tunnel while we renewed it: end the old child too.
            await self._withdraw(sa)
            return Done(follow=(DeleteChildren((old,), str(stillborn)),), failed=str(stillborn))
        except (Refused, BackendError, PeerMisbehaved) as failure:
            self._settle_without_ours(sa)
            sa.emit(ChildFailed(sa, old.name, f"rekeying: {failure}"))
            return Done(follow=(DeleteChildren.of_offer(self.made.offer),), failed=str(failure))
        if rival is not None and decide(lowest(keying.nonce_i, keying.nonce_r), rival.nonce) is Outcome.THEIRS_STAYS:
            # §2.8.1: ours holds the lowest nonce, so it is redundant and we delete it; the peer deletes the old one.
            sa.emit(Note(sa, f"child {old.name}: both ends rekeyed it; the peer's new child stays"))
            self._settle_without_ours(sa)
            return Done(follow=(DeleteChildren((new,), "redundant after a simultaneous rekeying", self.token),))
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

    async def on_not_found(self, sa: IkeSa, reply: Message) -> Next:
        """The peer does not know the child (any more): make a new one in its stead (§2.25)."""
        await self._withdraw(sa)
        if self.old.state is ChildState.DELETED or self.old.successor is not None:
            return Done()  # the peer's own rekeying or delete took it; all is well
        await children.remove(sa, self.old, "the peer does not know it")
        return Done(follow=(CreateChild(self.old.config, self.token),))

    async def on_busy(self, sa: IkeSa, reply: Message) -> Next:
        """§2.25: the peer is rekeying or deleting something itself; try again later."""
        await self._withdraw(sa)
        if self.old.state is not ChildState.INSTALLED:
            return Done()  # it was about this very child
        return Done(retry=RekeyChild(self.old, self.token, self.method, 0, self.tries + 1))

    async def on_invalid_ke(self, sa: IkeSa, reply: Message) -> Next:
        assert self.made is not None
        await self._withdraw(sa)
        if self.corrections >= MAX_CORRECTIONS:
            return Done(failed="the peer keeps asking for another key exchange method")
        method = self.made.corrected(reply)
        return Done(follow=(RekeyChild(self.old, self.token, method, self.corrections + 1, self.tries),))

    async def on_refused(self, sa: IkeSa, reply: Message) -> Next:
        await self._withdraw(sa)
        why = refusal_text(first_error(reply))
        sa.emit(ChildFailed(sa, self.old.name, f"rekeying: {why}"))
        if self.old.state is not ChildState.INSTALLED:
            return Done(failed=why)
        return Done(retry=RekeyChild(self.old, 0, self.method, 0, self.tries + 1), failed=why)

    async def abandon(self, sa: IkeSa, why: str) -> None:
        await self._withdraw(sa)

    async def spoilt(self, sa: IkeSa, why: str) -> tuple[Exchange, ...]:
        assert self.made is not None and self.made.offer is not None
        self._settle_without_ours(sa)
        sa.emit(ChildFailed(sa, self.old.name, f"rekeying: {why}"))
        return (DeleteChildren.of_offer(self.made.offer),)

    async def _withdraw(self, sa: IkeSa) -> None:
        if self.made is not None:
            await self.made.withdraw()
        self._settle_without_ours(sa)

    def _settle_without_ours(self, sa: IkeSa) -> None:
        """Our attempt came to nothing: the peer's stands if there is one, else the old child goes on."""
        old = self.old
        if old.state is not ChildState.REKEYING:
            return
        if old.rival is not None and old.rival.made.state is not ChildState.DELETED:
            old.successor = old.rival.made
            old.move(ChildState.REKEYED)
            sa.emit(ChildRekeyed(sa, old, old.successor))
        else:
            old.move(ChildState.INSTALLED)
        old.rival = None

    cases = (
        Case(on_not_found, notify=NotifyType.CHILD_SA_NOT_FOUND),
        Case(on_busy, notify=NotifyType.TEMPORARY_FAILURE),
        Case(on_invalid_ke, notify=NotifyType.INVALID_KE_PAYLOAD),
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
            new, payloads, keying = await negotiate(sa, request, (old.config,), outbound=False, limit=limit)
        except BackendError as failure:
            sa.emit(ChildFailed(sa, old.name, f"rekeying: {failure}"))
            raise TemporaryFailure(str(failure)) from failure
        if old.state is ChildState.REKEYING:
            # Both ends at once: nonces decide when our own exchange is answered (§2.8.1).
            old.rival = Rival(lowest(keying.nonce_i, keying.nonce_r), new)
        else:
            old.successor = new
            old.move(ChildState.REKEYED)
            sa.emit(ChildRekeyed(sa, old, new))
        return Reply(payloads)
