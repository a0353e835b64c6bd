"""Policies: which ones a child needs, how they rank, and who else needs them. Pure.

A kernel policy selects packets by networks, a protocol and masked ports. What
IKE negotiates are ranges, so one pair of traffic selectors may need several
`Flow`s: exactly those that together select the same packets, never more.

Several children may want the same policy: a child and its successor, or two
peers with the same networks. The kernel has room for one, so `PolicyTable`
keeps everybody's wish and says which one is to stand.

The records are named tuples: several are made and hashed for every child.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import lru_cache
from typing import NamedTuple

from ikectl.config.model import NO_MARK, Mark, Mode
from ikectl.errors import BackendError
from ikectl.iana.v2 import Protocol
from ikectl.kernel.bundle import parts
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.marks import ChildMarks
from ikectl.sa.sentries import Sentry
from ikectl.values.selector import TrafficSelector

MAX_FLOWS = 512
"""Policies of one direction that one child may need; ranges that are no networks take many."""

ICMP = frozenset({1, 58})

PRIORITY_BASE = 400_000
"""See `priority`."""


class Direction(IntEnum):
    """Of a policy, with the kernel's numbers."""

    IN = 0
    OUT = 1
    FWD = 2


class Flow(NamedTuple):
    """Packets from a source to a destination, addresses packed. Mask 0 is any port.

    With ICMP the source port is the type and the destination port the code, whichever way it flows.
    """

    source: bytes
    source_bits: int
    destination: bytes
    destination_bits: int
    protocol: int = 0
    source_port: int = 0
    source_port_mask: int = 0
    destination_port: int = 0
    destination_port_mask: int = 0
    interface: int = 0
    """Index of the only interface meant; 0 is any."""

    @property
    def reversed(self) -> Flow:
        """The same conversation, the other way."""
        ports: tuple[int, int, int, int] = (
            self.destination_port,
            self.destination_port_mask,
            self.source_port,
            self.source_port_mask,
        )
        if self.protocol in ICMP:
            ports = (*ports[2:], *ports[:2])
        return Flow(
            self.destination,
            self.destination_bits,
            self.source,
            self.source_bits,
            self.protocol,
            *ports,
            self.interface,
        )


class Slot(NamedTuple):
    """What the kernel tells policies apart by: it holds one for each."""

    flow: Flow
    direction: Direction
    mark: Mark = NO_MARK
    if_id: int = 0


class Template(NamedTuple):
    """The SA that a policy demands. Addresses are packed; in transport mode they are not looked at."""

    source: bytes
    destination: bytes
    protocol: Protocol
    mode: Mode
    reqid: int
    optional: bool = False
    """Packets that did not pass it are fine too."""


class Rule(NamedTuple):
    """What is to become of the packets of a slot: a smaller `priority` wins; without templates they pass.

    Several templates are a bundle, innermost first.
    """

    priority: int
    templates: tuple[Template, ...]
    icmp: bool = False
    """Decrypted ICMP errors may match by the packet they quote."""
    offload: int = 0
    """Index of the interface whose card is to apply it; 0 is none."""
    block: bool = False
    """They do not pass: they are dropped."""


Wish = tuple[Slot, Rule]


# -- which policies a child needs -----------------------------------------------


def flows(local: Iterable[TrafficSelector], remote: Iterable[TrafficSelector], interface: int = 0) -> tuple[Flow, ...]:
    """The flows from `local` to `remote` that together select exactly what the selectors do.

    Pairs of different families or protocols select nothing. Raises
    BackendError for more than MAX_FLOWS, and for OPAQUE ports, which the
    kernel cannot select.
    """
    return _flows(tuple(local), tuple(remote), interface)


