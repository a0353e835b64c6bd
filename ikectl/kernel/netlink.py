"""NetlinkKernel: children in Linux's XFRM.

Requests are carried out by the kernel inside the call that sends them, so
nothing here waits: installing a child costs one send. What was put into the
kernel is recorded, and only that is ever changed or removed.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

import xfrm
from ikectl.config.model import HwOffload
from ikectl.errors import BackendError
from ikectl.iana.v2 import Protocol
from ikectl.kernel.backend import Expired, Features, Mapped, Wanted
from ikectl.kernel.features import look, spi_range
from ikectl.kernel.leftovers import sweep
from ikectl.kernel.moving import in_place, only_ports, skipping, taken_out
from ikectl.kernel.policies import PolicyTable, Slot, Wish, inbound_wishes, outbound_wishes
from ikectl.kernel.sentries import KernelSentries, index_of
from ikectl.kernel.translate import (
    MAPPING_EVERY,
    NO_ESP_IN_TCP,
    PROTOS,
    address,
    carrier,
    explain,
    inbound_sas,
    outbound_sas,
    policy_request,
)
from ikectl.sa.asks import Usage
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.sentries import Sentry
from ikectl.values.path import Endpoint, Path
from xfrm.events import Acquire, Expire, Mapping, Overrun

THRESHOLD4, THRESHOLD6 = xfrm.HashThreshold(0, 32), xfrm.HashThreshold(0, 128)
"""Policies towards a single remote address are found by hash: thousands of remote hosts cost nothing.

The kernel otherwise hashes none but host-to-host policies, and walks a list of all others.
"""

T = TypeVar("T")
Random = Callable[[int], bytes]
InterfaceOf = Callable[[bytes], "int | None"]


def _nowhere(address: bytes) -> int | None:
    return None


@dataclass(slots=True, eq=False)
class _Half:
    """One direction that stands: the child's own SA, those of companions, and the policies that came with them."""

    ids: tuple[xfrm.SaId, ...]
    """The child's own first."""
    wishes: tuple[Wish, ...]


@dataclass(slots=True, eq=False)
class _Draft:
    """What is about to be installed: per half the SAs and the policies."""

    inbound: tuple[xfrm.Sa, ...] = ()
    outbound: tuple[xfrm.Sa, ...] = ()
    wishes_in: tuple[Wish, ...] = ()
    wishes_out: tuple[Wish, ...] = ()

    @property
    def sas(self) -> tuple[xfrm.Sa, ...]:
        return self.inbound + self.outbound

    @property
    def requests(self) -> list[xfrm.Request[Any]]:
        """What makes the SAs, in their order: inbound ones are reserved already."""
        return [*map(xfrm.UpdSa, self.inbound), *map(xfrm.NewSa, self.outbound)]


@dataclass(slots=True, eq=False)
class _Standing:
    inbound: _Half | None = None
    outbound: _Half | None = None


