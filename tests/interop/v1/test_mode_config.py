"""Mode config with strongSwan beyond the first address: phase 1 again, families, several networks, name servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.v1 import configurations as v1
from tests.interop.v1.conftest import OldSite
from tests.interop.v1.test_phase2 import takeover
from tests.interop.v1.test_xauth import INNER, configured, gateways
from tests.lab.fixtures import Lab
from tests.lab.peers.base import Peer
from tests.lab.peers.strongswan import UnityStrongSwan
from tests.lab.topology import SITE_TO_SITE
from tests.lab.world import until

ADDRESS, ADDRESS6 = "10.3.0.1", "fd03::1"
SIX = "six { addrs = fd03::1-fd03::e\n dns = fd02::10\n }"


def addresses(site: OldSite, peer: Peer) -> str:
    return site.world.run(peer.node, "ip", "address")


@pytest.mark.conformance("v1-35", "v1-38")
@pytest.mark.parametrize("rekeyer", ["client", "server"])
@pytest.mark.parametrize("way", ["pull", "push"])
def test_phase_1_again_keeps_the_address(site: OldSite, initiator: str, rekeyer: str, way: str) -> None:
    client, server = gateways(initiator)
    both = {"connection": f"pull = {'yes' if way == 'pull' else 'no'}"}
    first, second = configured(
        site, initiator, v1.asking_for_address(client.but(**both)), v1.giving_addresses(server.but(**both))
    )
    first.up("net")
    until(lambda: second.children(), "the server has the child")
    (before,) = first.sas()

    with site.world.pinging(first.node, INNER[second.node]) as ping:
        (first if rekeyer == "client" else second).rekey(ike="site")
        for peer in (first, second):
            until(lambda peer=peer: takeover(peer, before), f"a new phase 1 on {peer.node} has the child")  # type: ignore[misc]
    assert ping.stop().lost == 0
    assert f" {ADDRESS}/32 " in addresses(site, first)
    (child,) = second.children()
    assert child["remote-ts"] == [f"{ADDRESS}/32"]

    first.rekey(child="net")
    until(lambda: [one["spi-in"] for one in second.children()] != [child["spi-in"]], "a rekeyed child")
    assert site.world.ping(first.node, INNER[second.node], count=3).lost == 0
    first.down(ike="site")
    until(lambda: not second.sas(), "the server lets go")
    until(lambda: f" {ADDRESS}/32 " not in addresses(site, first), "the address is gone")


@pytest.mark.conformance("v1-35")
@pytest.mark.parametrize("way", ["pull", "push"])
def test_addresses_of_both_families(site: OldSite, initiator: str, way: str) -> None:
    client, server = gateways(initiator)
    pull = f"pull = {'yes' if way == 'pull' else 'no'}"
    asking = v1.asking_for_address(client.but(connection=pull))
    giving = v1.giving_addresses(server.but(connection=pull))
    first, second = configured(
        site,
        initiator,
        asking.but(connection=asking.connection.replace("vips = 0.0.0.0", "vips = 0.0.0.0, ::")),
        giving.but(
            connection=giving.connection.replace("pools = rw", "pools = rw, six"), pools=giving.pools + "\n" + SIX
        ),
    )
    first.up("net")
    assert site.world.ping(first.node, INNER[second.node], count=2).lost == 0
    for address in (ADDRESS, ADDRESS6):
        assert f" {address}/" in addresses(site, first)
    assert set(second.sas()[0]["remote-vips"]) == {ADDRESS, ADDRESS6}


@pytest.fixture
def unity(lab: Lab) -> Iterator[OldSite]:
    """Both ends announce Unity, and the strongSwan writes down name servers."""
    yield OldSite(lab, SITE_TO_SITE, ours="moon", theirs=UnityStrongSwan)


@pytest.mark.conformance("v1-35")
def test_name_servers_and_several_networks(unity: OldSite, initiator: str) -> None:
    """The client has the name servers while the SA stands, and reaches the networks named, and no others."""
    client, server = gateways(initiator)
    network = server.local_ts
    first, second = configured(
        unity,
        initiator,
        v1.asking_for_address(client.but(remote_ts="0.0.0.0/0")),
        v1.giving_addresses(server.but(local_ts="0.0.0.0/0"), f"split_include = {network}, 10.77.0.0/16"),
    )
    names = first.directory / ("ikectl/resolv.conf" if initiator == "moon" else "resolv.conf")

    first.up("net")

    until(lambda: second.children(), "the server has a child")
    assert unity.world.ping(first.node, INNER[second.node], count=2).lost == 0
    assert network in unity.world.xfrm(first.node)
    until(lambda: "10.77.0.0/16" in unity.world.xfrm(first.node), "the second network")
    assert "nameserver 10.2.0.10" in names.read_text()

    first.down(ike="site")
    until(lambda: not second.sas(), "the server lets go")
    until(lambda: not names.exists() or "10.2.0.10" not in names.read_text(), "the name server is gone")
