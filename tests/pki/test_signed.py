"""The signed part of a CRL, cut out of its DER: what the library writes anew, and what it says of the signature."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from ikectl.pki.crl import Crl
from ikectl.pki.signed import is_signed_by, signed_part
from tests.pki.certs import NOW, Authority, Listed, key

KINDS = ("rsa-2048", "rsa-3072", "ecdsa-256", "ecdsa-384", "ecdsa-521", "ed25519", "ed448")


def parsed(der: bytes) -> x509.CertificateRevocationList:
    return x509.load_der_x509_crl(der)


@pytest.mark.parametrize("entries", [0, 1, 9, 600])
@pytest.mark.parametrize("kind", KINDS)
def test_it_says_what_the_library_says(kind: str, entries: int) -> None:
    """Short and long lengths; genuine, of another key of the kind, of another kind."""
    ca = Authority.root("of a kind", kind)
    listed = Listed(ca.leaf("moon"))
    der = ca.crl(*[listed] * entries)
    crl = parsed(der)
    assert signed_part(der) == (crl.tbs_certlist_bytes, True)
    assert Crl.read(der, "here").der == crl.public_bytes(serialization.Encoding.DER)
    assert is_signed_by(crl, der, ca.key.public_key())  # type: ignore[arg-type]
    forged = ca.crl(by=key(kind, "a forger"))
    assert not is_signed_by(parsed(forged), forged, ca.key.public_key())  # type: ignore[arg-type]
    for other in KINDS:
        if other.split("-")[0] != kind.split("-")[0]:
            with pytest.raises(ValueError, match="of another kind"):
                is_signed_by(crl, der, key(other, "of another kind").public_key())  # type: ignore[arg-type]


def test_pss() -> None:
    signer = key("rsa-2048", "ca of pss")
    assert isinstance(signer, rsa.RSAPrivateKey)
    builder = x509.CertificateRevocationListBuilder(
        x509.Name([]), NOW - timedelta(hours=1), NOW + timedelta(hours=1), [], []
    )
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    crl = builder.sign(signer, hashes.SHA256(), rsa_padding=scheme)
    der = crl.public_bytes(serialization.Encoding.DER)
    assert signed_part(der) == (crl.tbs_certlist_bytes, True)
    assert is_signed_by(crl, der, signer.public_key())


@pytest.mark.parametrize("version", [b"", b"\x02\x01\x01"], ids=["v1", "v2"])
def test_an_algorithm_that_was_exchanged(version: bytes) -> None:
    """What is signed names Ed448, and outside stands Ed25519 (RFC 5280 §5.1.1.2)."""
    signer = key("ed25519", "exchanged")
    assert isinstance(signer, ed25519.Ed25519PrivateKey)
    right, wrong = bytes.fromhex("300506032b6570"), bytes.fromhex("300506032b6571")
    times = b"\x17\x0d260301100000Z\x17\x0d270301100000Z"
    for inner, genuine in ((right, True), (wrong, False)):
        body = version + inner + b"\x30\x00" + times
        tbs = b"\x30" + bytes([len(body)]) + body
        signature = b"\x03\x41\x00" + signer.sign(tbs)
        whole = tbs + right + signature
        der = b"\x30" + bytes([len(whole)]) + whole
        assert signed_part(der) == (tbs, genuine)
        if version and genuine:
            assert is_signed_by(parsed(der), der, signer.public_key())
        elif version:
            with pytest.raises(ValueError, match="do not match"):
                parsed(der)  # this library sees it as well, at once


def test_one_octet_anywhere_is_noticed() -> None:
    ca = Authority.root("noticed")
    der = ca.crl(Listed(ca.leaf("moon")))
    for place in range(0, len(der), 7):
        spoilt = der[:place] + bytes([der[place] ^ 1]) + der[place + 1 :]
        try:
            crl = parsed(spoilt)
            assert not is_signed_by(crl, spoilt, ca.key.public_key())  # type: ignore[arg-type]
        except (ValueError, x509.InvalidVersion):
            continue
