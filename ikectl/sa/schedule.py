"""Schedule: the named deadlines of one SA, as a value. Timers carry names, not references."""

from __future__ import annotations

from collections.abc import Hashable

Name = Hashable

HANDFUL = 16
"""Deadlines up to which room is worth giving back: in a larger dictionary there is less to spare for each of them than
it costs to move them all whenever one more child is watched.
"""


class Schedule(dict[Name, float]):
    """Deadlines by name, in absolute monotonic seconds.

    An SA has a handful of them, so the earliest is found by looking at all.
    """

    __slots__ = ()

    def compact(self) -> None:
        """Give back the room of deadlines that are gone: an SA that stands has fewer than one that comes up.

        Numbered names come first, for a dictionary that begins with strings is made twice as large by the first
        key that is none. Of more than a HANDFUL nothing is moved.
        """
        if len(self) > HANDFUL:
            return
        kept: dict[Name, float] = {name: at for name, at in self.items() if name.__class__ is not str}
        kept.update(self)
        self.clear()
        self.update(kept)

    def next(self) -> float | None:
        """The earliest deadline, or None."""
        return min(self.values(), default=None)

    def due(self, now: float) -> list[Name]:
        """Take out and return what is due at `now`, earliest first; ties in the order of setting."""
        ready = [(at, name) for name, at in self.items() if at <= now]
        ready.sort(key=lambda item: item[0])
        for _, name in ready:
            del self[name]
        return [name for _, name in ready]