@lru_cache(64)  # both halves of a child ask, one after the other
def _flows(local: tuple[TrafficSelector, ...], remote: tuple[TrafficSelector, ...], interface: int) -> tuple[Flow, ...]:
    found: dict[Flow, None] = {}
    for ours in local:
        for theirs in remote:
            for flow in _pair(ours, theirs, interface):
                found[flow] = None
                if len(found) > MAX_FLOWS:
                    raise BackendError(
                        f"the traffic selectors need more than {MAX_FLOWS} policies in the kernel; "
                        "use networks instead of ranges of addresses or ports"
                    )
    return tuple(found)


def _pair(ours: TrafficSelector, theirs: TrafficSelector, interface: int) -> Iterator[Flow]:
    if ours.v6 != theirs.v6 or (ours.protocol and theirs.protocol and ours.protocol != theirs.protocol):
        return
    if ours.is_opaque or theirs.is_opaque:
        raise BackendError("the kernel cannot select packets by OPAQUE ports; leave /opaque out of the selector")
    protocol = ours.protocol or theirs.protocol
    for ports in _ports(protocol, ours, theirs):
        for source, source_bits in ours.networks():
            for destination, destination_bits in theirs.networks():
                yield Flow(source, source_bits, destination, destination_bits, protocol, *ports, interface)


def _ports(protocol: int, ours: TrafficSelector, theirs: TrafficSelector) -> Iterator[tuple[int, int, int, int]]:
    """(source port, mask, destination port, mask) each."""
    local, remote = (ours.start_port, ours.end_port), (theirs.start_port, theirs.end_port)
    if protocol not in ICMP:
        for source, source_mask in masked(*local):
            for destination, destination_mask in masked(*remote):
                yield source, source_mask, destination, destination_mask
        return
    # RFC 7296 §3.13.1: type and code in one number, the same in both selectors or free in one.
    start, end = max(local[0], remote[0]), min(local[1], remote[1])
    if start > end:
        return
    for number, mask in masked(start, end):
        kind, code = mask >> 8, mask & 0xFF
        yield number >> 8, 0xFF00 | kind if kind else 0, number & 0xFF, 0xFF00 | code if code else 0


def masked(start: int, end: int) -> Iterator[tuple[int, int]]:
    """A range of 16-bit numbers as (number, mask) that together cover exactly it; one with mask 0 for all."""
    while start <= end:
        size = start & -start if start else 0x10000
        while start + size - 1 > end:
            size >>= 1
        yield start, 0x10000 - size & 0xFFFF
        start += size


def priority(flow: Flow) -> int:
    """The rank of a flow: the smaller what it selects, the smaller the number, and smaller numbers win.

        400000 - 1000 x (bits of both prefixes)         0 to 256
               -  500 if it names a protocol
               -   10 x (bits of both port masks)       0 to 32
               -    5 if it names an interface

    So networks decide first, then protocol, ports, interface. It depends on
    nothing but the flow: order of loading and of negotiation do not count.
    """
    return (
        PRIORITY_BASE
        - 1000 * (flow.source_bits + flow.destination_bits)
        - 500 * bool(flow.protocol)
        - 10 * (flow.source_port_mask.bit_count() + flow.destination_port_mask.bit_count())
        - 5 * bool(flow.interface)
    )


def seen(child: ChildSa) -> tuple[tuple[TrafficSelector, ...], tuple[TrafficSelector, ...]]:
    """Local and remote selectors of `child` as this host's packets have them.

    In transport mode packets keep their own header, which a NAT rewrites: they
    bear the addresses of the path, whatever addresses the ends negotiated
    (RFC 3947 §5.2, RFC 7296 §2.23.1). Protocol and ports are inside ESP, and stay.
    """
    if child.mode is not Mode.TRANSPORT or not child.encap:
        return child.ts_local, child.ts_remote
    local, remote = child.path.local.address, child.path.remote.address
    return tuple(ts.at(local) for ts in child.ts_local), tuple(ts.at(remote) for ts in child.ts_remote)


