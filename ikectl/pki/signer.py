"""Signer: a key this host may prove itself with, named but not held."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple

from ikectl.crypto.signature import Scheme
from ikectl.values.identity import Identity


@dataclass(frozen=True, slots=True)
class Signer:
    """A key we may sign with: a handle, never the key."""

    key_id: str
    """Hex SHA-1 of the subjectPublicKey bits."""
    scheme: Scheme
    identity: Identity
    """Subject DN of the leaf, for configurations that name no identity."""
    certificates: tuple[bytes, ...] = field(repr=False)
    """DER: the leaf, then the intermediate CAs above it; no root. None for a raw public key."""
    uris: tuple[str, ...] = ()
    """Where each of them is published; empty where it is not."""
    public_key: bytes = field(default=b"", repr=False)
    """SubjectPublicKeyInfo (DER) of a raw public key (RFC 7670); empty where there are certificates."""


class Fingerprint(NamedTuple):
    """A hash over the DER of a certificate, as HASH(1) carries it (RFC 2409 §5.2)."""

    algorithm: str
    """Of `hashlib`."""
    digest: bytes

    def is_of(self, der: bytes) -> bool:
        """Whether that certificate is meant."""
        return hashlib.new(self.algorithm, der, usedforsecurity=False).digest() == self.digest


@dataclass(frozen=True, slots=True)
class IsakmpSigner:
    """A key that phase 1 of IKEv1 may sign or decrypt with: a handle, never the key."""

    key_id: str
    """Hex SHA-1 of the subjectPublicKey bits."""
    bits: int
    identity: Identity
    """Subject DN of the leaf, for configurations that name no identity."""
    certificates: tuple[bytes, ...] = field(repr=False)
    """DER: the leaf, then the intermediate CAs above it; no root."""
