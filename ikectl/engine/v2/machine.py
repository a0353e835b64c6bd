"""Machine: one IKE SA at work. Runs one exchange coroutine at a time.

Between messages the state is plain and printable: the facts of the SA, the
window, the schedule, the exchange in flight and those that wait. Within the
handling of one message a coroutine may await asks; messages and timers that
come meanwhile wait in a bounded inbox. Protocol judgement is in `exchange`;
here is only the order of things: open, judge the number, run, seal, send,
settle, next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from ikectl.config.model import Child
from ikectl.crypto.kdf_v2 import IkeKeys
from ikectl.engine import lifetimes
from ikectl.engine.driver import LIVE, Driver, End
from ikectl.engine.outside import Outside
from ikectl.engine.transmit import fraction, wait
from ikectl.engine.v2.alternatives import Alternatives
from ikectl.engine.v2.envelope import cut_anew, open_message, write
from ikectl.engine.v2.fragmentation import REPEATS, Fragmentation, is_fragment, is_large, repeats
from ikectl.engine.v2.roamer import Roamer
from ikectl.engine.view import TasksView
from ikectl.errors import (
    CredentialError,
    IkectlError,
    IntegrityFailure,
    PeerMisbehaved,
    Refused,
    UnsupportedCritical,
    WireError,
)
from ikectl.exchange.v2 import crash_token, redirect
from ikectl.exchange.v2.base import Again, Answer, Birth, Done, Doubt, Exchange, Ignore, Next, Reply
from ikectl.exchange.v2.create_child import CreateChild
from ikectl.exchange.v2.delete import DeleteChildren, DeleteIke
from ikectl.exchange.v2.followup_ke import FollowupKe, expire, forget, pending
from ikectl.exchange.v2.ike_auth import IkeAuth
from ikectl.exchange.v2.ike_intermediate import IkeIntermediate
from ikectl.exchange.v2.ike_sa_init import IkeSaInit
from ikectl.exchange.v2.informational import Liveness
from ikectl.exchange.v2.rekey_child import RekeyChild
from ikectl.exchange.v2.rekey_ike import RekeyIke, take_over
from ikectl.exchange.v2.session_resume import SessionResume
from ikectl.exchange.v2.session_ticket import RenewTicket, revoke
from ikectl.exchange.v2.table import answer_to, busy, premature
from ikectl.iana.v2 import ExchangeType, NotifyType, Protocol
from ikectl.sa.association import IkeState
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.events import (
    AuthFailed,
    MessageReceived,
    MessageSent,
    Note,
    Retransmitted,
    RetransmitTimeout,
)
from ikectl.sa.followups import TIMEOUT as FOLLOWUP_TIMEOUT
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.schedule import Name
from ikectl.sa.tickets import KeptTicket
from ikectl.sa.window import InFlight, Verdict, Window
from ikectl.values.path import Path
from ikectl.wire.header import NO_SPI, Header
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Delete, Notify

INITIAL = (ExchangeType.IKE_SA_INIT, ExchangeType.IKE_SESSION_RESUME)
"""Those that make an SA: their messages are not protected."""
INITIALS = (IkeSaInit, SessionResume)
PATIENCE_WITH_TICKETS = 2
"""Repeats of what is to resume a session, until a full exchange is tried: who knows no tickets may say nothing."""
GRACE = 1.0
"""Seconds that another answer to IKE_SA_INIT has, after the one in use was disproved: who answers faster than
the peer may not end our attempt before the peer is heard."""
PATIENCE = 1
"""Repeats of an unproven responder's request before another one is tried: it keeps its half-open SA for
half a minute only."""
SUCCESSION_WAIT = 60.0
"""Seconds the peer has to delete an SA it replaced, before we do."""


_NO_RETRIES: Mapping[int, Exchange] = MappingProxyType({})


def _disproves(result: Next | None, error: BaseException | None) -> bool:
    """Whether a responder that has not authenticated refused us or made no sense."""
    if error is not None:
        return isinstance(error, IkectlError)
    return isinstance(result, Doubt) or (isinstance(result, Done) and bool(result.close or result.failed))


UNREADABLE = "the peer found our message malformed"
"""Its INVALID_SYNTAX is fatal in both peers, without a DELETE (RFC 7296 §2.21.3)."""


class Machine(Roamer):
    """Drives one IkeSa. See the module; the size is that of the order of things it keeps."""

    __slots__ = (
        "_alternatives",
        "_fragmentation",
        "_keys_before",
        "_retries",
        "_verdict",
        "answering",
        "doubt",
    )

    def __init__(self, outside: Outside, sa: IkeSa, now: float) -> None:
        super().__init__(outside, sa, now)
        self.answering: ExchangeType | None = None
        """The peer's exchange being answered."""
        self.doubt: str | None = None
        """An unproven refusal of our IKE_SA_INIT."""
        self._retries: Mapping[int, Exchange] = _NO_RETRIES
        self._fragmentation: Fragmentation | None = None
        """Made when a long message goes out, or a fragment comes: most SAs never see one."""
        self._keys_before: IkeKeys | None = None
        """Those the last request was sealed with, where its reply changed them: it may come again, cut anew."""
        self._alternatives: Alternatives | None = None
        """From the answer to IKE_SA_INIT until IKE_AUTH proved it."""
        self._verdict: Callable[[], None] | None = None
        """What to make of a responder that refused us or did not prove itself, if no other answers in time."""

    # -- what the engine wants done ----------------------------------------------

    def initiate(self, child: Child | None, token: int, now: float) -> None:
        self.begin(IkeSaInit(child, token), now)

    def resume(self, child: Child | None, token: int, ticket: KeptTicket, now: float) -> None:
        """As `initiate`, by a session ticket. Unless it comes to stand a full exchange is to be tried."""
        self.gave_up = ExchangeType.IKE_SESSION_RESUME
        self.begin(SessionResume(child, ticket, token), now)

    def create_child(self, child: Child, token: int, now: float) -> None:
        self.begin(CreateChild(child, token), now)

    def rekey(self, token: int, now: float) -> None:
        self.begin(RekeyIke(token), now)

    def rekey_child(self, child: ChildSa, now: float, token: int = 0) -> None:
        self.begin(RekeyChild(child, token), now)

    def delete(self, why: str, token: int, now: float) -> None:
        self.begin(DeleteIke(why, token), now)

    def delete_children(self, children: tuple[ChildSa, ...], why: str, token: int, now: float) -> None:
        self.begin(DeleteChildren(children, why, token), now)

    @property
    def tasks(self) -> TasksView:
        return TasksView(
            queued=tuple(type(exchange).__name__ for exchange in self.queue),
            active=(type(self.active).__name__,) if self.active is not None else (),
            passive=(self.answering.name,) if self.answering is not None else (),
        )

    # -- in: what the engine calls ------------------------------------------

    def begin(self, exchange: Exchange, now: float) -> None:
        """Queue one of our exchanges. A command's is refused when too many wait already."""
        self.now = now
        crowded = exchange.token and len(self.queue) >= self.sa.env.settings.max_queue
        if self.sa.state is IkeState.CLOSED or crowded:
            self._outcome(exchange.token, self.why or "too many exchanges wait on this IKE SA; try again later")
            return
        self.queue.append(exchange)
        self._next()

    def answer_init(self, answer: Answer, request: Message, datagram: bytes, path: Path, now: float) -> None:
        """The first message of a peer: the one exchange whose request no window judged."""
        self.now = now
        self.sa.emit(MessageReceived(self.sa, request.exchange, 0, False, request.payloads, len(datagram), path))
        self._set("half-open", now + self.sa.env.settings.half_open_timeout)
        self._answer(answer, request, datagram, path)

    def repeat(self, datagram: bytes, path: Path) -> None:
        """The last request again: say the same (RFC 7296 §2.1)."""
        self._transmit(self.window.repeat(datagram), path)

    def adopt(self, old: Driver[IkeSa], now: float) -> None:
        """As every driver, and take over what waited there, unless it was about the old SA itself."""
        super().adopt(old, now)
        assert isinstance(old, Machine)
        if old._fragmentation is not None:
            self._fragments.inherit(old._fragmentation)
        self.queue += [exchange for exchange in old.queue if not isinstance(exchange, DeleteIke | Liveness)]
        old.queue = [exchange for exchange in old.queue if isinstance(exchange, DeleteIke)]
        for retry in old._retries.values():
            if isinstance(retry, RekeyIke):
                self._outcome(retry.token, None)  # this is what it was for
            else:
                self._later(retry)
        old._retries = _NO_RETRIES

    def superseded(self, now: float) -> None:
        """Another SA took over; what is left is to be deleted, by the peer if it began the rekeying."""
        self.now = now
        for name in ("rekey", "reauth", "expire", "liveness", "keepalive"):
            self.schedule.clear(name)
        if self.sa.state is IkeState.REKEYED:
            self._set("succession", now + SUCCESSION_WAIT)

    def established(self, now: float) -> None:
        self._alternatives = None
        super().established(now)
        lifetimes.begin_proof(self.sa, now)
        self._watch_proof()

    def send_away(self, gateway: str, token: int, now: float) -> None:
        """Tell the client to go to another gateway."""
        self.begin(redirect.SendAway(gateway, token), now)

    def reauthenticate_at(self, at: float, now: float) -> None:
        """Try to authenticate anew at that instant."""
        self.now = now
        self.sa.reauth_at = at
        self._watch_proof()

    def _watch_proof(self) -> None:
        """Set the deadlines of authentication."""
        sa = self.sa
        if sa.reauth_at:
            self._set("reauth", sa.reauth_at)
        if sa.expire_at:
            self._set("expire", sa.expire_at)

    def other_version(self, path: Path, now: float) -> None:
        """A peer that knows IKEv1 alone answers IKE_SA_INIT so (RFC 2408 §5.2); another answer may come yet."""
        if isinstance(self.active, INITIALS) and self.sa.state is IkeState.CONNECTING:
            alone = self.sa.connection is not None and self.sa.connection.version == 2
            self.doubt = "the peer speaks IKEv1 alone" + (": set version = 1, or 0, here" if alone else "")
        else:
            super().other_version(path, now)

    # -- taking turns ----------------------------------------------------------

    def _follow_up(self, follow: tuple[Exchange, ...]) -> None:
        """What follows from a message goes before all that waits, unless something there serves it already."""
        begun = self.queue if self.active is None else [self.active, *self.queue]
        self.queue[:0] = [wanted for wanted in follow if not any(each.serves(wanted) for each in begun)]

    def _begin_next(self) -> bool:
        if self.sa.mobility is not None:
            self._mind_moves()
        if not self.queue or not self._may_ask():
            return False
        first = 0
        if self._awaits_replacement:
            # What we asked now would be refused, or lost with the SA; only its end need not wait.
            ends = [number for number, exchange in enumerate(self.queue) if isinstance(exchange, DeleteIke)]
            if not ends:
                return False
            first = ends[0]
        self._start(self.queue.pop(first))
        return True

    def _may_ask(self) -> bool:
        """The window is free, and the SA is not one of two of which one will go (RFC 7296 §2.8.2)."""
        return self.window.in_flight is None and self.sa.state is not IkeState.CLOSED and self.sa.predecessor is None

    @property
    def _awaits_replacement(self) -> bool:
        """The peer is amid replacing this SA: its additional key exchanges are under way (RFC 9370 §2.2.4)."""
        sa = self.sa
        return sa.followups is not None and sa.state is IkeState.ESTABLISHED and pending(sa, sa) is not None

    @property
    def _under_way(self) -> Exchange | None:
        """Our exchange in flight, or the next of a series that must not be torn."""
        if self.active is None and self.queue and isinstance(self.queue[0], FollowupKe):
            return self.queue[0]
        return self.active

    # -- our requests ----------------------------------------------------------

    def _start(self, exchange: Exchange) -> None:
        self.active = exchange
        self._run(exchange.request(self.sa), partial(self._requested, exchange, False))

    def _requested(
        self, exchange: Exchange, again: bool, payloads: list[Payload] | None, error: BaseException | None
    ) -> None:
        if error is not None:
            self._request_failed(exchange, error)
            return
        if payloads is None:
            self.active = None
            self._outcome(exchange.token, None)
            return
        message_id = 0 if again else self.window.next_request
        datagrams = write(self.sa, exchange.type, message_id, False, payloads, self._longest)
        if again:
            self.window.resend_as(datagrams)
        else:
            request = self.window.send(exchange.type, datagrams)
            if is_large(self.sa, datagrams):
                request.payloads = payloads
        self._send_request(datagrams)
        octets = sum(map(len, datagrams))
        self.sa.emit(MessageSent(self.sa, exchange.type, message_id, False, payloads, octets, self.sa.path))
        self._set("retransmit", self.now + wait(self.sa.env.settings, 0, self.sa.random))

    def _request_failed(self, exchange: Exchange, error: BaseException) -> None:
        self.active = None
        if not isinstance(error, IkectlError):
            self._fault(error)
            return
        if isinstance(exchange, (*INITIALS, IkeIntermediate, IkeAuth)):
            if isinstance(error, CredentialError):
                self.sa.emit(AuthFailed(self.sa, False, str(error)))
            self._outcome(exchange.token, str(error))
            self._close(str(error))
            return
        why = f"{exchange.subject}: {error}"
        self.sa.emit(Note(self.sa, why))
        self._outcome(exchange.token, why)
        self._run(exchange.abandon(self.sa, why), self._errand_done)

    # -- arriving messages -------------------------------------------------------

    def _take(self, header: Header, datagram: bytes, path: Path) -> None:
        if header.is_response:
            self._take_response(header, datagram, path)
        else:
            self._take_request(header, datagram, path)

    def _take_response(self, header: Header, datagram: bytes, path: Path) -> None:
        if self.sa.state is IkeState.CLOSED:
            return
        if header.exchange is ExchangeType.IKE_SA_INIT and self._keep_alternative(datagram):
            return
        if self._verdict is not None or not self.window.answers(header.exchange, header.message_id):
            self._drop(path, f"response {header.message_id} answers nothing we asked")
            return
        if self.sa.state in LIVE and crash_token.proves_loss(self.sa, header, datagram):
            self._close("the peer has lost the IKE SA: it was restarted", End.SILENT)
            return
        try:
            if header.exchange in INITIAL:
                message = Message.read(datagram, header)
                if message.critical_unknown is not None:
                    raise UnsupportedCritical(message.critical_unknown)
            elif is_fragment(header):
                whole = self._fragments.join(self.sa, header, datagram)
                if whole is None:
                    return
                message, datagram = whole
            else:
                message = open_message(self.sa, header, datagram)
        except IntegrityFailure as failure:
            self._drop(path, str(failure))
            return
        except (WireError, PeerMisbehaved) as failure:
            if header.exchange in INITIAL:
                self._drop(path, str(failure))
            else:
                self._response_failed(failure)
            return
        if header.exchange not in INITIAL:
            self._heard(path)
            if self.sa.mobility is not None:
                self._answered_on(path)
        exchange = self.active
        assert exchange is not None
        self.sa.emit(
            MessageReceived(self.sa, header.exchange, header.message_id, True, message.payloads, len(datagram), path)
        )
        if message.critical_unknown is not None:
            # Nothing may be sent in answer to a response (RFC 7296 §2.5): the exchange fails here.
            self._response_failed(UnsupportedCritical(message.critical_unknown))
            return
        if message.notify(NotifyType.INVALID_SYNTAX) is not None and self.sa.state in LIVE:
            self._close(UNREADABLE, End.DELETED)
            return
        self._run(exchange.take(self.sa, message), partial(self._taken, exchange, datagram))

    def _taken(self, exchange: Exchange, datagram: bytes, result: Next | None, error: BaseException | None) -> None:
        if isinstance(error, IkectlError) and isinstance(exchange, INITIALS):
            # Unproven: perhaps not the peer's word at all. Wait for a better answer, but not for long.
            result, error = Doubt(str(error)), None
        if self._alternatives is not None and _disproves(result, error):
            # Nobody has proven anything yet, so a refusal is no better than silence if somebody else answered too.
            if self._try_alternative(exchange):
                return
            if isinstance(result, Doubt):
                self._give_up(exchange, result.why)
            else:
                self.schedule.clear("retransmit")
                self._verdict = partial(self._taken, exchange, datagram, result, error)
                self._set("verdict", self.now + GRACE)
            return
        if error is not None:
            self._response_failed(error)
            return
        match result:
            case Ignore(why):
                self._drop(self.sa.path, why)
            case Doubt(why):
                self.doubt = why
                self.sa.emit(Note(self.sa, f"{why} (not authenticated; waiting for another answer)"))
            case Again():
                self.doubt = None
                self._run(exchange.request(self.sa), partial(self._requested, exchange, True))
            case Done():
                self._settle(exchange, datagram, result)

    def _settle(self, exchange: Exchange, datagram: bytes, done: Done) -> None:
        """Our exchange is over."""
        if isinstance(exchange, INITIALS):
            self._initial_settled(exchange, datagram)
        elif self.gave_up is ExchangeType.IKE_SESSION_RESUME and self.sa.state is IkeState.ESTABLISHED:
            self.gave_up = None
        self.window.settle()
        self.schedule.clear("retransmit")
        self.active = None
        self.doubt = None
        if self.sa.redirect:
            self.gave_up = exchange.type  # it is another gateway that is to be tried now
        if done.close is not None:
            self._outcome(exchange.token, None if isinstance(exchange, DeleteIke) else done.close)
            self._close(done.close)
            return
        if done.follow:
            self._follow_up(done.follow)
        if self.sa.redirect and isinstance(exchange, IkeAuth):
            self.queue.append(DeleteIke(f"the gateway sends us to {self.sa.redirect}"))
        if done.retry is not None:
            self._later(done.retry)
        if done.failed is not None:
            self._outcome(exchange.token, done.failed)
        elif not any(follow.token == exchange.token for follow in done.follow) and done.retry is None:
            self._outcome(exchange.token, None)
        self._date_ticket()
        if done.redundant is not None:
            self.outside.supersede(done.redundant, self.now)
        self._bear(done.born)
        self.outside.changed(self)
        self._watch_children()

    def _date_ticket(self) -> None:
        """A session ticket came: it is good from now on."""
        ticket = self.sa.ticket
        if ticket is not None and not ticket.until:
            ticket.until = self.now + ticket.lifetime

    def _initial_settled(self, exchange: IkeSaInit | SessionResume, datagram: bytes) -> None:
        """Remember what IKE_AUTH will sign, and the way back should this response prove false."""
        shake, request = self.sa.handshake, self.window.in_flight
        assert shake is not None and request is not None
        shake.request, shake.response = request.datagrams[0], datagram
        if self._alternatives is None and isinstance(exchange, IkeSaInit):
            # The path may have moved to another port already: IKE_SA_INIT went between the old ones.
            self._alternatives = Alternatives(exchange, request.datagrams[0], exchange.path or self.sa.path)

    def _response_failed(self, error: BaseException) -> None:
        """The answer to our request cannot be used."""
        exchange = self.active
        assert exchange is not None
        if not isinstance(error, IkectlError):
            self._fault(error)
            return
        self.window.settle()
        self.schedule.clear("retransmit")
        self.active = None
        why = f"{exchange.subject}: {error}"
        self.sa.emit(Note(self.sa, why))

        def finish(follow: tuple[Exchange, ...] | None, failure: BaseException | None) -> None:
            self._outcome(exchange.token, why)
            if failure is not None and not isinstance(failure, IkectlError):
                self._fault(failure)
            elif self.sa.state is IkeState.CONNECTING or isinstance(exchange, DeleteIke):
                self._close(why)
            elif isinstance(error, WireError):
                # Malformed and yet authentic: fatal as for a request (RFC 7296 §2.21.3).
                self.queue.insert(0, DeleteIke(why))
            else:
                self.queue[:0] = follow or ()
            if self.sa.state is not IkeState.CLOSED:
                self.outside.changed(self)

        self._run(exchange.spoilt(self.sa, why), finish)

    def _take_request(self, header: Header, datagram: bytes, path: Path) -> None:
        verdict = self.window.judge(header.message_id)
        if verdict is Verdict.REPEAT:
            keys = self._keys_before or self.sa.keys
            if self.window.repeat(datagram) or repeats(self.sa, header, datagram, keys):
                self._transmit(self.window.reply, path)
            return
        if verdict is Verdict.OUTSIDE:
            self._drop(path, f"request {header.message_id} is outside of the window")
            return
        if self.sa.state is IkeState.CLOSED or self.sa.keys is None:
            return
        if premature(self.sa, header.exchange):
            # The answer to our IKE_AUTH may be lost or late, and its sender not proven: it will say it again.
            self._drop(path, f"a request of {header.exchange} before authentication is done")
            return
        try:
            if is_fragment(header):
                whole = self._fragments.join(self.sa, header, datagram)
                if whole is None:
                    return
                message, datagram = whole
            else:
                message = open_message(self.sa, header, datagram)
        except IntegrityFailure as failure:
            self._drop(path, str(failure))
            return
        except WireError as failure:
            # Authentic and malformed: INVALID_SYNTAX, and the SA ends (RFC 7296 §2.21.3).
            self._reply(
                header.exchange,
                datagram,
                path,
                Reply([Notify(NotifyType.INVALID_SYNTAX)], close=str(failure)),
            )
            return
        self._heard(path)
        self.sa.emit(
            MessageReceived(self.sa, header.exchange, header.message_id, False, message.payloads, len(datagram), path)
        )
        if message.critical_unknown is not None:
            refusal = UnsupportedCritical(message.critical_unknown)
            # In IKE_AUTH the peer then has no SA either (§2.21.2); later the SA goes on.
            fatal = str(refusal) if self.sa.state is IkeState.CONNECTING else None
            self._reply(header.exchange, datagram, path, Reply([Notify(refusal.notify, refusal.data)], close=fatal))
            return
        predecessor = self.sa.predecessor
        if predecessor is not None and not any(delete.protocol is Protocol.IKE for delete in message.all(Delete)):
            # The peer works with this SA, so for it the simultaneous rekeying is decided.
            take_over(predecessor, self.sa)
            self.outside.supersede(predecessor, self.now)
        answer = answer_to(self.sa, message)
        if answer is None:
            why = f"{header.exchange} is no exchange for an SA that is {self.sa.state.name}"
            self._reply(header.exchange, datagram, path, Reply([Notify(NotifyType.INVALID_SYNTAX)], close=why))
            return
        if busy(self._under_way, answer, self.sa, message):
            self._reply(header.exchange, datagram, path, Reply([Notify(NotifyType.TEMPORARY_FAILURE)]))
            return
        self._answer(answer(), message, datagram, path)

    def _answer(self, answer: Answer, message: Message, datagram: bytes, path: Path) -> None:
        self.answering = message.exchange
        self._run(answer.respond(self.sa, message), partial(self._responded, message.exchange, datagram, path))

    def _responded(
        self,
        exchange: ExchangeType,
        datagram: bytes,
        path: Path,
        reply: Reply | None,
        error: BaseException | None,
    ) -> None:
        self.answering = None
        if error is not None:
            reply = self._refusal(exchange, error)
            if reply is None:
                return
        assert reply is not None
        self._reply(exchange, datagram, path, reply)

    def _refusal(self, exchange: ExchangeType, error: BaseException) -> Reply | None:
        """What to say of a request that failed; None if nothing, because the SA is closed."""
        initial = exchange in INITIAL
        if isinstance(error, Refused):
            refusal = Notify(error.notify, error.data, error.protocol, error.spi)
            return Reply([refusal], close=str(error) if initial else None)
        if isinstance(error, PeerMisbehaved | WireError):
            why = str(error)
            self.sa.emit(Note(self.sa, f"the peer misbehaved: {why}"))
            if initial:
                self._close(why)  # unproven and malformed: no answer at all
                return None
            notify = error.notify if isinstance(error, PeerMisbehaved) else NotifyType.INVALID_SYNTAX
            data = error.data if isinstance(error, PeerMisbehaved) else b""
            return Reply([Notify(notify, data)], close=why)
        if isinstance(error, IkectlError):
            self.sa.emit(Note(self.sa, str(error)))
            return Reply([Notify(NotifyType.TEMPORARY_FAILURE)], close=str(error) if initial else None)
        self._fault(error)
        return None

    def _reply(self, exchange: ExchangeType, datagram: bytes, path: Path, reply: Reply) -> None:
        """Seal and send the reply, keep it for a repeat, then see to what follows from it."""
        number = self.window.expected
        if exchange in INITIAL and reply.close is not None:
            # No SA came of it, so it has no SPI (RFC 7296 §2.6).
            datagrams: tuple[bytes, ...]
            datagrams = (Message(self.sa.spi_i, NO_SPI, exchange, number, True, False, reply.payloads).write(),)
        else:
            datagrams = write(self.sa, exchange, number, True, reply.payloads, self._longest)
        self.window.replied(datagram, datagrams)
        shake = self.sa.handshake
        if exchange in INITIAL and shake is not None:
            shake.request, shake.response = datagram, datagrams[0]
        elif shake is not None:
            self._wait_for_more()
        self._transmit(datagrams, path)
        octets = sum(map(len, datagrams))
        self.sa.emit(MessageSent(self.sa, exchange, number, True, reply.payloads, octets, path))
        if reply.close is not None:
            self._close(reply.close, End.DELETED)
            return
        self._keys_before = None
        if reply.keys is not None:
            self._keys_before, self.sa.keys = self.sa.keys, reply.keys
        if reply.follow:
            self._follow_up(reply.follow)
        self._bear(reply.born)
        if self.sa.redirect:
            self.outside.redirected(self)
        if self.sa.auth_lifetime and self.sa.established_at:
            lifetimes.limit_proof(self.sa, self.now)
            self._watch_proof()
        self.outside.changed(self)
        self._watch_children()
        self._watch_followups()

    def _wait_for_more(self) -> None:
        """Authentication takes several messages: time for the next one, within the bounds of the whole."""
        settings = self.sa.env.settings
        self._set("half-open", min(self.now + settings.half_open_timeout, self.began_at + settings.handshake_limit))

    def _heard(self, path: Path) -> None:
        """An authentic message came: the peer lives, and this is where (RFC 7296 §2.11, §2.23)."""
        self.last_heard = self.now
        sa = self.sa
        if sa.mobility is not None:
            sa.mobility.heard = path  # and that is all: with MOBIKE an update alone moves the SA (RFC 4555 §3.8)
            return
        if path == sa.path:
            return
        if sa.state is IkeState.CONNECTING:
            # IKE_AUTH comes from port 4500 when a NAT was found. Another address is not followed: the
            # connection was chosen by the one that IKE_SA_INIT came from.
            if not sa.initiator and path.remote.address == sa.path.remote.address:
                sa.path = path
        else:
            self._follow(path)

    def _bear(self, birth: Birth | None) -> None:
        """Let an SA that this one made go its own way."""
        if birth is not None:
            newcomer = Machine(self.outside, birth.sa, self.now)
            self.outside.born(newcomer)
            for exchange in birth.follow or (crash_token.TellToken(), RenewTicket()):
                newcomer.begin(exchange, self.now)

    # -- other answers to IKE_SA_INIT ----------------------------------------------

    def _keep_alternative(self, datagram: bytes) -> bool:
        """Whether an IKE_SA_INIT response is another one, beside that in use."""
        shake = self.sa.handshake
        if self._alternatives is None or shake is None or isinstance(self.active, IkeSaInit):
            return False
        self._alternatives.keep(datagram, shake.response)
        if self._verdict is not None and self._try_alternative(self.active):
            self._verdict = None
            self.schedule.clear("verdict")
        return True

    def _try_alternative(self, disproved: Exchange | None) -> bool:
        """Begin again behind IKE_SA_INIT with another response to it; False if there is none.

        `disproved` is our exchange with the responder that is given up.
        """
        alternatives = self._alternatives
        if alternatives is None or not alternatives.kept or self.sa.state is not IkeState.CONNECTING:
            return False
        datagram = alternatives.next()
        self.sa.emit(Note(self.sa, "no proof from this responder; trying another one that answered IKE_SA_INIT"))
        first = alternatives.exchange.token
        self.active = None
        # What follows from the answer that is given up goes; what somebody wants besides waits on.
        self.queue = [each for each in self.queue if isinstance(each, CreateChild) and each.token != first]
        self.window.settle()

        def start_over(_: None, failure: BaseException | None) -> None:
            if failure is not None:
                self._fault(failure)
                return
            self.window = Window()
            self.window.send(ExchangeType.IKE_SA_INIT, (alternatives.request,))
            self.sa.path = alternatives.path
            self.active = alternatives.exchange
            take = alternatives.exchange.take(self.sa, Message.read(datagram))
            self._run(take, partial(self._taken, alternatives.exchange, datagram))

        if disproved is None:
            start_over(None, None)
        else:
            self._run(disproved.abandon(self.sa, "another responder is tried"), start_over)
        return True

    # -- timers ---------------------------------------------------------------------

    def _named_timer(self, name: Name) -> None:
        if name == "retransmit":
            self._retransmit()
        elif name == "verdict" and self._verdict is not None:
            verdict, self._verdict, self._alternatives = self._verdict, None, None
            verdict()
        elif name == "half-open":
            if self.sa.state is IkeState.CONNECTING:
                self._close("the peer did not go on with IKE_AUTH")
        elif name == "rekey":
            self.begin(RekeyIke(), self.now)
        elif name == "expire":
            if self.sa.state in (IkeState.ESTABLISHED, IkeState.REKEYING):
                self.outside.expired(self)
                self.queue.insert(0, DeleteIke("its lifetime ended before it was rekeyed or authenticated anew"))
        elif name == "reauth":
            self.outside.reauthenticate(self, 0)
        elif name == "succession":
            self.begin(DeleteIke("rekeyed"), self.now)
        else:
            super()._named_timer(name)

    def _numbered_timer(self, name: str, number: int) -> None:
        if name == "retry":
            retry = self._retries.get(number)
            self._retries = {key: each for key, each in self._retries.items() if key != number}
            if retry is not None:
                self.begin(retry, self.now)
        elif name == "followup":
            self._errands += ((partial(expire, self.sa, number), self._errand_done),)
        else:
            super()._numbered_timer(name, number)

    def _watch_followups(self) -> None:
        """The peer must go on with its additional key exchanges in time (RFC 9370 §2.2.4)."""
        if self.sa.followups is not None:
            for number in self.sa.followups.pending:
                if self.schedule.at(("followup", number)) is None:
                    self._set(("followup", number), self.now + FOLLOWUP_TIMEOUT)

    def _retransmit(self) -> None:
        request, settings = self.window.in_flight, self.sa.env.settings
        exchange = self.active
        if request is None or exchange is None:
            return
        if self.doubt is not None:
            self._give_up(exchange, self.doubt)
            return
        if request.tries >= PATIENCE and self._try_alternative(exchange):
            return
        limit = settings.retransmit_tries + self._forbearance
        if self.gave_up is ExchangeType.IKE_SESSION_RESUME:
            limit = min(limit, PATIENCE_WITH_TICKETS)
        if request.tries >= limit:
            self.sa.emit(RetransmitTimeout(self.sa, request.exchange, request.tries))
            self._give_up(exchange, f"the peer does not answer {request.exchange}")
            return
        request.tries += 1
        self.sa.emit(Retransmitted(self.sa, request.exchange, request.message_id, request.tries))
        if request.tries > REPEATS and request.payloads is not None:
            self._cut_smaller(request)
        self._send_request(request.datagrams)
        self._set("retransmit", self.now + wait(settings, request.tries, self.sa.random))
        if self.sa.mobility is not None:
            self._try_other_paths(request)

    @property
    def _fragments(self) -> Fragmentation:
        if self._fragmentation is None:
            self._fragmentation = Fragmentation()
        return self._fragmentation

    def _longest(self, sa: IkeSa) -> int:
        """The octets of the longest message that goes out whole; 0: any."""
        return self._fragments.limit(sa)

    def _cut_smaller(self, request: InFlight) -> None:
        """Large datagrams seem not to arrive: the same request in smaller ones (RFC 7383 §2.5.2)."""
        limit = self._fragments.smaller(self.sa, request.datagrams)
        assert request.payloads is not None
        if limit:
            request.datagrams = cut_anew(self.sa, request.exchange, request.message_id, request.payloads, limit)
            self.sa.emit(Note(self.sa, f"no answer to {request.exchange}: sending it in smaller fragments"))
        request.payloads = None

    def _give_up(self, exchange: Exchange, why: str) -> None:
        """No usable answer: the SA is dead (RFC 7296 §2.4)."""
        self.gave_up = self.gave_up or exchange.type
        self._outcome(exchange.token, None if isinstance(exchange, DeleteIke) else why)
        exchange.token = 0
        self._close(why, End.SILENT)

    def _ask_liveness(self) -> None:
        if self.window.in_flight is None:
            self.queue.append(Liveness())

    def _later(self, exchange: Exchange) -> None:
        """Try again when the peer may be less busy: waits double (RFC 7296 §2.25)."""
        settings, tries = self.sa.env.settings, getattr(exchange, "tries", 1)
        if tries > settings.busy_tries or len(self._retries) >= settings.max_queue:
            self._outcome(exchange.token, f"{exchange.subject}: the peer stays busy")
            return
        number = len(self._retries) + 1
        while number in self._retries:
            number += 1
        self._retries = {**self._retries, number: exchange}
        delay = settings.busy_retry * 2 ** max(tries - 1, 0) * (1 + fraction(self.sa.random) / 4)
        self._set(("retry", number), self.now + delay)

    # -- the end -----------------------------------------------------------------------

    def _close(self, why: str, end: End = End.OURS) -> None:
        """Take everything of this SA out of the kernel, then tell the engine."""
        sa = self.sa
        if sa.state is IkeState.CLOSED:
            return
        self.end = end
        made = sa.rival.made if sa.rival is not None else None
        sa.rival = None
        if made is not None and made.state is IkeState.ESTABLISHED:
            if end is End.OURS:
                # What the peer's rekeying made goes as well, though not without a word.
                made.predecessor = None
                made.move(IkeState.REKEYED)
                self.outside.supersede(made, self.now)
            else:
                # The peer finished its rekeying of this SA and never saw ours: what that made takes over.
                made.inherit(sa)
        if sa.heir is not None:
            sa.heir.dying -= 1
        given_up = [self.active] if self.active is not None else []
        if sa.successor is None:
            # Else the heir goes on with what waits here.
            given_up += [*self.queue, *self._retries.values()]
            self.queue, self._retries = [], _NO_RETRIES
        self.active = None
        self.window.settle()
        ends = [partial(revoke, sa)] if sa.issued and end in (End.OURS, End.DELETED) else []
        for exchange in given_up:
            # Whoever wanted something deleted has it, and whoever wanted another IKE SA has the peer's.
            has = (DeleteIke, DeleteChildren) if sa.heir is None else (DeleteIke, DeleteChildren, RekeyIke)
            self._outcome(exchange.token, None if isinstance(exchange, has) else why)
        # Stay a while to repeat the last reply, unless the peer never got beyond IKE_SA_INIT.
        self._tear_down(
            why,
            end,
            [partial(exchange.abandon, sa, why) for exchange in given_up]
            + [partial(forget, sa, followup) for followup in (sa.followups.pending.values() if sa.followups else ())]
            + ends,
            lambda was_live: self.window.expected > (0 if was_live else 1),
        )
