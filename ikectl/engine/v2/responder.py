"""Responder: requests of the peer, from the wire to our reply and what follows from it."""

from __future__ import annotations

from functools import partial
from typing import Any

from ikectl.crypto.kdf_v2 import IkeKeys
from ikectl.crypto.puzzle import earned
from ikectl.crypto.transforms import PRF_BY_ID
from ikectl.engine import lifetimes
from ikectl.engine.driver import STANDING, End
from ikectl.engine.outside import Outside
from ikectl.engine.v2.envelope import cut_reply_anew, open_message, write
from ikectl.engine.v2.fragmentation import is_fragment, is_large, repeats
from ikectl.engine.v2.requester import INITIAL
from ikectl.engine.v2.settler import Settler
from ikectl.errors import (
    IkectlError,
    IntegrityFailure,
    PeerMisbehaved,
    Refused,
    UnsupportedCritical,
    WireError,
)
from ikectl.exchange import children
from ikectl.exchange.v2.base import Answer, Reply
from ikectl.exchange.v2.message_id_sync import wish_of
from ikectl.exchange.v2.rekey_ike import take_over
from ikectl.exchange.v2.table import answer_to, busy, premature
from ikectl.exchange.v2.window_size import ReportMessageId
from ikectl.iana.v2 import ExchangeType, NotifyType, Protocol
from ikectl.sa.association import IkeState
from ikectl.sa.events import (
    MessageReceived,
    MessageSent,
    Note,
)
from ikectl.sa.followups import TIMEOUT as FOLLOWUP_TIMEOUT
from ikectl.sa.followups import Followups
from ikectl.sa.ike_sa import Handshake, IkeSa
from ikectl.sa.synchrony import Numbering, Synchrony, agree
from ikectl.sa.window import Verdict, mark
from ikectl.values.path import Path
from ikectl.wire.header import NO_SPI, Header
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Delete, Notify, Position, message_id_sync_notify
from ikectl.wire.v2.puzzle import PuzzleSolution

COMPLAIN_AFTER = 60.0
"""Seconds from one INVALID_MESSAGE_ID to the next; they must be rate limited (RFC 7296 §2.3)."""


