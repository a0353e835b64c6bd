"""Stateless cookies: a peer must show that it receives before we keep anything of it (RFC 7296 §2.6).

A cookie also remembers what was asked with it: nothing else, or a puzzle and which (RFC 8019 §7.1.1.3).
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from struct import Struct

from ikectl.sa.env import Random
from ikectl.wire.v2.puzzle import Demand, prf_id

SECRET_OCTETS = 32
LIFETIME = 120.0
"""Seconds a secret makes new cookies; it is accepted for as long again."""
MAC_OCTETS = 16
NO_PUZZLE = Demand(prf_id(0), 0)
"""What a cookie remembers that came alone: prf 0 is reserved."""
_HEAD = Struct("!BHB")  # version of the secret, PRF, difficulty


class Cookies:
    """Cookie = version | prf | bits | HMAC-SHA256(secret, Ni | SPIi | address | prf | bits), cut to 16 octets."""

    __slots__ = ("_born_at", "_random", "_secrets", "_version")

    def __init__(self, random: Random) -> None:
        self._random = random
        self._secrets: dict[int, bytes] = {}
        self._version = 0
        self._born_at = 0.0

    def make(self, nonce: bytes, address: bytes, spi_i: bytes, now: float, demand: Demand = NO_PUZZLE) -> bytes:
        """The cookie to demand, with that puzzle if any."""
        if not self._secrets or now - self._born_at >= LIFETIME:
            fresh = (self._version + 1) % 256
            kept = {self._version: self._secrets[self._version]} if self._secrets else {}
            if now - self._born_at >= 2 * LIFETIME:
                kept = {}
            self._secrets = {**kept, fresh: self._random(SECRET_OCTETS)}
            self._version, self._born_at = fresh, now
        return self._cookie(self._version, nonce, address, spi_i, demand)

    def asked_with(self, cookie: bytes, nonce: bytes, address: bytes, spi_i: bytes, now: float) -> Demand | None:
        """What was asked with a cookie that we made for this peer not long ago; None if we did not."""
        if len(cookie) != _HEAD.size + MAC_OCTETS or now - self._born_at >= 2 * LIFETIME:
            return None
        version, number, bits = _HEAD.unpack_from(cookie)
        if version not in self._secrets:
            return None
        demand = Demand(prf_id(number), bits)
        ours = self._cookie(version, nonce, address, spi_i, demand)
        return demand if hmac.compare_digest(cookie, ours) else None

    def _cookie(self, version: int, nonce: bytes, address: bytes, spi_i: bytes, demand: Demand) -> bytes:
        head = _HEAD.pack(version, *demand)
        # Ni has a length of its own: what is behind it is told apart by its fixed length, or says it, from the end.
        text = b"%b%b%b%c%b" % (nonce, spi_i, address, len(address), head)
        return head + hmac.digest(self._secrets[version], text, sha256)[:MAC_OCTETS]
