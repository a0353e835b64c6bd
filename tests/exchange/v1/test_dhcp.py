"""Which IDs ask for a DHCP SA, and what the kernel gets for one."""

from __future__ import annotations

import pytest

from ikectl.config.model import Child, Connection, Dhcp
from ikectl.crypto.keywords import default_esp
from ikectl.errors import TsUnacceptable
from ikectl.exchange.v1 import dhcp
from ikectl.sa.env import Env
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.values.path import Endpoint, Path
from ikectl.values.selector import TrafficSelector

GATEWAY, HOST = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 9))
AT_GATEWAY = Path(Endpoint(GATEWAY, 500), Endpoint(HOST, 500))
AT_HOST = Path(Endpoint(HOST, 500), Endpoint(GATEWAY, 500))
ESP = default_esp()


def connection(settings: Dhcp | None, *children: Child) -> Connection:
    return Connection("home", (), children=children or (Child("net", ESP),), dhcp=settings)


def selector(text: str) -> TrafficSelector:
    network, _, port = text.partition(":")
    return TrafficSelector.of_network(network, 17, (int(port), int(port)))


RELAY = connection(Dhcp(server=bytes((10, 1, 0, 10))))


@pytest.mark.parametrize("client", ["0.0.0.0:68", "0.0.0.0/0:68", "192.0.2.9:68"])
@pytest.mark.parametrize("server", ["192.0.2.1:67", "0.0.0.0/0:67", "255.255.255.255:67", "0.0.0.0:67"])
def test_ids_that_ask_for_a_dhcp_sa(client: str, server: str) -> None:
    """RFC 3456 §4.1."""
    child = dhcp.asked(RELAY, AT_GATEWAY, selector(client), selector(server))
    assert child is not None and child.name == "home-dhcp" and dhcp.is_dhcp(child)
    assert child.esp_proposals == ESP and 0 < child.life_time <= 600


@pytest.mark.parametrize(
    ("client", "server"),
    [
        ("0.0.0.0:67", "192.0.2.1:68"),
        ("192.0.2.10:68", "192.0.2.1:67"),
        ("0.0.0.0/1:68", "192.0.2.1:67"),
        ("0.0.0.0:68", "192.0.2.2:67"),
    ],
)
def test_other_ids_do_not(client: str, server: str) -> None:
    assert dhcp.asked(RELAY, AT_GATEWAY, selector(client), selector(server)) is None
    anything = TrafficSelector.of_network("0.0.0.0/0")
    assert dhcp.asked(RELAY, AT_GATEWAY, anything, anything) is None


@pytest.mark.parametrize("settings", [None, Dhcp(client=True)])
def test_only_a_relay_is_asked(settings: Dhcp | None) -> None:
    client, server = dhcp.ids(AT_HOST)
    assert dhcp.asked(connection(settings), AT_GATEWAY, client, server) is None
    assert dhcp.asked(RELAY, AT_GATEWAY, client, server) is not None


def test_the_connection_knows_the_child_by_name() -> None:
    assert RELAY.child("home-dhcp") == RELAY.dhcp_child
    assert RELAY.child("net") is RELAY.children[0]
    assert connection(None).child("home-dhcp") is None and connection(None).dhcp_child is None
    assert Connection("bare", (), dhcp=Dhcp(client=True)).dhcp_child is None
    assert not dhcp.is_dhcp(RELAY.children[0])


def test_packets_for_other_hosts_do_not_pass_the_gateway() -> None:
    """Only what is for the gateway itself, which the kernel never forwards."""
    sa = isakmp_sa(Dhcp(server=bytes((10, 1, 0, 10)), giaddr=bytes((10, 1, 0, 1))))
    assert RELAY.dhcp_child is not None
    ours, theirs = dhcp.selectors(sa, RELAY.dhcp_child)
    assert list(map(str, ours)) == [
        "255.255.255.255/32[udp/bootps]",
        "192.0.2.1/32[udp/bootps]",
        "10.1.0.1/32[udp/bootps]",
    ]
    assert list(map(str, theirs)) == ["0.0.0.0/0[udp/bootpc]"]


def test_the_client_takes_what_is_for_itself() -> None:
    sa = isakmp_sa(Dhcp(client=True), path=AT_HOST)
    assert sa.connection is not None and sa.connection.dhcp_child is not None
    ours, theirs = dhcp.selectors(sa, sa.connection.dhcp_child)
    assert list(map(str, ours)) == ["255.255.255.255/32[udp/bootpc]", "192.0.2.9/32[udp/bootpc]"]
    assert list(map(str, theirs)) == ["0.0.0.0/0[udp/bootps]"]


def test_ipv6_outside() -> None:
    """There is no address of ours then that DHCPv4 could name."""
    six = Path(Endpoint(bytes(15) + b"\1", 500), Endpoint(bytes(15) + b"\2", 500))
    client, server = dhcp.ids(six)
    assert dhcp.asked(RELAY, six, client, server) is not None
    assert RELAY.dhcp_child is not None
    ours, _ = dhcp.selectors(isakmp_sa(RELAY.dhcp, path=six), RELAY.dhcp_child)
    assert list(map(str, ours)) == ["255.255.255.255/32[udp/bootps]"]


def isakmp_sa(settings: Dhcp | None, *leased: bytes, path: Path = AT_GATEWAY) -> IsakmpSa:
    env = Env(lambda number: lambda octets: bytes(octets))
    sa = IsakmpSa(env, env.random_for(1), 1, False, bytes(8), bytes(8), path, connection(settings))
    sa.peer_vips = leased
    return sa


def test_a_tunnel_is_for_the_address_leased_to_that_peer() -> None:
    """RFC 3456 §5: the address alone says nothing; who was given it is known here."""
    mine, other = TrafficSelector.of_network("10.1.0.100"), TrafficSelector.of_network("10.1.0.101")
    sa = isakmp_sa(RELAY.dhcp, bytes((10, 1, 0, 100)))
    dhcp.check_lease(sa, mine)
    dhcp.check_lease(sa, selector("10.1.0.100:80"))
    for refused in (other, TrafficSelector.of_network("10.1.0.100/31"), TrafficSelector.ANY4):
        with pytest.raises(TsUnacceptable, match=r"was leased 10\.1\.0\.100/32"):
            dhcp.check_lease(sa, refused)
    with pytest.raises(TsUnacceptable, match="no address; a DHCP SA comes first"):
        dhcp.check_lease(isakmp_sa(RELAY.dhcp), mine)


@pytest.mark.parametrize("settings", [None, Dhcp(client=True)])
def test_without_a_relay_leases_do_not_matter(settings: Dhcp | None) -> None:
    dhcp.check_lease(isakmp_sa(settings), TrafficSelector.ANY4)
