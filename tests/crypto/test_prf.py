from __future__ import annotations

import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ikectl.crypto import transforms
from tests.crypto.vectors import name, vectors

HASHES = {"prfmd5": "md5", "prfsha1": "sha1", "prfsha256": "sha256", "prfsha384": "sha384", "prfsha512": "sha512"}


@pytest.mark.parametrize("vector", [v for v in vectors("mac") if f"prf{v['keyword']}" in HASHES], ids=name)
def test_hmac_prf_is_not_cut(vector: dict) -> None:
    prf = transforms.BY_KEYWORD[f"prf{vector['keyword']}"].prf
    # RFC 4231 prints 128 bits only of its case 5.
    assert prf.compute(vector["key"], vector["message"])[: len(vector["mac"])] == vector["mac"]


@pytest.mark.parametrize("vector", vectors("prf"), ids=name)
@pytest.mark.conformance("v2-60")
def test_aes_prf_with_keys_of_any_length(vector: dict) -> None:
    prf = transforms.BY_KEYWORD[vector["keyword"]].prf
    assert prf.compute(vector["key"], vector["message"]) == vector["output"]


@pytest.mark.parametrize("row", transforms.PRF, ids=lambda row: row.keywords[0])
@pytest.mark.conformance("v2-60")
def test_key_sizes(row: transforms.PrfRow) -> None:
    """RFC 7296 §2.13: an HMAC prefers a key of its output's length, the AES ones have 128 bits."""
    word = HASHES.get(row.keywords[0])
    octets = len(hmac.digest(b"", b"", word)) if word else 16
    assert row.prf.key_octets == row.prf.octets == octets == len(row.prf.compute(b"key", b""))
    assert row.prf.nonce_octets == (None if word else 8)


@pytest.mark.parametrize("row", transforms.PRF, ids=lambda row: row.keywords[0])
@settings(max_examples=30)
@given(key=st.binary(max_size=70), seed=st.binary(max_size=90), octets=st.integers(0, 400))
def test_plus_is_the_chain_of_the_rfc(row: transforms.PrfRow, key: bytes, seed: bytes, octets: int) -> None:
    """RFC 7296 §2.13: T1 = prf(K, S | 1), T2 = prf(K, T1 | S | 2), ..."""
    block, chain, counter = b"", b"", 0
    while len(chain) < octets:
        counter += 1
        block = row.prf.compute(key, block + seed + bytes((counter,)))
        chain += block
    assert row.prf.plus(key, seed, octets) == chain[:octets]


@pytest.mark.parametrize("row", transforms.PRF, ids=lambda row: row.keywords[0])
def test_plus_ends_at_255_rounds(row: transforms.PrfRow) -> None:
    most = 255 * row.prf.octets
    assert len(row.prf.plus(b"key", b"seed", most)) == most
    with pytest.raises(ValueError, match=r".+"):
        row.prf.plus(b"key", b"seed", most + 1)
