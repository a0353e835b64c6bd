"""Leases: in whatever order SAs and grants come and go, an address has one owner and goes back once."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ikectl.dhcp.leases import Holder, Lease, Leases, NotRelayed, Upstream
from ikectl.iana.dhcp import MessageType
from tests.dhcp.messages import DISCOVER, RELAY, SERVER, reply

UPSTREAM = Upstream(SERVER, RELAY)
ikes, peers, addresses, children = st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(1, 5)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("grant"), ikes, peers, addresses),
        st.tuples(st.just("moved"), ikes, ikes),
        st.tuples(st.just("down"), ikes),
        st.tuples(st.just("child"), addresses, children),
        st.tuples(st.just("gone"), children),
        st.tuples(st.just("surrender"), ikes, peers, addresses),
        st.tuples(st.just("time"), st.integers(1, 400)),
    ),
    max_size=40,
)


def packed(number: int) -> bytes:
    return bytes((10, 3, 0, number))


@given(steps)
def test_every_address_has_one_owner_and_goes_back_once(story: list[tuple[str, int, int, int]]) -> None:
    leases, now = Leases(), 0.0
    known: dict[bytes, Lease] = {}
    for what, *numbers in story:
        ended: list[Lease | None] = []
        if what in ("grant", "surrender"):
            ike, peer, address = numbers
            holder = Holder(ike, f"peer-{peer}", b"i%d" % peer)
            if what == "surrender":
                ended = [leases.surrender(holder, packed(address))]
            else:
                try:
                    ended = [
                        *leases.grant(holder, reply(DISCOVER, MessageType.ACK, packed(address), 300), UPSTREAM, now)
                    ]
                except NotRelayed:
                    assert known[packed(address)].identity != holder.identity
                    continue
                lease = leases.at(packed(address))
                assert lease is not None and lease is leases.of(ike) and lease.identity == holder.identity
        elif what == "moved":
            leases.ike_moved(*numbers)
        elif what == "down":
            ended = [leases.ike_gone(*numbers)]
        elif what == "child":
            leases.child_up(packed(numbers[0]), 10 * numbers[0] + numbers[1])
        elif what == "gone":
            ended = [leases.child_gone(10 * address + numbers[0]) for address in range(1, 5)]
        else:
            now += numbers[0]
        for lease in ended:
            if lease is not None:
                assert known.pop(lease.address) is lease, "given back once"
        known = {packed(number): lease for number in range(1, 5) if (lease := leases.at(packed(number))) is not None}
        check(leases, known)
    assert {lease.address for lease in leases.end()} == set(known) and len(leases) == 0


def check(leases: Leases, known: dict[bytes, Lease]) -> None:
    """Each lease is held, and whoever holds one finds it."""
    assert len(leases) == len(known)
    for lease in known.values():
        assert lease.held
        assert all(leases.of(ike) is lease for ike in lease.ikes)
    holders = [ike for lease in known.values() for ike in lease.ikes]
    assert len(holders) == len(set(holders))


def test_a_client_that_has_two_addresses_is_still_known_by_one_name() -> None:
    """Of two IKE SAs with one client identifier; RFC 3456 §4.1 forbids it, and nothing goes wrong."""
    leases = Leases()
    for ike in (1, 2):
        leases.grant(Holder(ike, "peer", b"i"), replace(reply(DISCOVER, MessageType.ACK, packed(ike))), UPSTREAM, 0.0)
    assert leases.ike_gone(1) is not None and leases.ike_gone(2) is not None
    leases.permit(Holder(3, "another", b"i"))
