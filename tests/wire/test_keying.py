"""KE, nonce and vendor id (RFC 7296 §3.4, §3.9, §3.12)."""

from __future__ import annotations

import pytest

from ikectl.errors import WireError
from ikectl.iana.v2 import KeyExchangeMethod, key_exchange_method
from ikectl.wire.v2.keying import KE, Nonce, VendorId


@pytest.mark.conformance("v2-5")
def test_ke_octet_by_octet_and_its_reserved_octets() -> None:
    ke = KE(KeyExchangeMethod.MODP_2048, b"\x01\x02")
    assert ke.body() == bytes.fromhex("000e 0000 0102")
    assert KE.read(bytes.fromhex("000e ffff 0102")) == ke


def test_a_ke_of_an_unknown_method_and_of_no_octets_is_kept() -> None:
    assert KE.read(bytes.fromhex("ffff 0000")) == KE(key_exchange_method(65535), b"")


@pytest.mark.conformance("v2-22")
def test_a_nonce_has_16_to_256_octets() -> None:
    for octets in (16, 17, 32, 255, 256):
        assert Nonce.read(bytes(octets)) == Nonce(bytes(octets))
        assert Nonce(bytes(octets)).body() == bytes(octets)
    for octets in (0, 1, 15, 257, 65531):
        with pytest.raises(WireError, match=f"a nonce of {octets} octets"):
            Nonce.read(bytes(octets))


@pytest.mark.conformance("v2-23")
@pytest.mark.parametrize("data", [b"", b"\0", bytes(range(256)) * 100])
def test_a_vendor_id_may_be_anything(data: bytes) -> None:
    assert VendorId.read(data) == VendorId(data)
    assert VendorId(data).body() == data
