"""Traffic selectors octet by octet (RFC 7296 §3.13)."""

from __future__ import annotations

import pytest

from ikectl.errors import WireError
from ikectl.iana.v2 import PayloadType
from ikectl.values.selector import TrafficSelector
from ikectl.wire.payload import read_chain
from ikectl.wire.v2.ts import TSi, TSr

WEB = TrafficSelector.of_network("10.1.0.0/16", protocol=6, ports=(80, 443))
WEB_OCTETS = bytes.fromhex("07 06 0010 0050 01bb 0a010000 0a01ffff")
SIX = TrafficSelector.of_network("2001:db8::/64")
SIX_OCTETS = bytes.fromhex("08 00 0028 0000 ffff 20010db8000000000000000000000000 20010db800000000ffffffffffffffff")
LABEL_OCTETS = bytes.fromhex("0a 00 0008 0001 6162")  # a security label (RFC 9478)


def read(body: bytes) -> TSi:
    (payload,) = read_chain(PayloadType.TSI, b"\0\0" + (len(body) + 4).to_bytes(2, "big") + body)
    assert isinstance(payload, TSi)
    return payload


@pytest.mark.conformance("v2-79")
def test_both_families_in_one_payload() -> None:
    payload = TSi((WEB, SIX))
    octets = bytes.fromhex("02 000000") + WEB_OCTETS + SIX_OCTETS
    assert payload.body() == octets
    assert read(octets) == payload
    assert TSr.read(octets) == TSr((WEB, SIX))


@pytest.mark.conformance("v2-5")
def test_reserved_octets_are_ignored() -> None:
    assert read(bytes.fromhex("01 ffffff") + WEB_OCTETS) == TSi((WEB,))


@pytest.mark.conformance("v2-79")
@pytest.mark.parametrize(
    ("octets", "selector"),
    [
        (
            "07 00 0010 ffff 0000 00000000 ffffffff",
            TrafficSelector(0, 65535, 0, 0, 2**32 - 1, False),
        ),  # OPAQUE
        ("07 01 0010 0800 08ff 00000000 ffffffff", TrafficSelector(1, 0x0800, 0x08FF, 0, 2**32 - 1, False)),
        ("07 ff 0010 0000 0000 01020304 01020304", TrafficSelector(255, 0, 0, 0x01020304, 0x01020304, False)),
    ],
)
def test_ports_of_every_kind(octets: str, selector: TrafficSelector) -> None:
    body = b"\x01\0\0\0" + bytes.fromhex(octets)
    assert read(body) == TSi((selector,))
    assert TSi((selector,)).body() == body


def test_selectors_of_unknown_types_are_left_out_and_kept() -> None:
    payload = read(bytes.fromhex("02 000000") + LABEL_OCTETS + WEB_OCTETS)
    assert payload == TSi((WEB,), (LABEL_OCTETS,))
    assert payload.body() == bytes.fromhex("02 000000") + WEB_OCTETS + LABEL_OCTETS
    assert read(bytes.fromhex("01 000000") + LABEL_OCTETS) == TSi((), (LABEL_OCTETS,))


def test_no_selector_at_all_is_for_narrowing_to_judge() -> None:
    assert read(bytes(4)) == TSi(())


def test_equal_selectors_are_one_object() -> None:
    body = b"\x01\0\0\0" + WEB_OCTETS
    assert read(body).selectors[0] is read(bytes(bytearray(body))).selectors[0]


@pytest.mark.parametrize(
    "octets",
    [
        "01 000000",  # a selector is announced and absent
        "02 000000" + WEB_OCTETS.hex(),
        "00 000000" + WEB_OCTETS.hex(),
        "01 000000" + WEB_OCTETS.hex() + "00",
        "01 000000 07 06 000f 0050 01bb 0a010000 0a01ff",
        "01 000000 07 06 0011 0050 01bb 0a010000 0a01ffff 00",
        "01 000000 07 06 0028" + "00" * 36,  # the length of the other family
        "01 000000 08 06 0010" + "00" * 12,
        "01 000000 0a 00 0003 00",
        "01 000000 0a 00 0000 0000",
        "01 000000 0a 00 0009 0001 6162",
        "01 000000 07 06",
    ],
)
def test_wrong_lengths_are_refused(octets: str) -> None:
    with pytest.raises(WireError):
        read(bytes.fromhex(octets))


@pytest.mark.parametrize(
    "octets",
    [
        "07 06 0010 0000 ffff 0a010001 0a010000",
        "07 06 0010 01bb 0050 0a010000 0a01ffff",
        "07 06 0010 ffff 0001 0a010000 0a01ffff",
        "08 00 0028 0000 ffff" + "ff" * 16 + "00" * 16,
    ],
)
def test_ranges_that_run_backwards_are_refused(octets: str) -> None:
    with pytest.raises(WireError, match="runs backwards"):
        read(b"\x01\0\0\0" + bytes.fromhex(octets))
