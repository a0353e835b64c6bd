"""The 28-octet header, octet by octet as in the diagram of RFC 7296 §3.1."""

from __future__ import annotations

import pytest

from ikectl.errors import WireError
from ikectl.iana.v2 import ExchangeType, PayloadType
from ikectl.wire.header import FLAG_INITIATOR, FLAG_RESPONSE, HEADER_OCTETS, NON_ESP_MARKER, Header

SPI_I = bytes.fromhex("0102030405060708")
SPI_R = bytes.fromhex("1112131415161718")
OCTETS = SPI_I + SPI_R + bytes.fromhex("2e 20 25 28 00000007 0000001c")


def test_reads_and_writes_the_fields_in_their_places() -> None:
    header = Header.read(OCTETS)
    assert header == Header(
        SPI_I,
        SPI_R,
        PayloadType.SK,
        0x20,
        ExchangeType.INFORMATIONAL,
        FLAG_INITIATOR | FLAG_RESPONSE,
        7,
        HEADER_OCTETS,
    )
    assert (header.major, header.minor, header.is_response, header.from_initiator) == (2, 0, True, True)
    assert header.write() == OCTETS


@pytest.mark.conformance("v2-13")
@pytest.mark.parametrize("length", [0, 27, 29, 0xFFFFFFFF])
def test_a_length_that_is_not_the_datagrams_is_refused(length: int) -> None:
    with pytest.raises(WireError, match="28"):
        Header.read(OCTETS[:24] + length.to_bytes(4, "big"))


@pytest.mark.conformance("v2-13")
@pytest.mark.parametrize("octets", range(HEADER_OCTETS))
def test_a_short_datagram_is_refused(octets: int) -> None:
    with pytest.raises(WireError, match="too few"):
        Header.read(OCTETS[:octets])


def test_a_header_of_ikev1_is_read_for_whoever_knows_that_version() -> None:
    header = Header.read(SPI_I + bytes(8) + bytes.fromhex("01 10 02 00 00000000 0000001c"))
    assert header.major == 1
    assert int(header.exchange) == 2  # identity protection
    assert not header.exchange.assigned


def test_the_marker_is_four_zero_octets() -> None:
    assert NON_ESP_MARKER == b"\0\0\0\0"
