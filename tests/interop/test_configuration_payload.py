"""Inner addresses with strongSwan (RFC 7296 §2.19, §3.15): a road warrior on one end, its gateway on the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.configurations import MOON, SUN, Gateway
from tests.interop.conftest import Site
from tests.lab.fixtures import Lab
from tests.lab.peers.base import Peer, Refused
from tests.lab.peers.strongswan import StrongSwan
from tests.lab.topology import SITE_TO_SITE
from tests.lab.world import until

ENDS = {"moon": MOON, "sun": SUN}
BEHIND = {"moon": "10.1.0.10", "sun": "10.2.0.10"}
"""The host behind each gateway."""
ADDRESS, ADDRESS6 = "10.3.0.1", "fd03::1"
FOUR = "rw { addrs = 10.3.0.1-10.3.0.14\n dns = 10.2.0.10\n %s }"
SIX = "six { addrs = fd03::1-fd03::e\n dns = fd02::10\n }"


class ResolvingStrongSwan(StrongSwan):
    """A charon that writes the name servers it is given to /run/resolv.conf."""

    plugins = "resolve"
    plugin_options = "resolve { file = /run/resolv.conf }"


@pytest.fixture(scope="module")
def standing_site(module_lab: Lab) -> Site:
    return Site(module_lab, SITE_TO_SITE, theirs=ResolvingStrongSwan)


@pytest.fixture
def site(standing_site: Site) -> Iterator[Site]:
    standing_site.clear()
    yield standing_site


def configured(
    site: Site, client: str, vips: str = "0.0.0.0", pools: str = FOUR % "", names: str = "rw", **more: str
) -> tuple[Peer, Peer]:
    """The road warrior and its gateway. `more` are fields of the client's Gateway."""
    server = "sun" if client == "moon" else "moon"
    asking: Gateway = ENDS[client].but(connection=f"vips = {vips}" if vips else "", local_ts="dynamic", **more)
    giving: Gateway = ENDS[server].but(connection=f"pools = {names}", remote_ts="dynamic", pools=pools)
    site.configure(**{client: asking, server: giving})
    return site.ends(client)


def addresses(site: Site, peer: Peer) -> str:
    return site.world.run(peer.node, "ip", "address")


def names_of(peer: Peer) -> str:
    """The name servers that it has from its gateway."""
    file = peer.directory / ("resolv.conf" if isinstance(peer, StrongSwan) else "ikectl/resolv.conf")
    return file.read_text() if file.exists() else ""


@pytest.mark.conformance("v2-82")
def test_a_road_warrior(site: Site, initiator: str) -> None:
    """What it sends itself goes out with its inner address; all of it ends with the IKE SA."""
    first, second = configured(site, initiator)

    first.up("net")

    assert f" {ADDRESS}/32 " in addresses(site, first)
    assert first.sas()[0]["local-vips"] == second.sas()[0]["remote-vips"] == [ADDRESS]
    assert [child["remote-ts"] for child in second.children()] == [[f"{ADDRESS}/32"]]
    assert site.world.ping(first.node, BEHIND[second.node], count=3).lost == 0
    assert len(site.world.wire("router").packets("esp")) == 6
    assert not site.world.wire("router").packets("icmp")
    until(lambda: "nameserver 10.2.0.10" in names_of(first), "the name server of the gateway")

    first.down(ike="site")

    until(lambda: not second.sas(), "the gateway lets go")
    until(lambda: f" {ADDRESS}/32 " not in addresses(site, first), "the address is gone")
    until(lambda: "10.2.0.10" not in names_of(first), "the name server is gone")
    first.up("net")
    assert first.sas()[0]["local-vips"] == [ADDRESS], "leases are sticky"


@pytest.mark.conformance("v2-82")
def test_both_families(site: Site, initiator: str) -> None:
    first, second = configured(site, initiator, vips="0.0.0.0, ::", pools=f"{FOUR % ''}\n{SIX}", names="rw, six")

    first.up("net")

    assert set(first.sas()[0]["local-vips"]) == set(second.sas()[0]["remote-vips"]) == {ADDRESS, ADDRESS6}
    for address in (ADDRESS, ADDRESS6):
        assert f" {address}/" in addresses(site, first)
    assert site.world.ping(first.node, BEHIND[second.node], count=2).lost == 0


@pytest.mark.conformance("v2-82")
def test_two_addresses_one_of_them_a_certain_one(site: Site) -> None:
    """Ours is the gateway: strongSwan's has no ear for wishes, and one address of a family for each identity."""
    first, second = configured(site, "sun", vips="0.0.0.0, 10.3.0.9")

    first.up("net")

    assert set(first.sas()[0]["local-vips"]) == set(second.sas()[0]["remote-vips"]) == {ADDRESS, "10.3.0.9"}
    assert site.world.ping(first.node, BEHIND[second.node], count=2).lost == 0


@pytest.mark.conformance("v2-82", "v2-87")
@pytest.mark.parametrize("rekeyer", ["client", "gateway"])
def test_rekeying_keeps_the_address(site: Site, initiator: str, rekeyer: str) -> None:
    first, second = configured(site, initiator)
    first.up("net")
    (before,), (child,) = first.sas(), first.children()
    by = first if rekeyer == "client" else second

    with site.world.pinging(first.node, BEHIND[second.node]) as ping:
        by.rekey(ike="site")
        until(
            lambda: [sa["initiator-spi"] for sa in first.sas()] not in ([before["initiator-spi"]], []), "a new IKE SA"
        )
        for peer in (first, second):
            until(lambda peer=peer: [sa["state"] for sa in peer.sas()] == ["ESTABLISHED"], "one is left")  # type: ignore[misc]
        by.rekey(child="net")
        until(lambda: [one["spi-in"] for one in first.children()] not in ([child["spi-in"]], []), "a new child")
    assert ping.stop().lost == 0

    assert first.sas()[0]["local-vips"] == second.sas()[0]["remote-vips"] == [ADDRESS]
    first.down(ike="site")
    until(lambda: f" {ADDRESS}/32 " not in addresses(site, first), "the address is gone")


@pytest.mark.conformance("v2-74", "v2-82")
def test_an_exhausted_pool(site: Site, initiator: str) -> None:
    """The only address is of another family than what is asked for."""
    first, second = configured(site, initiator, pools=SIX, names="six")

    with pytest.raises(Refused, match=r"INT_ADDR_FAIL|INTERNAL_ADDRESS_FAILURE"):
        first.up("net")

    assert [sa["state"] for sa in second.sas()] == ["ESTABLISHED"]
    assert not second.children()


@pytest.mark.conformance("v2-74")
def test_a_client_that_asks_for_nothing(site: Site, initiator: str) -> None:
    first, second = configured(site, initiator, vips="")

    with pytest.raises(Refused, match=r"FAIL_CP_REQ|FAILED_CP_REQUIRED"):
        first.up("net")

    assert [sa["state"] for sa in second.sas()] == ["ESTABLISHED"]
    assert not second.children()


@pytest.mark.conformance("v2-82")
def test_attributes_nobody_knows_do_no_harm(site: Site, initiator: str) -> None:
    more = "subnet = 10.2.0.0/16\n 20 = 10.2.0.9\n 25 = example.org\n 20000 = 0xdeadbeef\n 28672 = Welcome"
    first, second = configured(site, initiator, pools=FOUR % more)

    first.up("net")

    assert site.world.ping(first.node, BEHIND[second.node], count=2).lost == 0
