"""Signatures in AUTH payloads: RFC 7296 §3.8, RFC 4754, RFC 7427, RFC 8420 and ML-DSA (FIPS 204).

Method 14 names its algorithm by a DER AlgorithmIdentifier before the
signature; the older methods fix it by their number. What a peer may write as
an identifier is known beforehand, encoding by encoding, so none is parsed.

ECDSA signs deterministically (RFC 6979), Ed25519 and Ed448 always do. RSA-PSS
takes its salt from the library, ML-DSA the randomness that hedges it (FIPS 204 §3.4).
ML-DSA is in the form of draft-ietf-ipsecme-ikev2-pqc-auth: pure, with an empty
context, and Identity as its hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key

from ikectl.errors import AuthenticationFailed, CredentialError
from ikectl.iana.v2 import AuthMethod, HashAlgorithm

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
)
PublicKey = (
    rsa.RSAPublicKey
    | ec.EllipticCurvePublicKey
    | ed25519.Ed25519PublicKey
    | ed448.Ed448PublicKey
    | mldsa.MLDSA44PublicKey
    | mldsa.MLDSA65PublicKey
    | mldsa.MLDSA87PublicKey
)

KEY_TYPES: tuple[tuple[str, type[PrivateKey], type[PublicKey], int], ...] = (
    # word       private key                  public key                  bits of every such key, 0: they differ
    ("rsa",     rsa.RSAPrivateKey,           rsa.RSAPublicKey,           0),
    ("ecdsa",   ec.EllipticCurvePrivateKey,  ec.EllipticCurvePublicKey,  0),
    ("ed25519", ed25519.Ed25519PrivateKey,   ed25519.Ed25519PublicKey,   256),
    ("ed448",   ed448.Ed448PrivateKey,       ed448.Ed448PublicKey,       456),
    ("mldsa44", mldsa.MLDSA44PrivateKey,     mldsa.MLDSA44PublicKey,     8 * 1312),
    ("mldsa65", mldsa.MLDSA65PrivateKey,     mldsa.MLDSA65PublicKey,     8 * 1952),
    ("mldsa87", mldsa.MLDSA87PrivateKey,     mldsa.MLDSA87PublicKey,     8 * 2592),
)  # fmt: skip
"""The keys that sign in IKE, by the words of `auth`."""

REMEMBERED_KEYS = 128
"""Public keys kept ready, about 1 KiB each: peers come back."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """A way to sign, as it can be negotiated. Hashable, pickles."""

    name: str
    method: AuthMethod
    key: str
    """Type of key: a word of KEY_TYPES."""
    hash: HashAlgorithm
    """IDENTITY for EdDSA (RFC 8420) and ML-DSA, which hash by themselves."""
    pss: bool = False
    curve: str = ""
    """The one curve of methods 9 to 11."""
    identifier: bytes = field(default=b"", repr=False)
    """DER AlgorithmIdentifier as we send it; empty but for method 14."""

    def __str__(self) -> str:
        return self.name


# -- AlgorithmIdentifiers (RFC 7427 appendix A, RFC 8420 §A, RFC 8410 §3) -----


def _der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes((tag, len(body))) + body


_NULL = bytes.fromhex("0500")
_OID_MGF1 = bytes.fromhex("06092a864886f70d010108")
_OID_PSS = bytes.fromhex("06092a864886f70d01010a")
_OID_ED25519 = bytes.fromhex("06032b6570")
_OID_ED448 = bytes.fromhex("06032b6571")
_OIDS_MLDSA = {
    # RFC 9881 §2
    "mldsa44": bytes.fromhex("0609608648016503040311"),
    "mldsa65": bytes.fromhex("0609608648016503040312"),
    "mldsa87": bytes.fromhex("0609608648016503040313"),
}


class _Hash(NamedTuple):
    """A hash, and the object identifiers (DER) of it, of PKCS#1 v1.5 with it and of ECDSA with it."""

    primitive: hashes.HashAlgorithm
    oid: bytes
    pkcs1: bytes
    ecdsa: bytes


def _hash(primitive: hashes.HashAlgorithm, *oids: str) -> _Hash:
    return _Hash(primitive, *map(bytes.fromhex, oids))


