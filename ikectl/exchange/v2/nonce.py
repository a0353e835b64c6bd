"""Nonces: how long ours are, and how short the peer's may be (RFC 7296 §2.10)."""

from __future__ import annotations

from ikectl.crypto.prf import Prf
from ikectl.errors import PeerMisbehaved
from ikectl.wire.v2.keying import Nonce
from ikectl.wire.v2.message import Message

NONCE_OCTETS = 32
"""At least half the key size of every prf we know (RFC 7296 §2.10)."""


def nonce_of(message: Message, prf: Prf) -> bytes:
    """The peer's nonce. Raises PeerMisbehaved if it has less than half the key of the negotiated prf (§2.10)."""
    nonce = message.one(Nonce).value
    if 2 * len(nonce) < prf.key_octets:
        raise PeerMisbehaved(f"a nonce of {len(nonce)} octets; the prf needs {prf.key_octets // 2} at least")
    return nonce
