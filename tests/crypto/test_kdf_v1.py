from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from ikectl.crypto import kdf_v1, transforms
from ikectl.crypto.proposal import ChildSuite, parse_proposal
from ikectl.crypto.suite_v1 import IsakmpSuite
from ikectl.errors import PeerMisbehaved
from ikectl.iana.v2 import EncryptionId, KeyExchangeMethod, Protocol
from ikectl.values.secret import Secret
from tests.crypto.vectors import name, tape, vectors

AH, ESP = 2, 3
V1_CIPHERS = [row for row in transforms.ENCRYPTION if row.v1_ike]


def suite(cipher: str = "aes128", prf: str = "prfsha1") -> IsakmpSuite:
    """A suite of rows named by keyword."""
    rows = transforms.BY_KEYWORD
    return IsakmpSuite.of(rows[cipher], rows[prf], KeyExchangeMethod.MODP_2048)


def child(text: str, protocol: Protocol = Protocol.ESP) -> ChildSuite:
    return ChildSuite.of(parse_proposal(text, protocol))


# -- SKEYID and what comes of it -----------------------------------------------


@pytest.mark.parametrize("vector", vectors("signature", "kdf_v1"), ids=name)
@pytest.mark.conformance("v1-12")
def test_published_chain(vector: dict) -> None:
    v, chosen = vector, suite(prf=vector["keyword"])
    skeyid = kdf_v1.skeyid_signature(chosen.prf, v["nonce_i"], v["nonce_r"], v["g_xy"])
    assert skeyid == v["skeyid"]
    keys = kdf_v1.derive(chosen, skeyid, v["g_xy"], v["cookie_i"], v["cookie_r"])
    assert (keys.skeyid_d, keys.skeyid_a, keys.skeyid_e) == (v["skeyid_d"], v["skeyid_a"], v["skeyid_e"])
    assert keys.skeyid == skeyid
    assert keys.cipher_key == v["skeyid_e"][:16]


@pytest.mark.parametrize("vector", vectors("psk", "kdf_v1"), ids=name)
@pytest.mark.conformance("v1-12")
def test_published_pre_shared_key(vector: dict) -> None:
    prf = suite(prf=vector["keyword"]).prf
    assert kdf_v1.skeyid_psk(prf, vector["psk"], vector["nonce_i"], vector["nonce_r"]) == vector["skeyid"]


@pytest.mark.conformance("v1-12")
def test_public_key_encryption_keys_the_prf_with_the_bare_hash() -> None:
    """RFC 2409 §5.2: SKEYID = prf(hash(Ni_b | Nr_b), CKY-I | CKY-R)."""
    made = kdf_v1.skeyid_encryption(suite(), b"nonce of i", b"nonce of r", b"cookie-i", b"cookie-r")
    key = hashlib.sha1(b"nonce of inonce of r").digest()
    assert made == hmac.digest(key, b"cookie-icookie-r", "sha1")


@pytest.mark.parametrize("vector", vectors("stretch", "kdf_v1"), ids=name)
@pytest.mark.conformance("v1-12")
def test_published_stretching(vector: dict) -> None:
    """RFC 2409 App. B: K1 = prf(SKEYID_e, 0), K2 = prf(SKEYID_e, K1), ... once SKEYID_e is too short."""
    chosen = suite("aes256" if vector["keyword"] == "prfsha1" else "3des", vector["keyword"])
    octets = chosen.encryption.key_octets
    expected = vector["output"] if octets > len(vector["key"]) else vector["key"]
    assert kdf_v1.cipher_key(chosen, vector["key"]) == expected[:octets]


