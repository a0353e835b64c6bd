"""The chain walk of IKEv1 (RFC 2408 §3.2, §5.3)."""

from __future__ import annotations

import pytest

from ikectl.errors import WireError
from ikectl.iana.v1 import PayloadType, payload_type
from ikectl.wire.v1 import KE, SA, Hash, Nonce, Notify, Unknown, VendorId
from ikectl.wire.v1.payload import MAX_PAYLOADS, Payload, read_chain, write_chain

CHAIN = [Hash(b"\xaa" * 4), Nonce(b"\xbb" * 8), VendorId(b"\xcc")]
OCTETS = bytes.fromhex("0a00 0008 aaaaaaaa 0d00 000c bbbbbbbbbbbbbbbb 0000 0005 cc")


def test_a_chain_octet_by_octet() -> None:
    assert write_chain(CHAIN) == (PayloadType.HASH, OCTETS)
    payloads, bodies, end = read_chain(PayloadType.HASH, OCTETS)
    assert payloads == CHAIN
    assert bodies == [b"\xaa" * 4, b"\xbb" * 8, b"\xcc"]
    assert end == len(OCTETS)


def test_an_empty_chain() -> None:
    assert write_chain([]) == (PayloadType.NONE, b"")
    assert read_chain(PayloadType.NONE, b"") == ([], [], 0)


def test_a_chain_begins_where_it_is_told_to() -> None:
    payloads, _, end = read_chain(PayloadType.NONCE, OCTETS, 8)
    assert payloads == CHAIN[1:]
    assert end == len(OCTETS)


@pytest.mark.conformance("v1-4")
@pytest.mark.parametrize("at", [1, 9, 21])
@pytest.mark.parametrize("value", [0x01, 0x80, 0xFF])
def test_a_reserved_octet_that_is_not_zero_is_refused(at: int, value: int) -> None:
    octets = bytearray(OCTETS)
    octets[at] = value
    with pytest.raises(WireError, match="reserved"):
        read_chain(PayloadType.HASH, bytes(octets))


@pytest.mark.conformance("v1-5")
@pytest.mark.parametrize("number", [15, 22, 33, 46, 127, 129, 255])
def test_unknown_types_are_kept_as_they_came(number: int) -> None:
    kind = payload_type(number)
    payloads, bodies, _ = read_chain(kind, bytes.fromhex("0800 0007 010203 0000 0005 ff"))
    assert payloads == [Unknown(kind, b"\1\2\3"), Hash(b"\xff")]
    assert bodies == [b"\1\2\3", b"\xff"]
    assert write_chain(payloads)[0] == kind


@pytest.mark.parametrize("number", [PayloadType.PROPOSAL, PayloadType.TRANSFORM])
def test_proposals_and_transforms_do_not_stand_alone(number: PayloadType) -> None:
    """They are payloads by number, yet belong inside an SA payload (RFC 2408 §3.5)."""
    assert isinstance(read_chain(number, bytes.fromhex("0000 0008 01010000"))[0][0], Unknown)


@pytest.mark.parametrize("padding", ["00", "00000000000000", "ffffffffff", "0a00000cbbbb"])
def test_padding_is_left_where_it_is(padding: str) -> None:
    octets = OCTETS + bytes.fromhex(padding)
    payloads, _, end = read_chain(PayloadType.HASH, octets, padded=True)
    assert payloads == CHAIN
    assert end == len(OCTETS)
    with pytest.raises(WireError, match="follow the last payload"):
        read_chain(PayloadType.HASH, octets)


@pytest.mark.parametrize("length", ["0000", "0003", "000d", "ffff"])
@pytest.mark.parametrize("padded", [False, True])
def test_impossible_lengths(length: str, padded: bool) -> None:
    with pytest.raises(WireError, match="impossible length"):
        read_chain(PayloadType.NONCE, bytes.fromhex(f"0000 {length} bbbbbbbbbbbbbbbb"), padded=padded)


def test_a_chain_cut_short() -> None:
    for end in range(len(OCTETS)):
        with pytest.raises(WireError):
            read_chain(PayloadType.HASH, OCTETS[:end], padded=True)


def test_too_many_payloads() -> None:
    most: list[Payload] = [VendorId(b"")] * MAX_PAYLOADS
    first, octets = write_chain(most)
    assert len(read_chain(first, octets)[0]) == MAX_PAYLOADS
    first, octets = write_chain([*most, VendorId(b"")])
    with pytest.raises(WireError, match="more than"):
        read_chain(first, octets)


def test_what_does_not_fit_is_not_written() -> None:
    with pytest.raises(ValueError, match="KE"):
        write_chain([KE(bytes(0x10000))])


def test_every_payload_has_a_word() -> None:
    assert [each.short for each in CHAIN] == ["HASH", "No", "V"]
    assert SA(()).short == "SA"
    assert Unknown(payload_type(99), b"").short == "99"
    assert str(Notify.TYPE) == "NOTIFY"
