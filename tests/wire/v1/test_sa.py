"""SA payloads of IKEv1, octet by octet (RFC 2408 §3.4 to §3.6, RFC 2407 §4.6.1)."""

from __future__ import annotations

import pytest

from ikectl.errors import WireError
from ikectl.iana.v1 import (
    KEY_IKE,
    AhTransform,
    EspTransform,
    IpcompTransform,
    PayloadType,
    Phase1Attribute,
    Phase2Attribute,
    ProtocolId,
    protocol_id,
)
from ikectl.wire.v1 import SA, Attribute, Proposal, Transform
from ikectl.wire.v1.payload import read_chain, write_chain
from ikectl.wire.v1.sa import MAX_PROPOSALS, MAX_REMEMBERED_OCTETS

P1, P2 = Phase1Attribute, Phase2Attribute

PHASE1 = SA(
    (
        Proposal(
            1,
            ProtocolId.ISAKMP,
            b"",
            (
                Transform(
                    1,
                    KEY_IKE,
                    (
                        Attribute(P1.ENCRYPTION, 7),
                        Attribute(P1.KEY_LENGTH, 256),
                        Attribute(P1.HASH, 4),
                        Attribute(P1.GROUP, 14),
                        Attribute(P1.AUTH_METHOD, 1),
                        Attribute(P1.LIFE_TYPE, 1),
                        Attribute(P1.LIFE_DURATION, 28800),
                    ),
                ),
                Transform(
                    2,
                    KEY_IKE,
                    (
                        Attribute(P1.ENCRYPTION, 5),
                        Attribute(P1.HASH, 2),
                        Attribute(P1.GROUP, 2),
                        Attribute(P1.AUTH_METHOD, 65001),
                        Attribute(P1.LIFE_TYPE, 1),
                        Attribute(P1.LIFE_DURATION, b"\0\1\x51\x80"),
                    ),
                ),
            ),
        ),
    )
)
PHASE1_OCTETS = bytes.fromhex(
    "00000001 00000001"  # IPsec DOI, identity only
    "00 00 0050 01 01 00 02"  # the only proposal, 80 octets, number 1, ISAKMP, no SPI, 2 transforms
    "03 00 0024 01 01 0000 8001 0007 800e 0100 8002 0004 8004 000e 8003 0001 800b 0001 800c 7080"
    "00 00 0024 02 01 0000 8001 0005 8002 0002 8004 0002 8003 fde9 800b 0001 000c 0004 00015180"
)
BUNDLE = SA(
    (
        Proposal(
            1, ProtocolId.AH, b"\xc0\0\0\1", (Transform(1, AhTransform.SHA1, (Attribute(P2.AUTH_ALGORITHM, 2),)),)
        ),
        Proposal(
            1, ProtocolId.ESP, b"\xc0\0\0\2", (Transform(1, EspTransform.DES3, (Attribute(P2.ENCAPSULATION_MODE, 1),)),)
        ),
        Proposal(1, ProtocolId.IPCOMP, b"\x12\x34", (Transform(1, IpcompTransform.DEFLATE),)),
    )
)
BUNDLE_OCTETS = bytes.fromhex(
    "00000001 00000001"
    "02 00 0018 01 02 04 01 c0000001  00 00 000c 01 03 0000 8005 0002"
    "02 00 0018 01 03 04 01 c0000002  00 00 000c 01 03 0000 8004 0001"
    "00 00 0012 01 04 02 01 1234  00 00 0008 01 02 0000"
)


def read(body: bytes) -> SA:
    """Through the chain, which turns struct.error into WireError."""
    ((payload,), _, _) = read_chain(PayloadType.SA, b"\0\0" + (len(body) + 4).to_bytes(2, "big") + body)
    assert isinstance(payload, SA)
    return payload


@pytest.mark.parametrize(("sa", "octets"), [(PHASE1, PHASE1_OCTETS), (BUNDLE, BUNDLE_OCTETS)])
def test_offers_octet_by_octet(sa: SA, octets: bytes) -> None:
    assert sa.body() == octets
    assert read(octets) == sa


def test_a_bundle_is_proposals_of_one_number() -> None:
    assert [(each.number, each.protocol) for each in read(BUNDLE_OCTETS).proposals] == [
        (1, ProtocolId.AH),
        (1, ProtocolId.ESP),
        (1, ProtocolId.IPCOMP),
    ]


def test_equal_offers_share_what_was_read() -> None:
    assert read(PHASE1_OCTETS).proposals is read(PHASE1_OCTETS).proposals
    first, second = read(BUNDLE_OCTETS), read(BUNDLE_OCTETS.replace(b"\xc0\0\0\1", b"\xc0\0\0\7"))
    assert second.proposals[0].spi == b"\xc0\0\0\7"
    assert first.proposals[0].transforms is second.proposals[0].transforms


def test_a_long_offer_is_read_afresh() -> None:
    transforms = tuple(Transform(at, 1, PHASE1.proposals[0].transforms[0].attributes) for at in range(1, 100))
    long = SA((Proposal(1, ProtocolId.ISAKMP, b"", transforms),))
    octets = long.body()
    assert len(octets) > MAX_REMEMBERED_OCTETS
    assert read(octets) == long
    assert read(octets).proposals is not read(octets).proposals


