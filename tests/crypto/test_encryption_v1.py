from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.crypto import transforms
from ikectl.crypto.encryption_v1 import EphemeralCipher, certificate_hash, ephemeral_key
from ikectl.crypto.suite_v1 import IsakmpSuite
from ikectl.errors import IntegrityFailure, WireError
from ikectl.iana.v2 import KeyExchangeMethod


def suite(cipher: str = "aes128", prf: str = "prfsha1") -> IsakmpSuite:
    rows = transforms.BY_KEYWORD
    return IsakmpSuite.of(rows[cipher], rows[prf], KeyExchangeMethod.MODP_2048)


def test_hash_of_the_certificate() -> None:
    der = b"a certificate"
    assert certificate_hash(suite(prf="prfsha256"), der) == hashlib.sha256(der).digest()


# -- the revised mode ----------------------------------------------------------

CIPHERS = ["des", "3des", "aes128", "aes256", "camellia256"]


@pytest.mark.parametrize("cipher", CIPHERS)
def test_ephemeral_keys(cipher: str) -> None:
    """RFC 2409 §5.3: Ne = prf(nonce, cookie), and K1 | K2 | ... where the cipher wants more octets."""
    chosen = suite(cipher)
    ne = chosen.prf.compute(b"the nonce of i", b"cookie-i")
    wanted = chosen.encryption.key_octets
    k1 = chosen.prf.compute(ne, b"\0")
    stretched = k1 + chosen.prf.compute(ne, k1)
    expected = ne[:wanted] if wanted <= len(ne) else stretched[:wanted]
    assert ephemeral_key(chosen, b"the nonce of i", b"cookie-i") == expected


@pytest.mark.parametrize("cipher", CIPHERS)
@given(bodies=st.lists(st.binary(max_size=80), min_size=1, max_size=4))
def test_payloads_under_an_ephemeral_key(cipher: str, bodies: list[bytes]) -> None:
    chosen = suite(cipher)
    block = chosen.block_octets
    key = ephemeral_key(chosen, b"nonce", b"cookie")
    sender, receiver = EphemeralCipher(chosen, key), EphemeralCipher(chosen, key)
    encrypted = [sender.encrypt(body) for body in bodies]
    assert [receiver.decrypt(each) for each in encrypted] == bodies
    # One CBC run from a zero IV over bodies with their padding.
    plain = chosen.decrypt(key, bytes(block), b"".join(encrypted))
    for body, each in zip(bodies, encrypted, strict=True):
        padding_octets = len(each) - len(body)
        assert 1 <= padding_octets <= block
        assert plain[: len(each)] == body + bytes(padding_octets - 1) + bytes((padding_octets - 1,))
        plain = plain[len(each) :]


@given(st.binary(max_size=64))
def test_any_octets_under_an_ephemeral_key(data: bytes) -> None:
    chosen = suite()
    cipher = EphemeralCipher(chosen, bytes(16))
    try:
        assert len(cipher.decrypt(data)) < len(data)
    except IntegrityFailure:
        assert not data or len(data) % 16
    except WireError:
        assert data and not len(data) % 16
