"""The certificates in a message of IKEv1: which of them is the peer's own, and which help (RFC 4945 §3.3)."""

from __future__ import annotations

import warnings

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from ikectl.errors import CredentialError
from ikectl.iana.v1 import CertEncoding
from ikectl.pki.certificate import MAX_CERTIFICATE_OCTETS, Certificate
from ikectl.pki.chain import MAX_PEER_CERTIFICATES
from ikectl.values.identity import Identity
from ikectl.wire.v1.identity import CERT
from ikectl.wire.v1.message import Message


def peer_chain(message: Message, identity: Identity) -> tuple[bytes, ...]:
    """The certificates (DER) a peer sent, that of `identity` first.

    CRLs and whatever else is no certificate are left out (RFC 4945 §3.3.10).
    Their order means nothing there, and in PKCS#7 it has none (§3.3.10.3).
    """
    found: dict[bytes, None] = {}
    for payload in message.all(CERT):
        if payload.encoding == CertEncoding.X509_SIGNATURE and payload.data:
            found[payload.data] = None
        elif payload.encoding == CertEncoding.PKCS7_X509:
            found.update(dict.fromkeys(_unwrap(payload.data)))
        if len(found) >= MAX_PEER_CERTIFICATES:
            break
    chain = list(found)[:MAX_PEER_CERTIFICATES]
    own = next((der for der in chain if _is_of(der, identity)), None)
    if own is not None:
        chain.remove(own)
        chain.insert(0, own)
    return tuple(chain)


def _is_of(der: bytes, identity: Identity) -> bool:
    """Whether this is an end entity's certificate that speaks for `identity`."""
    try:
        certificate = Certificate.of_peer(der)
    except CredentialError:
        return False
    return not certificate.is_ca and certificate.confirms(identity)


def _unwrap(octets: bytes) -> list[bytes]:
    """The certificates in a PKCS#7 SignedData without content, as Windows sends its chain (RFC 4945 §3.3.4)."""
    if len(octets) > MAX_CERTIFICATE_OCTETS * MAX_PEER_CERTIFICATES:
        return []
    try:
        with warnings.catch_warnings():
            # Of what is no DER the library would try to make sense as BER, and says so: not with a stranger's octets.
            warnings.filterwarnings("error", "PKCS#7", UserWarning)
            warnings.filterwarnings("ignore", "Parsed a serial number", UserWarning)
            certificates = pkcs7.load_der_pkcs7_certificates(octets)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, UserWarning):
        return []
    return [each.public_bytes(serialization.Encoding.DER) for each in certificates[:MAX_PEER_CERTIFICATES]]


__all__ = ["peer_chain"]
