"""Notification and Delete payloads octet by octet (RFC 2408 §3.14, §3.15)."""

from __future__ import annotations

import pytest

from ikectl.errors import WireError
from ikectl.iana.v1 import NotifyType, PayloadType, Phase1Attribute, ProtocolId, notify_type, protocol_id
from ikectl.wire.v1 import Attribute, Delete, Notify
from ikectl.wire.v1.notify import (
    dpd_notify,
    dpd_sequence,
    initial_contact_notify,
    isakmp_delete,
    responder_lifetime,
    responder_lifetime_notify,
)
from ikectl.wire.v1.payload import Payload, read_chain, write_chain

COOKIE_I = bytes.fromhex("0102030405060708")
COOKIE_R = bytes.fromhex("1112131415161718")
COOKIES = "0102030405060708 1112131415161718"
LIFETIME = (Attribute(Phase1Attribute.LIFE_TYPE, 1), Attribute(Phase1Attribute.LIFE_DURATION, b"\0\0\x0e\x10"))


def read(kind: PayloadType, body: bytes) -> Payload:
    ((payload,), _, _) = read_chain(kind, b"\0\0" + (len(body) + 4).to_bytes(2, "big") + body)
    return payload


@pytest.mark.parametrize(
    ("notify", "octets"),
    [
        (Notify(NotifyType.NO_PROPOSAL_CHOSEN), "00000001 01 00 000e"),
        (Notify(NotifyType.NO_PROPOSAL_CHOSEN, doi=0), "00000000 01 00 000e"),
        (
            Notify(NotifyType.NO_PROPOSAL_CHOSEN, b"", ProtocolId.ESP, b"\xc0\0\0\1"),
            "00000001 03 04 000e c0000001",
        ),
        (Notify(notify_type(40500), b"data", protocol_id(9), b"\1"), "00000001 09 01 9e34 01 64617461"),
        (initial_contact_notify(COOKIE_I, COOKIE_R), f"00000001 01 10 6002 {COOKIES}"),
        (
            responder_lifetime_notify(ProtocolId.ISAKMP, COOKIE_I + COOKIE_R, LIFETIME),
            f"00000001 01 10 6000 {COOKIES} 800b0001 000c0004 00000e10",
        ),
    ],
)
def test_notifies_octet_by_octet(notify: Notify, octets: str) -> None:
    assert notify.body() == bytes.fromhex(octets)
    assert read(PayloadType.NOTIFY, bytes.fromhex(octets)) == notify


@pytest.mark.parametrize(("kind", "number"), [(NotifyType.R_U_THERE, "8d28"), (NotifyType.R_U_THERE_ACK, "8d29")])
def test_dpd_octet_by_octet(kind: NotifyType, number: str) -> None:
    notify = dpd_notify(kind, COOKIE_I, COOKIE_R, 0xFFFFFFFE)
    octets = bytes.fromhex(f"00000001 01 10 {number} {COOKIES} fffffffe")
    assert notify.body() == octets
    assert read(PayloadType.NOTIFY, octets) == notify
    assert dpd_sequence(notify) == 0xFFFFFFFE
    assert notify.short == f"N({kind})"


@pytest.mark.parametrize("data", [b"", b"\0\0\1", b"\0\0\0\0\1"])
def test_a_sequence_number_has_four_octets(data: bytes) -> None:
    with pytest.raises(WireError, match="R_U_THERE"):
        dpd_sequence(Notify(NotifyType.R_U_THERE, data))


def test_a_lifetime_from_the_responder() -> None:
    assert responder_lifetime(Notify(NotifyType.RESPONDER_LIFETIME, bytes.fromhex("800b0001 000c000400000e10"))) == (
        LIFETIME
    )
    for data in (b"\0", bytes.fromhex("000c0005 00000e10")):
        with pytest.raises(WireError):
            responder_lifetime(Notify(NotifyType.RESPONDER_LIFETIME, data))


@pytest.mark.parametrize("octets", ["", "00000001 01 00 00", "00000001 01 01 000e", "00000001 01 ff 000e 0000"])
def test_malformed_notifies(octets: str) -> None:
    with pytest.raises(WireError):
        read(PayloadType.NOTIFY, bytes.fromhex(octets))


@pytest.mark.parametrize(
    ("delete", "octets"),
    [
        (isakmp_delete(COOKIE_I, COOKIE_R), f"00000001 01 10 0001 {COOKIES}"),
        (Delete(ProtocolId.ESP, (b"\xc0\0\0\1", b"\xc0\0\0\2")), "00000001 03 04 0002 c0000001 c0000002"),
        (Delete(ProtocolId.AH, (b"\xc0\0\0\1",)), "00000001 02 04 0001 c0000001"),
        (Delete(ProtocolId.IPCOMP, (b"\x12\x34",)), "00000001 04 02 0001 1234"),
        (Delete(ProtocolId.ISAKMP, (COOKIE_I + COOKIE_R,), doi=0), f"00000000 01 10 0001 {COOKIES}"),
        (Delete(protocol_id(77), (b"\1\2\3",)), "00000001 4d 03 0001 010203"),
    ],
)
def test_deletes_octet_by_octet(delete: Delete, octets: str) -> None:
    assert delete.body() == bytes.fromhex(octets)
    assert read(PayloadType.DELETE, bytes.fromhex(octets)) == delete


@pytest.mark.parametrize(
    "octets",
    [
        "00000001 01 08 0001 0102030405060708",  # ISAKMP's SPI is both cookies
        "00000001 01 00 0000",
        "00000001 01 10 0000",
        "00000001 03 08 0001 0102030405060708",
        "00000001 03 04 0002 c0000001",
        "00000001 03 04 0001 c0000001 00",
        "00000001 03 04 ffff c0000001",
        "00000001 09 00 0001",
        "00000001 03 04",
    ],
)
def test_malformed_deletes(octets: str) -> None:
    with pytest.raises(WireError):
        read(PayloadType.DELETE, bytes.fromhex(octets))


@pytest.mark.parametrize("spis", [(), (b"\1\2\3\4", b"\1\2")])
def test_deletes_that_are_not_written(spis: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="SPIs"):
        write_chain([Delete(ProtocolId.ESP, spis)])
