"""Lifetimes: when SAs are to be rekeyed and when they end, from configuration and chance."""

from __future__ import annotations

from ikectl.sa.association import Association
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.isakmp_sa import IsakmpSa


def begin_ike(sa: Association, now: float) -> None:
    """Set the instants of an IKE SA that is established now.

    `rekey_time` less a random part of `rand_time`, so that both ends and many
    tunnels do not rekey in step; `rekey_time + over_time` is the hard end.
    """
    sa.established_at = now
    connection = sa.connection
    if connection is not None and connection.rekey_time:
        sa.rekey_at = now + _soft(connection.rekey_time, connection.rand_time, sa)
        sa.expire_at = now + connection.rekey_time + connection.over_time


def patience(sa: Association) -> float:
    """Seconds of silence after which the peer is asked whether it lives: the shorter of what is configured and what
    the peer's configuration asks for (TIMEOUT_PERIOD_FOR_LIVENESS_CHECK, 3GPP TS 24.302); 0: it is not asked."""
    ours = sa.connection.dpd_delay if sa.connection is not None else 0
    theirs = sa.inner.liveness if sa.inner is not None else 0
    return min(ours, theirs) if ours and theirs else ours or theirs


LEAST_REAUTH = 10.0
"""Seconds that what was proven holds at least: a peer that says less would have us authenticate without end."""


def begin_proof(sa: IkeSa, now: float) -> None:
    """Set the instants that authentication sets to an IKE SA that is established now, new or rekeyed.

    Rekeying proves nothing, so they are those of the first SA then. `over_time` behind `reauth_time` nothing that
    was proven counts any more, at either end.
    """
    connection = sa.connection
    if connection is not None and connection.reauth_time and not sa.reauth_by:
        sa.reauth_by = now + connection.reauth_time + connection.over_time
        if sa.caller:
            sa.reauth_at = now + _soft(connection.reauth_time, connection.rand_time, sa)
    if sa.auth_lifetime:
        limit_proof(sa, now)
    if sa.reauth_by and (not sa.expire_at or sa.reauth_by < sa.expire_at):
        sa.expire_at = sa.reauth_by


def limit_proof(sa: IkeSa, now: float) -> None:
    """The peer says how long it takes what we proved for good (RFC 4478): be done a little earlier."""
    seconds, sa.auth_lifetime = max(float(sa.auth_lifetime), LEAST_REAUTH), 0
    at = now + _soft(seconds - seconds / 10, seconds / 10, sa)
    sa.reauth_at = min(filter(None, (sa.reauth_at, at)))


def begin_isakmp(sa: IsakmpSa, now: float) -> None:
    """Set when an ISAKMP SA, established at `now`, is to be renewed and when it ends; 0 is never.

    The shorter of both ends' wishes holds (RFC 2407 §4.5.4), and we are to be done a little before its end.
    """
    connection = sa.connection
    if connection is None:
        return
    period = connection.isakmp_time
    if sa.life_time and (not period or sa.life_time < period + connection.over_time):
        period = max(sa.life_time - max(sa.life_time // 10, 1), 1)
        sa.expire_at = now + sa.life_time
    else:
        sa.expire_at = now + period + connection.over_time if period else 0.0
    if period:
        sa.rekey_at = now + _soft(period, min(connection.rand_time, period // 2), sa)


def octets_left(sa: IsakmpSa) -> int | None:
    """How much an ISAKMP SA may still protect, by the smaller of both ends' limits; None without one."""
    ours = sa.connection.life_bytes if sa.connection is not None else 0
    limit = min(filter(None, (ours, sa.life_bytes)), default=0)
    return limit - sa.octets if limit else None


def begin_child(child: ChildSa, sa: Association, now: float) -> None:
    """Set the instants of a child of `sa` that is installed now."""
    config = child.config
    child.installed_at = now
    if child.life_time and (not config.life_time or child.life_time < config.life_time):
        # The peer ends it earlier: be done before that, as much earlier as with our own limit.
        child.expire_at = now + child.life_time
        if config.rekey_time:
            spread = min(config.rand_time, child.life_time // 10)
            child.rekey_at = now + _soft(child.life_time - child.life_time // 10, spread, sa)
        return
    if config.rekey_time:
        child.rekey_at = now + _soft(config.rekey_time, config.rand_time, sa)
    if config.life_time:
        child.expire_at = now + config.life_time


def _soft(period: float, spread: float, sa: Association) -> float:
    return max(period - spread * sa.chance(), 1.0)
