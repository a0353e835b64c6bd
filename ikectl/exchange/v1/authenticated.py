"""What comes once both ends are authenticated, phase 1 and XAUTH done: before any child, mode config."""

from __future__ import annotations

from ikectl.exchange.v1.base import Exchange
from ikectl.exchange.v1.modecfg import PullConfig, PushConfig
from ikectl.sa.isakmp_sa import Awaited, IsakmpSa


def first_steps(sa: IsakmpSa) -> tuple[Exchange, ...]:
    """The exchanges we have to begin, in order; `sa.awaited` tells from now on what the peer has to begin.

    A server that called its client waits for the request, too: its children are for the address it will give.
    """
    connection = sa.connection
    assert connection is not None
    steps: list[Exchange] = []
    if connection.vips and connection.pull:
        steps.append(PullConfig())
    if connection.pools and not connection.pull:
        steps.append(PushConfig())
    if (connection.vips and not connection.pull) or (connection.pools and connection.pull and sa.initiator):
        sa.awaited |= {Awaited.CONFIG}
    return tuple(steps)
