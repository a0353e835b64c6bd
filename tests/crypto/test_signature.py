from __future__ import annotations

import pickle

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from ikectl.crypto.signature import (
    OLD_SCHEMES,
    SCHEMES,
    PrivateKey,
    Scheme,
    auth_payload_data,
    schemes_for,
    sign,
    verify,
)
from ikectl.errors import AuthenticationFailed, CredentialError
from ikectl.iana.v2 import AuthMethod, HashAlgorithm
from tests.crypto.vectors import name, vectors

H = HashAlgorithm
SHA2 = (H.SHA2_256, H.SHA2_384, H.SHA2_512)
ALL = (*SHA2, H.IDENTITY, H.SHA1)
OCTETS = b"signed octets"

# RFC 7427 §A.1 and §A.2 as they stand there; §A.4 without the trailer field, which DER leaves out (X.690 §11.5), made
# by OpenSSL 3.0 (req -x509 -sigopt rsa_padding_mode:pss); RFC 8420 §A.1 and §A.2.
IDENTIFIERS = {
    "RSA_EMSA_PKCS1_SHA1": "300d06092a864886f70d0101050500",
    "RSA_EMSA_PKCS1_SHA2_256": "300d06092a864886f70d01010b0500",
    "RSA_EMSA_PKCS1_SHA2_384": "300d06092a864886f70d01010c0500",
    "RSA_EMSA_PKCS1_SHA2_512": "300d06092a864886f70d01010d0500",
    "ECDSA_WITH_SHA1": "300906072a8648ce3d0401",
    "ECDSA_WITH_SHA2_256": "300a06082a8648ce3d040302",
    "ECDSA_WITH_SHA2_384": "300a06082a8648ce3d040303",
    "ECDSA_WITH_SHA2_512": "300a06082a8648ce3d040304",
    "RSA_EMSA_PSS_SHA2_256": "304106092a864886f70d01010a3034a00f300d06096086480165030402010500"
    "a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120",
    "RSA_EMSA_PSS_SHA2_384": "304106092a864886f70d01010a3034a00f300d06096086480165030402020500"
    "a11c301a06092a864886f70d010108300d06096086480165030402020500a203020130",
    "RSA_EMSA_PSS_SHA2_512": "304106092a864886f70d01010a3034a00f300d06096086480165030402030500"
    "a11c301a06092a864886f70d010108300d06096086480165030402030500a203020140",
    "ED25519": "300506032b6570",
    "ED448": "300506032b6571",
    "ML_DSA_44": "300b0609608648016503040311",
    "ML_DSA_65": "300b0609608648016503040312",
    "ML_DSA_87": "300b0609608648016503040313",
}

KEYS: dict[str, PrivateKey] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()),
    "brainpool": ec.generate_private_key(ec.BrainpoolP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "ed448": ed448.Ed448PrivateKey.generate(),
    "mldsa44": mldsa.MLDSA44PrivateKey.generate(),
    "mldsa65": mldsa.MLDSA65PrivateKey.generate(),
    "mldsa87": mldsa.MLDSA87PrivateKey.generate(),
}
ECDSA_CURVES = {"secp256r1": ec.SECP256R1()}


