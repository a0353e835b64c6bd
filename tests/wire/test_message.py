"""Message: header and chain together, and the look-ups (RFC 7296 §3.1)."""

from __future__ import annotations

import pytest

from ikectl.errors import PeerMisbehaved, WireError
from ikectl.iana.v2 import ExchangeType, KeyExchangeMethod, NotifyType, PayloadType, payload_type
from ikectl.wire.header import Header
from ikectl.wire.payload import Unknown
from ikectl.wire.v2 import KE, SA, Message, Nonce, Notify, VendorId

SPI_I = bytes.fromhex("0102030405060708")
SPI_R = bytes.fromhex("1112131415161718")
KE_X25519 = KE(KeyExchangeMethod.CURVE_25519, b"\xff" * 32)
NONCE = Nonce(b"\xee" * 16)
SOURCE_1 = Notify(NotifyType.NAT_DETECTION_SOURCE_IP, bytes(20))
SOURCE_2 = Notify(NotifyType.NAT_DETECTION_SOURCE_IP, b"\x01" * 20)

INIT = Message(
    SPI_I,
    bytes(8),
    ExchangeType.IKE_SA_INIT,
    0,
    response=False,
    initiator=True,
    payloads=[KE_X25519, NONCE, SOURCE_1, SOURCE_2],
)
INIT_OCTETS = bytes.fromhex(
    "0102030405060708 0000000000000000 22 20 22 08 00000000 00000090"
    "28 00 0028 001f 0000" + "ff" * 32 + "29 00 0014" + "ee" * 16 + "29 00 001c 00 00 4004" + "00" * 20 + "00 00 001c"
    "00 00 4004" + "01" * 20
)


@pytest.mark.conformance("v2-1")
@pytest.mark.conformance("v2-12")
def test_a_request_octet_by_octet() -> None:
    assert INIT.write() == INIT_OCTETS
    assert Message.read(INIT_OCTETS) == INIT
    assert Message.read(INIT_OCTETS, Header.read(INIT_OCTETS)) == INIT


@pytest.mark.conformance("v2-2")
def test_an_empty_response_octet_by_octet() -> None:
    message = Message(SPI_I, SPI_R, ExchangeType.INFORMATIONAL, 7, response=True, initiator=False, payloads=[])
    octets = SPI_I + SPI_R + bytes.fromhex("00 20 25 20 00000007 0000001c")
    assert message.write() == octets
    assert Message.read(octets) == message


@pytest.mark.conformance("v2-5")
@pytest.mark.conformance("v2-12")
def test_the_version_flag_and_reserved_flags_are_ignored() -> None:
    octets = bytearray(INIT_OCTETS)
    octets[19] |= 0xD7
    assert Message.read(bytes(octets)) == INIT


@pytest.mark.conformance("v2-11")
def test_a_higher_minor_version_is_read_like_ours() -> None:
    octets = INIT_OCTETS[:17] + b"\x21" + INIT_OCTETS[18:]
    message = Message.read(octets)
    assert message.payloads == INIT.payloads
    assert message.version == 0x21


@pytest.mark.conformance("v2-10")
@pytest.mark.parametrize("version", [0x00, 0x10, 0x1F, 0x30, 0xF0])
def test_another_major_version_is_refused(version: int) -> None:
    with pytest.raises(WireError, match="IKE version"):
        Message.read(INIT_OCTETS[:17] + bytes((version,)) + INIT_OCTETS[18:])


@pytest.mark.conformance("v2-14")
def test_every_cut_is_refused() -> None:
    for end in range(28, len(INIT_OCTETS)):
        cut = INIT_OCTETS[:24] + end.to_bytes(4, "big") + INIT_OCTETS[28:end]
        with pytest.raises(WireError):
            Message.read(cut)


@pytest.mark.conformance("v2-24")
def test_a_message_of_more_than_3000_octets() -> None:
    message = Message(SPI_I, SPI_R, ExchangeType.IKE_AUTH, 1, False, True, [VendorId(bytes(3000))])
    assert Message.read(message.write()) == message


def test_one() -> None:
    assert INIT.one(KE) is KE_X25519
    with pytest.raises(PeerMisbehaved, match="IKE_SA_INIT request without SA") as missing:
        INIT.one(SA)
    assert missing.value.notify == NotifyType.INVALID_SYNTAX
    with pytest.raises(PeerMisbehaved, match="with 2 Notify"):
        INIT.one(Notify)


def test_get_and_all() -> None:
    assert INIT.get(Nonce) is NONCE
    assert INIT.get(SA) is None
    with pytest.raises(PeerMisbehaved, match="with 2 Notify"):
        INIT.get(Notify)
    assert INIT.all(Notify) == [SOURCE_1, SOURCE_2]
    assert INIT.all(SA) == []


@pytest.mark.conformance("v2-4")
def test_the_order_of_payloads_does_not_matter_to_look_ups() -> None:
    message = Message(SPI_I, bytes(8), ExchangeType.IKE_SA_INIT, 0, False, True, [SOURCE_1, NONCE, KE_X25519])
    read = Message.read(message.write())
    assert read.one(KE) == KE_X25519
    assert read.one(Nonce) == NONCE
    assert read.payloads == message.payloads


def test_notifies_by_their_type() -> None:
    assert INIT.notify(NotifyType.NAT_DETECTION_SOURCE_IP) is SOURCE_1
    assert INIT.notifies(NotifyType.NAT_DETECTION_SOURCE_IP) == [SOURCE_1, SOURCE_2]
    assert INIT.notify(NotifyType.COOKIE) is None
    assert INIT.notifies(NotifyType.COOKIE) == []
    assert INIT.errors == []
    refused = Notify(NotifyType.NO_PROPOSAL_CHOSEN)
    answer = Message(SPI_I, SPI_R, ExchangeType.IKE_SA_INIT, 0, True, False, [SOURCE_1, refused])
    assert answer.errors == [refused]


@pytest.mark.conformance("v2-7")
@pytest.mark.conformance("v2-8")
def test_the_first_critical_unknown_payload() -> None:
    def message(*unknown: Unknown) -> Message:
        return Message(SPI_I, SPI_R, ExchangeType.INFORMATIONAL, 1, False, True, [NONCE, *unknown])

    tolerated, one, two = (
        Unknown(payload_type(number), critical, b"") for number, critical in ((127, False), (32, True), (1, True))
    )
    assert message().critical_unknown is None
    assert message(tolerated).critical_unknown is None
    assert Message.read(message(tolerated, one, two).write()).critical_unknown == 32
    assert message(Unknown(PayloadType.PS, True, b"")).critical_unknown == PayloadType.PS


def test_the_text_of_a_message_shows_no_content() -> None:
    ladder = "<IKE_SA_INIT request 0 {KE, Nonce, N(NAT_DETECTION_SOURCE_IP), N(NAT_DETECTION_SOURCE_IP)}>"
    assert repr(INIT) == str(INIT) == ladder
