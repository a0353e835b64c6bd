"""Integrity algorithms: a MAC under a key of fixed length, cut to the length the transform says.

HMAC by RFC 2104 with the truncations of RFC 2403, 2404 and 4868; AES-XCBC-MAC
by RFC 3566; AES-CMAC by RFC 4493 and 4494.
"""

from __future__ import annotations

import hmac
from typing import Protocol

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from ikectl.errors import IntegrityFailure

AES_BLOCK_OCTETS = 16


class Mac(Protocol):
    """A keyed checksum."""

    @property
    def key_octets(self) -> int:
        """The one key length the transform uses."""

    @property
    def icv_octets(self) -> int:
        """Octets that go on the wire."""

    def compute(self, key: bytes, octets: bytes, /) -> bytes:
        """The ICV of `octets`, cut to `icv_octets`."""


def verify(mac: Mac, key: bytes, octets: bytes, icv: bytes) -> None:
    """Compare in constant time. Raises IntegrityFailure."""
    if not hmac.compare_digest(mac.compute(key, octets), icv):
        raise IntegrityFailure("the integrity check value does not match")


class Hmac:
    """HMAC with a hash of `hashlib`. The key is as long as the hash's output (RFC 4868 §2.1.1)."""

    __slots__ = ("_digest", "icv_octets", "key_octets")

    def __init__(self, digest: str, key_octets: int, icv_octets: int) -> None:
        self._digest = digest
        self.key_octets = key_octets
        self.icv_octets = icv_octets

    def compute(self, key: bytes, octets: bytes) -> bytes:
        return hmac.digest(key, octets, self._digest)[: self.icv_octets]


class Cmac:
    """AES-128-CMAC, cut to 96 bits (RFC 4494)."""

    key_octets = 16
    icv_octets = 12

    def compute(self, key: bytes, octets: bytes) -> bytes:
        return aes_cmac(key, octets)[: self.icv_octets]


class Xcbc:
    """AES-128-XCBC-MAC, cut to 96 bits (RFC 3566)."""

    key_octets = 16
    icv_octets = 12

    def compute(self, key: bytes, octets: bytes) -> bytes:
        return aes_xcbc(key, octets)[: self.icv_octets]


def aes_cmac(key: bytes, octets: bytes) -> bytes:
    """AES-CMAC, all 16 octets (RFC 4493). `key` has 16 octets."""
    mac = CMAC(algorithms.AES128(key))
    mac.update(octets)
    return mac.finalize()


def aes_xcbc(key: bytes, octets: bytes) -> bytes:
    """AES-XCBC-MAC, all 16 octets (RFC 3566 §4). `key` has 16 octets.

    It is CBC-MAC under a derived key, with the last block whitened by one of
    two others; so the library's CBC mode does the work.
    """
    derive = Cipher(algorithms.AES128(key), modes.ECB()).encryptor()
    chain, whole, padded = (derive.update(bytes((n,)) * AES_BLOCK_OCTETS) for n in (1, 2, 3))
    missing = -len(octets) % AES_BLOCK_OCTETS if octets else AES_BLOCK_OCTETS
    if missing:
        octets = octets + b"\x80" + bytes(missing - 1)
    last = _xor(octets[-AES_BLOCK_OCTETS:], padded if missing else whole)
    cbc = Cipher(algorithms.AES128(chain), modes.CBC(bytes(AES_BLOCK_OCTETS))).encryptor()
    return cbc.update(octets[:-AES_BLOCK_OCTETS] + last)[-AES_BLOCK_OCTETS:]


def _xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(len(a), "big")