def templates(child: ChildSa, inbound: bool) -> tuple[Template, ...]:
    """The SAs that packets of `child` pass, innermost first. Raises BackendError.

    Inbound, IPComp is optional: packets that do not become smaller are sent as they are (RFC 3173 §2.2).
    """
    ends = child.path.local.address, child.path.remote.address
    source, destination = reversed(ends) if inbound else ends
    return tuple(
        Template(
            source, destination, part.protocol, part.mode, child.reqid, inbound and part.protocol is Protocol.IPCOMP
        )
        for part in parts(child)
    )


def inbound_wishes(child: ChildSa, offload: int = 0) -> tuple[Wish, ...]:
    """The policies that come with the inbound half: `in`, and in tunnel mode `fwd`.

    `offload` is the interface that is to apply them; 0 is none. Raises BackendError.
    """
    config, mark = child.config, child.marks.into
    if not config.policies:
        return ()
    wanted = templates(child, inbound=True)
    wishes: list[Wish] = []
    for flow in flows(*seen(child)):
        rank = config.priority or priority(flow)
        rule = Rule(rank, wanted, config.icmp, offload)
        wishes.append((Slot(flow.reversed, Direction.IN, mark, child.if_id_in), rule))
        if child.mode is Mode.TUNNEL:
            wishes.append((Slot(flow.reversed, Direction.FWD, mark, child.if_id_in), rule))
    return tuple(wishes)


def outbound_wishes(child: ChildSa, interface: int = 0, offload: int = 0) -> tuple[Wish, ...]:
    """The policies that come with the outbound half: `out`, and if configured the outbound `fwd`.

    That one lets packets pass on their way to the tunnel where a broader
    policy would drop what is forwarded. It ranks just behind, so that another
    tunnel with the same networks turned round keeps its own. `interface` is
    the only one that packets may leave by: the kernel holds it against the
    outgoing interface in every direction, so it means nothing to what comes in.
    Raises BackendError.
    """
    config, mark = child.config, child.marks.out
    if not config.policies:
        return ()
    wanted = templates(child, inbound=False)
    wishes: list[Wish] = []
    for flow in flows(*seen(child), interface):
        rank = config.priority or priority(flow)
        wishes.append((Slot(flow, Direction.OUT, mark, child.if_id_out), Rule(rank, wanted, config.icmp, offload)))
        if config.policies_fwd_out and child.mode is Mode.TUNNEL:
            wishes.append((Slot(flow, Direction.FWD, mark, child.if_id_out), Rule(rank + 1, ())))
    return tuple(wishes)


def sentry_wishes(sentry: Sentry, interface: int = 0) -> tuple[Wish, ...]:
    """The policies of a trap or a shunt, in every direction. Raises BackendError.

    A trap ranks just behind its children, whose policies so replace its own
    while they stand. What it would protect is not taken in clear either
    (RFC 4301 §5.2). Shunts to pass rank before all SAs, shunts to drop behind
    them, whatever their networks: the exception stands first, and what is left
    over comes last.
    """
    config, marks = sentry.config, ChildMarks.of(sentry.config)
    wishes: list[Wish] = []
    for flow in flows(sentry.ts_local, sentry.ts_remote, interface):
        back = flow.reversed._replace(interface=0)
        out, into = _sentry_rule(sentry, flow, False), _sentry_rule(sentry, flow, True)
        wishes.append((Slot(flow, Direction.OUT, marks.out, sentry.if_id_out), out))
        wishes.append((Slot(back, Direction.IN, marks.into, sentry.if_id_in), into))
        if config.mode is not Mode.TRANSPORT:
            wishes.append((Slot(back, Direction.FWD, marks.into, sentry.if_id_in), into))
        if config.mode is Mode.PASS and back != flow:
            # On its way in from where it is forwarded, too, or a broader drop would meet it first.
            wishes.append((Slot(flow, Direction.FWD, marks.out, sentry.if_id_out), out))
    return tuple(wishes)


