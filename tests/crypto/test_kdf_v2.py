from __future__ import annotations

import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ikectl.crypto import kdf_v2, transforms
from ikectl.crypto.kdf_v2 import IkeKeys
from ikectl.crypto.proposal import ChildSuite, IkeSuite, parse_proposal
from ikectl.iana.v2 import Protocol
from ikectl.values.secret import Secret
from tests.crypto.vectors import name, tape, vectors

NAMES = ("sk_d", "sk_ai", "sk_ar", "sk_ei", "sk_er", "sk_pi", "sk_pr")
nonces = st.binary(min_size=16, max_size=64)


def ike(text: str) -> IkeSuite:
    return IkeSuite.of(parse_proposal(text, Protocol.IKE))


def child(text: str, protocol: Protocol = Protocol.ESP) -> ChildSuite:
    return ChildSuite.of(parse_proposal(text, protocol))


def joined(keys: IkeKeys) -> bytes:
    return b"".join(getattr(keys, key) for key in NAMES)


@pytest.mark.parametrize("vector", vectors("kdf_v2"), ids=name)
@pytest.mark.conformance("v2-60")
def test_published(vector: dict) -> None:
    """132 octets of key material are what 3DES with SHA-1 takes, twice over but for the last part."""
    suite = ike("aes128-sha1-prfsha1-modp2048")
    v = vector
    keys = kdf_v2.derive_ike(suite, v["shared"], v["nonce_i"], v["nonce_r"], v["spi_i"], v["spi_r"])
    assert joined(keys) == v["dkm"]
    assert suite.prf.compute(v["nonce_i"] + v["nonce_r"], v["shared"]) == v["skeyseed"]

    esp = child("aes256-sha256")
    octets = 2 * (32 + 32)
    for shared, expected in ((b"", v["child"]), (v["new_shared"], v["child_ke"])):
        made = kdf_v2.derive_child(suite.prf, esp, keys.sk_d, v["nonce_i"], v["nonce_r"], shared)
        assert made.encr_i + made.integ_i + made.encr_r + made.integ_r == expected[:octets]

    rekeyed = kdf_v2.derive_rekeyed_ike(
        suite, suite.prf, keys.sk_d, v["new_shared"], v["nonce_i"], v["nonce_r"], v["spi_i"], v["spi_r"]
    )
    seed = v["nonce_i"] + v["nonce_r"] + v["spi_i"] + v["spi_r"]
    assert joined(rekeyed) == suite.prf.plus(v["skeyseed_rekey"], seed, 132)


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        # SK_d, SK_a, SK_e, SK_p
        ("aes256gcm16-prfsha384-x25519", (48, 0, 32 + 4, 48)),
        ("aes128ccm8-prfsha256-x25519", (32, 0, 16 + 3, 32)),
        ("chacha20poly1305-prfsha512-x25519", (64, 0, 32 + 4, 64)),
        ("aes192ctr-sha384-x25519", (48, 48, 24 + 4, 48)),
        ("aes128-sha512-prfsha256-x25519", (32, 64, 16, 32)),
        ("3des-md5-x25519", (16, 16, 24, 16)),
        ("camellia256-aesxcbc-x25519", (16, 16, 32, 16)),
        ("aes128-aescmac-x25519", (16, 16, 16, 16)),
    ],
)
@pytest.mark.conformance("v2-60")
def test_lengths_of_ike_keys(text: str, lengths: tuple[int, int, int, int]) -> None:
    """RFC 7296 §2.14, RFC 5282 §7, RFC 5930 §2."""
    keys = kdf_v2.derive_ike(ike(text), bytes(32), bytes(32), bytes(32), bytes(8), bytes(8))
    d, a, e, p = lengths
    assert tuple(len(getattr(keys, key)) for key in NAMES) == (d, a, a, e, e, p, p)
    assert all(type(getattr(keys, key)) is Secret for key in NAMES)


