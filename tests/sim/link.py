"""Link: what happens to a datagram between two hosts."""

from __future__ import annotations

from dataclasses import dataclass

from tests.sim.tape import Tape


@dataclass
class Link:
    """Loss, duplication and jitter as probabilities and seconds; order is lost where jitter exceeds the gaps."""

    loss: float = 0.0
    duplication: float = 0.0
    delay: float = 0.02
    jitter: float = 0.0
    mtu: int = 65535
    """Larger datagrams never arrive: a path whose fragments are dropped."""

    def arrivals(self, octets: int, tape: Tape) -> list[float]:
        """After how many seconds each copy of a datagram arrives."""
        if octets > self.mtu:
            return []
        copies = 2 if tape.chance(self.duplication) else 1
        return [self.delay + self.jitter * tape.fraction() for _ in range(copies) if not tape.chance(self.loss)]
