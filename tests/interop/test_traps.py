"""The first packet brings the tunnel up, from our side and from strongSwan's; and it comes back with traffic."""

from __future__ import annotations

from typing import Any

import pytest

from tests.interop.configurations import MOON, SUN
from tests.interop.conftest import Site
from tests.lab.peers.base import Peer
from tests.lab.world import until

TRAP = "start_action = trap"
HOSTS = {"moon": ("alice", "bob"), "sun": ("bob", "alice")}
IKEV1 = {"version": 1, "ike": "aes128-sha256-modp2048", "esp": "aes128-sha256"}


def quiet(site: Site) -> None:
    """Loading told nobody anything."""
    assert not site.moon.sas() and not site.sun.sas()
    site.world.wire("router").forget()


def packets_bring_it_up(site: Site, source: str, target: str) -> None:
    """Ping until one comes back: the first is lost, for nobody keeps it."""
    until(lambda: site.world.ping(source, target, within=1).lost == 0, f"{source} reaches {target}")
    for peer in (site.moon, site.sun):
        until(lambda peer=peer: any(c["state"] == "INSTALLED" for c in peer.children()), f"a child on {peer.node}")


def listed(peer: Peer) -> list[dict[str, Any]]:
    """What stands without an SA, in vici's words."""
    flags = {"trap": "yes", "pass": "yes", "drop": "yes"}
    return [section for message in peer.vici().list_policies(flags) for section in message.values()]  # type: ignore[attr-defined]


@pytest.mark.conformance("v2-76")
@pytest.mark.parametrize("both", [{}, IKEV1], ids=["ikev2", "ikev1"])
def test_a_ping_brings_the_tunnel_up(site: Site, initiator: str, both: dict[str, Any]) -> None:
    ends = {"moon": MOON, "sun": SUN}
    ends[initiator] = ends[initiator].but(child=TRAP)
    site.configure(**ends, **both)
    quiet(site)
    here, there = HOSTS[initiator]
    packets_bring_it_up(site, here, there)
    assert not site.world.wire("router").packets("icmp"), "nothing left in clear"
    first, _ = site.ends(initiator)
    (sa,) = first.sas()
    assert sa.get("initiator") == "yes"
    (policy,) = listed(first)
    (child,) = first.children()
    assert policy["mode"] == b"TUNNEL"
    if first is site.moon:  # Debian's strongSwan does not tell it
        assert policy["reqid"].decode() == child["reqid"]
    assert (child["local-ts"], child["remote-ts"]) == ([ends[initiator].local_ts], [ends[initiator].remote_ts])
    first.down(ike="site")
    assert len(listed(first)) == 1
    packets_bring_it_up(site, here, there)
    assert site.world.ping(here, there, count=3).lost == 0


def test_the_gateway_itself_brings_it_up(site: Site) -> None:
    """What moon sends from inside its network goes the way of the trap, too."""
    site.configure(moon=MOON.but(child=TRAP))
    quiet(site)
    until(lambda: site.world.ping("moon", "bob", within=1).lost == 0, "moon reaches bob from its inner address")
    assert len(site.moon.children()) == 1 and not site.world.wire("router").packets("icmp")


def test_packets_at_both_ends_at_once(site: Site) -> None:
    """Both have traps, and both are asked: in the end everything passes."""
    site.configure(moon=MOON.but(child=TRAP), sun=SUN.but(child=TRAP))
    quiet(site)
    pings = {"interval": 0.05, "through": False}
    with site.world.pinging("alice", "bob", **pings), site.world.pinging("bob", "alice", **pings):
        until(lambda: site.moon.children() and site.sun.children(), "a child on either")
    packets_bring_it_up(site, "alice", "bob")
    assert site.world.ping("alice", "bob", count=3).lost == site.world.ping("bob", "alice", count=3).lost == 0


def test_what_the_peer_closes_comes_back_with_the_next_packet(site: Site) -> None:
    """close_action = trap: strongSwan deletes, then alice has something to say."""
    site.configure(moon=MOON.but(child="close_action = trap"))
    site.moon.up("net")
    assert not listed(site.moon)
    site.sun.down(ike="site")
    until(lambda: not site.moon.sas() and listed(site.moon), "the trap stands")
    site.world.wire("router").forget()
    packets_bring_it_up(site, "alice", "bob")
    assert not site.world.wire("router").packets("icmp")


def test_installed_by_command_and_taken_away(site: Site) -> None:
    site.configure()
    site.moon.vici().install({"child": "net", "ike": "site"})  # type: ignore[attr-defined]
    packets_bring_it_up(site, "alice", "bob")
    site.moon.vici().uninstall({"child": "net", "ike": "site"})  # type: ignore[attr-defined]
    assert not listed(site.moon) and site.world.ping("alice", "bob", count=2).lost == 0, "the child stays"
    site.moon.down(ike="site")
    until(lambda: not site.sun.sas(), "sun was told")
    assert site.world.states("moon") == []


def test_what_may_pass_does_and_the_rest_does_not(site: Site) -> None:
    """A drop for everything and no tunnel: only what is let through leaves, until the tunnel stands."""
    rest = (
        "rest { mode = drop\n local_ts = 10.1.0.0/24\n remote_ts = 0.0.0.0/0\n start_action = trap }\n"
        "here { mode = pass\n local_ts = 10.1.0.0/24\n remote_ts = 10.1.0.0/24\n start_action = trap }"
    )
    site.configure(moon=MOON.but(children=rest, child="policies_fwd_out = yes"))
    quiet(site)
    assert site.world.ping("alice", "moon").lost == 0
    assert site.world.ping("alice", "bob", within=1).lost == 1
    assert not site.world.wire("router").packets("icmp")
    site.moon.up("net")
    assert site.world.ping("alice", "bob", count=3).lost == 0
    assert site.world.ping("alice", "moon").lost == 0
