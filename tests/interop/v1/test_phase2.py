"""Quick Mode with strongSwan: PFS, AH, transport mode, several children, rekeying, deletion."""

from __future__ import annotations

from typing import Any

import pytest

from tests.interop.v1.configurations import MOON, SUN
from tests.interop.v1.conftest import OldSite, carries, ladder
from tests.lab.peers.base import Peer
from tests.lab.peers.ikectl import Ikectl
from tests.lab.world import until


def installed(peer: Peer, name: str = "net") -> list[str]:
    """The inbound SPIs of children that carry traffic."""
    return [child["spi-in"] for child in peer.children(name) if child["state"] == "INSTALLED"]


def takeover(peer: Peer, old: dict[str, Any]) -> bool:
    """Another phase 1 stands than this one, and has the child."""
    new = [sa for sa in peer.sas() if sa["initiator-spi"] != old["initiator-spi"]]
    return bool(new) and new[0]["state"] == "ESTABLISHED" and bool(new[0]["children"])


def up(site: OldSite, initiator: str, child: str = "net") -> tuple[Peer, Peer]:
    """Bring a child up and wait until both ends have it."""
    first, second = site.ends(initiator)
    first.up(child)
    until(lambda: installed(second, child), f"{child} is installed on {second.node}")
    return first, second


@pytest.mark.conformance("v1-23", "v1-24")
@pytest.mark.parametrize("group", ["modp2048", "ecp256"])
def test_perfect_forward_secrecy(site: OldSite, initiator: str, group: str) -> None:
    site.configure(esp=f"aes128-sha256-{group}")
    carries(site, *up(site, initiator))


@pytest.mark.conformance("v1-24")
def test_ah(site: OldSite, initiator: str) -> None:
    site.configure(ah="sha256")
    carries(site, *up(site, initiator), kind="ah")


@pytest.mark.conformance("v1-22")
@pytest.mark.parametrize("protocol", ["esp", "ah"])
def test_transport_mode(site: OldSite, initiator: str, protocol: str) -> None:
    site.configure(mode="transport", local_ts="dynamic", remote_ts="dynamic", ah="sha1" if protocol == "ah" else "")
    _, second = up(site, initiator)
    assert site.world.ping("moon", "198.51.100.1", count=3).lost == 0
    assert len(site.world.wire("router").packets(protocol)) == 6
    assert not site.world.wire("router").packets("icmp")
    assert second.children("net")[0]["mode"] == "TRANSPORT"


def test_ipv6(site: OldSite, initiator: str) -> None:
    here, there = "2001:db8:1::1", "2001:db8:2::1"
    site.configure(
        moon=MOON.but(local_addrs=here, remote_addrs=there, local_ts="fd01::/64", remote_ts="fd02::/64"),
        sun=SUN.but(local_addrs=there, remote_addrs=here, local_ts="fd02::/64", remote_ts="fd01::/64"),
    )
    up(site, initiator)
    assert site.world.ping("alice", "bob", count=3, version=6).lost == 0
    assert len(site.world.wire("router").packets("esp")) == 6


HOSTS = "hosts {\n local_ts = %s\n remote_ts = %s\n esp_proposals = aes256-sha1\n}"


@pytest.mark.conformance("v1-21", "v1-24")
def test_several_children(site: OldSite, initiator: str) -> None:
    """One phase 1, two children of different kinds; deleting one leaves the other."""
    site.configure(
        moon=MOON.but(children=HOSTS % ("10.1.0.10[icmp]", "10.2.0.10[icmp]")),
        sun=SUN.but(children=HOSTS % ("10.2.0.10[icmp]", "10.1.0.10[icmp]")),
    )
    first, second = up(site, initiator)
    up(site, initiator, "hosts")
    assert len(first.sas()) == len(second.sas()) == 1
    assert site.world.ping("alice", "bob", count=2).lost == 0
    assert {child["name"] for child in second.children()} == {"net", "hosts"}

    first.down(child="hosts")
    until(lambda: not second.children("hosts"), "the other end dropped it too")
    assert installed(second)
    assert site.world.ping("alice", "bob", count=2).lost == 0


