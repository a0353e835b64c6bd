"""IKE_SESSION_RESUME: a ticket in the place of a key exchange (RFC 5723 §4.3, §5.1).

Unprotected as IKE_SA_INIT is, which it replaces: cookies, NAT detection and
extensions go as there. The ticket is opened before anything is kept, and taken
once its bearer has proven in IKE_AUTH to have the keys: who reads it on the
wire can neither use nor spoil it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ikectl.config.model import Child, Connection
from ikectl.crypto.kdf_v2 import derive_resumed
from ikectl.errors import PeerMisbehaved
from ikectl.exchange.v2 import childless, extensions, redirect
from ikectl.exchange.v2.base import Again, Answer, Case, Done, Exchange, Ignore, Next, Reply, first_error
from ikectl.exchange.v2.create_child import CreateChild
from ikectl.exchange.v2.natd import judge_nat, nat_hashes, to_natt_port
from ikectl.exchange.v2.nonce import NONCE_OCTETS, nonce_of
from ikectl.exchange.v2.resumed_auth import ResumedAuth
from ikectl.exchange.v2.session_ticket import TICKET_NACK, demands
from ikectl.iana.v2 import ExchangeType, NotifyType
from ikectl.sa.asks import OpenTicket
from ikectl.sa.association import IkeState
from ikectl.sa.ike_sa import Handshake, IkeSa
from ikectl.sa.tickets import KeptTicket, Opened
from ikectl.wire.payload import Payload
from ikectl.wire.v2.keying import Nonce
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify


@dataclass(slots=True, eq=False)
class SessionResume(Exchange):
    """The client's half. Whatever goes wrong ends this IKE SA; a full exchange is then tried in its place."""

    MAX_RESTARTS: ClassVar[int] = 5
    type: ClassVar[ExchangeType] = ExchangeType.IKE_SESSION_RESUME

    child: Child | None
    ticket: KeptTicket
    token: int = 0
    cookie: bytes = b""
    restarts: int = 0

    async def request(self, sa: IkeSa) -> list[Payload]:
        assert sa.connection is not None
        if sa.handshake is None:
            sa.handshake = Handshake(nonce_i=sa.random(NONCE_OCTETS))
            sa.resumes = self.ticket.session
            sa.own_vips = self.ticket.own_vips  # what to ask for (§5, note 5)
            sa.move(IkeState.CONNECTING)
        first: list[Payload] = [Notify(NotifyType.COOKIE, self.cookie)] if self.cookie else []
        return [
            *first,
            Nonce(sa.handshake.nonce_i),
            Notify(NotifyType.TICKET_OPAQUE, self.ticket.octets),
            *nat_hashes(sa, bytes(8)),
            *extensions.announced(sa.connection.extras),
            *(redirect.announced(sa) if sa.connection.follow_redirects else ()),
        ]

    async def on_cookie(self, sa: IkeSa, reply: Message) -> Next:
        notify = reply.notify(NotifyType.COOKIE)
        assert notify is not None
        if notify.data == self.cookie:
            return Ignore("the network's echo of a cookie we obeyed already")
        if not 1 <= len(notify.data) <= 64:
            raise PeerMisbehaved(f"a cookie of {len(notify.data)} octets; 1 to 64 are legal (RFC 7296 §2.6)")
        self.restarts += 1
        if self.restarts > self.MAX_RESTARTS:
            return Done(close="the peer keeps restarting IKE_SESSION_RESUME")
        self.cookie = notify.data
        return Again()

    async def on_refused(self, sa: IkeSa, reply: Message) -> Next:
        """Unproven; but all that comes of believing it is a full exchange (§4.3.2), where a REDIRECT is judged, too."""
        refusal = first_error(reply) or reply.notify(NotifyType.REDIRECT) or TICKET_NACK
        return Done(close=f"the peer answered {refusal.type} to our ticket")

    async def on_resumed(self, sa: IkeSa, reply: Message) -> Next:
        """What it concludes is doubtful until IKE_AUTH proves it."""
        session, connection = self.ticket.session, sa.connection
        assert sa.handshake is not None and connection is not None
        if reply.spi_r == bytes(8):
            return Ignore("an answer without a responder's SPI")
        taken = childless.is_announced(reply)
        obstacle = childless.obstacle(connection, self.child, taken)
        if obstacle:
            return Done(close=obstacle)
        suite, nonce_i = session.suite, sa.handshake.nonce_i
        nonce_r = nonce_of(reply, suite.prf)
        keys = derive_resumed(suite, session.sk_d, nonce_i, nonce_r, sa.spi_i, reply.spi_r)
        sa.spi_r, sa.suite, sa.keys, sa.handshake.nonce_r = reply.spi_r, suite, keys, nonce_r
        sa.handshake.rounds = len(suite.additional)  # done when the session began: they are in its SK_d
        sa.extensions = extensions.agreed(connection, reply)
        judge_nat(sa, reply)
        to_natt_port(sa)
        if self.child is not None and childless.is_separate(connection, taken):
            return Done(follow=(ResumedAuth(None), CreateChild(self.child, self.token)))
        return Done(follow=(ResumedAuth(self.child, self.token),))

    cases = (
        Case(on_cookie, notify=NotifyType.COOKIE),
        Case(on_refused, notify=NotifyType.TICKET_NACK),
        Case(on_refused, notify=NotifyType.REDIRECT),
        Case(on_refused, error=True),
        Case(on_resumed, required=(Nonce,)),
    )


@dataclass(slots=True, eq=False)
class AnswerSessionResume(Answer):
    """The gateway's half. Cookies were dealt with before any SA was made."""

    candidates: tuple[Connection, ...]

    async def respond(self, sa: IkeSa, request: Message) -> Reply:
        """Raises PeerMisbehaved."""
        shown = request.notify(NotifyType.TICKET_OPAQUE)
        if shown is None:
            raise PeerMisbehaved("IKE_SESSION_RESUME without a ticket")
        opened = await OpenTicket(shown.data)
        connection = None if opened is None else self._choose(opened)
        if opened is None or connection is None:
            why = "is none of ours, expired, or taken before" if opened is None else "is for what is loaded no more"
            return Reply([TICKET_NACK], close=f"its session ticket {why}")
        session = opened.session
        nonce_i, nonce_r = nonce_of(request, session.suite.prf), sa.random(NONCE_OCTETS)
        sa.connection, sa.suite, sa.resumes = connection, session.suite, session
        done = len(session.suite.additional)  # those additional key exchanges are in its SK_d
        sa.handshake = Handshake(nonce_i=nonce_i, nonce_r=nonce_r, ticket=shown.data, rounds=done)
        sa.keys = derive_resumed(session.suite, session.sk_d, nonce_i, nonce_r, sa.spi_i, sa.spi_r)
        judge_nat(sa, request)
        sa.move(IkeState.CONNECTING)
        sa.extensions = extensions.agreed(connection, request, *redirect.agreed(request))
        payloads: list[Payload] = [Nonce(nonce_r), *nat_hashes(sa, sa.spi_r), *extensions.echoed(sa.extensions)]
        return Reply([*payloads, *childless.announced(connection)])

    def _choose(self, opened: Opened) -> Connection | None:
        """The connection of the ticket, if it is for these addresses, wants resumption and is as it was."""
        for each in self.candidates:
            if each.name == opened.connection:
                return each if each.resumption and demands(each) == opened.demands else None
        return None
