from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from ikectl.crypto import transforms
from ikectl.crypto.integrity import aes_xcbc, verify
from ikectl.errors import IntegrityFailure
from tests.crypto.vectors import name, vectors

WIRE = {
    # RFC 2403, RFC 2404, RFC 4868 §2.3, RFC 3566 §4.2, RFC 4494 §2: octets of key, octets of ICV
    "md5": (16, 12),
    "sha1": (20, 12),
    "sha256": (32, 16),
    "sha384": (48, 24),
    "sha512": (64, 32),
    "aesxcbc": (16, 12),
    "aescmac": (16, 12),
}


@pytest.mark.parametrize("vector", vectors("mac"), ids=name)
@pytest.mark.conformance("v2-60")
def test_published(vector: dict) -> None:
    mac = transforms.BY_KEYWORD[vector["keyword"]].mac
    assert mac.compute(vector["key"], vector["message"]) == vector["mac"][: mac.icv_octets]


@pytest.mark.conformance("v2-60")
def test_lengths_of_key_and_icv() -> None:
    rows = {row.keywords[0]: (row.key_octets, row.icv_octets) for row in transforms.INTEGRITY}
    assert rows == WIRE


@pytest.mark.parametrize("row", transforms.INTEGRITY, ids=lambda row: row.keywords[0])
def test_every_row_has_a_vector_and_refuses_a_changed_icv(row: transforms.Integrity) -> None:
    assert any(vector["keyword"] == row.keywords[0] for vector in vectors("mac"))
    key = bytes(range(row.key_octets))
    icv = row.mac.compute(key, b"octets")
    verify(row.mac, key, b"octets", icv)
    for wrong in (icv[:-1], icv + b"\0", icv[:-1] + bytes((icv[-1] ^ 1,)), b""):
        with pytest.raises(IntegrityFailure):
            verify(row.mac, key, b"octets", wrong)


@given(st.binary(min_size=16, max_size=16), st.binary(max_size=100))
def test_xcbc_as_the_rfc_spells_it_out(key: bytes, message: bytes) -> None:
    """RFC 3566 §4 block by block, against the one CBC call of ours."""

    def aes(block: bytes, under: bytes) -> bytes:
        return Cipher(algorithms.AES128(under), modes.ECB()).encryptor().update(block)

    def xor(a: bytes, b: bytes) -> bytes:
        return bytes(x ^ y for x, y in zip(a, b, strict=True))

    k1, k2, k3 = (aes(bytes((n,)) * 16, key) for n in (1, 2, 3))
    blocks = [message[start : start + 16] for start in range(0, len(message), 16)] or [b""]
    e = bytes(16)
    for block in blocks[:-1]:
        e = aes(xor(e, block), k1)
    last = blocks[-1]
    if len(last) == 16:
        e = aes(xor(xor(last, e), k2), k1)
    else:
        e = aes(xor(xor((last + b"\x80").ljust(16, b"\0"), e), k3), k1)
    assert aes_xcbc(key, message) == e
