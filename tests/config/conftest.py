"""Certificates and keys as operators have them in their folders."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pki:
    """A CA with one gateway, and keys in every form a folder may hold."""

    ca_pem: bytes
    ca_der: bytes
    gw_pem: bytes
    gw_der: bytes
    ec_pem: bytes
    ec_der: bytes
    ec_encrypted: bytes
    ed_pem: bytes
    rsa_traditional: bytes


def _certificate(name: str, issuer: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey) -> bytes:
    def named(common: str) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.COUNTRY_NAME, "CH"),
                x509.NameAttribute(NameOID.COMMON_NAME, common),
            ]
        )

    start = datetime.datetime(2026, 1, 1)
    builder = x509.CertificateBuilder(named(issuer), named(name), key.public_key(), 1, start, start.replace(year=2036))
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM)


def _der(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


@pytest.fixture(scope="session")
def pki() -> Pki:
    ca = ec.generate_private_key(ec.SECP256R1())
    gw = ec.generate_private_key(ec.SECP256R1())
    ca_pem, gw_pem = _certificate("ca", "ca", ca, ca), _certificate("gw", "ca", gw, ca)
    return Pki(
        ca_pem=ca_pem,
        ca_der=_der(ca_pem),
        gw_pem=gw_pem,
        gw_der=_der(gw_pem),
        ec_pem=gw.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        ec_der=gw.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        ec_encrypted=gw.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"squeamish")
        ),
        ed_pem=ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        rsa_traditional=rsa.generate_private_key(65537, 2048).private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        ),
    )
