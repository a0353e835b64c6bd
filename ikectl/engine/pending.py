"""Pending: commands under way, each of one or more exchanges, until all of them ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from ikectl.sa.events import CommandDone, Event


@dataclass(slots=True)
class _Command:
    token: int
    left: int
    matches: int
    done: int = 0
    error: str | None = None


class Pending:
    """Exchanges carry the number of the command they serve; the last one to end ends the command."""

    __slots__ = ("_commands", "_events", "_numbers", "_steps")

    def __init__(self, events: list[Event]) -> None:
        self._events = events
        self._numbers = count(1)
        self._commands: dict[int, _Command] = {}
        self._steps: dict[int, Callable[[str | None], None]] = {}

    def begin(self, token: int, parts: int, none: str) -> int:
        """The number for the `parts` exchanges of a command; with no parts it fails at once for the reason `none`."""
        if not parts:
            self._events.append(CommandDone(token, none))
            return 0
        number = next(self._numbers)
        self._commands[number] = _Command(token, parts, parts)
        return number

    def step(self, then: Callable[[str | None], None]) -> int:
        """The number for one exchange that a command needs before its own; `then` is told how it ended."""
        number = next(self._numbers)
        self._steps[number] = then
        return number

    def settle(self, number: int, error: str | None) -> None:
        """One exchange of a command ended."""
        step = self._steps.pop(number, None)
        if step is not None:
            step(error)
            return
        command = self._commands.get(number)
        if command is None:
            return
        command.left -= 1
        if error is None:
            command.done += 1
        else:
            command.error = command.error or error
        if not command.left:
            del self._commands[number]
            if command.token:
                self._events.append(CommandDone(command.token, command.error, command.matches, command.done))
