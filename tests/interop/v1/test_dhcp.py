"""DHCP over IPsec (RFC 3456), with Debian's dnsmasq behind the gateway. Nobody else has it: ikectld is on both ends."""

from __future__ import annotations

import pytest

from tests.interop.v1.configurations import MOON, SUN
from tests.lab.fixtures import Lab
from tests.lab.peers.base import Refused
from tests.lab.peers.dhcp_server import DhcpServer
from tests.lab.peers.ikectl import Ikectl
from tests.lab.topology import HOTEL, SITE_TO_SITE, Topology
from tests.lab.world import World, until

GIADDR = "10.3.0.1"
"""The relay agent's address, in the network that remote hosts get their addresses from."""

HOST = MOON.but(connection="dhcp = yes", local_ts="dynamic")
GATEWAY = SUN.but(connection=f"dhcp_server = 10.2.0.10\ndhcp_giaddr = {GIADDR}", remote_ts="dynamic")


def laid(lab: Lab, topology: Topology, *options: str) -> tuple[World, DhcpServer]:
    """bob is the DHCP server of the network behind sun, and serves remote hosts through sun's relay agent."""
    world = lab.lay(topology)
    world.run("sun", "ip", "address", "add", f"{GIADDR}/32", "dev", "lo")
    return world, world.program(DhcpServer.serving("10.3.0.100", "10.3.0.120", "255.255.255.0", *options), "bob")


def ends_of_dhcp(*peers: Ikectl) -> None:
    """The DHCP SA has served, and is gone at both ends."""
    until(lambda: not any(peer.children("site-dhcp") for peer in peers), "the DHCP SA goes when the tunnel stands")


def test_a_lease_lives_as_long_as_its_tunnel(lab: Lab) -> None:
    world, server = laid(lab, SITE_TO_SITE)
    sun = world.ikectl("sun", conf=GATEWAY.conf())
    moon = world.ikectl("moon", conf=HOST.conf())

    moon.up("net")
    (lease,) = server.leases()
    assert sun.children("net")[0]["remote-ts"] == [f"{lease.address}/32"]
    assert f"{lease.address}/" in world.run("moon", "ip", "-4", "address")
    assert world.ping("moon", "bob", count=3).lost == 0
    wire = world.wire("router")
    assert not wire.packets("udp", "icmp"), "DHCP and pings are inside ESP"
    # The server was told who asked, and by which SA (RFC 3046); and that it is no LAN interface (RFC 3456 §4.1).
    assert "agent-id" in server.log()
    assert GIADDR in server.log()
    assert lease.hardware.startswith("1f-")
    ends_of_dhcp(moon, sun)
    assert "mark" not in world.xfrm("sun")

    moon.down(ike="site")
    until(lambda: server.messages("DHCPRELEASE"), "the lease ends with the tunnel")
    assert not server.leases()
    assert not sun.sas()
    until(lambda: lease.address not in world.run("moon", "ip", "-4", "address"), "the host gives up the address")


def test_a_host_that_dies_gives_its_lease_back(lab: Lab) -> None:
    world, server = laid(lab, SITE_TO_SITE)
    more = "\ndhcp_interface = to-bob\ndpd_delay = 1s\ndpd_timeout = 3s"
    sun = world.ikectl("sun", conf=GATEWAY.but(connection=GATEWAY.connection + more).conf())
    moon = world.ikectl("moon", conf=HOST.conf())
    moon.up("net")
    moon.kill()
    until(lambda: not sun.sas(), "the gateway notices")
    until(lambda: server.messages("DHCPRELEASE"), "the lease ends with the tunnel")


def test_two_hosts_at_once_behind_one_nat(lab: Lab) -> None:
    """The same outer address, the same selectors, and the same broadcast address inside: marks tell them apart."""
    world, server = laid(lab, HOTEL)
    anybody = GATEWAY.but(remote_addrs="%any", peer="%any")
    sun = world.ikectl("sun", conf=anybody.conf())
    hosts = {
        node: world.ikectl(node, conf=HOST.but(id=f"{node}.example.org", local_addrs="%any").conf())
        for node in ("alice", "carol")
    }
    for host in hosts.values():
        list(host.vici().initiate({"child": "net", "timeout": "-1"}))
    until(lambda: all(host.children("net") for host in hosts.values()), "both have their tunnels")
    leases = {lease.address for lease in server.leases()}
    assert len(leases) == 2
    assert {child["remote-ts"][0] for child in sun.children("net")} == {f"{address}/32" for address in leases}
    for node in hosts:
        assert world.ping(node, "bob", count=3).lost == 0
    ends_of_dhcp(sun, *hosts.values())


