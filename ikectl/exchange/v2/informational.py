"""INFORMATIONAL: liveness, and the half that answers, deletes above all (RFC 7296 §1.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ikectl.config.model import Child
from ikectl.exchange import children
from ikectl.exchange.v2 import auth_lifetime, config_payload, crash_token, redirect, session_ticket, window_size
from ikectl.exchange.v2 import child as agreement
from ikectl.exchange.v2.address_update import OF_MOBIKE, UpdateAddresses, hear
from ikectl.exchange.v2.base import Answer, Case, Done, Exchange, Next, Reply
from ikectl.exchange.v2.create_child import CreateChild
from ikectl.exchange.v2.diagnosis import unaccepted
from ikectl.exchange.v2.natd import nat_hashes
from ikectl.iana.v2 import ExchangeType, NotifyType, Protocol
from ikectl.sa.asks import RemoveChild
from ikectl.sa.association import IkeState
from ikectl.sa.child_sa import ChildSa, ChildState
from ikectl.sa.events import AuthFailed, Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Delete, Notify

ANSWERABLE = (IkeState.ESTABLISHED, IkeState.REKEYING, IkeState.REKEYED)
"""States in which the peer knows the SA; one that was replaced has to be known until it is deleted."""


@dataclass(slots=True, eq=False)
class Liveness(Exchange):
    """An INFORMATIONAL without a subject: any answer shows that the peer lives (RFC 7296 §2.4).

    With MOBIKE, who sits behind a NAT asks how it is seen from outside, to notice when that changes (RFC 4555 §3.8).
    """

    type: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL
    token: int = 0

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        if sa.state not in ANSWERABLE:
            return None
        mobility = sa.mobility
        if mobility is not None and sa.caller and mobility.natt and sa.nat.local:
            return nat_hashes(sa, sa.spi_r)
        return []

    async def on_answer(self, sa: IkeSa, reply: Message) -> Next:
        seen, mobility = reply.notify(NotifyType.NAT_DETECTION_DESTINATION_IP), sa.mobility
        if seen is None or mobility is None:
            return Done()
        before, mobility.seen_as = mobility.seen_as, seen.data
        if before in (b"", seen.data):
            return Done()
        sa.emit(Note(sa, "our NAT has another address or port for us now"))
        return Done(follow=(UpdateAddresses(),))

    def serves(self, other: Exchange) -> bool:
        return isinstance(other, Liveness) and not other.token

    cases = (Case(on_answer),)


@dataclass(slots=True, eq=False)
class AnswerInformational(Answer):
    """INFORMATIONAL, responder's half: obey deletes, configure and be configured, note the rest (RFC 7296 §1.4)."""

    async def respond(self, sa: IkeSa, request: Message) -> Reply:
        deletes = request.all(Delete)
        if any(delete.protocol is Protocol.IKE for delete in deletes):
            # Children go with it and are not named (§1.4.1). Our own rekeying of it is forgotten (§2.25.2).
            return Reply(close="deleted by the peer")
        if request.notify(NotifyType.AUTHENTICATION_FAILED) is not None:
            why = "the peer does not accept our authentication"
            if sa.connection is not None:
                why = unaccepted(sa, sa.connection, len(sa.connection.local) - 1)
                sa.emit(AuthFailed(sa, False, why))
            return Reply(close=why)
        payloads: list[Payload] = []
        wanted: list[Child] = []
        for delete in deletes:
            closed = []
            for raw in delete.spis:
                child = sa.child_by_outbound(int.from_bytes(raw, "big"))
                if child is None:
                    agreement.note_orphan(sa, raw)
                    continue
                if child.protocol is not delete.protocol or child.state is ChildState.DELETED:
                    continue
                if await self._close(sa, child):
                    closed.append(child.spi_in.to_bytes(4, "big"))
                if child.successor is None and child.config.close_action.starts:
                    wanted.append(child.config)
                if child.successor is None and child.config.close_action.traps:
                    sa.env.sentries.due.append((sa.name, child.name))
            if closed:
                payloads.append(Delete(delete.protocol, tuple(closed)))
        auth_lifetime.hear(sa, request)
        crash_token.hear(sa, request)
        window_size.hear(sa, request)
        sa.redirect = redirect.hear(sa, request)
        said, follow = await config_payload.hear(sa, request)
        payloads += [*said, *await session_ticket.give(sa, request)]
        follow = (*follow, *map(CreateChild, wanted))
        if sa.mobility is not None:
            heard = await hear(sa, sa.mobility, request)
            payloads += heard.payloads
            follow = (*heard.follow, *follow, *([Liveness()] if heard.look else []))
        for notify in request.all(Notify):
            if sa.mobility is None or notify.type not in OF_MOBIKE:
                sa.emit(Note(sa, _reported(sa, notify)))
        return Reply(payloads, follow=follow)

    async def _close(self, sa: IkeSa, child: ChildSa) -> bool:
        """Remove a child the peer deletes; whether our SPI of it is to be named in the answer."""
        crossing = child.state is ChildState.DELETING
        if child.rival is not None and child.successor is None:
            # The peer finished its rekeying of this child and never saw ours: its new child takes over.
            child.successor = child.rival.made
        if crossing and child.successor is None:
            # Both ends delete it at once: outbound goes now, inbound when our own request is answered, and
            # neither answer names it (§1.4.1).
            await RemoveChild(child, False, True)
            child.outbound = False
            return False
        await children.remove(sa, child, None if child.successor is not None else "deleted by the peer")
        for other in sa.living_children:
            if other.successor is child and other.state is ChildState.REKEYED:
                # The peer could not use what its rekeying made, and keeps the old child.
                other.successor = None
                other.move(ChildState.INSTALLED)
        return not crossing


def _reported(sa: IkeSa, notify: Notify) -> str:
    """What a notify is about, for the log. INVALID_SELECTORS names the SA by what the peer receives on (§3.10.1)."""
    text = f"the peer reports {notify.type}"
    if notify.type is NotifyType.INVALID_SELECTORS:
        child = sa.child_by_outbound(int.from_bytes(notify.spi, "big")) if notify.spi else None
        if child is not None:
            ends = " === ".join(" ".join(map(str, side)) for side in (child.ts_local, child.ts_remote))
            text += f": it dropped a packet that came on child {child.name} and is not of {ends}"
    return text
