"""Schedule: the named deadlines of one SA, as a value. Timers carry names, not references."""

from __future__ import annotations

from collections.abc import Hashable

Name = Hashable


class Schedule(dict[Name, float]):
    """Deadlines by name, in absolute monotonic seconds.

    An SA has a handful of them, so the earliest is found by looking at all.
    """

    __slots__ = ()

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
