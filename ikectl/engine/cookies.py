"""Stateless cookies: a peer must show that it receives before we keep anything of it (RFC 7296 §2.6)."""

from __future__ import annotations

import hmac
from hashlib import sha256

from ikectl.sa.env import Random

SECRET_OCTETS = 32
LIFETIME = 120.0
"""Seconds a secret makes new cookies; it is accepted for as long again."""


class Cookies:
    """Cookie = version octet | HMAC-SHA256(secret, Ni | address | SPIi), as §2.6 suggests, cut to 20 octets."""

    __slots__ = ("_born_at", "_random", "_secrets", "_version")

    def __init__(self, random: Random) -> None:
        self._random = random
        self._secrets: dict[int, bytes] = {}
        self._version = 0
        self._born_at = 0.0

    def make(self, nonce: bytes, address: bytes, spi_i: bytes, now: float) -> bytes:
        """The cookie to demand."""
        if not self._secrets or now - self._born_at >= LIFETIME:
            fresh = (self._version + 1) % 256
            kept = {self._version: self._secrets[self._version]} if self._secrets else {}
            if now - self._born_at >= 2 * LIFETIME:
                kept = {}
            self._secrets = {**kept, fresh: self._random(SECRET_OCTETS)}
            self._version, self._born_at = fresh, now
        return self._cookie(self._version, nonce, address, spi_i)

    def good(self, cookie: bytes, nonce: bytes, address: bytes, spi_i: bytes, now: float) -> bool:
        """Whether we made that cookie for this peer not long ago."""
        if not cookie or cookie[0] not in self._secrets or now - self._born_at >= 2 * LIFETIME:
            return False
        return hmac.compare_digest(cookie, self._cookie(cookie[0], nonce, address, spi_i))

    def _cookie(self, version: int, nonce: bytes, address: bytes, spi_i: bytes) -> bytes:
        # Ni has a length of its own: the address behind it is told apart by its fixed length at the end.
        mac = hmac.digest(self._secrets[version], nonce + spi_i + address + bytes((len(address),)), sha256)
        return bytes((version,)) + mac[:19]