@pytest.mark.conformance("v1-38")
@pytest.mark.parametrize("rekeyer", ["initiator", "responder"])
def test_child_rekeyed(site: OldSite, initiator: str, rekeyer: str) -> None:
    """No packet is lost, whoever begins."""
    site.configure(esp="aes128-sha256-modp2048")
    first, second = up(site, initiator)
    before = {*installed(first), *installed(second)}
    with site.world.pinging("alice", "bob") as ping:
        (first if rekeyer == "initiator" else second).rekey(child="net")
        for peer in (first, second):
            until(
                lambda peer=peer: installed(peer) and not before & {*installed(peer)},  # type: ignore[misc]
                f"a new child on {peer.node}",
            )
        (new,) = installed(site.sun)
        wire = site.world.wire("router")
        until(lambda: sum(p.spi == int(new, 16) for p in wire.packets("esp")) > 10, "traffic on the new child")
    assert ping.stop().lost == 0


@pytest.mark.conformance("v1-38")
@pytest.mark.parametrize("rekeyer", ["initiator", "responder"])
def test_phase_1_rekeyed(site: OldSite, initiator: str, rekeyer: str) -> None:
    """A new phase 1 takes the children over; no packet is lost, and the child can be rekeyed under it."""
    site.configure()
    first, second = up(site, initiator)
    (before,) = first.sas()
    child = installed(first)
    with site.world.pinging("alice", "bob") as ping:
        (first if rekeyer == "initiator" else second).rekey(ike="site")
        for peer in (first, second):
            # The old one may linger: its deletion is no haste.
            until(lambda peer=peer: takeover(peer, before), f"a new phase 1 on {peer.node} has the child")  # type: ignore[misc]
        assert installed(first) == child
        first.rekey(child="net")
        until(lambda: installed(first) not in ([], child) and installed(second), "a rekeyed child")
    assert ping.stop().lost == 0
    assert ladder(site).count("MAIN_MODE") == 12


@pytest.mark.conformance("v1-28")
def test_child_deleted(site: OldSite, initiator: str) -> None:
    site.configure()
    up(site, "moon")
    deleter, other = site.ends(initiator)
    deleter.down(child="net")
    until(lambda: not other.children(), "the child is gone on the other side")
    for node in ("moon", "sun"):
        assert "proto esp" not in site.world.xfrm(node)
    assert [sa["state"] for sa in other.sas()] == ["ESTABLISHED"]


@pytest.mark.conformance("v1-28")
def test_phase_1_deleted(site: OldSite, initiator: str) -> None:
    site.configure()
    up(site, "moon")
    deleter, other = site.ends(initiator)
    deleter.down(ike="site")
    until(lambda: not other.sas(), "all is gone on the other side")
    for node in ("moon", "sun"):
        assert "proto esp" not in site.world.xfrm(node)


@pytest.mark.conformance("v1-26")
def test_compression(site: OldSite, initiator: str) -> None:
    """IPComp and ESP in one proposal; what can be compressed is smaller on the wire."""
    site.configure(child="ipcomp = yes")
    up(site, initiator)
    assert site.world.ping("alice", "bob", count=2, size=1000).lost == 0
    sizes = [len(packet.body) for packet in site.world.wire("router").packets("esp")]
    assert len(sizes) == 4
    assert max(sizes) < 800, "ping fills its packets with a pattern"
    for node in ("moon", "sun"):
        assert "proto comp" in site.world.xfrm(node)


def test_the_shorter_sha2_of_old_kernels(site: OldSite, initiator: str) -> None:
    site.configure(child="sha256_96 = yes")
    carries(site, *up(site, initiator))
    assert "hmac(sha256)" in site.world.xfrm("moon")


@pytest.mark.conformance("v1-38")
def test_rekeyed_from_both_sides_at_once(site: OldSite) -> None:
    """Two new children for one: nothing is lost, and nothing breaks when all are renewed again."""
    site.configure(esp="aes128-sha256-modp2048")
    first, second = up(site, "moon")
    before = {*installed(first), *installed(second)}
    with site.world.pinging("alice", "bob") as ping:
        first.rekey(child="net")
        second.rekey(child="net")
        for peer in (first, second):
            until(
                lambda peer=peer: installed(peer) and not before & {*installed(peer)},  # type: ignore[misc]
                f"a new child on {peer.node}",
            )
        before |= {*installed(first), *installed(second)}
        first.rekey(child="net")
        until(lambda: set(installed(first)) - before, "once more")
    assert ping.stop().lost == 0


def test_what_the_operator_sees(site: OldSite, initiator: str) -> None:
    site.configure()
    up(site, initiator)
    ours = site.moon
    assert isinstance(ours, Ikectl)
    shown = ours.cli("sas")
    assert "IKEv1" in shown, shown
    for word in ("moon.example.org", "sun.example.org", "10.1.0.0/24", "10.2.0.0/24"):
        assert word in shown, shown