@pytest.mark.parametrize("wanted", ["dynamic", "10.3.0.100/32"])
def test_no_tunnel_without_a_lease(lab: Lab, wanted: str) -> None:
    """A host that helps itself to an address gets none, whatever the gateway's remote_ts would allow (RFC 3456 §5)."""
    world, server = laid(lab, SITE_TO_SITE)
    sun = world.ikectl("sun", conf=GATEWAY.but(remote_ts="dynamic,10.3.0.0/24").conf())
    moon = world.ikectl("moon", conf=HOST.but(connection="", local_ts=wanted).conf())
    with pytest.raises(Refused):
        moon.up("net")
    until(lambda: "a DHCP SA comes first" in sun.log(), "the gateway's log says why")
    assert not server.leases()


def test_renewal_by_the_tunnel(lab: Lab) -> None:
    """RFC 3456 §4.4: what follows the ACK travels in the tunnel, from the inner address to the server itself."""
    world, server = laid(lab, SITE_TO_SITE, "dhcp-option=option:T1,3", "dhcp-option=option:T2,1800")
    world.ikectl("sun", conf=GATEWAY.conf())
    moon = world.ikectl("moon", conf=HOST.conf())
    moon.up("net")
    until(lambda: "DHCP lease renewed" in moon.log(), "the host renews")
    assert len(server.messages("DHCPACK")) >= 2
    assert moon.log().count("child site-dhcp{") == 2, "the DHCP SA came and went once"
    assert len(server.leases()) == 1


def test_renewal_where_the_tunnel_does_not_lead_to_the_server(lab: Lab) -> None:
    """By another DHCP SA, which goes again; the tunnel stays."""
    world, server = laid(lab, SITE_TO_SITE, "dhcp-option=option:T1,3", "dhcp-option=option:T2,1800")
    world.run("bob", "ip", "address", "add", "10.2.0.200/24", "dev", "to-sun")
    sun = world.ikectl("sun", conf=GATEWAY.but(local_ts="10.2.0.128/25").conf())
    moon = world.ikectl("moon", conf=HOST.but(remote_ts="10.2.0.128/25").conf())
    moon.up("net")
    (tunnel,) = moon.children("net")
    until(lambda: "DHCP lease renewed" in moon.log(), "the host renews")
    assert len(server.messages("DHCPACK")) >= 2
    ends_of_dhcp(moon, sun)
    assert [child["uniqueid"] for child in moon.children("net")] == [tunnel["uniqueid"]]
    assert world.ping("moon", "10.2.0.200", count=3).lost == 0


def test_a_new_phase_1_keeps_the_lease(lab: Lab) -> None:
    """The tunnel goes on under it, is rekeyed for the same address, and the address goes back with the last SA."""
    world, server = laid(lab, SITE_TO_SITE)
    sun = world.ikectl("sun", conf=GATEWAY.conf())
    moon = world.ikectl("moon", conf=HOST.conf())
    moon.up("net")
    (lease,) = server.leases()
    (first,) = moon.sas()
    with world.pinging("moon", "bob") as ping:
        moon.rekey(ike="site")
        until(lambda: [sa["uniqueid"] for sa in moon.sas()] not in ([first["uniqueid"]], []), "another phase 1")
        until(lambda: len(moon.sas()) == len(sun.sas()) == 1, "the old one goes", within=120)
        (old,) = moon.children("net")
        moon.rekey(child="net")
        until(lambda: old["uniqueid"] not in [child["uniqueid"] for child in moon.children("net")], "another child")
    assert ping.stop().lost == 0
    assert not server.messages("DHCPRELEASE")
    assert sun.children("net")[0]["remote-ts"] == [f"{lease.address}/32"]
    moon.down(ike="site")
    until(lambda: server.messages("DHCPRELEASE"), "the lease ends with the last SA")


def test_an_address_that_the_server_takes_back(lab: Lab) -> None:
    """Another server with other addresses: the tunnel for the old one ends, and there is one for a new one."""
    times = ("dhcp-option=option:T1,3", "dhcp-option=option:T2,6")
    world, server = laid(lab, SITE_TO_SITE, *times)
    sun = world.ikectl("sun", conf=GATEWAY.conf())
    moon = world.ikectl("moon", conf=HOST.conf())
    moon.up("net")
    (old,) = server.leases()
    server.stop()
    other = world.program(DhcpServer.serving("10.3.0.150", "10.3.0.160", "255.255.255.0", *times), "bob")

    until(lambda: other.leases() and moon.children("net"), "a new address, and a tunnel for it", within=60)
    (new,) = other.leases()
    until(lambda: [child["remote-ts"] for child in sun.children("net")] == [[f"{new.address}/32"]], "and no other")
    until(lambda: old.address not in world.run("moon", "ip", "-4", "address"), "the host gives up the old one")
    assert world.ping("moon", "bob", count=3).lost == 0


def test_no_server(lab: Lab) -> None:
    """Nobody answers: no tunnel, and the host's operator is told after a minute."""
    world, server = laid(lab, SITE_TO_SITE)
    server.stop()
    world.ikectl("sun", conf=GATEWAY.conf())
    moon = world.ikectl("moon", conf=HOST.conf())
    with pytest.raises(Refused, match="no DHCP server answered"):
        moon.up("net", within=120)
    assert not moon.children("net")
