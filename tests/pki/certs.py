"""Certificates for tests, made in process: CAs and leafs of every kind of key."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, x25519
from cryptography.x509.oid import NameOID

EdwardsKey = ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | EdwardsKey

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
"""The wall time at which these certificates are good."""

KEYS: dict[str, Callable[[], Any]] = {
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa-3072": lambda: rsa.generate_private_key(65537, 3072),
    "ecdsa-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ecdsa-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "brainpool-256": lambda: ec.generate_private_key(ec.BrainpoolP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
    "x25519": x25519.X25519PrivateKey.generate,  # signs nothing
}

SIGNING = tuple(kind for kind in KEYS if kind != "x25519")


@cache
def key(kind: str, label: str = "") -> PrivateKey:
    """One key per kind and label for the whole test run: making RSA keys is slow."""
    made: PrivateKey = KEYS[kind]()
    return made


def name(*parts: str) -> x509.Name:
    """`name("moon")` is C=CH, O=ikectl, CN=moon; several parts are CNs in their order."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CH"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "ikectl"),
            *(x509.NameAttribute(NameOID.COMMON_NAME, part) for part in parts),
        ]
    )


def alternative(text: str) -> x509.GeneralName:
    """A subjectAltName: an address, a mail address or a host name by its look."""
    if "@" in text:
        return x509.RFC822Name(text)
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


SIGNS = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
CERT_SIGN = x509.KeyUsage(False, False, False, False, False, True, True, False, False)


@dataclass
class Identified:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: PrivateKey
    chain: tuple[bytes, ...] = ()
    """Certificates of the CAs above, nearest first, without the root."""

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


@dataclass
class Authority(Identified):
    """A CA: issues leafs and further CAs."""

    is_root: bool = field(default=True, kw_only=True)

    @classmethod
    def root(cls, cn: str = "root", kind: str = "ecdsa-256", **options: object) -> Authority:
        own = key(kind, f"ca {cn}")
        return cls(_certificate(name(cn), own, name(cn), own, ca=True, **options), own)  # type: ignore[arg-type]

    def authority(self, cn: str, kind: str = "ecdsa-256", **options: object) -> Authority:
        """An intermediate CA below this one."""
        own = key(kind, f"ca {cn}")
        issued = _certificate(name(cn), own, self.certificate.subject, self.key, ca=True, **options)  # type: ignore[arg-type]
        sent = Identified(issued, own).der
        return Authority(issued, own, (sent, *self.chain), is_root=False)

    def leaf(self, cn: str, kind: str = "ecdsa-256", **options: object) -> Identified:
        own = key(kind, f"leaf {cn}")
        issued = _certificate(name(cn), own, self.certificate.subject, self.key, **options)  # type: ignore[arg-type]
        return Identified(issued, own, self.chain)


def self_signed(cn: str, kind: str = "ecdsa-256", **options: object) -> Identified:
    own = key(kind, f"leaf {cn}")
    return Identified(_certificate(name(cn), own, name(cn), own, **options), own)  # type: ignore[arg-type]


def _certificate(
    subject: x509.Name,
    own: PrivateKey,
    issuer: x509.Name,
    issuer_key: PrivateKey,
    *,
    ca: bool = False,
    path_length: int | None = None,
    names: Sequence[str] = (),
    usage: x509.KeyUsage | None = SIGNS,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    starts: timedelta = timedelta(days=-30),
    ends: timedelta = timedelta(days=30),
    key_identifiers: bool = True,
    pss: bool = False,
) -> x509.Certificate:
    """`starts` and `ends` count from NOW; `usage` SIGNS stands for what suits the kind of certificate."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + starts)
        .not_valid_after(NOW + ends)
    )
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(True, path_length), True)
    if usage is not None:
        builder = builder.add_extension(CERT_SIGN if ca and usage is SIGNS else usage, True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([alternative(n) for n in names]), False)
    if key_identifiers:
        ski = x509.SubjectKeyIdentifier.from_public_key(own.public_key())
        aki = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        builder = builder.add_extension(ski, False).add_extension(aki, False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    digest = None if isinstance(issuer_key, EdwardsKey) else hashes.SHA256()
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH) if pss else None
    return builder.sign(issuer_key, digest, rsa_padding=scheme)
