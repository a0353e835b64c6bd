"""Chore: a coroutine of asks that belongs to no SA. What it asks is answered in bounded time by whoever answers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from ikectl.engine.outside import Outside
from ikectl.errors import IkectlError
from ikectl.sa.asks import Ask

Finish = Callable[[IkectlError | None, float], None]


class Chore:
    """Runs from its making on. `finish` is told how it ended, and when."""

    __slots__ = ("_finish", "_job", "_outside", "question")

    def __init__(self, outside: Outside, job: Coroutine[Any, Any, None], finish: Finish, now: float) -> None:
        self._outside = outside
        self._job = job
        self.question: int | None = None
        """What it waits for; None once it is over."""
        self._finish = finish
        self._run(None, None, now)

    def answered(self, question: int, result: Any, now: float) -> None:
        """The answer to its question; an exception is thrown into the coroutine."""
        if isinstance(result, BaseException):
            self._run(None, result, now)
        else:
            self._run(result, None, now)

    def cancel(self) -> None:
        """End it here; `finish` is not told. What it asked last may still be worked on."""
        if self.question is not None:
            self._outside.abandon(self.question)
            self.question = None
        self._job.close()

    def _run(self, value: Any, error: BaseException | None, now: float) -> None:
        self.question = None
        while True:
            try:
                ask = self._job.send(value) if error is None else self._job.throw(error)
            except StopIteration:
                self._finish(None, now)
                return
            except IkectlError as failure:
                self._finish(failure, now)
                return
            value, error = None, None
            assert isinstance(ask, Ask), f"a chore awaited {type(ask).__name__}, which is no Ask"
            answer = self._outside.answers.get(type(ask))
            if answer is None:
                self.question = self._outside.ask(self, ask)
                return
            try:
                value = answer(ask)
            except IkectlError as failure:
                error = failure
