"""Requester: our requests, from the queue to the wire, said again until they are answered or given up.

Whose turn it is and what waits for a better time is decided here; what comes
back is for `settler.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from ikectl.config.model import Tcp
from ikectl.engine.driver import LIVE, End
from ikectl.engine.outside import Outside
from ikectl.engine.transmit import wait
from ikectl.engine.v2.dialler import Dialler
from ikectl.engine.v2.envelope import cut_anew, open_message, write
from ikectl.engine.v2.fragmentation import REPEATS, Fragmentation, is_fragment, is_large
from ikectl.errors import (
    CannotProve,
    CredentialError,
    IkectlError,
)
from ikectl.exchange.v2.base import Exchange
from ikectl.exchange.v2.delete import DeleteIke
from ikectl.exchange.v2.diagnosis import unanswered
from ikectl.exchange.v2.followup_ke import FollowupKe, pending
from ikectl.exchange.v2.ike_auth import IkeAuth
from ikectl.exchange.v2.ike_intermediate import IkeIntermediate
from ikectl.exchange.v2.ike_sa_init import IkeSaInit
from ikectl.exchange.v2.session_resume import SessionResume
from ikectl.exchange.v2.table import goes_beside
from ikectl.iana.v2 import ExchangeType
from ikectl.sa.association import IkeState
from ikectl.sa.events import (
    AuthFailed,
    MessageSent,
    Note,
    Retransmitted,
    RetransmitTimeout,
)
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.window import InFlight
from ikectl.wire.header import Header
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message

INITIAL = (ExchangeType.IKE_SA_INIT, ExchangeType.IKE_SESSION_RESUME)
"""Those that make an SA: their messages are not protected."""
INITIALS = (IkeSaInit, SessionResume)
PATIENCE_WITH_TICKETS = 2
"""Repeats of what is to resume a session, until a full exchange is tried: who knows no tickets may say nothing."""
PATIENCE_BEFORE_TCP = 1
"""Repeats of IKE_SA_INIT in datagrams until `tcp = fallback` tries TCP: some eleven seconds."""
QUIET_IN_TCP = 2
"""Repeats of a request that are left out inside TCP: some twenty seconds."""
PATIENCE = 1
"""Repeats of an unproven responder's request before another one is tried: it keeps its half-open SA for
half a minute only."""

REPRIEVES = 3
"""How often an unanswered request is given more time because the peer was heard meanwhile."""
REPEATS_OF_A_REPRIEVE = 2
"""It is then repeated so often: some two minutes."""

NO_RETRIES: Mapping[int, Exchange] = MappingProxyType({})


class Requester(Dialler):
    """The part of `Machine` that asks. See the module."""

    __slots__ = ("_fragmentation", "_retries", "doubt")

    def __init__(self, outside: Outside, sa: IkeSa, now: float) -> None:
        super().__init__(outside, sa, now)
        self.doubt: str | None = None
        """An unproven refusal of our IKE_SA_INIT."""
        self._retries: Mapping[int, Exchange] = NO_RETRIES
        self._fragmentation: Fragmentation | None = None
        """Made when a long message goes out, or a fragment comes: most SAs never see one."""

    def _try_alternative(self, disproved: Exchange | None) -> bool:
        """Begin again behind IKE_SA_INIT with another response to it; False if there is none.

        `disproved` is our exchange with the responder that is given up.
        """
        raise NotImplementedError

    def begin(self, exchange: Exchange, now: float) -> None:
        """Queue one of our exchanges. A command's is refused when too many wait already."""
        self.now = now
        crowded = exchange.token and len(self.queue) >= self.sa.env.settings.max_queue
        if self.sa.state is IkeState.CLOSED or crowded:
            self._outcome(exchange.token, self.why or "too many exchanges wait on this IKE SA; try again later")
            return
        self.queue.append(exchange)
        self._next()

    # -- taking turns ----------------------------------------------------------

    def _follow_up(self, follow: tuple[Exchange, ...]) -> None:
        """What follows from a message goes before all that waits, unless something there serves it already."""
        if not self.queue and not self.window.in_flight:
            self.queue.extend(follow)
            return
        begun = (*self.active, *self.queue)
        self.queue[:0] = [wanted for wanted in follow if not any(each.serves(wanted) for each in begun)]

    def _begin_next(self) -> None:
        sa = self.sa
        if sa.mobility is not None or sa.path.tcp:
            self._mind_moves()
        if not self.queue or sa.state is IkeState.CLOSED:
            return
        if sa.predecessor is not None:
            return  # the SA is one of two of which one will go (RFC 7296 §2.8.2)
        first = 0
        if sa.followups is not None and self._awaits_replacement:
            # What we asked now would be refused, or lost with the SA; only its end need not wait.
            ends = [number for number, exchange in enumerate(self.queue) if isinstance(exchange, DeleteIke)]
            if not ends:
                return
            first = ends[0]
        if self.window.in_flight and not self._may_join(self.queue[first]):
            return
        self._start(self.queue.pop(first))

    def _may_join(self, exchange: Exchange) -> bool:
        """Whether it may begin beside those in flight: the peer has room for it, and it collides with none of them."""
        sa = self.sa
        if sa.numbering is None:
            return False
        return self.window.has_room(sa.numbering.peer_window) and goes_beside(exchange, self.active)

    @property
    def _awaits_replacement(self) -> bool:
        """The peer is amid replacing this SA: its additional key exchanges are under way (RFC 9370 §2.2.4)."""
        sa = self.sa
        return sa.state is IkeState.ESTABLISHED and pending(sa, sa) is not None

    @property
    def _under_way(self) -> tuple[Exchange, ...]:
        """Our exchanges in flight, and the next of each series that must not be torn."""
        if not self.queue:
            return self.active if self.window.in_flight else ()
        return (*self.active, *(exchange for exchange in self.queue if isinstance(exchange, FollowupKe)))

    # -- our requests ----------------------------------------------------------

    def _start(self, exchange: Exchange) -> None:
        self.making = exchange
        self._run(exchange.request(self.sa), partial(self._requested, exchange, None))

    def _requested(
        self, exchange: Exchange, again: InFlight | None, payloads: list[Payload] | None, error: BaseException | None
    ) -> None:
        """What to ask is known. `again` is the request in flight that it replaces under its own number (§2.6)."""
        self.making, sa = None, self.sa
        if error is not None:
            self._request_failed(exchange, again, error)
            return
        if payloads is None:
            self._outcome(exchange.token, None)
            return
        message_id = self.window.next_request if again is None else again.message_id
        datagrams = write(sa, exchange.type, message_id, False, payloads, self._longest)
        if again is None:
            request = self.window.send(exchange.type, datagrams, exchange)
            if sa.numbering is not None or is_large(sa, datagrams):
                request.payloads = payloads
        else:
            request = again
            request.datagrams, request.tries = datagrams, 0
        self._send_request(request)
        octets = sum(map(len, datagrams))
        sa.emit(MessageSent(sa, exchange.type, message_id, False, payloads, octets, sa.path))
        self._set(("retransmit", message_id), self.now + wait(sa, 0))

    def _request_failed(self, exchange: Exchange, again: InFlight | None, error: BaseException) -> None:
        if again is not None:
            self._over(again)
        if not isinstance(error, IkectlError):
            self._fault(error)
            return
        if isinstance(exchange, (*INITIALS, IkeIntermediate, IkeAuth)):
            if isinstance(error, CredentialError | CannotProve):
                self.sa.emit(AuthFailed(self.sa, False, str(error)))
            self._outcome(exchange.token, str(error))
            self._close(str(error))
            return
        why = f"{exchange.subject}: {error}"
        self.sa.emit(Note(self.sa, why))
        self._outcome(exchange.token, why)
        self._run(exchange.abandon(self.sa, why), self._errand_done)

    def _over(self, request: InFlight) -> None:
        """It needs no answer any more."""
        self.window.settle(request)
        self.schedule.pop(("retransmit", request.message_id), None)

    def _ask_anew(self, requests: tuple[InFlight, ...]) -> None:
        """Who they were for may never have seen them, or not told: the same under new numbers (RFC 6311 §5.1)."""
        for old in requests:
            self.schedule.pop(("retransmit", old.message_id), None)
            assert old.payloads is not None
            number = self.window.next_request
            datagrams = write(self.sa, old.exchange, number, False, old.payloads, self._longest)
            request = self.window.send(old.exchange, datagrams, old.purpose)
            request.payloads = old.payloads
            self._send_request(request)
            octets = sum(map(len, datagrams))
            self.sa.emit(MessageSent(self.sa, old.exchange, number, False, old.payloads, octets, self.sa.path))
            self._set(("retransmit", number), self.now + wait(self.sa, 0))

    # -- silence ---------------------------------------------------------------

    def _retransmit(self, message_id: int) -> None:
        request = next((each for each in self.window.in_flight if each.message_id == message_id), None)
        if request is None:
            return
        exchange, settings = request.purpose, self.sa.env.settings
        if self.doubt is not None:
            self._give_up(exchange, self.doubt)
            return
        if request.tries >= PATIENCE and self._try_alternative(exchange):
            return
        limit = settings.retransmit_tries + self._forbearance
        if self.gave_up is ExchangeType.IKE_SESSION_RESUME:
            limit = min(limit, PATIENCE_WITH_TICKETS)
        elif self._may_fall_back(exchange):
            limit = min(limit, PATIENCE_BEFORE_TCP)
        if request.tries >= limit and not self._is_reprieved(request):
            self.sa.emit(RetransmitTimeout(self.sa, request.exchange, request.tries))
            self._give_up(exchange, unanswered(self.sa, request.exchange, sum(map(len, request.datagrams))))
            return
        request.tries += 1
        if self._is_carried(request):
            return
        self.sa.emit(Retransmitted(self.sa, request.exchange, request.message_id, request.tries))
        if request.tries > REPEATS and request.payloads is not None:
            self._cut_smaller(request)
        self._send_request(request)
        self._set(("retransmit", message_id), self.now + wait(self.sa, request.tries))
        if self.sa.mobility is not None:
            self._try_other_paths(request)

    def _is_reprieved(self, request: InFlight) -> bool:
        """Whether the peer spoke since the request was said last, so that it is not dead (RFC 7296 §2.4).

        It may have ignored what came before authentication was done for it, as we do. The request is then said a few
        times more, which is a bound for peers that never answer it and speak all the same.
        """
        if self.sa.state not in LIVE or self.last_heard <= request.heard_at or request.reprieves >= REPRIEVES:
            return False
        request.reprieves += 1
        request.tries -= REPEATS_OF_A_REPRIEVE
        return True

    def _may_fall_back(self, exchange: Exchange) -> bool:
        """Whether TCP is to be tried if datagrams do not get through (RFC 9329 §5.1)."""
        connection = self.sa.connection
        may = connection is not None and connection.tcp is Tcp.FALLBACK and not self.sa.path.tcp
        return may and isinstance(exchange, IkeSaInit)

    def _is_carried(self, request: InFlight) -> bool:
        """Whether TCP sees to it that the request arrives: it is not said again on the same connection (RFC 9329 §6.2).

        The time that the peer has for an answer is the same as with datagrams; and some way into it the request is
        said again all the same, for the peer may have dropped what came too early for it.
        """
        sa = self.sa
        if not sa.path.tcp or request.tries > QUIET_IN_TCP:
            return False
        self._mind_moves()
        if request.sent_on != sa.path:
            self._send_request(request)
        self._set(("retransmit", request.message_id), self.now + wait(sa, request.tries))
        return True

    def _cut_smaller(self, request: InFlight) -> None:
        """Large datagrams seem not to arrive: the same request in smaller ones (RFC 7383 §2.5.2)."""
        limit = self._fragments.smaller(self.sa, request.datagrams)
        assert request.payloads is not None
        if limit:
            request.datagrams = cut_anew(self.sa, request.exchange, request.message_id, request.payloads, limit)
            self.sa.emit(Note(self.sa, f"no answer to {request.exchange}: sending it in smaller fragments"))

    def _give_up(self, exchange: Exchange, why: str) -> None:
        """No usable answer: the SA is dead (RFC 7296 §2.4)."""
        self.gave_up = self.gave_up or exchange.type
        self._outcome(exchange.token, None if isinstance(exchange, DeleteIke) else why)
        exchange.token = 0
        self._close(why, End.SILENT)

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
        delay = settings.busy_retry * 2 ** max(tries - 1, 0) * (1 + self.sa.chance() / 4)
        self._set(("retry", number), self.now + delay)

    @property
    def _fragments(self) -> Fragmentation:
        if self._fragmentation is None:
            self._fragmentation = Fragmentation()
        return self._fragmentation

    def _opened(self, header: Header, datagram: bytes) -> tuple[Message, bytes] | None:
        """The protected message that came with a datagram, and the datagram that stands for it.

        None as long as fragments of it are missing. Raises IntegrityFailure, WireError.
        """
        if is_fragment(header, datagram):
            return self._fragments.join(self.sa, header, datagram)
        return open_message(self.sa, header, datagram), datagram

    def _longest(self, sa: IkeSa) -> int:
        """The octets of the longest message that goes out whole; 0: any."""
        return self._fragments.limit(sa)
