"""What every way of authenticating phase 1 is asked for, and what it gives back.

The modes (main, aggressive) know which message carries what; a method knows
how the key exchange and nonce travel, what SKEYID is made of, and what proves
HASH_I or HASH_R (RFC 2409 §5).
"""

from __future__ import annotations

from dataclasses import field

from ikectl.config.model import Local, Remote
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.values.identity import Identity
from ikectl.values.record import record
from ikectl.values.secret import Secret
from ikectl.wire.v1.identity import ID
from ikectl.wire.v1.keying import KE, Nonce
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.payload import Payload

NONCE_LENGTHS = range(8, 257)
"""What a peer's nonce may be long (RFC 2409 §5)."""


@record
class Keying:
    """What a peer's key exchange message holds."""

    public: bytes
    nonce: bytes = field(repr=False)
    """The body of its nonce payload, decrypted where it was encrypted."""
    identity: ID | None = None
    """Where the identity travels with the keys (public key encryption)."""
    id_body: bytes = b""
    """Its body as HASH_I or HASH_R covers it."""


class Authentication:
    """One method, in one phase 1. Facts are read from `sa`; nothing here changes them."""

    IDENTITY_WITH_KEYS = False
    """The identity travels encrypted beside the nonce, not with the proof (RFC 2409 §5.2, §5.3)."""

    async def say_keys(self, sa: IsakmpSa, public: bytes, nonce: bytes) -> list[Payload]:
        """The payloads that carry our public value and nonce (and identity). Raises CredentialError."""
        return [KE(public), Nonce(nonce)]

    async def hear_keys(self, sa: IsakmpSa, message: Message) -> Keying:
        """What the peer's message says of its keys. Raises PeerMisbehaved, AuthenticationFailed."""
        return Keying(message.one(KE).public, message.one(Nonce).value)

    async def own_identity(self, sa: IsakmpSa, local: Local) -> Identity:
        """The configured identity; else our address, or what the method knows better (swanctl's rule).

        Raises CredentialError.
        """
        return local.id or Identity.of_address(sa.path.local.address)

    async def skeyid(self, sa: IsakmpSa) -> Secret:
        """SKEYID, once nonces and g^xy (and the pre-shared key) are facts (RFC 2409 §5)."""
        raise NotImplementedError

    async def prove(self, sa: IsakmpSa, local: Local, hash: bytes) -> list[Payload]:
        """HASH, or CERTs and SIG, for our HASH_I or HASH_R. Raises CredentialError."""
        raise NotImplementedError

    async def verify(self, sa: IsakmpSa, message: Message, remote: Remote, hash: bytes) -> str:
        """Judge the peer's proof of its `hash`; returns how it proved itself, for the log.

        `sa.remote_id` is the identity it claims. Raises AuthenticationFailed,
        with a reason that is for the log alone.
        """
        raise NotImplementedError
