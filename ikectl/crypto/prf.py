"""Pseudo-random functions, and prf+ over them (RFC 7296 §2.13).

For an HMAC prf, prf+ is exactly HKDF-Expand (RFC 5869 §2.3): the same
concatenation, the same one-octet counter from 1. One library call replaces a
loop of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cryptography.hazmat.primitives.hashes import HashAlgorithm
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from ikectl.crypto.integrity import aes_cmac, aes_xcbc

MAX_ROUNDS = 255
"""prf+ is not defined beyond one octet of counter (RFC 7296 §2.13)."""


class Prf(Protocol):
    """prf and prf+ of one transform. Has no state and no key: instances are shared."""

    @property
    def octets(self) -> int:
        """Output length."""

    @property
    def key_octets(self) -> int:
        """The preferred key length: that of SK_d, SK_pi and SK_pr (RFC 7296 §2.14)."""

    @property
    def nonce_octets(self) -> int | None:
        """How much of each nonce keys SKEYSEED; None for all of it (RFC 7296 §2.14)."""

    def compute(self, key: bytes, data: bytes, /) -> bytes:
        """prf(key, data), with a key of any length."""

    def plus(self, key: bytes, seed: bytes, octets: int, /) -> bytes:
        """The first `octets` of prf+(key, seed). Raises ValueError beyond 255 rounds."""


class HmacPrf:
    """HMAC, uncut (RFC 2104, RFC 4868). Prefers a key as long as its output, takes any."""

    __slots__ = ("_hash", "key_octets", "octets")
    nonce_octets = None

    def __init__(self, hash_algorithm: HashAlgorithm) -> None:
        self._hash = hash_algorithm
        self.octets = self.key_octets = hash_algorithm.digest_size

    def compute(self, key: bytes, data: bytes) -> bytes:
        mac = HMAC(key, self._hash)  # half the time of the standard library's, which looks up the hash by its name
        mac.update(data)
        return mac.finalize()

    def plus(self, key: bytes, seed: bytes, octets: int) -> bytes:
        return HKDFExpand(self._hash, octets, seed).derive(key)


class AesPrf:
    """AES-128-XCBC (RFC 4434) or AES-128-CMAC (RFC 4615) as prf.

    The key has 128 bits. RFC 7296 §2.14 makes SKEYSEED from 64 bits of each
    nonce for these two; where keys of other lengths reach them (a pre-shared
    secret), each RFC says how to make 128 bits of it.
    """

    __slots__ = ("_fit", "_mac")
    octets = 16
    key_octets = 16
    nonce_octets = 8

    def __init__(self, mac: Callable[[bytes, bytes], bytes], fit: Callable[[bytes], bytes]) -> None:
        self._mac = mac
        self._fit = fit

    def compute(self, key: bytes, data: bytes) -> bytes:
        return self._mac(self._fit(key), data)

    def plus(self, key: bytes, seed: bytes, octets: int) -> bytes:
        rounds = -(-octets // self.octets)
        if rounds > MAX_ROUNDS:
            raise ValueError(f"prf+ cannot give {octets} octets")
        key = self._fit(key)
        block, blocks = b"", []
        for counter in range(1, rounds + 1):
            block = self._mac(key, b"%b%b%c" % (block, seed, counter))
            blocks.append(block)
        return b"".join(blocks)[:octets]


def fit_xcbc(key: bytes) -> bytes:
    """Shorter keys are padded with zeros, longer ones put through the MAC under a zero key (RFC 4434 §2)."""
    if len(key) > 16:
        return aes_xcbc(bytes(16), key)
    return key.ljust(16, b"\0")


def fit_cmac(key: bytes) -> bytes:
    """Any other length than 16 octets is put through the MAC under a zero key (RFC 4615 §3)."""
    return key if len(key) == 16 else aes_cmac(bytes(16), key)
