"""NAT-D and NAT-OA payloads octet by octet (RFC 3947 §3.2, §5.2)."""

from __future__ import annotations

from typing import Any

import pytest

from ikectl.errors import WireError
from ikectl.iana.v1 import IdType
from ikectl.wire.v1 import NatD, NatDDraft, NatOa, NatOaDraft
from ikectl.wire.v1.payload import read_chain, write_chain


@pytest.mark.parametrize(("cls", "number"), [(NatD, 20), (NatDDraft, 130)])
@pytest.mark.parametrize("octets", [16, 20, 32])
def test_hashes_under_both_numbers(cls: type[Any], number: int, octets: int) -> None:
    payload = cls(b"\xab" * octets)
    assert write_chain([payload]) == (number, bytes((0, 0, 0, 4 + octets)) + b"\xab" * octets)
    assert read_chain(number, write_chain([payload])[1])[0] == [payload]
    assert payload.short == "NAT-D"


@pytest.mark.parametrize(("cls", "number"), [(NatOa, 21), (NatOaDraft, 131)])
@pytest.mark.parametrize(
    ("address", "kind"), [(b"\xc0\0\2\1", IdType.IPV4_ADDR), (b"\x20\x01" + bytes(14), IdType.IPV6_ADDR)]
)
def test_addresses_under_both_numbers(cls: type[Any], number: int, address: bytes, kind: IdType) -> None:
    payload = cls.of(address)
    assert payload == cls(kind, address)
    first, chain = write_chain([payload])
    assert first == number
    assert chain[4:] == bytes((kind, 0, 0, 0)) + address
    assert read_chain(number, chain)[0] == [payload]


@pytest.mark.parametrize("body", ["", "010000", "01000000 c00002", "05000000 c0000201", "04000000 c0000201ffffffff"])
def test_addresses_that_are_none(body: str) -> None:
    octets = bytes.fromhex(body)
    with pytest.raises(WireError):
        read_chain(21, bytes((0, 0, 0, 4 + len(octets))) + octets)
