"""ikectld starts, ends and is killed, while strongSwan stays: nothing of ours is left over, nothing else is touched."""

from __future__ import annotations

import pytest

from tests.interop.configurations import MOON, SUN
from tests.interop.conftest import Site
from tests.lab.fixtures import Lab
from tests.lab.topology import SITE_TO_SITE
from tests.lab.world import until

STARTING_MOON = MOON.but(child="start_action = start")

# An SA and a policy of somebody else, which ikectld must leave alone.
FOREIGN_SA = (
    "xfrm state add src 192.0.2.1 dst 203.0.113.1 proto esp spi 0x7777 mode tunnel reqid 7 "
    "enc cbc(aes) 0x0102030405060708090a0b0c0d0e0f10 auth hmac(sha1) 0x0102030405060708090a0b0c0d0e0f1011121314"
)
FOREIGN_POLICY = (
    "xfrm policy add src 10.1.0.0/24 dst 10.9.0.0/24 dir out priority 99 "
    "tmpl src 192.0.2.1 dst 203.0.113.1 proto esp mode tunnel reqid 7"
)


@pytest.fixture
def site(lab: Lab) -> Site:
    site = Site(lab, SITE_TO_SITE)
    site.configure()
    return site


def tunnel_stands(site: Site) -> None:
    for peer in (site.moon, site.sun):
        until(lambda peer=peer: [c["state"] for c in peer.children()] == ["INSTALLED"], f"one child on {peer.node}")
    assert site.world.ping("alice", "bob", count=2).lost == 0


def test_ended_in_order(site: Site) -> None:
    site.world.run("moon", "ip", *FOREIGN_SA.split())
    site.world.run("moon", "ip", *FOREIGN_POLICY.split())
    before = site.world.run("moon", "ip", "xfrm", "policy", "list")
    site.moon.up("net")
    tunnel_stands(site)

    site.moon.stop()
    until(lambda: not site.sun.sas(), "sun was told")
    assert [info.sa.spi for info in site.world.states("moon")] == [0x7777]
    after = [line for line in site.world.run("moon", "ip", "xfrm", "policy", "list").splitlines() if "10." in line]
    assert after == [line for line in before.splitlines() if "10." in line]


def test_killed_and_started_again(site: Site) -> None:
    site.moon.up("net")
    tunnel_stands(site)
    (lost,) = site.moon.sas()

    site.moon.kill()
    site.moon.start(STARTING_MOON.conf())
    until(lambda: site.moon.children(), "start_action brings the tunnel up")
    tunnel_stands(site)
    assert [sa["initiator-spi"] for sa in site.sun.sas()] != [lost["initiator-spi"]]
    assert len(site.sun.sas()) == 1, "INITIAL_CONTACT removed the SA that was lost"
    assert len(site.world.states("moon")) == 2


def test_unloading_a_connection_ends_it(site: Site) -> None:
    site.configure(moon=STARTING_MOON, sun=SUN)
    until(lambda: site.moon.children(), "start_action brings the tunnel up when it is loaded, too")
    tunnel_stands(site)

    site.moon.load("connections {\n}\n")
    until(lambda: not site.moon.sas() and not site.sun.sas(), "the tunnel went with its connection")
    assert site.world.states("moon") == []
