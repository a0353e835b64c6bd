"""AH, transport mode, IPv6, narrowed selectors."""

from __future__ import annotations

import pytest

from tests.interop.configurations import MOON, SUN
from tests.interop.conftest import Site
from tests.lab.world import until


def test_ah(site: Site, initiator: str) -> None:
    site.configure(ah="sha256")
    first, _ = site.ends(initiator)
    first.up("net")
    assert site.world.ping("alice", "bob", count=3).lost == 0
    assert len(site.world.wire("router").packets("ah")) == 6


@pytest.mark.conformance("v2-80")
@pytest.mark.parametrize("protocol", ["esp", "ah"])
def test_transport_mode(site: Site, initiator: str, protocol: str) -> None:
    site.configure(mode="transport", local_ts="dynamic", remote_ts="dynamic", ah="sha256" if protocol == "ah" else "")
    first, second = site.ends(initiator)
    first.up("net")
    assert site.world.ping("moon", "198.51.100.1", count=3).lost == 0
    assert len(site.world.wire("router").packets(protocol)) == 6
    assert not site.world.wire("router").packets("icmp")
    assert second.children("net")[0]["mode"] == "TRANSPORT"


def test_ipv6_in_ipv6(site: Site, initiator: str) -> None:
    moon = {"local_addrs": "2001:db8:1::1", "remote_addrs": "2001:db8:2::1"}
    sun = {"local_addrs": "2001:db8:2::1", "remote_addrs": "2001:db8:1::1"}
    site.configure(
        moon=MOON.but(local_ts="fd01::/64", remote_ts="fd02::/64", **moon),
        sun=SUN.but(local_ts="fd02::/64", remote_ts="fd01::/64", **sun),
    )
    first, _ = site.ends(initiator)
    first.up("net")
    assert site.world.ping("alice", "bob", count=3, version=6).lost == 0
    esp = site.world.wire("router").packets("esp")
    assert len(esp) == 6
    assert {packet.source for packet in esp} == {"2001:db8:1::1", "2001:db8:2::1"}


@pytest.mark.conformance("v2-79")
def test_both_versions_in_one_child(site: Site, initiator: str) -> None:
    site.configure(
        moon=MOON.but(local_ts="10.1.0.0/24,fd01::/64", remote_ts="10.2.0.0/24,fd02::/64"),
        sun=SUN.but(local_ts="10.2.0.0/24,fd02::/64", remote_ts="10.1.0.0/24,fd01::/64"),
    )
    first, _ = site.ends(initiator)
    first.up("net")
    assert site.world.ping("alice", "bob", count=2).lost == 0
    assert site.world.ping("alice", "bob", count=2, version=6).lost == 0
    assert len(site.world.wire("router").packets("esp")) == 8


@pytest.mark.conformance("v2-76")
def test_selectors_narrowed(site: Site, initiator: str) -> None:
    """Whoever answers knows less of the other's network than was asked for."""
    wide = {"local_ts": "10.0.0.0/8", "remote_ts": "10.0.0.0/8"}
    site.configure(**{initiator: {"moon": MOON, "sun": SUN}[initiator].but(**wide)})
    first, _ = site.ends(initiator)
    first.up("net")
    (child,) = site.moon.children("net")
    assert (child["local-ts"], child["remote-ts"]) == (["10.1.0.0/24"], ["10.2.0.0/24"])
    assert site.world.ping("alice", "bob").lost == 0


@pytest.mark.conformance("v2-81")
def test_compression(site: Site, initiator: str) -> None:
    """IPComp inside ESP: what can be compressed is smaller on the wire, after a rekeying too."""
    site.configure(child="ipcomp = yes")
    first, second = site.ends(initiator)
    first.up("net")
    for rekeyer in (None, first, second):
        site.world.wire("router").forget()
        if rekeyer is not None:
            before = site.moon.children()[0]["spi-in"]
            rekeyer.rekey(child="net")
            until(
                lambda before=before: (  # type: ignore[misc]
                    len(first.children()) == len(second.children()) == 1 and site.moon.children()[0]["spi-in"] != before
                ),
                "one new child",
            )
        assert site.world.ping("alice", "bob", count=2, size=1000).lost == 0
        sizes = [len(packet.body) for packet in site.world.wire("router").packets("esp")]
        assert len(sizes) == 4 and max(sizes) < 800, "ping fills its packets with a pattern"
    assert all("cpi-in" in peer.children("net")[0] for peer in (first, second))


