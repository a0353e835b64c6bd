"""XAUTH and mode config with strongSwan: who initiates is the client, in both roles."""

from __future__ import annotations

import pytest

from tests.interop.configurations import Gateway
from tests.interop.v1 import configurations as v1
from tests.interop.v1.conftest import OldSite, carries, ladder
from tests.lab.certificates import Credential
from tests.lab.fixtures import Lab
from tests.lab.peers.base import Peer, Refused
from tests.lab.peers.strongswan import UnityStrongSwan
from tests.lab.topology import SITE_TO_SITE
from tests.lab.world import until

INNER = {"moon": "10.1.0.10", "sun": "10.2.0.10"}
"""The host behind each gateway."""


def configured(site: OldSite, client: str, asking: Gateway, giving: Gateway, **both: object) -> tuple[Peer, Peer]:
    """Load a client on one end and its server on the other."""
    server = "sun" if client == "moon" else "moon"
    site.configure(**{client: asking, server: giving}, **both)  # type: ignore[arg-type]
    return site.ends(client)


def gateways(client: str) -> tuple[Gateway, Gateway]:
    """What the client's and the server's configuration begin with."""
    return v1.ENDS[client], v1.ENDS["sun" if client == "moon" else "moon"]


@pytest.mark.conformance("v1-34")
@pytest.mark.parametrize("mode", ["main", "aggressive"])
def test_xauth_after_a_shared_secret(site: OldSite, initiator: str, mode: str) -> None:
    client, server = gateways(initiator)
    aggressive = {"connection": "aggressive = yes"} if mode == "aggressive" else {}
    first, second = configured(
        site, initiator, v1.logging_in(client.but(**aggressive)), v1.asking_for_login(server.but(**aggressive))
    )
    first.up("net")
    carries(site, first, second)
    assert second.sas()[0]["remote-xauth-id"] == v1.USER
    assert ladder(site).count("TRANSACTION") == 4


@pytest.mark.conformance("v1-34")
def test_xauth_after_certificates(site: OldSite, initiator: str, rsa: list[Credential]) -> None:
    client, server = (gateway.but(auth="pubkey") for gateway in gateways(initiator))
    first, second = configured(site, initiator, v1.logging_in(client), v1.asking_for_login(server), credentials=rsa)
    first.up("net")
    carries(site, first, second)


@pytest.mark.conformance("v1-36")
def test_hybrid(site: OldSite, initiator: str, rsa: list[Credential]) -> None:
    """The server alone has a certificate."""
    client, server = gateways(initiator)
    first, second = configured(site, initiator, v1.hybrid_client(client), v1.hybrid_server(server), credentials=rsa)
    first.up("net")
    carries(site, first, second)


@pytest.mark.conformance("v1-34")
def test_a_wrong_password(site: OldSite, initiator: str) -> None:
    client, server = gateways(initiator)
    first, second = configured(site, initiator, v1.logging_in(client, password="a guess"), v1.asking_for_login(server))
    with pytest.raises(Refused):
        first.up("net")
    until(lambda: not first.sas() and not second.sas(), "nothing is left")
    assert "QUICK_MODE" not in ladder(site)


@pytest.mark.conformance("v1-35")
@pytest.mark.parametrize("direction", ["pull", "push"])
def test_mode_config(site: OldSite, initiator: str, direction: str) -> None:
    """The client gets an address from the server's pool, and its traffic comes from there."""
    client, server = gateways(initiator)
    way = {"connection": f"pull = {'yes' if direction == 'pull' else 'no'}"}
    first, second = configured(
        site, initiator, v1.asking_for_address(client.but(**way)), v1.giving_addresses(server.but(**way))
    )
    first.up("net")
    until(lambda: second.children(), "the server has the child")
    assert second.children()[0]["remote-ts"] == ["10.3.0.1/32"]
    assert "10.3.0.1/32" in site.world.run(first.node, "ip", "-4", "address")
    assert site.world.ping(first.node, INNER[second.node], count=3).lost == 0
    assert len(site.world.wire("router").packets("esp")) == 6

    first.down(ike="site")
    until(lambda: not second.sas(), "the server lets go")
    assert "10.3.0.1/32" not in site.world.run(first.node, "ip", "-4", "address")


@pytest.mark.conformance("v1-34", "v1-35")
@pytest.mark.parametrize("mode", ["main", "aggressive"])
def test_xauth_then_mode_config_then_quick_mode(site: OldSite, initiator: str, mode: str) -> None:
    """What a road warrior of the Cisco age does."""
    client, server = gateways(initiator)
    aggressive = {"connection": "aggressive = yes"} if mode == "aggressive" else {}
    first, second = configured(
        site,
        initiator,
        v1.asking_for_address(v1.logging_in(client.but(**aggressive))),
        v1.giving_addresses(v1.asking_for_login(server.but(**aggressive))),
    )
    first.up("net")
    assert site.world.ping(first.node, INNER[second.node], count=3).lost == 0
    steps = ladder(site)
    assert steps[-9:] == ["TRANSACTION"] * 6 + ["QUICK_MODE"] * 3
    # A second client of the same user gets the same address again once the first is gone.
    first.down(ike="site")
    until(lambda: not second.sas(), "the server lets go")


@pytest.mark.conformance("v1-35")
def test_split_networks_of_unity(lab: Lab, initiator: str) -> None:
    """Who serves names the networks to reach through the tunnel; the client asks for everything and takes those."""
    site = OldSite(lab, SITE_TO_SITE, ours="moon", theirs=UnityStrongSwan)
    client, server = gateways(initiator)
    network = server.local_ts
    first, second = configured(
        site,
        initiator,
        v1.asking_for_address(client.but(remote_ts="0.0.0.0/0")),
        v1.giving_addresses(server.but(local_ts="0.0.0.0/0"), f"split_include = {network}"),
    )
    first.up("net")
    until(lambda: second.children(), "the server has the child")
    assert site.world.ping(first.node, INNER[second.node], count=2).lost == 0
    assert network in site.world.xfrm(first.node)