# fmt: off
_HASHES: dict[HashAlgorithm, _Hash] = {
    HashAlgorithm.SHA2_256: _hash(
        hashes.SHA256(), "0609608648016503040201", "06092a864886f70d01010b", "06082a8648ce3d040302"),
    HashAlgorithm.SHA2_384: _hash(
        hashes.SHA384(), "0609608648016503040202", "06092a864886f70d01010c", "06082a8648ce3d040303"),
    HashAlgorithm.SHA2_512: _hash(
        hashes.SHA512(), "0609608648016503040203", "06092a864886f70d01010d", "06082a8648ce3d040304"),
    HashAlgorithm.SHA1: _hash(
        hashes.SHA1(),   "06052b0e03021a",         "06092a864886f70d010105", "06072a8648ce3d0401"),
}
# fmt: on


def _pss_identifiers(hash_algorithm: HashAlgorithm) -> Iterable[bytes]:
    """The encodings in use, ours first: NULL or nothing as parameters of either hash, the trailer field or not.

    RFC 7427 §A.4 prints the trailer field, DER leaves a default out.
    """
    primitive, oid, _, _ = _HASHES[hash_algorithm]
    salt = _der(0xA2, _der(0x02, bytes((primitive.digest_size,))))
    for trailer in (b"", _der(0xA3, b"\x02\x01\x01")):
        for hash_parameters in (_NULL, b""):
            for mask_parameters in (_NULL, b""):
                hashing = _der(0xA0, _der(0x30, oid, hash_parameters))
                masking = _der(0xA1, _der(0x30, _OID_MGF1, _der(0x30, oid, mask_parameters)))
                yield _der(0x30, _OID_PSS, _der(0x30, hashing, masking, salt, trailer))


def _tables() -> tuple[dict[bytes, Scheme], list[Scheme]]:
    """Identifier -> scheme for what we accept, and the schemes themselves."""
    accepted: dict[bytes, Scheme] = {}
    schemes: list[Scheme] = []

    def add(name: str, key: str, hashing: HashAlgorithm, encodings: Iterable[bytes], pss: bool = False) -> None:
        ours, *others = encodings
        scheme = Scheme(name, AuthMethod.DIGITAL_SIGNATURE, key, hashing, pss, "", ours)
        schemes.append(scheme)
        accepted.update(dict.fromkeys((ours, *others), scheme))

    for hashing, (_, _, pkcs1, ecdsa) in _HASHES.items():
        word = hashing.name
        if hashing is not HashAlgorithm.SHA1:
            add(f"RSA_EMSA_PSS_{word}", "rsa", hashing, _pss_identifiers(hashing), pss=True)
        # RFC 4055 §5: NULL is sent, absent is accepted. RFC 5758 §3.2: absent is sent.
        add(f"RSA_EMSA_PKCS1_{word}", "rsa", hashing, (_der(0x30, pkcs1, _NULL), _der(0x30, pkcs1)))
        add(f"ECDSA_WITH_{word}", "ecdsa", hashing, (_der(0x30, ecdsa), _der(0x30, ecdsa, _NULL)))
    # RFC 8410 §3: parameters MUST be absent.
    add("ED25519", "ed25519", HashAlgorithm.IDENTITY, (_der(0x30, _OID_ED25519),))
    add("ED448", "ed448", HashAlgorithm.IDENTITY, (_der(0x30, _OID_ED448),))
    for kind, oid in _OIDS_MLDSA.items():
        # RFC 9881 §2: parameters MUST be absent.
        add(f"ML_DSA_{kind[-2:]}", kind, HashAlgorithm.IDENTITY, (_der(0x30, oid),))
    return accepted, schemes


_ACCEPTED, SCHEMES = _tables()

# fmt: off
OLD_SCHEMES: dict[AuthMethod, Scheme] = {
    scheme.method: scheme
    for scheme in (
        Scheme("RSA_SHA1",  AuthMethod.RSA_SIGNATURE, "rsa",   HashAlgorithm.SHA1),
        Scheme("ECDSA_256", AuthMethod.ECDSA_256,     "ecdsa", HashAlgorithm.SHA2_256, curve="secp256r1"),
        Scheme("ECDSA_384", AuthMethod.ECDSA_384,     "ecdsa", HashAlgorithm.SHA2_384, curve="secp384r1"),
        Scheme("ECDSA_521", AuthMethod.ECDSA_521,     "ecdsa", HashAlgorithm.SHA2_512, curve="secp521r1"),
    )
}
# fmt: on
"""What the methods older than RFC 7427 stand for when we sign."""