@pytest.mark.parametrize(
    ("text", "protocol", "lengths"),
    [
        ("aes256gcm16", Protocol.ESP, (36, 0)),
        ("aes128ccm12", Protocol.ESP, (19, 0)),
        ("chacha20poly1305", Protocol.ESP, (36, 0)),
        ("aes128gmac", Protocol.ESP, (20, 0)),
        ("aes256ctr-sha256", Protocol.ESP, (36, 32)),
        ("aes128-sha1", Protocol.ESP, (16, 20)),
        ("null-sha512", Protocol.ESP, (0, 64)),
        ("sha384", Protocol.AH, (0, 48)),
    ],
)
@pytest.mark.conformance("v2-60")
def test_lengths_of_child_keys(text: str, protocol: Protocol, lengths: tuple[int, int]) -> None:
    """RFC 4106 §8.1, RFC 4309 §7.1, RFC 3686 §5.1, RFC 4868 §2.1.1."""
    suite = child(text, protocol)
    keys = kdf_v2.derive_child(ike("aes128-sha256-x25519").prf, suite, bytes(32), bytes(32), bytes(32))
    assert (suite.encryption_octets, suite.integrity_octets) == lengths
    assert (len(keys.encr_i), len(keys.integ_i), len(keys.encr_r), len(keys.integ_r)) == lengths * 2


@pytest.mark.parametrize("row", transforms.PRF, ids=lambda row: row.keywords[0])
@given(nonce_i=nonces, nonce_r=nonces, shared=st.binary(min_size=32, max_size=64))
@settings(max_examples=25)
def test_skeyseed(row: transforms.PrfRow, nonce_i: bytes, nonce_r: bytes, shared: bytes) -> None:
    """RFC 7296 §2.14: the AES prfs take 64 bits of each nonce for SKEYSEED and all bits for prf+."""
    suite = ike(f"aes128-sha256-{row.keywords[0]}-x25519")
    key = nonce_i[:8] + nonce_r[:8] if "AES" in row.name else nonce_i + nonce_r
    seed = nonce_i + nonce_r + b"initiatr" + b"respondr"
    expected = row.prf.plus(row.prf.compute(key, shared), seed, 3 * row.prf.octets + 2 * (32 + 16))
    assert joined(kdf_v2.derive_ike(suite, shared, nonce_i, nonce_r, b"initiatr", b"respondr")) == expected


@pytest.mark.parametrize("row", transforms.PRF, ids=lambda row: row.keywords[0])
def test_rekeying_takes_the_old_prf_for_skeyseed(row: transforms.PrfRow) -> None:
    """RFC 7296 §2.18. No 64-bit rule here: SK_d has the length the old prf wants."""
    suite, random = ike("aes256gcm16-prfsha256-x25519"), tape("rekey")
    sk_d, shared, nonce_i, nonce_r, spi_i, spi_r = (random(n) for n in (row.prf.octets, 32, 32, 40, 8, 8))
    keys = kdf_v2.derive_rekeyed_ike(suite, row.prf, sk_d, shared, nonce_i, nonce_r, spi_i, spi_r)
    skeyseed = row.prf.compute(sk_d, shared + nonce_i + nonce_r)
    assert joined(keys) == suite.prf.plus(skeyseed, nonce_i + nonce_r + spi_i + spi_r, 3 * 32 + 2 * 36)


@pytest.mark.conformance("v2-113")
@pytest.mark.parametrize("row", transforms.PRF, ids=lambda row: row.keywords[0])
def test_resumption(row: transforms.PrfRow) -> None:
    """RFC 5723 §5.1: SKEYSEED = prf(SK_d, "Resumption" | Ni | Nr), 10 octets without a zero; the rest as ever."""
    suite, random = ike(f"aes256gcm16-{row.keywords[0]}-x25519"), tape("resume")
    sk_d, nonce_i, nonce_r, spi_i, spi_r = (random(n) for n in (row.prf.octets, 32, 40, 8, 8))
    keys = kdf_v2.derive_resumed(suite, sk_d, nonce_i, nonce_r, spi_i, spi_r)
    skeyseed = row.prf.compute(sk_d, bytes.fromhex("526573756d7074696f6e") + nonce_i + nonce_r)
    seed = nonce_i + nonce_r + spi_i + spi_r
    assert joined(keys) == row.prf.plus(skeyseed, seed, 3 * row.prf.octets + 2 * 36)


