"""Talk: the conversations of one ISAKMP SA, each under its message ID, in their order.

Know repeats, open, run, seal, send, repeat by time, give up. What an exchange
brings about when it is over, and the life of the SA, are in `machine.py`.
"""

from __future__ import annotations

from functools import partial

from ikectl.engine.driver import LIVE, Driver, End
from ikectl.engine.outside import Outside
from ikectl.engine.transmit import wait
from ikectl.engine.v1.conversation import Conversation, mark
from ikectl.engine.v1.envelope import PHASE_1, advance, open_message, write
from ikectl.engine.v1.fragmentation import Fragmentation
from ikectl.errors import (
    AuthenticationFailed,
    CredentialError,
    IkectlError,
    IntegrityFailure,
    NoProposalChosen,
    PeerMisbehaved,
    WireError,
)
from ikectl.exchange.v1 import diagnosis
from ikectl.exchange.v1.base import Done, Exchange, Ignore, Say, Turn
from ikectl.exchange.v1.informational import Tell
from ikectl.exchange.v1.quick import AnswerQuickMode, QuickMode
from ikectl.exchange.v1.refusal import refusal_of
from ikectl.exchange.v1.table import answer_to
from ikectl.iana.v1 import ExchangeType, PayloadType, exchange_type
from ikectl.sa.association import IkeState
from ikectl.sa.events import (
    AuthFailed,
    MessageReceived,
    MessageSent,
    Note,
    ProposalMismatch,
    Retransmitted,
    RetransmitTimeout,
)
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.values.path import Path
from ikectl.wire.header import Header
from ikectl.wire.v1.message import FLAG_ENCRYPTION, Message
from ikectl.wire.v1.notify import isakmp_delete
from ikectl.wire.v1.payload import Payload

MAX_OURS = 8
"""Conversations of ours under way at once; more wait for their turn, for a peer may have few places too."""
MAX_THEIRS = 16
"""Conversations of the peer under way at once; its next message is dropped, and comes again."""
MAX_MESSAGE_IDS = 8192
"""Message IDs of one SA, of which none may serve twice: a forgotten one could be played again. Probes each 30 seconds
from both ends for a day are fewer. Then nothing of the peer's is taken any more but in the SA that follows."""
RENEW_AT_MESSAGE_IDS = 3 * MAX_MESSAGE_IDS // 4
"""Phase 1 is run again when so many have served."""
FORGET_AFTER = 60.0
"""Seconds a conversation that is over is kept, to repeat its last message."""
RESPONDER_TRIES = 1
"""Repeats by time of a phase 1 message that goes to a peer which has not proven itself: its address may be forged."""
LOGIN_WAIT = 120.0
"""Seconds the peer has for XAUTH: a person types."""


def _belongs(exchange: Exchange, kind: ExchangeType) -> bool:
    """Whether a message of that kind may be of the exchange.

    CONNECTED is said in an informational exchange under quick mode's message ID (RFC 2408 §3.1), though most
    peers say it as a fourth message of quick mode.
    """
    waiting = isinstance(exchange, QuickMode) and exchange.made is not None
    return exchange.type is kind or (waiting and kind is ExchangeType.INFORMATIONAL)


