"""NAT on one side and on both: floating to port 4500, ESP in UDP, tunnel and transport mode."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.v1.configurations import MOON, SUN
from tests.interop.v1.conftest import OldSite
from tests.lab.certificates import Credential
from tests.lab.fixtures import Lab
from tests.lab.topology import BEHIND_NAT, BOTH_BEHIND_NAT
from tests.lab.world import until

NATTED_MOON = MOON.but(local_addrs="192.168.0.2")
PUBLIC_SUN = SUN.but(remote_addrs="%any")


@pytest.fixture(scope="module", params=["moon", "sun"], ids=["we-are-behind-it", "strongswan-is-behind-it"])
def nat_site(request: pytest.FixtureRequest, module_lab: Lab) -> OldSite:
    return OldSite(module_lab, BEHIND_NAT, ours=request.param)


@pytest.fixture
def behind(nat_site: OldSite) -> Iterator[OldSite]:
    nat_site.clear()
    yield nat_site


def ike_ports(site: OldSite) -> list[int]:
    """UDP destination ports of the IKE messages that sun got, in order."""
    packets = site.world.wire("router").packets("ike", source="192.0.2.1")
    return [packet.ports[1] for packet in packets]


@pytest.mark.conformance("v1-31", "v1-32")
@pytest.mark.parametrize("mode", ["main", "aggressive"])
def test_esp_travels_in_udp(behind: OldSite, mode: str) -> None:
    """Main Mode moves to port 4500 with its fifth message, Aggressive Mode with its third (RFC 3947 §4)."""
    aggressive = {"connection": "aggressive = yes"} if mode == "aggressive" else {}
    behind.configure(moon=NATTED_MOON.but(**aggressive), sun=PUBLIC_SUN.but(**aggressive))
    behind.moon.up("net")
    assert behind.world.ping("alice", "bob", count=3).lost == 0
    wire = behind.world.wire("router")
    outward = wire.packets("esp-in-udp", source="192.0.2.1")
    assert len(outward) == 3
    assert all(20000 <= packet.ports[0] <= 30000 and packet.ports[1] == 4500 for packet in outward)
    assert not wire.packets("esp", "icmp")
    clear = 2 if mode == "main" else 1
    ports = ike_ports(behind)
    assert ports[:clear] == [500] * clear
    assert set(ports[clear:]) == {4500}
    (sa,) = behind.sun.sas()
    assert (sa["nat-remote"], sa["children"][0]["encap"]) == ("yes", "yes")


@pytest.mark.conformance("v1-31")
def test_certificates_in_pieces_through_a_nat(behind: OldSite, rsa: list[Credential]) -> None:
    behind.configure(moon=NATTED_MOON, sun=PUBLIC_SUN, auth="pubkey", credentials=rsa)
    behind.moon.up("net")
    assert behind.world.ping("alice", "bob", count=2).lost == 0


@pytest.mark.conformance("v1-32")
def test_transport_mode(behind: OldSite) -> None:
    """The ends know each other by different addresses; NAT-OA says which, and checksums are right."""
    transport = {"mode": "transport", "local_ts": "dynamic", "remote_ts": "dynamic"}
    behind.configure(moon=NATTED_MOON.but(**transport), sun=PUBLIC_SUN.but(**transport))
    behind.moon.up("net")
    assert behind.world.ping("moon", "198.51.100.1", count=3).lost == 0
    wire = behind.world.wire("router")
    assert len(wire.packets("esp-in-udp")) == 6
    assert not wire.packets("icmp")
    assert behind.sun.children()[0]["mode"] == "TRANSPORT"


@pytest.mark.parametrize("rekeyer", ["moon", "sun"])
def test_rekeyed(behind: OldSite, rekeyer: str) -> None:
    """Children and phase 1, under ping."""
    behind.configure(moon=NATTED_MOON, sun=PUBLIC_SUN)
    behind.moon.up("net")
    first, _ = behind.ends(rekeyer)
    (before,) = behind.moon.children()
    with behind.world.pinging("alice", "bob") as ping:
        first.rekey(child="net")
        until(
            lambda: (
                before["spi-in"] not in [c["spi-in"] for c in behind.moon.children() if c["state"] == "INSTALLED"]
                and any(c["state"] == "INSTALLED" for c in behind.moon.children())
            ),
            "a new child",
        )
        until(
            lambda: any(c["spi-out"] != before["spi-in"] and c["state"] == "INSTALLED" for c in behind.sun.children()),
            "a new child on sun",
        )
    assert ping.stop().lost == 0


@pytest.mark.conformance("v1-31")
def test_both_behind_a_nat(lab: Lab, initiator: str) -> None:
    """sun's NAT passes ports 500 and 4500 on; who of the two runs ours changes with the teller."""
    site = OldSite(lab, BOTH_BEHIND_NAT, ours=initiator)
    site.configure(moon=NATTED_MOON, sun=PUBLIC_SUN.but(local_addrs="192.168.1.2"))
    site.moon.up("net")
    assert site.world.ping("alice", "bob", count=3).lost == 0
    assert len(site.world.wire("router").packets("esp-in-udp")) == 6
    for peer in (site.moon, site.sun):
        (sa,) = peer.sas()
        assert (sa["nat-local"], sa["nat-remote"]) == ("yes", "yes")
