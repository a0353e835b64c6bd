"""SA payloads octet by octet (RFC 7296 §3.3)."""

from __future__ import annotations

import pytest

from ikectl.errors import WireError
from ikectl.iana.v2 import PayloadType, Protocol, TransformType, protocol, transform_type
from ikectl.wire.payload import read_chain, write_chain
from ikectl.wire.v2.sa import MAX_PROPOSALS, MAX_REMEMBERED_OCTETS, SA, Proposal, Transform

ENCR, PRF, INTEG, KE, ESN = (TransformType(number) for number in range(1, 6))

IKE_OFFER = SA(
    (
        Proposal(1, Protocol.IKE, b"", (Transform(ENCR, 20, 256), Transform(PRF, 5), Transform(KE, 31))),
        Proposal(2, Protocol.IKE, b"", (Transform(ENCR, 28), Transform(PRF, 5), Transform(KE, 19))),
    )
)
IKE_OFFER_OCTETS = bytes.fromhex(
    "02 00 0024 01 01 00 03"  # more follow, 36 octets, number 1, IKE, no SPI, 3 transforms
    "03 00 000c 01 00 0014 800e 0100"  # AES-GCM-16, key length 256 in the short form
    "03 00 0008 02 00 0005"  # HMAC-SHA2-256
    "00 00 0008 04 00 001f"  # X25519, the last one
    "00 00 0020 02 01 00 03"  # the last proposal, number 2
    "03 00 0008 01 00 001c"  # ChaCha20-Poly1305, whose key length is fixed: no attribute
    "03 00 0008 02 00 0005"
    "00 00 0008 04 00 0013"
)
ESP_OFFER = SA((Proposal(1, Protocol.ESP, b"\xc0\xff\xee\x01", (Transform(ENCR, 20, 128), Transform(ESN, 0))),))
ESP_OFFER_OCTETS = bytes.fromhex(
    "00 00 0020 01 03 04 02 c0ffee01"  # ESP, an SPI of 4 octets, 2 transforms
    "03 00 000c 01 00 0014 800e 0080"
    "00 00 0008 05 00 0000"
)


def read(body: bytes) -> SA:
    """Through the chain, which turns struct.error into WireError."""
    (payload,) = read_chain(PayloadType.SA, b"\0\0" + (len(body) + 4).to_bytes(2, "big") + body)
    assert isinstance(payload, SA)
    return payload


def with_attributes(attributes: str) -> bytes:
    """An offer of one transform with these attributes."""
    octets = bytes.fromhex(attributes)
    transform = b"\0\0" + (8 + len(octets)).to_bytes(2, "big") + b"\x01\0\0\x0c" + octets
    return b"\0\0" + (8 + len(transform)).to_bytes(2, "big") + b"\x01\x01\0\x01" + transform


@pytest.mark.conformance("v2-53")
@pytest.mark.parametrize(("sa", "octets"), [(IKE_OFFER, IKE_OFFER_OCTETS), (ESP_OFFER, ESP_OFFER_OCTETS)])
def test_offers_octet_by_octet(sa: SA, octets: bytes) -> None:
    assert sa.body() == octets
    assert read(octets) == sa


@pytest.mark.conformance("v2-5")
def test_reserved_octets_are_ignored() -> None:
    octets = bytearray(IKE_OFFER_OCTETS)
    for place in (1, 9, 13, 21, 25, 29, 33, 37):
        assert octets[place] == 0
        octets[place] = 0xFF
    assert read(bytes(octets)) == IKE_OFFER


def test_equal_offers_share_what_was_read() -> None:
    again = bytes(bytearray(IKE_OFFER_OCTETS))
    assert read(again).proposals is read(IKE_OFFER_OCTETS).proposals
    other_spi = ESP_OFFER_OCTETS.replace(b"\xc0\xff\xee\x01", b"\xc0\xff\xee\x02")
    first, second = read(ESP_OFFER_OCTETS).proposals[0], read(other_spi).proposals[0]
    assert first.transforms is second.transforms
    assert second == first._replace(spi=b"\xc0\xff\xee\x02")


def test_long_offers_are_read_and_not_remembered() -> None:
    transforms = tuple(Transform(ENCR, number) for number in range(200))
    for spi in (b"", bytes(8)):
        sa = SA((Proposal(1, Protocol.IKE, spi, transforms),))
        assert len(sa.body()) > MAX_REMEMBERED_OCTETS
        assert read(sa.body()) == sa
        assert read(sa.body()).proposals[0].transforms is not read(sa.body()).proposals[0].transforms