@pytest.mark.parametrize(
    ("octets", "doi", "situation", "rest"),
    [
        ("00000000", 0, 0, ""),
        ("00000002 00000001 0102", 2, 0, "00000001 0102"),
        ("00000001 00000002 aabb", 1, 2, "aabb"),
        ("00000001 00000003", 1, 3, ""),
        ("00000001 00000000", 1, 0, ""),
    ],
)
def test_a_foreign_doi_or_situation_is_told(octets: str, doi: int, situation: int, rest: str) -> None:
    sa = read(bytes.fromhex(octets))
    assert sa == SA((), doi, situation, bytes.fromhex(rest))
    assert sa.body() == bytes.fromhex(octets)


@pytest.mark.conformance("v1-4")
@pytest.mark.parametrize("at", [8 + 1, 8 + 8 + 1, 8 + 8 + 36 + 1])
def test_reserved_octets_of_proposals_and_transforms_are_zero(at: int) -> None:
    octets = bytearray(PHASE1_OCTETS)
    octets[at] = 1
    with pytest.raises(WireError, match="malformed"):
        read(bytes(octets))


def test_the_second_reserved_field_of_a_transform_means_nothing() -> None:
    octets = bytearray(PHASE1_OCTETS)
    octets[8 + 8 + 6] = 0xFF
    assert read(bytes(octets)) == PHASE1


@pytest.mark.parametrize(
    ("what", "octets"),
    [
        ("no proposal", "00000001 00000001"),
        ("cut in the situation", "00000001 0000"),
        ("cut in the DOI", "0000"),
        ("a proposal cut short", "00000001 00000001 00 00 0008 01 01"),
        ("a proposal too short for itself", "00000001 00000001 00 00 0007 01 01 00 00"),
        ("a proposal beyond the payload", "00000001 00000001 00 00 0009 01 01 00 00"),
        ("an SPI beyond the proposal", "00000001 00000001 00 00 000a 01 03 04 00 c000"),
        ("a proposal followed by a transform", "00000001 00000001 03 00 0008 01 01 00 00"),
        ("more proposals promised", "00000001 00000001 02 00 0008 01 01 00 00"),
        ("octets behind the last", "00000001 00000001 00 00 0008 01 01 00 00 00"),
        ("a transform too few", "00000001 00000001 00 00 0010 01 01 00 02 00 00 0008 01 01 0000"),
        ("a transform too many", "00000001 00000001 00 00 0010 01 01 00 00 00 00 0008 01 01 0000"),
        ("the last transform says more", "00000001 00000001 00 00 0010 01 01 00 01 03 00 0008 01 01 0000"),
        ("a transform too short for itself", "00000001 00000001 00 00 0010 01 01 00 01 00 00 0007 01 01 0000"),
        ("a transform beyond the proposal", "00000001 00000001 00 00 0010 01 01 00 01 00 00 0009 01 01 0000"),
        ("an attribute cut short", "00000001 00000001 00 00 0012 01 01 00 01 00 00 000a 01 01 0000 8001"),
        ("an ESP SPI of 8", "00000001 00000001 00 00 0010 01 03 08 00 0102030405060708"),
        ("an AH SPI of none", "00000001 00000001 00 00 0008 01 02 00 00"),
        ("a CPI of 3", "00000001 00000001 00 00 000b 01 04 03 00 010203"),
        ("an ISAKMP SPI of 17", "00000001 00000001 00 00 0019 01 01 11 00" + "00" * 17),
    ],
)
def test_malformed_offers(what: str, octets: str) -> None:
    with pytest.raises(WireError):
        read(bytes.fromhex(octets))


@pytest.mark.parametrize("octets", range(17))
def test_an_isakmp_proposal_may_hold_any_spi(octets: int) -> None:
    """What it is does not matter (RFC 2408 §3.5)."""
    sa = SA((Proposal(1, ProtocolId.ISAKMP, bytes(octets), PHASE1.proposals[0].transforms),))
    assert read(sa.body()) == sa


def test_an_unknown_protocol_is_for_selection_to_refuse() -> None:
    sa = SA((Proposal(1, protocol_id(9), b"\1\2\3", ()),))
    assert read(sa.body()) == sa


def test_limits_of_what_is_written() -> None:
    proposal = Proposal(1, ProtocolId.ISAKMP, b"", ())
    assert len(read(SA((proposal,) * MAX_PROPOSALS).body()).proposals) == MAX_PROPOSALS
    for proposals in ((), (proposal,) * (MAX_PROPOSALS + 1)):
        with pytest.raises(ValueError, match="proposals"):
            SA(proposals).body()
    with pytest.raises(ValueError, match="SA"):
        write_chain([SA((proposal._replace(transforms=(Transform(1, 1),) * 256),))])


def test_too_many_proposals_are_not_read() -> None:
    one = bytes.fromhex("02 00 0008 01 01 00 00")
    with pytest.raises(WireError, match="more than"):
        read(bytes.fromhex("00000001 00000001") + one * (MAX_PROPOSALS + 1))
