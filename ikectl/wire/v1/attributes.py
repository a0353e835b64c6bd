"""Data attributes of transforms, lifetimes and configuration (RFC 2408 §3.3)."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple

from ikectl.errors import WireError

MAX_ATTRIBUTES = 512
"""In one list. A reply with a few hundred split networks is real, thousands are an attack."""

MAX_NUMBER_OCTETS = 8
"""Of a number in long form, leading zeros left out: every lifetime anyone can mean fits (RFC 2407 §4.5.4)."""

_ATTRIBUTE = Struct("!HH")  # format bit and type, value or length
_ATTRIBUTE_OCTETS = _ATTRIBUTE.size
_BASIC = 0x8000
_TYPE_BITS = 0x7FFF
_MAX_BASIC = 0xFFFF
_LONG_OCTETS = 4


class Attribute(NamedTuple):
    """One attribute: an int stands in place of the length (TV), octets follow one (TLV).

    An int that 16 bits cannot hold is written as octets, four or a multiple,
    and so comes back as octets: ask `number` for the value of a number.
    """

    type: int
    value: int | bytes


def number(attribute: Attribute) -> int:
    """The value of an attribute that is a number, in either form.

    Raises:
        WireError: it has no octets, or more than MAX_NUMBER_OCTETS.
    """
    value = attribute.value
    if isinstance(value, int):
        return value
    if not value or len(value.lstrip(b"\0")) > MAX_NUMBER_OCTETS:
        raise WireError(f"attribute {attribute.type} is a number of {len(value)} octets")
    return int.from_bytes(value, "big")


def octets_of(attribute: Attribute) -> bytes:
    """The value of an attribute that is octets. A peer may put two of them in place of the length."""
    value = attribute.value
    return value.to_bytes(2, "big") if isinstance(value, int) else value


def read_attributes(octets: bytes, start: int = 0) -> tuple[Attribute, ...]:
    """The attributes from `start` to the end, in order.

    Raises:
        WireError: one ends outside the octets, or there are too many.
        struct.error: one is cut short.
    """
    found: list[Attribute] = []
    end = len(octets)
    while start != end:
        if len(found) == MAX_ATTRIBUTES:
            raise WireError(f"more than {MAX_ATTRIBUTES} attributes")
        kind, value = _ATTRIBUTE.unpack_from(octets, start)
        start += _ATTRIBUTE_OCTETS
        if kind & _BASIC:
            found.append(Attribute(kind & _TYPE_BITS, value))
            continue
        stop = start + value
        if stop > end:
            raise WireError(f"attribute {kind} of {value} octets ends outside its payload")
        found.append(Attribute(kind, octets[start:stop]))
        start = stop
    return tuple(found)


def write_attributes(attributes: Iterable[Attribute]) -> bytes:
    """The octets. Raises ValueError or struct.error for what does not fit."""
    parts: list[bytes] = []
    for kind, value in attributes:
        if not 0 <= kind <= _TYPE_BITS:
            raise ValueError(f"attribute type {kind} is not of 15 bits")
        if isinstance(value, int):
            if value <= _MAX_BASIC:
                parts.append(_ATTRIBUTE.pack(_BASIC | kind, value))
                continue
            octets = (value.bit_length() + 7) // 8
            value = value.to_bytes(octets + -octets % _LONG_OCTETS, "big")
        parts += _ATTRIBUTE.pack(kind, len(value)), value
    return b"".join(parts)
