"""Configuration payload octet by octet (RFC 7296 §3.15)."""

from __future__ import annotations

import pytest

from ikectl.errors import WireError
from ikectl.iana.v2 import CfgAttribute, CfgType, PayloadType, cfg_attribute
from ikectl.wire.payload import read_chain
from ikectl.wire.v2.cp import CP, MAX_ATTRIBUTES, Attribute

REPLY = CP(
    CfgType.REPLY,
    (
        Attribute(CfgAttribute.INTERNAL_IP4_ADDRESS, bytes((10, 0, 0, 1))),
        Attribute(CfgAttribute.INTERNAL_IP4_DNS, bytes((10, 0, 0, 53))),
        Attribute(CfgAttribute.INTERNAL_IP4_DNS, bytes((10, 0, 0, 54))),
        Attribute(cfg_attribute(28674)),
    ),
)
OCTETS = bytes.fromhex("02 000000 0001 0004 0a000001 0003 0004 0a000035 0003 0004 0a000036 7002 0000")


def test_a_reply_octet_by_octet() -> None:
    assert REPLY.body() == OCTETS
    assert CP.read(OCTETS) == REPLY
    assert REPLY.values(CfgAttribute.INTERNAL_IP4_DNS) == (bytes((10, 0, 0, 53)), bytes((10, 0, 0, 54)))
    assert REPLY.values(CfgAttribute.INTERNAL_IP6_DNS) == ()


@pytest.mark.conformance("v2-5")
def test_reserved_bits_are_ignored() -> None:
    assert CP.read(bytes.fromhex("01 ffffff 8001 0000")) == CP(
        CfgType.REQUEST, (Attribute(CfgAttribute.INTERNAL_IP4_ADDRESS),)
    )


def test_every_cut_inside_an_attribute_is_refused() -> None:
    whole = {4, 12, 20, 28, len(OCTETS)}
    for end in set(range(len(OCTETS))) - whole:
        body = OCTETS[:end]
        with pytest.raises(WireError):
            read_chain(PayloadType.CP, b"\0\0" + (len(body) + 4).to_bytes(2, "big") + body)


def test_the_number_of_attributes_is_bounded() -> None:
    request = CP(CfgType.REQUEST, (Attribute(CfgAttribute.INTERNAL_IP4_ADDRESS),) * MAX_ATTRIBUTES)
    assert CP.read(request.body()) == request
    with pytest.raises(WireError, match="more than"):
        CP.read(request.body() + bytes(4))
