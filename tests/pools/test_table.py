"""Several pools: which of them an address comes from, and when one may be loaded or unloaded."""

from __future__ import annotations

import ipaddress

import pytest

from ikectl.errors import NoAddress
from ikectl.pools.table import Granted, PoolRefused, Pools


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


@pytest.fixture
def pools() -> Pools:
    made = Pools()
    made.load("one", packed("10.1.0.1"), packed("10.1.0.1"))
    made.load("two", packed("10.2.0.1"), packed("10.2.0.9"))
    made.load("six", packed("2001:db8::1"), packed("2001:db8::9"))
    return made


BOTH = ("one", "two", "six")


def test_the_first_pool_of_the_family_that_has_one(pools: Pools) -> None:
    assert pools.acquire(BOTH, "a", 4) == Granted("one", packed("10.1.0.1"))
    assert pools.acquire(BOTH, "b", 4) == Granted("two", packed("10.2.0.1"))
    assert pools.acquire(BOTH, "a", 16) == Granted("six", packed("2001:db8::1"))


def test_leases_are_sticky_across_pools(pools: Pools) -> None:
    first = pools.acquire(BOTH, "a", 4)
    second = pools.acquire(BOTH, "b", 4)
    assert pools.release(first, "a") and pools.release(second, "b")
    assert pools.acquire(BOTH, "b", 4) == second


def test_no_address_says_why_for_each_pool(pools: Pools) -> None:
    pools.acquire(("one",), "a", 4)
    with pytest.raises(NoAddress, match="pool 'one' has no free address: all 1 are taken; there is no pool 'gone'"):
        pools.acquire(("one", "gone"), "b", 4)
    with pytest.raises(NoAddress, match="none of the pools has IPv6 addresses"):
        pools.acquire(("one", "two"), "a", 16)
    with pytest.raises(NoAddress, match="the connection has no pools"):
        pools.acquire((), "a", 4)


def test_pools_do_not_overlap(pools: Pools) -> None:
    with pytest.raises(PoolRefused, match="pool 'three' overlaps pool 'two'"):
        pools.load("three", packed("10.2.0.9"), packed("10.2.0.20"))
    pools.load("two", packed("10.2.0.9"), packed("10.2.0.20"))
    assert [pool.name for pool in pools] == ["one", "two", "six"]


def test_a_pool_may_change_its_range_but_not_from_under_a_peer(pools: Pools) -> None:
    held = pools.acquire(("two",), "a", 4, packed("10.2.0.5"))
    with pytest.raises(PoolRefused, match="1 of its addresses are in use"):
        pools.load("two", packed("10.2.0.1"), packed("10.2.0.4"))
    pools.load("two", packed("10.2.0.5"), packed("10.2.0.40"))
    pool = pools.get("two")
    assert pool is not None and pool.online == 1
    assert pools.release(held, "a")


def test_a_pool_in_use_stays(pools: Pools) -> None:
    held = pools.acquire(("one",), "a", 4)
    with pytest.raises(PoolRefused, match="terminate their SAs first"):
        pools.unload("one")
    pools.release(held, "a")
    assert pools.unload("one")
    assert not pools.unload("one")
    assert not pools.release(held, "a")


def test_all_leases_come_back(pools: Pools) -> None:
    held = pools.acquire(("two",), "a", 4)
    pools.acquire(("six",), "a", 16)
    back = Pools()
    back.load("two", packed("10.2.0.1"), packed("10.2.0.9"))
    back.restore(pools.state)
    assert [pool.name for pool in back] == ["two"]
    assert back.state["two"] == pools.state["two"]
    assert back.release(held, "a")