def _sentry_rule(sentry: Sentry, flow: Flow, inbound: bool) -> Rule:
    config, rank = sentry.config, sentry.config.priority or priority(flow)
    if config.mode is Mode.PASS:
        return Rule(config.priority or rank // 3, ())  # the last of them ranks before the first of all others
    if config.mode is Mode.DROP:
        return Rule(config.priority or rank + PRIORITY_BASE, (), block=True)
    assert sentry.path is not None
    ends = sentry.path.local.address, sentry.path.remote.address
    source, destination = reversed(ends) if inbound else ends
    return Rule(rank + 1, (Template(source, destination, config.protocol, config.mode, sentry.reqid),), config.icmp)


# -- who needs them ------------------------------------------------------------


class Act(Enum):
    """What is to happen to a policy."""

    ADD = "add"
    REPLACE = "replace"
    DELETE = "delete"


@dataclass(slots=True)
class Change:
    """One change of the kernel's database. `rule` is what is to stand, or with DELETE what stood.

    `index` names the policy in the kernel at a cost that does not grow with their number.
    """

    act: Act
    slot: Slot
    index: int
    rule: Rule


@dataclass(slots=True)
class _Claim:
    rule: Rule
    holders: int = 1


class _Held:
    """One slot: its index, and everybody's rules, the one that stands first."""

    __slots__ = ("claims", "index")

    def __init__(self, index: int, rule: Rule) -> None:
        self.index = index
        self.claims = [_Claim(rule)]


FIRST_INDEX = 1 << 30
LAST_INDEX = (1 << 31) - 1
"""The indexes we give to policies. The kernel numbers those of others from 8 upwards."""


class PolicyTable:
    """All policies that are wanted, and by how many; what it returns makes the kernel follow.

    Of several rules for one slot that with the smallest priority stands, and
    of equal ones the latest: the peer that came last is the one that is there.
    """

    __slots__ = ("_held", "_next", "_taken")

    def __init__(self) -> None:
        self._held: dict[Slot, _Held] = {}
        self._taken: set[int] = set()
        self._next = FIRST_INDEX

    def __len__(self) -> int:
        return len(self._held)

    def add(self, slot: Slot, rule: Rule) -> Change | None:
        """One more wants `rule`; the change that follows, if any."""
        held = self._held.get(slot)
        if held is None:
            held = self._held[slot] = _Held(self._index(slot.direction), rule)
            return Change(Act.ADD, slot, held.index, rule)
        for claim in held.claims:
            if claim.rule == rule:
                claim.holders += 1
                return None
        place = 0
        while place < len(held.claims) and held.claims[place].rule.priority < rule.priority:
            place += 1
        held.claims.insert(place, _Claim(rule))
        return Change(Act.REPLACE, slot, held.index, rule) if place == 0 else None

    def remove(self, slot: Slot, rule: Rule) -> Change | None:
        """One fewer wants `rule`; the change that follows, if any. Nothing happens if nobody did."""
        held = self._held.get(slot)
        if held is None:
            return None
        place = next((place for place, claim in enumerate(held.claims) if claim.rule == rule), None)
        if place is None:
            return None
        held.claims[place].holders -= 1
        if held.claims[place].holders:
            return None
        del held.claims[place]
        if not held.claims:
            del self._held[slot]
            self._taken.discard(held.index)
            return Change(Act.DELETE, slot, held.index, rule)
        return Change(Act.REPLACE, slot, held.index, held.claims[0].rule) if place == 0 else None

    def standing(self) -> Iterator[Change]:
        """What deletes everything that stands."""
        for slot, held in self._held.items():
            yield Change(Act.DELETE, slot, held.index, held.claims[0].rule)

    def _index(self, direction: Direction) -> int:
        """A number that no policy of ours has, with the direction in its low three bits as the kernel wants."""
        while True:
            index = self._next | direction
            self._next += 8
            if self._next > LAST_INDEX:
                self._next = FIRST_INDEX
            if index not in self._taken:
                self._taken.add(index)
                return index
