"""IsakmpMachine: one ISAKMP SA at work. Runs one coroutine at a time.

An ISAKMP SA holds several conversations at once, each under its message ID:
phase 1 under 0, quick modes, transactions and informational exchanges under
numbers of their own. Protocol judgement is in `exchange/v1`; here is only the
order of things: know repeats, open, run, seal, send, repeat by time, end.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ikectl.config.model import Child, Fragmentation
from ikectl.engine import lifetimes
from ikectl.engine.driver import LIVE, Driver, End
from ikectl.engine.outside import Outside
from ikectl.engine.transmit import fraction, wait
from ikectl.engine.v1.conversation import Conversation, mark
from ikectl.engine.v1.envelope import PHASE_1, advance, open_message, write
from ikectl.engine.view import TasksView
from ikectl.errors import (
    AuthenticationFailed,
    CredentialError,
    IkectlError,
    IntegrityFailure,
    NoProposalChosen,
    PeerMisbehaved,
    WireError,
)
from ikectl.exchange.children import remove
from ikectl.exchange.v1 import diagnosis
from ikectl.exchange.v1.aggressive import Aggressive
from ikectl.exchange.v1.base import Done, Exchange, Ignore, Say, Turn
from ikectl.exchange.v1.informational import Probe, Tell, TellDelete
from ikectl.exchange.v1.main import MainMode
from ikectl.exchange.v1.modecfg import PullConfig
from ikectl.exchange.v1.quick import AnswerQuickMode, QuickMode, rekeying
from ikectl.exchange.v1.quick import wanted as quick_modes
from ikectl.exchange.v1.refusal import refusal_of
from ikectl.exchange.v1.table import answer_to
from ikectl.iana.v1 import ExchangeType, PayloadType, VendorId, exchange_type
from ikectl.sa.association import IkeState
from ikectl.sa.child_sa import ChildSa, ChildState
from ikectl.sa.events import (
    AuthFailed,
    MessageReceived,
    MessageSent,
    Note,
    ProposalMismatch,
    Retransmitted,
    RetransmitTimeout,
)
from ikectl.sa.fragments import Fragments
from ikectl.sa.isakmp_sa import Awaited, IsakmpSa
from ikectl.sa.schedule import Name
from ikectl.values.path import Path
from ikectl.wire.header import Header
from ikectl.wire.v1.fragment import Fragment, split
from ikectl.wire.v1.message import FLAG_ENCRYPTION, Message
from ikectl.wire.v1.notify import Notify, isakmp_delete
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
CONFIG_WAIT = 30.0
"""Seconds the peer has for its part of mode config before we go on without one."""
RENEW_AT = 0.75
"""The part of an inner address's time after which it is asked for again; the rest is for repeats."""
CONTACT_WINDOW = 60.0
"""Seconds in which INITIAL-CONTACT may come behind phase 1; later it is nonsense, or was recorded and played again."""
CONFIRM_WAIT = 2.0
"""Seconds until we ask a peer that has not said a word since aggressive mode ended; doubled each time."""
CONFIRM_TRIES = 5
RERUN_WAIT = 180.0
"""Seconds until phase 1 is run again once more, where the first attempt came to nothing."""
LOGIN_WAIT = 120.0
"""Seconds the peer has for XAUTH: a person types."""
SUCCESSION_WAIT = 30.0
"""Seconds an SA that a newer one replaced stays, for what is under way on it."""
SUCCESSION_LONGEST = 180.0
"""Seconds it stays if nothing shows that the peer has the newer one, too. By then the peer has given that up."""
RETIRE_AFTER = 120.0
"""Seconds until we delete a child that the peer renewed and did not delete."""
FRAGMENT_OCTETS = 1280
"""A datagram of ours is not longer than this with the IP and UDP headers, when it is cut (RFC 8200 §5)."""
IP_UDP_OCTETS = 48
"""Of IPv6, the longer ones."""


def _belongs(exchange: Exchange, kind: ExchangeType) -> bool:
    """Whether a message of that kind may be of the exchange.

    CONNECTED is said in an informational exchange under quick mode's message ID (RFC 2408 §3.1), though most
    peers say it as a fourth message of quick mode.
    """
    waiting = isinstance(exchange, QuickMode) and exchange.made is not None
    return exchange.type is kind or (waiting and kind is ExchangeType.INFORMATIONAL)


