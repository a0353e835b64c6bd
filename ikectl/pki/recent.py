"""Recent: a bounded memory of answers, the least recently used forgotten first."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """At most `size` answers by what they were about."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._answers: dict[Hashable, V] = {}

    def get(self, about: Hashable) -> V | None:
        answer = self._answers.pop(about, None)
        if answer is not None:
            self._answers[about] = answer  # dicts keep their order: the last is the most recent
        return answer

    def put(self, about: Hashable, answer: V) -> None:
        self._answers.pop(about, None)
        if len(self._answers) >= self._size:
            del self._answers[next(iter(self._answers))]
        self._answers[about] = answer

    def clear(self) -> None:
        self._answers.clear()

    def values(self) -> Iterator[V]:
        """All answers, the least recently used first."""
        return iter(tuple(self._answers.values()))

    def __len__(self) -> int:
        return len(self._answers)
