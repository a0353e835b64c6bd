"""Inner: what mode config or CFG_REPLY set up for an SA. It ends with the SA, or goes to the one that takes over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ikectl.values.selector import TrafficSelector


class Held(NamedTuple):
    """An address (packed) of a pool that the peer has, to be given back."""

    pool: str
    identity: str
    address: bytes


@dataclass(slots=True, eq=False)
class Inner:
    """Of either role; most SAs have only one."""

    leases: tuple[Held, ...] = ()
    """What the peer has of our pools."""
    installed: tuple[bytes, ...] = ()
    """Inner addresses of ours (packed) that were put on an interface, each as often as that was done."""
    owners: tuple[str, ...] = ()
    """Under which names the peer's name servers are installed."""
    networks: tuple[TrafficSelector, ...] = ()
    """The only networks that the peer wants to see in the tunnel; empty: it did not say."""
    excluded: tuple[TrafficSelector, ...] = ()
    """Networks that the peer does not want to see there."""
    expires_in: int | None = None
    """Seconds our addresses may be used, as the peer said just now (0: without end); None once timers know."""
    liveness: int = 0
    """Seconds of silence after which the peer wants to be asked whether it lives; 0: it did not say."""

    def add(self, other: Inner) -> None:
        """Everything of `other`, too."""
        self.leases += other.leases
        self.installed += other.installed
        self.owners += other.owners
        self.networks = self.networks or other.networks
        self.excluded = self.excluded or other.excluded
        self.liveness = self.liveness or other.liveness
