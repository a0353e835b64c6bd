"""Who holds which policies: nobody is given those of a neighbour behind the same NAT."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ikectl.config.model import Fresh, Mark
from ikectl.sa.reqids import Holders, Owner, PolicyKey
from ikectl.values.identity import Identity
from ikectl.values.selector import SelectorSpec, TrafficSelector

NAT = ip_address("203.0.113.9").packed
JOE, ANN = Owner(Identity.parse("joe.example.org")), Owner(Identity.parse("ann.example.org"))
UNIQUE = Mark(0, 0xFFFFFFFF, Fresh.CHILD)


def selectors(text: str) -> tuple[TrafficSelector, ...]:
    return tuple(SelectorSpec.parse(word).resolve(NAT) for word in text.split(","))


def key(
    owner: Owner, remote: str = "dynamic", local: str = "10.2.0.0/16", at: bytes = NAT, **more: object
) -> PolicyKey:
    return PolicyKey(*owner, selectors(local), selectors(remote), at, **more)  # type: ignore[arg-type]


def hold(holders: Holders, wanted: PolicyKey) -> None:
    assert holders.take(wanted) is None


def other(holders: Holders, wanted: PolicyKey) -> Owner | None:
    """Who stands in the way of `wanted`; whether it could be had or not, things stay as they are."""
    found = holders.take(wanted)
    if found is None:
        holders.remove(wanted)
    return found


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        ("dynamic", "dynamic"),
        ("10.9.0.0/16", "10.9.0.0/16"),
        ("dynamic", "dynamic[udp/1701]"),
        ("dynamic[udp]", "dynamic"),
        ("203.0.113.0/24", "dynamic"),
        ("0.0.0.0/0", "dynamic[tcp/443]"),
    ],
)
def test_what_a_neighbour_holds_is_not_for_another(held: str, wanted: str) -> None:
    holders = Holders()
    hold(holders, key(JOE, held))

    assert other(holders, key(ANN, wanted)) == JOE
    assert other(holders, key(JOE, wanted)) is None
    assert other(holders, key(JOE._replace(user="joe"), wanted)) == JOE

    holders.remove(key(JOE, held))
    assert other(holders, key(ANN, wanted)) is None


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        ("10.9.0.1", "10.9.0.2"),
        ("10.0.0.0/8", "10.9.0.0/16"),
        ("dynamic[udp/1701]", "dynamic[udp/1702]"),
        ("dynamic[udp]", "dynamic[tcp]"),
    ],
)
def test_what_cannot_be_mistaken_stands_beside_it(held: str, wanted: str) -> None:
    holders = Holders()
    hold(holders, key(JOE, held))

    assert other(holders, key(ANN, wanted)) is None


def test_marks_interfaces_and_addresses_tell_children_apart() -> None:
    holders = Holders()
    hold(holders, key(JOE))

    assert other(holders, key(ANN, mark_in=UNIQUE, mark_out=UNIQUE)) is None
    assert other(holders, key(ANN, mark_in=UNIQUE)) == JOE  # what goes out would still be mistaken
    assert other(holders, key(ANN, mark_out=Mark(7, 7))) == JOE
    assert other(holders, key(ANN, mark_in=Mark(7, 7), mark_out=Mark(7, 7))) is None
    assert other(holders, key(ANN, if_id_in=7, if_id_out=7)) is None
    assert other(holders, key(ANN, at=ip_address("203.0.113.10").packed)) is None
    assert other(holders, key(ANN, policies=False)) is None


def test_a_mark_of_ones_own_takes_both_directions() -> None:
    holders = Holders()
    hold(holders, key(JOE, mark_in=UNIQUE))
    hold(holders, key(JOE, "10.9.0.0/16", mark_in=UNIQUE, mark_out=UNIQUE))

    assert other(holders, key(ANN, mark_in=UNIQUE)) == other(holders, key(ANN)) == JOE
    assert other(holders, key(ANN, "10.9.0.0/16", mark_in=UNIQUE, mark_out=UNIQUE)) is None
    assert other(holders, key(ANN, "10.9.0.0/16")) is None


def test_a_configured_reqid_is_of_one_peer_at_an_address() -> None:
    holders = Holders()
    hold(holders, key(JOE, "10.9.0.1", reqid=5))

    assert other(holders, key(ANN, "10.9.0.2", reqid=5)) == JOE
    assert other(holders, key(ANN, "10.9.0.2", reqid=6)) is None


def test_a_child_and_its_successor_hold_the_same_twice() -> None:
    holders = Holders()
    hold(holders, key(JOE))
    hold(holders, key(JOE))
    holders.remove(key(JOE))
    assert other(holders, key(ANN)) == JOE
    holders.remove(key(JOE))
    assert other(holders, key(ANN)) is None
    assert not vars(holders)["_places"]
