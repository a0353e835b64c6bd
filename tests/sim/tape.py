"""Tape: predictable randomness, one stream per name, so that a new draw in one does not shift another."""

from __future__ import annotations

import hashlib


class Tape:
    """Octets from SHAKE-256 over the seed, the name and a counter."""

    def __init__(self, seed: int, name: str) -> None:
        self._base = hashlib.shake_256(f"{seed}/{name}/".encode())
        self._count = 0

    def __call__(self, octets: int) -> bytes:
        self._count += 1
        stream = self._base.copy()
        stream.update(self._count.to_bytes(8, "big"))
        return stream.digest(octets)

    def fraction(self) -> float:
        """From 0 up to but excluding 1."""
        return int.from_bytes(self(6), "big") / 2**48

    def chance(self, probability: float) -> bool:
        """True that often."""
        return probability > 0 and self.fraction() < probability
