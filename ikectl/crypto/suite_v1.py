"""The suite of an IKEv1 phase 1: cipher, hash and group (RFC 2409 §4).

Phase 1 protects messages by CBC without an integrity algorithm; what proves a
message is the HASH inside it. The negotiated hash serves twice: bare for IVs,
NAT detection and public key encryption, and as HMAC for everything the RFC
calls prf.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache

from ikectl.crypto import transforms as table
from ikectl.crypto.keywords import name_of
from ikectl.crypto.prf import Prf
from ikectl.errors import IntegrityFailure
from ikectl.iana.v2 import KeyExchangeMethod, PrfId, TransformType
from ikectl.wire.v2.sa import Transform

REMEMBERED_SUITES = 512

_HASH_NAMES = {
    PrfId.HMAC_MD5: "md5",
    PrfId.HMAC_SHA1: "sha1",
    PrfId.HMAC_SHA2_256: "sha256",
    PrfId.HMAC_SHA2_384: "sha384",
    PrfId.HMAC_SHA2_512: "sha512",
}


@dataclass(frozen=True, slots=True)
class IsakmpSuite:
    """The algorithms of one ISAKMP SA. Shared: `of` gives one instance for each distinct suite."""

    encryption: table.Encryption
    prf_row: table.PrfRow
    ke: KeyExchangeMethod
    prf: Prf = field(repr=False, compare=False)
    """HMAC of the negotiated hash (RFC 2409 §4)."""
    hash_name: str = field(repr=False, compare=False)
    """Of `hashlib`."""

    @staticmethod
    def of(encryption: table.Encryption, prf_row: table.PrfRow, ke: KeyExchangeMethod) -> IsakmpSuite:
        """The suite of three rows. Raises ValueError for what IKEv1 has no number for in phase 1."""
        return _suite(encryption, prf_row, ke)

    @property
    def block_octets(self) -> int:
        """Messages are padded to a multiple of this; an IV is one block (RFC 2409 App. B)."""
        return self.encryption.block_octets

    def digest(self, octets: bytes) -> bytes:
        """The negotiated hash itself."""
        return hashlib.new(self.hash_name, octets, usedforsecurity=False).digest()

    def encrypt(self, key: bytes, iv: bytes, plain: bytes) -> bytes:
        """CBC over whole blocks; the padding is the caller's."""
        assert self.encryption.block is not None
        return self.encryption.block.encrypt(key, iv, plain)

    def decrypt(self, key: bytes, iv: bytes, data: bytes) -> bytes:
        """CBC over whole blocks, padding included. Raises IntegrityFailure if `data` is not one block or more."""
        assert self.encryption.block is not None
        if not data or len(data) % self.block_octets:
            raise IntegrityFailure("the encrypted part is not made of whole blocks")
        return self.encryption.block.decrypt(key, iv, data)

    def __str__(self) -> str:
        exchange = Transform(TransformType.KE, self.ke)
        return "/".join(name_of(each) for each in (self.encryption.transform, self.prf_row.transform, exchange))


@lru_cache(REMEMBERED_SUITES)
def _suite(encryption: table.Encryption, prf_row: table.PrfRow, ke: KeyExchangeMethod) -> IsakmpSuite:
    group = table.KE_BY_METHOD.get(ke)
    if not encryption.v1_ike or encryption.block is None:
        raise ValueError(f"{name_of(encryption.transform)} has no number in an IKEv1 phase 1")
    if prf_row.id not in _HASH_NAMES or not prf_row.v1_hash:
        raise ValueError(f"{prf_row.name} has no number in an IKEv1 phase 1")
    if group is None or not group.v1_group:
        raise ValueError(f"{ke} has no number in an IKEv1 phase 1")
    return IsakmpSuite(encryption, prf_row, ke, prf_row.prf, _HASH_NAMES[prf_row.id])
