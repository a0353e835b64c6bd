from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from ikectl.crypto import transforms
from ikectl.crypto.signature import PrivateKey
from ikectl.crypto.signature_v1 import (
    REJECTED_OCTETS,
    RSA_METHODS,
    hash_prf,
    rsa_decrypt,
    rsa_encrypt,
    sign,
    verify,
)
from ikectl.crypto.suite_v1 import IsakmpSuite
from ikectl.errors import AuthenticationFailed, CredentialError
from ikectl.iana.v1 import AuthMethod
from ikectl.iana.v2 import KeyExchangeMethod
from tests.crypto.vectors import tape, vectors

RSA = rsa.generate_private_key(65537, 2048)
SHORT = rsa.generate_private_key(65537, 1024)
ECDSA = {
    AuthMethod.ECDSA_256: (ec.generate_private_key(ec.SECP256R1()), 32),
    AuthMethod.ECDSA_384: (ec.generate_private_key(ec.SECP384R1()), 48),
    AuthMethod.ECDSA_521: (ec.generate_private_key(ec.SECP521R1()), 64),
}


def suite(cipher: str = "aes128", prf: str = "prfsha1") -> IsakmpSuite:
    rows = transforms.BY_KEYWORD
    return IsakmpSuite.of(rows[cipher], rows[prf], KeyExchangeMethod.MODP_2048)


