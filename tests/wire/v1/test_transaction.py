"""Attribute payloads octet by octet (draft-dukes-ike-mode-cfg-02 §3.2, draft-beaulieu-ike-xauth-02 §6)."""

from __future__ import annotations

import pytest

from ikectl.errors import WireError
from ikectl.iana.v1 import ConfigAttribute as C
from ikectl.iana.v1 import PayloadType, TransactionType
from ikectl.wire.v1 import Attribute, Attributes, number
from ikectl.wire.v1.payload import read_chain


def read(body: bytes) -> Attributes:
    ((payload,), _, _) = read_chain(PayloadType.ATTRIBUTES, b"\0\0" + (len(body) + 4).to_bytes(2, "big") + body)
    assert isinstance(payload, Attributes)
    return payload


@pytest.mark.parametrize(
    ("payload", "octets"),
    [
        (
            Attributes(
                TransactionType.REQUEST,
                0x1234,
                (Attribute(C.XAUTH_TYPE, 0), Attribute(C.XAUTH_USER_NAME, b""), Attribute(C.XAUTH_USER_PASSWORD, b"")),
            ),
            "01 00 1234 c088 0000 4089 0000 408a 0000",
        ),
        (
            Attributes(
                TransactionType.REPLY,
                0x1234,
                (Attribute(C.XAUTH_USER_NAME, b"alice"), Attribute(C.XAUTH_USER_PASSWORD, b"pass")),
            ),
            "02 00 1234 4089 0005 616c696365 408a 0004 70617373",
        ),
        (Attributes(TransactionType.SET, 7, (Attribute(C.XAUTH_STATUS, 1),)), "03 00 0007 c08f 0001"),
        (Attributes(TransactionType.ACK, 7), "04 00 0007"),
    ],
)
def test_xauth_octet_by_octet(payload: Attributes, octets: str) -> None:
    assert payload.body() == bytes.fromhex(octets)
    assert read(bytes.fromhex(octets)) == payload
    assert payload.short == f"CFG_{payload.type}"


def test_mode_config_octet_by_octet() -> None:
    reply = read(
        bytes.fromhex(
            "02 ff beef"  # RESERVED means nothing
            "0001 0004 0a030001 0002 0004 ffffffff 0003 0004 0a000001 0003 0004 0a000002"
            "7000 0005 48656c6c6f 7004 000e 0a010000 ffff0000 000000000000 f007 0001"
        )
    )
    assert reply.type is TransactionType.REPLY
    assert reply.identifier == 0xBEEF
    assert reply.values(C.INTERNAL_IP4_ADDRESS) == (b"\x0a\x03\0\1",)
    assert reply.values(C.INTERNAL_IP4_DNS) == (b"\x0a\0\0\1", b"\x0a\0\0\2")
    assert reply.values(C.UNITY_BANNER) == (b"Hello",)
    assert reply.values(C.INTERNAL_IP4_NBNS) == ()
    pfs = reply.get(C.UNITY_PFS)
    assert pfs is not None and number(pfs) == 1
    assert reply.get(C.UNITY_SAVE_PASSWD) is None


def test_a_password_is_never_printed() -> None:
    payload = Attributes(TransactionType.REPLY, 1, (Attribute(C.XAUTH_USER_PASSWORD, b"hidden"),))
    assert "hidden" not in repr(payload)
    assert "hidden" not in payload.short


@pytest.mark.parametrize("octets", ["", "01 00 00", "01 00 0001 40", "01 00 0001 4089 0005 616c"])
def test_malformed_attributes(octets: str) -> None:
    with pytest.raises(WireError):
        read(bytes.fromhex(octets))