class NetlinkKernel:
    """See the module; the methods do what `KernelBackend` says. Not for several threads at once."""

    def __init__(
        self,
        channel: xfrm.Channel,
        events: xfrm.EventStream,
        interface_of: InterfaceOf = _nowhere,
        random: Random = secrets.token_bytes,
    ) -> None:
        """`interface_of` finds the interface of a local address, for offload; `random` spreads lifetimes."""
        self._channel = channel
        self._events = events
        self._interface_of = interface_of
        self._random = random
        self._table = PolicyTable()
        self._standing: dict[ChildSa, _Standing] = {}
        self._children: dict[tuple[int, int, xfrm.Address], ChildSa] = {}
        """To find whose limit was reached: by protocol, SPI, destination."""
        self._expired: dict[ChildSa, bool] = {}
        self._mapped: dict[ChildSa, Endpoint] = {}
        """What events told and nobody asked for yet: per child whether a limit was hard, and its peer's new end."""
        self._sentries = KernelSentries(channel.batch, self._table)
        self._larval: dict[tuple[int, int], xfrm.SaId] = {}
        self._thresholds: xfrm.Request[Any] | None = None
        """What sets them back to what they were."""
        self._features: Features | None = None

    @classmethod
    def open(cls, netns: str | None = None, interface_of: InterfaceOf = _nowhere) -> Self:
        """Open sockets, remove what an earlier life left, set hash thresholds. Raises BackendError."""
        try:
            channel = xfrm.Channel(netns)
            try:
                events = xfrm.EventStream((xfrm.Group.EXPIRE, xfrm.Group.MAPPING, xfrm.Group.ACQUIRE), netns)
            except xfrm.XfrmError:
                channel.close()
                raise
            kernel = cls(channel, events, interface_of)
            try:
                kernel.sweep()
                kernel._set_thresholds()
            except xfrm.XfrmError:
                kernel.close()
                raise
        except xfrm.XfrmError as error:
            raise BackendError(explain(error)) from error
        return kernel

    @property
    def features(self) -> Features:
        """What the kernel has; found out at the first look."""
        if self._features is None:
            self._features = look(self._channel)
        return self._features

    # -- SPIs ------------------------------------------------------------------

    def alloc_spi(self, protocol: Protocol, path: Path) -> int:
        self._demand_carrier(path)
        source, destination, proto = address(path.remote.address), address(path.local.address), PROTOS[protocol]
        low, high = spi_range(proto)
        spi = self._ask(xfrm.AllocSpi(source, destination, proto, low=low, high=high))
        self._larval[proto, spi] = xfrm.SaId(destination, spi, proto)
        return spi

    def free_spi(self, protocol: Protocol, path: Path, spi: int) -> None:
        self._drop_larval((protocol, spi))

    def _demand_carrier(self, path: Path) -> None:
        """Raises BackendError where no ESP could go on that path: bare, or in datagrams, it would be dropped."""
        if path.tcp and not self.features.esp_in_tcp:
            raise BackendError(NO_ESP_IN_TCP)

    def _drop_larval(self, *names: tuple[Protocol, int]) -> None:
        found = [self._larval.pop((PROTOS[protocol], spi), None) for protocol, spi in names]
        larval = [xfrm.DelSa(id) for id in found if id is not None]
        if larval:
            self._channel.batch(larval)  # they may have ended by themselves

    # -- children --------------------------------------------------------------

    def install(self, child: ChildSa, inbound: bool = True, outbound: bool = True) -> None:
        standing = self._standing.get(child) or _Standing()
        try:
            draft = self._draft(child, inbound and not standing.inbound, outbound and not standing.outbound)
        except BackendError:
            if inbound and not standing.inbound:
                self._drop_larval(*_reserved(child))
            raise
        self._carry_out(child, draft)
        if draft.inbound:
            reserved = [(self._larval.pop((sa.proto, sa.spi)), sa.id) for sa in draft.inbound]
            if any(larval.dst != stands.dst for larval, stands in reserved):
                # Our address changed since the SPI was reserved.
                self._channel.batch([xfrm.DelSa(larval) for larval, _ in reserved])
            standing.inbound = self._record(child, draft.inbound, draft.wishes_in)
        if draft.outbound:
            standing.outbound = self._record(child, draft.outbound, draft.wishes_out)
        self._standing[child] = standing

    def _draft(self, child: ChildSa, inbound: bool, outbound: bool) -> _Draft:
        """Raises BackendError before anything was done."""
        only, offload, packet = self._interfaces(child)
        draft = _Draft()
        if inbound:
            draft.inbound = inbound_sas(child, self._random, offload)
            draft.wishes_in = inbound_wishes(child, packet)
        if outbound:
            draft.outbound = outbound_sas(child, self._random, offload)
            asked = self._sentries.answers(child)
            if asked:
                draft.outbound = (replace(draft.outbound[0], seq=asked), *draft.outbound[1:])
            draft.wishes_out = outbound_wishes(child, only, packet)
        return draft

    def _interfaces(self, child: ChildSa) -> tuple[int, int | None, int]:
        """(the only one its policies are for, that of our address, that whose card applies policies); 0 is none."""
        offload, packet = None, 0
        if child.config.hw_offload is not HwOffload.NO:
            offload = self._interface_of(child.path.local.address)
            if child.config.hw_offload is HwOffload.PACKET:
                packet = offload or 0
        return index_of(child.config.interface), offload, packet

    def _carry_out(self, child: ChildSa, draft: _Draft) -> None:
        """All of a draft in one batch, SAs before the policies that want them; or nothing. Raises BackendError."""
        wishes, sas = draft.wishes_in + draft.wishes_out, draft.sas
        changes = [change for slot, rule in wishes if (change := self._table.add(slot, rule)) is not None]
        try:
            outcomes = self._channel.batch([*draft.requests, *map(policy_request, changes)])
        except ValueError as error:
            outcomes = [BackendError(f"the kernel takes no such SA: {error}")] * (len(sas) + len(changes))
        for place, sa in enumerate(draft.inbound):
            if isinstance(outcomes[place], xfrm.Gone):
                # The reservation of the SPI ended by itself, as the peer took its time.
                outcomes[place] = self._channel.batch([xfrm.NewSa(sa)])[0]
        failure = next((outcome for outcome in outcomes if outcome is not None), None)
        if failure is None:
            return
        undo: list[xfrm.Request[Any]] = []
        stood = {change.slot for change, outcome in zip(changes, outcomes[len(sas) :], strict=True) if outcome is None}
        self._release(wishes, undo, stood)
        undo += [xfrm.DelSa(sa.id) for sa, outcome in zip(sas, outcomes, strict=False) if outcome is None]
        if draft.inbound:
            self._drop_larval(*_reserved(child))
        self._channel.batch(undo)
        raise failure if isinstance(failure, BackendError) else BackendError(explain(failure)) from None

    def _record(self, child: ChildSa, sas: Sequence[xfrm.Sa], wishes: tuple[Wish, ...]) -> _Half:
        for sa in sas:
            self._children[sa.proto, sa.spi, sa.dst] = child
        return _Half(tuple(sa.id for sa in sas), wishes)

    def remove(self, child: ChildSa, inbound: bool = True, outbound: bool = True) -> None:
        standing = self._standing.get(child)
        if standing is None:
            return
        requests: list[xfrm.Request[Any]] = []
        if outbound and standing.outbound is not None:
            self._strike(standing.outbound, requests)
            standing.outbound = None
        if inbound and standing.inbound is not None:
            self._strike(standing.inbound, requests)
            standing.inbound = None
        if standing.inbound is None and standing.outbound is None:
            del self._standing[child]
            self._expired.pop(child, None)
            self._mapped.pop(child, None)
        self._delete(requests)

    def _strike(self, half: _Half, requests: list[xfrm.Request[Any]]) -> None:
        """Policies before the SAs they want, so that no packet asks for one in between."""
        self._release(half.wishes, requests)
        for id in half.ids:
            requests.append(xfrm.DelSa(id))
            self._children.pop((id.proto, id.spi, id.dst), None)

    def _release(
        self, wishes: Iterable[Wish], requests: list[xfrm.Request[Any]], only: set[Slot] | None = None
    ) -> None:
        """Wishes are taken back; what follows for the kernel is added to `requests`, for slots of `only` if given."""
        for slot, rule in wishes:
            change = self._table.remove(slot, rule)
            if change is not None and (only is None or slot in only):
                requests.append(policy_request(change))

    def _delete(self, requests: Sequence[xfrm.Request[Any]]) -> None:
        """What is gone already is no error. Raises BackendError for the first that failed, after trying all."""
        for outcome in self._channel.batch(requests):
            if isinstance(outcome, xfrm.XfrmError) and not isinstance(outcome, xfrm.Gone):
                raise BackendError(explain(outcome)) from outcome

    # -- policies without SAs ----------------------------------------------------

    def install_sentry(self, sentry: Sentry) -> None:
        self._sentries.install(sentry, index_of(sentry.config.interface))

    def remove_sentry(self, sentry: Sentry) -> None:
        self._sentries.remove(sentry)

    def acquired(self) -> Sequence[Wanted]:
        self._listen()
        return self._sentries.wanted()

    # -- moving and counting -----------------------------------------------------

    def move(self, child: ChildSa, old: Path) -> None:
        """See `moving`: in place where only ports change, else taken out and added again with its counters.

        Packets that meet the microseconds in between are lost. When it fails amid, what is left are policies
        without SAs: packets are kept back, and none goes out bare.
        """
        standing = self._standing.get(child)
        if standing is None:
            return
        self._demand_carrier(child.path)
        only, _, packet = self._interfaces(child)
        halves = [
            (half, inbound, inbound_wishes(child, packet) if inbound else outbound_wishes(child, only, packet))
            for half, inbound in ((standing.outbound, False), (standing.inbound, True))
            if half is not None
        ]
        requests: list[xfrm.Request[Any]] = []
        for half, inbound, wishes in halves:
            known = [self._ask(xfrm.GetSa(id)).sa for id in half.ids]
            there = [self._elsewhere(child, sa, inbound) for sa in known]
            if all(sa == target or only_ports(sa, target) for sa, target in zip(known, there, strict=True)):
                requests += [in_place(target) for sa, target in zip(known, there, strict=True) if sa != target]
                continue
            moved = [self._elsewhere(child, sa, inbound) for sa in taken_out(self._channel, half.ids)]
            requests += map(xfrm.NewSa, moved)
            requests += self._rewished(half, wishes)
            for id in half.ids:
                self._children.pop((id.proto, id.spi, id.dst), None)
            recorded = self._record(child, moved, wishes)
            half.ids, half.wishes = recorded.ids, recorded.wishes
        failure = next((each for each in self._channel.batch(requests) if isinstance(each, xfrm.XfrmError)), None)
        if failure is not None:
            raise BackendError(explain(failure)) from failure

    def skip(self, child: ChildSa, packets: int) -> None:
        """As `move`: taken out first, for a counter that is read and set while packets go would give numbers twice."""
        standing = self._standing.get(child)
        half = standing.outbound if standing is not None else None
        if half is None:
            return
        taken = taken_out(self._channel, [id for id in half.ids if id.proto != xfrm.Proto.COMP])
        ahead = [skipping(sa, packets) for sa in taken]
        requests = [xfrm.NewSa(sa if later is None else later) for sa, later in zip(taken, ahead, strict=True)]
        failure = next((each for each in self._channel.batch(requests) if isinstance(each, xfrm.XfrmError)), None)
        if failure is not None:
            raise BackendError(explain(failure)) from failure
        if None in ahead:
            raise BackendError(f"it has not so many packet numbers left as the peer wants left out ({packets})")

    def _rewished(self, half: _Half, wishes: tuple[Wish, ...]) -> list[xfrm.Request[Any]]:
        """What gives a half other policies; those that stay are not touched."""
        changes = [change for slot, rule in wishes if (change := self._table.add(slot, rule)) is not None]
        requests = [policy_request(change) for change in changes]
        self._release(half.wishes, requests)
        return requests

    def _elsewhere(self, child: ChildSa, sa: xfrm.Sa, inbound: bool) -> xfrm.Sa:
        """An SA of `child` between the ends of its path, encapsulated or not as the child is."""
        path = child.path
        source, destination = (path.remote, path.local) if inbound else (path.local, path.remote)
        encap = None
        if child.encap and sa.proto == xfrm.Proto.ESP:
            original = sa.encap.original if sa.encap else None
            encap = xfrm.Encap(source.port, destination.port, carrier(path), original)
        return replace(
            sa,
            src=address(source.address),
            dst=address(destination.address),
            encap=encap,
            mapping_max_age_for=MAPPING_EVERY if encap and inbound and not path.tcp else 0,
        )

    def query(self, child: ChildSa) -> Usage:
        standing = self._standing.get(child) or _Standing()
        into, out = self._look(standing.inbound), self._look(standing.outbound)
        return Usage(
            bytes_in=into.usage.octets if into else 0,
            packets_in=into.usage.packets if into else 0,
            bytes_out=out.usage.octets if out else 0,
            packets_out=out.usage.packets if out else 0,
            idle_in_for=_idle(into),
            idle_out_for=_idle(out),
        )

    def _look(self, half: _Half | None) -> xfrm.SaInfo | None:
        """The kernel's own account of it; None if it does not stand."""
        if half is None:
            return None
        try:
            return self._channel.ask(xfrm.GetSa(half.ids[0]))
        except xfrm.Gone:
            return None
        except xfrm.XfrmError as error:
            raise BackendError(explain(error)) from error

    # -- limits ------------------------------------------------------------------

    def fileno(self) -> int:
        return self._events.fileno()

    def expired(self) -> Sequence[Expired]:
        self._listen()
        found, self._expired = self._expired, {}
        return [Expired(child, hard) for child, hard in found.items()]

    def mappings(self) -> Sequence[Mapped]:
        self._listen()
        found, self._mapped = self._mapped, {}
        return [Mapped(child, remote) for child, remote in found.items() if remote != child.path.remote]

    def _listen(self) -> None:
        """Take in every event that waits."""
        while True:
            try:
                event = self._events.pending()
            except xfrm.Malformed:
                continue  # a later kernel's; what we know of is known to us
            match event:
                case None:
                    return
                case Expire(info, hard):
                    child = self._children.get((info.sa.proto, info.sa.spi, info.sa.dst))
                    if child is not None:
                        self._expired[child] = hard or self._expired.get(child, False)
                case Mapping(id, _, _, _, address, port):
                    child = self._children.get((id.proto, id.spi, id.dst))
                    if child is not None:
                        self._mapped[child] = Endpoint(address.packed, port)
                case Acquire():
                    self._sentries.heard(event)
                case Overrun():
                    self._expired.update((child, True) for child in self._vanished())
                case _:
                    pass

    def _vanished(self) -> list[ChildSa]:
        """Children of which the kernel lost a half, when its events were lost too."""
        halves = [
            (child, id)
            for child, standing in self._standing.items()
            for half in (standing.inbound, standing.outbound)
            if half is not None
            for id in half.ids
        ]
        outcomes = self._channel.batch([xfrm.GetAe(id) for _, id in halves])
        gone = (child for (child, _), outcome in zip(halves, outcomes, strict=True) if isinstance(outcome, xfrm.Gone))
        return list(dict.fromkeys(gone))

    # -- beginning and end ---------------------------------------------------------

    def sweep(self) -> int:
        """Remove what a daemon that was killed left behind; how many policies and SAs that was. Raises XfrmError."""
        return sweep(self._channel)

    def _set_thresholds(self) -> None:
        before = self._channel.ask(xfrm.GetSpdInfo())
        if (before.threshold4, before.threshold6) != (THRESHOLD4, THRESHOLD6):
            self._channel.ask(xfrm.SetHashThresholds(THRESHOLD4, THRESHOLD6))
            self._thresholds = xfrm.SetHashThresholds(before.threshold4, before.threshold6)

    def close(self) -> None:
        requests: list[xfrm.Request[Any]] = [policy_request(change) for change in self._table.standing()]
        for standing in self._standing.values():
            halves = (standing.outbound, standing.inbound)
            requests += [xfrm.DelSa(id) for half in halves if half is not None for id in half.ids]
        requests += [xfrm.DelSa(larval) for larval in self._larval.values()]
        if self._thresholds is not None:
            requests.append(self._thresholds)
        try:
            self._channel.batch(requests)
        finally:
            self._table, self._thresholds = PolicyTable(), None
            self._sentries = KernelSentries(self._channel.batch, self._table)
            self._standing, self._children, self._larval = {}, {}, {}
            self._expired, self._mapped = {}, {}
            self._channel.close()
            self._events.close()

    def _ask(self, request: xfrm.Request[T]) -> T:
        try:
            return self._channel.ask(request)
        except xfrm.XfrmError as error:
            raise BackendError(explain(error)) from error


def _idle(info: xfrm.SaInfo | None) -> float | None:
    """Seconds since its last packet; kernels tell the wall time of that, in whole seconds."""
    if info is None or not info.last_used_at:
        return None
    return max(0.0, time.time() - info.last_used_at)


def _reserved(child: ChildSa) -> list[tuple[Protocol, int]]:
    """The inbound SPIs of a child, by protocol."""
    return [(child.protocol, child.spi_in), *((one.protocol, one.spi_in) for one in child.companions)]


def bypass(sock: socket.socket) -> None:
    """Let no policy hold for an IKE socket. Raises BackendError."""
    try:
        xfrm.bypass_policies(sock)
    except xfrm.XfrmError as error:
        raise BackendError(explain(error)) from error
