"""Schedule: the named deadlines of one SA, as a value. Timers carry names, not references."""

from __future__ import annotations

from collections.abc import Hashable

Name = Hashable

HANDFUL = 16
"""Deadlines up to which room is worth giving back: in a larger dictionary there is less to spare for each of them than
it costs to move them all whenever one more child is watched.
"""


class Schedule:
    """Deadlines by name, in absolute monotonic seconds.

    An SA has a handful of them, so the earliest is found by looking at all.
    """

    __slots__ = ("_deadlines",)

    def __init__(self) -> None:
        self._deadlines: dict[Name, float] = {}

    def set(self, name: Name, at: float) -> None:
        """Let `name` be due at `at`; replaces an earlier setting."""
        self._deadlines[name] = at

    def clear(self, name: Name) -> None:
        """Forget `name`, whether it was set or not."""
        self._deadlines.pop(name, None)

    def compact(self) -> None:
        """Give back the room of deadlines that are gone: an SA that stands has fewer than one that comes up.

        Numbered names come first, for a dictionary that begins with strings is made twice as large by the first
        key that is none. Of more than a HANDFUL nothing is moved.
        """
        if len(self._deadlines) > HANDFUL:
            return
        self._deadlines = dict(sorted(self._deadlines.items(), key=lambda item: isinstance(item[0], str)))

    def at(self, name: Name) -> float | None:
        """When `name` is due, or None."""
        return self._deadlines.get(name)

    def next(self) -> float | None:
        """The earliest deadline, or None."""
        return min(self._deadlines.values(), default=None)

    def due(self, now: float) -> list[Name]:
        """Take out and return what is due at `now`, earliest first; ties in the order of setting."""
        ready = [(at, name) for name, at in self._deadlines.items() if at <= now]
        ready.sort(key=lambda item: item[0])
        for _, name in ready:
            del self._deadlines[name]
        return [name for _, name in ready]
