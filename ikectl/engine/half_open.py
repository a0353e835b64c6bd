"""HalfOpen: responders whose peer has yet to prove itself, counted by where they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from ikectl.engine.driver import Driver
from ikectl.values.path import site_of

AnyDriver = Driver[Any]


class HalfOpen:
    """Those of one version of IKE: what strangers make of the one costs the other nothing."""

    __slots__ = ("_by_first", "_by_site", "_keys", "_shown", "_tickets")

    def __init__(self) -> None:
        self._by_first: dict[tuple[bytes, bytes], tuple[AnyDriver, bytes]] = {}
        """With the message that made each, by the peer's SPI and address; the oldest first."""
        self._by_site: dict[bytes, dict[bytes, AnyDriver]] = {}
        """By site, then our SPI; the oldest first."""
        self._keys: dict[bytes, tuple[bytes, bytes]] = {}
        self._tickets: dict[bytes, bytes] = {}
        """Session tickets that were shown, by our SPI."""
        self._shown: Counter[bytes] = Counter()
        """In how many each of them."""

    def __len__(self) -> int:
        return len(self._keys)

    def of_site(self, address: bytes) -> int:
        """How many come from where that address is."""
        return len(self._by_site.get(site_of(address), ()))

    def made_by(self, spi_i: bytes, address: bytes) -> tuple[AnyDriver, bytes] | None:
        """The one of that SPI and address, and the first message of it."""
        return self._by_first.get((spi_i, address))

    def oldest(self, address: bytes | None = None) -> Iterator[AnyDriver]:
        """Those of a site, or all, the oldest first."""
        if address is not None:
            yield from self._by_site.get(site_of(address), {}).values()
        else:
            yield from (driver for driver, _ in self._by_first.values())

    def of_ticket(self, ticket: bytes) -> int:
        """How many were begun with that session ticket."""
        return self._shown.get(ticket, 0)

    def add(self, driver: AnyDriver, first: bytes, ticket: bytes = b"") -> None:
        """Count a responder; `first` is the message that made it, `ticket` what that shows."""
        sa = driver.sa
        key = sa.spi_i, sa.path.remote.address
        self._by_first[key] = driver, first
        self._keys[sa.our_spi] = key
        self._by_site.setdefault(site_of(key[1]), {})[sa.our_spi] = driver
        if ticket:
            self._tickets[sa.our_spi] = ticket
            self._shown[ticket] += 1

    def drop(self, driver: AnyDriver) -> None:
        """It went on, or it is gone; nothing happens if it was not counted."""
        key = self._keys.pop(driver.sa.our_spi, None)
        if key is None:
            return
        ticket = self._tickets.pop(driver.sa.our_spi, b"")
        if ticket:
            self._shown -= Counter((ticket,))
        known = self._by_first.get(key)
        if known is not None and known[0] is driver:
            del self._by_first[key]
        of_site = self._by_site[site_of(key[1])]
        del of_site[driver.sa.our_spi]
        if not of_site:
            del self._by_site[site_of(key[1])]