_RSA_METHOD: tuple[Scheme, ...] = (
    OLD_SCHEMES[AuthMethod.RSA_SIGNATURE],
    *(
        Scheme(f"RSA_{hashing.name}", AuthMethod.RSA_SIGNATURE, "rsa", hashing)
        for hashing in (HashAlgorithm.SHA2_256, HashAlgorithm.SHA2_384, HashAlgorithm.SHA2_512)
    ),
)
"""Method 1 says SHA-1 by default and leaves others to the sender (RFC 7296 §3.8)."""


# -- choosing ------------------------------------------------------------------


def schemes_for(key: PublicKey, peer_hashes: Sequence[HashAlgorithm] | None) -> list[Scheme]:
    """Schemes that suit the key and the peer, best first; empty if none does.

    `peer_hashes` is its SIGNATURE_HASH_ALGORITHMS; None if either end sent
    none, which leaves the older methods (RFC 7427 §4).
    """
    kind = key_type(key)
    if peer_hashes is None:
        return [s for s in OLD_SCHEMES.values() if s.key == kind and s.curve in ("", _curve(key))]
    rank = {hashing: index for index, hashing in enumerate(_hash_order(key))}
    fitting = [s for s in SCHEMES if s.key == kind and s.hash in peer_hashes and _long_enough(key, s)]
    return sorted(fitting, key=lambda scheme: (scheme.hash is HashAlgorithm.SHA1, not scheme.pss, rank[scheme.hash]))


def _hash_order(key: PublicKey) -> tuple[HashAlgorithm, ...]:
    """Hashes by how well their strength meets the key's (SP 800-57 part 1, table 2), SHA-1 last."""
    bits = key.key_size if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) else 0
    steps = (3072, 7680) if isinstance(key, rsa.RSAPublicKey) else (256, 384)
    h = HashAlgorithm
    if bits <= steps[0]:
        order = (h.SHA2_256, h.SHA2_384, h.SHA2_512)
    elif bits <= steps[1]:
        order = (h.SHA2_384, h.SHA2_512, h.SHA2_256)
    else:
        order = (h.SHA2_512, h.SHA2_384, h.SHA2_256)
    return (*order, h.SHA1, h.IDENTITY)


def _long_enough(key: PublicKey, scheme: Scheme) -> bool:
    """A short modulus has no room for hash, salt and padding (RFC 8017 §9.1.1)."""
    if not isinstance(key, rsa.RSAPublicKey):
        return True
    digest = _HASHES[scheme.hash].primitive.digest_size
    return key.key_size >= 8 * (2 * digest + 2) + 1 if scheme.pss else key.key_size >= 8 * (digest + 30)


def key_type(key: PublicKey | PrivateKey) -> str:
    """The word of KEY_TYPES for a key."""
    return next(word for word, private, public, _ in KEY_TYPES if isinstance(key, private | public))


def _curve(key: PublicKey) -> str:
    return key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else ""


# -- signing -------------------------------------------------------------------


def sign(key: PrivateKey, scheme: Scheme, octets: bytes) -> bytes:
    """The bare signature; `auth_payload_data` puts the identifier before it.

    Raises CredentialError if the key does not suit the scheme.
    """
    if key_type(key) != scheme.key:
        raise CredentialError(f"a key of type {key_type(key)} cannot sign as {scheme.name}")
    try:
        match key:
            case rsa.RSAPrivateKey():
                return key.sign(octets, _padding(scheme), _HASHES[scheme.hash].primitive)
            case ec.EllipticCurvePrivateKey():
                algorithm = ec.ECDSA(_HASHES[scheme.hash].primitive, deterministic_signing=True)
                signature = key.sign(octets, algorithm)
                return _fixed_form(signature, key, scheme) if scheme.curve else signature
            case _:
                return key.sign(octets)
    except ValueError:
        raise CredentialError(f"the key is too short to sign as {scheme.name}") from None


def auth_payload_data(scheme: Scheme, signature: bytes) -> bytes:
    """The Authentication Data field: for method 14 the identifier and its length go first (RFC 7427 §3)."""
    if scheme.method is not AuthMethod.DIGITAL_SIGNATURE:
        return signature
    return bytes((len(scheme.identifier),)) + scheme.identifier + signature


