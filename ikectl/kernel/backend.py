"""KernelBackend: what the daemon needs of a kernel, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ikectl.iana.v2 import Protocol as Ipsec
from ikectl.sa.asks import Usage
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.sentries import Packet, Sentry
from ikectl.values.path import Endpoint, Path

FIRST_CPI, LAST_CPI = 256, 61439
"""What two ends may negotiate; those below are fixed by number, those above private (RFC 3173 §3.3)."""


@dataclass(frozen=True, slots=True)
class Features:
    """What a kernel has. `lacking` says in words what is missing and what to do, a line each."""

    esp: bool = True
    ah: bool = True
    ipcomp: bool = True
    esp_in_tcp: bool = True
    """ESP inside a TCP connection that IKE opened (RFC 9329)."""
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expired:
    """A limit on octets or packets was reached: `hard`, and the SA is gone; or soft, and it should be rekeyed."""

    child: ChildSa
    hard: bool


@dataclass(frozen=True, slots=True)
class Mapped:
    """A packet of `child` that proved itself came from elsewhere: its peer's NAT has a new address or port for it.

    Nothing has changed yet: what is sent still goes to `child.path`.
    """

    child: ChildSa
    remote: Endpoint


@dataclass(frozen=True, slots=True)
class Wanted:
    """A packet met a trap and found no SA."""

    sentry: Sentry
    packet: Packet


class KernelBackend(Protocol):
    """SAs and policies of children. Nothing waits; every refusal is a BackendError.

    A backend touches nothing that it did not put there, and its own records,
    not the kernel's, decide what is to be removed.
    """

    @property
    def features(self) -> Features: ...

    def alloc_spi(self, protocol: Ipsec, path: Path) -> int:
        """A fresh inbound SPI (for IPComp a CPI), reserved until `install`, `free_spi` or a while later.

        On a stream only a kernel that has ESP inside TCP gives one: no child is agreed on that could not go there.
        """

    def free_spi(self, protocol: Ipsec, path: Path, spi: int) -> None:
        """Give back what `alloc_spi` reserved; gone already is no error."""

    def install(self, child: ChildSa, inbound: bool = True, outbound: bool = True) -> None:
        """Put these halves of `child` into the kernel with companions and policies, or nothing.

        The inbound half brings the policies for `in` and `fwd`, the outbound half those for `out`,
        so that nothing is sent where the peer does not listen yet. When it fails with the
        inbound half, the SPI is given back.
        """

    def remove(self, child: ChildSa, inbound: bool = True, outbound: bool = True) -> None:
        """Take these halves out with the policies nobody else needs; gone already is no error."""

    def move(self, child: ChildSa, old: Path) -> None:
        """Let what stands of `child` follow from path `old` to `child.path`, counters of replay kept."""

    def skip(self, child: ChildSa, packets: int) -> None:
        """Leave out that many packet numbers in what `child` sends; BackendError where so many are not left."""

    def install_sentry(self, sentry: Sentry) -> None:
        """Let the policies of a trap or a shunt stand, or none of them."""

    def remove_sentry(self, sentry: Sentry) -> None:
        """Take away those that nobody else needs; gone already is no error."""

    def query(self, child: ChildSa) -> Usage:
        """What `child` carried so far, as counted by its own SAs and not by companions."""

    def fileno(self) -> int:
        """Readable when `expired`, `mappings` or `acquired` has something to tell."""

    def expired(self) -> Sequence[Expired]:
        """The limits reached since the last call."""

    def mappings(self) -> Sequence[Mapped]:
        """The peers behind a NAT that moved since the last call, with their latest ends (RFC 7296 §2.23)."""

    def acquired(self) -> Sequence[Wanted]:
        """The traps whose packets found no SA since the last call, once each, with the first packet."""

    def close(self) -> None:
        """Remove everything that was put into the kernel and still stands there."""
