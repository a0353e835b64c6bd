"""examples/dhcp: the files as they are, with Debian's dnsmasq as the DHCP server."""

from __future__ import annotations

from tests.lab.fixtures import Lab
from tests.lab.guest import ROOT
from tests.lab.peers.dhcp_server import DhcpServer
from tests.lab.topology import SITE_TO_SITE
from tests.lab.world import until

EXAMPLE = ROOT / "examples" / "dhcp"


def test_the_two_files_make_a_tunnel(lab: Lab) -> None:
    world = lab.lay(SITE_TO_SITE)
    world.run("sun", "ip", "address", "add", "10.3.0.1/32", "dev", "lo")
    server = world.program(DhcpServer.serving("10.3.0.100", "10.3.0.199"), "bob")
    gateway = world.ikectl("sun", conf=(EXAMPLE / "gateway.conf").read_text())
    host = world.ikectl("moon", conf=(EXAMPLE / "host.conf").read_text())

    host.up("net")
    (lease,) = server.leases()
    assert gateway.children("net")[0]["remote-ts"] == [f"{lease.address}/32"]
    assert world.ping("moon", "bob", count=3).lost == 0
    host.down(ike="home")
    until(lambda: not server.leases(), "the lease ends with the tunnel")
