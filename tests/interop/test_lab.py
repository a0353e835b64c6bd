"""The lab itself, with strongSwan on both ends: what the other stories rest on."""

import subprocess
from pathlib import Path

from tests.lab.fixtures import Lab
from tests.lab.topology import BEHIND_NAT, SITE_TO_SITE, Gateway, Host, Link, Router, Topology
from tests.lab.world import until

MOON = """
connections {
    site {
        version = 2
        local_addrs = %any
        remote_addrs = 198.51.100.1
        local {
            auth = psk
            id = moon
        }
        remote {
            auth = psk
            id = sun
        }
        children {
            net {
                local_ts = 10.1.0.0/24
                remote_ts = 10.2.0.0/24
            }
        }
    }
}
secrets {
    ike {
        secret = correct horse battery staple
    }
}
"""

SUN = """
connections {
    site {
        version = 2
        local_addrs = 198.51.100.1
        local {
            auth = psk
            id = sun
        }
        remote {
            auth = psk
            id = moon
        }
        children {
            net {
                local_ts = 10.2.0.0/24
                remote_ts = 10.1.0.0/24
            }
        }
    }
}
secrets {
    ike {
        secret = correct horse battery staple
    }
}
"""


def test_a_tunnel_between_two_strongswans(lab: Lab) -> None:
    world = lab.lay(SITE_TO_SITE)
    moon = world.strongswan("moon", conf=MOON)
    sun = world.strongswan("sun", conf=SUN)
    wire = world.wire("router")

    assert world.ping("alice", "bob", within=1).received == 0  # the router knows no private network
    wire.forget()
    moon.up("net")
    assert world.ping("alice", "bob", count=3).lost == 0

    assert len(wire.packets("esp")) == 6
    assert not wire.packets("icmp")
    ladder = [packet.exchange for packet in wire.packets("ike")]
    assert ladder[:2] == ["IKE_SA_INIT request 0", "IKE_SA_INIT response 0"]
    assert ladder[2:4] == ["IKE_AUTH request 1", "IKE_AUTH response 1"]
    assert sun.children("net")[0]["packets-in"] == "3"
    assert "proto esp" in world.xfrm("sun")


def test_nothing_is_lost_while_rekeying(lab: Lab) -> None:
    world = lab.lay(SITE_TO_SITE)
    moon = world.strongswan("moon", conf=MOON)
    sun = world.strongswan("sun", conf=SUN)
    moon.up("net")
    (old,) = moon.children("net")

    with world.pinging("alice", "bob") as ping:
        moon.rekey(child="net")
        until(lambda: [c["spi-in"] for c in moon.children("net")] != [old["spi-in"]], "a new child")
    assert ping.stop().lost == 0

    moon.down(ike="site")
    assert sun.sas() == []


def test_a_nat_that_changes_ports(lab: Lab) -> None:
    world = lab.lay(BEHIND_NAT)
    moon = world.strongswan("moon", conf=MOON)
    world.strongswan("sun", conf=SUN)
    moon.up("net")

    assert world.ping("alice", "bob", count=3).lost == 0
    packets = world.wire("router").packets("esp-in-udp", source="192.0.2.1")
    assert len(packets) == 3
    assert all(20000 <= packet.ports[0] <= 30000 for packet in packets)


def test_links_lose_and_delay(lab: Lab) -> None:
    world = lab.lay(
        Topology(
            nodes={"near": Host("middle"), "middle": Router(), "far": Gateway("middle")},
            links=[
                Link(near="10.0.0.2/24", middle="10.0.0.1/24", delay=50),
                Link(middle="10.9.0.1/24 fd09::1/64", far="10.9.0.2/24 fd09::2/64", loss=100),
            ],
        )
    )
    there_and_back = world.ping("near", "10.0.0.1")
    assert float(there_and_back.output.partition("time=")[2].split()[0]) >= 100
    assert world.ping("middle", "far", within=1).lost == 1
    assert world.ping("middle", "far", version=6, within=1).lost == 1


def test_what_a_failed_test_leaves_behind(lab: Lab, tmp_path: Path) -> None:
    world = lab.lay(SITE_TO_SITE)
    world.strongswan("moon", conf=MOON)
    world.strongswan("sun", conf=SUN)
    world.ping("moon", "198.51.100.1")

    tails = world.collect(tmp_path / "left")
    assert "loaded connection 'site'" in tails
    files = {path.name for path in (tmp_path / "left").iterdir()}
    assert {"moon.log", "sun.log", "router.pcap", "router.packets", "alice.state"} <= files
    assert "192.0.2.1 > 198.51.100.1 icmp" in (tmp_path / "left/router.packets").read_text()
    assert "192.0.2.1/24" in (tmp_path / "left/moon.state").read_text()
    shown = subprocess.run(
        ["tcpdump", "-n", "-r", tmp_path / "left/router.pcap"], capture_output=True, text=True, check=True
    )
    assert "192.0.2.1 > 198.51.100.1: ICMP echo request" in shown.stdout
