"""Settler: responses to our requests, from the wire to what follows from them.

Until IKE_AUTH has proven one, other answers to IKE_SA_INIT are kept and tried
(`alternatives.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ikectl.engine.chore import Chore
from ikectl.engine.driver import LIVE, End
from ikectl.engine.outside import Outside
from ikectl.engine.v2.alternatives import Alternatives
from ikectl.engine.v2.requester import INITIAL, INITIALS, Requester
from ikectl.errors import (
    IkectlError,
    IntegrityFailure,
    PeerMisbehaved,
    UnsupportedCritical,
    WireError,
)
from ikectl.exchange.v2 import crash_token
from ikectl.exchange.v2.base import Again, Aside, Birth, Done, Doubt, Exchange, Ignore, Next
from ikectl.exchange.v2.create_child import CreateChild
from ikectl.exchange.v2.delete import DeleteIke
from ikectl.exchange.v2.ike_auth import IkeAuth
from ikectl.exchange.v2.ike_sa_init import IkeSaInit
from ikectl.exchange.v2.session_resume import SessionResume
from ikectl.exchange.v2.session_ticket import RenewTicket
from ikectl.exchange.v2.window_size import TellWindow
from ikectl.iana.v2 import ExchangeType, NotifyType
from ikectl.sa.association import IkeState
from ikectl.sa.events import (
    MessageReceived,
    Note,
)
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.window import InFlight, Window
from ikectl.values.path import Path
from ikectl.wire.header import Header
from ikectl.wire.v2.message import Message

GRACE = 1.0
"""Seconds that another answer to IKE_SA_INIT has, after the one in use was disproved: who answers faster than
the peer may not end our attempt before the peer is heard."""
UNREADABLE = "the peer found our message malformed"
"""Its INVALID_SYNTAX is fatal in both peers, without a DELETE (RFC 7296 §2.21.3)."""


def _disproves(result: Next | None, error: BaseException | None) -> bool:
    """Whether a responder that has not authenticated refused us or made no sense."""
    if error is not None:
        return isinstance(error, IkectlError)
    return isinstance(result, Doubt) or (isinstance(result, Done) and bool(result.close or result.failed))


class Settler(Requester):
    """The part of `Machine` that hears responses. See the module."""

    __slots__ = ("_alternatives", "_verdict")

    def __init__(self, outside: Outside, sa: IkeSa, now: float) -> None:
        super().__init__(outside, sa, now)
        self._alternatives: Alternatives | None = None
        """From the answer to IKE_SA_INIT until IKE_AUTH proved it."""
        self._verdict: Callable[[], None] | None = None
        """What to make of a responder that refused us or did not prove itself, if no other answers in time."""

    def _take_response(self, header: Header, datagram: bytes, path: Path) -> None:
        sa, initial = self.sa, header.exchange in INITIAL
        if sa.state is IkeState.CLOSED:
            return
        if header.exchange is ExchangeType.IKE_SA_INIT and self._keep_alternative(datagram):
            return
        request = self.window.answered(header.exchange, header.message_id)
        if self._verdict is not None or request is None:
            self._drop(path, f"response {header.message_id} answers nothing we asked")
            return
        if sa.state in LIVE and crash_token.proves_loss(sa, header, datagram):
            self._close("the peer has lost the IKE SA: it was restarted", End.SILENT)
            return
        try:
            if initial:
                message = Message.read(datagram, header)
                if message.critical_unknown is not None:
                    raise UnsupportedCritical(message.critical_unknown)
            else:
                opened = self._opened(header, datagram)
                if opened is None:
                    return
                message, datagram = opened
        except IntegrityFailure as failure:
            self._drop(path, str(failure))
            return
        except (WireError, PeerMisbehaved) as failure:
            if initial:
                self._drop(path, str(failure))
            else:
                self._response_failed(request, failure)
            return
        if not initial:
            self._heard(path)
            if sa.mobility is not None:
                self._answered_on(path)
        sa.emit(MessageReceived(sa, header.exchange, header.message_id, True, message.payloads, len(datagram), path))
        if message.critical_unknown is not None:
            # Nothing may be sent in answer to a response (RFC 7296 §2.5): the exchange fails here.
            self._response_failed(request, UnsupportedCritical(message.critical_unknown))
            return
        if message.notify(NotifyType.INVALID_SYNTAX) is not None and sa.state in LIVE:
            self._close(UNREADABLE, End.DELETED)
            return
        self._run(request.purpose.take(sa, message), partial(self._taken, request, datagram))

    def _taken(self, request: InFlight, datagram: bytes, result: Next | None, error: BaseException | None) -> None:
        exchange: Exchange = request.purpose
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
                self.schedule.pop(("retransmit", request.message_id), None)
                self._verdict = partial(self._taken, request, datagram, result, error)
                self._set("verdict", self.now + GRACE)
            return
        if error is not None:
            self._response_failed(request, error)
            return
        match result:
            case Ignore(why):
                self._drop(self.sa.path, why)
            case Doubt(why) if self.sa.path.tcp:
                # Whoever could speak for the peer there is the only one who can (RFC 9329 §6.4).
                self._give_up(exchange, why)
            case Doubt(why):
                self.doubt = why
                self.sa.emit(Note(self.sa, f"{why} (not authenticated; waiting for another answer)"))
            case Again():
                self._drop_aside()
                self._ask_again(request)
            case Aside():
                self._work_aside(request, datagram, result)
            case Done():
                self._settle(request, datagram, result)

    def _ask_again(self, request: InFlight) -> None:
        self.doubt = None
        exchange: Exchange = request.purpose
        self._run(exchange.request(self.sa), partial(self._requested, exchange, request))

    def _work_aside(self, request: InFlight, datagram: bytes, aside: Aside) -> None:
        """Work before we go on, while other responses may come; only repeating the request would be in vain."""
        self._drop_aside()
        self.doubt = None
        self.schedule.pop(("retransmit", request.message_id), None)
        done = partial(self._worked, request, datagram if aside.take else b"")
        chore = Chore(self.outside, aside.job, done, self.now)
        if chore.question is not None:
            self.outside.asides[self.sa.our_spi] = chore

    def _worked(self, request: InFlight, datagram: bytes, failure: IkectlError | None, now: float) -> None:
        """The work is done, unless it is no longer wanted. `datagram` is the response to be taken now, if any."""
        self.outside.asides.pop(self.sa.our_spi, None)
        self.now = now
        if self._running is not None:
            self._inbox += (partial(self._worked, request, datagram, failure, now),)
        elif not any(each is request for each in self.window.in_flight) or self.sa.state is IkeState.CLOSED:
            return
        elif datagram:
            take = request.purpose.take(self.sa, Message.read(datagram))
            self._run(take, partial(self._taken, request, datagram))
        else:
            self._ask_again(request)

    def _drop_aside(self) -> None:
        """Nobody wants that work any more."""
        chore = self.outside.asides.pop(self.sa.our_spi, None)
        if chore is not None:
            chore.cancel()

    def _settle(self, request: InFlight, datagram: bytes, done: Done) -> None:
        """Our exchange is over."""
        sa, exchange = self.sa, request.purpose
        if isinstance(exchange, INITIALS):
            self._drop_aside()
            self._initial_settled(exchange, request, datagram)
        elif self.gave_up is ExchangeType.IKE_SESSION_RESUME and sa.state is IkeState.ESTABLISHED:
            self.gave_up = None
        self.window.settle(request)
        self.schedule.pop(("retransmit", request.message_id), None)
        self.doubt = None
        if sa.redirect:
            self.gave_up = exchange.type  # it is another gateway that is to be tried now
        if done.close is not None:
            self._outcome(exchange.token, None if isinstance(exchange, DeleteIke) else done.close)
            self._close(done.close)
            return
        if done.follow:
            self._follow_up(done.follow)
        if sa.redirect and isinstance(exchange, IkeAuth):
            self.queue.append(DeleteIke(f"the gateway sends us to {sa.redirect}"))
        if done.retry is not None:
            self._later(done.retry)
        if done.apart is not None:
            self.outside.annex(self, done.apart, exchange.token, done.failed or "")
        elif done.afresh:
            self.outside.reauthenticate(self, exchange.token)
        elif done.failed is not None:
            self._outcome(exchange.token, done.failed)
        elif done.retry is None and exchange.token not in [follow.token for follow in done.follow]:
            self._outcome(exchange.token, None)
        if sa.ticket is not None and not sa.ticket.until:
            sa.ticket.until = self.now + sa.ticket.lifetime  # it came with this, and is good from now on
        if done.redundant is not None:
            self.outside.supersede(done.redundant, self.now)
        if done.born is not None:
            self._bear(done.born)
        self.outside.changed(self)
        if sa.children:
            self._watch_children()

    def _initial_settled(self, exchange: IkeSaInit | SessionResume, request: InFlight, datagram: bytes) -> None:
        """Remember what IKE_AUTH will sign, and the way back should this response prove false."""
        shake = self.sa.handshake
        assert shake is not None
        shake.request, shake.response = request.datagrams[0], datagram
        if self._alternatives is None and isinstance(exchange, IkeSaInit):
            # The path may have moved to another port already: IKE_SA_INIT went between the old ones.
            self._alternatives = Alternatives(exchange, request.datagrams[0], exchange.path or self.sa.path)

    def _response_failed(self, request: InFlight, error: BaseException) -> None:
        """The answer to our request cannot be used."""
        exchange: Exchange = request.purpose
        if not isinstance(error, IkectlError):
            self._fault(error)
            return
        self._over(request)
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

    def _bear(self, birth: Birth) -> None:
        """Let an SA that this one made go its own way."""
        newcomer = type(self)(self.outside, birth.sa, self.now)
        self.outside.born(newcomer)
        for exchange in birth.follow or (TellWindow(), crash_token.TellToken(), RenewTicket()):
            newcomer.begin(exchange, self.now)

    # -- other answers to IKE_SA_INIT ----------------------------------------------

    def _keep_alternative(self, datagram: bytes) -> bool:
        """Whether an IKE_SA_INIT response is another one, beside that in use."""
        shake = self.sa.handshake
        if self._alternatives is None or shake is None:
            return False
        active = next(iter(self.active), None)
        if isinstance(active, IkeSaInit):
            return False
        self._alternatives.keep(datagram, shake.response)
        if self._verdict is not None and self._try_alternative(active):
            self._verdict = None
            self.schedule.pop("verdict", None)
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
        for request in self.window.in_flight:
            self._over(request)
        # What follows from the answer that is given up goes; what somebody wants besides waits on.
        self.queue = [each for each in self.queue if isinstance(each, CreateChild) and each.token != first]

        def start_over(_: None, failure: BaseException | None) -> None:
            if failure is not None:
                self._fault(failure)
                return
            self.window = Window()
            again = self.window.send(ExchangeType.IKE_SA_INIT, (alternatives.request,), alternatives.exchange)
            self.sa.path = alternatives.path
            take = alternatives.exchange.take(self.sa, Message.read(datagram))
            self._run(take, partial(self._taken, again, datagram))

        if disproved is None:
            start_over(None, None)
        else:
            self._run(disproved.abandon(self.sa, "another responder is tried"), start_over)
        return True
