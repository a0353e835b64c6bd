"""Data attributes, octet by octet (RFC 2408 §3.3)."""

from __future__ import annotations

import struct

import pytest

from ikectl.errors import WireError
from ikectl.iana.v1 import Phase1Attribute as P
from ikectl.wire.v1.attributes import (
    MAX_ATTRIBUTES,
    Attribute,
    number,
    octets_of,
    read_attributes,
    write_attributes,
)


def test_both_forms_octet_by_octet() -> None:
    attributes = (Attribute(P.LIFE_TYPE, 1), Attribute(P.LIFE_DURATION, b"\0\1\x51\x80"), Attribute(9, b""))
    octets = bytes.fromhex("800b0001 000c0004 00015180 00090000")
    assert write_attributes(attributes) == octets
    assert read_attributes(octets) == attributes


@pytest.mark.conformance("v1-9")
@pytest.mark.parametrize(
    ("octets", "seconds"),
    [
        ("800c 7080", 28800),
        ("000c 0002 7080", 28800),
        ("000c 0004 00007080", 28800),
        ("000c 0004 00015180", 86400),
        ("000c 0003 015180", 86400),
        ("000c 0008 0000000000015180", 86400),
        ("000c 000c 000000000000000000015180", 86400),
        ("000c 0001 3c", 60),
        ("000c 0008 ffffffffffffffff", 2**64 - 1),
    ],
)
def test_a_lifetime_in_either_form(octets: str, seconds: int) -> None:
    (attribute,) = read_attributes(bytes.fromhex(octets))
    assert attribute.type == P.LIFE_DURATION
    assert number(attribute) == seconds


@pytest.mark.parametrize("octets", ["000c 0000", "000c 0009 01 0000000000000000"])
def test_what_is_no_number(octets: str) -> None:
    (attribute,) = read_attributes(bytes.fromhex(octets))
    with pytest.raises(WireError, match="number"):
        number(attribute)


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        (0, "800c 0000"),
        (0xFFFF, "800c ffff"),
        (0x10000, "000c 0004 00010000"),
        (2**32 - 1, "000c 0004 ffffffff"),
        (2**32, "000c 0008 0000000100000000"),
    ],
)
def test_numbers_take_the_form_they_need(value: int, octets: str) -> None:
    assert write_attributes([Attribute(P.LIFE_DURATION, value)]) == bytes.fromhex(octets)
    assert number(read_attributes(bytes.fromhex(octets))[0]) == value


def test_octets_in_place_of_the_length() -> None:
    """A name of two letters may come that way."""
    assert octets_of(read_attributes(bytes.fromhex("c089 6d65"))[0]) == b"me"
    assert octets_of(Attribute(1, b"abc")) == b"abc"


@pytest.mark.parametrize("octets", ["000c 0005 00015180", "000c ffff", "800c 0001 000c 0001"])
def test_an_attribute_that_ends_outside(octets: str) -> None:
    with pytest.raises(WireError, match="outside"):
        read_attributes(bytes.fromhex(octets))


@pytest.mark.parametrize("octets", ["00", "8001", "8001 0001 80", "800b0001 0c"])
def test_an_attribute_cut_short(octets: str) -> None:
    with pytest.raises(struct.error):
        read_attributes(bytes.fromhex(octets))


def test_too_many_attributes() -> None:
    one = bytes.fromhex("80010001")
    assert len(read_attributes(one * MAX_ATTRIBUTES)) == MAX_ATTRIBUTES
    with pytest.raises(WireError, match="more than"):
        read_attributes(one * (MAX_ATTRIBUTES + 1))


@pytest.mark.parametrize("attribute", [Attribute(0x8000, 1), Attribute(-1, 1), Attribute(0x8000, b"x")])
def test_types_of_more_than_15_bits_are_not_written(attribute: Attribute) -> None:
    with pytest.raises(ValueError, match="15 bits"):
        write_attributes([attribute])