@pytest.mark.parametrize("row", V1_CIPHERS, ids=lambda row: row.keywords[0])
@pytest.mark.parametrize("hashing", ["prfmd5", "prfsha1", "prfsha256", "prfsha384", "prfsha512"])
@pytest.mark.conformance("v1-12")
def test_the_cipher_key_is_as_long_as_the_cipher_wants(row: transforms.Encryption, hashing: str) -> None:
    chosen, random = suite(row.keywords[0], hashing), tape(hashing)
    keys = kdf_v1.derive(chosen, random(chosen.prf.octets), random(256), random(8), random(8))
    assert len(keys.cipher_key) == row.key_octets
    whole, block = keys.skeyid_e, chosen.prf.compute(keys.skeyid_e, b"\0")
    if len(whole) < row.key_octets:
        whole = b""
        while len(whole) < row.key_octets:
            whole, block = whole + block, chosen.prf.compute(keys.skeyid_e, block)
    assert keys.cipher_key == whole[: row.key_octets]


def test_keys_do_not_print() -> None:
    keys = kdf_v1.derive(suite(), b"skeyid", b"g^xy", bytes(8), bytes(8))
    for field in ("skeyid", "skeyid_d", "skeyid_a", "skeyid_e", "cipher_key"):
        assert type(getattr(keys, field)) is Secret
    assert keys.skeyid_e.hex() not in repr(keys)


# -- weak keys -----------------------------------------------------------------

WEAK = (
    ("0101010101010101", "0101010101010101"),
    ("fefefefefefefefe", "fefefefefefefefe"),
    ("e0e0e0e0f1f1f1f1", "e0e0e0e0f1f1f1f1"),
    ("1f1f1f1f0e0e0e0e", "1f1f1f1f0e0e0e0e"),
    ("011f011f010e010e", "1f011f010e010e01"),
    ("01e001e001f101f1", "e001e001f101f101"),
    ("01fe01fe01fe01fe", "fe01fe01fe01fe01"),
    ("1fe01fe00ef10ef1", "e01fe01ff10ef10e"),
    ("1ffe1ffe0efe0efe", "fe1ffe1ffe0efe0e"),
    ("e0fee0fef1fef1fe", "fee0fee0fef1fef1"),
)


@pytest.mark.parametrize(("first", "second"), WEAK)
def test_weak_keys_of_des_are_passed_over(first: str, second: str) -> None:
    """RFC 2409 App. A and B. That the two undo each other shows the table is right."""
    for one, other in ((bytes.fromhex(first), bytes.fromhex(second)), (bytes.fromhex(second), bytes.fromhex(first))):
        encrypted = Cipher(TripleDES(one * 3), modes.ECB()).encryptor().update(b"8 octets")
        assert Cipher(TripleDES(other * 3), modes.ECB()).encryptor().update(encrypted) == b"8 octets"
        bare = bytes(octet ^ 1 for octet in one)
        for weak in (one, bare):
            assert kdf_v1.cipher_key(suite("des"), weak + b"goodkey!rest") == b"goodkey!"
            with pytest.raises(PeerMisbehaved):
                kdf_v1.cipher_key(suite("des", "prfmd5"), weak + weak)
            with pytest.raises(PeerMisbehaved):
                kdf_v1.refuse_weak(EncryptionId.DES, weak)


@pytest.mark.parametrize("key", [b"12345678" * 3, b"1234567812345678abcdefgh", b"abcdefgh1234567812345679"])
def test_3des_of_one_key_is_refused(key: bytes) -> None:
    """RFC 2451 §2.3: K1 = K2 or K2 = K3 is no more than DES; parity does not count."""
    with pytest.raises(PeerMisbehaved):
        kdf_v1.refuse_weak(EncryptionId.DES3, key)
    kdf_v1.refuse_weak(EncryptionId.DES3, b"12345678abcdefgh12345678")


# -- IVs and messages ----------------------------------------------------------


