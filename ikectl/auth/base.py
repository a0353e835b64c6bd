"""What every authentication method is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ikectl.config.model import Local, Remote
from ikectl.crypto.prf import Prf
from ikectl.iana.v2 import HashAlgorithm
from ikectl.values.identity import Identity
from ikectl.values.path import Path
from ikectl.values.record import record
from ikectl.values.secret import NO_SECRET, Secret
from ikectl.wire.v2.auth_methods import ProofMethod
from ikectl.wire.v2.identity import AUTH, CERT

ANNOUNCED_HASHES = (
    HashAlgorithm.SHA2_256,
    HashAlgorithm.SHA2_384,
    HashAlgorithm.SHA2_512,
    HashAlgorithm.IDENTITY,
)
"""What our SIGNATURE_HASH_ALGORITHMS lists: all we verify (RFC 7427 §4, RFC 8420 §2)."""


class CertPolicy(NamedTuple):
    """What of certificates goes out with our AUTH, and what of the peer's is looked at."""

    send: bool = True
    """CERT payloads go out (send_cert, and whether the peer asked)."""
    send_ocsp: bool = False
    """An OCSP response about our certificate goes out with it (RFC 4806)."""
    send_uris: bool = False
    """A certificate that is published goes out as hash and URL (RFC 7296 §3.6)."""
    uris: tuple[str, ...] = ()
    """Beginnings of URIs from which the peer's may be fetched."""
    send_raw_key: bool = False
    """A raw public key goes out: only to peers that ask for such (RFC 7670 §3), or always."""
    hear_ocsp: bool = False
    """The peer's OCSP responses are looked at: only where we ask for them."""


BY_DEFAULT = CertPolicy()


@record
class AuthContext:
    """The facts of one IKE_SA that authentication rests on."""

    prf: Prf
    octets_local: bytes
    """What our AUTH covers (`octets.signed_octets`)."""
    octets_remote: bytes
    """What the peer's AUTH covers; empty while we prove and have not heard it yet."""
    local_id: Identity
    remote_id: Identity
    """As in the peer's ID payload, or whom we expect while it has not said."""
    path: Path
    peer_hashes: tuple[HashAlgorithm, ...] | None = None
    """The peer's SIGNATURE_HASH_ALGORITHMS; None if it sent none or we sent none (RFC 7427 §4)."""
    our_hashes: tuple[HashAlgorithm, ...] = ANNOUNCED_HASHES
    """Those we announced."""
    methods: frozenset[ProofMethod] | None = None
    """By what the peer takes our proof; None if it does not say (RFC 9593)."""
    authorities: tuple[bytes, ...] = ()
    """SHA-1 hashes of the CAs the peer's CERTREQ payloads named; empty: any."""
    certs: CertPolicy = BY_DEFAULT
    """Of both ends; nothing of it matters where neither proves itself by a key pair."""
    sk_local: Secret = NO_SECRET
    """SK_pi or SK_pr, ours, and the peer's: the keys of AUTH where nothing else makes one (RFC 7296 §2.16)."""
    sk_remote: Secret = NO_SECRET
    shared_key: Secret | None = None
    """prf(secret, "Key Pad for IKEv2"), once it was found: the same serves both directions."""


@record
class Proof:
    """Our AUTH payload and what travels with it."""

    auth: AUTH
    certs: list[CERT]
    note: str
    """How, for the log: `pre-shared key`, `RSA_EMSA_PSS_SHA2_256`."""


class Method(Protocol):
    """An authentication method; without state, one object serves every SA."""

    async def prove(self, local: Local, context: AuthContext) -> Proof:
        """Our side of it. Raises AuthenticationFailed with a reason for the log alone."""

    async def verify(self, remote: Remote, context: AuthContext, auth: AUTH, certs: Sequence[CERT]) -> str:
        """Judge the peer's side; returns how it proved itself, for the log.

        Raises AuthenticationFailed. Every failure is alike outside: only its
        text, which never leaves the log, tells a wrong secret from an unknown
        identity or a bad certificate.
        """
