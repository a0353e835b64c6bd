"""Penalties: how late a wrong password is answered. Nobody is ever locked out."""

from __future__ import annotations

import math
from collections.abc import Hashable

SIZE = 4096
"""Names and sites remembered; the longest unseen is forgotten first. An attacker who fills this with
sites of his own still pays for the name he guesses at, and the other way round."""
FIRST = 1.0
"""Seconds after the first failure; twice as many after each further one."""
LONGEST = 10.0
"""Seconds at most. Several tries must fit into what an SA has to become ready, and a typo must not hurt."""
HALF_LIFE = 300.0
"""Seconds in which half of what counts against somebody is forgotten."""


class Penalties:
    """Counts failures by who failed: a user's name, a site."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._scores: dict[Hashable, tuple[float, float]] = {}
        """Who -> (failures that still count, when they were counted)."""

    def failed(self, who: Hashable, now: float) -> float:
        """Counts a failure at `now` (seconds); the delay that is due for it."""
        score = self._score(who, now) + 1.0
        self._scores.pop(who, None)
        if len(self._scores) >= self._size:
            del self._scores[next(iter(self._scores))]
        self._scores[who] = score, now
        return _delay(score)

    def due(self, who: Hashable, now: float) -> float:
        """The delay that earlier failures cause at `now`."""
        return _delay(self._score(who, now))

    def __len__(self) -> int:
        return len(self._scores)

    def _score(self, who: Hashable, now: float) -> float:
        score, then = self._scores.get(who, (0.0, now))
        return score * math.pow(0.5, (now - then) / HALF_LIFE)


def _delay(score: float) -> float:
    if score < 0.5:  # as good as forgotten
        return 0.0
    return min(LONGEST, FIRST * math.pow(2.0, min(score - 1.0, 16.0)))
