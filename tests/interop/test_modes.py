"""AH, transport mode, IPv6, narrowed selectors."""

from __future__ import annotations

import pytest

from tests.interop.configurations import MOON, SUN
from tests.interop.conftest import Site


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
