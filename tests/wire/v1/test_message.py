"""Messages of IKEv1: header and chain together, in clear and decrypted (RFC 2408 §3.1, RFC 2409 App. B)."""

from __future__ import annotations

import pytest

from ikectl.errors import PeerMisbehaved, WireError
from ikectl.iana.v1 import VENDOR_OCTETS, ExchangeType, NotifyType, ProtocolId, payload_type
from ikectl.iana.v1 import VendorId as Vendor
from ikectl.wire.header import Header
from ikectl.wire.v1 import (
    ID,
    KE,
    SA,
    Delete,
    Hash,
    Message,
    Nonce,
    Notify,
    Proposal,
    Transform,
    Unknown,
    VendorId,
    frame,
)
from ikectl.wire.v1.payload import Payload
from tests.wire.v1.test_sa import PHASE1, PHASE1_OCTETS

COOKIE_I = bytes.fromhex("0102030405060708")
COOKIE_R = bytes.fromhex("1112131415161718")

FIRST = Message(COOKIE_I, bytes(8), ExchangeType.IDENTITY_PROTECTION, 0, [PHASE1, VendorId(b"\xaa\xbb")])
FIRST_OCTETS = (
    bytes.fromhex("0102030405060708 0000000000000000 01 10 02 00 00000000 0000007e 0d00 005c")
    + PHASE1_OCTETS
    + bytes.fromhex("0000 0006 aabb")
)
CHAIN = bytes.fromhex("0b00 0008 11111111  0000 000c 00000001 01 00 000e")
INFORMATIONAL_HEADER = bytes.fromhex("0102030405060708 1112131415161718 08 10 05 01 c0ffee00 00000030")


def reverse(octets: bytes) -> bytes:
    """A cipher of sorts: it changes every octet and keeps the length."""
    return bytes(each ^ 0x5A for each in octets)


def quick(payloads: list[Payload]) -> Message:
    return Message(COOKIE_I, COOKIE_R, ExchangeType.QUICK_MODE, 0xC0FFEE01, payloads, encrypted=True)


def test_a_first_message_octet_by_octet() -> None:
    assert FIRST.write() == FIRST_OCTETS
    assert Message.read(FIRST_OCTETS) == FIRST
    assert repr(FIRST) == "<IDENTITY_PROTECTION 00000000 {SA, V}>"
    assert FIRST.kinds == ("SA", "V")


@pytest.mark.parametrize(
    ("flags", "commit", "auth_only"), [(0, False, False), (2, True, False), (4, False, True), (6, True, True)]
)
def test_flags(flags: int, commit: bool, auth_only: bool) -> None:
    octets = FIRST_OCTETS[:19] + bytes((flags,)) + FIRST_OCTETS[20:]
    message = Message.read(octets)
    assert (message.commit, message.auth_only, message.encrypted) == (commit, auth_only, False)
    assert message.write() == octets


@pytest.mark.parametrize("flags", [0x08, 0x10, 0x20, 0x80, 0xFE])
def test_flags_nobody_defined_are_refused(flags: int) -> None:
    """RFC 2408 §5.2: a message whose flags are not correct is discarded."""
    with pytest.raises(WireError, match="flags"):
        Message.read(FIRST_OCTETS[:19] + bytes((flags,)) + FIRST_OCTETS[20:])


def test_an_encrypted_message_is_not_read_as_if_in_clear() -> None:
    with pytest.raises(WireError, match="encrypted"):
        Message.read(FIRST_OCTETS[:19] + b"\x01" + FIRST_OCTETS[20:])


@pytest.mark.parametrize("version", [0x20, 0x00, 0x30, 0xFF])
def test_another_major_version_is_refused(version: int) -> None:
    with pytest.raises(WireError, match="version"):
        Message.read(FIRST_OCTETS[:17] + bytes((version,)) + FIRST_OCTETS[18:])


def test_an_encrypted_message_octet_by_octet() -> None:
    message = Message(
        COOKIE_I,
        COOKIE_R,
        ExchangeType.INFORMATIONAL,
        0xC0FFEE00,
        [Hash(b"\x11" * 4), Notify(NotifyType.NO_PROPOSAL_CHOSEN)],
        encrypted=True,
    )
    assert frame(message, reverse, 4) == INFORMATIONAL_HEADER + reverse(CHAIN)
    padded = frame(message, reverse, 16)
    assert padded == INFORMATIONAL_HEADER[:24] + b"\0\0\0\x3c" + reverse(CHAIN + bytes(12))
    opened = Message.open(Header.read(padded), reverse(padded[28:]))
    assert opened == message
    assert opened.encrypted
    assert repr(opened) == "<INFORMATIONAL c0ffee00* {HASH, N(NO_PROPOSAL_CHOSEN)}>"


def test_what_goes_encrypted_is_not_written_in_clear() -> None:
    with pytest.raises(ValueError, match="cipher"):
        quick([Hash(b"")]).write()
    with pytest.raises(ValueError, match="clear"):
        frame(FIRST, reverse, 8)


