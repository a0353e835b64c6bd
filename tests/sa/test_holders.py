"""Who holds which policies: nobody is given those of a neighbour behind the same NAT."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ikectl.config.model import Fresh, Mark
from ikectl.sa.reqids import Owner, Policies, PolicyKey, Reqids
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


def hold(reqids: Reqids, wanted: PolicyKey) -> Policies:
    held = reqids.take(wanted)
    assert held is not None
    return held


def other(reqids: Reqids, wanted: PolicyKey) -> Owner | None:
    """Who stands in the way of `wanted`; whether it could be had or not, things stay as they are."""
    found = reqids.take(wanted)
    if found is None:
        return reqids.neighbour(wanted)
    reqids.release(found)
    return None


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
    reqids = Reqids()
    his = hold(reqids, key(JOE, held))

    assert other(reqids, key(ANN, wanted)) == JOE
    assert other(reqids, key(JOE, wanted)) is None
    assert other(reqids, key(JOE._replace(user="joe"), wanted)) == JOE

    reqids.release(his)
    assert other(reqids, key(ANN, wanted)) is None


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
    reqids = Reqids()
    hold(reqids, key(JOE, held))

    assert other(reqids, key(ANN, wanted)) is None


def test_marks_interfaces_and_addresses_tell_children_apart() -> None:
    reqids = Reqids()
    hold(reqids, key(JOE))

    assert other(reqids, key(ANN, mark_in=UNIQUE, mark_out=UNIQUE)) is None
    assert other(reqids, key(ANN, mark_in=UNIQUE)) == JOE  # what goes out would still be mistaken
    assert other(reqids, key(ANN, mark_out=Mark(7, 7))) == JOE
    assert other(reqids, key(ANN, mark_in=Mark(7, 7), mark_out=Mark(7, 7))) is None
    assert other(reqids, key(ANN, if_id_in=7, if_id_out=7)) is None
    assert other(reqids, key(ANN, at=ip_address("203.0.113.10").packed)) is None
    assert other(reqids, key(ANN, policies=False)) is None


def test_a_mark_of_ones_own_takes_both_directions() -> None:
    reqids = Reqids()
    hold(reqids, key(JOE, mark_in=UNIQUE))
    hold(reqids, key(JOE, "10.9.0.0/16", mark_in=UNIQUE, mark_out=UNIQUE))

    assert other(reqids, key(ANN, mark_in=UNIQUE)) == other(reqids, key(ANN)) == JOE
    assert other(reqids, key(ANN, "10.9.0.0/16", mark_in=UNIQUE, mark_out=UNIQUE)) is None
    assert other(reqids, key(ANN, "10.9.0.0/16")) is None


def test_a_configured_reqid_is_of_one_peer_at_an_address() -> None:
    reqids = Reqids()
    hold(reqids, key(JOE, "10.9.0.1", reqid=5))

    assert other(reqids, key(ANN, "10.9.0.2", reqid=5)) == JOE
    assert other(reqids, key(ANN, "10.9.0.2", reqid=6)) is None


def test_a_child_and_its_successor_hold_the_same() -> None:
    reqids = Reqids()
    held = hold(reqids, key(JOE))
    assert hold(reqids, key(JOE)) is held
    reqids.release(held)
    assert other(reqids, key(ANN)) == JOE
    reqids.release(held)
    assert other(reqids, key(ANN)) is None
    assert not vars(reqids)["_places"]


def test_no_number_comes_again() -> None:
    reqids = Reqids()
    first = hold(reqids, key(JOE))
    assert hold(reqids, key(JOE, "10.9.0.0/16")).reqid != first.reqid
    assert hold(reqids, key(JOE, "10.9.0.1", reqid=5)).reqid == 5
    reqids.release(first)
    assert hold(reqids, key(JOE)).reqid not in (1, 2)
