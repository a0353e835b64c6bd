"""Signatures over HASH_I and HASH_R, and public key encryption, of IKEv1's phase 1 (RFC 2409 §5.1 to §5.3).

RSA signs the bare hash: what §5.1 calls a private key encryption in PKCS #1
format, without the DigestInfo that names a hash elsewhere. ECDSA takes the
hash for its digest (RFC 4754). DSS is not spoken.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    NoDigestInfo,
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)

from ikectl.crypto import transforms as table
from ikectl.crypto.prf import Prf
from ikectl.crypto.signature import PrivateKey, load_public_key
from ikectl.crypto.suite_v1 import IsakmpSuite
from ikectl.errors import AuthenticationFailed, CredentialError
from ikectl.iana.v1 import AuthMethod
from ikectl.iana.v2 import PrfId

REJECTED_OCTETS = 32
"""What stands for a text that could not be decrypted: as long as a nonce is likely to be."""

RSA_METHODS = frozenset(
    (
        AuthMethod.RSA_SIGNATURE,
        AuthMethod.XAUTH_INIT_RSA,
        AuthMethod.XAUTH_RESP_RSA,
        AuthMethod.HYBRID_INIT_RSA,
        AuthMethod.HYBRID_RESP_RSA,
    )
)

_ECDSA: dict[AuthMethod, tuple[str, hashes.HashAlgorithm, PrfId]] = {
    AuthMethod.ECDSA_256: ("secp256r1", hashes.SHA256(), PrfId.HMAC_SHA2_256),
    AuthMethod.ECDSA_384: ("secp384r1", hashes.SHA384(), PrfId.HMAC_SHA2_384),
    AuthMethod.ECDSA_521: ("secp521r1", hashes.SHA512(), PrfId.HMAC_SHA2_512),
}
"""Curve and hash of each method (RFC 4754 §3)."""


def hash_prf(method: AuthMethod, suite: IsakmpSuite) -> Prf:
    """The prf for HASH_I and HASH_R, and for nothing else.

    That of the suite, unless the signature has a hash of its own: then it is
    HMAC of that one (RFC 2409 §5.1), as with ECDSA.
    """
    own = _ECDSA.get(method)
    return table.PRF_BY_ID[own[2]].prf if own is not None else suite.prf


# -- signatures ----------------------------------------------------------------


def sign(key: PrivateKey, method: AuthMethod, hash: bytes) -> bytes:
    """The content of a SIG payload for HASH_I or HASH_R (RFC 2409 §5.1).

    Raises CredentialError if the key does not suit the method or is too short.
    """
    if method in RSA_METHODS and isinstance(key, rsa.RSAPrivateKey):
        try:
            return key.sign(hash, padding.PKCS1v15(), NoDigestInfo())
        except ValueError:
            raise CredentialError(f"the key is too short to sign {len(hash)} octets") from None
    own = _ECDSA.get(method)
    if own is None or not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != own[0]:
        raise CredentialError(f"the key cannot sign as {method}")
    algorithm = ec.ECDSA(Prehashed(own[1]), deterministic_signing=True)
    try:
        r, s = decode_dss_signature(key.sign(hash, algorithm))
    except ValueError:
        raise CredentialError(f"{method} does not sign a hash of {len(hash)} octets") from None
    octets = (key.key_size + 7) // 8
    return r.to_bytes(octets, "big") + s.to_bytes(octets, "big")


def verify(spki: bytes, method: AuthMethod, data: bytes, hash: bytes) -> None:
    """Check `data`, a SIG payload's, for HASH_I or HASH_R by the key of `spki` (DER), which a certificate vouches for.

    Raises AuthenticationFailed with a reason for the log.
    """
    key = load_public_key(spki)
    try:
        if method in RSA_METHODS and isinstance(key, rsa.RSAPublicKey):
            signed = key.recover_data_from_signature(data, padding.PKCS1v15(), None)
            if not hmac.compare_digest(signed, hash):
                raise InvalidSignature
            return
        own = _ECDSA.get(method)
        if own is None or not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != own[0]:
            raise AuthenticationFailed(f"the certificate's key is not of the kind that signs as {method}")
        key.verify(_der_form(data, key), hash, ec.ECDSA(Prehashed(own[1])))
    except (InvalidSignature, ValueError):
        raise AuthenticationFailed(f"the signature ({method}) does not verify with the certificate's key") from None


def _der_form(data: bytes, key: ec.EllipticCurvePublicKey) -> bytes:
    """Out of r | s, each as long as the group's order (RFC 4754 §7)."""
    octets = (key.key_size + 7) // 8
    if len(data) != 2 * octets:
        raise InvalidSignature
    return encode_dss_signature(int.from_bytes(data[:octets], "big"), int.from_bytes(data[octets:], "big"))


# -- public key encryption -----------------------------------------------------


def rsa_encrypt(spki: bytes, data: bytes) -> bytes:
    """`data`, the body of a payload, to the RSA key of `spki` in PKCS #1 format (RFC 2409 §5.2).

    The padding comes from the library's own randomness.

    Raises CredentialError if it is no RSA key, or too short for so many
    octets; AuthenticationFailed if it cannot be read.
    """
    key = load_public_key(spki)
    if not isinstance(key, rsa.RSAPublicKey):
        raise CredentialError("only an RSA key can be encrypted to")
    try:
        return key.encrypt(data, padding.PKCS1v15())
    except ValueError:
        raise CredentialError(f"a key of {key.key_size} bits cannot encrypt {len(data)} octets") from None


def rsa_decrypt(key: PrivateKey, data: bytes, random: Callable[[int], bytes]) -> bytes:
    """The body of a payload that was encrypted to our key (RFC 2409 §5.2).

    Never fails for what the peer sent: an answer that tells wrong padding from
    right is an oracle for our key (Bleichenbacher). The library gives octets
    made of key and ciphertext where the padding is wrong (implicit rejection);
    where it refuses, for the length, random ones stand in. The caller goes on
    with either, and HASH_I will not be right in the end. It must not tell
    them apart by their length or form either: an identity that cannot be read
    is to be refused as a wrong HASH is, at the same place.

    Raises CredentialError if the key is not RSA's.
    """
    if not isinstance(key, rsa.RSAPrivateKey):
        raise CredentialError("only an RSA key can decrypt")
    rejected = random(REJECTED_OCTETS)  # drawn always, so that nothing else shows in which way it went
    try:
        return key.decrypt(data, padding.PKCS1v15())
    except ValueError:
        return rejected
