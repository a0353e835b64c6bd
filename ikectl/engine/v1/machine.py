"""IsakmpMachine: one ISAKMP SA at work. Runs one coroutine at a time.

An ISAKMP SA holds several conversations at once (`talk.py`): phase 1, quick
modes, transactions and informational exchanges. Protocol judgement is in
`exchange/v1`; here is what the engine wants done, what follows from exchanges
that are over, how long things live, and the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ikectl.config.model import Child
from ikectl.engine import lifetimes
from ikectl.engine.driver import LIVE, Driver, End
from ikectl.engine.outside import Outside
from ikectl.engine.transmit import wait
from ikectl.engine.v1.conversation import Conversation
from ikectl.engine.v1.envelope import PHASE_1
from ikectl.engine.v1.talk import LOGIN_WAIT, Talk
from ikectl.engine.view import TasksView
from ikectl.exchange.children import remove
from ikectl.exchange.v1 import diagnosis
from ikectl.exchange.v1.aggressive import Aggressive
from ikectl.exchange.v1.base import Done, Exchange
from ikectl.exchange.v1.informational import Probe, TellDelete
from ikectl.exchange.v1.main import MainMode
from ikectl.exchange.v1.modecfg import PullConfig
from ikectl.exchange.v1.quick import AnswerQuickMode, QuickMode, rekeying
from ikectl.exchange.v1.quick import wanted as quick_modes
from ikectl.exchange.v1.succession import hand_over
from ikectl.iana.v1 import ExchangeType
from ikectl.sa.association import IkeState
from ikectl.sa.child_sa import ChildSa, ChildState
from ikectl.sa.events import (
    Note,
)
from ikectl.sa.isakmp_sa import Awaited, IsakmpSa
from ikectl.sa.schedule import Name
from ikectl.wire.v1.notify import Notify

CONFIG_WAIT = 30.0
"""Seconds the peer has for its part of mode config before we go on without one."""
RENEW_AT = 0.75
"""The part of an inner address's time after which it is asked for again; the rest is for repeats."""
CONTACT_WINDOW = 60.0
"""Seconds in which INITIAL-CONTACT may come behind phase 1; later it is nonsense, or was recorded and played again."""
CONFIRM_WAIT = 2.0
"""Seconds until we ask a peer that has not said a word since aggressive mode ended; doubled each time."""
CONFIRM_TRIES = 5
SETTLE = 0.05
"""Seconds from our last message of aggressive mode to what follows. strongSwan handles messages in several threads:
a quick mode hard behind may overtake the proof, is thrown away, and costs a repeat after seconds."""
RERUN_WAIT = 180.0
"""Seconds until phase 1 is run again once more, where the first attempt came to nothing."""
SUCCESSION_WAIT = 30.0
"""Seconds an SA that a newer one replaced stays, for what is under way on it."""
SUCCESSION_AGAIN = 5.0
"""Seconds until we look once more, where something is under way yet."""
SUCCESSION_LONGEST = 180.0
"""Seconds it stays if nothing shows that the peer has the newer one, too. By then the peer has given that up."""
SWITCH_AFTER = 1.0
"""Seconds that an old child goes on sending after our quick mode renewed it: the third message must arrive first."""
RETIRE_AFTER = 120.0
"""Seconds until we delete a child that the peer renewed and did not delete."""