@pytest.mark.parametrize("padding", ["", "00000000", "ffffff03", "0102030405060708090a0b0c0d0e0f10"])
def test_what_a_hash_covers_leaves_padding_out(padding: str) -> None:
    header = Header.read(INFORMATIONAL_HEADER + bytes(20))
    opened = Message.open(header, CHAIN + bytes.fromhex(padding))
    assert opened.after_first == CHAIN[8:]
    assert opened.body_of(opened.one(Hash)) == b"\x11" * 4
    assert opened.body_of(opened.one(Notify)) == CHAIN[12:]


def test_what_a_hash_covers_of_a_message_to_be_sent() -> None:
    message = quick([Hash(b"\x11" * 20), PHASE1, Nonce(b"\x22" * 16)])
    again = Message.open(Header.read(frame(message, reverse, 8)), reverse(frame(message, reverse, 8)[28:]))
    assert message.after_first == again.after_first
    assert message.body_of(message.one(SA)) == PHASE1_OCTETS
    assert quick([]).after_first == b""
    assert Message.open(Header.read(frame(quick([]), reverse, 8)), b"").after_first == b""


def test_bodies_are_kept_as_they_came() -> None:
    """The hashes of phase 1 cover the peer's octets, which we would not have written so."""
    odd = bytearray(FIRST_OCTETS)
    odd[28 + 4 + 8 + 8 + 6] = 0xFF  # RESERVED2 of the first transform
    message = Message.read(bytes(odd))
    assert message == FIRST
    body = message.body_of(message.one(SA))
    assert body == bytes(odd[32 : 32 + len(PHASE1_OCTETS)])
    assert body != PHASE1_OCTETS == message.one(SA).body()


def test_bodies_of_equal_payloads_are_told_apart() -> None:
    message = Message.read(Message(COOKIE_I, COOKIE_R, ExchangeType.QUICK_MODE, 1, [Nonce(b"a"), Nonce(b"a")]).write())
    for each in message.payloads:
        assert message.body_of(each) == b"a"
    with pytest.raises(ValueError, match="not in this message"):
        message.body_of(Nonce(b"a"))


def test_look_ups() -> None:
    connected, error = Notify(NotifyType.CONNECTED), Notify(NotifyType.INVALID_COOKIE)
    message = quick([PHASE1, VendorId(b"x"), connected, error, VendorId(b"y")])
    assert message.one(SA) is PHASE1
    assert message.get(KE) is None
    assert message.all(KE) == []
    assert message.all(VendorId) == [VendorId(b"x"), VendorId(b"y")]
    assert message.notify(NotifyType.CONNECTED) is connected
    assert message.notify(NotifyType.INITIAL_CONTACT) is None
    assert message.errors == [error]
    assert message.unknown is None
    with pytest.raises(PeerMisbehaved, match="QUICK_MODE message without KE"):
        message.one(KE)
    for look in (message.one, message.get):
        with pytest.raises(PeerMisbehaved, match="QUICK_MODE message with 2 VendorId"):
            look(VendorId)


@pytest.mark.conformance("v1-5")
def test_an_unknown_payload_is_told() -> None:
    message = Message.read(
        Message(COOKIE_I, bytes(8), ExchangeType.AGGRESSIVE, 0, [PHASE1, Unknown(payload_type(99), b"?")]).write()
    )
    assert message.unknown == 99
    assert message.kinds == ("SA", "99")


def test_vendors_that_are_said() -> None:
    said = [VendorId(VENDOR_OCTETS[Vendor.DPD]), VendorId(b"whoever"), VendorId(VENDOR_OCTETS[Vendor.XAUTH])]
    assert quick([*said]).vendors == {Vendor.DPD, Vendor.XAUTH}
    assert quick([]).vendors == frozenset()


def test_both_client_identities_in_order() -> None:
    mine, yours = (
        ID.read(bytes.fromhex("04000000 0a010000 ffff0000")),
        ID.read(bytes.fromhex("04000000 0a020000 ffff0000")),
    )
    sealed = frame(quick([Hash(b"h"), mine, yours]), reverse, 8)
    opened = Message.open(Header.read(sealed), reverse(sealed[28:]))
    assert opened.all(ID) == [mine, yours]


def test_a_wrong_key_gives_a_wire_error() -> None:
    sealed = frame(quick([Hash(b"h" * 20), Delete(ProtocolId.ESP, (b"\xc0\0\0\1",))]), reverse, 16)
    with pytest.raises(WireError):
        Message.open(Header.read(sealed), sealed[28:])


def test_no_key_length_is_too_odd_for_a_header() -> None:
    """The header of a message belongs to the cipher's work as little as its padding: any block size will do."""
    payloads: list[Payload] = [SA((Proposal(1, ProtocolId.ESP, b"\xc0\0\0\1", (Transform(1, 12),)),))]
    for block in (1, 8, 16):
        sealed = frame(quick(payloads), reverse, block)
        assert (len(sealed) - 28) % block == 0
        assert Header.read(sealed).length == len(sealed)
