"""IPComp: with a kernel that can, and beside one that cannot."""

from __future__ import annotations

from typing import Any

import pytest

from ikectl.errors import BackendError
from ikectl.iana.v2 import Protocol
from ikectl.sa.asks import AllocSpi
from tests.scenarios.v1.stage import gateways, stands
from tests.sim.site import Site, child


def compressing(**options: Any) -> Site:
    return gateways(moon_children=(child(ipcomp=True),), sun_children=(child(mirror=True, ipcomp=True),), **options)


def companions(site: Site) -> list[list[Protocol]]:
    return [[each.protocol for each in host.children[0].companions] for host in (site.moon, site.sun)]


def test_both_compress() -> None:
    site = compressing()
    site.up()
    assert stands(site) and companions(site) == [[Protocol.IPCOMP], [Protocol.IPCOMP]]


@pytest.mark.parametrize("end", ["moon", "sun"])
def test_one_kernel_cannot(end: str) -> None:
    """SA { 1: ESP, IPCOMP; 2: ESP } -> <- SA { 2: ESP }; or SA { 1: ESP } from the first."""
    site = compressing()
    host = getattr(site, end)
    kernel = host.kernel

    def without(ask: AllocSpi) -> int:
        if ask.protocol is Protocol.IPCOMP:
            raise BackendError("this kernel has no IPComp")
        return kernel.alloc_spi(ask)

    host.answers[AllocSpi] = without
    site.up()
    assert stands(site) and companions(site) == [[], []]
    assert not kernel.larval
