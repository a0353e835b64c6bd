"""Reqids: the numbers that tie kernel policies to the SAs that may serve them."""

from __future__ import annotations

from collections.abc import Hashable


class Reqids:
    """Gives children that serve the same policies the same reqid.

    The key says what makes policies the same: selectors, marks, interface,
    peer. Two children with one key (a rekeyed one and its successor, or both
    ends starting at once) share policies in the kernel, and so must share the
    reqid. A number is not used again, so a packet under way on a dying SA can
    never match another tunnel's policy.
    """

    def __init__(self, base: int = 1) -> None:
        self._next = base
        self._held: dict[Hashable, list[int]] = {}

    def take(self, key: Hashable) -> int:
        """The reqid for `key`; to be given back once per take."""
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = [self._next, 0]
            self._next += 1
        held[1] += 1
        return held[0]

    def release(self, key: Hashable) -> None:
        """One holder of `key` is gone."""
        held = self._held[key]
        held[1] -= 1
        if not held[1]:
            del self._held[key]
