from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ikectl.crypto import transforms
from ikectl.crypto.cipher import SkCipher
from ikectl.crypto.proposal import IkeSuite, parse_proposal
from ikectl.errors import IntegrityFailure
from ikectl.iana.v2 import Protocol
from ikectl.wire.header import Header
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.sealed import open_sealed, seal
from tests.crypto.vectors import name, tape, vectors
from tests.wire.captured import KEYS, MESSAGES

IKE_ROWS = [row for row in transforms.ENCRYPTION if row.ike]


def bound(row: transforms.Encryption, integrity: str = "sha256") -> SkCipher:
    """A cipher for one direction with keys off a tape."""
    words = [row.keywords[0], "prfsha256", "x25519"] + ([] if row.combined else [integrity])
    suite = IkeSuite.of(parse_proposal("-".join(words), Protocol.IKE))
    random = tape(row.keywords[0])
    return suite.ike_cipher(random(suite.encryption_octets), random(suite.integrity_octets))


@pytest.mark.parametrize("vector", vectors("aead"), ids=name)
def test_published_aead(vector: dict) -> None:
    aead = transforms.BY_KEYWORD[vector["keyword"]].aead
    key, nonce, associated = vector["key"], vector["nonce"], vector["associated"]
    assert aead.seal(key, nonce, vector["plain"], associated) == vector["sealed"]
    assert aead.open(key, nonce, vector["sealed"], associated) == vector["plain"]


@pytest.mark.parametrize("vector", vectors("block"), ids=name)
def test_published_block_modes(vector: dict) -> None:
    block = transforms.BY_KEYWORD[vector["keyword"]].block
    assert block.encrypt(vector["key"], vector["iv"], vector["plain"]) == vector["cipher"]
    assert block.decrypt(vector["key"], vector["iv"], vector["cipher"]) == vector["plain"]


@pytest.mark.parametrize("row", IKE_ROWS, ids=lambda row: row.keywords[0])
def test_every_cipher_has_a_vector(row: transforms.Encryption) -> None:
    covered = {vector["keyword"] for kind in ("aead", "block") for vector in vectors(kind)}
    assert row.keywords[0] in covered


@pytest.mark.parametrize("row", IKE_ROWS, ids=lambda row: row.keywords[0])
@pytest.mark.conformance("v2-60")
def test_salt_goes_before_the_iv(row: transforms.Encryption) -> None:
    """RFC 4106 §4 and RFC 7634 §2: 4 octets of salt; RFC 4309 §4: 3; RFC 3686 §4: 4 octets of nonce."""
    key = tape("key")(row.key_octets)
    iv, plain, associated = bytes(range(row.iv_octets)), bytes(48), b"header"
    words = [row.keywords[0], "prfsha256", "x25519"] + ([] if row.combined else ["sha256"])
    suite = IkeSuite.of(parse_proposal("-".join(words), Protocol.IKE))
    assert suite.encryption_octets == row.key_bits // 8 + row.salt_octets
    sealed = suite.ike_cipher(key, bytes(suite.integrity_octets)).seal(iv, associated, plain)
    if row.aead is not None:
        own, salt = key[: -row.salt_octets], key[-row.salt_octets :]
        assert len(salt) == (3 if "ccm" in row.keywords[0] else 4)
        assert sealed == row.aead.seal(own, salt + iv, plain, associated)
    else:
        assert row.salt_octets == (4 if "ctr" in row.keywords[0] else 0)
        assert sealed[:48] == row.block.encrypt(key, iv, plain)


@pytest.mark.parametrize("integrity", [row.keywords[0] for row in transforms.INTEGRITY])
@pytest.mark.conformance("v2-60")
def test_the_mac_covers_all_before_it(integrity: str) -> None:
    """RFC 7296 §3.14: header, IV, ciphertext; cut to the transform's length."""
    suite = IkeSuite.of(parse_proposal(f"aes128-{integrity}-prfsha256-x25519", Protocol.IKE))
    mac = suite.integrity.mac
    key = tape(integrity)(mac.key_octets)
    assert suite.integrity_octets == mac.key_octets
    sealed = suite.ike_cipher(bytes(16), key).seal(bytes(16), b"header", bytes(32))
    assert sealed[32:] == mac.compute(key, b"header" + bytes(16) + sealed[:32])


@pytest.mark.parametrize("row", IKE_ROWS, ids=lambda row: row.keywords[0])
@settings(max_examples=25)
@given(data=st.data())
def test_what_was_changed_does_not_open(row: transforms.Encryption, data: st.DataObject) -> None:
    cipher = bound(row)
    plain = bytes(data.draw(st.integers(0, 6)) * row.block_octets)
    iv = data.draw(st.binary(min_size=cipher.iv_octets, max_size=cipher.iv_octets))
    associated = data.draw(st.binary(max_size=40))
    sealed = cipher.seal(iv, associated, plain)
    assert len(sealed) == len(plain) + cipher.icv_octets
    assert cipher.open(iv, associated, sealed) == plain

    whole = bytearray(iv + associated + sealed)
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    parts = len(iv), len(iv) + len(associated)
    with pytest.raises(IntegrityFailure):
        cipher.open(bytes(whole[: parts[0]]), bytes(whole[parts[0] : parts[1]]), bytes(whole[parts[1] :]))


@pytest.mark.parametrize("row", IKE_ROWS, ids=lambda row: row.keywords[0])
@settings(max_examples=20)
@given(sealed=st.binary(max_size=80), iv=st.binary(max_size=20))
def test_any_octets_are_refused_alike(row: transforms.Encryption, sealed: bytes, iv: bytes) -> None:
    with pytest.raises(IntegrityFailure):
        bound(row).open(iv, b"header", sealed)


@pytest.mark.parametrize("row", IKE_ROWS, ids=lambda row: row.keywords[0])
def test_counters_serve_as_iv_where_repetition_alone_is_forbidden(row: transforms.Encryption) -> None:
    cbc = row.keywords[0] in {"3des", "des", "aes128", "aes192", "aes256", "camellia128", "camellia192", "camellia256"}
    assert bound(row).counter_iv == row.counter_iv == (not cbc)


def test_messages_of_strongswan_open_and_seal_again() -> None:
    suite = IkeSuite.of(parse_proposal("aes256gcm16-prfsha384-x25519", Protocol.IKE))
    opened = 0
    for datagram in MESSAGES:
        message = Message.read(datagram)
        if message.payloads[-1].TYPE.name != "SK":
            continue
        key = KEYS[datagram[:8].hex(), "SK_ei" if datagram[19] & 0x08 else "SK_er"]
        cipher = suite.ike_cipher(key, b"")
        inner = open_sealed(Header.read(datagram), datagram, cipher)
        again = seal(inner, cipher, bytes(8))
        assert open_sealed(Header.read(again), again, cipher) == inner
        opened += 1
    assert opened
