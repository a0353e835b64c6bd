"""FakeKernel: SAs by direction, as XFRM would hold them, and what a packet would meet."""

from __future__ import annotations

from dataclasses import dataclass

from ikectl.errors import BackendError
from ikectl.iana.v2 import Protocol
from ikectl.sa.asks import AllocSpi, FreeSpi, InstallChild, MovePath, QueryUse, RemoveChild, Usage
from ikectl.sa.child_sa import ChildSa
from tests.sim.tape import Tape


@dataclass
class Half:
    """One unidirectional SA."""

    child: ChildSa
    key: bytes
    order: int


class FakeKernel:
    """Holds what the engine installed. `refuse` makes the next installations fail."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._order = 0
        self.larval: set[tuple[Protocol, int]] = set()
        self.inbound: dict[tuple[Protocol, int], Half] = {}
        self.outbound: dict[tuple[Protocol, int, bytes], Half] = {}
        self.refuse = 0
        self.usage = Usage()

    def alloc_spi(self, ask: AllocSpi) -> int:
        while True:
            spi = 0xC0000000 | int.from_bytes(self._tape(3), "big")
            if (ask.protocol, spi) not in self.larval and (ask.protocol, spi) not in self.inbound:
                self.larval.add((ask.protocol, spi))
                return spi

    def free_spi(self, ask: FreeSpi) -> None:
        self.larval.discard((ask.protocol, ask.spi))

    def install(self, ask: InstallChild) -> None:
        child = ask.child
        if self.refuse:
            self.refuse -= 1
            self.larval.discard((child.protocol, child.spi_in))
            raise BackendError("the kernel lacks aes-gcm")
        keys = child.keys
        assert keys is not None, "installed without keys"
        ours, theirs = (
            (keys.encr_i + keys.integ_i, keys.encr_r + keys.integ_r)
            if child.initiator
            else (keys.encr_r + keys.integ_r, keys.encr_i + keys.integ_i)
        )
        if ask.inbound and (child.protocol, child.spi_in) not in self.larval:
            raise BackendError("the inbound SPI is not reserved")
        self._order += 1
        if ask.inbound:
            self.larval.remove((child.protocol, child.spi_in))
            self.inbound[child.protocol, child.spi_in] = Half(child, theirs, self._order)
        if ask.outbound:
            key = (child.protocol, child.spi_out, child.path.remote.address)
            assert key not in self.outbound, "outbound SA installed twice"
            self.outbound[key] = Half(child, ours, self._order)

    def remove(self, ask: RemoveChild) -> None:
        child = ask.child
        if ask.inbound:
            self.inbound.pop((child.protocol, child.spi_in), None)
        if ask.outbound:
            self.outbound.pop((child.protocol, child.spi_out, child.path.remote.address), None)

    def move(self, ask: MovePath) -> None:
        child = ask.child
        half = self.outbound.pop((child.protocol, child.spi_out, ask.old.remote.address), None)
        if half is not None:
            self.outbound[child.protocol, child.spi_out, child.path.remote.address] = half

    def query(self, ask: QueryUse) -> Usage:
        return self.usage

    def sending_on(self, reqid: int) -> Half | None:
        """The outbound SA the next packet of that policy takes: the newest."""
        halves = [half for half in self.outbound.values() if half.child.reqid == reqid]
        return max(halves, key=lambda half: half.order, default=None)

    def receives(self, half: Half) -> bool:
        """Whether a packet the other kernel sent on `half` is accepted here."""
        mine = self.inbound.get((half.child.protocol, half.child.spi_out))
        return mine is not None and mine.key == half.key
