"""Retransmission policy: how long to wait before repeating a request (RFC 7296 §2.1, §2.4)."""

from __future__ import annotations

from ikectl.sa.env import Random, Settings


def wait(settings: Settings, tries: int, random: Random) -> float:
    """Seconds to wait for an answer after `tries` repeats: growing, and shortened by jitter."""
    longest = settings.retransmit_timeout * settings.retransmit_base**tries
    return longest * (1 - settings.retransmit_jitter * fraction(random))


def fraction(random: Random) -> float:
    """A number from 0 up to but excluding 1."""
    return int.from_bytes(random(4), "big") / 2**32
