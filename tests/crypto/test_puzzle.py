"""Puzzles: what is a solution, what it shows, and the search for one (RFC 8019 §7.1.3, §8.2)."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from ikectl.crypto import puzzle
from ikectl.crypto.transforms import PRF_BY_ID
from ikectl.iana.v2 import PrfId

COOKIE = bytes.fromhex("01 0c 0005 00112233445566778899aabbccddeeff")
SHA256 = PRF_BY_ID[PrfId.HMAC_SHA2_256].prf


VECTORS = {"000d": "26c91d00", "00e8": "ebb80e00", "8e4e": "bf567000", "9ddf": "bde02c00"}
"""Key -> the last four octets of HMAC-SHA-256(key, COOKIE): 8, 9, 12 and 10 zero bits."""


def trailing(octets: bytes) -> int:
    """Zero bits at the end, counted one by one."""
    bits = "".join(f"{octet:08b}" for octet in octets)
    return len(bits) - len(bits.rstrip("0"))


@pytest.mark.parametrize(
    ("octets", "bits"),
    [("01", 0), ("80", 7), ("ff00", 8), ("0100", 8), ("0a10", 4), ("ff000000", 24), ("0000", 16), ("00", 8)],
)
def test_zero_bits_are_counted_from_the_end(octets: str, bits: int) -> None:
    assert puzzle.zero_bits(bytes.fromhex(octets)) == bits == trailing(bytes.fromhex(octets))


def test_a_solution_made_with_nothing_but_hmac() -> None:
    """Three-octet keys, tried in turn by the standard library alone, until four have ten bits."""
    keys = []
    for number in range(1 << 24):
        key = number.to_bytes(3, "big")
        if trailing(hmac.new(key, COOKIE, hashlib.sha256).digest()) >= 10:
            keys.append(key)
            if len(keys) == 4:
                break
    shown = puzzle.earned(SHA256, keys, COOKIE)
    assert shown == min(trailing(hmac.digest(key, COOKIE, "sha256")) for key in keys) >= 10
    assert puzzle.earned(SHA256, keys, COOKIE[:-1] + b"\0") < 10, "of another cookie it is none"


def test_known_keys() -> None:
    """HMAC-SHA-256 over a fixed string, results worked out apart from this code."""
    for key, result in VECTORS.items():
        assert hmac.new(bytes.fromhex(key), COOKIE, hashlib.sha256).hexdigest()[-8:] == result
    assert puzzle.earned(SHA256, [bytes.fromhex(key) for key in VECTORS], COOKIE) == 8


@pytest.mark.parametrize("number", [PrfId.HMAC_SHA2_256, PrfId.HMAC_SHA1, PrfId.AES128_XCBC, PrfId.AES128_CMAC])
def test_what_is_found_is_a_solution(number: PrfId) -> None:
    prf = PRF_BY_ID[number].prf
    keys = puzzle.search(prf, COOKIE, 5, 0, 10_000, 4)
    assert len(keys) == 4 and puzzle.earned(prf, keys, COOKIE) >= 5
    assert {len(key) for key in keys} == {4 if puzzle.takes_any_key(prf) else 16}


def test_a_search_goes_on_where_it_stopped() -> None:
    whole = puzzle.search(SHA256, COOKIE, 6, 0, 2000, 100)
    parts = [key for start in range(0, 2000, 100) for key in puzzle.search(SHA256, COOKIE, 6, start, 100, 100)]
    assert list(whole) == parts and len(whole) > 10
    assert puzzle.search(SHA256, COOKIE, 6, 0, 2000, 3) == whole[:3]
    assert puzzle.search(SHA256, COOKIE, 64, 0, 50, 4) == ()
    assert puzzle.search(SHA256, COOKIE, 0, 0, 50, 4) == tuple(n.to_bytes(4, "big") for n in range(4))


def test_what_is_no_solution_shows_nothing() -> None:
    good = puzzle.search(SHA256, COOKIE, 4, 0, 10_000, 5)
    assert puzzle.earned(SHA256, good[:4], COOKIE) >= 4
    cases = {
        "three keys": good[:3],
        "five": good,
        "none": (),
        "one twice": (*good[:3], good[0]),
        "of several lengths": (*good[:3], good[3] + b"\0"),
        "empty": (b"",) * 4,
        "longer than the prf prefers": tuple(key.ljust(33, b"\0") for key in good[:4]),
    }
    for name, keys in cases.items():
        assert puzzle.earned(SHA256, keys, COOKIE) == -1, name
    cmac = PRF_BY_ID[PrfId.AES128_CMAC].prf
    assert puzzle.earned(cmac, good[:4], COOKIE) == -1, "AES has keys of 16 octets alone"
