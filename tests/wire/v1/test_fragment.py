"""Fragments of IKEv1 messages octet by octet (MS-IKEE §2.2.3.1, §3.3.6.1)."""

from __future__ import annotations

import pytest

from ikectl.errors import WireError
from ikectl.iana.v1 import ExchangeType, PayloadType
from ikectl.wire.header import Header
from ikectl.wire.v1 import Fragment, Hash, Message, VendorId, frame, split
from ikectl.wire.v1.fragment import MAX_FRAGMENTS, OVERHEAD
from ikectl.wire.v1.payload import read_chain

WHOLE = frame(
    Message(
        bytes.fromhex("0102030405060708"),
        bytes.fromhex("1112131415161718"),
        ExchangeType.IDENTITY_PROTECTION,
        0,
        [Hash(bytes(range(36)))],
        encrypted=True,
    ),
    lambda octets: octets,
    8,
)


@pytest.mark.conformance("v1-37")
def test_fragments_octet_by_octet() -> None:
    header = "0102030405060708 1112131415161718 84 10 02 00 00000000"
    assert len(WHOLE) == 28 + 40
    assert split(WHOLE, OVERHEAD + 30, 0x0102) == [
        bytes.fromhex(f"{header} 00000042  00 00 0026 0102 01 00") + WHOLE[:30],
        bytes.fromhex(f"{header} 00000042  00 00 0026 0102 02 00") + WHOLE[30:60],
        bytes.fromhex(f"{header} 0000002c  00 00 0010 0102 03 01") + WHOLE[60:],
    ]


@pytest.mark.conformance("v1-37")
def test_a_fragment_is_a_message_in_clear_of_one_payload() -> None:
    first, *_ = split(WHOLE, OVERHEAD + 60, 7)
    message = Message.read(first)
    assert message.exchange is ExchangeType.IDENTITY_PROTECTION
    assert not message.encrypted
    assert message.one(Fragment) == Fragment(7, 1, False, WHOLE[:60])
    assert message.kinds == ("FRAG(1)",)


def test_the_header_is_the_whole_messages() -> None:
    whole = Message(bytes(8), bytes(8), ExchangeType.QUICK_MODE, 0xC0FFEE, [VendorId(bytes(90))], commit=True).write()
    for each in split(whole, 100, 1):
        header = Header.read(each)
        assert (header.next_payload, header.exchange, header.message_id) == (132, 32, 0xC0FFEE)
        assert header.flags == 0x02


def test_none_is_longer_than_the_limit() -> None:
    for limit in range(OVERHEAD + 1, 130):
        found = split(WHOLE, limit, 1)
        assert all(len(each) == limit for each in found[:-1]) and len(found[-1]) <= limit
        pieces = [Message.read(each).one(Fragment) for each in found]
        assert b"".join(each.data for each in pieces) == WHOLE
        assert [each.number for each in pieces] == list(range(1, len(pieces) + 1))
        assert [each.last for each in pieces] == [False] * (len(pieces) - 1) + [True]


def test_one_piece_is_enough_for_what_fits() -> None:
    (only,) = split(WHOLE, OVERHEAD + len(WHOLE), 1)
    assert Message.read(only).one(Fragment) == Fragment(1, 1, True, WHOLE)


def test_more_than_can_be_numbered() -> None:
    whole = Message(bytes(8), bytes(8), ExchangeType.AGGRESSIVE, 0, [VendorId(bytes(MAX_FRAGMENTS - 32))]).write()
    assert len(whole) == MAX_FRAGMENTS
    assert len(split(whole, OVERHEAD + 1, 1)) == MAX_FRAGMENTS
    longer = Message(bytes(8), bytes(8), ExchangeType.AGGRESSIVE, 0, [VendorId(bytes(MAX_FRAGMENTS - 31))]).write()
    with pytest.raises(ValueError, match="do not fit"):
        split(longer, OVERHEAD + 1, 1)
    for limit in (0, OVERHEAD, -1):
        with pytest.raises(ValueError, match="do not fit"):
            split(WHOLE, limit, 1)


@pytest.mark.parametrize("flags", [0x00, 0x01, 0x02, 0xFE, 0xFF])
def test_other_flags_mean_nothing(flags: int) -> None:
    ((found,), _, _) = read_chain(PayloadType.FRAGMENT, bytes((0, 0, 0, 9, 0, 1, 5, flags, 0xAA)))
    assert found == Fragment(1, 5, bool(flags & 1), b"\xaa")


@pytest.mark.conformance("v1-37")
@pytest.mark.parametrize("body", ["", "000101", "00010100", "0001 00 01 aa"])
def test_fragments_that_are_none(body: str) -> None:
    octets = bytes.fromhex(body)
    with pytest.raises(WireError):
        read_chain(PayloadType.FRAGMENT, bytes((0, 0, 0, 4 + len(octets))) + octets)