class IsakmpMachine(Talk):
    """Drives one IsakmpSa. See the module."""

    __slots__ = ("confirm_tries", "forsaken", "probe_tries")

    def __init__(self, outside: Outside, sa: IsakmpSa, now: float) -> None:
        super().__init__(outside, sa, now)
        self.forsaken = False
        """Nothing is to outlive it."""
        self.confirm_tries = 0
        self.probe_tries = 0

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

    def adopt(self, old: Driver[IsakmpSa], now: float) -> None:
        """As every driver, and take over the quick modes that waited there."""
        super().adopt(old, now)
        assert isinstance(old, IsakmpMachine)
        self.queue += [exchange for exchange in old.queue if isinstance(exchange, QuickMode)]
        old.queue = [exchange for exchange in old.queue if not isinstance(exchange, QuickMode)]
        for name in ("renew", "address"):
            at = old.schedule.get(name)
            if at is not None and name not in self.schedule:
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
        self.schedule.pop("succession", None)
        self.established(now)

    def superseded(self, now: float) -> None:
        self.now = now
        for name in ("rekey", "expire", "liveness", "keepalive", "confirm", "probe", "renew", "address"):
            self.schedule.pop(name, None)
        self._set("succession", now + SUCCESSION_WAIT)

    def established(self, now: float) -> None:
        super().established(now)
        self.schedule.pop("login", None)
        if not self.sa.confirmed:
            self._set("settle", now + SETTLE)
            if self.sa.dpd:
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
        elif left < self.sa.octets // 9 and "volume" not in self.schedule:
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

    # -- what follows from exchanges ---------------------------------------------

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
            # Of those that name no child the oldest is meant, which the peer judged first; an SPI that we do not
            # know is of something else, as Cisco's INVALID-SPI about ESP that came too late.
            nameless = not any(notify.spi) or notify.spi == self.sa.spi_i + self.sa.spi_r
            refused = (named or (modes if nameless else []))[:1]
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
        again = exchange.again()
        if again is not None:
            self._later(again)
        self._errands += ((partial(exchange.give_up, self.sa, why), self._errand_done),)

    def _see_to_login(self) -> None:
        """Phase 1 is done and XAUTH is not: the peer, or its user, has a while for it."""
        if self.sa.state is IkeState.AUTHENTICATING and "login" not in self.schedule:
            self.schedule.pop("half-open", None)
            self._set("login", self.now + LOGIN_WAIT)

    def _see_to_inner(self) -> None:
        """The peer said how long our inner addresses may be used (draft-dukes-ike-mode-cfg-02 §3.4)."""
        inner = self.sa.inner
        if inner is None or inner.expires_in is None:
            return
        seconds, inner.expires_in = inner.expires_in, None
        self.schedule.pop("renew", None)
        self.schedule.pop("address", None)
        if seconds:
            self._set("renew", self.now + RENEW_AT * seconds)
            self._set("address", self.now + seconds)

    # -- timers ---------------------------------------------------------------------

    def _watch_children(self) -> None:
        """As every driver; and children that were renewed are deleted: soon by who renewed them, else by us in the end.

        Nobody acknowledges deletes, so the peer's may be lost, and some peers send none. Nobody acknowledges quick
        mode's third message either, and strongSwan installs what it receives with only when that has come: what
        we renewed goes on sending for a moment.
        """
        super()._watch_children()
        if self.sa.heir is not None:
            self.outside.hand_over(self.sa.home, ())  # what a quick mode under way here made belongs there
        for child in self.sa.children.values():
            successor = child.successor
            if child.state is not ChildState.REKEYED or successor is None:
                continue
            if child.outbound and ("switch", child.spi_in) not in self.schedule:
                self._set(("switch", child.spi_in), self.now + SWITCH_AFTER)
            if ("retire", child.spi_in) not in self.schedule:
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
                self._set("succession", self.now + SUCCESSION_AGAIN)
                return
            self.queue.insert(0, TellDelete((), True, "replaced by a newer ISAKMP SA", alone=True))
        elif name == "confirm":
            self._confirm()
        elif name in ("turn", "settle", "volume"):
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
        elif name == "switch":
            child = self.sa.children.get(number)
            if child is not None:
                self._errands += ((partial(hand_over, child), self._errand_done),)
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

    def _heard(self) -> None:
        super()._heard()
        self.probe_tries = 0
        self.schedule.pop("probe", None)

    def _ask_liveness(self) -> None:
        if self.sa.dpd and "probe" not in self.schedule:
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
            pause = wait(sa, self.probe_tries)
        if dead:
            sa.emit(Note(sa, f"the peer answered none of {self.probe_tries} R-U-THERE in {silent_for:.0f} seconds"))
            self._close("the peer does not answer R-U-THERE", End.SILENT)
            return
        self.probe_tries += 1
        self.queue.insert(0, Probe())
        self._set("probe", self.now + pause)

    # -- the end -----------------------------------------------------------------------

    def _close(self, why: str, end: End = End.OURS, *, hand_over: bool = False) -> None:
        """As every driver. `hand_over`: the SA alone is gone, and its children go to another one between the ends."""
        sa = self.sa
        if sa.state is IkeState.CLOSED:
            return
        self.end = end
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
