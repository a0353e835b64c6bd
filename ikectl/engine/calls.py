"""Calls: bringing up what is wanted of a peer that is not connected: which address is tried, which next, when again.

A call is of one connection and gathers everything wanted of it, so that a
peer that is down for days costs one record and a datagram now and then,
however many children wait. In one round each pair of addresses is tried until
one answers; names are looked up anew for every round. Between rounds there is
a pause, which doubles up to a limit.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from ikectl.config.model import AddressSpec, Child, Connection, Tcp
from ikectl.engine.driver import Driver, End
from ikectl.engine.v2.machine import Machine
from ikectl.errors import BackendError
from ikectl.iana.v2 import ExchangeType
from ikectl.sa.asks import Resolve, SourceAddress
from ikectl.sa.association import Association, IkeState
from ikectl.sa.events import Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.values.path import Endpoint, Path, Stream

if TYPE_CHECKING:
    from ikectl.engine.engine import Engine

AnyDriver = Driver[Any]

FIRST_PAUSE = 2.0
"""Seconds before a lost connection is called again; doubles up to LONGEST_PAUSE."""
LONGEST_PAUSE = 300.0
"""A peer that was away for days is back within five minutes of its return."""
PAUSE_JITTER = 0.25
"""A pause is shortened by up to this fraction, so that a thousand gateways do not call a peer that is back in step."""
LOOK_AGAIN = 1.0
"""Seconds a peer that called us meanwhile has to bring up its children, before we ask for those that are missing."""
MAX_PLACES = 16
"""Pairs of addresses tried in one round: with the usual retransmissions that is three quarters of an hour."""
MAX_PARTS = 64
"""Commands that may wait for one child."""
MAX_REDIRECTS = 5
"""Gateways that may send us on within REDIRECT_PERIOD (RFC 5685 §7)."""
REDIRECT_PERIOD = 300.0
"""Seconds."""
TO_AND_FRO = f"sent to another gateway {MAX_REDIRECTS} times within {REDIRECT_PERIOD / 60:.0f} minutes"
NOWHERE = Path(Endpoint(b"", 0), Endpoint(b"", 0))

STANDING = (IkeState.ESTABLISHED, IkeState.REKEYING)
BEGINNING = (IkeState.CREATED, IkeState.CONNECTING)


@dataclass(slots=True, eq=False)
class Want:
    """A child that is to come up (by name; empty: the IKE SA alone), and who waits for it."""

    child: str
    own: bool = False
    """The configuration wants it, not a command: a refusal does not end it, but for `rounds`."""
    rounds: int = 1
    """After so many that came to nothing it is given up; 0: never."""
    parts: list[int] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Call:
    """What is wanted of one connection, and how far the attempt to reach its peer has come."""

    name: str
    wants: dict[str, Want] = field(default_factory=dict)
    machine: AnyDriver | None = None
    """Of the attempt under way."""
    left: list[Path] = field(default_factory=list)
    """What is to be tried yet in this round."""
    rounds: int = 0
    """That came to nothing so far."""
    failures: list[str] = field(default_factory=list)
    """Why, of this round; one for each place tried."""
    at: float | None = None
    """When the next round begins; None while one is under way."""


class Calls:
    """Of one engine, by connection: there is one at most for each."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._calls: dict[str, Call] = {}
        self._alarms: list[tuple[float, int, str]] = []
        """A heap of (instant, order, connection); stale entries are skipped when they come up."""
        self._order = count()
        self._redirects: dict[str, list[float]] = {}
        """When gateways sent us to others, by connection; older ones than REDIRECT_PERIOD are forgotten."""
        self.resolved: dict[str, tuple[bytes, ...]] = {}
        """Addresses of the host names that connections mention, as far as they are known."""

    def __contains__(self, name: str) -> bool:
        """Whether the peer of that connection is called, or is to be called again."""
        return name in self._calls

    def __iter__(self) -> Iterator[str]:
        """The connections whose peers are called."""
        return iter(self._calls)

    def rests(self, name: str) -> bool:
        """Whether that connection is called, and no SA shows it just now."""
        call = self._calls.get(name)
        return call is not None and call.machine is None

    def makes(self, machine: AnyDriver) -> bool:
        """Whether that is the attempt of a call."""
        call = self._calls.get(machine.sa.name)
        return call is not None and call.machine is machine

    # -- what is wanted ------------------------------------------------------------

    def bring_up(self, connection: Connection, child: Child | None, part: int, now: float, own: bool = False) -> None:
        """Call the peer for `child`, now if there is a pause; `part` is that of a command which waits."""
        call = self._calls.setdefault(connection.name, Call(connection.name))
        name = child.name if child is not None else ""
        want = call.wants.get(name)
        if want is None:
            want = call.wants[name] = Want(name, own, connection.keyingtries)
            fresh = True
        else:
            want.own = want.own or own
            fresh = False
        if part and len(want.parts) >= MAX_PARTS:
            self._engine.commands.settle(part, "too many commands wait for it already")
        elif part:
            want.parts.append(part)
        if call.machine is None:
            call.rounds = 0
            self._attempt(call, connection, now)
        elif fresh:
            self._ask(call, want, now)

    def bring_back(self, connection: Connection, children: Iterable[str], now: float, lost: Association) -> None:
        """What was up with an SA that is `lost` is wanted back, however long it takes: the configuration says so."""
        call = self._calls.setdefault(connection.name, Call(connection.name))
        for child in children:
            want = call.wants.setdefault(child, Want(child))
            want.own, want.rounds = True, 0
        if call.wants and call.machine is None and call.at is None:
            self._pause(call, now, lost)
        self._drop_if_idle(call)

    def cancel(self, name: str, why: str, but: Iterable[str] = ()) -> bool:
        """Nobody wants it any more, except the children named `but`; whether there was a call. SAs are left alone."""
        call = self._calls.get(name)
        if call is None:
            return False
        kept = set(but)
        for want in [want for want in call.wants.values() if want.child not in kept]:
            self._settle(call, want, why)
        self._drop_if_idle(call)
        return True

    # -- attempts --------------------------------------------------------------------

    def _attempt(self, call: Call, connection: Connection, now: float) -> None:
        """Begin a round: look for addresses, then call the first."""
        call.at, call.left, call.failures = None, [], []
        if connection.fixed_ends is not None:
            # Nothing to look up, and no route to ask for.
            first, *call.left = ways(connection, *connection.fixed_ends)
            self._begin(call, self._new(call, connection, first, connection.version or 2, now))
            return
        machine = self._new(call, connection, NOWHERE, connection.version or 2, now)
        machine.begin_after(partial(self.places, connection), partial(self._found, call, machine), now)

    def _new(self, call: Call, connection: Connection, path: Path, version: int, now: float) -> AnyDriver:
        machine = self._engine.new_machine(True, path, b"", now, connection, version)
        call.machine = machine
        self._engine.connections.joined(machine)
        return machine

    def _found(
        self, call: Call, machine: AnyDriver, places: tuple[Path, ...] | None, failure: BaseException | None
    ) -> None:
        if call.machine is not machine or not call.wants:
            machine.close("nobody wants it any more", machine.now)
        elif failure is not None or not places:
            machine.gave_up = ExchangeType.IKE_SA_INIT  # as if nobody answered: it may be different later
            machine.close(str(failure), machine.now)
        else:
            machine.sa.path, call.left = places[0], list(places[1:])
            self._begin(call, machine)

    def _begin(self, call: Call, machine: AnyDriver) -> None:
        first, *others = call.wants.values()
        self._ask(call, first, machine.now, True)
        for want in others:
            self._ask(call, want, machine.now)

    def _ask(self, call: Call, want: Want, now: float, first: bool = False) -> None:
        """Let the machine of the call bring up a child; `first`: and the IKE SA with it."""
        machine = call.machine
        assert machine is not None
        connection = machine.sa.connection
        assert connection is not None
        if not first and machine.sa.path is NOWHERE:
            return  # addresses are looked for; then all that is wanted is asked for
        if not want.child and not first:
            return  # it is there as soon as the IKE SA is
        child = connection.child(want.child) if want.child else None
        step = self._engine.commands.step(partial(self._ended, call, want, machine))
        if child is None and want.child:
            self._engine.commands.settle(step, f"connection {connection.name} has no child {want.child!r} any more")
            return
        planned = self._engine.dhcp.before(machine.sa, connection, child, step)
        if first:
            self._initiate(call, connection, machine, *(planned or (None, 0)), now)
        elif planned is not None and planned[0] is not None:
            machine.create_child(planned[0], planned[1], now)

    def _initiate(
        self, call: Call, connection: Connection, machine: AnyDriver, child: Child | None, step: int, now: float
    ) -> None:
        """By the ticket of the SA that was lost, if there is one and its gateway's address does not come later."""
        tickets = self._engine.connections.tickets
        if connection.name in tickets and isinstance(machine, Machine) and not machine.sa.redirected_from:
            later = {path.remote.address for path in call.left} - {machine.sa.path.remote.address}
            ticket = tickets.take(connection, now, later)
            if ticket is not None:
                machine.resume(child, step, ticket, now)
                return
        machine.initiate(child, step, now)

    def _ended(self, call: Call, want: Want, machine: AnyDriver, error: str | None) -> None:
        """The exchange for a child came to its end, or its SA did."""
        if call.wants.get(want.child) is not want:
            return
        if error is None:
            self._settle(call, want, None)
            self._drop_if_idle(call)
        elif call.machine is machine and machine.gave_up is None and machine.end is not End.UPROOTED:
            # The peer's word, or ours: the same would come of it elsewhere.
            parts, want.parts = want.parts, []
            if machine.sa.state in STANDING or not want.own:
                del call.wants[want.child]
            for part in parts:
                self._engine.commands.settle(part, error)
            self._drop_if_idle(call)
        else:
            call.failures = [*call.failures[: MAX_PLACES - 1], error] if error not in call.failures else call.failures

    # -- what came of it ----------------------------------------------------------------

    def established(self, machine: AnyDriver, now: float) -> None:
        """An SA of a connection stands: ours, or the peer called first."""
        call = self._calls.get(machine.sa.name)
        if call is None:
            return
        ours = call.machine
        if ours is machine:
            call.rounds, call.failures, call.left = 0, [], []
            alone = call.wants.get("")
            if alone is not None:
                self._settle(call, alone, None)
                self._drop_if_idle(call)
            return
        if ours is not None and ours.sa.VERSION == 2 and ours.sa.state in BEGINNING and ours.sa.keys is None:
            # Nobody has proven anything there, so the peer loses nothing: one SA is enough.
            call.machine = None
            ours.close("the peer called meanwhile", now)
        if call.machine is None:
            self._alarm(call, now + LOOK_AGAIN)

    def closed(self, machine: AnyDriver, now: float) -> None:
        """An SA is gone: call another address, or the same later, or tell who waits."""
        call = self._calls.get(machine.sa.name)
        if call is None or call.machine is not machine:
            return
        call.machine = None
        connection = self._engine.connections.get(call.name)
        standing = self._engine.connections.standing(call.name)
        if connection is None:
            self.cancel(call.name, machine.why)
        elif self._redirected(call, connection, machine, now):
            return
        elif standing is not None and machine.sa.heir is not None:
            call.machine = standing  # rekeyed: what waited goes on there
        elif standing is not None:
            self._alarm(call, now + LOOK_AGAIN)
        elif machine.end is End.UPROOTED and call.wants:
            self._attempt(call, connection, now)  # nothing is wrong with the peer, and another address leads to it
        elif machine.gave_up is ExchangeType.IKE_SESSION_RESUME and call.wants:
            self._in_full(call, connection, machine)
        elif machine.gave_up is ExchangeType.IKE_SA_INIT and self._by_ikev1(call, connection, machine, now):
            return
        elif machine.gave_up is not None and call.left and call.wants:
            self._next(call, connection, machine, now)
        else:
            self._round_over(call, connection, machine, now)

    def may_go_elsewhere(self, name: str, now: float) -> bool:
        """Whether that connection may follow a gateway that sends it to another one: it is counted (RFC 5685 §7).

        Whether an SA stood there or was about to makes no difference: a loop may go through both.
        """
        recent = ((each, [at for at in times if now - at < REDIRECT_PERIOD]) for each, times in self._redirects.items())
        self._redirects = {each: times for each, times in recent if times}
        times = self._redirects.setdefault(name, [])
        if len(times) >= MAX_REDIRECTS:
            return False
        times.append(now)
        return True

    def _redirected(self, call: Call, connection: Connection, old: AnyDriver, now: float) -> bool:
        """Try the gateway that this one sends us to, unless we are sent to and fro (RFC 5685 §7)."""
        sa = old.sa
        if not isinstance(sa, IkeSa) or not sa.redirect or not call.wants:
            return False
        if not self.may_go_elsewhere(call.name, now):
            call.failures = [TO_AND_FRO]
            return False
        sa.emit(Note(sa, f"going to {sa.redirect}"))
        machine = self._new(call, connection, NOWHERE, 2, now)
        assert isinstance(machine.sa, IkeSa)
        machine.sa.redirected_from = sa.path.remote.address
        places = partial(self.places, connection, (AddressSpec.parse(sa.redirect),))
        machine.begin_after(places, partial(self._found, call, machine), now)
        return True

    def _by_ikev1(self, call: Call, connection: Connection, old: AnyDriver, now: float) -> bool:
        """Try IKEv1 where the peer gave no usable answer to IKEv2 and the connection takes either."""
        tried = old.sa.VERSION == 2 and old.sa.path is not NOWHERE
        if not tried or not call.wants or connection.version != 0 or not connection.speaks(1):
            return False
        old.sa.emit(Note(old.sa, f"{old.why}; trying IKEv1"))
        path = Path(
            Endpoint(old.sa.path.local.address, connection.local_port),
            Endpoint(old.sa.path.remote.address, connection.remote_port),
        )
        machine = self._new(call, connection, path, 1, now)
        machine.earlier = old.why  # told along with what comes of IKEv1
        call.failures = [failure for failure in call.failures if failure != old.why]
        self._begin(call, machine)
        return True

    def _in_full(self, call: Call, connection: Connection, old: AnyDriver) -> None:
        """No session was resumed: IKE_SA_INIT and IKE_AUTH, in the same place."""
        old.sa.emit(Note(old.sa, f"{old.why}; the session is not resumed, authenticating anew"))
        path = beginning(connection, old.sa.path)
        call.failures = [failure for failure in call.failures if failure != old.why]
        self._begin(call, self._new(call, connection, path, 2, old.now))

    def _next(self, call: Call, connection: Connection, old: AnyDriver, now: float) -> None:
        path = call.left.pop(0)
        how = " by TCP" if path.tcp else ""
        old.sa.emit(Note(old.sa, f"{old.why}; trying {path.remote.host} from {path.local.host}{how}"))
        self._begin(call, self._new(call, connection, path, connection.version or 2, now))

    def _round_over(self, call: Call, connection: Connection, machine: AnyDriver, now: float) -> None:
        call.rounds += 1
        why = "; ".join(call.failures) or machine.why
        for want in list(call.wants.values()):
            if want.rounds and call.rounds >= want.rounds:
                self._settle(call, want, why)
        if call.wants:
            self._pause(call, now, machine.sa)
            assert call.at is not None
            machine.sa.emit(Note(machine.sa, f"{why}; calling again in {call.at - now:.0f} s"))
        self._drop_if_idle(call)

    def _settle(self, call: Call, want: Want, error: str | None) -> None:
        call.wants.pop(want.child, None)
        parts, want.parts = want.parts, []
        for part in parts:
            self._engine.commands.settle(part, error)

    def _drop_if_idle(self, call: Call) -> None:
        if not call.wants and self._calls.get(call.name) is call:
            del self._calls[call.name]

    # -- time ----------------------------------------------------------------------------

    def _pause(self, call: Call, now: float, lost: Association) -> None:
        longest = min(FIRST_PAUSE * 2 ** min(call.rounds, 10), LONGEST_PAUSE)
        self._alarm(call, now + longest * (1 - PAUSE_JITTER * lost.chance()))

    def _alarm(self, call: Call, at: float) -> None:
        call.at = at
        heapq.heappush(self._alarms, (at, next(self._order), call.name))

    def deadline(self) -> float | None:
        """When the next round of some call begins."""
        while self._alarms and not self._is_due(self._alarms[0]):
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None

    def _is_due(self, alarm: tuple[float, int, str]) -> bool:
        call = self._calls.get(alarm[2])
        return call is not None and call.at == alarm[0]

    def tick(self, now: float) -> None:
        """Begin what is due."""
        while self._alarms and self._alarms[0][0] <= now:
            alarm = heapq.heappop(self._alarms)
            if self._is_due(alarm):
                self._again(self._calls[alarm[2]], now)

    def _again(self, call: Call, now: float) -> None:
        """A pause is over. The peer may have called meanwhile, and brought up what we want."""
        call.at = None
        connection = self._engine.connections.get(call.name)
        if connection is None:
            self.cancel(call.name, "its configuration was removed")
            return
        call.machine = self._engine.connections.standing(call.name)
        if call.machine is None:
            self._attempt(call, connection, now)
            return
        for want in list(call.wants.values()):
            if not want.child or any(each.usable and each.name == want.child for each in _children(call.machine)):
                self._settle(call, want, None)
            else:
                self._ask(call, want, now)
        self._drop_if_idle(call)

    # -- where to call -------------------------------------------------------------------

    async def places(self, connection: Connection, peers: tuple[AddressSpec, ...] = ()) -> tuple[Path, ...]:
        """The pairs of addresses to try, in order: each of the peer's, from each of ours; `peers` in the place of the
        configured ones. Raises BackendError."""
        failures: list[str] = []
        remotes = await self._addresses(peers or connection.remote_addrs, failures)
        locals_ = await self._addresses(connection.local_addrs, failures)
        found: dict[Path, None] = {}
        for remote in remotes:
            ours = [local for local in locals_ if len(local) == len(remote)]
            try:
                ours = ours or [await SourceAddress(remote)]
            except BackendError as failure:
                failures.append(str(failure))
            for local in ours:
                found |= dict.fromkeys(ways(connection, local, remote))
        if not found:
            nobody = f"connection {connection.name} names no single peer to call: set remote_addrs"
            raise BackendError("; ".join(dict.fromkeys(failures)) or nobody)
        return tuple(found)[:MAX_PLACES]

    async def _addresses(self, specs: Iterable[AddressSpec], failures: list[str]) -> list[bytes]:
        """The single addresses among `specs`; names that are not found now are what they were before."""
        found: dict[bytes, None] = {}
        for spec in specs:
            if spec.concrete is not None:
                found[spec.concrete] = None
            elif spec.hostname is not None:
                try:
                    self.resolved[spec.hostname] = await Resolve(spec.hostname)
                except BackendError as failure:
                    failures.append(str(failure))
                found |= dict.fromkeys(self.resolved.get(spec.hostname, ()))
        return list(found)


def ways(connection: Connection, local: bytes, remote: bytes) -> tuple[Path, ...]:
    """How to call between two addresses (packed), in order: in datagrams, in TCP, or first so and then so."""
    # A port of its own implies that UDP encapsulation is spoken there from the start.
    datagrams = Path(Endpoint(local, connection.local_port), Endpoint(remote, connection.remote_port))
    if connection.tcp is Tcp.NO:
        return (datagrams,)
    stream = Stream.to(local, Endpoint(remote, connection.remote_tcp_port))
    return (stream,) if connection.tcp is Tcp.YES else (datagrams, stream)


def beginning(connection: Connection, path: Path) -> Path:
    """Where another SA begins that is to go between the same addresses as `path`, and in the same way."""
    both = ways(connection, path.local.address, path.remote.address)
    return next((way for way in both if way.tcp == path.tcp), both[0])


def _children(machine: AnyDriver) -> Iterator[Any]:
    return iter(machine.sa.children.values())
