"""Durations, volumes and numbers as swanctl writes them; the only unit parser."""

from __future__ import annotations

import re

MAX_SECONDS = 2**32 - 1
MAX_OCTETS = 2**64 - 1

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_OCTETS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_QUANTITY = re.compile(r"\s*([0-9]{1,20})\s*([A-Za-z]?)\s*\Z", re.ASCII)
_NUMBER = re.compile(r"\s*(?:0[xX]([0-9A-Fa-f]{1,32})|(0[0-7]{0,40})|([1-9][0-9]{0,39}))\s*\Z", re.ASCII)


def parse_time(text: str) -> int:
    """Seconds from `90`, `90s`, `5m`, `4h` or `1d`. Raises ValueError."""
    seconds = _quantity(text, _SECONDS, "a duration such as 90s, 5m, 4h or 1d")
    if seconds > MAX_SECONDS:
        raise ValueError(f"{text.strip()!r} is longer than {MAX_SECONDS} seconds")
    return seconds


def parse_bytes(text: str) -> int:
    """Octets from `1000`, `500k`, `20m` or `1g` (multiples of 1024); saturates at 2^64-1.

    Raises ValueError.
    """
    return min(_quantity(text, _OCTETS, "a volume such as 1000, 500k, 20m or 1g"), MAX_OCTETS)


def parse_number(text: str, bits: int = 32) -> int:
    """An unsigned number of at most `bits`: decimal, `0x` hex or `0` octal, as C reads it.

    Raises ValueError.
    """
    match = _NUMBER.match(text)
    if not match:
        raise ValueError(f"{text[:40]!r} is not a number")
    hexadecimal, octal, decimal = match.groups()
    number = int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal else int(decimal)
    if number >> bits:
        raise ValueError(f"{text.strip()!r} is larger than {2**bits - 1}")
    return number


def format_time(seconds: float) -> str:
    """The two largest units: `3h 59m`, `1d 2h`, `42s`. Negative ones count as 0."""
    left = max(int(seconds), 0)
    parts: list[str] = []
    for unit in "dhms":
        count, left = divmod(left, _SECONDS[unit])
        if count or (unit == "s" and not parts):
            parts.append(f"{count}{unit}")
        elif parts:
            parts.append("")
        if len(parts) == 2:
            break
    return " ".join(filter(None, parts))


def _quantity(text: str, units: dict[str, int], wanted: str) -> int:
    match = _QUANTITY.match(text)
    if not match or match[2].lower() not in units:
        raise ValueError(f"{text[:40]!r} is not {wanted}")
    return int(match[1]) * units[match[2].lower()]
