"""Informational exchanges: one message, no answer (RFC 2409 §5.7); deletes, notifies and R-U-THERE (RFC 3706).

What is not protected by a HASH never gets here. Deletes are not acknowledged,
so whoever deletes is done when it has said so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ikectl.config.model import Child
from ikectl.exchange import children
from ikectl.exchange.v1.base import Done, Exchange, Turn
from ikectl.exchange.v1.child import PROTOCOLS, SPI_OCTETS
from ikectl.exchange.v1.diagnosis import refused
from ikectl.exchange.v1.phase1 import hear_lifetime
from ikectl.iana.v1 import ExchangeType, NotifyType, ProtocolId
from ikectl.sa.association import IkeState
from ikectl.sa.child_sa import ChildSa, ChildState
from ikectl.sa.events import Note
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.notify import Delete, Notify, dpd_notify, dpd_sequence, isakmp_delete
from ikectl.wire.v1.payload import Payload

DELETE_REPEATS = 3
"""How often a delete of children is said again, some seconds apart: a peer that missed it would go on sending where
nobody listens, and nobody acknowledges it. Unknown SPIs hurt no peer."""

IDS = {protocol: number for number, protocol in PROTOCOLS.items()}


@dataclass(slots=True, eq=False)
class Tell(Exchange):
    """Something to say."""

    type: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL

    payloads: list[Payload]
    token: int = 0

    async def begin(self, sa: IsakmpSa) -> Turn:
        return Done(self.payloads)


@dataclass(slots=True, eq=False)
class TellDelete(Exchange):
    """Deletes of children, then of the ISAKMP SA if `whole` (RFC 2408 §5.15). The SPIs named are our inbound ones."""

    type: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL

    children: tuple[ChildSa, ...]
    whole: bool = False
    why: str = "deleted"
    token: int = 0
    spis: tuple[tuple[ProtocolId, int], ...] = ()
    """SPIs of no child of ours, which the peer believes in."""
    repeats: int = DELETE_REPEATS
    alone: bool = False
    """The ISAKMP SA goes, its children do not where another one stands between the ends (RFC 2408 §4)."""

    @classmethod
    def of_spis(cls, spis: tuple[tuple[ProtocolId, int], ...], why: str) -> TellDelete:
        """For a child that failed on our side after the peer agreed."""
        return cls((), False, why, spis=spis)

    async def begin(self, sa: IsakmpSa) -> Turn:
        # While this waited for its turn the peer may have deleted some, or all went to a newer ISAKMP SA.
        home = sa.home
        gone = [c for c in self.children if home.children.get(c.spi_in) is c and c.state is not ChildState.DELETED]
        named = [(IDS[child.protocol], child.spi_in) for child in gone]
        named += [(IDS[each.protocol], each.spi_in) for child in gone for each in child.companions]
        named += self.spis
        for child in gone:
            await children.remove(home, child, self.why if child.successor is None else None)
        deletes: list[Payload] = [
            Delete(
                protocol, tuple(spi.to_bytes(SPI_OCTETS[protocol], "big") for kind, spi in named if kind is protocol)
            )
            for protocol in dict.fromkeys(kind for kind, _ in named)
        ]
        if not self.whole:
            again = TellDelete((), False, self.why, 0, tuple(named), self.repeats - 1)
            return Done(deletes or None, retry=again if deletes and self.repeats else None)
        if deletes:
            return Done(deletes, follow=(TellDelete((), True, self.why, self.token),))
        if sa.state is not IkeState.DELETING:
            sa.move(IkeState.DELETING)
        return Done([isakmp_delete(sa.spi_i, sa.spi_r)], close=self.why)


@dataclass(slots=True, eq=False)
class Probe(Exchange):
    """R-U-THERE; the answer comes in an exchange of its own (RFC 3706 §5.4)."""

    type: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL
    token: int = 0

    async def begin(self, sa: IsakmpSa) -> Turn:
        if not sa.dpd_sent:
            # RFC 3706 §6.2: begin anywhere below 2^31, so that the number tells nothing and never wraps.
            sa.dpd_sent = int.from_bytes(sa.random(4), "big") >> 2
        sa.dpd_sent += 1
        return Done([dpd_notify(NotifyType.R_U_THERE, sa.spi_i, sa.spi_r, sa.dpd_sent)])


@dataclass(slots=True, eq=False)
class HearStranger(Exchange):
    """What a peer says that has not proven itself, or not yet its user: its HASH shows only that it made the keys.

    It may refuse, give up this very SA, and ask whether we live.
    """

    type: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL
    token: int = 0

    async def take(self, sa: IsakmpSa, message: Message) -> Turn:
        errors = tuple(notify for notify in message.all(Notify) if notify.type.is_error)
        if any(is_whole(sa, delete) for delete in message.all(Delete)):
            if sa.state is not IkeState.CONNECTING or not sa.initiator:
                return Done(close=_why_deleted(sa, errors))
            # Perhaps not the peer's word: wait for a better one until our last message would be repeated.
            errors = errors or (Notify(NotifyType.AUTHENTICATION_FAILED),)
        if sa.state is IkeState.AUTHENTICATING and message.notify(NotifyType.INITIAL_CONTACT) is not None:
            sa.contacted = True  # it counts when the user has logged in; racoon says it right behind phase 1
        return Done(follow=answer_probe(sa, message) if sa.state is IkeState.AUTHENTICATING else (), errors=errors)


@dataclass(slots=True, eq=False)
class AnswerInformational(Exchange):
    """What the peer tells us."""

    type: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL
    token: int = 0

    async def take(self, sa: IsakmpSa, message: Message) -> Turn:
        deletes = message.all(Delete)
        if any(is_whole(sa, delete) for delete in deletes):
            return Done(close=_why_deleted(sa, tuple(message.errors)))
        wanted: list[Child] = []
        for delete in deletes:
            wanted += await self._close(sa, delete)
        hear_acknowledgement(sa, message)
        if message.notify(NotifyType.RESPONDER_LIFETIME) is not None:
            hear_lifetime(sa, message)
        errors = tuple(notify for notify in message.all(Notify) if notify.type.is_error)
        first = message.notify(NotifyType.INITIAL_CONTACT) is not None and sa.state is IkeState.ESTABLISHED
        return Done(follow=answer_probe(sa, message), wanted=tuple(wanted), errors=errors, first_contact=first)

    async def _close(self, sa: IsakmpSa, delete: Delete) -> list[Child]:
        """Close the children named; which of them the configuration wants back."""
        protocol = PROTOCOLS.get(delete.protocol)
        wanted: list[Child] = []
        for raw in delete.spis if protocol is not None else ():
            spi = int.from_bytes(raw, "big")
            for owner in (sa, *sa.env.kin(sa)):  # the peer may name it under any ISAKMP SA with us
                child = owner.child_by_outbound(spi)
                if child is None or child.protocol is not protocol or child.state is ChildState.DELETED:
                    continue
                replaced = child.successor is not None
                await children.remove(owner, child, None if replaced else "deleted by the peer")
                if not replaced and child.config.close_action.starts:
                    wanted.append(child.config)
                if not replaced and child.config.close_action.traps:
                    sa.env.sentries.due.append((owner.name, child.name))
        return wanted


def _why_deleted(sa: IsakmpSa, errors: tuple[Notify, ...]) -> str:
    return refused([notify.type for notify in errors], sa) if errors else "deleted by the peer"


def is_whole(sa: IsakmpSa, delete: Delete) -> bool:
    """Whether it is of this ISAKMP SA; the SPI is both cookies (RFC 2408 §5.15)."""
    return delete.protocol is ProtocolId.ISAKMP and sa.spi_i + sa.spi_r in delete.spis


def hear_acknowledgement(sa: IsakmpSa, message: Message) -> None:
    """R-U-THERE-ACK: that it came tells enough, whatever its number (RFC 3706 §5.4)."""
    for notify in message.all(Notify):
        if notify.type is NotifyType.R_U_THERE_ACK and dpd_sequence(notify) != sa.dpd_sent:
            sa.emit(Note(sa, "an R-U-THERE-ACK for another R-U-THERE than our last"))


def answer_probe(sa: IsakmpSa, message: Message) -> tuple[Exchange, ...]:
    """The answer to an R-U-THERE, one for a message; an old sequence number was played again (RFC 3706 §6.3)."""
    notify = message.notify(NotifyType.R_U_THERE)
    if notify is None:
        return ()
    sequence = dpd_sequence(notify)
    if notify.spi != sa.spi_i + sa.spi_r or sequence < sa.dpd_heard:
        sa.emit(Note(sa, f"ignored R-U-THERE {sequence}, which is old or of another SA"))
        return ()
    sa.dpd_heard = sequence
    return (Tell([dpd_notify(NotifyType.R_U_THERE_ACK, sa.spi_i, sa.spi_r, sequence)]),)