def _padding(scheme: Scheme) -> padding.AsymmetricPadding:
    if not scheme.pss:
        return padding.PKCS1v15()
    primitive = _HASHES[scheme.hash].primitive
    return padding.PSS(padding.MGF1(primitive), primitive.digest_size)


def _fixed_form(signature: bytes, key: ec.EllipticCurvePrivateKey, scheme: Scheme) -> bytes:
    """r | s, each as long as the group's order (RFC 4754 §7)."""
    if key.curve.name != scheme.curve:
        raise CredentialError(f"a key on {key.curve.name} cannot sign as {scheme.name}")
    octets = (key.key_size + 7) // 8
    r, s = decode_dss_signature(signature)
    return r.to_bytes(octets, "big") + s.to_bytes(octets, "big")


# -- verifying -----------------------------------------------------------------


def verify(
    spki: bytes,
    method: AuthMethod,
    data: bytes,
    octets: bytes,
    allowed_hashes: Sequence[HashAlgorithm],
) -> Scheme:
    """The scheme by which `data`, an AUTH payload's, is a good signature over `octets`.

    `spki` is the peer's SubjectPublicKeyInfo (DER), which its certificate
    vouches for. `allowed_hashes` are those we announced: method 14 may use no
    other (RFC 7427 §4); the older methods fix theirs.

    Raises AuthenticationFailed with a reason for the log.
    """
    key = load_public_key(spki)
    if method is AuthMethod.DIGITAL_SIGNATURE:
        identifier, signature = data[1 : 1 + data[0]] if data else b"", data[1 + data[0] :] if data else b""
        scheme = _ACCEPTED.get(identifier)
        if scheme is None:
            raise AuthenticationFailed(f"signed by an algorithm we do not know: {identifier[:80].hex()}")
        if scheme.hash not in allowed_hashes:
            raise AuthenticationFailed(f"signed as {scheme.name}, whose hash we did not announce")
        candidates: tuple[Scheme, ...] = (scheme,)
    elif method in OLD_SCHEMES:
        signature = data
        candidates = _RSA_METHOD if method is AuthMethod.RSA_SIGNATURE else (OLD_SCHEMES[method],)
    else:
        raise AuthenticationFailed(f"{method} is no signature method we know")
    for scheme in candidates:
        if _good(key, scheme, signature, octets):
            return scheme
    raise AuthenticationFailed(f"the signature ({candidates[0].name}) does not verify with the certificate's key")


def _good(key: PublicKey, scheme: Scheme, signature: bytes, octets: bytes) -> bool:
    if key_type(key) != scheme.key:
        raise AuthenticationFailed(f"signed as {scheme.name}, but the certificate's key is of type {key_type(key)}")
    try:
        match key:
            case rsa.RSAPublicKey():
                key.verify(signature, octets, _padding(scheme), _HASHES[scheme.hash].primitive)
            case ec.EllipticCurvePublicKey():
                if scheme.curve:
                    signature = _der_form(signature, key, scheme)
                key.verify(signature, octets, ec.ECDSA(_HASHES[scheme.hash].primitive))
            case _:
                key.verify(signature, octets)
    except (InvalidSignature, ValueError):
        return False
    return True


def _der_form(signature: bytes, key: ec.EllipticCurvePublicKey, scheme: Scheme) -> bytes:
    octets = (key.key_size + 7) // 8
    if key.curve.name != scheme.curve:
        raise AuthenticationFailed(f"signed as {scheme.name}, but the certificate's key is on {key.curve.name}")
    if len(signature) != 2 * octets:
        raise InvalidSignature
    return encode_dss_signature(int.from_bytes(signature[:octets], "big"), int.from_bytes(signature[octets:], "big"))


@lru_cache(REMEMBERED_KEYS)
def load_public_key(spki: bytes) -> PublicKey:
    """The key of a SubjectPublicKeyInfo (DER). Raises AuthenticationFailed if it is none that signs in IKE."""
    try:
        key = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        raise AuthenticationFailed("the certificate's key cannot be read") from None
    if not isinstance(key, PublicKey):
        raise AuthenticationFailed("the certificate's key is of a type that does not sign in IKE")
    return key
