"""Key exchange, nonce, hash, signature, vendor id: octets through and through (RFC 2408 §3.7, §3.11 to §3.16)."""

from __future__ import annotations

from typing import Any

import pytest

from ikectl.iana.v1 import VENDOR_OCTETS
from ikectl.iana.v1 import VendorId as Vendor
from ikectl.wire.v1 import KE, Hash, Nonce, Signature, VendorId
from ikectl.wire.v1.payload import read_chain, write_chain


@pytest.mark.parametrize(("cls", "number"), [(KE, 4), (Hash, 8), (Signature, 9), (Nonce, 10), (VendorId, 13)])
@pytest.mark.parametrize("octets", [b"", b"\0", bytes(range(200))])
def test_octets_go_through(cls: type[Any], number: int, octets: bytes) -> None:
    first, chain = write_chain([cls(octets)])
    assert first == number
    assert chain == b"\0\0" + (4 + len(octets)).to_bytes(2, "big") + octets
    assert read_chain(number, chain)[0] == [cls(octets)]


@pytest.mark.parametrize("octets", [7, 8, 256, 257])
def test_a_nonce_of_any_size_is_readable_so_that_the_exchange_can_refuse_it(octets: int) -> None:
    """With public key encryption a nonce payload is as long as the key (RFC 2409 §5.2)."""
    assert Nonce.read(bytes(octets)).value == bytes(octets)


def test_vendors() -> None:
    assert VendorId(VENDOR_OCTETS[Vendor.XAUTH]).vendor is Vendor.XAUTH
    assert VendorId(b"unheard of").vendor is None
