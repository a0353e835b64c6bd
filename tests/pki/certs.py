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
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa, x25519
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

WithoutHash = (
    ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
)
"""Keys that sign without a hash beside them."""
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | WithoutHash

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
    "mldsa44": mldsa.MLDSA44PrivateKey.generate,
    "mldsa65": mldsa.MLDSA65PrivateKey.generate,
    "mldsa87": mldsa.MLDSA87PrivateKey.generate,
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

    def crl(self, *listed: Listed, **options: object) -> bytes:
        """A CRL of this CA; see `_crl`."""
        return _crl(self, listed, **options)  # type: ignore[arg-type]

    def ocsp(self, about: Identified, **options: object) -> bytes:
        """An OCSP response about a certificate of this CA; see `_ocsp`."""
        return _ocsp(self, about, **options)  # type: ignore[arg-type]

    def leaf(self, cn: str, kind: str = "ecdsa-256", **options: object) -> Identified:
        own = key(kind, f"leaf {cn}")
        issued = _certificate(name(cn), own, self.certificate.subject, self.key, **options)  # type: ignore[arg-type]
        return Identified(issued, own, self.chain)


@dataclass
class Listed:
    """An entry of a CRL."""

    of: Identified
    reason: x509.ReasonFlags | None = None


def points(crl: str = "", ocsp: str = "", delta: str = "") -> list[tuple[x509.ExtensionType, bool]]:
    """Extensions that say where revocation is told."""

    def point(uri: str) -> list[x509.DistributionPoint]:
        return [x509.DistributionPoint([x509.UniformResourceIdentifier(uri)], None, None, None)]

    made: list[tuple[x509.ExtensionType, bool]] = []
    if crl:
        made.append((x509.CRLDistributionPoints(point(crl)), False))
    if delta:
        made.append((x509.FreshestCRL(point(delta)), False))
    if ocsp:
        place = x509.UniformResourceIdentifier(ocsp)
        made.append(
            (
                x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)]),
                False,
            )
        )
    return made


def scope(
    uri: str = "", users: bool = False, cas: bool = False, indirect: bool = False
) -> x509.IssuingDistributionPoint:
    """What a CRL is about."""
    names = [x509.UniformResourceIdentifier(uri)] if uri else None
    return x509.IssuingDistributionPoint(names, None, users, cas, None, indirect, False)


def _crl(
    ca: Authority,
    listed: Sequence[Listed],
    *,
    number: int = 1,
    base: int | None = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    starts: timedelta = timedelta(hours=-1),
    ends: timedelta = timedelta(days=1),
    digest: hashes.HashAlgorithm | None = None,
    by: PrivateKey | None = None,
) -> bytes:
    """DER. `starts` and `ends` count from NOW; with `base` it is a delta CRL; `by` is another key than the CA's."""
    signer = by or ca.key
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.certificate.subject)
        .last_update(NOW + starts)
        .next_update(NOW + ends)
        .add_extension(x509.CRLNumber(number), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False)
    )
    if base is not None:
        builder = builder.add_extension(x509.DeltaCRLIndicator(base), True)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    for each in listed:
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(each.of.certificate.serial_number)
            .revocation_date(NOW - timedelta(hours=2))
        )
        if each.reason is not None:
            entry = entry.add_extension(x509.CRLReason(each.reason), False)
        builder = builder.add_revoked_certificate(entry.build())
    hashing = None if isinstance(signer, WithoutHash) else digest or hashes.SHA256()
    return builder.sign(signer, hashing).public_bytes(serialization.Encoding.DER)


def _ocsp(
    ca: Authority,
    about: Identified,
    *,
    revoked: x509.ReasonFlags | None = None,
    unknown: bool = False,
    request: bytes = b"",
    nonce: bytes | None = None,
    starts: timedelta = timedelta(hours=-1),
    ends: timedelta | None = timedelta(days=1),
    responder: Identified | None = None,
    by_hash: bool = False,
    name_hash: hashes.HashAlgorithm | None = None,
    digest: hashes.HashAlgorithm | None = None,
    certificates: bool = True,
) -> bytes:
    """DER, signed by the CA or by `responder`. The nonce is `nonce`, else that of `request` if it has one."""
    signer = responder or ca
    status = ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD
    builder = ocsp.OCSPResponseBuilder().add_response(
        about.certificate,
        ca.certificate,
        name_hash or hashes.SHA1(),
        ocsp.OCSPCertStatus.UNKNOWN if unknown else status,
        NOW + starts,
        NOW + ends if ends is not None else None,
        NOW - timedelta(hours=2) if revoked else None,
        revoked,
    )
    encoding = ocsp.OCSPResponderEncoding.HASH if by_hash else ocsp.OCSPResponderEncoding.NAME
    builder = builder.responder_id(encoding, signer.certificate)
    if responder is not None and certificates:
        builder = builder.certificates([responder.certificate])
    if nonce is None and request:
        asked = ocsp.load_der_ocsp_request(request).extensions
        nonce = next((each.value.nonce for each in asked if isinstance(each.value, x509.OCSPNonce)), None)
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), False)
    hashing = None if isinstance(signer.key, WithoutHash) else digest or hashes.SHA256()
    return builder.sign(signer.key, hashing).public_bytes(serialization.Encoding.DER)


def with_sha1(der: bytes, tbs: bytes, signer: PrivateKey) -> bytes:
    """The same CRL or OCSP response (without certificates) by RSA with SHA-1, which this library does not make."""
    assert isinstance(signer, rsa.RSAPrivateKey)
    sha256, sha1 = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    changed = tbs.replace(sha256, sha1)
    signature = signer.sign(changed, padding.PKCS1v15(), hashes.SHA1())
    return der.replace(sha256, sha1)[: -len(signature)] + signature


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
    digest = None if isinstance(issuer_key, WithoutHash) else hashes.SHA256()
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH) if pss else None
    return builder.sign(issuer_key, digest, rsa_padding=scheme)
