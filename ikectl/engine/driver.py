"""Driver: what driving an SA takes in either version of IKE. Runs one coroutine at a time.

Between messages the state is plain and printable: the facts of the SA, the
schedule, what is in flight and what waits. Within the handling of one message
a coroutine may await asks; messages and timers that come meanwhile wait in a
bounded inbox. Which messages there are, and in what order, is for the machine
of each version (`v1/machine.py`, `v2/machine.py`).
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from enum import Enum, auto
from functools import partial
from typing import Any, Generic, TypeVar

from ikectl.config.model import Action, Child
from ikectl.engine import errands, lifetimes
from ikectl.engine.outside import Outside
from ikectl.engine.view import TasksView
from ikectl.errors import BackendError, IkectlError
from ikectl.exchange import children
from ikectl.iana.registry import Registry
from ikectl.sa.asks import Ask
from ikectl.sa.association import Association, IkeState
from ikectl.sa.child_sa import ChildSa, ChildState
from ikectl.sa.events import Dropped, Fault, IkeDown, IkeFailed, Note
from ikectl.sa.schedule import Name, Schedule
from ikectl.values.path import Endpoint, Path
from ikectl.wire.header import Header

Job = Coroutine[Any, Any, Any]
Finish = Callable[[Any, BaseException | None], None]

S = TypeVar("S", bound=Association)

INBOX_LIMIT = 16
"""Datagrams and timers that may wait while a coroutine is suspended; further datagrams are dropped and come again."""
ASK_TIMEOUT = 60.0
"""Seconds until an ask that nobody answers fails."""
LINGER = 30.0
"""Seconds a closed SA stays to repeat its last reply, in case that was lost."""

LOOKED_LATELY = 60.0
"""Seconds for which it holds when a child was used last: longer than a rekeying takes, on most networks."""

LIVE = frozenset({IkeState.ESTABLISHED, IkeState.REKEYING, IkeState.REKEYED, IkeState.DELETING})
STANDING = frozenset({IkeState.ESTABLISHED, IkeState.REKEYING})


class End(Enum):
    """How an SA came to its end, as dpd_action and close_action tell it apart."""

    OURS = auto()
    DELETED = auto()
    UPROOTED = auto()
    """Our address is gone, and the SA cannot follow to another one: the peer is called anew."""
    SILENT = auto()


def _action(child: Child, end: End) -> Action:
    """What the configuration wants of a child whose SA came to that end."""
    if end is End.SILENT:
        return child.dpd_action
    if end is End.UPROOTED:
        return Action.START
    return child.close_action if end is End.DELETED else Action.NONE


class Driver(Generic[S]):
    """Drives one SA: coroutines, deadlines, children and the end. See the module."""

    __slots__ = (
        "_errands",
        "_inbox",
        "_running",
        "began_at",
        "earlier",
        "end",
        "gave_up",
        "last_heard",
        "last_sent",
        "now",
        "outside",
        "restart",
        "sa",
        "schedule",
        "trap",
        "used_in",
        "wake_at",
        "why",
    )

    def __init__(self, outside: Outside, sa: S, now: float) -> None:
        self.outside = outside
        self.sa = sa
        self.now = now
        self.schedule = Schedule()
        self.wake_at: float | None = None
        self.began_at = now
        """When the first message of the SA went out, or came."""
        self.last_heard = now
        self.last_sent = now
        self.used_in = 0
        """Octets that came in on children when liveness was last judged."""
        self.why = ""
        """Why it closed."""
        self.end: End | None = None
        """How; set when that begins."""
        self.earlier = ""
        """Why what was tried before this SA, for the same purpose, came to nothing."""
        self.gave_up: Registry | None = None
        """The exchange that got no usable answer, where that was the end."""
        self.restart: tuple[str, ...] = ()
        """Children that the configuration wants back after the way it closed."""
        self.trap: tuple[str, ...] = ()
        """Those whose next packet is to bring them back."""
        self._running: tuple[Job, Finish, int] | None = None
        # Tuples, because they are empty nearly always, and all machines share the empty one.
        self._errands: tuple[tuple[Callable[[], Job], Finish], ...] = ()
        self._inbox: tuple[Callable[[], None], ...] = ()

    # -- what the engine wants done, whatever the version makes of it ------------

    def initiate(self, child: Child | None, token: int, now: float) -> None:
        """Begin the first exchange with the peer, and bring up `child` with it."""
        raise NotImplementedError

    def create_child(self, child: Child, token: int, now: float) -> None:
        """Bring up a further child."""
        raise NotImplementedError

    def rekey(self, token: int, now: float) -> None:
        """Replace the SA by a fresh one."""
        raise NotImplementedError

    def rekey_child(self, child: ChildSa, now: float, token: int = 0) -> None:
        """Replace a child: its soft lifetime ended, or somebody wants it."""
        raise NotImplementedError

    def delete(self, why: str, token: int, now: float) -> None:
        """Delete the SA with a message to the peer."""
        raise NotImplementedError

    def delete_children(self, children: tuple[ChildSa, ...], why: str, token: int, now: float) -> None:
        """Delete children with a message to the peer."""
        raise NotImplementedError

    def repeat(self, datagram: bytes, path: Path) -> None:
        """The last request again: say the same (RFC 7296 §2.1, RFC 2408 §5.1)."""
        raise NotImplementedError

    def other_version(self, path: Path, now: float) -> None:
        """Somebody answered in another version of IKE than ours; nothing proves who."""
        self._drop(path, "a message of another version of IKE")

    def superseded(self, now: float) -> None:
        """Another SA took over; what is left is to be deleted."""
        raise NotImplementedError

    def look_back_at(self, at: float, now: float) -> None:
        """See at that instant whether the peer's SA, which was made at the same time, still stands beside this one."""
        self.now = now
        self._set("look-back", at)

    @property
    def is_unanswered(self) -> bool:
        """Whether the peer has said nothing but its first message, so that it may not even receive."""
        return False

    @property
    def tasks(self) -> TasksView:
        """The exchanges under way and those that wait."""
        raise NotImplementedError

    def _take(self, header: Header, datagram: bytes, path: Path) -> None:
        """Handle a datagram; no coroutine runs just now."""
        raise NotImplementedError

    def _begin_next(self) -> None:
        """Begin an exchange that waits, if one may be begun now."""
        raise NotImplementedError

    def _close(self, why: str, end: End = End.OURS) -> None:
        """Take everything of this SA out of the kernel, then tell the engine."""
        raise NotImplementedError

    def _ask_liveness(self) -> None:
        """The peer was silent for too long: ask whether it lives."""
        raise NotImplementedError

    # -- in: what the engine calls ------------------------------------------

    def begin_after(self, job: Callable[[], Job], finish: Finish, now: float) -> None:
        """Run a coroutine that is no exchange (finding addresses, moving children) when nothing else runs."""
        self.now = now
        self._errands += ((job, finish),)
        self._next()

    def receive(self, header: Header, datagram: bytes, path: Path, now: float) -> None:
        """A datagram for this SA, marker taken off, its header read.

        A defect in its handling, which a peer may have found, ends this SA and nothing else.
        """
        self.now = now
        if self._running is not None:
            if len(self._inbox) < INBOX_LIMIT:
                self._inbox += (partial(self._take, header, datagram, path),)
            return
        try:
            self._take(header, datagram, path)
        except Exception as defect:
            self._fault(defect)

    def tick(self, now: float) -> None:
        """See to the deadlines that are due."""
        self.now = now
        self.wake_at = now  # what is set meanwhile is looked at once, below
        for name in self.schedule.due(now):
            if name == "ask":
                self._ask_expired()
            elif self._running is not None:
                self._inbox += (partial(self._timer, name),)
            else:
                self._timer(name)
        self.wake_at = None
        at = self.schedule.next()
        if at is not None:
            self.outside.wake(self, at)

    def answered(self, question: int, result: Any, now: float) -> None:
        """The answer to a question of ours; an exception is thrown into the coroutine."""
        self.now = now
        running = self._running
        if running is None or running[2] != question:
            return  # late: the coroutine is gone
        self.schedule.pop("ask", None)
        self._running = None
        if isinstance(result, BaseException):
            self._run(running[0], running[1], None, result)
        else:
            self._run(running[0], running[1], result, None)

    def remapped(self, child: ChildSa, remote: Endpoint, now: float) -> None:
        """A packet of `child` that proved itself came from `remote`: what holds for IKE messages holds for it, too."""
        self.now = now
        if self._running is None:
            self._remapped(child, remote)
            self._next()
        elif len(self._inbox) < INBOX_LIMIT:
            self._inbox += (partial(self._remapped, child, remote),)

    def stream_broken(self, path: Path, why: str, now: float) -> None:
        """The TCP connection that we opened for it is gone; IKEv1 has none."""

    def roam(self, now: float) -> None:
        """Addresses or routes of this host changed: see whether this SA can go on as it is."""
        self.begin_after(partial(errands.is_uprooted, self.sa), self._looked_around, now)

    def _looked_around(self, uprooted: bool | None, failure: BaseException | None) -> None:
        if failure is not None:
            self._errand_done(None, failure)
        elif uprooted and self.sa.state is not IkeState.CLOSED:
            self._close(f"our address {self.sa.path.local.host} is gone", End.UPROOTED)

    def _remapped(self, child: ChildSa, remote: Endpoint) -> None:
        if child.usable and self.sa.state is not IkeState.CLOSED:
            self._follow(Path(self.sa.path.local, remote))

    def close(self, why: str, now: float) -> None:
        """End the SA here and now, children and all, without a message."""
        self.now = now
        if self.sa.state is IkeState.CLOSED:
            return
        self._abort()
        self._close(why)

    def adopt(self, old: Driver[S], now: float) -> None:
        """This SA replaces that of `old`: take over the deadlines of its children.

        Begins nothing by itself, because it may be amid the handling of a message; see `go_on`.
        """
        self.now = now
        self._watch_children_first()
        self._watch_children()
        self.used_in = old.used_in

    def go_on(self, now: float) -> None:
        """Begin what waits, if nothing runs."""
        self.now = now
        self._next()

    def established(self, now: float) -> None:
        """The SA stands since now: begin its lifetimes and watches."""
        sa, settings = self.sa, self.sa.env.settings
        self.schedule.pop("half-open", None)
        self._watch_children_first()
        lifetimes.begin_ike(sa, now)
        if sa.rekey_at:
            self._set("rekey", sa.rekey_at)
            self._set("expire", sa.expire_at)
        delay = lifetimes.patience(sa)
        if delay:
            self._set("liveness", now + delay)
        if sa.nat.local and not sa.path.tcp:  # TCP keeps a NAT open by itself (RFC 9329 §6.6)
            self._set("keepalive", now + settings.keep_alive)

    # -- running coroutines --------------------------------------------------

    def _run(self, job: Job, finish: Finish, value: Any = None, error: BaseException | None = None) -> None:
        """Drive the coroutine until it ends or asks what cannot be answered in place."""
        answers = self.outside.answers
        try:
            ask = job.send(value) if error is None else job.throw(error)
            while (answer := answers.get(ask.__class__)) is not None:
                try:
                    value = answer(ask)
                except IkectlError as failure:
                    ask = job.throw(failure)
                else:
                    ask = job.send(value)
            if not isinstance(ask, Ask):
                raise TypeError(f"an exchange awaited {type(ask).__name__}, which is no Ask")
            self._running = (job, finish, self.outside.ask(self, ask))
            self._set("ask", self.now + ASK_TIMEOUT)
            return
        except StopIteration as stop:
            self._finish(finish, stop.value, None)
        except Exception as failure:  # of every kind: what follows the coroutine tells refusals from defects
            self._finish(finish, None, failure)
        if self._inbox:
            self._take_waiting()
        self._next()

    def _finish(self, finish: Finish, value: Any, error: BaseException | None) -> None:
        """What follows a coroutine; a defect there ends the SA and nothing else."""
        try:
            finish(value, error)
        except Exception as defect:
            self._fault(defect)

    def _take_waiting(self) -> None:
        """A coroutine ended: take what came meanwhile, before our own work."""
        while self._inbox and self._running is None:
            first, *rest = self._inbox
            self._inbox = tuple(rest)
            try:
                first()
            except Exception as defect:  # as in `receive`: it ends this SA and nothing else
                self._fault(defect)

    def _next(self) -> None:
        """Begin what waits, if nothing runs: errands first, then exchanges. Whatever runs comes here when it ends."""
        if self._running is not None:
            return
        if self._errands:
            job, finish = self._errands[0]
            self._errands = self._errands[1:]
            self._run(job(), finish)
        else:
            self._begin_next()

    def _ask_expired(self) -> None:
        running = self._running
        if running is not None:
            self._running = None
            self.outside.abandon(running[2])
            self._run(running[0], running[1], None, BackendError("no answer within a minute"))

    def _abort(self) -> None:
        """Close the coroutine that waits; its late answer will find nobody."""
        running, self._running = self._running, None
        self._inbox = ()
        self.schedule.pop("ask", None)
        if running is not None:
            self.outside.abandon(running[2])
            running[0].close()

    def _send(self, datagrams: tuple[bytes, ...], path: Path) -> None:
        """Send all datagrams of one message."""
        for octets in datagrams:
            self.last_sent = self.now
            self.outside.transmit(octets, path)

    def _follow(self, path: Path) -> None:
        """What proved itself came on another path: go there, if the peer is behind a NAT (RFC 7296 §2.23).

        Only then, and only who is behind none itself: somebody on the way could otherwise send a message on from
        elsewhere and turn the traffic there. Behind a NAT this cannot be told from the NAT's own changes; it lasts
        until the peer's next message, and costs packets, never what is in them. MOBIKE does without (RFC 4555 §3.8).
        """
        sa = self.sa
        if path != sa.path and not sa.path.tcp and sa.nat.remote and not sa.nat.local:
            sa.emit(Note(sa, f"the peer's address changed from {sa.path.remote} to {path.remote}"))
            sa.path = path
            if sa.children:
                self._errands += ((partial(children.follow, sa), self._followed),)

    def _followed(self, failed: list[ChildSa] | None, failure: BaseException | None) -> None:
        """Children that the kernel could not move get new keys, and with them new SAs where we are now."""
        for child in failed or ():
            self.rekey_child(child, self.now)
        self._errand_done(None, failure)

    # -- timers ---------------------------------------------------------------------

    def _timer(self, name: Name) -> None:
        if self.sa.state is IkeState.CLOSED and name != "linger":
            return
        if isinstance(name, tuple):
            self._numbered_timer(name[0], name[1])
        else:
            self._named_timer(name)
        self._next()

    def _named_timer(self, name: Name) -> None:
        if name == "liveness":
            self._errands += ((self._judge_liveness, self._errand_done),)
        elif name == "keepalive":
            if not self.sa.nat.local or self.sa.path.tcp:
                return  # the NAT is gone from our path, or minds TCP
            quiet_at = self.last_sent + self.sa.env.settings.keep_alive
            if self.now >= quiet_at:
                self.outside.keepalive(self.sa.path)
                self.last_sent = self.now
                quiet_at = self.now + self.sa.env.settings.keep_alive
            self._set("keepalive", quiet_at)
        elif name == "look-back":
            self.outside.look_back(self)
        elif name == "linger":
            self.sa.env.events.append(Note(None, f"{self.sa!r} forgotten"))
            self.outside.changed(self)

    def _numbered_timer(self, name: str, number: int) -> None:
        child = self.sa.children.get(number)
        if child is None:
            return
        if name == "rekey" and child.config.inactivity:
            self._errands += ((partial(self._idle_at, child), partial(self._judge_use, child, True)),)
        elif name == "rekey":
            self.rekey_child(child, self.now)
        elif name == "idle":
            self._errands += ((partial(self._idle_at, child), partial(self._judge_use, child, False)),)
        elif name == "expire":
            self.expire_child(child, self.now)
        elif name == "linger" and child.state is ChildState.DELETED:
            self._errands += ((partial(errands.forget_child, self.sa, child), self._errand_done),)

    def expire_child(self, child: ChildSa, now: float) -> None:
        """Its hard lifetime ended."""
        if child.state is not ChildState.DELETED:
            self.delete_children((child,), "its lifetime ended", 0, now)

    async def _judge_liveness(self) -> None:
        """Silence in IKE and, as the kernel has it, in ESP: ask the peer (RFC 7296 §2.4, RFC 3706 §5.4)."""
        sa = self.sa
        delay = lifetimes.patience(sa)
        if not delay or sa.state not in (IkeState.ESTABLISHED, IkeState.REKEYING):
            return
        self._set("liveness", self.now + delay)
        due = self.last_heard + delay  # as it is scheduled: a difference may round to the other side
        if due > self.now:
            self._set("liveness", due)
            return
        used = await errands.octets_in(sa)
        if used == self.used_in:
            self._ask_liveness()
        else:
            self.used_in, self.last_heard = used, self.now

    # -- children ---------------------------------------------------------------------

    def _watch_children(self) -> None:
        """Give deadlines to children that are new, and to replaced ones that linger."""
        for child in self.sa.children.values():
            if child.state is ChildState.DELETED:
                if ("linger", child.spi_in) not in self.schedule:
                    self._unwatch(child)
                    self._set(("linger", child.spi_in), self.now + self.sa.env.settings.delete_rekeyed_delay)
            elif not child.installed_at:
                self._watch(child)

    def _watch_children_first(self) -> None:
        """Watch them all in a table of deadlines made anew, where theirs come before those of the SA.

        An SA that stands has fewer than one that comes up; and a dictionary whose first key is a string is made twice
        as large by the first key that is none.
        """
        earlier, self.schedule = self.schedule, Schedule()
        for child in self.sa.children.values():
            if child.state is not ChildState.DELETED:
                self._watch(child)
        self.schedule.update(earlier)

    def _watch(self, child: ChildSa) -> None:
        if not child.installed_at:
            lifetimes.begin_child(child, self.sa, self.now)
            if child.config.inactivity:
                self._errands += ((partial(self._inherit_use, child), self._errand_done),)
        if child.rekey_at:
            self._set(("rekey", child.spi_in), child.rekey_at)
        if child.expire_at:
            self._set(("expire", child.spi_in), child.expire_at)
        if child.config.inactivity:
            self._set(("idle", child.spi_in), (child.used_at or child.installed_at) + child.config.inactivity)

    async def _idle_at(self, child: ChildSa) -> float:
        """When a child will have been idle for too long, if it stays so."""
        try:
            await errands.look(child, self.now)
        except BackendError as failure:
            self.sa.emit(Note(self.sa, str(failure)))
            return self.now + child.config.inactivity
        return child.used_at + child.config.inactivity

    def _judge_use(self, child: ChildSa, rekey: bool, idle_at: float | None, failure: BaseException | None) -> None:
        """Close a child that nobody used for long; else look again when that may be, or `rekey` it now as is due."""
        if failure is not None or idle_at is None:
            self._errand_done(None, failure)
        elif not child.usable:
            return
        elif idle_at <= self.now:
            why = f"no packet for {self.now - child.used_at:.0f} s"
            self.delete_children((child,), why, 0, self.now)
        else:
            self._set(("idle", child.spi_in), idle_at)
            if rekey:
                self.rekey_child(child, self.now)

    async def _inherit_use(self, child: ChildSa) -> None:
        """A rekeyed child is as idle as the one it replaced, as far as that is known."""
        old = next((each for each in self.sa.children.values() if each.successor is child), None)
        if old is None:
            return
        if old.outbound:
            await errands.look(old, self.now)
        if old.looked_at and self.now - old.looked_at <= LOOKED_LATELY:
            child.used_at = old.used_at
            self._set(("idle", child.spi_in), child.used_at + child.config.inactivity)

    def _unwatch(self, child: ChildSa) -> None:
        self.schedule.pop(("rekey", child.spi_in), None)
        self.schedule.pop(("expire", child.spi_in), None)
        self.schedule.pop(("idle", child.spi_in), None)

    def _errand_done(self, _: None, failure: BaseException | None) -> None:
        if isinstance(failure, IkectlError):
            self.sa.emit(Note(self.sa, str(failure)))
        elif failure is not None:
            self._fault(failure)
        self._watch_children()

    # -- the end -----------------------------------------------------------------------

    def _fault(self, error: BaseException) -> None:
        """A defect of ours: this SA ends, the daemon goes on."""
        frames = traceback.extract_tb(error.__traceback__)
        where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames[-6:]))
        self.sa.emit(Fault(self.sa, f"{type(error).__name__} in {where}"))
        self._close("internal error")

    def _tear_down(
        self, why: str, end: End, pending: Sequence[Callable[[], Awaitable[None]]], linger: Callable[[bool], bool]
    ) -> None:
        """Move to CLOSED and take everything out of the kernel; `pending` takes back what exchanges had set up.

        `linger` says, told whether the SA had been established, whether it stays a while to repeat its last reply.
        """
        sa = self.sa
        was_live = sa.state in LIVE
        sa.move(IkeState.CLOSED)
        self.why = why
        ended = [(child.name, _action(child.config, end)) for child in sa.living_children]
        self.restart = tuple(name for name, action in ended if action.starts)
        self.trap = tuple(name for name, action in ended if action.traps)
        self._errands = ()
        self.schedule = Schedule()

        def finish(_: None, failure: BaseException | None) -> None:
            if failure is not None:
                sa.emit(Note(sa, f"while closing: {failure}"))
            sa.emit(IkeDown(sa, why) if was_live else IkeFailed(sa, why))
            if linger(was_live):
                self._set("linger", self.now + LINGER)
            self.outside.changed(self)

        self._run(errands.teardown(sa, pending, why), finish)

    def _outcome(self, token: int, error: str | None) -> None:
        if token:
            self.outside.settle(token, error)

    def _drop(self, path: Path, why: str) -> None:
        self.sa.emit(Dropped(self.sa, path, why))

    def _set(self, name: Name, at: float) -> None:
        """Let `name` be due at `at`."""
        self.schedule[name] = at
        if self.wake_at is None or at < self.wake_at:
            self.outside.wake(self, at)
