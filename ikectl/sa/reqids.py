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
        self._reqids: dict[Hashable, int] = {}
        self._further: dict[Hashable, int] = {}
        """How many hold a key beside the first; almost always nobody."""

    def take(self, key: Hashable) -> int:
        """The reqid for `key`; to be given back once per take."""
        reqid = self._reqids.setdefault(key, self._next)
        if reqid == self._next:
            self._next += 1
        else:
            self._further[key] = self._further.get(key, 0) + 1
        return reqid

    def release(self, key: Hashable) -> None:
        """One holder of `key` is gone."""
        further = self._further.get(key, 0)
        if further > 1:
            self._further[key] = further - 1
        elif further:
            del self._further[key]
        else:
            del self._reqids[key]