def spki(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def scheme(wanted: str) -> Scheme:
    return next(s for s in (*SCHEMES, *OLD_SCHEMES.values()) if s.name == wanted)


def pairs() -> list[tuple[str, Scheme]]:
    """Every key with every scheme that suits it."""
    return [
        (kind, s)
        for kind, key in KEYS.items()
        for s in (*schemes_for(key.public_key(), ALL), *schemes_for(key.public_key(), None))
    ]


@pytest.mark.conformance("v2-63")
def test_identifiers_octet_by_octet() -> None:
    assert {s.name: s.identifier.hex() for s in SCHEMES} == IDENTIFIERS


@pytest.mark.parametrize(("kind", "s"), pairs(), ids=lambda part: str(part))
@pytest.mark.conformance("v2-62")
def test_what_is_signed_verifies(kind: str, s: Scheme) -> None:
    key = KEYS[kind]
    made = sign(key, s, OCTETS)
    data = auth_payload_data(s, made)
    assert data == (bytes((len(s.identifier),)) + s.identifier + made if s.identifier else made)
    assert verify(spki(key), s.method, data, OCTETS, ALL) is s
    with pytest.raises(AuthenticationFailed):
        verify(spki(key), s.method, data, OCTETS + b"!", ALL)


@pytest.mark.conformance("v2-62")
def test_all_methods_are_covered() -> None:
    assert {s.method for _, s in pairs()} == {
        AuthMethod.RSA_SIGNATURE,
        AuthMethod.ECDSA_256,
        AuthMethod.ECDSA_384,
        AuthMethod.ECDSA_521,
        AuthMethod.DIGITAL_SIGNATURE,
    }
    assert {s.name for _, s in pairs()} >= set(IDENTIFIERS)


@pytest.mark.parametrize(
    ("kind", "peer", "first"),
    [
        ("rsa", ALL, "RSA_EMSA_PSS_SHA2_256"),
        ("rsa", (H.SHA2_512, H.SHA1), "RSA_EMSA_PSS_SHA2_512"),
        ("rsa", (H.SHA1,), "RSA_EMSA_PKCS1_SHA1"),
        ("rsa", (H.IDENTITY,), None),
        ("rsa", (), None),
        ("rsa", None, "RSA_SHA1"),
        ("p256", ALL, "ECDSA_WITH_SHA2_256"),
        ("p384", ALL, "ECDSA_WITH_SHA2_384"),
        ("p521", ALL, "ECDSA_WITH_SHA2_512"),
        ("brainpool", (H.SHA2_384,), "ECDSA_WITH_SHA2_384"),
        ("p256", None, "ECDSA_256"),
        ("p384", None, "ECDSA_384"),
        ("p521", None, "ECDSA_521"),
        ("brainpool", None, None),
        ("ed25519", ALL, "ED25519"),
        ("ed25519", SHA2, None),
        ("ed25519", None, None),
        ("ed448", ALL, "ED448"),
        ("ed448", None, None),
        ("mldsa65", ALL, "ML_DSA_65"),
        ("mldsa87", SHA2, None),
        ("mldsa44", None, None),
    ],
)
@pytest.mark.conformance("v2-62")
def test_best_scheme(kind: str, peer: tuple[HashAlgorithm, ...] | None, first: str | None) -> None:
    """Method 14 only with the peer's hashes; without, the methods of RFC 7296 and RFC 4754."""
    found = schemes_for(KEYS[kind].public_key(), peer)
    assert (found[0].name if found else None) == first


def test_larger_rsa_keys_take_larger_hashes_and_short_ones_have_no_room() -> None:
    assert schemes_for(rsa.generate_private_key(65537, 3200).public_key(), ALL)[0].name == "RSA_EMSA_PSS_SHA2_384"
    short = rsa.generate_private_key(65537, 1024)
    names = [s.name for s in schemes_for(short.public_key(), ALL)]
    assert "RSA_EMSA_PSS_SHA2_384" in names
    assert "RSA_EMSA_PSS_SHA2_512" not in names
    with pytest.raises(CredentialError, match="too short"):
        sign(short, scheme("RSA_EMSA_PSS_SHA2_512"), OCTETS)


@pytest.mark.parametrize("s", [s for s in SCHEMES if s.pss], ids=str)
@pytest.mark.conformance("v2-63")
def test_forms_of_pss_parameters(s: Scheme) -> None:
    """NULL or nothing beside each hash (RFC 4055 §2.1 accepts both), the trailer field as RFC 7427 §A.4 prints it."""
    null = s.identifier
    # Both NULLs go, two octets each, and all lengths around them shrink.
    hash_parameters = bytes.fromhex("300d06096086480165030402")
    hashes_bare = bytearray(null.replace(hash_parameters, b"\x30\x0b" + hash_parameters[2:]).replace(b"\x05\x00", b""))
    hashes_bare[1] -= 4
    hashes_bare[14] -= 4
    hashes_bare[16] -= 2
    mask = hashes_bare.index(0xA1)
    hashes_bare[mask + 1] -= 2
    hashes_bare[mask + 3] -= 2
    trailer = bytearray(null + bytes.fromhex("a303020101"))
    trailer[1] += 5
    trailer[14] += 5
    key = KEYS["rsa"]
    made = sign(key, s, OCTETS)
    for identifier in (null, bytes(hashes_bare), bytes(trailer)):
        data = bytes((len(identifier),)) + identifier + made
        assert verify(spki(key), AuthMethod.DIGITAL_SIGNATURE, data, OCTETS, SHA2) is s


@pytest.mark.parametrize("s", [s for s in SCHEMES if s.key in ("rsa", "ecdsa") and not s.pss], ids=str)
@pytest.mark.conformance("v2-63")
def test_absent_and_null_parameters(s: Scheme) -> None:
    """RFC 7427 §A: PKCS#1 has NULL, ECDSA nothing; the other form is taken as well."""
    other = bytearray(s.identifier)
    if s.key == "rsa":
        del other[-2:]
        other[1] -= 2
    else:
        other += b"\x05\x00"
        other[1] += 2
    key = KEYS["rsa" if s.key == "rsa" else "p256"]
    data = bytes((len(other),)) + bytes(other) + sign(key, s, OCTETS)
    assert verify(spki(key), AuthMethod.DIGITAL_SIGNATURE, data, OCTETS, ALL) is s


@pytest.mark.parametrize("kind", ["ed25519", "ed448"])
@pytest.mark.conformance("v2-63")
def test_edwards_identifiers_have_no_parameters(kind: str) -> None:
    """RFC 8410 §3."""
    key, s = KEYS[kind], scheme(kind.upper())
    null = bytearray(s.identifier + b"\x05\x00")
    null[1] += 2
    with pytest.raises(AuthenticationFailed, match="do not know"):
        verify(
            spki(key),
            AuthMethod.DIGITAL_SIGNATURE,
            bytes((len(null),)) + bytes(null) + sign(key, s, OCTETS),
            OCTETS,
            ALL,
        )


@pytest.mark.conformance("v2-62")
def test_hashes_we_did_not_announce_are_refused() -> None:
    """RFC 7427 §4; with none announced, method 14 as a whole."""
    key, s = KEYS["rsa"], scheme("RSA_EMSA_PKCS1_SHA1")
    data = auth_payload_data(s, sign(key, s, OCTETS))
    for announced in (SHA2, ()):
        with pytest.raises(AuthenticationFailed, match="did not announce"):
            verify(spki(key), s.method, data, OCTETS, announced)


@pytest.mark.parametrize("hashing", [*SHA2, H.SHA1], ids=str)
@pytest.mark.conformance("v2-62")
def test_method_1_with_other_hashes(hashing: HashAlgorithm) -> None:
    """RFC 7296 §3.8: SHA-1 is the default, others may come."""
    key = KEYS["rsa"]
    made = sign(key, Scheme("", AuthMethod.RSA_SIGNATURE, "rsa", hashing), OCTETS)
    found = verify(spki(key), AuthMethod.RSA_SIGNATURE, made, OCTETS, ())
    assert (found.method, found.hash) == (AuthMethod.RSA_SIGNATURE, hashing)


@pytest.mark.conformance("v2-62")
def test_method_and_key_must_agree() -> None:
    for method, kind in (
        (AuthMethod.RSA_SIGNATURE, "p256"),
        (AuthMethod.ECDSA_256, "rsa"),
        (AuthMethod.ECDSA_256, "p384"),
        (AuthMethod.ECDSA_384, "p256"),
        (AuthMethod.ECDSA_256, "brainpool"),
    ):
        with pytest.raises(AuthenticationFailed, match="certificate's key"):
            verify(spki(KEYS[kind]), method, bytes(64), OCTETS, ALL)
    for method in (AuthMethod.SHARED_KEY_MIC, AuthMethod.NULL, AuthMethod(77)):
        with pytest.raises(AuthenticationFailed, match="no signature method"):
            verify(spki(KEYS["rsa"]), method, bytes(64), OCTETS, ALL)
    s = scheme("ECDSA_WITH_SHA2_256")
    with pytest.raises(AuthenticationFailed, match="of type rsa"):
        verify(spki(KEYS["rsa"]), s.method, auth_payload_data(s, sign(KEYS["p256"], s, OCTETS)), OCTETS, ALL)


def test_keys_that_do_not_suit_do_not_sign() -> None:
    for kind, wanted in (("rsa", "ED25519"), ("ed25519", "ED448"), ("p256", "RSA_SHA1"), ("p384", "ECDSA_256")):
        with pytest.raises(CredentialError, match="cannot sign"):
            sign(KEYS[kind], scheme(wanted), OCTETS)


def test_certificates_with_other_keys_are_refused() -> None:
    other = dsa.generate_private_key(1024).public_key()
    der = other.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    for octets in (der, b"", b"no key"):
        with pytest.raises(AuthenticationFailed, match="key"):
            verify(octets, AuthMethod.RSA_SIGNATURE, bytes(64), OCTETS, ALL)


@pytest.mark.parametrize("vector", vectors("ecdsa"), ids=name)
@pytest.mark.conformance("v2-62")
def test_published_ecdsa(vector: dict) -> None:
    key = ec.derive_private_key(int.from_bytes(vector["private"], "big"), ECDSA_CURVES[vector["curve"]])
    fixed = vector["r"] + vector["s"]
    assert verify(spki(key), AuthMethod.ECDSA_256, fixed, vector["message"], ()) is scheme("ECDSA_256")
    if "6979" in vector["source"]:
        assert sign(key, scheme("ECDSA_256"), vector["message"]) == fixed


@pytest.mark.parametrize("vector", vectors("eddsa"), ids=name)
@pytest.mark.conformance("v2-62")
def test_published_eddsa(vector: dict) -> None:
    kinds = {"ed25519": ed25519.Ed25519PrivateKey, "ed448": ed448.Ed448PrivateKey}
    key = kinds[vector["key"]].from_private_bytes(vector["private"])
    s = scheme(vector["key"].upper())
    assert sign(key, s, vector["message"]) == vector["signature"]
    data = auth_payload_data(s, vector["signature"])
    assert verify(spki(key), s.method, data, vector["message"], ALL) is s


@pytest.mark.parametrize("kind", ["rsa", "p256", "p521", "ed25519", "ed448"])
def test_signing_is_deterministic_where_the_scheme_is(kind: str) -> None:
    for s in schemes_for(KEYS[kind].public_key(), ALL):
        if not s.pss:
            assert sign(KEYS[kind], s, OCTETS) == sign(KEYS[kind], s, OCTETS)


def test_schemes_pickle_and_print() -> None:
    for s in (*SCHEMES, *OLD_SCHEMES.values()):
        assert pickle.loads(pickle.dumps(s)) == s
        assert str(s) == s.name
        assert len({s, pickle.loads(pickle.dumps(s))}) == 1


@given(
    st.sampled_from(list(KEYS)),
    st.sampled_from([*AuthMethod, AuthMethod(99)]),
    st.binary(max_size=300)
    | st.sampled_from(SCHEMES).flatmap(lambda s: st.binary(max_size=99).map(lambda d: auth_payload_data(s, d))),
)
@settings(max_examples=200)
def test_any_octets_are_refused(kind: str, method: AuthMethod, data: bytes) -> None:
    with pytest.raises(AuthenticationFailed):
        verify(spki(KEYS[kind]), method, data, OCTETS, ALL)