@pytest.mark.conformance("v2-81")
@pytest.mark.parametrize("wants", ["moon", "sun"])
def test_compression_that_one_end_does_not_want(site: Site, initiator: str, wants: str) -> None:
    site.configure(**{wants: {"moon": MOON, "sun": SUN}[wants].but(child="ipcomp = yes")})
    first, second = site.ends(initiator)
    first.up("net")
    assert site.world.ping("alice", "bob", count=2, size=1000).lost == 0
    assert not any("cpi-in" in peer.children("net")[0] for peer in (first, second))


@pytest.mark.conformance("v2-81")
def test_padding(site: Site, initiator: str) -> None:
    """TFC: a ping of 84 octets is more than a thousand on its way, each way."""
    site.configure(child="tfc_padding = 1000")
    first, _ = site.ends(initiator)
    first.up("net")
    assert site.world.ping("alice", "bob", count=2).lost == 0
    sizes = [len(packet.body) for packet in site.world.wire("router").packets("esp")]
    assert len(sizes) == 4 and min(sizes) > 1000


@pytest.mark.parametrize("outer", [4, 6])
def test_one_family_inside_the_other(site: Site, initiator: str, outer: int) -> None:
    inside = ("fd01::/64", "fd02::/64") if outer == 4 else ("10.1.0.0/24", "10.2.0.0/24")
    moon, sun = MOON.but(local_ts=inside[0], remote_ts=inside[1]), SUN.but(local_ts=inside[1], remote_ts=inside[0])
    if outer == 6:
        ends = "2001:db8:1::1", "2001:db8:2::1"
        moon = moon.but(local_addrs=ends[0], remote_addrs=ends[1])
        sun = sun.but(local_addrs=ends[1], remote_addrs=ends[0])
    site.configure(moon=moon, sun=sun)
    first, second = site.ends(initiator)
    first.up("net")
    for rekeyer in (None, second):
        if rekeyer is not None:
            rekeyer.rekey(child="net")
        assert site.world.ping("alice", "bob", count=2, version=10 - outer).lost == 0
    esp = site.world.wire("router").packets("esp")
    assert len(esp) == 8 and all((":" in packet.source) is (outer == 6) for packet in esp)


@pytest.mark.conformance("v2-80")
def test_transport_mode_in_ipv6(site: Site, initiator: str) -> None:
    ends = "2001:db8:1::1", "2001:db8:2::1"
    transport = {"mode": "transport", "local_ts": "dynamic", "remote_ts": "dynamic"}
    site.configure(
        moon=MOON.but(local_addrs=ends[0], remote_addrs=ends[1], **transport),
        sun=SUN.but(local_addrs=ends[1], remote_addrs=ends[0], **transport),
    )
    first, second = site.ends(initiator)
    first.up("net")
    second.rekey(child="net")
    assert site.world.ping("moon", ends[1], count=3, version=6).lost == 0
    assert len(site.world.wire("router").packets("esp")) == 6
    assert second.children("net")[0]["mode"] == "TRANSPORT"


@pytest.mark.conformance("v2-79")
def test_protocols_ports_and_ranges(site: Site, initiator: str) -> None:
    """One child for pings, ports and a range of addresses, each just for what it says."""
    moon = "10.1.0.0/24[icmp],10.1.0.2-10.1.0.77[tcp/1000-2000]"
    sun = "10.2.0.0/24[icmp],10.2.0.0/24[tcp]"
    site.configure(moon=MOON.but(local_ts=moon, remote_ts=sun), sun=SUN.but(local_ts=sun, remote_ts=moon))
    first, second = site.ends(initiator)
    first.up("net")
    assert site.world.ping("alice", "bob", count=2).lost == 0
    assert len(site.world.wire("router").packets("esp")) == 4
    shown = [
        sorted(peer.children("net")[0]["local-ts"] + peer.children("net")[0]["remote-ts"]) for peer in (first, second)
    ]
    assert shown[0] == shown[1] and len(shown[0]) == 4, shown
