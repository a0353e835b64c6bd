"""EAP packets (RFC 3748 §4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.errors import WireError
from ikectl.iana.eap import EapCode, EapType
from ikectl.wire.eap import MAX_PACKET, EapMessage


def test_octet_by_octet() -> None:
    response = EapMessage(EapCode.RESPONSE, 7, EapType.IDENTITY, b"joe")
    assert response.write() == bytes.fromhex("02 07 0008 01 6a6f65")
    assert EapMessage.read(response.write()) == response
    assert EapMessage.read(bytes.fromhex("03 07 0004")) == EapMessage(EapCode.SUCCESS, 7)
    assert EapMessage.read(bytes.fromhex("01 07 0005 04 ff")) == EapMessage(EapCode.REQUEST, 7, EapType.MD5), "padding"


@pytest.mark.parametrize(
    "octets", ["", "0107", "01 07 0004", "01 07 0006 01", "01 07 0003 01", "03 07 0005 00", "05 07 0005 01", "00000000"]
)
def test_malformed(octets: str) -> None:
    with pytest.raises(WireError):
        EapMessage.read(bytes.fromhex(octets))


def test_too_long() -> None:
    with pytest.raises(WireError, match="are the most"):
        EapMessage.read(bytes(MAX_PACKET + 1))


@given(
    st.sampled_from([EapCode.REQUEST, EapCode.RESPONSE]),
    st.integers(0, 255),
    st.integers(0, 255).map(EapType),
    st.binary(max_size=100),
)
def test_round_trip(code: EapCode, identifier: int, kind: EapType, data: bytes) -> None:
    packet = EapMessage(code, identifier, kind, data)
    assert EapMessage.read(packet.write()) == packet


@given(st.binary(max_size=200))
def test_junk_is_a_packet_or_malformed(octets: bytes) -> None:
    try:
        packet = EapMessage.read(octets)
    except WireError:
        return
    assert octets.startswith(packet.write())
