"""AddressPools: the pools as clients and the configuration file load them, and who leases addresses of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import structlog

from ikectl.config.model import Pool, PoolAttribute
from ikectl.pools import pool, table
from ikectl.sa.asks import DescribePools, Lease, Leased, Provision, Release

log = structlog.get_logger(__name__)


class AddressPools:
    """What `vici.ports.AddressPools` says, `load_file` for the daemon's own configuration, and the answers to asks."""

    def __init__(self) -> None:
        self._pools = table.Pools()
        self._loaded: dict[str, Pool] = {}
        self._from_file: set[str] = set()

    # -- over the control protocol

    async def load(self, pool: Pool) -> None:
        self._load(pool)
        self._from_file.discard(pool.name)

    async def unload(self, name: str) -> bool:
        return self._unload(name)

    def all(self) -> Iterable[pool.Pool]:
        return self._pools

    # -- from the configuration file

    def load_file(self, pools: Iterable[Pool]) -> None:
        """Put these in the place of what an earlier reading of the file gave.

        A pool that the file no longer holds stays while its addresses are in
        use, and goes with the next reading. Raises PoolRefused.
        """
        wanted = {each.name: each for each in pools}
        for name in sorted(self._from_file - wanted.keys()):
            try:
                self._unload(name)
            except table.PoolRefused as error:
                log.warning("pool kept", pool=name, why=str(error), group="cfg")
        for each in wanted.values():
            self._load(each)
            self._from_file.add(each.name)

    # -- answers

    def describe(self, ask: DescribePools) -> Provision:
        found = [pool for pool in map(self._pools.get, ask.pools) if pool is not None]
        octets = tuple(sorted({len(pool.low) for pool in found}))
        return Provision(octets, tuple(self._attributes(ask.pools)))

    def lease(self, ask: Lease) -> Leased:
        """Raises NoAddress."""
        granted = self._pools.acquire(ask.pools, ask.identity, ask.octets, ask.wanted, ask.remote)
        return Leased(granted.pool, granted.address)

    def release(self, ask: Release) -> None:
        self._pools.release(table.Granted(ask.pool, ask.address), ask.identity)

    # -- both

    def _load(self, pool: Pool) -> None:
        self._pools.load(pool.name, pool.low, pool.high)
        self._loaded[pool.name] = pool

    def _unload(self, name: str) -> bool:
        found = self._pools.unload(name)
        self._loaded.pop(name, None)
        self._from_file.discard(name)
        return found

    def _attributes(self, names: Iterable[str]) -> Iterator[PoolAttribute]:
        """Each once, in the order of the pools."""
        found = [attribute for name in names if name in self._loaded for attribute in self._loaded[name].attributes]
        return iter(dict.fromkeys(found))