class Talk(Driver[IsakmpSa]):
    """The conversations of one SA; what follows from them is for `IsakmpMachine`."""

    __slots__ = ("_retries", "conversations", "doubt", "fragmentation", "hinted", "queue")

    def __init__(self, outside: Outside, sa: IsakmpSa, now: float) -> None:
        super().__init__(outside, sa, now)
        self.conversations: dict[int, Conversation] = {}
        """By message ID; phase 1 has 0."""
        self.queue: list[Exchange] = []
        self.doubt = ""
        """What an unprotected notify said while phase 1 was under way."""
        self.hinted = False
        """The operator knows that something in phase 1 could not be read."""
        self.fragmentation = Fragmentation()
        self._retries: dict[int, Exchange] = {}

    def _settle(self, conversation: Conversation, done: Done) -> None:
        """The exchange is over: say its last message, if there is one, and see to what follows."""
        raise NotImplementedError

    @property
    def is_unanswered(self) -> bool:
        phase1 = self.conversations.get(0)
        return phase1 is not None and not phase1.ours and len(phase1.marks) == 1

    # -- in: the first message, and repeats of it ------------------------------

    def answer_first(self, exchange: Exchange, message: Message, datagram: bytes, path: Path, now: float) -> None:
        """The first message of a peer."""
        self.now = now
        self._set("half-open", now + self.sa.env.settings.half_open_timeout)
        conversation = Conversation(exchange, 0, False, path)
        self._emit_received(message, datagram, path)
        self._deliver(conversation, message, b"", datagram, path)

    def repeat(self, datagram: bytes, path: Path) -> None:
        """The peer's first message came again."""
        conversation = self.conversations.get(0)
        if conversation is not None and conversation.may_repeat(mark(datagram)):
            self._send(conversation.sent, path)

    # -- our turns -------------------------------------------------------------

    def _begin_next(self) -> None:
        if self.sa.state is IkeState.CLOSED or "settle" in self.schedule:
            return
        ours = [each for each in self.conversations.values() if each.ours and not each.over]
        if len(ours) >= MAX_OURS or any(each.exchange.ALONE for each in ours):
            return
        for place, exchange in enumerate(self.queue):
            if exchange.may_begin(self.sa) and not (exchange.ALONE and ours):
                del self.queue[place]
                self._start(exchange)
                return
            if exchange.ALONE:
                return  # what waits behind it must not overtake it

    def _start(self, exchange: Exchange) -> None:
        conversation = Conversation(exchange, 0 if exchange.type in PHASE_1 else self._fresh_id(), True)
        self._run(exchange.begin(self.sa), partial(self._taken, conversation, b"", b"", None))

    def _fresh_id(self) -> int:
        """A message ID: random, not 0, unused (RFC 2409 §5.5)."""
        while True:
            number = int.from_bytes(self.sa.random(4), "big")
            if number and number not in self.sa.message_ids and number not in self.conversations:
                return number

    # -- arriving messages -----------------------------------------------------

    def _take(self, header: Header, datagram: bytes, path: Path) -> None:
        if int(header.next_payload) == PayloadType.FRAGMENT:
            self._take_fragment(header, datagram, path)
        else:
            self._take_whole(header, datagram, path)

    def _take_fragment(self, header: Header, datagram: bytes, path: Path) -> None:
        if self.sa.state is IkeState.CLOSED:
            return
        try:
            joined = self.fragmentation.join(self.sa, header, datagram)
        except WireError as failure:
            self._drop(path, str(failure))
            return
        if joined is not None:
            self._take_whole(*joined, path)

    def _take_whole(self, header: Header, datagram: bytes, path: Path) -> None:
        sa, kind = self.sa, exchange_type(header.exchange)
        if sa.state is IkeState.CLOSED:
            return
        if kind is ExchangeType.INFORMATIONAL and not header.flags & FLAG_ENCRYPTION:
            self._hear_unprotected(header, datagram, path)
            return
        conversation = self.conversations.get(header.message_id)
        marked = mark(datagram)
        if conversation is None:
            conversation = self._new_conversation(header, kind, path)
            if conversation is None:
                return
        elif marked in conversation.marks:
            if conversation.may_repeat(marked):
                # Not to where the copy came from: anybody may have sent that.
                self._send(conversation.sent, conversation.path or sa.path)
            return
        elif conversation.over or not _belongs(conversation.exchange, kind):
            self._drop(path, f"{kind} under a message ID that served already")
            return
        same = conversation.exchange.type is kind
        if kind in PHASE_1 and path.remote.address != sa.path.remote.address:
            self._drop(path, "phase 1 goes on from another address")
            return
        try:
            # What comes in another exchange under that message ID has a chain of IVs of its own.
            chain = conversation if same else Conversation(conversation.exchange, header.message_id, True)
            message, iv = open_message(sa, chain, header, datagram)
        except (IntegrityFailure, WireError) as failure:
            self._drop(path, str(failure))
            if sa.state is IkeState.CONNECTING and header.flags & FLAG_ENCRYPTION:
                self._undecryptable(kind, str(failure))
            if kind not in PHASE_1:
                self._say_phase1_again(path)
            return
        if kind not in PHASE_1:
            self._heard()
            self.sa.octets += len(datagram)
        self._emit_received(message, datagram, path)
        self._deliver(conversation, message, iv, datagram, path)

    def _new_conversation(self, header: Header, kind: ExchangeType, path: Path) -> Conversation | None:
        """For a message ID not seen yet; nothing is kept of it until the message proves itself."""
        sa, number = self.sa, header.message_id
        answer = answer_to(sa, kind)
        if answer is None or number == 0:
            self._drop(path, f"{kind} is not answered by an SA that is {sa.state.name}")
            self._say_phase1_again(path)
            return None
        if number in sa.message_ids or len(sa.message_ids) >= MAX_MESSAGE_IDS:
            self._drop(path, "a message ID that served already, or too many have served")
            return None
        if sum(not each.ours and not each.over for each in self.conversations.values()) >= MAX_THEIRS:
            self._drop(path, "too many exchanges of the peer are under way")
            return None
        return Conversation(answer(), number, False)

    def _say_phase1_again(self, path: Path) -> None:
        """The peer believes that phase 1 is done: its last message to us must be lost, and it repeats that to ours."""
        phase1 = self.conversations.get(0)
        if self.sa.state is not IkeState.CONNECTING or phase1 is None or phase1.ours or not phase1.sent:
            return
        if path.remote.address == self.sa.path.remote.address and phase1.may_repeat(phase1.marks[-1]):
            self._send(phase1.sent, phase1.path or self.sa.path)

    def _undecryptable(self, kind: ExchangeType, why: str) -> None:
        """What the peer says under the keys of phase 1 makes no sense: most likely the pre-shared keys differ.

        Then it cannot read our proof, and we cannot read what it says to that. Outside of phase 1 this may be a
        message that overtook the last one of phase 1 as well, so it is worth a hint and no more.
        """
        sa = self.sa
        psk = sa.handshake is not None and sa.handshake.psk
        hint = f"the peer's encrypted message is of no use ({why})" + (
            f": most likely the pre-shared secrets of both ends differ; compare that for {sa.path.remote.host} here "
            "with the peer's"
            if psk
            else ""
        )
        if not self.hinted:
            sa.emit(Note(sa, hint))
        self.hinted = True
        if kind in PHASE_1:
            self.doubt = self.doubt or hint

    def _tell_unproven(self) -> None:
        """Phase 1 ends without a proof, and what came could not be read: as good as a wrong one."""
        if self.hinted and self.doubt and self.sa.state is IkeState.CONNECTING:
            self.sa.emit(AuthFailed(self.sa, True, self.doubt))

    def _hear_unprotected(self, header: Header, datagram: bytes, path: Path) -> None:
        """A notify anybody may have sent: it may tell the operator something, and changes no state (§5.7)."""
        sa = self.sa
        try:
            message = Message.read(datagram, header)
        except WireError as failure:
            self._drop(path, str(failure))
            return
        errors = [notify.type for notify in message.errors]
        if sa.state is not IkeState.CONNECTING or not errors or self.doubt:
            self._drop(path, "an unprotected informational message")
            return
        self.doubt = diagnosis.refused(errors, sa)
        sa.emit(Note(sa, f"{self.doubt} (not authenticated; waiting for another answer)"))

    # -- what comes of a message -----------------------------------------------

    def _deliver(self, conversation: Conversation, message: Message, iv: bytes, datagram: bytes, path: Path) -> None:
        if self.sa.handshake is not None:
            self.sa.handshake.arrived = path
        finish = partial(self._taken, conversation, mark(datagram), iv, path)
        self._run(conversation.exchange.take(self.sa, message), finish)

    def _taken(
        self,
        conversation: Conversation,
        marked: bytes,
        iv: bytes,
        path: Path | None,
        turn: Turn | None,
        error: BaseException | None,
    ) -> None:
        """A message was judged, or our exchange has its first one; `path` is where the message came from."""
        if error is not None:
            self._failed(conversation, iv, path, error)
            return
        if isinstance(turn, Ignore):
            assert path is not None
            self._drop(path, turn.why)
            return
        assert turn is not None
        self._keep(conversation)
        if path is not None:
            conversation.heard(marked)
            if iv:
                advance(self.sa, conversation, iv)
            if self.sa.state in LIVE and conversation.exchange.PROTECTED:
                self._follow(path)  # it was taken, so nobody has played it again
            if not conversation.ours:
                conversation.path = path
                if conversation.exchange.type in PHASE_1 and self.sa.state is not IkeState.CONNECTING:
                    self.sa.path = path  # proven just now, from where it came
        if isinstance(turn, Say):
            self._say(conversation, turn.payloads, clear=turn.clear, commit=turn.commit)
            self._wait(conversation)
            self._watch_children()
        else:
            self._settle(conversation, turn)

    def _keep(self, conversation: Conversation) -> None:
        number = conversation.message_id
        if number in self.conversations:
            return
        self.conversations[number] = conversation
        if number:
            ids = self.sa.message_ids
            ids[number] = None
            if len(ids) == RENEW_AT_MESSAGE_IDS:
                self.rekey(0, self.now)

    # -- what we say -----------------------------------------------------------

    def _say(
        self, conversation: Conversation, payloads: list[Payload], *, clear: bool = False, commit: bool = False
    ) -> None:
        sa = self.sa
        octets, payloads = write(sa, conversation, payloads, clear=clear, commit=commit)
        sa.octets += len(octets)
        conversation.said(self.fragmentation.cut(sa, octets))
        path = conversation.path or sa.path
        self._send(conversation.sent, path)
        kind, number = conversation.exchange.type, conversation.message_id
        sa.emit(MessageSent(sa, kind, number, None, payloads, len(octets), path))

    def _wait(self, conversation: Conversation) -> None:
        """Repeat our message until the peer answers, where that is for us to do."""
        if conversation.exchange.REPEATS:
            at = self.now + wait(self.sa, conversation.tries)
            self._set(("retransmit", conversation.message_id), at)
        elif conversation.exchange.type not in PHASE_1:
            # Gateways may go on with a login under another message ID, and never come back to this one.
            self._set(("forget", conversation.message_id), self.now + LOGIN_WAIT)

    def _finished(self, conversation: Conversation) -> None:
        number = conversation.message_id
        conversation.over = True
        self.schedule.pop(("retransmit", number), None)
        if conversation.sent:
            self._set(("forget", number), self.now + FORGET_AFTER)
        else:
            self.conversations.pop(number, None)

    def _emit_received(self, message: Message, datagram: bytes, path: Path) -> None:
        sa = self.sa
        sa.emit(MessageReceived(sa, message.exchange, message.message_id, None, message.payloads, len(datagram), path))

    def _heard(self) -> None:
        """An authentic message came: the peer lives."""
        self.sa.confirmed = True
        self.last_heard = self.now

    # -- what goes wrong -------------------------------------------------------

    def _failed(self, conversation: Conversation, iv: bytes, path: Path | None, error: BaseException) -> None:
        """The exchange cannot go on."""
        exchange, sa = conversation.exchange, self.sa
        if not isinstance(error, IkectlError):
            self._fault(error)
            return
        why = f"{exchange.subject}: {error}"
        initial = exchange.type in PHASE_1
        self._emit_failure(exchange, error, why)
        bad = isinstance(error, PeerMisbehaved | WireError | IntegrityFailure)
        if initial and bad and path is not None and sa.state is not IkeState.CREATED:
            # Malformed or illegal, and from nobody in particular: as if it never came, so that who sends
            # faster than the peer cannot end our attempt (RFC 2408 §5.1).
            self.doubt = self.doubt or why
            return
        if iv:
            advance(sa, conversation, iv)  # it was authentic or at least readable: the peer's chain goes on from here
        if path is not None and not initial:
            self._keep(conversation)  # its message ID served, and shall not serve again
        self._finished(conversation)
        self._outcome(exchange.token, why)
        # An informational message is not answered with another: two ends would go on for ever (RFC 2408 §3.14).
        answerable = path is not None and exchange.type is not ExchangeType.INFORMATIONAL
        notify = refusal_of(error) if answerable else None
        tell = None if notify is None else Tell([notify])
        if tell is not None and initial and sa.keys is not None:
            # The peer may have been done with phase 1, and would believe in an SA that never was.
            tell.payloads.append(isakmp_delete(sa.spi_i, sa.spi_r))

        def finish(_: None, failure: BaseException | None) -> None:
            if failure is not None and not isinstance(failure, IkectlError):
                self._fault(failure)
                return
            if tell is not None and initial:
                self._say(Conversation(tell, self._fresh_id(), True, path), tell.payloads, clear=sa.keys is None)
            elif tell is not None:
                self.queue.insert(0, tell)
            if initial:
                self._close(str(error))
            elif sa.state is not IkeState.CLOSED:
                self.outside.changed(self)

        self._run(exchange.abandon(sa, why), finish)

    def _emit_failure(self, exchange: Exchange, error: IkectlError, why: str) -> None:
        """The event that tells operators."""
        sa, initial = self.sa, exchange.type in PHASE_1
        if initial and isinstance(error, AuthenticationFailed):
            sa.emit(AuthFailed(sa, True, str(error)))
        elif initial and isinstance(error, CredentialError):
            sa.emit(AuthFailed(sa, False, str(error)))
        elif initial and isinstance(error, NoProposalChosen):
            sa.emit(ProposalMismatch(sa, "", str(error)))
        else:
            exchange.report(sa, error, why)

    def _forget(self, number: int) -> None:
        """A conversation has been over for a while, or the peer left it."""
        conversation = self.conversations.pop(number, None)
        if conversation is not None and not conversation.over:
            self._errands += ((partial(conversation.exchange.abandon, self.sa, "the peer left it"), self._errand_done),)

    # -- repeats by time -------------------------------------------------------

    def _retransmit(self, conversation: Conversation) -> None:
        exchange, settings = conversation.exchange, self.sa.env.settings
        stranger = exchange.type in PHASE_1 and not conversation.ours
        tries = RESPONDER_TRIES if stranger else settings.retransmit_tries
        if self.doubt and exchange.type in PHASE_1 and conversation.ours:
            self._tell_unproven()
            self._give_up(conversation, self.doubt)
        elif conversation.tries < tries:
            conversation.tries += 1
            step, number = exchange.step, conversation.message_id
            self.sa.emit(Retransmitted(self.sa, exchange.type, number, conversation.tries, step))
            self._send(conversation.sent, conversation.path or self.sa.path)
            self._wait(conversation)
        elif stranger:
            return  # the half-open timer ends it
        else:
            if conversation.ours:
                self.sa.emit(RetransmitTimeout(self.sa, exchange.type, conversation.tries, exchange.step))
            self._give_up(conversation, exchange.unanswered(self.sa, max(map(len, conversation.sent), default=0)))

    def _give_up(self, conversation: Conversation, why: str) -> None:
        """No answer. To what the peer began, it has lost interest; else it is dead."""
        if conversation.ours:
            self.gave_up = conversation.exchange.type
            self._outcome(conversation.exchange.token, why)
            conversation.exchange.token = 0
            self._close(why, End.SILENT)
            return
        self._finished(conversation)
        if isinstance(conversation.exchange, AnswerQuickMode):
            self.sa.emit(Note(self.sa, why))
            self.queue += conversation.exchange.taken_back()
        self._errands += ((partial(conversation.exchange.abandon, self.sa, why), self._errand_done),)

    def _later(self, exchange: Exchange) -> None:
        """Try again after a while."""
        number = len(self._retries) + 1
        while number in self._retries:
            number += 1
        self._retries[number] = exchange
        delay = self.sa.env.settings.busy_retry * (1 + self.sa.chance())
        self._set(("retry", number), self.now + delay)
