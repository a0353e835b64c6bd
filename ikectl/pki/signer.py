"""Signer: a key this host may prove itself with, named but not held."""

from __future__ import annotations

from dataclasses import dataclass, field

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
    """DER: the leaf, then the intermediate CAs above it; no root."""
