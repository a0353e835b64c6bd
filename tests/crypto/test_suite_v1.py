from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.crypto import transforms
from ikectl.crypto.suite_v1 import IsakmpSuite
from ikectl.errors import IntegrityFailure
from ikectl.iana.v2 import KeyExchangeMethod


def suite(cipher: str = "aes128", prf: str = "prfsha1") -> IsakmpSuite:
    rows = transforms.BY_KEYWORD
    return IsakmpSuite.of(rows[cipher], rows[prf], KeyExchangeMethod.MODP_2048)


@given(st.binary(max_size=40))
def test_only_whole_blocks_are_decrypted(octets: bytes) -> None:
    chosen = suite("aes128")
    if octets and not len(octets) % 16:
        assert len(chosen.decrypt(bytes(16), bytes(16), octets)) == len(octets)
    else:
        with pytest.raises(IntegrityFailure):
            chosen.decrypt(bytes(16), bytes(16), octets)


def test_a_suite_is_shared_and_prints() -> None:
    assert suite("aes256", "prfsha256") is suite("aes256", "prfsha256")
    assert str(suite("aes256", "prfsha256")) == "AES_CBC_256/PRF_HMAC_SHA2_256/MODP_2048"
    assert str(suite("3des", "prfmd5")) == "3DES_CBC/PRF_HMAC_MD5/MODP_2048"


@pytest.mark.parametrize(
    ("cipher", "prf", "method"),
    [
        ("aes256gcm16", "prfsha256", KeyExchangeMethod.MODP_2048),
        ("aes128", "prfaescmac", KeyExchangeMethod.MODP_2048),
        ("aes128", "prfsha256", KeyExchangeMethod.ML_KEM_768),
        ("aes128", "prfsha256", KeyExchangeMethod(4711)),
    ],
)
def test_what_has_no_number_in_phase_1_is_no_suite(cipher: str, prf: str, method: KeyExchangeMethod) -> None:
    rows = transforms.BY_KEYWORD
    with pytest.raises(ValueError, match="no number"):
        IsakmpSuite.of(rows[cipher], rows[prf], method)


@pytest.mark.parametrize(
    ("prf", "name"),
    [("prfmd5", "md5"), ("prfsha1", "sha1"), ("prfsha256", "sha256"), ("prfsha384", "sha384"), ("prfsha512", "sha512")],
)
def test_the_hash_serves_bare_and_as_hmac(prf: str, name: str) -> None:
    chosen = suite(prf=prf)
    assert chosen.digest(b"octets") == hashlib.new(name, b"octets").digest()
    assert chosen.prf.octets == len(chosen.digest(b""))
