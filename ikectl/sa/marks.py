"""Marks: packet marks that tell children with the same selectors apart.

Two hosts behind one NAT that both speak UDP 1701 in transport mode look alike:
the same addresses, the same ports. `mark_in` and `mark_out` of `%unique` give
each child, with all that replace it, a mark of its own; rules of the packet
filter carry it from what comes in to what goes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from ikectl.config.model import Child, Fresh, Mark
from ikectl.errors import BackendError


@dataclass(frozen=True, slots=True)
class ChildMarks:
    """The marks of one child: those its policies and SAs demand, and those it sets on packets."""

    into: Mark
    out: Mark
    set_into: Mark
    set_out: Mark

    @classmethod
    def of(cls, config: Child) -> Self:
        """As configured."""
        return cls(config.mark_in, config.mark_out, config.set_mark_in, config.set_mark_out)


class Marks:
    """Gives `%unique` marks, and knows which are in use.

    A mark given back is the last to be given again: what a dead child left in
    connection tracking must not lead packets to another's peer.
    """

    def __init__(self) -> None:
        self._holders: dict[ChildMarks, int] = {}
        """How many children share marks: one, and those that replace it."""
        self._unique: dict[ChildMarks, set[Mark]] = {}
        """Which of them are unique."""
        self._taken: set[Mark] = set()
        self._last = 0

    def take(self, config: Child, replaced: ChildMarks | None = None) -> ChildMarks | None:
        """The marks for a child of `config`, those of the child it replaces if it replaces one.

        None where no mark is to be unique. To be given back once per take.
        Raises BackendError when every mark that the mask allows is in use.
        """
        if not config.unique_marks:
            return None
        if replaced is not None:
            self._holders[replaced] += 1
            return replaced
        before = set(self._taken)
        try:
            marks = self._fresh(config)
        except BackendError:
            self._taken = before
            raise
        self._holders[marks], self._unique[marks] = 1, self._taken - before
        return marks

    def release(self, marks: ChildMarks | None) -> None:
        """One child fewer has them."""
        if marks is None:
            return
        self._holders[marks] -= 1
        if not self._holders[marks]:
            del self._holders[marks]
            self._taken -= self._unique.pop(marks)

    def _fresh(self, config: Child) -> ChildMarks:
        into, out = config.mark_in, config.mark_out
        both = Fresh.NO not in (into.fresh, out.fresh)
        if both and Fresh.DIRECTION not in (into.fresh, out.fresh) and into.mask == out.mask:
            into = out = self._next(into)
        else:
            into, out = self._next(into), self._next(out)
        return ChildMarks(into, out, _same(config.set_mark_in, into), _same(config.set_mark_out, out))

    def _next(self, wanted: Mark) -> Mark:
        """The number goes into the bits of the mask; 0 stays for packets without a mark."""
        if wanted.fresh is Fresh.NO:
            return wanted
        lowest = wanted.mask & -wanted.mask
        count = wanted.mask // lowest
        for _ in range(min(count, len(self._taken) + 1)):
            self._last += 1
            mark = Mark(((self._last - 1) % count + 1) * lowest, wanted.mask)
            if mark not in self._taken:
                self._taken.add(mark)
                return mark
        raise BackendError(f"all {count} marks of mask {wanted.mask:#x} are in use; widen the mask of %unique")


def _same(configured: Mark, unique: Mark) -> Mark:
    """`%same` of a unique mark is that mark."""
    return configured if configured.fresh is Fresh.NO else unique
