"""CertificateBundle of RFC 7296 §3.6."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.errors import CredentialError
from ikectl.pki.bundle import MAX_BUNDLE_OCTETS, certificates
from tests.pki.certs import Authority


def der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes((size,)) if size < 128 else bytes((0x82,)) + size.to_bytes(2, "big")
    return bytes((tag,)) + length + content


CA = Authority.root()
LEAF = CA.leaf("moon")


def test_certificates_come_in_their_order_without_crls() -> None:
    bundle = der(0x30, der(0xA0, LEAF.der) + der(0xA1, CA.crl()) + der(0xA0, CA.der))
    assert certificates(bundle) == (LEAF.der, CA.der)
    assert certificates(der(0x30, b"")) == ()


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"junk",
        LEAF.der[:-1],
        der(0x31, b""),
        der(0x30, b"") + b"\x00",
        der(0x30, der(0xA0, b"") * 33),
        b"\x30\x84\xff\xff\xff\xff",
        bytes(MAX_BUNDLE_OCTETS + 1),
    ],
)
def test_what_is_no_bundle(octets: bytes) -> None:
    with pytest.raises(CredentialError):
        certificates(octets)


@given(st.binary(max_size=200))
def test_junk_is_refused_or_read(octets: bytes) -> None:
    try:
        certificates(octets)
    except CredentialError:
        pass
