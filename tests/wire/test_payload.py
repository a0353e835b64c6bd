"""The chain of payloads (RFC 7296 §3.2): lengths, the critical bit, what is unknown."""

from __future__ import annotations

import pytest

from ikectl.errors import WireError
from ikectl.iana.v2 import KeyExchangeMethod, PayloadType, key_exchange_method, payload_type
from ikectl.wire.payload import MAX_PAYLOADS, Payload, Unknown, read_chain, write_chain
from ikectl.wire.v2 import KE, SK, Nonce, VendorId

NONCE = bytes(range(16))


def chain(octets: str, first: PayloadType = PayloadType.NONCE) -> list[Payload]:
    return read_chain(first, bytes.fromhex(octets))


def test_a_chain_octet_by_octet() -> None:
    payloads: list[Payload] = [Nonce(NONCE), VendorId(b"ok"), KE(KeyExchangeMethod.CURVE_25519, b"\xff")]
    first, octets = write_chain(payloads)
    assert first == PayloadType.NONCE
    assert octets == bytes.fromhex(
        "2b 00 0014 000102030405060708090a0b0c0d0e0f"  # 16 octets of nonce, then a vendor id (43)
        "22 00 0006 6f6b"  # then a key exchange (34)
        "00 00 0009 001f 0000 ff"  # method 31, reserved, and nothing follows
    )
    assert read_chain(first, octets) == payloads


def test_an_empty_chain() -> None:
    assert write_chain([]) == (PayloadType.NONE, b"")
    assert read_chain(PayloadType.NONE, b"") == []


def test_a_chain_may_begin_inside_its_octets() -> None:
    assert read_chain(PayloadType.VENDOR_ID, b"12345\0\0\0\x05!", 5) == [VendorId(b"!")]


@pytest.mark.conformance("v2-5")
@pytest.mark.conformance("v2-6")
@pytest.mark.parametrize("flags", ["80", "7f", "ff", "01"])
def test_critical_and_reserved_bits_of_known_types_are_ignored_and_sent_as_zero(flags: str) -> None:
    payloads = chain(f"00 {flags} 0014" + NONCE.hex())
    assert payloads == [Nonce(NONCE)]
    assert write_chain(payloads)[1][1] == 0


@pytest.mark.conformance("v2-7")
@pytest.mark.conformance("v2-8")
@pytest.mark.parametrize("number", [1, 32, 49, 55, 127, 255])
@pytest.mark.parametrize("critical", [False, True])
def test_an_unknown_type_is_kept_with_its_critical_bit_and_written_back(number: int, critical: bool) -> None:
    octets = bytes([43, 0x80 * critical, 0, 7]) + b"???" + b"\0\0\0\x05!"
    payloads = read_chain(payload_type(number), octets)
    assert payloads == [Unknown(payload_type(number), critical, b"???"), VendorId(b"!")]
    assert write_chain(payloads) == (number, octets)


@pytest.mark.conformance("v2-14")
@pytest.mark.parametrize(
    "octets",
    [
        "",  # the chain is announced and absent
        "00 00 00",  # not even a generic header
        "00 00 0000" + NONCE.hex(),
        "00 00 0003" + NONCE.hex(),
        "00 00 0015" + NONCE.hex(),  # one octet beyond the end
        "00 00 ffff" + NONCE.hex(),
        "28 00 0014" + NONCE.hex(),  # another one is announced and absent
        "00 00 0014" + NONCE.hex() + "00",  # an octet is left over
        "2b 00 0014" + NONCE.hex() + "00 00 0003",
    ],
)
def test_a_wrong_length_is_refused(octets: str) -> None:
    with pytest.raises(WireError):
        chain(octets)


@pytest.mark.conformance("v2-14")
def test_a_payload_shorter_than_its_fixed_part_is_refused() -> None:
    with pytest.raises(WireError, match="KE is cut short"):
        chain("00 00 0007 001f 00", PayloadType.KE)


def test_octets_without_a_chain_are_refused() -> None:
    with pytest.raises(WireError, match="follow the last"):
        read_chain(PayloadType.NONE, b"\0")


@pytest.mark.conformance("v2-19")
def test_the_sk_payload_ends_the_chain_and_names_what_is_inside() -> None:
    assert chain("2b 00 0006 aabb", PayloadType.SK) == [SK(PayloadType.VENDOR_ID, b"\xaa\xbb")]
    with pytest.raises(WireError, match="follow the last"):
        chain("2b 00 0006 aabb 00 00 0004", PayloadType.SK)
    with pytest.raises(ValueError, match="after SK"):
        write_chain([SK(PayloadType.NONE, b""), VendorId(b"")])


def test_the_number_of_payloads_is_bounded() -> None:
    first, octets = write_chain([VendorId(b"")] * MAX_PAYLOADS)
    assert len(read_chain(first, octets)) == MAX_PAYLOADS
    first, octets = write_chain([VendorId(b"")] * (MAX_PAYLOADS + 1))
    with pytest.raises(WireError, match="more than"):
        read_chain(first, octets)


def test_a_body_that_no_payload_can_hold_is_not_written() -> None:
    assert len(write_chain([VendorId(bytes(65531))])[1]) == 65535
    with pytest.raises(ValueError, match="fields of VendorId"):
        write_chain([VendorId(bytes(65532))])
    with pytest.raises(ValueError, match="fields of KE"):
        write_chain([KE(key_exchange_method(65536), b"")])
