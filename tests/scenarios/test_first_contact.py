"""IKE_SA_INIT and IKE_AUTH with a pre-shared key, on a link that behaves."""

from __future__ import annotations

from ikectl.sa.events import IkeUp
from tests.sim.site import Site


def test_two_gateways_bring_up_a_tunnel() -> None:
    """HDR, SAi1, KEi, Ni -->  <-- HDR, SAr1, KEr, Nr; HDR, SK {IDi, IDr, AUTH, SAi2, TSi, TSr} --> and back."""
    site = Site()
    token = site.up()
    assert site.moon.done[token].error is None
    assert len(site.moon.saw(IkeUp)) == len(site.sun.saw(IkeUp)) == 1
    assert len(site.moon.children) == len(site.sun.children) == 1
    assert site.world.carries(site.moon, site.sun) and site.world.carries(site.sun, site.moon)
    assert len(site.world.sent) == 4
    site.world.settled()
