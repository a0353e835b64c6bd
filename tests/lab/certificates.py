"""Certification authorities for one afternoon.

    root = Authority.root("Lab Root", "ecdsa")
    moon = root.intermediate("Lab West").issue("moon.example.org", "ed25519")
    world.strongswan("moon", conf=..., credentials=[moon])

Everything is made when it is wanted and valid for a week: no key is committed,
no test expires.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

KEYS: dict[str, Callable[[], PrivateKey]] = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
}


def distinguished_name(common_name: str) -> str:
    """The subject of a lab certificate as swanctl.conf writes it."""
    return f"C=CH, O=ikectl lab, CN={common_name}"


@dataclass(frozen=True)
class Credential:
    """A certificate with its key and the authorities above it, root last."""

    name: str
    key: PrivateKey
    certificate: x509.Certificate
    authorities: tuple[x509.Certificate, ...]

    def install(self, swanctl: Path) -> None:
        """Lay the files where swanctl looks for them: private/, x509/, x509ca/ in a swanctl directory."""
        for directory in ("private", "x509", "x509ca"):
            (swanctl / directory).mkdir(parents=True, exist_ok=True)
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = swanctl / "private" / f"{self.name}.pem"
        path.write_bytes(key)
        path.chmod(0o600)
        (swanctl / "x509" / f"{self.name}.pem").write_bytes(_pem(self.certificate))
        for authority in self.authorities:
            name = authority.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
            (swanctl / "x509ca" / f"{str(name).replace(' ', '-')}.pem").write_bytes(_pem(authority))


@dataclass(frozen=True)
class Authority:
    """A certification authority and those above it."""

    key: PrivateKey
    certificates: tuple[x509.Certificate, ...]
    """Its own certificate first, the root's last."""

    @classmethod
    def root(cls, name: str, kind: str = "ecdsa") -> Authority:
        """A new root; `kind` is a word of KEYS."""
        key = KEYS[kind]()
        return cls(key, (_sign(key, None, name, key, authority=True),))

    def intermediate(self, name: str, kind: str = "ecdsa") -> Authority:
        """A new authority under this one."""
        key = KEYS[kind]()
        return Authority(key, (_sign(self.key, self.certificates[0], name, key, authority=True), *self.certificates))

    def issue(self, name: str, kind: str = "ecdsa", *, crl_uri: str = "", ocsp_uri: str = "") -> Credential:
        """A certificate for a host: subject with CN, and the name as subjectAltName.

        `crl_uri` and `ocsp_uri` are where this authority tells of revocation.
        """
        key = KEYS[kind]()
        certificate = _sign(self.key, self.certificates[0], name, key, crl_uri=crl_uri, ocsp_uri=ocsp_uri)
        return Credential(name, key, certificate, self.certificates)

    def crl(self, *revoked: Credential) -> bytes:
        """A CRL (DER) that is good for a day."""
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificates[0].subject)
            .last_update(now - datetime.timedelta(hours=1))
            .next_update(now + datetime.timedelta(days=1))
            .add_extension(x509.CRLNumber(1), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        for each in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(each.certificate.serial_number)
            entry = entry.revocation_date(now - datetime.timedelta(hours=2))
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def ocsp(self, of: Credential, *, revoked: bool = False) -> bytes:
        """An OCSP response (DER) about a certificate of this authority, good for a day."""
        now = datetime.datetime.now(datetime.UTC)
        status = ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response(
                of.certificate,
                self.certificates[0],
                hashes.SHA1(),
                status,
                now - datetime.timedelta(hours=1),
                now + datetime.timedelta(days=1),
                now - datetime.timedelta(hours=2) if revoked else None,
                x509.ReasonFlags.key_compromise if revoked else None,
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, self.certificates[0])
        )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _sign(
    signer: PrivateKey,
    issuer: x509.Certificate | None,
    name: str,
    key: PrivateKey,
    *,
    authority: bool = False,
    crl_uri: str = "",
    ocsp_uri: str = "",
) -> x509.Certificate:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CH"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "ikectl lab"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    now = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False) | {
        "encipher_only": False,
        "decipher_only": False,
    }
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=7))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=authority, crl_sign=authority, **usage),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if not authority:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    if crl_uri:
        place = x509.UniformResourceIdentifier(crl_uri)
        builder = builder.add_extension(
            x509.CRLDistributionPoints([x509.DistributionPoint([place], None, None, None)]), critical=False
        )
    if ocsp_uri:
        responder = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(ocsp_uri))
        builder = builder.add_extension(x509.AuthorityInformationAccess([responder]), critical=False)
    edwards = isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return builder.sign(signer, None if edwards else hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
