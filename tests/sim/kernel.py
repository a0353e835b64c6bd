"""FakeKernel: SAs by direction, as XFRM would hold them, and what a packet would meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ikectl.crypto.kdf_v2 import ChildKeys
from ikectl.engine.commands import Acquired
from ikectl.errors import BackendError
from ikectl.iana.v2 import Protocol
from ikectl.kernel.backend import FIRST_CPI, LAST_CPI
from ikectl.sa.asks import (
    AllocSpi,
    FreeSpi,
    InstallAddress,
    InstallChild,
    InstallDns,
    InstallSentry,
    MovePath,
    QueryUse,
    RemoveAddress,
    RemoveChild,
    RemoveDns,
    RemoveSentry,
    SkipNumbers,
    Usage,
)
from ikectl.sa.child_sa import ChildSa, Companion
from ikectl.sa.sentries import Packet, Sentry
from ikectl.values.selector import SelectorSpec, TrafficSelector
from tests.sim.tape import Tape


@dataclass
class Half:
    """One unidirectional SA."""

    child: ChildSa
    key: bytes
    order: int
    beside: tuple[bytes, ...] = ()
    """The keys of the companions on its way."""


Inbound = tuple[Protocol, int]
Outbound = tuple[Protocol, int, bytes]


class FakeKernel:
    """Holds what the engine installed. `refuse` makes the next installations fail, `fixed` every move.

    Companions have entries of their own, of the same child.
    """

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._order = 0
        self.larval: set[Inbound] = set()
        self.inbound: dict[Inbound, Half] = {}
        self.outbound: dict[Outbound, Half] = {}
        self.addresses: dict[bytes, int] = {}
        """Inner addresses, and how many need them."""
        self.dns: dict[str, InstallDns] = {}
        self.refuse = 0
        self.fixed = False
        self.esp_in_tcp = True
        self.sentries: list[Sentry] = []
        self.usage = Usage()
        self.skipped: Counter[int] = Counter()
        """Packet numbers left out, by outbound SPI."""

    def alloc_spi(self, ask: AllocSpi) -> int:
        if ask.path.tcp and not self.esp_in_tcp:
            raise BackendError("this kernel cannot carry ESP inside TCP")
        while True:
            drawn = int.from_bytes(self._tape(3), "big")
            spi = (
                FIRST_CPI + drawn % (LAST_CPI - FIRST_CPI + 1)
                if ask.protocol == Protocol.IPCOMP
                else 0xC0000000 | drawn
            )
            if (ask.protocol, spi) not in self.larval and (ask.protocol, spi) not in self.inbound:
                self.larval.add((ask.protocol, spi))
                return spi

    def free_spi(self, ask: FreeSpi) -> None:
        self.larval.discard((ask.protocol, ask.spi))

    def install(self, ask: InstallChild) -> None:
        child = ask.child
        reserved = {(one.protocol, one.spi_in) for one in _all(child)}
        if self.refuse:
            self.refuse -= 1
            self.larval -= reserved
            raise BackendError("the kernel lacks aes-gcm")
        if ask.inbound and not reserved <= self.larval:
            raise BackendError("the inbound SPI is not reserved")
        self._order += 1
        pairs = [_keys(child, one) for one in _all(child)]
        beside = tuple(ours for ours, _ in pairs[1:])
        for one, (ours, theirs) in zip(_all(child), pairs, strict=True):
            if ask.inbound:
                self.larval.remove((one.protocol, one.spi_in))
                self.inbound[one.protocol, one.spi_in] = Half(child, theirs, self._order)
            if ask.outbound:
                key = (one.protocol, one.spi_out, child.path.remote.address)
                assert key not in self.outbound, "outbound SA installed twice"
                self.outbound[key] = Half(child, ours, self._order, beside)

    def remove(self, ask: RemoveChild) -> None:
        child = ask.child
        for one in _all(child):
            if ask.inbound:
                self.inbound.pop((one.protocol, one.spi_in), None)
            if ask.outbound:
                self.outbound.pop((one.protocol, one.spi_out, child.path.remote.address), None)

    def move(self, ask: MovePath) -> None:
        child = ask.child
        if self.fixed:
            raise BackendError("the kernel does not move SAs")
        for one in _all(child):
            half = self.outbound.pop((one.protocol, one.spi_out, ask.old.remote.address), None)
            if half is not None:
                self.outbound[one.protocol, one.spi_out, child.path.remote.address] = half

    def skip(self, ask: SkipNumbers) -> None:
        if ask.packets >= 2**32:
            raise BackendError("so many packet numbers are not left")
        if ask.child.outbound:
            self.skipped[ask.child.spi_out] += ask.packets

    def install_address(self, ask: InstallAddress) -> None:
        self.addresses[ask.address] = self.addresses.get(ask.address, 0) + 1

    def remove_address(self, ask: RemoveAddress) -> None:
        left = self.addresses.pop(ask.address, 0) - 1
        if left > 0:
            self.addresses[ask.address] = left

    def install_dns(self, ask: InstallDns) -> None:
        self.dns[ask.owner] = ask

    def remove_dns(self, ask: RemoveDns) -> None:
        self.dns.pop(ask.owner, None)

    def install_sentry(self, ask: InstallSentry) -> None:
        if self.refuse:
            self.refuse -= 1
            raise BackendError("the kernel has no room")
        self.sentries.append(ask.sentry)

    def remove_sentry(self, ask: RemoveSentry) -> None:
        if ask.sentry in self.sentries:
            self.sentries.remove(ask.sentry)

    def acquired(self, source: str, destination: str) -> Acquired | None:
        """What the kernel asks for when it sees such a packet: `10.1.0.1[tcp/40000]`; None if no trap is for it."""
        packet = Packet(_selector(source), _selector(destination))
        for sentry in self.sentries:
            if any(ts & packet.local for ts in sentry.ts_local) and any(ts & packet.remote for ts in sentry.ts_remote):
                return Acquired(sentry, packet)
        return None

    def query(self, ask: QueryUse) -> Usage:
        return self.usage

    def sending_on(self, reqid: int) -> Half | None:
        """The outbound SA the next packet of that policy takes: the newest."""
        halves = [
            half
            for (protocol, _, _), half in self.outbound.items()
            if half.child.reqid == reqid and protocol == half.child.protocol
        ]
        return max(halves, key=lambda half: half.order, default=None)

    def receives(self, half: Half) -> bool:
        """Whether a packet the other kernel sent on `half` is accepted here, by every SA of its bundle."""
        child = half.child
        found = [self.inbound.get((one.protocol, one.spi_out)) for one in _all(child)]
        return [mine.key if mine else None for mine in found] == [half.key, *half.beside]


def _selector(text: str) -> TrafficSelector:
    network = SelectorSpec.parse(text).network
    assert network is not None
    return network


def _all(child: ChildSa) -> Iterator[ChildSa | Companion]:
    yield child
    yield from child.companions


def _keys(child: ChildSa, one: ChildSa | Companion) -> tuple[bytes, bytes]:
    """(what protects what we send, what protects what we receive); IPComp has none."""
    if one.protocol == Protocol.IPCOMP:
        return b"", b""
    keys: ChildKeys | None = one.keys
    assert keys is not None, "installed without keys"
    initiators, responders = keys.encr_i + keys.integ_i, keys.encr_r + keys.integ_r
    return (initiators, responders) if child.initiator else (responders, initiators)
