"""What every scenario of IKEv1 begins with: two gateways that speak nothing else."""

from __future__ import annotations

from typing import Any

from ikectl.sa.isakmp_sa import IsakmpSa
from tests.scenarios.stage import bare, stands, wait
from tests.sim.host import Host
from tests.sim.site import Site

IKE = "aes128-sha256-modp2048"

__all__ = ["IKE", "bare", "gateways", "sa_of", "stands", "tunnel", "wait"]


def gateways(*, ike: str = IKE, both: dict[str, Any] | None = None, **options: Any) -> Site:
    """moon and sun, configured for IKEv1, silent yet. `both` are options of either connection."""
    for name in ("moon", "sun"):
        options[name] = {"version": 1, **(both or {}), **options.get(name, {})}
    return Site(ike=ike, **options)


def tunnel(**options: Any) -> Site:
    """moon and sun with an ISAKMP SA and the child `net`, which moon brought up."""
    site = gateways(**options)
    token = site.up()
    assert site.moon.done[token].error is None, site.moon.done[token].error
    assert stands(site)
    return site


def sa_of(host: Host) -> IsakmpSa:
    """Its only ISAKMP SA."""
    (machine,) = host.machines
    assert isinstance(machine.sa, IsakmpSa)
    return machine.sa
