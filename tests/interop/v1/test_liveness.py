"""Peers that are gone, and peers of another age: DPD, restart, both versions in one daemon."""

from __future__ import annotations

import pytest

from tests.interop.v1.configurations import ENDS, MOON, SUN
from tests.interop.v1.conftest import OldSite, ladder
from tests.lab.fixtures import Lab
from tests.lab.topology import SITE_TO_SITE
from tests.lab.world import until


@pytest.fixture
def site(lab: Lab) -> OldSite:
    """Daemons that may be killed."""
    return OldSite(lab, SITE_TO_SITE)


@pytest.mark.conformance("v1-33")
def test_a_dead_peer_is_noticed(site: OldSite, initiator: str) -> None:
    """The initiator outlives the other: R-U-THERE is not answered, and all goes."""
    site.configure(connection="dpd_delay = 1s\ndpd_timeout = 3s")
    first, second = site.ends(initiator)
    first.up("net")
    until(lambda: "INFORMATIONAL" in ladder(site), "they ask one another while both live")
    assert first.sas()
    second.kill()
    until(lambda: not first.sas(), "the dead peer is noticed", within=15)
    assert "proto esp" not in site.world.xfrm(first.node)


@pytest.mark.conformance("v1-29")
def test_a_peer_that_lost_its_memory(site: OldSite) -> None:
    """Killed and started again, it says INITIAL-CONTACT: the SA that it lost goes."""
    site.configure()
    site.moon.up("net")
    (lost,) = site.sun.sas()
    site.moon.kill()
    site.world.run("moon", "ip", "xfrm", "state", "flush")
    site.world.run("moon", "ip", "xfrm", "policy", "flush")
    site.moon.start(MOON.conf())
    site.moon.up("net")
    until(lambda: lost["initiator-spi"] not in [sa["initiator-spi"] for sa in site.sun.sas()], "the lost SA goes")
    assert site.world.ping("alice", "bob", count=2).lost == 0


def test_both_versions_at_once(site: OldSite, initiator: str) -> None:
    """One daemon, the same two ends, one connection of each version on the same ports."""
    newer = """
    newer {{
        version = 2
        local_addrs = {0.local_addrs}
        remote_addrs = {0.remote_addrs}
        local {{ auth = psk
                 id = {0.id} }}
        remote {{ auth = psk
                  id = {0.peer} }}
        children {{ hosts {{ local_ts = {1}
                             remote_ts = {2} }} }}
    }}"""
    ends = {"moon": ("10.1.0.10[icmp]", "10.2.0.10[icmp]"), "sun": ("10.2.0.10[icmp]", "10.1.0.10[icmp]")}
    site.configure(**{name: ENDS[name].but(connections=newer.format(ENDS[name], *ts)) for name, ts in ends.items()})  # type: ignore[arg-type]
    first, second = site.ends(initiator)
    first.up("net")
    first.up("hosts")
    for peer in (first, second):
        until(lambda peer=peer: len(peer.children()) == 2, "both children stand")  # type: ignore[misc]
        assert {(sa["name"], sa["version"]) for sa in peer.sas()} == {("site", "1"), ("newer", "2")}
    assert site.world.ping("alice", "bob", count=3).lost == 0


@pytest.mark.conformance("v1-39")
def test_either_version_where_the_peer_has_the_older_one(site: OldSite) -> None:
    """version = 0 begins with IKEv2, and takes IKEv1 when the peer has no more."""
    site.configure(moon=MOON.but(version=0), sun=SUN)
    site.moon.up("net")
    assert site.world.ping("alice", "bob", count=2).lost == 0
    assert [sa["version"] for sa in site.moon.sas()] == ["1"]
    assert ladder(site)[0].startswith("IKE_SA_INIT")


@pytest.mark.conformance("v1-39")
@pytest.mark.parametrize("version", [1, 2])
def test_either_version_answers_both(site: OldSite, version: int) -> None:
    site.configure(moon=MOON.but(version=0), sun=SUN.but(version=version))
    site.sun.up("net")
    assert site.world.ping("alice", "bob", count=2).lost == 0
    assert [sa["version"] for sa in site.moon.sas()] == [str(version)]
