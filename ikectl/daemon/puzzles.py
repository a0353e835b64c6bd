"""PuzzleSolver: works on puzzles of gateways in a process apart, so that the event loop never waits (RFC 8019).

A gateway under attack makes its clients work for seconds, and a host with many
tunnels may meet that for all of them at once: one process at a time, a bounded
queue, a bounded time for each part of the work. The process is told nothing
secret; it lives for one part alone.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

from ikectl.daemon.answers import Later
from ikectl.errors import BackendError
from ikectl.sa.asks import Found, SearchPuzzle

MOST_WAITING = 16
"""Parts of work that wait or are under way: with more, the last would come too late for its gateway's cookie."""
WITHIN = 60.0
"""Seconds for one part, which takes five on a slow processor."""
PYTHON = sys.executable, "-P", "-m", "ikectl.daemon.puzzle_process"
"""Nothing is imported from where the daemon happens to stand (-P)."""


class PuzzleSolver:
    """Answers `SearchPuzzle`, one after the other in the order they came."""

    def __init__(self, most_waiting: int = MOST_WAITING, within: float = WITHIN) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._most_waiting = most_waiting
        self._within = within
        self.process: asyncio.subprocess.Process | None = None
        """The one at work."""

    @property
    def later(self) -> Later:
        """What waits."""
        return {SearchPuzzle: self.search}

    async def search(self, ask: SearchPuzzle) -> Found:
        """Raises BackendError."""
        if self._waiting >= self._most_waiting:
            raise BackendError(f"{self._waiting} other puzzles are being worked on already")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._search(ask)
        finally:
            self._waiting -= 1

    async def _search(self, ask: SearchPuzzle) -> Found:
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        pipe = asyncio.subprocess.PIPE
        numbers = ask.prf, ask.bits, ask.start, ask.tries, ask.wanted
        arguments = *[str(int(number)) for number in numbers], ask.data.hex()
        try:
            process = await asyncio.create_subprocess_exec(
                *PYTHON, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
            )
        except OSError as error:
            raise BackendError(f"cannot start a process to solve the puzzle: {error.strerror}") from error
        self.process = process
        try:
            async with asyncio.timeout(self._within):
                said, errors = await process.communicate()
        except TimeoutError:
            raise BackendError(f"the puzzle was not solved in {self._within:.0f} s") from None
        finally:
            self.process = None
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode:
            why = errors.decode(errors="replace").strip()[-200:]
            raise BackendError(f"the process that solves puzzles failed ({process.returncode}): {why}")
        keys = tuple([bytes.fromhex(word) for word in said.decode("ascii").split()])
        return Found(keys, loop.time() - began_at)

    async def close(self) -> None:
        """Work no longer."""
        process = self.process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
