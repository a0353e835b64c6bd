from __future__ import annotations

import pickle

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from ikectl.crypto import ke, transforms
from ikectl.errors import PeerMisbehaved
from ikectl.iana.v2 import KeyExchangeMethod, NotifyType
from ikectl.values.secret import Secret
from tests.crypto.vectors import name, tape, vectors

K = KeyExchangeMethod
SAFE = [method for method, group in ke.METHODS.items() if isinstance(group, ke.SafePrime)]
SUBGROUPS = [method for method, group in ke.METHODS.items() if isinstance(group, ke.Subgroup)]
CURVES = [method for method, group in ke.METHODS.items() if isinstance(group, ke.Curve)]
MODP = SAFE + SUBGROUPS

# What a KE payload carries, in octets: RFC 7296 §3.4 (length of the prime), RFC 5903 §7 and RFC 6954 §3 (x | y),
# RFC 8031 §3.1, FIPS 203 table 3 (encapsulation key, ciphertext).
LENGTHS = {
    K.MODP_768: (96, 96),
    K.MODP_1024: (128, 128),
    K.MODP_1536: (192, 192),
    K.MODP_2048: (256, 256),
    K.MODP_3072: (384, 384),
    K.MODP_4096: (512, 512),
    K.MODP_6144: (768, 768),
    K.MODP_8192: (1024, 1024),
    K.MODP_1024_160: (128, 128),
    K.MODP_2048_224: (256, 256),
    K.MODP_2048_256: (256, 256),
    K.ECP_192: (48, 48),
    K.ECP_224: (56, 56),
    K.ECP_256: (64, 64),
    K.ECP_384: (96, 96),
    K.ECP_521: (132, 132),
    K.ECP_256_BP: (64, 64),
    K.ECP_384_BP: (96, 96),
    K.ECP_512_BP: (128, 128),
    K.CURVE_25519: (32, 32),
    K.CURVE_448: (56, 56),
    K.ML_KEM_512: (800, 768),
    K.ML_KEM_768: (1184, 1088),
    K.ML_KEM_1024: (1568, 1568),
}


def method(keyword: str) -> KeyExchangeMethod:
    return transforms.BY_KEYWORD[keyword].id


def private(group: ke.KeMethod, number: bytes) -> bytes:
    """Drawn octets that make the private key `number`: those of curves and subgroups are reduced and moved by one."""
    if isinstance(group, ke.Curve | ke.Subgroup):
        return (int.from_bytes(number, "big") - 1).to_bytes(len(number), "big")
    return number


@pytest.mark.parametrize("vector", vectors("ke"), ids=name)
def test_published_exchange(vector: dict) -> None:
    kind = method(vector["keyword"])
    group = ke.METHODS[kind]
    drawn = private(group, vector["private"])
    pair = ke.KePair(kind, group.public(group.key(drawn)), Secret(drawn))
    assert pair.public == vector["public"]
    assert ke.combine(pair, vector["peer"]) == vector["shared"]


@pytest.mark.parametrize("vector", vectors("montgomery"), ids=name)
def test_published_scalar_multiplication(vector: dict) -> None:
    pair = ke.KePair(method(vector["keyword"]), b"", Secret(vector["private"]))
    assert ke.combine(pair, vector["peer"]) == vector["shared"]


@pytest.mark.conformance("v2-112")
@pytest.mark.parametrize("vector", vectors("kem"), ids=name)
def test_published_kem(vector: dict) -> None:
    kind = method(vector["keyword"])
    pair = ke.generate(kind, lambda octets: vector["seed"][:octets])
    assert pair.public == vector["public"]
    assert ke.combine(pair, vector["ciphertext"]) == vector["shared"]
    # FIPS 203 §7.3: a ciphertext of the right length that is not one gives a secret nobody else has.
    assert ke.combine(pair, vector["bad_ciphertext"]) == vector["bad_shared"]


def test_encapsulation_of_512_comes_from_given_randomness() -> None:
    (vector,) = (v for v in vectors("kem") if v["keyword"] == "mlkem512")
    public, shared = ke.answer(K.ML_KEM_512, vector["public"], lambda octets: vector["message"][:octets])
    assert (public, shared) == (vector["ciphertext"], vector["shared"])


