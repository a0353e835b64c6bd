"""What comes between phase 1 and the first child: XAUTH, then mode config."""

from __future__ import annotations

from ikectl.exchange.v1.authenticated import first_steps
from ikectl.exchange.v1.base import Exchange
from ikectl.exchange.v1.phase1 import roles
from ikectl.exchange.v1.xauth import AskXauth
from ikectl.sa.association import IkeState
from ikectl.sa.isakmp_sa import IsakmpSa


def next_steps(sa: IsakmpSa) -> tuple[Exchange, ...]:
    """The exchanges we have to begin, in order; what the peer has to begin is in `sa.awaited`."""
    if sa.state is IkeState.AUTHENTICATING:
        return (AskXauth(),) if roles(sa).peer_logs_in else ()
    return first_steps(sa)
