"""MOBIKE with strongSwan: moon changes its address, or loses it, while alice pings bob, and the ping goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.configurations import MOON, SUN
from tests.interop.conftest import Site
from tests.lab.fixtures import Lab
from tests.lab.peers.base import Peer
from tests.lab.topology import SITE_TO_SITE
from tests.lab.world import until

MOBILE_MOON = MOON.but(local_addrs="%any", connection="mobike = yes")
MOBILE_SUN = SUN.but(remote_addrs="%any", connection="mobike = yes")
FIRST, SECOND = "192.0.2.1", "192.0.2.2"
LOST = 50
"""Echo requests of fifty a second that may get lost in a move: a second, in which the change settles on either end."""


@pytest.fixture(scope="module", params=["moon", "sun"], ids=["we-move", "strongswan-moves"])
def mobile_site(request: pytest.FixtureRequest, module_lab: Lab) -> Site:
    site = Site(module_lab, SITE_TO_SITE, ours=request.param)
    # Else the kernel takes every other address of the network away along with the first.
    site.world.run("moon", "sysctl", "-qw", "net.ipv4.conf.all.promote_secondaries=1")
    return site


@pytest.fixture
def tunnel(mobile_site: Site) -> Iterator[Site]:
    """moon brought the tunnel up from its first address."""
    mobile_site.clear()
    mobile_site.configure(moon=MOBILE_MOON, sun=MOBILE_SUN)
    mobile_site.moon.up("net")
    yield mobile_site
    # Before the addresses go back, or a farewell leaves from one that is gone.
    mobile_site.clear()
    addresses(mobile_site, "add", FIRST)
    addresses(mobile_site, "del", SECOND)


def addresses(site: Site, act: str, address: str) -> None:
    """Add or take away an address of moon, and keep its default route."""
    world = site.world
    here = world.run("moon", "ip", "address", "show", "dev", "to-router")
    if (f" {address}/" in here) is not (act == "add"):
        world.run("moon", "ip", "address", act, f"{address}/24", "dev", "to-router")
    world.run("moon", "ip", "route", "replace", "default", "via", "192.0.2.254", "dev", "to-router")


def goes_to(peer: Peer) -> str:
    """Where a gateway sends to."""
    (sa,) = peer.sas()
    return str(sa["remote-host"])


@pytest.mark.conformance("v2-107")
def test_the_ping_goes_on_when_the_address_is_gone(tunnel: Site) -> None:
    """The new address comes, the old one goes: same SAs, no rekeying, IKE on port 4500 from IKE_AUTH on."""
    (before,) = tunnel.moon.children()
    addresses(tunnel, "add", SECOND)
    with tunnel.world.pinging("alice", "bob") as ping:
        addresses(tunnel, "del", FIRST)
        until(lambda: goes_to(tunnel.sun) == SECOND, "sun follows")
        until(lambda: tunnel.world.ping("alice", "bob", within=1).lost == 0, "packets pass again")
        assert tunnel.world.ping("alice", "bob", count=10).lost == 0
    assert ping.stop().lost < LOST
    (after,) = tunnel.moon.children()
    assert (after["spi-in"], after["spi-out"]) == (before["spi-in"], before["spi-out"])
    sources = {info.sa.src.exploded for info in tunnel.world.states("sun")}
    assert SECOND in sources and FIRST not in sources
    for gateway in ("moon", "sun"):
        for info in tunnel.world.states(gateway):
            assert (info.stats.replay, info.stats.integrity_failed) == (0, 0)


@pytest.mark.conformance("v2-107")
def test_to_and_fro(tunnel: Site) -> None:
    for here, gone in ((SECOND, FIRST), (FIRST, SECOND), (SECOND, FIRST)):
        addresses(tunnel, "add", here)
        addresses(tunnel, "del", gone)
        until(lambda here=here: goes_to(tunnel.sun) == here, f"sun follows to {here}")
        until(lambda: tunnel.world.ping("alice", "bob", within=1).lost == 0, "packets pass again")
    assert len(tunnel.moon.sas()) == len(tunnel.sun.sas()) == 1


@pytest.mark.conformance("v2-107")
@pytest.mark.parametrize("rekeyer", ["moon", "sun"])
def test_rekeyed_after_a_move(tunnel: Site, rekeyer: str) -> None:
    """Children and IKE SA go on being rekeyed, by either end, between the new addresses."""
    addresses(tunnel, "add", SECOND)
    addresses(tunnel, "del", FIRST)
    until(lambda: goes_to(tunnel.sun) == SECOND, "sun follows")
    first, _ = tunnel.ends(rekeyer)
    (old,), (parent,) = tunnel.moon.children(), tunnel.moon.sas()
    first.rekey(child="net")
    until(lambda: [c["spi-in"] for c in tunnel.moon.children()] not in ([], [old["spi-in"]]), "a new child")
    first.rekey(ike="site")
    until(
        lambda: len(tunnel.moon.sas()) == 1 and tunnel.moon.sas()[0]["initiator-spi"] != parent["initiator-spi"],
        "a new IKE SA",
    )
    until(lambda: len(tunnel.sun.sas()) == len(tunnel.sun.children()) == 1, "the old ones are gone at sun")
    assert tunnel.world.ping("alice", "bob", count=5).lost == 0
    addresses(tunnel, "add", FIRST)
    addresses(tunnel, "del", SECOND)
    until(lambda: goes_to(tunnel.sun) == FIRST, "sun follows back, on the new IKE SA")
    until(lambda: tunnel.world.ping("alice", "bob", within=1).lost == 0, "packets pass again")
