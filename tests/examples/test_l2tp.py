"""examples/l2tp: the files as they are, with Debian's xl2tpd and pppd; pings cross ppp0 inside ESP."""

from __future__ import annotations

import pytest

from tests.lab.fixtures import Lab
from tests.lab.guest import ROOT
from tests.lab.peers.base import Peer
from tests.lab.peers.ikectl import Ikectl
from tests.lab.peers.strongswan import StrongSwan
from tests.lab.peers.xl2tpd import Xl2tpd
from tests.lab.topology import HOTEL, SITE_TO_SITE
from tests.lab.world import World, until

EXAMPLE = ROOT / "examples" / "l2tp"


def text(name: str) -> str:
    return (EXAMPLE / name).read_text()


def serve(world: World, kind: type[Peer]) -> Peer:
    """The gateway, on sun."""
    world.run("sun", "sh", "-c", f"iptables-legacy-restore --noflush < {EXAMPLE}/gateway/l2tp.rules")
    ike = world.peer(kind, "sun", conf=text("gateway/swanctl.conf"))
    files = {name: text(f"gateway/{name}") for name in ("options.xl2tpd", "chap-secrets")}
    world.program(Xl2tpd.reading({"xl2tpd.conf": text("gateway/xl2tpd.conf")}, files | {"options": ""}), "sun")
    return ike


def call(world: World, kind: type[Peer], node: str, user: str = "alice", conf: str = "", port: int = 1701) -> Peer:
    """A client: IPsec first, then L2TP inside; returns when it has an address."""
    ike = world.peer(kind, node, conf=conf or text("client/swanctl.conf"))
    ike.up("l2tp")
    l2tp = Xl2tpd.reading(
        {"xl2tpd.conf": text("client/xl2tpd.conf").replace("port = 1701", f"port = {port}")},
        {"options.l2tp": text("client/options.l2tp").replace("alice", user), "options": ""},
    )
    client = world.program(l2tp, node)
    client.dial("vpn")
    until(client.links, f"{node} has an address from the gateway")
    return ike


def crosses(world: World, node: str, kind: str = "esp") -> None:
    """The network behind the gateway is reached through ppp0, and the wire sees ESP alone."""
    world.run(node, "ip", "route", "add", "10.2.0.0/24", "dev", "ppp0")
    assert world.ping(node, "bob", count=3, size=1200).lost == 0
    wire = world.wire("router")
    assert len(wire.packets(kind)) >= 6
    assert not wire.packets("udp", "icmp")


@pytest.mark.parametrize(("gateway", "client"), [(Ikectl, StrongSwan), (StrongSwan, Ikectl), (Ikectl, Ikectl)])
def test_the_files_make_a_network(lab: Lab, gateway: type[Peer], client: type[Peer]) -> None:
    world = lab.lay(SITE_TO_SITE)
    there = serve(world, gateway)
    here = call(world, client, "moon")
    crosses(world, "moon")
    assert there.children()[0]["mode"] == "TRANSPORT"
    here.down(ike="l2tp")
    until(lambda: not there.sas(), "the gateway lets go")


@pytest.mark.parametrize(
    ("ike", "esp"),
    [
        (
            "aes256-sha1-ecp384,aes128-sha1-ecp256,aes256-sha1-modp2048,3des-sha1-modp2048,3des-sha1-modp1024",
            "aes256-sha1",
        ),
        ("aes256-sha384-modp1024,aes256-sha256-modp1024,aes256-sha1-modp1024,aes128-sha1-modp1024", "aes256-sha256"),
        ("3des-sha1-modp1024", "3des-sha1"),
    ],
    ids=["windows", "android", "old"],
)
def test_what_other_clients_offer(lab: Lab, ike: str, esp: str) -> None:
    world = lab.lay(SITE_TO_SITE)
    serve(world, Ikectl)
    conf = text("client/swanctl.conf").replace("aes256-sha256-modp2048", ike)
    call(world, StrongSwan, "moon", conf=conf.replace("esp_proposals = aes256-sha256", f"esp_proposals = {esp}"))
    crosses(world, "moon")


@pytest.mark.conformance("v1-32")
@pytest.mark.parametrize(("gateway", "client"), [(Ikectl, StrongSwan), (StrongSwan, Ikectl)])
def test_behind_a_nat(lab: Lab, gateway: type[Peer], client: type[Peer]) -> None:
    world = lab.lay(HOTEL)
    serve(world, gateway)
    call(world, client, "alice")
    crosses(world, "alice", "esp-in-udp")


@pytest.mark.conformance("v1-32")
def test_two_behind_one_nat(lab: Lab) -> None:
    """Both are 192.0.2.1 to the gateway; marks lead what answers to the right one."""
    world = lab.lay(HOTEL)
    gateway = serve(world, Ikectl)
    call(world, StrongSwan, "alice")
    call(world, StrongSwan, "carol", "carol", port=1702)
    crosses(world, "alice", "esp-in-udp")
    crosses(world, "carol", "esp-in-udp")
    assert world.ping("alice", "bob", count=3).lost == 0
    assert len(gateway.sas()) == 2
