"""Revocation: fetches what is missing to know whether a peer's certificates were revoked, and judges then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from ikectl.daemon.answers import Later
from ikectl.daemon.clock import wall
from ikectl.daemon.fetch import Fetcher
from ikectl.errors import IkectlError
from ikectl.pki.certificate import Certificate
from ikectl.pki.crl import MAX_CRL_OCTETS
from ikectl.pki.ocsp import MAX_RESPONSE_OCTETS
from ikectl.pki.revocation import Kind, Query, opened
from ikectl.pki.store import Store
from ikectl.sa.asks import CheckRevocation, OwnResponse

log = structlog.get_logger(__name__)

CHECK_WITHIN = 20.0
"""Seconds for one peer, however many sources there are: it waits, and repeats its message meanwhile."""


class RevocationChecks:
    """Answers `CheckRevocation` and `OwnResponse`. Checks of several peers that need the same wait for one fetch."""

    def __init__(
        self,
        store: Store,
        fetcher: Fetcher,
        random: Callable[[int], bytes],
        clock: Callable[[], datetime] = wall,
        within: float = CHECK_WITHIN,
    ) -> None:
        self._store = store
        self._revocations = store.revocations
        self._fetcher = fetcher
        self._random = random
        self._clock = clock
        self._within = within
        self._under_way: dict[tuple[object, ...], asyncio.Task[None]] = {}

    @property
    def later(self) -> Later:
        """What waits."""
        return {CheckRevocation: self.check, OwnResponse: self.own}

    async def check(self, ask: CheckRevocation) -> None:
        path = [Certificate.of_peer(der) for der in ask.path]
        try:
            async with asyncio.timeout(self._within):
                await self._learn(path)
        except TimeoutError:
            pass  # what is known by now must do; fetches under way still help the next peer
        at = self._clock()
        self._revocations.demand(path, ask.remote.revocation, at)
        for line in self._revocations.why_unknown(path, at):
            log.warning("not known whether revoked, but revocation = relaxed", certificate=line, group="cfg")

    async def own(self, ask: OwnResponse) -> bytes:
        leaf = Certificate.of_peer(ask.certificates[0])
        issuer = self._store.issuer_of(leaf)
        if issuer is None:
            return b""
        tried: set[tuple[object, ...]] = set()
        try:
            async with asyncio.timeout(self._within):
                while query := self._revocations.own_query(leaf, issuer, tried, self._clock()):
                    await self._once(query)
        except TimeoutError:
            pass  # the peer may well do without
        return self._revocations.response(leaf, issuer, self._clock()) or b""

    async def close(self) -> None:
        """Fetch no longer."""
        for task in list(self._under_way.values()):
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def _learn(self, path: Sequence[Certificate]) -> None:
        tried: set[tuple[object, ...]] = set()
        while query := self._revocations.next_query(path, tried, self._clock(), self._random):
            await self._once(query)

    async def _once(self, query: Query) -> None:
        task = self._under_way.get(query.about)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._fetch(query))
            self._under_way[query.about] = task
            task.add_done_callback(lambda _: self._under_way.pop(query.about, None))
        await asyncio.shield(task)

    async def _fetch(self, query: Query) -> None:
        try:
            octets = await self._octets(query)
        except IkectlError as error:
            self._revocations.give_up(query, str(error), self._clock())
            log.warning("not fetched", what=query.kind.value, uri=query.uri, why=str(error), group="cfg")
            return
        try:
            answer = octets if query.kind is Kind.OCSP else await asyncio.to_thread(opened, query, octets)
            self._revocations.learn(query, answer, self._clock())
        except IkectlError as error:
            self._revocations.give_up(query, str(error), self._clock())
            log.warning("fetched, but of no use", what=query.kind.value, uri=query.uri, why=str(error), group="cfg")
        else:
            log.info("fetched", what=query.kind.value, uri=query.uri, octets=len(octets), group="cfg")

    async def _octets(self, query: Query) -> bytes:
        if query.kind is Kind.OCSP:
            return await self._fetcher.post(query.uri, query.body, "application/ocsp-request", MAX_RESPONSE_OCTETS)
        return await self._fetcher.get(query.uri, MAX_CRL_OCTETS, local=query.configured)