@pytest.mark.parametrize("vector", vectors("primes"), ids=name)
def test_published_primes(vector: dict) -> None:
    numbers = ke.METHODS[method(vector["keyword"])].numbers
    assert numbers.p == int.from_bytes(vector["prime"], "big")
    assert numbers.g == 2


def test_every_row_has_its_method_and_every_method_its_row() -> None:
    assert {row.id for row in transforms.KE} == set(ke.METHODS) == set(LENGTHS)


@pytest.mark.conformance("v2-112")
@pytest.mark.parametrize("kind", ke.METHODS, ids=lambda kind: kind.name)
def test_both_ends_agree(kind: KeyExchangeMethod) -> None:
    row = transforms.KE_BY_METHOD[kind]
    pair = ke.generate(kind, tape("initiator"))
    public, shared = ke.answer(kind, pair.public, tape("responder"))
    assert ke.combine(pair, public) == shared
    assert (len(pair.public), len(public)) == LENGTHS[kind] == (row.initiator_octets, row.responder_octets)
    assert type(shared) is Secret
    assert ke.combine(pickle.loads(pickle.dumps(pair)), public) == shared


@pytest.mark.parametrize("kind", ke.METHODS, ids=lambda kind: kind.name)
def test_all_is_made_from_given_randomness(kind: KeyExchangeMethod) -> None:
    """But for the encapsulations that the library makes by itself."""
    assert ke.generate(kind, tape("a")) == ke.generate(kind, tape("a"))
    assert ke.generate(kind, tape("a")).public != ke.generate(kind, tape("b")).public
    if kind not in (K.ML_KEM_768, K.ML_KEM_1024):
        peer = ke.generate(kind, tape("peer")).public
        assert ke.answer(kind, peer, tape("a")) == ke.answer(kind, peer, tape("a"))


@pytest.mark.parametrize("kind", MODP, ids=lambda kind: kind.name)
def test_openssl_computes_what_python_does(kind: KeyExchangeMethod) -> None:
    """The trick with the generator as the peer's value, against plain arithmetic."""
    group = ke.METHODS[kind]
    p, g = group.numbers.p, group.numbers.g
    pair, peer = ke.generate(kind, tape("x")), ke.generate(kind, tape("y"))
    x = group.exponent(pair.private)
    assert int.from_bytes(pair.public, "big") == pow(g, x, p)
    assert int.from_bytes(ke.combine(pair, peer.public), "big") == pow(int.from_bytes(peer.public, "big"), x, p)


@pytest.mark.parametrize("kind", SAFE, ids=lambda kind: kind.name)
def test_exponents_are_long_enough(kind: KeyExchangeMethod) -> None:
    """RFC 7919 §5.2 wants 225, 275, 325, 375 and 400 bits for 2048 to 8192."""
    bits = ke.METHODS[kind].exponent(ke.generate(kind, tape("x")).private).bit_length()
    size = 8 * LENGTHS[kind][0]
    assert bits >= next(
        least for most, least in ((2048, 225), (3072, 275), (4096, 325), (6144, 375), (8192, 400)) if size <= most
    )


@pytest.mark.parametrize("kind", SUBGROUPS, ids=lambda kind: kind.name)
def test_exponents_of_subgroups_are_below_q(kind: KeyExchangeMethod) -> None:
    group = ke.METHODS[kind]
    for seed in range(20):
        assert 0 < group.exponent(group.draw(tape(str(seed)))) < group.numbers.q


@pytest.mark.parametrize("kind", ke.METHODS, ids=lambda kind: kind.name)
@pytest.mark.conformance("v2-51", "v2-112")
def test_wrong_length_is_refused(kind: KeyExchangeMethod) -> None:
    pair = ke.generate(kind, tape("initiator"))
    public, _ = ke.answer(kind, pair.public, tape("responder"))
    for wrong in (b"", pair.public[:-1], pair.public + b"\0", b"\0" + pair.public):
        with pytest.raises(PeerMisbehaved) as refusal:
            ke.answer(kind, wrong, tape("responder"))
        assert refusal.value.notify is NotifyType.INVALID_SYNTAX
    for wrong in (b"", public[:-1], public + b"\0", b"\0" + public):
        with pytest.raises(PeerMisbehaved):
            ke.combine(pair, wrong)


