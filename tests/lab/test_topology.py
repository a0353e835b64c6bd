"""Declarations become the lines that `ip -batch` and `tc -batch` take."""

import pytest

from tests.lab.topology import BEHIND_NAT, SITE_TO_SITE, Gateway, Host, Link, Router, Topology


def test_namespaces_and_links() -> None:
    lines = SITE_TO_SITE.batch("w1-")
    assert lines[:5] == [f"netns add w1-{name}" for name in ("alice", "moon", "router", "sun", "bob")]
    assert lines[5] == "link add name to-moon netns w1-alice type veth peer name to-alice netns w1-moon"


def test_a_host_gets_addresses_and_a_way_out() -> None:
    assert SITE_TO_SITE.node_batch("alice") == [
        "link set lo up",
        "address add 10.1.0.10/24 dev to-moon",
        "address add fd01::10/64 dev to-moon nodad",
        "link set to-moon up",
        "route add 0.0.0.0/0 via 10.1.0.1 dev to-moon",
        "route add ::/0 via fd01::1 dev to-moon",
    ]


def test_a_router_knows_its_own_networks_only() -> None:
    assert not [line for line in SITE_TO_SITE.node_batch("router") if line.startswith("route")]


def test_a_gateway_leads_towards_the_nat_it_is_behind() -> None:
    assert "route add 0.0.0.0/0 via 192.168.0.1 dev to-nat" in BEHIND_NAT.node_batch("moon")


def test_addresses() -> None:
    assert SITE_TO_SITE.address("bob") == "10.2.0.10"
    assert SITE_TO_SITE.address("bob", version=6) == "fd02::10"


def test_imperfect_links() -> None:
    topology = Topology(
        {"one": Host("two"), "two": Router()}, [Link(one="10.0.0.1/24", two="10.0.0.2/24", loss=5, delay=20)]
    )
    assert topology.netem_batch("one") == ["qdisc add dev to-two root netem loss 5% delay 20ms"]
    assert topology.netem_batch("two") == ["qdisc add dev to-one root netem loss 5% delay 20ms"]
    assert SITE_TO_SITE.netem_batch("moon") == []


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="unknown node: ghost"):
        Topology({"one": Router()}, [Link(one="10.0.0.1/24", ghost="10.0.0.2/24")])
    with pytest.raises(ValueError, match="one goes via two, but no link leads there"):
        Topology({"one": Gateway("two"), "two": Router()}, [])
    with pytest.raises(ValueError, match="two ends, not 3"):
        Link(one="10.0.0.1/24", two="10.0.0.2/24", three="10.0.0.3/24")