@pytest.mark.parametrize("row", V1_CIPHERS, ids=lambda row: row.keywords[0])
@pytest.mark.conformance("v1-13")
def test_ivs(row: transforms.Encryption) -> None:
    """RFC 2409 App. B: hash(g^xi | g^xr), then the last block; hash(last block | M-ID) for phase 2."""
    chosen, key = suite(row.keywords[0], "prfsha256"), bytes(range(1, row.key_octets + 1))
    first = kdf_v1.phase1_iv(chosen, b"g^xi", b"g^xr")
    assert first == hashlib.sha256(b"g^xig^xr").digest()[: row.block_octets]
    sealed = chosen.encrypt(key, first, bytes(4 * row.block_octets))
    assert chosen.decrypt(key, first, sealed) == bytes(4 * row.block_octets)
    last = sealed[-chosen.block_octets :]
    second = kdf_v1.phase2_iv(chosen, last, 0x01020304)
    assert second == hashlib.sha256(last + b"\1\2\3\4").digest()[: row.block_octets]
    # The chain: two messages, the second with the last block of the first as IV, are one CBC run.
    again = chosen.encrypt(key, last, bytes(4 * row.block_octets))
    assert sealed + again == chosen.encrypt(key, first, bytes(8 * row.block_octets))


@pytest.mark.conformance("v1-14")
def test_hash_i_and_hash_r() -> None:
    """RFC 2409 §5: each end puts its own value and cookie first; both cover the initiator's SA."""
    prf, parts = suite().prf, (b"g^xi", b"g^xr", b"cookie-i", b"cookie-r", b"SAi_b")
    assert kdf_v1.hash_i(prf, b"k", *parts, b"IDii_b") == hmac.digest(
        b"k", b"g^xig^xrcookie-icookie-rSAi_bIDii_b", "sha1"
    )
    assert kdf_v1.hash_r(prf, b"k", *parts, b"IDir_b") == hmac.digest(
        b"k", b"g^xrg^xicookie-rcookie-iSAi_bIDir_b", "sha1"
    )


# -- children ------------------------------------------------------------------


@pytest.mark.parametrize("vector", vectors("keymat", "kdf_v1"), ids=name)
@pytest.mark.conformance("v1-24")
def test_published_expansion(vector: dict) -> None:
    """RFC 2409 §5.5: K1 = prf(key, seed), K2 = prf(key, K1 | seed), ... The one octet of seed is the protocol's."""
    prf = suite(prf=vector["keyword"]).prf
    for octets in (15, len(vector["key"]), len(vector["output"])):
        made = kdf_v1.keymat(prf, vector["key"], vector["seed"][0], b"", b"", b"", b"", octets)
        assert made == vector["output"][:octets]


@pytest.mark.parametrize(
    ("text", "protocol", "lengths"),
    [
        ("des-md5", ESP, (8, 16)),
        ("3des-sha1", ESP, (24, 20)),
        ("aes256-sha512", ESP, (32, 64)),
        ("camellia192-aesxcbc", ESP, (24, 16)),
        ("aes128gcm16", ESP, (20, 0)),
        ("aes256ccm8", ESP, (35, 0)),
        ("aes128gmac", ESP, (20, 0)),
        ("aes192ctr-sha256", ESP, (28, 32)),
        ("null-sha1", ESP, (0, 20)),
        ("sha384", AH, (0, 48)),
    ],
)
@pytest.mark.parametrize("g_xy", [b"", b"g(qm)^xy"], ids=["without PFS", "with PFS"])
@pytest.mark.conformance("v1-24")
def test_child_keys(text: str, protocol: int, lengths: tuple[int, int], g_xy: bytes) -> None:
    """Each SA has keys of its own; what the initiator sends is under the responder's SPI."""
    chosen, prf = child(text, Protocol.AH if protocol == AH else Protocol.ESP), suite().prf
    nonces = b"nonce of i", b"nonce of r"
    keys = kdf_v1.derive_child(prf, chosen, b"skeyid_d", protocol, b"SPIi", b"SPIr", *nonces, g_xy)
    for spi, encr, integ in ((b"SPIr", keys.encr_i, keys.integ_i), (b"SPIi", keys.encr_r, keys.integ_r)):
        assert (len(encr), len(integ)) == lengths
        block, whole = b"", b""
        while len(whole) < sum(lengths):
            seed = block + g_xy + bytes((protocol,)) + spi + b"nonce of inonce of r"
            block = hmac.digest(b"skeyid_d", seed, "sha1")
            whole += block
        assert encr + integ == whole[: sum(lengths)]
        assert type(encr) is Secret and type(integ) is Secret
