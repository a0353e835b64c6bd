"""World: hosts and links on simulated time; it always takes the earliest thing that is due.

Wall-clock cost is that of the cryptography alone. After every step the
invariants are checked; a violation names the seed and prints the ladder.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from ipaddress import ip_address
from itertools import count

from ikectl.engine.commands import AddressesChanged
from ikectl.engine.outside import Transmit
from ikectl.sa.association import Association, IkeState
from ikectl.sa.child_sa import ChildState
from ikectl.sa.events import MessageReceived, MessageSent
from ikectl.sa.ike_sa import IkeSa
from ikectl.values.path import Endpoint, Path
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.nat import Nat
from tests.sim.streams import Streams
from tests.sim.tape import Tape

KEPT_LADDER = 400


class Violation(AssertionError):
    """An invariant does not hold."""


class World:
    """Several hosts, each reachable by its address, over one kind of link."""

    def __init__(self, seed: int, *hosts: Host, link: Link | None = None, nats: tuple[Nat, ...] = ()) -> None:
        self.seed = seed
        self.hosts = {host.address: host for host in hosts}
        self.nats = nats
        self.link = link or Link()
        self.now = 0.0
        self.tape = Tape(seed, "link")
        self.ladder: list[str] = []
        self.sent: list[tuple[Host, Transmit]] = []
        """Everything sent so far."""
        self.taps: list[Callable[[Host, Transmit], bool]] = []
        """Each sees every datagram before it travels; one that says False takes it off the wire."""
        self._replaced: set[tuple[str, int]] = set()
        """IKE SAs that were seen to be replaced: host and unique id."""
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self.streams = Streams(self)
        for host in hosts:
            host.clock = lambda: self.now
            self.streams.serve(host)

    # -- running ------------------------------------------------------------------

    def at(self, instant: float, act: Callable[[], None]) -> None:
        """Do something at an instant."""
        heapq.heappush(self._agenda, (instant, next(self._order), act))

    def run(self, until: float) -> None:
        """Let time pass up to `until`."""
        while self.step(until):
            pass
        self.now = max(self.now, until)

    def run_until(self, condition: Callable[[], bool], within: float = 600.0) -> None:
        """Let time pass until `condition` holds. Raises Violation if it does not in time."""
        limit = self.now + within
        self.flush()
        while not condition():
            if not self.step(limit):
                raise self.violation("the expected never came about")

    def step(self, until: float) -> bool:
        """The earliest thing that is due not later than `until`; False if there is none."""
        self.flush()
        deadlines = [(at, host) for host in self.hosts.values() if (at := host.engine.deadline()) is not None]
        soonest = min(deadlines, key=lambda entry: entry[0], default=None)
        arrival = self._agenda[0][0] if self._agenda else None
        if soonest is not None and (arrival is None or soonest[0] < arrival):
            if soonest[0] > until:
                return False
            self.now = max(self.now, soonest[0])
            soonest[1].engine.tick(self.now)
        elif arrival is not None and arrival <= until:
            self.now = max(self.now, arrival)
            heapq.heappop(self._agenda)[2]()
        else:
            return False
        self.flush()
        self.check()
        return True

    def flush(self) -> None:
        """Take what the engines put out: datagrams go on their way, questions get their answers some time."""
        for host in self.hosts.values():
            mark = len(host.events)
            transmits, questions = host.drain()
            for event in host.events[mark:]:
                self._write(host, event)
            for transmit in transmits:
                self.send(host, transmit)
            for question in questions:
                delay = 0.05 * self.tape.fraction() if host.tape.chance(host.late) else 0.0
                delay += host.slow.get(type(question.ask), 0.0)
                if delay == math.inf:
                    continue
                self.at(self.now + delay, lambda host=host, question=question: host.reply(question, self.now))  # type: ignore[misc]

    def host_at(self, address: bytes) -> Host | None:
        """Who has that packed address now."""
        return next((host for host in self.hosts.values() if address in host.addresses), None)

    def move(self, host: Host, *addresses: str, quiet: bool = False) -> None:
        """Let a host have these addresses from now on, the first preferred; `quiet`: and not notice it."""
        host.addresses = [ip_address(text).packed for text in addresses]
        if not quiet:
            host.engine.command(AddressesChanged(), self.now)
            self.flush()

    def send(self, host: Host, transmit: Transmit) -> None:
        """Put a datagram on the wire; nobody sends from an address that is not its own."""
        if transmit.path.local.address not in host.addresses:
            return
        self.sent.append((host, transmit))
        seen = [tap(host, transmit) for tap in self.taps]  # each of them sees it
        if not all(seen):
            return
        if transmit.path.tcp:
            self.streams.say(transmit.data, transmit.path)
            return
        for delay in self.link.arrivals(len(transmit.data), self.tape):
            self.at(self.now + delay, lambda: self.deliver(transmit.data, transmit.path.local, transmit.path.remote))

    def deliver(self, data: bytes, source: Endpoint, destination: Endpoint) -> None:
        """A datagram arrives, through the translators on its way."""
        for nat in self.nats:
            crossed = nat.cross(source, destination)
            if crossed is None:
                return
            source, destination = crossed
        target = self.host_at(destination.address)
        if target is not None:
            target.receive(data, Path(destination, source), self.now)

    # -- invariants -----------------------------------------------------------------

    def check(self) -> None:
        """What must hold after every step, whatever the network did."""
        for host in self.hosts.values():
            if host.fault is not None:
                raise self.violation(f"{host.name}: {host.fault.text()}")
            inbound, outbound = set(), set()
            for machine in host.engine.machines():
                for child in machine.sa.children.values():
                    for one in (child, *child.companions):
                        if child.inbound:
                            inbound.add((one.protocol, one.spi_in))
                        if child.outbound:
                            outbound.add((one.protocol, one.spi_out, child.path.remote.address))
                    if child.ike is not machine.sa:
                        raise self.violation(f"{host.name}: {child} does not know its IKE SA")
            self._handed_over(host)
            if host.engine.waiting:
                continue  # between an ask and its answer the kernel may be a step ahead
            if inbound != set(host.kernel.inbound) or outbound != set(host.kernel.outbound):
                raise self.violation(f"{host.name}: the kernel holds other SAs than the records say")

    def _handed_over(self, host: Host) -> None:
        """What replaces an IKE SA that may move is where that one was, from the first instant on."""
        for machine in host.engine.machines():
            sa = machine.sa
            if not isinstance(sa, IkeSa) or sa.heir is None or (host.name, sa.uniqueid) in self._replaced:
                continue
            self._replaced.add((host.name, sa.uniqueid))
            heir = sa.heir
            if sa.mobility is None or heir.mobility is None or heir.mobility.moves != sa.mobility.moves:
                continue  # the message that made it take over moved it as well
            # Not so whether there is a NAT: an update that made it take over judged that anew.
            if heir.path != sa.path:
                raise self.violation(f"{host.name}: {heir} is on {heir.path}, and what it replaces was on {sa.path}")

    def settled(self) -> None:
        """What must hold once nothing is under way: both ends agree."""
        hosts = list(self.hosts.values())
        for host in hosts:
            if host.kernel.larval:
                raise self.violation(f"{host.name}: reserved SPIs are left behind")
            for machine in host.engine.machines():
                sa = machine.sa
                if sa.state is not IkeState.ESTABLISHED:
                    raise self.violation(f"{host.name}: {sa} is not settled")
                peer = self.host_at(sa.path.remote.address)
                if peer is None:
                    continue
                twins = [m.sa for m in peer.engine.machines() if (m.sa.spi_i, m.sa.spi_r) == (sa.spi_i, sa.spi_r)]
                if len(twins) != 1:
                    raise self.violation(f"{host.name}: {sa} has {len(twins)} counterparts at {peer.name}")
                self._agree(host, sa, twins[0])

    def _agree(self, host: Host, ours: object, theirs: object) -> None:
        assert isinstance(ours, Association) and isinstance(theirs, Association)
        if ours.keys != theirs.keys:
            raise self.violation(f"{host.name}: keys differ on {ours}")
        mine = {(c.spi_in, c.spi_out) for c in ours.living_children}
        other = {(c.spi_out, c.spi_in) for c in theirs.living_children}
        if mine != other:
            raise self.violation(f"{host.name}: children differ: {ours.living_children} and {theirs.living_children}")
        for child in ours.living_children:
            if child.state is not ChildState.INSTALLED or not child.outbound:
                raise self.violation(f"{host.name}: {child} is not settled")

    def carries(self, sender: Host, receiver: Host) -> bool:
        """Whether each child of the sender can get a packet through to the receiver just now."""
        reqids = {child.reqid for child in sender.children}
        halves = [sender.kernel.sending_on(reqid) for reqid in sorted(reqids)]
        return bool(halves) and all(half is not None and receiver.kernel.receives(half) for half in halves)

    # -- telling ------------------------------------------------------------------------

    def violation(self, why: str) -> Violation:
        """The exception for a broken invariant, with seed and ladder."""
        ladder = "\n".join(self.ladder[-KEPT_LADDER:])
        return Violation(f"seed {self.seed}, at {self.now:.3f} s: {why}\n{ladder}")

    def _write(self, host: Host, event: object) -> None:
        if isinstance(event, MessageSent | MessageReceived):
            self.ladder.append(f"{self.now:9.3f} {host.name:>6} {event.text()}")
        else:
            text = getattr(event, "text", lambda: "")()
            self.ladder.append(f"{self.now:9.3f} {host.name:>6}   {text}")
