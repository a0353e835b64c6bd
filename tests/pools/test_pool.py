"""One pool: who gets which address, for how long it is kept, and what there is to keep."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.errors import NoAddress
from ikectl.pools import pool as pools
from ikectl.pools.pool import USER, Lease, Pool


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def pool(size: int = 4, base: str = "10.9.0.1") -> Pool:
    low = packed(base)
    return Pool("road", low, (int.from_bytes(low, "big") + size - 1).to_bytes(len(low), "big"))


def text(address: bytes) -> str:
    return str(ipaddress.ip_address(address))


HERE, THERE = packed("192.0.2.1"), packed("192.0.2.2")


def test_addresses_are_given_in_order() -> None:
    road = pool()
    assert [text(road.acquire(name)) for name in ("a", "b", "c")] == ["10.9.0.1", "10.9.0.2", "10.9.0.3"]
    assert (road.size, road.online, road.offline) == (4, 3, 0)


def test_who_comes_again_gets_the_same() -> None:
    road = pool()
    carol = road.acquire("carol")
    assert road.release("carol", carol)
    assert text(road.acquire("dave")) == "10.9.0.2"
    assert road.acquire("carol") == carol


def test_devices_of_one_user_get_an_address_each() -> None:
    road = pool()
    first = road.acquire("carol", peer=HERE)
    second = road.acquire("carol", first, THERE)
    assert first != second
    road.release("carol", first)
    road.release("carol", second)
    assert road.acquire("carol", second, THERE) == second, "the wanted one of those it had"
    assert road.acquire("carol") == first


def test_a_device_that_comes_again_before_its_old_sa_is_gone_keeps_its_address() -> None:
    road = pool()
    address = road.acquire("carol", peer=HERE)
    assert road.acquire("carol", address, HERE) == address
    assert road.online == 1
    assert road.release("carol", address)
    assert road.online == 1, "the new SA still holds it"
    assert road.release("carol", address)
    assert (road.online, road.offline) == (0, 1)
    assert not road.release("carol", address)


def test_a_wanted_address_is_given_if_nobody_had_it() -> None:
    road = pool()
    assert road.acquire("carol", packed("10.9.0.3")) == packed("10.9.0.3")
    assert road.acquire("dave", packed("10.9.0.3")) == packed("10.9.0.1")
    assert road.acquire("erin", packed("192.0.2.9")) == packed("10.9.0.2")
    assert road.acquire("frank", packed("2001:db8::1")) == packed("10.9.0.4")


def test_an_address_kept_for_another_is_given_last_and_the_longest_unused_first() -> None:
    road = pool(3)
    held = {name: road.acquire(name) for name in ("a", "b", "c")}
    for name in ("b", "a", "c"):
        road.release(name, held[name])
    assert road.acquire("d", held["c"]) == held["b"]
    assert road.acquire("e") == held["a"]
    assert road.acquire("c") == held["c"]


def test_an_exhausted_pool_says_so_and_recovers() -> None:
    road = pool(2)
    first = road.acquire("a")
    road.acquire("b")
    with pytest.raises(NoAddress, match="pool 'road' has no free address: all 2 are taken"):
        road.acquire("c")
    road.release("a", first)
    assert road.acquire("c") == first
    assert not road.knows("a")


def test_nobody_gives_back_what_is_not_its_own() -> None:
    road = pool()
    address = road.acquire("carol")
    assert not road.release("dave", address)
    assert not road.release("carol", packed("10.9.0.2"))
    assert not road.release("carol", packed("192.0.2.1"))
    assert road.online == 1


def test_ipv6_pools_may_be_huge() -> None:
    road = Pool("six", packed("2001:db8::1"), packed("2001:db8::ffff:ffff:ffff:ffff"))
    assert text(road.acquire("carol")) == "2001:db8::1"
    assert road.size == 2**64 - 1


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "MAX_REMEMBERED", 3)
    road = pool(5)
    for number in range(20):
        road.release(f"u{number}", road.acquire(f"u{number}"))
        assert road.offline <= 3
    assert [lease.identity for lease in road.leases() if not lease.online].count("u19") == 1
    assert len({road.acquire(f"v{number}") for number in range(5)}) == 5, "what was forgotten is given again"


def test_a_pool_needs_a_range() -> None:
    with pytest.raises(ValueError, match="not after its first"):
        Pool("road", packed("10.0.0.2"), packed("10.0.0.1"))
    with pytest.raises(ValueError, match="not after its first"):
        Pool("road", packed("10.0.0.2"), packed("2001:db8::1"))


def test_pools_overlap() -> None:
    assert pool(4).overlaps(pool(4, "10.9.0.4"))
    assert not pool(4).overlaps(pool(4, "10.9.0.5"))
    assert not pool(4).overlaps(pool(4, "2001:db8::1"))


# -- as a value


def test_a_pool_comes_back_as_it_was() -> None:
    road = pool(3)
    held = {name: road.acquire(name, peer=HERE) for name in ("a", "b", "c")}
    road.release("c", held["c"])
    road.release("a", held["a"])
    back = Pool.restored("road", road.low, road.high, road.state)
    assert list(back.leases()) == list(road.leases())
    assert back.state == road.state
    assert back.acquire("b", held["b"], HERE) == held["b"], "the same device"
    assert back.acquire("d") == held["c"], "the longest unused"


def test_another_range_keeps_the_leases_inside_it() -> None:
    road = pool(4)
    for name in "abcd":
        road.acquire(name)
    road.release("d", packed("10.9.0.4"))
    assert road.strays(packed("10.9.0.2"), packed("10.9.0.3")) == 1
    less = Pool.restored("road", packed("10.9.0.2"), packed("10.9.0.3"), road.state)
    assert [(text(address), identity) for address, identity, _ in less.leases()] == [
        ("10.9.0.2", "b"),
        ("10.9.0.3", "c"),
    ]


class Model:
    """What must hold whatever happens."""

    def __init__(self) -> None:
        self.pool = pool(5)
        self.held: list[tuple[str, bytes, bytes]] = []

    def acquire(self, identity: str, wanted: bytes, peer: bytes) -> None:
        try:
            address = self.pool.acquire(identity, wanted, peer)
        except NoAddress:
            assert len({address for _, address, _ in self.held}) == 5
            return
        assert address in self.pool
        for other, taken, where in self.held:
            assert taken != address or (other == identity and where == peer), "nobody shares an address"
        self.held.append((identity, address, peer))

    def release(self, place: int) -> None:
        if self.held:
            identity, address, _ = self.held.pop(place % len(self.held))
            assert self.pool.release(identity, address)

    def check(self) -> None:
        online = {address for _, address, _ in self.held}
        assert {address for address, _, on in self.pool.leases() if on} == online
        assert self.pool.online == len(online)
        assert self.pool.online + self.pool.offline <= self.pool.size
        back = Pool.restored("road", self.pool.low, self.pool.high, self.pool.state)
        assert list(back.leases()) == list(self.pool.leases())
        assert all(isinstance(lease, Lease) for lease in back.leases())


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("abcdefg"), st.integers(0, 6), st.sampled_from([b"", HERE, THERE])),
        st.integers(0, 20),
    ),
    max_size=40,
)


@given(STEPS)
def test_no_two_have_one_address_and_none_is_lost(steps: list[tuple[str, int, bytes] | int]) -> None:
    model = Model()
    for step in steps:
        if isinstance(step, int):
            model.release(step)
        else:
            identity, wanted, peer = step
            model.acquire(identity, packed(f"10.9.0.{wanted}"), peer)
        model.check()


def test_a_user_named_like_an_identity_is_somebody_else() -> None:
    made = pool()
    address = made.acquire("joe.example.org", peer=b"here")
    assert made.acquire(f"{USER}joe.example.org", address, b"here") != address
    assert [lease.holder for lease in made.leases()] == ["joe.example.org", "joe.example.org"]
    assert not made.release(f"{USER}joe.example.org", address)
