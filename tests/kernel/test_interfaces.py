"""Which routes a child wants, without a kernel."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from ikectl.kernel.interfaces import Own, Route, routes_for
from ikectl.sa.inner import Inner
from tests.kernel.children import child, path, selectors

INNER = ip_address("10.3.0.1").packed
OWN = (Own(ip_address("192.168.7.2").packed, 24, 2), Own(INNER, 32, 2))
WAY = path("192.168.7.2", "198.51.100.1")


def shown(routes: tuple[Route, ...]) -> dict[str, bool]:
    """Network -> whether it goes from the inner address."""
    return {str(ip_network((route.network, route.bits))): route.source == INNER for route in routes}


def test_everything_goes_through_the_tunnel_but_the_peer_and_what_is_connected() -> None:
    made = child(WAY, local=selectors("10.3.0.1"), remote=selectors("0.0.0.0/0"))
    assert shown(routes_for(made, OWN)) == {
        "0.0.0.0/0": True,
        "198.51.100.1/32": False,
        "192.168.7.0/24": False,
        "10.3.0.1/32": False,
    }


def test_what_the_peer_leaves_outside_keeps_its_way() -> None:
    made = child(WAY, local=selectors("10.3.0.1"), remote=selectors("10.0.0.0/8"))
    made.ike.inner = Inner(excluded=selectors("10.9.0.0/16", "172.16.0.0/12"))
    assert shown(routes_for(made, OWN)) == {"10.0.0.0/8": True, "10.3.0.1/32": False, "10.9.0.0/16": False}
