"""What we begin once both ends are authenticated, phase 1 and XAUTH done: before any child, mode config."""

from __future__ import annotations

from ikectl.exchange.v1.base import Exchange
from ikectl.sa.isakmp_sa import IsakmpSa


def first_steps(sa: IsakmpSa) -> tuple[Exchange, ...]:
    """The exchanges we have to begin, in order; what the peer has to begin is in `sa.awaited`."""
    return ()
