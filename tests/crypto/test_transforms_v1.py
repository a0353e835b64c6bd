from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.crypto import transforms
from ikectl.crypto.proposal import parse_proposal
from ikectl.crypto.transforms_v1 import (
    AH_AUTHENTICATORS,
    AUTHENTICATORS,
    ESP_CIPHERS,
    GROUPS,
    HASHES,
    IKE_CIPHERS,
    PHASE1,
    PHASE2,
    Lifetime,
    groups_of,
    life_attributes,
    said,
    usable,
    worth_remembering,
)
from ikectl.iana import v1
from ikectl.iana.v2 import KeyExchangeMethod, Protocol
from ikectl.wire.v1.attributes import Attribute
from ikectl.wire.v1.sa import Transform

limits = st.integers(0, 0xFFFFFFFF)
lifetimes = st.builds(Lifetime, limits, limits)


@given(lifetimes, lifetimes)
@pytest.mark.conformance("v1-10")
def test_two_lifetimes_meet_in_the_shorter_one(one: Lifetime, other: Lifetime) -> None:
    met = one.meet(other)
    assert met == other.meet(one)
    assert met.within(one) and met.within(other)
    assert met.meet(one) == met
    assert one.meet(Lifetime()) == one


@pytest.mark.parametrize(
    ("answer", "limit", "within"),
    [
        (Lifetime(10), Lifetime(10), True),
        (Lifetime(11), Lifetime(10), False),
        (Lifetime(), Lifetime(10), True),
        (Lifetime(10, 5), Lifetime(10), True),
        (Lifetime(10, 6), Lifetime(10, 5), False),
    ],
)
def test_within(answer: Lifetime, limit: Lifetime, within: bool) -> None:
    assert answer.within(limit) is within


@given(lifetimes, st.sampled_from([PHASE1, PHASE2]))
@pytest.mark.conformance("v1-9")
def test_lifetimes_are_read_as_they_were_written(lifetime: Lifetime, phase: type) -> None:
    assert said(Transform(1, 1, life_attributes(lifetime, phase)), phase) == ({}, lifetime, "")


@given(st.lists(st.builds(Attribute, st.integers(0, 0x7FFF), st.integers(0, 0xFFFF) | st.binary(max_size=40))))
def test_any_attributes_are_read(attributes: list[Attribute]) -> None:
    for phase in (PHASE1, PHASE2):
        found = said(Transform(1, 1, tuple(attributes)), phase)
        assert set(found.numbers) <= phase.understood
        assert found.flaw or not any(a.type not in (*phase.understood, 1, 2, 11, 12) for a in attributes)


def test_every_number_of_the_table_is_the_registrys() -> None:
    for row in transforms.ENCRYPTION:
        bits = row.key_bits if row.key_attribute else 0
        if row.v1_ike:
            assert v1.EncryptionId(row.v1_ike).assigned and IKE_CIPHERS.row(row.v1_ike, bits) is row
        if row.v1_esp:
            assert v1.EspTransform(row.v1_esp).assigned and ESP_CIPHERS.row(row.v1_esp, bits) is row
    assert all(v1.HashId(number).assigned for number in HASHES)
    assert all(v1.AuthAlgorithm(number).assigned for number in AUTHENTICATORS)
    assert all(v1.AhTransform(number).assigned for number in AH_AUTHENTICATORS)
    assert all(KeyExchangeMethod(number) is row.id for number, row in GROUPS.items())


def test_keyed_by_name_the_registries_agree() -> None:
    """The numbers of both columns mean the same algorithm."""
    for number, row in AUTHENTICATORS.items():
        named = v1.AuthAlgorithm(number).name.removeprefix("HMAC_")
        assert named == v1.AhTransform(row.v1_ah).name
        assert row.name.removeprefix("HMAC_").startswith(named)
    for row in transforms.PRF:
        if row.v1_hash:
            assert row.id.name == f"HMAC_{v1.HashId(row.v1_hash).name}"


def test_what_a_proposal_demands() -> None:
    assert usable(parse_proposal("aes128-sha1-x25519", Protocol.IKE))
    assert not usable(parse_proposal("aes128-sha1-x25519-ke1_mlkem768", Protocol.IKE))
    assert usable(parse_proposal("aes128-sha1-x25519-ke1_mlkem768-ke1_none", Protocol.IKE))
    assert groups_of(parse_proposal("aes128-sha1", Protocol.ESP)) == (None,)
    assert groups_of(parse_proposal("aes128-sha1-mlkem768", Protocol.ESP)) == ()
    assert groups_of(parse_proposal("aes128-sha1-none-modp2048", Protocol.ESP)) == (None, KeyExchangeMethod.MODP_2048)


def test_what_strangers_leave_behind_is_bounded() -> None:
    short = Transform(1, 1, (Attribute(1, 7), Attribute(12, b"\0\1\2\3")))
    assert worth_remembering((short,) * 60)
    assert not worth_remembering((short,) * 200)
    assert not worth_remembering((Transform(1, 1, (Attribute(6, bytes(1000)),)),))
