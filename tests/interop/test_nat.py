"""A NAT on moon's side, which changes ports: ESP in UDP, started from behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.configurations import MOON, SUN
from tests.interop.conftest import Site
from tests.lab.fixtures import Lab
from tests.lab.topology import BEHIND_NAT
from tests.lab.world import until

NATTED_MOON = MOON.but(local_addrs="192.168.0.2")
PUBLIC_SUN = SUN.but(remote_addrs="%any")


@pytest.fixture(scope="module", params=["moon", "sun"], ids=["we-are-behind-it", "strongswan-is-behind-it"])
def nat_site(request: pytest.FixtureRequest, module_lab: Lab) -> Site:
    return Site(module_lab, BEHIND_NAT, ours=request.param)


@pytest.fixture
def tunnel(nat_site: Site) -> Iterator[Site]:
    """moon, behind the NAT, brought the tunnel up."""
    nat_site.clear()
    nat_site.configure(moon=NATTED_MOON, sun=PUBLIC_SUN)
    nat_site.moon.up("net")
    yield nat_site


@pytest.mark.conformance("v2-25", "v2-101", "v2-102", "v2-105")
def test_esp_travels_in_udp(tunnel: Site) -> None:
    assert tunnel.world.ping("alice", "bob", count=3).lost == 0
    wire = tunnel.world.wire("router")
    outward = wire.packets("esp-in-udp", source="192.0.2.1")
    assert len(outward) == 3
    assert all(20000 <= packet.ports[0] <= 30000 and packet.ports[1] == 4500 for packet in outward)
    assert not wire.packets("esp", "icmp")
    (sa,) = tunnel.sun.sas()
    assert sa["nat-remote"] == "yes"
    assert sa["children"][0]["encap"] == "yes"


@pytest.mark.parametrize("rekeyer", ["moon", "sun"])
def test_child_rekeyed(tunnel: Site, rekeyer: str) -> None:
    (before,) = tunnel.moon.children()
    first, second = tunnel.ends(rekeyer)
    with tunnel.world.pinging("alice", "bob") as ping:
        first.rekey(child="net")
        until(
            lambda: (
                len(second.children()) == len(first.children()) == 1
                and tunnel.moon.children()[0]["spi-in"] != before["spi-in"]
            ),
            "one new child",
        )
    assert ping.stop().lost == 0


@pytest.mark.parametrize("rekeyer", ["moon", "sun"])
def test_ike_sa_rekeyed(tunnel: Site, rekeyer: str) -> None:
    (before,) = tunnel.moon.sas()
    first, second = tunnel.ends(rekeyer)
    with tunnel.world.pinging("alice", "bob") as ping:
        first.rekey(ike="site")
        until(
            lambda: (
                len(first.sas()) == len(second.sas()) == 1
                and tunnel.moon.sas()[0]["initiator-spi"] != before["initiator-spi"]
            ),
            "one new IKE SA",
        )
    assert ping.stop().lost == 0


@pytest.mark.parametrize("deleter", ["moon", "sun"])
def test_deleted(tunnel: Site, deleter: str) -> None:
    first, second = tunnel.ends(deleter)
    first.down(ike="site")
    until(lambda: not second.sas(), "the IKE SA is gone on the other side")
    assert "proto esp" not in tunnel.world.xfrm("moon") + tunnel.world.xfrm("sun")