@pytest.mark.conformance("v2-55")
@pytest.mark.parametrize(
    "attributes",
    [
        "8001 0001",  # an unknown one
        "800e 0100 8001 0001",  # a known and an unknown one
        "800e 0100 800e 0080",  # two key lengths
        "000e 0002 0100",  # a key length in the long form
        "800e 0000",  # a key of no bits
        "0011 0000",  # an unknown one without content
    ],
)
def test_a_transform_with_other_attributes_is_marked_and_kept(attributes: str) -> None:
    octets = with_attributes(attributes)
    transform = Transform(ENCR, 12, 0, bytes.fromhex(attributes))
    assert transform.unknown
    sa = SA((Proposal(1, Protocol.IKE, b"", (transform,)),))
    assert read(octets) == sa
    assert sa.body() == octets


@pytest.mark.conformance("v2-55")
def test_unknown_transforms_and_protocols_are_kept() -> None:
    sa = SA(
        (
            Proposal(1, protocol(4), b"\x12\x34", (Transform(transform_type(241), 65535),)),
            Proposal(2, Protocol.ESP, bytes(4), (Transform(ENCR, 1024, 4096), Transform(transform_type(0), 0))),
            Proposal(3, protocol(255), b"", ()),
        )
    )
    assert read(sa.body()) == sa


@pytest.mark.conformance("v2-59")
@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Protocol.IKE, (0, 8), (1, 4, 7, 9, 255)),
        (Protocol.ESP, (4,), (0, 2, 3, 5, 8)),
        (Protocol.AH, (4,), (0, 2, 3, 5, 8)),
    ],
)
def test_the_size_of_an_spi(kind: Protocol, good: tuple[int, ...], bad: tuple[int, ...]) -> None:
    for octets in good:
        sa = SA((Proposal(1, kind, bytes(octets), (Transform(ENCR, 20, 256),)),))
        assert read(sa.body()) == sa
    for octets in bad:
        sa = SA((Proposal(1, kind, bytes(octets), (Transform(ENCR, 20, 256),)),))
        with pytest.raises(WireError, match=f"SPI of {octets} octets"):
            read(sa.body())


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 0),  # no more proposals, and yet one
        (0, 1),  # neither last nor more
        (3, 0x23),  # shorter than its transforms
        (3, 0x25),  # longer
        (3, 0x07),  # shorter than its own head
        (2, 0xFF),  # beyond the payload
        (6, 8),  # an SPI that takes a transform's place
        (7, 2),  # fewer transforms than there are
        (7, 4),  # more
        (8, 0),  # no more transforms, and yet one
        (8, 2),
        (11, 0x07),  # shorter than a transform
        (11, 0x0B),  # cuts its attribute
        (10, 0xFF),  # beyond the proposal
        (16, 0x00),  # a long attribute that ends outside its transform
        (28, 3),  # more transforms, and yet none
        (36, 2),  # more proposals, and yet none
        (36, 3),
    ],
)
def test_contradictions_are_refused(place: int, value: int) -> None:
    octets = bytearray(IKE_OFFER_OCTETS)
    assert octets[place] != value
    octets[place] = value
    with pytest.raises(WireError):
        read(bytes(octets))


@pytest.mark.parametrize("attributes", ["80", "800e 01", "0001 0001", "000e 0003 0100", "800e 0100 00"])
def test_attributes_that_do_not_fill_their_transform_are_refused(attributes: str) -> None:
    with pytest.raises(WireError):
        read(with_attributes(attributes))


def test_every_cut_is_refused() -> None:
    for end in range(len(IKE_OFFER_OCTETS)):
        with pytest.raises(WireError):
            read(IKE_OFFER_OCTETS[:end])
    with pytest.raises(WireError, match="follow the last proposal"):
        read(IKE_OFFER_OCTETS + b"\0")


def test_the_number_of_proposals_is_bounded() -> None:
    proposal = Proposal(1, Protocol.IKE, b"", ())
    assert len(read(SA((proposal,) * MAX_PROPOSALS).body()).proposals) == MAX_PROPOSALS
    more = (b"\x02" + SA((proposal,)).body()[1:]) * MAX_PROPOSALS + SA((proposal,)).body()
    with pytest.raises(WireError, match="more than"):
        read(more)


@pytest.mark.parametrize("count", [0, MAX_PROPOSALS + 1])
def test_what_no_peer_could_read_is_not_written(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} proposals"):
        write_chain([SA((Proposal(1, Protocol.IKE, b"", ()),) * count)])