class Responder(Settler):
    """The part of `Machine` that answers. See the module."""

    __slots__ = ("_keys_before", "answering")

    def __init__(self, outside: Outside, sa: IkeSa, now: float) -> None:
        super().__init__(outside, sa, now)
        self.answering: ExchangeType | None = None
        """The peer's exchange being answered."""
        self._keys_before: IkeKeys | None = None
        """Those the last request was sealed with, where its reply changed them: it may come again, cut anew."""

    def answer_init(
        self, answer: Answer, request: Message, datagram: bytes, path: Path, now: float, hurried: bool = False
    ) -> None:
        """The first message of a peer: the one exchange whose request no window judged.

        `hurried`: it has little time to go on (RFC 8019 §4.1).
        """
        self.now = now
        self.sa.emit(MessageReceived(self.sa, request.exchange, 0, False, request.payloads, len(datagram), path))
        settings = self.sa.env.settings
        self._set("half-open", now + (settings.half_open_hurried if hurried else settings.half_open_timeout))
        self._answer(answer, request, datagram, path)

    def repeat(self, datagram: bytes, path: Path) -> None:
        """The last request again: say the same (RFC 7296 §2.1)."""
        if self.window.judge(0) is Verdict.REPEAT:
            self._send(self.window.reply(0), path)

    def _take_request(self, header: Header, datagram: bytes, path: Path) -> None:
        sa, number = self.sa, header.message_id
        if not number and sa.numbering is not None and self._take_sync(sa.numbering, header, datagram, path):
            return
        verdict = self.window.judge(number)
        if verdict is Verdict.REPEAT:
            self._say_again(header, datagram, path)
            return
        if verdict is Verdict.OUTSIDE:
            self._drop(path, f"request {number} is outside of the window")
            if number > self.window.expected and "complained" not in self.schedule:
                self._complain(header, datagram)
            return
        if sa.state is IkeState.CLOSED or sa.keys is None:
            return
        if premature(sa, header.exchange):
            # The answer to our IKE_AUTH may be lost or late, and its sender not proven: it will say it again.
            self._drop(path, f"a request of {header.exchange} before authentication is done")
            return
        shake = sa.handshake
        if shake is not None and shake.puzzle is not None and not self._has_worked(shake, header, datagram):
            self._drop(path, f"{header.exchange} without the solution of the puzzle")
            return
        try:
            opened = self._opened(header, datagram)
            if opened is None:
                return
            message, datagram = opened
        except IntegrityFailure as failure:
            self._drop(path, str(failure))
            return
        except WireError as failure:
            # Authentic and malformed: INVALID_SYNTAX, and the SA ends (RFC 7296 §2.21.3).
            malformed = Reply([Notify(NotifyType.INVALID_SYNTAX)], close=str(failure))
            self._reply(header.exchange, number, datagram, path, malformed)
            return
        self._heard(path)
        sa.emit(MessageReceived(sa, header.exchange, number, False, message.payloads, len(datagram), path))
        if message.critical_unknown is not None:
            refusal = UnsupportedCritical(message.critical_unknown)
            # In IKE_AUTH the peer then has no SA either (§2.21.2); later the SA goes on.
            fatal = str(refusal) if sa.state is IkeState.CONNECTING else None
            reply = Reply([Notify(refusal.notify, refusal.data)], close=fatal)
            self._reply(header.exchange, number, datagram, path, reply)
            return
        predecessor = sa.predecessor
        if predecessor is not None and not any(delete.protocol is Protocol.IKE for delete in message.all(Delete)):
            # The peer works with this SA, so for it the simultaneous rekeying is decided.
            take_over(predecessor, sa)
            self.outside.supersede(predecessor, self.now)
        answer = answer_to(sa, message)
        if answer is None:
            why = f"{header.exchange} is no exchange for an SA that is {sa.state.name}"
            self._reply(header.exchange, number, datagram, path, Reply([Notify(NotifyType.INVALID_SYNTAX)], close=why))
            return
        if busy(self._under_way, answer, sa, message):
            self._reply(header.exchange, number, datagram, path, Reply([Notify(NotifyType.TEMPORARY_FAILURE)]))
            return
        self._answer(answer(), message, datagram, path)

    def _take_sync(self, numbering: Numbering, header: Header, datagram: bytes, path: Path) -> bool:
        """Whether it is a member of the peer's cluster that takes over; message ID 0 alone is no sign of it."""
        sa, synchrony = self.sa, numbering.synchrony
        if synchrony is None or sa.state not in STANDING or header.exchange is not ExchangeType.INFORMATIONAL:
            return False
        if is_fragment(header, datagram):
            return False
        if synchrony.asked == mark(datagram):
            if self.window.expected == synchrony.highest:  # else the member has its answer: it goes on
                self._send(synchrony.answer, path)
            return True
        try:
            message = open_message(sa, header, datagram)
        except (IntegrityFailure, WireError):
            return False  # judged by its number, as any other
        wanted = wish_of(message)
        if wanted is None:
            return False
        wish, skip = wanted
        position = agree(synchrony, wish, self.window.highest, self.window.next_request)
        if position is None:
            self._drop(path, f"a member of the peer's cluster wants to go on at {wish.send}, which is behind")
            return True
        self._heard(path)
        octets = len(datagram)
        sa.emit(MessageReceived(sa, header.exchange, 0, False, message.payloads, octets, path))
        self._go_on_at(synchrony, position, datagram, path)
        if skip and synchrony.counters:
            self._errands += ((partial(children.skip_numbers, sa, skip), self._followed),)
        self._next()
        return True

    def _go_on_at(self, synchrony: Synchrony, position: Position, datagram: bytes, path: Path) -> None:
        """Both ends go on at these numbers; the answer has message ID 0 as well (RFC 6311 §5.1)."""
        sa, payloads = self.sa, list[Payload]([message_id_sync_notify(position)])
        datagrams = write(sa, ExchangeType.INFORMATIONAL, 0, True, payloads, self._longest)
        synchrony.highest, synchrony.asked, synchrony.answer = position.receive, mark(datagram), datagrams
        self._send(datagrams, path)
        sa.emit(MessageSent(sa, ExchangeType.INFORMATIONAL, 0, True, payloads, sum(map(len, datagrams)), path))
        sa.emit(
            Note(
                sa,
                f"another member of the peer's cluster took over: its requests go on at {position.receive}, "
                f"ours at {position.send}",
            )
        )
        unanswered = self.window.in_flight
        self.window = self.window.moved(position.send, position.receive)
        self._ask_anew(unanswered)

    def _say_again(self, header: Header, datagram: bytes, path: Path) -> None:
        """A request that was answered comes again: the same reply, cut smaller where it seems not to arrive."""
        sa, number = self.sa, header.message_id
        keys = self._keys_before or sa.keys
        same = bool(self.window.repeat(number, datagram))
        if not same and not repeats(sa, header, datagram, keys):
            return
        reply = self.window.reply(number)
        if keys is not None and header.exchange not in INITIAL and is_large(sa, reply):
            limit = self._fragments.for_repeat(sa, number, 0 if same else len(datagram))
            if 0 < limit < len(reply[0]):
                reply = cut_reply_anew(sa, reply, keys, limit)
                self.window.recut(number, reply)
                sa.emit(
                    Note(sa, f"our answer to {header.exchange} seems not to arrive: sending it in smaller fragments")
                )
        self._send(reply, path)

    def _has_worked(self, shake: Handshake, header: Header, datagram: bytes) -> bool:
        """Whether an IKE_AUTH shows the solution that is due, in clear; one that has is enough (RFC 8019 §7.2.4)."""
        assert shake.puzzle is not None
        if header.exchange is not ExchangeType.IKE_AUTH:
            return True  # what comes between has a key exchange, or none, of its own
        try:
            solution = Message.read(datagram, header).get(PuzzleSolution)
        except (WireError, PeerMisbehaved):
            return False
        prf = PRF_BY_ID[shake.puzzle.prf].prf
        if solution is None or earned(prf, solution.keys, shake.nonce_r + self.sa.spi_r) < shake.puzzle.bits:
            return False
        shake.puzzle = None
        return True

    def _complain(self, header: Header, datagram: bytes) -> None:
        """The peer is beyond the window it may use: say so, if it really is the peer (RFC 7296 §2.3)."""
        try:
            if self.sa.state is not IkeState.ESTABLISHED or is_fragment(header, datagram):
                return
            open_message(self.sa, header, datagram)
        except (IntegrityFailure, WireError):
            return
        self.sa.emit(Note(self.sa, f"the peer uses message ID {header.message_id}; {self.window.expected} is due"))
        self._set("complained", self.now + COMPLAIN_AFTER)
        self.begin(ReportMessageId(header.message_id), self.now)

    def _answer(self, answer: Answer, message: Message, datagram: bytes, path: Path) -> None:
        self.answering = message.exchange
        finish = partial(self._responded, message.exchange, message.message_id, datagram, path)
        self._run(answer.respond(self.sa, message), finish)

    def _responded(
        self,
        exchange: ExchangeType,
        number: int,
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
        self._reply(exchange, number, datagram, path, reply)

    def _refusal(self, exchange: ExchangeType, error: BaseException) -> Reply | None:
        """What to say of a request that failed; None if nothing, because the SA is closed."""
        initial = exchange in INITIAL
        # Without that there is no SA to go on with; and nobody has proven who may begin it again and again.
        fatal = initial or exchange is ExchangeType.IKE_INTERMEDIATE
        if isinstance(error, Refused):
            refusal = Notify(error.notify, error.data, error.protocol, error.spi)
            return Reply([refusal], close=str(error) if fatal else None)
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
            return Reply([Notify(NotifyType.TEMPORARY_FAILURE)], close=str(error) if fatal else None)
        self._fault(error)
        return None

    def _reply(self, exchange: ExchangeType, number: int, datagram: bytes, path: Path, reply: Reply) -> None:
        """Seal and send the reply to the request of that number, keep it for a repeat, then see to what follows."""
        sa, initial = self.sa, exchange in INITIAL
        if initial and reply.close is not None:
            # No SA came of it, so it has no SPI (RFC 7296 §2.6).
            datagrams: tuple[bytes, ...]
            datagrams = (Message(sa.spi_i, NO_SPI, exchange, number, True, False, reply.payloads).write(),)
        else:
            datagrams = write(sa, exchange, number, True, reply.payloads, self._longest)
        # The first message of an SA is kept by the router, which knows by it that it comes again.
        self.window.replied(number, b"" if initial else datagram, datagrams)
        shake = sa.handshake
        if initial and shake is not None:
            shake.request, shake.response = datagram, datagrams[0]
        elif shake is not None:
            self._wait_for_more()
        self._send(datagrams, path)
        octets = sum(map(len, datagrams))
        sa.emit(MessageSent(sa, exchange, number, True, reply.payloads, octets, path))
        if reply.close is not None:
            self._close(reply.close, End.DELETED)
            return
        self._keys_before = None
        if reply.keys is not None:
            self._keys_before, sa.keys = sa.keys, reply.keys
        if reply.follow:
            self._follow_up(reply.follow)
        if reply.born is not None:
            self._bear(reply.born)
        if sa.redirect:
            self.outside.redirected(self)
        if sa.auth_lifetime and sa.established_at:
            lifetimes.limit_proof(sa, self.now)
            self._watch_proof()
        self.outside.changed(self)
        if sa.children:
            self._watch_children()
        if sa.followups is not None:
            self._watch_followups(sa.followups)

    # -- deadlines that follow ---------------------------------------------------

    def _wait_for_more(self) -> None:
        """Authentication takes several messages: time for the next one, within the bounds of the whole."""
        settings = self.sa.env.settings
        self._set("half-open", min(self.now + settings.half_open_timeout, self.began_at + settings.handshake_limit))

    def _watch_followups(self, followups: Followups[Any]) -> None:
        """The peer must go on with its additional key exchanges in time (RFC 9370 §2.2.4)."""
        for number in followups.pending:
            if ("followup", number) not in self.schedule:
                self._set(("followup", number), self.now + FOLLOWUP_TIMEOUT)

    def _watch_proof(self) -> None:
        """Set the deadlines of authentication."""
        sa = self.sa
        if sa.reauth_at:
            self._set("reauth", sa.reauth_at)
        if sa.expire_at:
            self._set("expire", sa.expire_at)
