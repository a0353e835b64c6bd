"""A NAT on moon's side, which changes ports: ESP in UDP, started from behind it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.interop.configurations import MOON, SUN
from tests.interop.conftest import Site
from tests.lab.fixtures import Lab
from tests.lab.namespaces import entered
from tests.lab.topology import BEHIND_NAT, BOTH_BEHIND_NAT
from tests.lab.world import World, until

NATTED_MOON = MOON.but(local_addrs="192.168.0.2")
PUBLIC_SUN = SUN.but(remote_addrs="%any")
WITHIN = 10.0
"""Seconds a piece of a TCP conversation may take; far more than any does."""


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


# -- transport mode ----------------------------------------------------------------------

TRANSPORT = {"mode": "transport", "local_ts": "dynamic", "remote_ts": "dynamic"}


def talk(world: World, octets: int = 20_000) -> None:
    """A TCP conversation from moon to sun, whose kernels look at its checksums."""
    sent = bytes(range(256)) * (octets // 256)
    with ExitStack() as stack:
        with entered(world.namespace("sun")):
            listener = stack.enter_context(socket.create_server(("", 0)))
        listener.settimeout(WITHIN)
        with entered(world.namespace("moon")):
            called = "198.51.100.1", listener.getsockname()[1]
            ours = stack.enter_context(socket.create_connection(called, WITHIN))
        theirs = stack.enter_context(listener.accept()[0])
        theirs.settimeout(WITHIN)
        ours.sendall(sent)
        ours.shutdown(socket.SHUT_WR)
        heard = b""
        while piece := theirs.recv(65536):
            heard += piece
    assert heard == sent


@pytest.mark.conformance("v2-106", "v2-80")
def test_tcp_in_transport_mode(nat_site: Site) -> None:
    """moon calls itself 192.168.0.2, sun sees 192.0.2.1: TCP, whose checksum covers both, goes through all the same."""
    nat_site.clear()
    nat_site.configure(moon=NATTED_MOON.but(**TRANSPORT), sun=PUBLIC_SUN.but(**TRANSPORT))
    nat_site.moon.up("net")
    world = nat_site.world
    wire = world.wire("router")
    talk(world)
    assert wire.packets("esp-in-udp") and not wire.packets("tcp")
    (child,) = nat_site.sun.children()
    assert (child["mode"], child["encap"]) == ("TRANSPORT", "yes")
    for rekeyer in ("moon", "sun"):
        first, second = nat_site.ends(rekeyer)
        before = nat_site.moon.children()[0]["spi-in"]
        first.rekey(child="net")
        until(
            lambda before=before: (  # type: ignore[misc]
                len(nat_site.moon.children()) == len(nat_site.sun.children()) == 1
                and nat_site.moon.children()[0]["spi-in"] != before
            ),
            f"one new child after {rekeyer} rekeyed",
        )
        assert second.children()[0]["mode"] == "TRANSPORT"
        talk(world)
    assert not wire.packets("tcp")


@pytest.mark.conformance("v2-106")
@pytest.mark.parametrize("ours", ["moon", "sun"], ids=["we-initiate", "strongswan-initiates"])
def test_tcp_in_transport_mode_with_a_nat_at_both_ends(lab: Lab, ours: str) -> None:
    site = Site(lab, BOTH_BEHIND_NAT, ours=ours)
    moon = NATTED_MOON.but(**TRANSPORT)
    site.configure(moon=moon, sun=PUBLIC_SUN.but(local_addrs="192.168.1.2", **TRANSPORT))
    site.moon.up("net")
    talk(site.world)
    assert site.world.wire("router").packets("esp-in-udp") and not site.world.wire("router").packets("tcp")
