"""Certificate: what IKE needs to know of an X.509 certificate, read once.

Reading judges nothing but the form: whether a certificate may be trusted, and
when, is `pki.chain`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Self, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, PublicKeyAlgorithmOID, SignatureAlgorithmOID
from OpenSSL import crypto as openssl

from ikectl.crypto.signature import KEY_TYPES, PublicKey, key_type
from ikectl.errors import CredentialError
from ikectl.iana.v2 import IdType
from ikectl.pki.pointers import Pointers
from ikectl.values.identity import Identity

MAX_CERTIFICATE_OCTETS = 16 * 1024
"""Certificates with the keys IKE signs with have 0.5 to 4 KiB."""

MAX_NAMES = 256
"""Subject alternative names read of one certificate; more are refused."""

_LOAD_DER = x509.load_der_x509_certificate
_CACHED_PEER_CERTIFICATES = 128

E = TypeVar("E", bound=x509.ExtensionType)

ANY_POLICY = "2.5.29.32.0"

_IKE_USAGES = frozenset(
    (
        ExtendedKeyUsageOID.IPSEC_IKE,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        x509.ObjectIdentifier("1.3.6.1.5.5.8.2.2"),  # iKEIntermediate, of old Cisco and Apple peers
        x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),  # ipsecEndSystem  \
        x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),  # ipsecTunnel      > obsolete, RFC 4945 §5.1.3.12
        x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),  # ipsecUser       /
    )
)
"""Extended key usages that do not exclude IKE. RFC 4945 §5.1.3.12 lets the operator be
tolerant; gateways in the field carry TLS certificates, and peers accept them."""


@dataclass(frozen=True, slots=True)
class Vouches:
    """What its key may sign besides certificates and AUTH."""

    crls: bool
    """keyUsage does not exclude cRLSign (RFC 5280 §4.2.1.3)."""
    ocsp: bool
    """extendedKeyUsage names OCSPSigning (RFC 6960 §4.2.2.2)."""


@dataclass(frozen=True, eq=False)
class Certificate:
    """One X.509 certificate. Two are equal when their DER is."""

    der: bytes
    subject: Identity
    issuer: Identity
    spki: bytes
    """SubjectPublicKeyInfo, DER."""
    key_id: bytes
    """SHA-1 of the subjectPublicKey bits, 20 octets: the name of a key in vici."""
    authority: bytes
    """SHA-1 of the whole SubjectPublicKeyInfo, 20 octets: the name of a CA in CERTREQ (RFC 7296 §3.7)."""
    names: tuple[Identity, ...]
    """The subject (unless empty) and every subjectAltName of a kind IKE has."""
    key_names: tuple[bytes, ...]
    """What an ID_KEY_ID may name it by: key identifiers and the SHA-1 of the certificate."""
    is_ca: bool
    not_before: datetime
    not_after: datetime
    kind: str
    """A word of `crypto.signature.KEY_TYPES`."""
    key_bits: int
    signed_with: str
    """Hash of the issuer's signature, lower case: "sha256"; "identity" where the signature has its own,
    "unknown" where this library does not verify it."""
    signed_pss: bool
    """Whether that is an RSASSA-PSS signature."""
    unfit: str
    """Why its key may not authenticate an IKE peer (RFC 4945 §5.1.3.2, §5.1.3.12); empty if it may."""
    serial: int
    pointers: Pointers
    """Where its issuer says whether it was revoked."""
    vouches: Vouches
    policies: frozenset[str]
    """Certificate policies asserted, OIDs with dots; ANY_POLICY among them stands for all (RFC 5280 §4.2.1.4)."""
    explicit_after: int | None
    """After how many further certificates a policy must hold for the whole path (§4.2.1.11)."""
    inhibits_any: bool
    """A CA below which ANY_POLICY does not count (§4.2.1.14), sooner or later."""

    @classmethod
    def read(cls, octets: bytes) -> Self:
        """From DER or PEM. Raises CredentialError for anything that is not a usable certificate."""
        return cls._read(octets, x509.load_pem_x509_certificate if is_pem(octets) else _LOAD_DER)

    @classmethod
    def of_peer(cls, der: bytes) -> Certificate:
        """From DER alone, remembering the last few: peers come back, and CAs come with each of them."""
        return _of_peer(der)

    @classmethod
    def _read(cls, octets: bytes, load: Callable[[bytes], x509.Certificate]) -> Self:
        if len(octets) > MAX_CERTIFICATE_OCTETS:
            raise CredentialError(f"a certificate of {len(octets)} octets is larger than we read")
        try:
            return cls._of(load(octets))
        except (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension) as error:
            raise CredentialError(f"the certificate cannot be read: {error}") from None
        except (x509.UnsupportedGeneralNameType, UnsupportedAlgorithm) as error:
            raise CredentialError(f"the certificate holds what we do not know: {error}") from None

    @classmethod
    def _of(cls, parsed: x509.Certificate) -> Self:
        extensions = parsed.extensions
        key = signing_key(parsed.public_key())
        kind, bits = key_kind(key)
        spki = _spki(parsed, key)
        key_id = key_digest(key)
        der = parsed.public_bytes(serialization.Encoding.DER)
        subject = Identity.of_dn(parsed.subject.public_bytes())
        alternatives = _find(extensions, x509.SubjectAlternativeName)
        names = _identities(alternatives) if alternatives else []
        if len(names) > MAX_NAMES:
            raise ValueError(f"more than {MAX_NAMES} subject alternative names")
        if subject.rdns:
            names.insert(0, subject)
        authority = hashlib.sha1(spki, usedforsecurity=False).digest()
        key_names = {key_id: None, authority: None, hashlib.sha1(der, usedforsecurity=False).digest(): None}
        if ski := _find(extensions, x509.SubjectKeyIdentifier):
            key_names[ski.digest] = None
        constraints = _find(extensions, x509.BasicConstraints)
        constrained = _find(extensions, x509.PolicyConstraints)
        return cls(
            der=der,
            subject=subject,
            issuer=Identity.of_dn(parsed.issuer.public_bytes()),
            spki=spki,
            key_id=key_id,
            authority=authority,
            names=tuple(names),
            key_names=tuple(key_names),
            is_ca=constraints is not None and constraints.ca,
            not_before=parsed.not_valid_before_utc,
            not_after=parsed.not_valid_after_utc,
            kind=kind,
            key_bits=bits,
            signed_with=_hash_name(parsed),
            signed_pss=parsed.signature_algorithm_oid == SignatureAlgorithmOID.RSASSA_PSS,
            unfit=_unfit(extensions),
            serial=parsed.serial_number,
            pointers=Pointers.of(parsed),
            vouches=_vouches(extensions),
            policies=_policies(extensions),
            explicit_after=constrained.require_explicit_policy if constrained else None,
            inhibits_any=_find(extensions, x509.InhibitAnyPolicy) is not None,
        )

    @property
    def self_issued(self) -> bool:
        """Whether subject and issuer are one name: a root, if its signature holds."""
        return self.subject.data == self.issuer.data

    @cached_property
    def native(self) -> openssl.X509:
        """The same certificate as OpenSSL's path building takes it."""
        return openssl.load_certificate(openssl.FILETYPE_ASN1, self.der)

    def confirms(self, identity: Identity) -> bool:
        """Whether the certificate speaks for `identity`.

        It must stand in it as the subject or a subjectAltName of that very
        kind (RFC 7296 §3.5, RFC 4945 §3.1); a wildcard in a certificate is
        only a character. An ID_KEY_ID names the key or the certificate by digest.
        """
        if identity.kind == IdType.KEY_ID:
            return identity.data in self.key_names
        return any(name.kind == identity.kind and name.same(identity) for name in self.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    def __str__(self) -> str:
        return str(self.subject) if self.subject.rdns else next(map(str, self.names), "a nameless certificate")

    def __repr__(self) -> str:
        return f"<Certificate {self}>"


def is_pem(octets: bytes) -> bool:
    """Whether octets are PEM text rather than DER, which begins with the tag of a SEQUENCE."""
    return octets[:1] != b"\x30"


def key_digest(key: PublicKey) -> bytes:
    """SHA-1 of the subjectPublicKey bits, 20 octets: the key identifier of RFC 5280 §4.2.1.2 (1)."""
    return x509.SubjectKeyIdentifier.from_public_key(key).digest


@lru_cache(maxsize=_CACHED_PEER_CERTIFICATES)
def _of_peer(der: bytes) -> Certificate:
    return Certificate._read(der, _LOAD_DER)


def signing_key(key: object) -> PublicKey:
    """The same key, if it is of a kind that signs in IKE; else raises ValueError."""
    if isinstance(key, PublicKey):
        return key
    raise ValueError(f"keys of type {type(key).__name__.removesuffix('PublicKey')} do not sign in IKE")


def key_kind(key: PublicKey) -> tuple[str, int]:
    """(word of `crypto.signature.KEY_TYPES`, size in bits)."""
    if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return key_type(key), key.key_size
    return next((word, bits) for word, _, public, bits in KEY_TYPES if isinstance(key, public))


def key_bits(spki: bytes) -> int:
    """The size of a public key (DER) that was accepted before."""
    return key_kind(signing_key(serialization.load_der_public_key(spki)))[1]


def _spki(parsed: x509.Certificate, key: PublicKey) -> bytes:
    if parsed.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS:
        # cryptography writes such a key as plain rsaEncryption; digests need it as it stands.
        return openssl.dump_publickey(openssl.FILETYPE_ASN1, openssl.X509.from_cryptography(parsed).get_pubkey())
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _hash_name(parsed: x509.Certificate) -> str:
    try:
        algorithm = parsed.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "unknown"  # a trust anchor may be that old; nothing else passes with it
    return algorithm.name if algorithm else "identity"


def _find(extensions: x509.Extensions, kind: type[E]) -> E | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _identities(alternatives: x509.SubjectAlternativeName) -> list[Identity]:
    found = []
    for name in alternatives:
        if isinstance(name, x509.DNSName):
            found.append(Identity(IdType.FQDN, name.value.encode()))
        elif isinstance(name, x509.RFC822Name):
            found.append(Identity(IdType.RFC822_ADDR, name.value.encode()))
        elif isinstance(name, x509.DirectoryName):
            found.append(Identity.of_dn(name.value.public_bytes()))
        elif isinstance(name, x509.IPAddress) and hasattr(name.value, "packed"):
            found.append(Identity.of_address(name.value.packed))
    return found


def _unfit(extensions: x509.Extensions) -> str:
    usage = _find(extensions, x509.KeyUsage)
    if usage and not (usage.digital_signature or usage.content_commitment):
        return "its key usage allows no signatures"
    extended = _find(extensions, x509.ExtendedKeyUsage)
    if extended and _IKE_USAGES.isdisjoint(extended):
        return "its extended key usage is for something else"
    return ""


def _policies(extensions: x509.Extensions) -> frozenset[str]:
    asserted = _find(extensions, x509.CertificatePolicies)
    return frozenset(policy.policy_identifier.dotted_string for policy in asserted or ())


def _vouches(extensions: x509.Extensions) -> Vouches:
    usage, extended = _find(extensions, x509.KeyUsage), _find(extensions, x509.ExtendedKeyUsage)
    return Vouches(
        crls=usage is None or usage.crl_sign,
        ocsp=extended is not None and ExtendedKeyUsageOID.OCSP_SIGNING in extended,
    )