@pytest.mark.parametrize("kind", MODP, ids=lambda kind: kind.name)
@pytest.mark.conformance("v2-51")
def test_modp_values_out_of_range_are_refused(kind: KeyExchangeMethod) -> None:
    """RFC 6989 §2.1."""
    p = ke.METHODS[kind].numbers.p
    refused(kind, [n.to_bytes(LENGTHS[kind][0], "big") for n in (0, 1, p - 1, p, p + 1)])


@pytest.mark.parametrize("kind", SUBGROUPS, ids=lambda kind: kind.name)
@pytest.mark.conformance("v2-51")
def test_modp_values_of_a_small_subgroup_are_refused(kind: KeyExchangeMethod) -> None:
    """RFC 6989 §2.2: y^q must be 1. A value raised to q has an order that divides (p-1)/q."""
    numbers = ke.METHODS[kind].numbers
    values = [pow(base, numbers.q, numbers.p) for base in (2, 3, 5)]
    refused(kind, [value.to_bytes(LENGTHS[kind][0], "big") for value in (*values, 2)])


@pytest.mark.parametrize("kind", CURVES, ids=lambda kind: kind.name)
@pytest.mark.conformance("v2-51")
def test_points_off_the_curve_are_refused(kind: KeyExchangeMethod) -> None:
    """RFC 6989 §2.3."""
    good = ke.generate(kind, tape("peer")).public
    half = len(good) // 2
    refused(
        kind,
        [
            good[:-1] + bytes((good[-1] ^ 1,)),
            bytes((good[0] ^ 1,)) + good[1:],
            good[half:] + good[:half],
            bytes(len(good)),
            b"\xff" * len(good),
        ],
    )


@pytest.mark.parametrize(
    "vector", vectors("ke_invalid"), ids=lambda vector: f"{vector['keyword']}-{vector['why'][:20]}"
)
@pytest.mark.conformance("v2-51")
def test_published_bad_points_are_refused(vector: dict) -> None:
    refused(method(vector["keyword"]), [vector["peer"]])


@pytest.mark.parametrize("kind", [K.CURVE_25519, K.CURVE_448], ids=lambda kind: kind.name)
@pytest.mark.conformance("v2-51")
def test_results_of_zero_are_refused(kind: KeyExchangeMethod) -> None:
    """RFC 8031 §3.2 and RFC 7748 §6: points of small order give zero, whatever the private key."""
    octets = LENGTHS[kind][0]
    p = 2**255 - 19 if kind is K.CURVE_25519 else 2**448 - 2**224 - 1
    refused(kind, [n.to_bytes(octets, "little") for n in (0, 1, p - 1, p, p + 1)])


@pytest.mark.parametrize("kind", [K.ML_KEM_512, K.ML_KEM_768, K.ML_KEM_1024], ids=lambda kind: kind.name)
@pytest.mark.conformance("v2-51", "v2-112")
def test_encapsulation_keys_beyond_the_modulus_are_refused(kind: KeyExchangeMethod) -> None:
    """FIPS 203 §7.2: coefficients are below 3329."""
    good = ke.generate(kind, tape("peer")).public
    for bad in (b"\xff\xff\xff" + good[3:], b"\x01\x0d\x00" + good[3:]):
        with pytest.raises(PeerMisbehaved):
            ke.answer(kind, bad, tape("responder"))


@given(st.binary(min_size=64, max_size=64))
@settings(max_examples=50)
def test_any_octets_are_a_point_or_refused(public: bytes) -> None:
    try:
        ke.answer(K.ECP_256, public, tape("x"))
    except PeerMisbehaved:
        return
    assert ke.ec.EllipticCurvePublicKey.from_encoded_point(ke.ec.SECP256R1(), b"\4" + public)


def test_private_halves_do_not_print() -> None:
    pair = ke.generate(K.CURVE_25519, tape("x"))
    assert bytes(pair.private).hex() not in repr(pair)
    assert "<32 secret octets>" in repr(pair)
    raw = pair.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert raw == pair.public


def refused(kind: KeyExchangeMethod, values: list[bytes]) -> None:
    """Neither end takes any of `values`."""
    pair = ke.generate(kind, tape("initiator"))
    for value in values:
        with pytest.raises(PeerMisbehaved):
            ke.combine(pair, value)
        with pytest.raises(PeerMisbehaved):
            ke.answer(kind, value, tape("responder"))
