"""What a CA signed, as it stands in the DER: a CRL may have many MiB, and writing it anew takes ten times as long."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509.oid import SignatureAlgorithmOID

from ikectl.crypto.signature import PublicKey

_INTEGER = 0x02
_EDWARDS = (
    (ed25519.Ed25519PublicKey, SignatureAlgorithmOID.ED25519),
    (ed448.Ed448PublicKey, SignatureAlgorithmOID.ED448),
)


def _element(der: bytes, at: int) -> tuple[int, int]:
    """Where the contents of the element at `at` begin and end. It was read by a strict parser before."""
    length = der[at + 1]
    if length < 0x80:
        return at + 2, at + 2 + length
    begins = at + 2 + (length & 0x7F)
    return begins, begins + int.from_bytes(der[at + 2 : begins])


def signed_part(der: bytes) -> tuple[bytes, bool]:
    """The TBSCertList of a CRL (RFC 5280 §5.1) in DER, and whether it names the algorithm that it was signed with.

    `der` is one that the library has read without complaint.
    """
    tbs_at, _ = _element(der, 0)
    version_at, tbs_ends = _element(der, tbs_at)
    _, algorithm_ends = _element(der, tbs_ends)
    inner_at = _element(der, version_at)[1] if der[version_at] == _INTEGER else version_at
    _, inner_ends = _element(der, inner_at)
    # §5.1.1.2: both must be the same, or the algorithm could be exchanged.
    return der[tbs_at:tbs_ends], der[inner_at:inner_ends] == der[tbs_ends:algorithm_ends]


def is_signed_by(crl: x509.CertificateRevocationList, der: bytes, key: PublicKey) -> bool:
    """Whether that key signed the CRL, which `der` is. Raises ValueError, TypeError, UnsupportedAlgorithm: it cannot be
    said, for the key is of another kind than the signature, or of one that is not known.
    """
    parameters = crl.signature_algorithm_parameters
    tbs, same = signed_part(der)
    if not same:
        return False
    try:
        if isinstance(key, rsa.RSAPublicKey) and isinstance(parameters, padding.PKCS1v15 | padding.PSS):
            hashing = crl.signature_hash_algorithm
            if hashing is None:
                raise ValueError("it names no hash")
            key.verify(crl.signature, tbs, parameters, hashing)
        elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(parameters, ec.ECDSA):
            key.verify(crl.signature, tbs, parameters)
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) and any(
            isinstance(key, kind) and crl.signature_algorithm_oid == oid for kind, oid in _EDWARDS
        ):
            key.verify(crl.signature, tbs)
        else:
            raise ValueError("the key is of another kind than the signature")
    except InvalidSignature:
        return False
    return True


__all__ = ["is_signed_by", "signed_part"]
