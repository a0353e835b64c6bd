"""Lifetimes: when SAs are to be rekeyed and when they end, from configuration and chance."""

from __future__ import annotations

from ikectl.engine.transmit import fraction
from ikectl.sa.association import Association
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.env import Random


def begin_ike(sa: Association, now: float) -> None:
    """Set the instants of an IKE SA that is established now.

    `rekey_time` less a random part of `rand_time`, so that both ends and many
    tunnels do not rekey in step; `rekey_time + over_time` is the hard end.
    """
    sa.established_at = now
    connection = sa.connection
    if connection is not None and connection.rekey_time:
        sa.rekey_at = now + _soft(connection.rekey_time, connection.rand_time, sa.random)
        sa.expire_at = now + connection.rekey_time + connection.over_time


def begin_child(child: ChildSa, now: float, random: Random) -> None:
    """Set the instants of a child that is installed now."""
    config = child.config
    child.installed_at = now
    if config.rekey_time:
        child.rekey_at = now + _soft(config.rekey_time, config.rand_time, random)
    if config.life_time:
        child.expire_at = now + config.life_time


def _soft(period: float, spread: float, random: Random) -> float:
    return max(period - spread * fraction(random), 1.0)