class IsakmpMachine(Driver[IsakmpSa]):
    """Drives one IsakmpSa. See the module."""

    __slots__ = (
        "_fragments",
        "_retries",
        "confirm_tries",
        "conversations",
        "doubt",
        "forsaken",
        "fragment_id",
        "handling",
        "hinted",
        "probe_tries",
        "queue",
    )

    def __init__(self, outside: Outside, sa: IsakmpSa, now: float) -> None:
        super().__init__(outside, sa, now)
        self.conversations: dict[int, Conversation] = {}
        """By message ID; phase 1 has 0."""
        self.queue: list[Exchange] = []
        self.handling: Conversation | None = None
        """Whose message is being taken."""
        self.forsaken = False
        """Nothing is to outlive it."""
        self.doubt = ""
        """What an unprotected notify said while phase 1 was under way."""
        self.hinted = False
        """The operator knows that something in phase 1 could not be read."""
        self.confirm_tries = 0
        self.probe_tries = 0
        self.fragment_id = 0
        self._fragments: Fragments | None = None
        self._retries: dict[int, Exchange] = {}

    # -- what the engine wants done ----------------------------------------------

    def initiate(self, child: Child | None, token: int, now: float) -> None:
        connection = self.sa.connection
        assert connection is not None
        first = Aggressive(token) if connection.aggressive else MainMode(token)
        if child is not None:
            # Who wants a child is told when that is up, not when phase 1 is.
            first.token = 0
            self.queue += quick_modes(child, token)
        self.queue.insert(0, first)
        self.go_on(now)

    def create_child(self, child: Child, token: int, now: float) -> None:
        self.begin(*quick_modes(child, token), now=now)

    def rekey(self, token: int, now: float) -> None:
        """Phase 1 is not rekeyed but run again: another SA, which then takes over the children (RFC 2409 §4)."""
        self.now = now
        if self.sa.state is IkeState.ESTABLISHED:
            self.outside.again(self, token)
        else:
            self._outcome(token, f"the IKE SA is {self.sa.state.name}, and only an established one can be renewed")

    def rekey_child(self, child: ChildSa, now: float, token: int = 0) -> None:
        self.begin(rekeying(child, token), now=now)

    def delete(self, why: str, token: int, now: float) -> None:
        self.begin(TellDelete(tuple(self.sa.living_children), True, why, token), now=now)

    def delete_children(self, children: tuple[ChildSa, ...], why: str, token: int, now: float) -> None:
        self.begin(TellDelete(children, False, why, token), now=now)

    @property
    def is_unanswered(self) -> bool:
        phase1 = self.conversations.get(0)
        return phase1 is not None and not phase1.ours and len(phase1.marks) == 1

    @property
    def tasks(self) -> TasksView:
        under_way = [each for each in self.conversations.values() if not each.over]
        return TasksView(
            queued=tuple(type(exchange).__name__ for exchange in self.queue),
            active=tuple(type(each.exchange).__name__ for each in under_way if each.ours),
            passive=tuple(type(each.exchange).__name__ for each in under_way if not each.ours),
        )

    def begin(self, *exchanges: Exchange, now: float) -> None:
        """Queue exchanges of ours. A command's are refused when too many wait already."""
        self.now = now
        for exchange in exchanges:
            crowded = exchange.token and len(self.queue) >= self.sa.env.settings.max_queue
            if self.sa.state is IkeState.CLOSED or crowded:
                self._outcome(exchange.token, self.why or "too many exchanges wait on this IKE SA; try again later")
            else:
                self.queue.append(exchange)
        self._next()

    def take_on(self, exchanges: Sequence[Exchange]) -> None:
        """Exchanges and children of an older SA whose place this one has.

        Begins nothing by itself, because it may be amid the handling of a message: the next deadline does.
        """
        self.queue += exchanges
        self._watch_children()
        if exchanges:
            self._set("turn", self.now)

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
            self._send_all(conversation.sent, path)

    def adopt(self, old: Driver[IsakmpSa], now: float) -> None:
        """As every driver, and take over the quick modes that waited there."""
        super().adopt(old, now)
        assert isinstance(old, IsakmpMachine)
        self.queue += [exchange for exchange in old.queue if isinstance(exchange, QuickMode)]
        old.queue = [exchange for exchange in old.queue if not isinstance(exchange, QuickMode)]
        for name in ("renew", "address"):
            at = old.schedule.at(name)
            if at is not None and self.schedule.at(name) is None:
                self._set(name, at)

    def give_way(self, now: float) -> None:
        """Another SA with the peer stands: if ours has no answer yet, it is not needed any more."""
        first = self.conversations.get(0)
        if self.sa.state is IkeState.CONNECTING and first is not None and not first.marks:
            self._outcome(first.exchange.token, None)
            first.exchange.token = 0
            self.close("another phase 1 with the peer was quicker", now)

    def revived(self, now: float) -> None:
        """Another SA had replaced this one, and is gone."""
        self.schedule.clear("succession")
        self.established(now)

    def superseded(self, now: float) -> None:
        self.now = now
        for name in ("rekey", "expire", "liveness", "keepalive", "confirm", "probe", "renew", "address"):
            self.schedule.clear(name)
        self._set("succession", now + SUCCESSION_WAIT)

    def established(self, now: float) -> None:
        super().established(now)
        self.schedule.clear("login")
        if self.sa.dpd and not self.sa.confirmed:
            self._set("confirm", now + CONFIRM_WAIT)
        self._begin_lifetime(now)
        if self.sa.connection is not None and Awaited.CONFIG in self.sa.awaited:
            self._set("config", now + CONFIG_WAIT)

    def _begin_lifetime(self, now: float) -> None:
        """Set when the SA, established at `now`, is to be renewed and ends."""
        lifetimes.begin_isakmp(self.sa, now)
        if self.sa.rekey_at:
            self._set("rekey", self.sa.rekey_at)
            self._set("expire", self.sa.expire_at)

    def _watch_volume(self) -> None:
        """Renew the SA when most of the octets are used that it may protect, and end it with them."""
        left = lifetimes.octets_left(self.sa)
        if left is None or self.sa.state is not IkeState.ESTABLISHED:
            return
        if left <= 0:
            self.queue.insert(0, TellDelete((), True, "its volume is used up", alone=True))
        elif left < self.sa.octets // 9 and self.schedule.at("volume") is None:
            self._set("volume", self.now + RERUN_WAIT)
            self.rekey(0, self.now)

    def _hold_lifetime(self) -> None:
        """RESPONDER-LIFETIME may come at any time, behind phase 1 too (RFC 2407 §4.6.3)."""
        sa = self.sa
        stands = sa.state is IkeState.ESTABLISHED and sa.established_at
        if stands and sa.life_time and not 0.0 < sa.expire_at <= sa.established_at + sa.life_time:
            self._begin_lifetime(sa.established_at)

    def close(self, why: str, now: float) -> None:
        """As every driver: the children go too, even if another SA stands between the same ends."""
        self.forsaken = True
        super().close(why, now)

    def drop_inherited(self, why: str, now: float) -> None:
        """Remove the children that are older than this SA: the peer does not know them."""
        self.now = now
        inherited = [each for each in self.sa.living_children if 0.0 < each.installed_at < self.sa.established_at]
        for child in inherited:
            self._errands += ((partial(remove, self.sa, child, why), self._errand_done),)

    # -- our turns ---------------------------------------------------------------

    def _begin_next(self) -> bool:
        if self.sa.state is IkeState.CLOSED:
            return False
        ours = [each for each in self.conversations.values() if each.ours and not each.over]
        if len(ours) >= MAX_OURS or any(each.exchange.ALONE for each in ours):
            return False
        for place, exchange in enumerate(self.queue):
            if exchange.may_begin(self.sa) and not (exchange.ALONE and ours):
                del self.queue[place]
                self._start(exchange)
                return True
            if exchange.ALONE:
                return False  # what waits behind it must not overtake it
        return False

    def _start(self, exchange: Exchange) -> None:
        conversation = Conversation(exchange, 0 if exchange.type in PHASE_1 else self._fresh_id(), True)
        self.handling = conversation
        self._run(exchange.begin(self.sa), partial(self._taken, conversation, b"", b"", None))

    def _fresh_id(self) -> int:
        """A message ID: random, not 0, unused (RFC 2409 §5.5)."""
        while True:
            number = int.from_bytes(self.sa.random(4), "big")
            if number and number not in self.sa.message_ids and number not in self.conversations:
                return number

    # -- arriving messages -------------------------------------------------------

    def _take(self, header: Header, datagram: bytes, path: Path) -> None:
        try:
            if int(header.next_payload) == PayloadType.FRAGMENT:
                self._take_fragment(header, datagram, path)
            else:
                self._take_whole(header, datagram, path)
        except Exception as defect:
            self._fault(defect)

    def _take_fragment(self, header: Header, datagram: bytes, path: Path) -> None:
        connection = self.sa.connection
        if self.sa.state is IkeState.CLOSED or (
            connection is not None and connection.fragmentation is Fragmentation.NO
        ):
            self._drop(path, "a fragment, and fragmentation is switched off")
            return
        try:
            (fragment,) = Message.read(datagram, header).payloads
            if not isinstance(fragment, Fragment):
                raise WireError("a fragment among other payloads")
            if self._fragments is None:
                self._fragments = Fragments()
            whole = self._fragments.add(fragment)
            if whole is None:
                return
            inner = Header.read(whole)
        except (WireError, ValueError) as failure:
            self._drop(path, str(failure))
            return
        if (inner.spi_i, inner.spi_r) != (header.spi_i, header.spi_r) or int(
            inner.next_payload
        ) == PayloadType.FRAGMENT:
            self._drop(path, "fragments of a message that is not of this SA")
            return
        self._take_whole(inner, whole, path)

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
                self._send_all(conversation.sent, conversation.path or sa.path)
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
            self._send_all(phase1.sent, phase1.path or self.sa.path)

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

    def _deliver(self, conversation: Conversation, message: Message, iv: bytes, datagram: bytes, path: Path) -> None:
        self.handling = conversation
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
        self.handling = None
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

    def _say(
        self, conversation: Conversation, payloads: list[Payload], *, clear: bool = False, commit: bool = False
    ) -> None:
        sa = self.sa
        octets, payloads = write(sa, conversation, payloads, clear=clear, commit=commit)
        sa.octets += len(octets)
        conversation.said(self._cut(octets))
        path = conversation.path or sa.path
        self._send_all(conversation.sent, path)
        kind, number = conversation.exchange.type, conversation.message_id
        sa.emit(MessageSent(sa, kind, number, None, payloads, len(octets), path))

    def _cut(self, octets: bytes) -> tuple[bytes, ...]:
        """The datagrams that carry a message: fragments where both ends like them and it is too long."""
        sa = self.sa
        connection = sa.connection
        limit = FRAGMENT_OCTETS - IP_UDP_OCTETS
        if connection is None or len(octets) <= limit:
            return (octets,)
        wish = connection.fragmentation
        if wish is Fragmentation.FORCE or (wish is Fragmentation.YES and VendorId.FRAGMENTATION in sa.peer):
            self.fragment_id = self.fragment_id % 0xFFFF + 1
            return tuple(split(octets, limit, self.fragment_id))
        return (octets,)

    def _send_all(self, datagrams: tuple[bytes, ...], path: Path) -> None:
        for datagram in datagrams:
            self._send(datagram, path)

    def _wait(self, conversation: Conversation) -> None:
        """Repeat our message until the peer answers, where that is for us to do."""
        if conversation.exchange.REPEATS:
            at = self.now + wait(self.sa.env.settings, conversation.tries, self.sa.random)
            self._set(("retransmit", conversation.message_id), at)
        elif conversation.exchange.type not in PHASE_1:
            # Gateways may go on with a login under another message ID, and never come back to this one.
            self._set(("forget", conversation.message_id), self.now + LOGIN_WAIT)

    def _settle(self, conversation: Conversation, done: Done) -> None:
        """The exchange is over, with or without a last message."""
        exchange = conversation.exchange
        if done.payloads is not None:
            self._say(conversation, done.payloads)
        self._finished(conversation)
        self.doubt = ""
        if exchange.type in PHASE_1 and done.payloads is None:
            self.sa.confirmed = True  # the last message of phase 1 was the peer's
        if done.close is not None:
            self._outcome(exchange.token, None if isinstance(exchange, TellDelete) else done.close)
            alone = not conversation.ours or (isinstance(exchange, TellDelete) and exchange.alone)
            self._close(done.close, End.OURS if conversation.ours else End.DELETED, hand_over=alone)
            return
        if conversation.ours or len(self.queue) < self.sa.env.settings.max_queue:
            self.queue[:0] = done.follow  # what the peer brings about is bounded; ours is by who commands
        for config in done.wanted:
            self.queue += quick_modes(config)
        self._hold_lifetime()
        if done.errors:
            self._hear_refusal(done.errors)
        if done.first_contact and self.now - self.sa.established_at < CONTACT_WINDOW:
            self.outside.first_contact(self)
        if done.retry is not None:
            self._later(done.retry)
        if done.failed is not None:
            self._outcome(exchange.token, done.failed)
        elif not any(each.token == exchange.token for each in done.follow):
            self._outcome(exchange.token, None)
        self._watch_volume()
        self._see_to_login()
        self._see_to_inner()
        self.outside.changed(self)
        self._watch_children()

    def _outcome(self, token: int, error: str | None) -> None:
        if error and self.earlier and self.sa.state in (IkeState.CREATED, IkeState.CONNECTING):
            error = f"by IKEv1: {error}; before that, by IKEv2: {self.earlier}"
        super()._outcome(token, error)

    def _hear_refusal(self, errors: tuple[Notify, ...]) -> None:
        """The peer said no, under protection, in an exchange of its own: find what it is about by its SPI."""
        types = [notify.type for notify in errors]
        if self.sa.state is IkeState.CONNECTING:
            self.doubt = diagnosis.refused(types, self.sa)
            return
        ours = [each for each in self.conversations.values() if each.ours and not each.over]
        modes = [each for each in ours if isinstance(each.exchange, QuickMode)]
        for notify in errors:
            named = [each for each in modes if isinstance(each.exchange, QuickMode) and each.exchange.names(notify.spi)]
            refused = (named or modes)[:1]
            for conversation in refused:
                modes.remove(conversation)
                self._refused(conversation, conversation.exchange.refused(self.sa, types))
            if not refused:
                self.sa.emit(Note(self.sa, f"the peer reports {notify.type}, which is about nothing under way"))

    def _refused(self, conversation: Conversation, why: str) -> None:
        exchange = conversation.exchange
        assert isinstance(exchange, QuickMode)
        self._finished(conversation)
        self._outcome(exchange.token, f"{exchange.subject}: {why}")
        exchange.token = 0
        if exchange.old is not None:
            self._later(QuickMode(exchange.config, None, 0, exchange.old))
        self._errands += ((partial(exchange.give_up, self.sa, why), self._errand_done),)

    def _finished(self, conversation: Conversation) -> None:
        number = conversation.message_id
        conversation.over = True
        self.schedule.clear(("retransmit", number))
        if conversation.sent:
            self._set(("forget", number), self.now + FORGET_AFTER)
        else:
            self.conversations.pop(number, None)

    def _see_to_login(self) -> None:
        """Phase 1 is done and XAUTH is not: the peer, or its user, has a while for it."""
        if self.sa.state is IkeState.AUTHENTICATING and self.schedule.at("login") is None:
            self.schedule.clear("half-open")
            self._set("login", self.now + LOGIN_WAIT)

    def _see_to_inner(self) -> None:
        """The peer said how long our inner addresses may be used (draft-dukes-ike-mode-cfg-02 §3.4)."""
        inner = self.sa.inner
        if inner is None or inner.expires_in is None:
            return
        seconds, inner.expires_in = inner.expires_in, None
        self.schedule.clear("renew")
        self.schedule.clear("address")
        if seconds:
            self._set("renew", self.now + RENEW_AT * seconds)
            self._set("address", self.now + seconds)

    def _emit_received(self, message: Message, datagram: bytes, path: Path) -> None:
        sa = self.sa
        sa.emit(MessageReceived(sa, message.exchange, message.message_id, None, message.payloads, len(datagram), path))

    def _heard(self) -> None:
        """An authentic message came: the peer lives."""
        self.sa.confirmed = True
        self.last_heard = self.now
        self.probe_tries = 0
        self.schedule.clear("probe")

    # -- what goes wrong -----------------------------------------------------------

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
        notify = refusal_of(error) if path is not None else None
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

    # -- timers ---------------------------------------------------------------------

    def _watch_children(self) -> None:
        """As every driver; and children that were renewed are deleted: soon by who renewed them, else by us in the end.

        Nobody acknowledges deletes, so the peer's may be lost, and some peers send none.
        """
        super()._watch_children()
        if self.sa.heir is not None:
            self.outside.hand_over(self.sa.home, ())  # what a quick mode under way here made belongs there
        for child in self.sa.children.values():
            successor = child.successor
            if child.state is not ChildState.REKEYED or successor is None:
                continue
            if self.schedule.at(("retire", child.spi_in)) is None:
                soon = self.sa.env.settings.delete_rekeyed_delay
                self._set(("retire", child.spi_in), self.now + (soon if successor.initiator else RETIRE_AFTER))

    def _named_timer(self, name: Name) -> None:
        if name == "half-open":
            if self.sa.state is IkeState.CONNECTING:
                phase1 = self.conversations.get(0)
                silent = phase1.exchange.unanswered(self.sa) if phase1 is not None else "the peer did not go on"
                self._tell_unproven()
                self._close(self.doubt or silent)
        elif name == "login":
            if self.sa.state is IkeState.AUTHENTICATING:
                logs_in = self.sa.connection is not None and self.sa.connection.xauth_client is not None
                self._close(
                    "the gateway did not ask our user to log in, or did not say how that ended: compare auth = xauth"
                    if logs_in
                    else "the peer's user did not finish to log in by XAUTH"
                )
        elif name == "config":
            if Awaited.CONFIG in self.sa.awaited:
                self.sa.emit(Note(self.sa, "mode config, which is the peer's turn, did not come; going on without"))
                self.sa.awaited -= {Awaited.CONFIG}
        elif name == "renew":
            self.queue.append(PullConfig())
        elif name == "address":
            self.queue.insert(0, TellDelete((), True, "the time of the inner address ended, and it was not renewed"))
        elif name == "rekey":
            self.rekey(0, self.now)
            self._set("rekey", self.now + RERUN_WAIT)
        elif name == "expire":
            self.queue.insert(0, TellDelete((), True, "its lifetime ended", alone=True))
        elif name == "succession":
            if self._still_needed():
                self._set("succession", self.now + SUCCESSION_WAIT)
                return
            self.queue.insert(0, TellDelete((), True, "replaced by a newer ISAKMP SA", alone=True))
        elif name == "confirm":
            self._confirm()
        elif name in ("turn", "volume"):
            pass  # the next exchange begins after any deadline
        elif name == "probe":
            self._probe()
        else:
            super()._named_timer(name)

    def _confirm(self) -> None:
        """Aggressive mode ends with a message of ours: if it was lost, what we say makes the peer ask for it again.

        An SA that the peer never came to know gives its children back to the one it replaced.
        """
        if self.sa.confirmed or self.sa.state is not IkeState.ESTABLISHED:
            return
        self.confirm_tries += 1
        if self.confirm_tries <= CONFIRM_TRIES:
            self.queue.insert(0, Probe())
            self._set("confirm", self.now + CONFIRM_WAIT * 2**self.confirm_tries)
        elif self.sa.forerunners:
            self._close("the peer never took the last message of phase 1", End.DELETED, hand_over=True)

    def _still_needed(self) -> bool:
        """Whether the peer may need this SA yet, though a newer one replaced it here."""
        heir = self.sa.home
        if heir is not self.sa and not heir.confirmed and self.now < heir.established_at + SUCCESSION_LONGEST:
            # The last message of the newer one's phase 1 may be lost: then the peer has this SA alone.
            return True
        # A quick mode's last message may have to be said again for a while.
        quick = ExchangeType.QUICK_MODE
        return any(not each.over or each.exchange.type is quick for each in self.conversations.values())

    def _numbered_timer(self, name: str, number: int) -> None:
        if name == "retransmit":
            conversation = self.conversations.get(number)
            if conversation is not None and not conversation.over:
                self._retransmit(conversation)
        elif name == "retire":
            child = self.sa.children.get(number)
            if child is not None:
                self.delete_children((child,), "rekeyed", 0, self.now)
        elif name == "forget":
            self._forget(number)
        elif name == "retry":
            retry = self._retries.pop(number, None)
            if retry is not None:
                self.begin(retry, now=self.now)
        else:
            super()._numbered_timer(name, number)

    def _forget(self, number: int) -> None:
        """A conversation has been over for a while, or the peer left it."""
        conversation = self.conversations.pop(number, None)
        if conversation is not None and not conversation.over:
            self._errands += ((partial(conversation.exchange.abandon, self.sa, "the peer left it"), self._errand_done),)

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
            self._send_all(conversation.sent, conversation.path or self.sa.path)
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
            self._outcome(conversation.exchange.token, why)
            conversation.exchange.token = 0
            self._close(why, End.SILENT)
            return
        self._finished(conversation)
        if isinstance(conversation.exchange, AnswerQuickMode):
            self.sa.emit(Note(self.sa, why))
            self.queue += conversation.exchange.taken_back()
        self._errands += ((partial(conversation.exchange.abandon, self.sa, why), self._errand_done),)

    def _ask_liveness(self) -> None:
        if self.sa.dpd and self.schedule.at("probe") is None:
            self._probe()

    def _probe(self) -> None:
        """R-U-THERE, again and again until an answer or the end of our patience (RFC 3706 §5.4, §5.5)."""
        sa, settings = self.sa, self.sa.env.settings
        connection = sa.connection
        assert connection is not None
        silent_for = self.now - self.last_heard
        if connection.dpd_timeout:
            dead = silent_for >= connection.dpd_timeout
            pause = min(float(connection.dpd_delay), max(connection.dpd_timeout / 3, 1.0))
        else:
            dead = self.probe_tries > settings.retransmit_tries
            pause = wait(settings, self.probe_tries, sa.random)
        if dead:
            sa.emit(Note(sa, f"the peer answered none of {self.probe_tries} R-U-THERE in {silent_for:.0f} seconds"))
            self._close("the peer does not answer R-U-THERE", End.SILENT)
            return
        self.probe_tries += 1
        self.queue.insert(0, Probe())
        self._set("probe", self.now + pause)

    def _later(self, exchange: Exchange) -> None:
        """Try again after a while."""
        number = len(self._retries) + 1
        while number in self._retries:
            number += 1
        self._retries[number] = exchange
        delay = self.sa.env.settings.busy_retry * (1 + fraction(self.sa.random))
        self._set(("retry", number), self.now + delay)

    # -- the end -----------------------------------------------------------------------

    def _close(self, why: str, end: End = End.OURS, *, hand_over: bool = False) -> None:
        """As every driver. `hand_over`: the SA alone is gone, and its children go to another one between the ends."""
        sa = self.sa
        if sa.state is IkeState.CLOSED:
            return
        kin = next(iter(sa.env.kin(sa)), None) if hand_over and sa.state in LIVE else None
        if kin is None and hand_over and end is End.DELETED and sa.living_children:
            kin = self.outside.revive(sa, self.now)
        if isinstance(kin, IsakmpSa) and sa.children and sa.heir is None:
            # Phase 2 outlives its phase 1 where another one stands between the same ends (RFC 2408 §4).
            kin.take_children(sa)
            kin.take_inner(sa)
            sa.heir = sa.successor = kin
        left = [one for one in sa.forerunners if one.state is IkeState.REKEYED]
        sa.forerunners = ()
        if sa.heir is not None:
            sa.heir.forerunners = tuple(one for one in (*left, *sa.heir.forerunners) if one not in (sa, sa.heir))
        for one in left if not hand_over and sa.heir is None else ():
            # What is left of older ones goes with it, or the peer has SAs for a while that nobody wants.
            self.outside.hand_over(one, (TellDelete((), True, why, alone=True),))
        pending = [each for each in self.conversations.values() if not each.over]
        waiting = [*self.queue, *self._retries.values()] if sa.successor is None else []
        if sa.successor is None:
            self.queue, self._retries = [], {}
        self.conversations = {}
        for exchange in (*(each.exchange for each in pending if each.ours), *waiting):
            # Whoever wanted something deleted has it.
            self._outcome(exchange.token, None if isinstance(exchange, TellDelete) else why)
        exchanges = [*(each.exchange for each in pending), *waiting]
        unfinished = [each.exchange for each in pending if each.ours and isinstance(each.exchange, QuickMode)]
        doubtful = [each.exchange for each in pending if isinstance(each.exchange, AnswerQuickMode)]
        if sa.heir is not None and (unfinished or doubtful):
            told = [delete for each in doubtful for delete in each.taken_back()]
            self.outside.hand_over(sa.home, (*(each.anew() for each in unfinished), *told))
        self._tear_down(why, end, [partial(each.abandon, sa, why) for each in exchanges], lambda was_live: False)
