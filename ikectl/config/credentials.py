"""Certificates and private keys as files and messages carry them: PEM or DER, perhaps encrypted.

Only opened and brought to one form here; whether they are any good is `pki`'s
question. Errors say nothing of what a key or a passphrase is.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
    pkcs12,
)

from ikectl.config.model import PrivateKey
from ikectl.crypto.signature import KEY_TYPES
from ikectl.values.secret import Secret

MAX_CREDENTIAL = 4 << 20
"""Octets of a file."""
MAX_CRL = 16 << 20
MAX_CONTAINED = 64
"""Certificates read of one container."""
MAX_CERTIFICATE = 65535
"""Octets of one certificate: what a vici message can carry."""
_PEM_CERTIFICATE = re.compile(
    rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----.*?-----END (?:X509 |TRUSTED )?CERTIFICATE-----",
    re.DOTALL,
)
_PEM_KEY = re.compile(rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)


class Container(NamedTuple):
    """What a PKCS#12 container holds."""

    keys: tuple[PrivateKey, ...]
    certificates: tuple[tuple[bytes, bool], ...]
    """(DER, whether it is a CA's)."""


class NeedsPassphrase(ValueError):
    """The key is encrypted and no passphrase was given."""


def read_certificates(octets: bytes) -> tuple[bytes, ...]:
    """DER of every certificate in PEM text, or of the one in DER. Raises ValueError."""
    if len(octets) > MAX_CREDENTIAL:
        raise ValueError(f"larger than {MAX_CREDENTIAL >> 20} MiB")
    if b"-----BEGIN" not in octets:
        return (_checked(octets),)
    found = tuple(_from_pem(match[0]) for match in _PEM_CERTIFICATE.finditer(octets))
    if not found:
        raise ValueError("no certificate in it")
    return found


def read_certificate(octets: bytes) -> bytes:
    """DER of the first certificate. Raises ValueError."""
    return read_certificates(octets)[0]


def read_public_key(octets: bytes) -> bytes:
    """SubjectPublicKeyInfo (DER) of a key that signs, from that or PKCS#1, PEM or DER. Raises ValueError."""
    if len(octets) > MAX_CERTIFICATE:
        raise ValueError("too large")
    load = load_pem_public_key if b"-----BEGIN" in octets else load_der_public_key
    try:
        key = load(octets)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("not a public key in PEM or DER") from None
    for _, _, kind, _ in KEY_TYPES:
        if isinstance(key, kind):
            return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    raise ValueError("a public key of a type that does not sign in IKE")


def read_crl(octets: bytes) -> bytes:
    """A CRL in PEM or DER, as it is. Raises ValueError."""
    if len(octets) > MAX_CRL:
        raise ValueError(f"larger than {MAX_CRL >> 20} MiB")
    load = x509.load_pem_x509_crl if b"-----BEGIN" in octets[:MAX_CREDENTIAL] else x509.load_der_x509_crl
    try:
        return load(octets).public_bytes(Encoding.DER)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("not a CRL in PEM or DER") from None


def subject_of(certificate: bytes) -> bytes:
    """DER of the subject's name."""
    return x509.load_der_x509_certificate(certificate).subject.public_bytes()


def read_key(octets: bytes, passphrase: bytes | None = None) -> PrivateKey:
    """From PKCS#8, PKCS#1, SEC 1 or OpenSSH form, PEM or DER; a needless passphrase does not matter.

    Raises NeedsPassphrase, or ValueError for anything else that is wrong.
    """
    if len(octets) > MAX_CREDENTIAL:
        raise ValueError(f"larger than {MAX_CREDENTIAL >> 20} MiB")
    pem = _PEM_KEY.search(octets)
    if pem is None and b"-----BEGIN" in octets:
        raise ValueError("no private key in it")
    encoded, load = (pem[0] + b"\n", load_pem_private_key) if pem else (octets, load_der_private_key)
    try:
        try:
            key = load(encoded, None)
        except TypeError:
            if passphrase is None:
                raise NeedsPassphrase("it is encrypted") from None
            key = load(encoded, passphrase)
    except NeedsPassphrase:
        raise
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if passphrase is not None:
            raise ValueError("not a private key this passphrase opens") from None
        raise ValueError("not a private key in a form known here") from None
    return _private_key(key)


def read_container(octets: bytes, passphrase: bytes | None = None) -> Container:
    """From PKCS#12 (RFC 7292): its key, the certificate of that, and all others.

    Raises NeedsPassphrase, or ValueError for anything else that is wrong.
    """
    if len(octets) > MAX_CREDENTIAL:
        raise ValueError(f"larger than {MAX_CREDENTIAL >> 20} MiB")
    try:
        opened = pkcs12.load_pkcs12(octets, bytes(passphrase) if passphrase is not None else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if passphrase is not None:
            raise ValueError("not a PKCS#12 container this passphrase opens") from None
        if octets[:1] == b"\x30":
            raise NeedsPassphrase("it is encrypted") from None
        raise ValueError("not a PKCS#12 container") from None
    held = ([opened.cert] if opened.cert is not None else []) + opened.additional_certs
    found = [each.certificate for each in held[:MAX_CONTAINED]]
    keys = (_private_key(opened.key),) if opened.key is not None else ()
    if not keys and not found:
        raise ValueError("neither a key nor a certificate in it")
    return Container(keys, tuple((_bounded(each.public_bytes(Encoding.DER)), _is_ca(each)) for each in found))


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound):
        return False


def _private_key(key: object) -> PrivateKey:
    for name, kind, _, _ in KEY_TYPES:
        if isinstance(key, kind):
            der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
            return PrivateKey(name, Secret(der))
    raise ValueError("a private key of a type IKE does not use")


def _from_pem(pem: bytes) -> bytes:
    try:
        return _bounded(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER))
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("not a valid certificate") from None


def _checked(der: bytes) -> bytes:
    try:
        return _bounded(x509.load_der_x509_certificate(der).public_bytes(Encoding.DER))
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("not a certificate in PEM or DER") from None


def _bounded(der: bytes) -> bytes:
    if len(der) > MAX_CERTIFICATE:
        raise ValueError("too large")
    return der
