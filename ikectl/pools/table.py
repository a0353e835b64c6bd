"""Pools: all address pools of this host by name, and the choice among several of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ikectl.errors import IkectlError, NoAddress
from ikectl.pools.pool import Pool, PoolState


class PoolRefused(IkectlError):
    """A pool cannot be loaded or unloaded as it was asked."""


class Granted(NamedTuple):
    """An address (packed) that somebody holds, and the pool to give it back to."""

    pool: str
    address: bytes


class Pools:
    """Address pools that do not overlap."""

    def __init__(self) -> None:
        self._pools: dict[str, Pool] = {}

    def __iter__(self) -> Iterator[Pool]:
        """In the order of loading."""
        return iter(tuple(self._pools.values()))

    def get(self, name: str) -> Pool | None:
        """The pool of that name."""
        return self._pools.get(name)

    def load(self, name: str, low: bytes, high: bytes) -> None:
        """Add a pool, or give one another range; its leases inside the new range stay.

        Raises PoolRefused: it would overlap another, or addresses in use lie
        outside the new range.
        """
        known = self._pools.get(name)
        pool = Pool.restored(name, low, high, known.state if known else PoolState())
        for other in self:
            if other.name != name and other.overlaps(pool):
                raise PoolRefused(f"pool {name!r} overlaps pool {other.name!r}; give each its own addresses")
        strays = known.strays(low, high) if known else 0
        if strays:
            raise PoolRefused(f"pool {name!r}: {strays} of its addresses are in use and not in the new range")
        self._pools[name] = pool

    def unload(self, name: str) -> bool:
        """Whether there was one of that name. Raises PoolRefused while addresses of it are in use."""
        pool = self._pools.get(name)
        if pool is None:
            return False
        if pool.online:
            raise PoolRefused(f"pool {name!r} has {pool.online} addresses in use; terminate their SAs first")
        del self._pools[name]
        return True

    def acquire(
        self, names: Sequence[str], identity: str, octets: int, wanted: bytes = b"", peer: bytes = b""
    ) -> Granted:
        """An address of `octets` (4 or 16) from one of the pools named; see `Pool.acquire`.

        A pool in which `identity` has or had an address comes before the
        others, which follow in the order of `names`.

        Raises NoAddress, with the reason for each pool.
        """
        pools = [pool for pool in map(self._pools.get, names) if pool is not None and len(pool.low) == octets]
        pools.sort(key=lambda pool: not pool.knows(identity))
        why: list[str] = []
        for pool in pools:
            try:
                return Granted(pool.name, pool.acquire(identity, wanted, peer))
            except NoAddress as error:
                why.append(str(error))
        missing = [f"there is no pool {name!r}" for name in names if name not in self._pools]
        family = "IPv4" if octets == 4 else "IPv6"
        none = f"none of the pools has {family} addresses" if names else "the connection has no pools"
        raise NoAddress("; ".join([*why, *missing]) or none)

    def release(self, granted: Granted, identity: str) -> bool:
        """Whether `identity` held it."""
        pool = self._pools.get(granted.pool)
        return pool is not None and pool.release(identity, granted.address)

    # -- as a value

    @property
    def state(self) -> Mapping[str, PoolState]:
        """What `restore` takes back."""
        return {pool.name: pool.state for pool in self}

    def restore(self, states: Mapping[str, PoolState]) -> None:
        """The leases of pools that are loaded, as they were; those of other pools are left out."""
        for name, state in states.items():
            pool = self._pools.get(name)
            if pool is not None:
                self._pools[name] = Pool.restored(name, pool.low, pool.high, state)
