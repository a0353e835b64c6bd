"""Roaming: after a change of addresses or routes every IKE SA looks around, a few at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from ikectl.engine.driver import Driver
from ikectl.sa.association import IkeState

AnyDriver = Driver[Any]

AT_ONCE = 64
"""SAs that look around in one step. Each asks for its route, some tens of microseconds: a gateway with thousands
goes on answering its peers meanwhile."""
PAUSE = 0.02
"""Seconds between two steps."""


class Roaming:
    """Who has yet to look around. A further change while some wait has all of them look once more."""

    def __init__(self) -> None:
        self._waiting: deque[AnyDriver] = deque()
        self._at: float | None = None

    def changed(self, machines: Iterable[AnyDriver], now: float) -> None:
        """Addresses or routes of this host changed."""
        self._waiting = deque(machines)
        self._step(now)

    def deadline(self) -> float | None:
        """When the next few are due."""
        return self._at

    def tick(self, now: float) -> None:
        """Let those look around that are due."""
        if self._at is not None and self._at <= now:
            self._step(now)

    def _step(self, now: float) -> None:
        for _ in range(min(AT_ONCE, len(self._waiting))):
            machine = self._waiting.popleft()
            if machine.sa.state is not IkeState.CLOSED:
                machine.roam(now)
        self._at = now + PAUSE if self._waiting else None