def test_additional_key_exchanges() -> None:
    """RFC 9370 §2.2.2 in IKE_INTERMEDIATE; §2.2.4 in CREATE_CHILD_SA: SK(0) | Ni | Nr | SK(1) | ..."""
    suite, random = ike("aes256gcm16-prfsha256-x25519"), tape("hybrid")
    sk_d, first, second, nonce_i, nonce_r, spi_i, spi_r = (random(n) for n in (32, 32, 32, 32, 32, 8, 8))
    nonce, prf = nonce_i + nonce_r, suite.prf
    spis = (nonce_i, nonce_r, spi_i, spi_r)

    intermediate = kdf_v2.derive_intermediate(suite, sk_d, second, *spis)
    assert joined(intermediate) == prf.plus(prf.compute(sk_d, second + nonce), nonce + spi_i + spi_r, 168)

    rekeyed = kdf_v2.derive_rekeyed_ike(suite, prf, sk_d, first, *spis, additional=second)
    assert joined(rekeyed) == prf.plus(prf.compute(sk_d, first + nonce + second), nonce + spi_i + spi_r, 168)

    made = kdf_v2.derive_child(prf, child("aes128gcm16"), sk_d, nonce_i, nonce_r, first, second)
    assert made.encr_i + made.encr_r == prf.plus(sk_d, first + nonce + second, 40)


def test_post_quantum_pre_shared_key() -> None:
    """RFC 8784 §3: SK_d, SK_pi and SK_pr change, what encrypts IKE_AUTH does not."""
    suite = ike("aes256gcm16-prfsha256-x25519")
    before = kdf_v2.derive_ike(suite, bytes(32), bytes(32), bytes(32), bytes(8), bytes(8))
    after = kdf_v2.mix_ppk(suite.prf, b"ppk", before)
    for key in NAMES:
        old, new = getattr(before, key), getattr(after, key)
        assert new == (suite.prf.plus(b"ppk", old, 32) if key in ("sk_d", "sk_pi", "sk_pr") else old)


def test_post_quantum_pre_shared_key_in_all_keys() -> None:
    """RFC 9867 §3.1: SKEYSEED is prf+(PPK, SK_d), of the prf's preferred key size; whose key PPK is, of any length."""
    suite, ppk = ike("aes256gcm16-prfsha384-x25519"), bytes(range(70))
    nonces, spis = (b"i" * 32, b"r" * 24), (b"spi of i", b"spi of r")
    keys = kdf_v2.derive_with_ppk(suite, b"SK_d", ppk, *nonces, *spis)
    skeyseed = hmac.digest(ppk, b"SK_d\x01", "sha384")
    assert joined(keys) == suite.prf.plus(skeyseed, b"".join((*nonces, *spis)), 3 * 48 + 2 * 36)
    shown = kdf_v2.ppk_confirmation(suite.prf, ppk, *nonces, *spis)
    assert shown == hmac.digest(ppk, b"".join((*nonces, *spis)), "sha384")[:8]


def test_keys_do_not_print() -> None:
    keys = kdf_v2.derive_ike(ike("aes128-sha256-x25519"), bytes(32), bytes(32), bytes(32), bytes(8), bytes(8))
    text = repr(keys) + repr(
        kdf_v2.derive_child(ike("aes128-sha256-x25519").prf, child("aes128gcm16"), keys.sk_d, b"", b"")
    )
    assert text.count("secret octets") == 7 + 4
    assert not any(getattr(keys, key).hex() in text for key in NAMES)
