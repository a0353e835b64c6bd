"""Raw public keys (RFC 7670): which of the keys a peer may have is the one that signed."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from ikectl.auth.base import AuthContext
from ikectl.config.model import Remote
from ikectl.crypto.signature import Scheme
from ikectl.errors import AuthenticationFailed
from ikectl.iana.v2 import CertEncoding
from ikectl.sa.asks import Verify
from ikectl.wire.v2.identity import AUTH, CERT

MAX_KEY_OCTETS = 8192
"""Of a key that a peer sends; those of ML-DSA have 2.6 KiB."""


async def verify_raw(
    remote: Remote, context: AuthContext, auth: AUTH, certs: Sequence[CERT]
) -> tuple[bytes, Scheme] | None:
    """The key (SubjectPublicKeyInfo, DER) of `remote.pubkeys` that made AUTH, and how; None if none of them did.

    A peer that sends its key says which to try; none that it sends is
    trusted for that.
    """
    sent = [_spki(cert) for cert in certs]
    named = [spki for spki in remote.pubkeys if spki in sent]
    for spki in named or remote.pubkeys:
        try:
            return spki, await Verify(spki, auth.method, auth.data, context.octets_remote, context.our_hashes)
        except AuthenticationFailed:
            continue
    return None


def _spki(cert: CERT) -> bytes:
    """The key in a CERT payload as SubjectPublicKeyInfo; nothing if there is none."""
    if cert.encoding is CertEncoding.RAW_PUBLIC_KEY:
        return cert.data
    if cert.encoding is not CertEncoding.RAW_RSA_KEY or len(cert.data) > MAX_KEY_OCTETS:
        return b""
    try:
        key = load_der_public_key(cert.data)  # PKCS#1, of RFC 4306's encoding 11
    except (ValueError, UnsupportedAlgorithm):
        return b""
    return (
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) if isinstance(key, rsa.RSAPublicKey) else b""
    )


__all__ = ["verify_raw"]
