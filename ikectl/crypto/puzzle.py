"""Client puzzles: four keys whose prf results end in zero bits (RFC 8019 §4.4, §7.1.3).

To find a key takes 2**bits tries on average, to check one takes a single prf.
"""

from __future__ import annotations

from collections.abc import Sequence

from ikectl.crypto.prf import Prf
from ikectl.wire.v2.puzzle import KEYS

COUNTER_OCTETS = 4
"""Of the keys we try, for a prf that takes any: 2**32 of them are more than anybody waits for."""


def zero_bits(octets: bytes) -> int:
    """How many zero bits the octets end in."""
    number = int.from_bytes(octets, "big")
    return (number & -number).bit_length() - 1 if number else 8 * len(octets)


def expected_tries(bits: int) -> int:
    """Keys to try, on average, until four do."""
    return KEYS << bits


def earned(prf: Prf, keys: Sequence[bytes], data: bytes) -> int:
    """The zero bits that a solution shows, those of its worst key (§7.1.4); -1 if it is none.

    It is none unless it has four different keys of one length that the prf takes (§8.2). Costs four times the prf
    over `data` and keys as long as the prf prefers, whatever a stranger sends.
    """
    octets = len(keys[0]) if keys else 0
    shortest = 1 if takes_any_key(prf) else prf.key_octets
    if len(set(keys)) != KEYS or not shortest <= octets <= prf.key_octets or any(len(key) != octets for key in keys):
        return -1
    return min([zero_bits(prf.compute(key, data)) for key in keys])


def search(prf: Prf, data: bytes, bits: int, start: int, tries: int, wanted: int) -> tuple[bytes, ...]:
    """Keys from number `start` on that have so many zero bits: at most `wanted`, of at most `tries` that are tried."""
    found: list[bytes] = []
    octets, mask, compute = key_octets(prf), (1 << bits) - 1, prf.compute
    width = (bits + 7) // 8 or 1
    for number in range(start, start + tries):
        key = number.to_bytes(octets, "big")
        if not int.from_bytes(compute(key, data)[-width:], "big") & mask:
            found.append(key)
            if len(found) == wanted:
                break
    return tuple(found)


def key_octets(prf: Prf) -> int:
    """The length of the keys we try."""
    return COUNTER_OCTETS if takes_any_key(prf) else prf.key_octets


def takes_any_key(prf: Prf) -> bool:
    """Whether the prf takes keys of any length. Those from AES have a fixed one (RFC 7296 §2.14)."""
    return prf.nonce_octets is None