def spki(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


# -- signatures ----------------------------------------------------------------


@pytest.mark.parametrize("octets", [16, 20, 32, 48, 64])
@pytest.mark.conformance("v1-15")
def test_rsa_signs_the_bare_hash(octets: int) -> None:
    """RFC 2409 §5.1: PKCS #1 block type 1 around the hash and nothing else, no DigestInfo."""
    hash = tape("hash")(octets)
    signature = sign(RSA, AuthMethod.RSA_SIGNATURE, hash)
    numbers = RSA.public_key().public_numbers()
    block = pow(int.from_bytes(signature, "big"), numbers.e, numbers.n).to_bytes(256, "big")
    assert block == b"\0\1" + b"\xff" * (253 - octets) + b"\0" + hash
    for method in RSA_METHODS:
        assert sign(RSA, method, hash) == signature
        verify(spki(RSA), method, signature, hash)


@pytest.mark.conformance("v1-15")
def test_a_signature_with_digest_info_is_none() -> None:
    with_info = RSA.sign(b"octets", padding.PKCS1v15(), hashes.SHA1())
    with pytest.raises(AuthenticationFailed, match="does not verify"):
        verify(spki(RSA), AuthMethod.RSA_SIGNATURE, with_info, hashlib.sha1(b"octets").digest())


@pytest.mark.parametrize("method", ECDSA)
def test_ecdsa(method: AuthMethod) -> None:
    """RFC 4754 §7: r and s side by side; the hash is the digest."""
    key, octets = ECDSA[method]
    hash = tape("ecdsa")(octets)
    signature = sign(key, method, hash)
    assert len(signature) == 2 * ((key.key_size + 7) // 8)
    assert sign(key, method, hash) == signature
    verify(spki(key), method, signature, hash)


@pytest.mark.parametrize("vector", vectors("ecdsa"), ids=lambda vector: vector["source"])
def test_published_ecdsa(vector: dict) -> None:
    """Over the digest of the message, which is where the hash stands in IKEv1."""
    assert (vector["curve"], vector["hash"]) == ("secp256r1", "SHA2_256")
    key = ec.derive_private_key(int.from_bytes(vector["private"], "big"), ec.SECP256R1())
    digest, signature = hashlib.sha256(vector["message"]).digest(), vector["r"] + vector["s"]
    verify(spki(key), AuthMethod.ECDSA_256, signature, digest)
    if "6979" in vector["source"]:  # the other one drew its own k
        assert sign(key, AuthMethod.ECDSA_256, digest) == signature


def test_hash_i_has_the_hash_of_the_signature() -> None:
    """RFC 2409 §5.1: where the signature is tied to a hash, HASH_I and HASH_R are HMAC of that one."""
    chosen = suite(prf="prfmd5")
    assert [hash_prf(method, chosen).octets for method in ECDSA] == [32, 48, 64]
    assert all(hash_prf(method, chosen) is chosen.prf for method in (*RSA_METHODS, AuthMethod.PRE_SHARED_KEY))


@pytest.mark.parametrize(
    ("key", "method"),
    [
        (RSA, AuthMethod.ECDSA_256),
        (RSA, AuthMethod.PRE_SHARED_KEY),
        (RSA, AuthMethod.DSS),
        (ECDSA[AuthMethod.ECDSA_256][0], AuthMethod.ECDSA_384),
        (ECDSA[AuthMethod.ECDSA_256][0], AuthMethod.RSA_SIGNATURE),
        (ed25519.Ed25519PrivateKey.generate(), AuthMethod.RSA_SIGNATURE),
        (ec.generate_private_key(ec.BrainpoolP256R1()), AuthMethod.ECDSA_256),
    ],
)
def test_the_key_must_suit_the_method(key: PrivateKey, method: AuthMethod) -> None:
    with pytest.raises(CredentialError):
        sign(key, method, bytes(32))
    with pytest.raises(AuthenticationFailed, match="not of the kind"):
        verify(spki(key), method, bytes(64), bytes(32))


def test_a_hash_of_another_length_is_not_signed() -> None:
    with pytest.raises(CredentialError):
        sign(ECDSA[AuthMethod.ECDSA_256][0], AuthMethod.ECDSA_256, bytes(20))
    with pytest.raises(CredentialError, match="too short"):
        sign(SHORT, AuthMethod.RSA_SIGNATURE, bytes(128))


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([(RSA, AuthMethod.RSA_SIGNATURE, 20), *((k, m, n) for m, (k, n) in ECDSA.items())]), st.data())
def test_what_was_changed_does_not_verify(case: tuple[PrivateKey, AuthMethod, int], data: st.DataObject) -> None:
    key, method, octets = case
    hash = bytearray(data.draw(st.binary(min_size=octets, max_size=octets)))
    signature = bytearray(sign(key, method, bytes(hash)))
    target = data.draw(st.sampled_from([hash, signature]))
    target[data.draw(st.integers(0, len(target) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(AuthenticationFailed):
        verify(spki(key), method, bytes(signature), bytes(hash))
    with pytest.raises(AuthenticationFailed):
        verify(spki(key), method, data.draw(st.binary(max_size=300)), bytes(hash))


def test_a_key_that_cannot_be_read() -> None:
    with pytest.raises(AuthenticationFailed):
        verify(b"no key", AuthMethod.RSA_SIGNATURE, bytes(256), bytes(20))
    with pytest.raises(AuthenticationFailed):
        rsa_encrypt(b"no key", b"nonce")


# -- public key encryption -----------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=245))
def test_encrypted_bodies_come_back(body: bytes) -> None:
    """RFC 2409 §5.2: PKCS #1 format, block type 2."""
    encrypted = rsa_encrypt(spki(RSA), body)
    assert len(encrypted) == 256
    assert rsa_decrypt(RSA, encrypted, tape("rejected")) == body


def test_a_body_longer_than_the_key_has_room_for() -> None:
    with pytest.raises(CredentialError, match="1024 bits cannot encrypt 118 octets"):
        rsa_encrypt(spki(SHORT), bytes(118))
    assert rsa_decrypt(SHORT, rsa_encrypt(spki(SHORT), bytes(117)), tape("rejected")) == bytes(117)


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=256, max_size=256) | st.binary(max_size=300))
def test_wrong_padding_gives_octets_and_no_error(data: bytes) -> None:
    """No oracle: what the library or we put in place of the text is all that comes out, and the tape moves alike."""
    drawn: list[int] = []

    def random(octets: int) -> bytes:
        drawn.append(octets)
        return b"r" * octets

    assert isinstance(rsa_decrypt(RSA, data, random), bytes)
    assert drawn == [REJECTED_OCTETS]


def test_the_library_rejects_implicitly() -> None:
    """A block of type 1, as a signature makes it: its length is right, its padding is not."""
    signature = sign(RSA, AuthMethod.RSA_SIGNATURE, bytes(20))
    made = rsa_decrypt(RSA, signature, lambda octets: b"r" * octets)
    assert made != b"r" * REJECTED_OCTETS
    assert made == rsa_decrypt(RSA, signature, lambda octets: b"s" * octets)


def test_only_rsa_keys_encrypt() -> None:
    key = ECDSA[AuthMethod.ECDSA_256][0]
    with pytest.raises(CredentialError):
        rsa_encrypt(spki(key), b"nonce")
    with pytest.raises(CredentialError):
        rsa_decrypt(key, bytes(256), tape("rejected"))
