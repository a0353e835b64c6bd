"""Puzzles are solved in a process of their own: in turn, not without end, and not for ever."""

from __future__ import annotations

import asyncio

import pytest

from ikectl.crypto import puzzle
from ikectl.crypto.transforms import PRF_BY_ID
from ikectl.daemon.puzzles import PuzzleSolver
from ikectl.errors import BackendError
from ikectl.exchange.v2.demands import solve
from ikectl.iana.v2 import PrfId
from ikectl.sa.asks import Found, SearchPuzzle
from ikectl.wire.v2.puzzle import Demand
from tests.daemon.loopback import Running

COOKIE = bytes(range(20))
HARD = SearchPuzzle(PrfId.HMAC_SHA2_256, COOKIE, 64, 0, 1 << 40, 4)
"""Takes years."""


def ask(bits: int = 8, tries: int = 1 << 12, number: PrfId = PrfId.HMAC_SHA2_256) -> SearchPuzzle:
    return SearchPuzzle(number, COOKIE, bits, 0, tries, 4)


@pytest.mark.parametrize("number", [PrfId.HMAC_SHA2_256, PrfId.AES128_XCBC])
async def test_what_the_process_finds_is_a_solution(number: PrfId) -> None:
    found = await PuzzleSolver().search(ask(number=number))
    assert found.keys == puzzle.search(PRF_BY_ID[number].prf, COOKIE, 8, 0, 1 << 12, 4)
    assert puzzle.earned(PRF_BY_ID[number].prf, found.keys, COOKIE) >= 8 and found.seconds > 0


async def test_nothing_found_is_no_failure() -> None:
    assert (await PuzzleSolver().search(ask(64, 3))).keys == ()


async def test_several_are_worked_on_in_turn_and_no_more_than_may_wait() -> None:
    solver = PuzzleSolver(most_waiting=2)
    results = await asyncio.gather(*(solver.search(ask()) for _ in range(4)), return_exceptions=True)
    assert [type(result) for result in results] == [Found, Found, BackendError, BackendError]
    assert "2 other puzzles" in str(results[2])
    assert (await solver.search(ask())).keys, "they are done, and others may come"


async def test_work_without_end_is_ended() -> None:
    solver = PuzzleSolver(within=0.0)
    with pytest.raises(BackendError, match="not solved in 0 s"):
        await solver.search(HARD)
    assert (await PuzzleSolver().search(ask())).keys


async def test_the_process_goes_with_who_waits_for_it() -> None:
    solver = PuzzleSolver()
    task = asyncio.create_task(solver.search(HARD))
    while solver.process is None:
        await asyncio.sleep(0)
    process = solver.process
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert process.returncode is not None and solver.process is None


async def test_closing_ends_it() -> None:
    solver = PuzzleSolver()
    task = asyncio.create_task(solver.search(HARD))
    while solver.process is None:
        await asyncio.sleep(0)
    await solver.close()
    with pytest.raises(BackendError, match="failed"):
        await task


async def test_an_exchange_gets_its_solution() -> None:
    """The coroutine of an exchange, its asks answered by the process."""
    solver = PuzzleSolver()
    work = solve(Demand(PrfId.HMAC_SHA2_256, 10), COOKIE)
    asked = work.send(None)
    with pytest.raises(StopIteration) as stop:
        while True:
            assert isinstance(asked, SearchPuzzle)
            asked = work.send(await solver.search(asked))
    solution, seconds = stop.value.value
    assert puzzle.earned(PRF_BY_ID[PrfId.HMAC_SHA2_256].prf, solution.keys, COOKIE) >= 10 and seconds > 0


async def test_a_daemon_solves_the_puzzle_of_another() -> None:
    """Over real sockets: the loop goes on while the process works, and the story is told."""
    moon, sun = Running("127.0.1.1"), Running("127.0.1.2", puzzle_threshold=0, puzzle_legacy=0.0, puzzle_difficulty=9)
    moon.load("127.0.1.2")
    sun.load("127.0.1.1")
    try:
        await moon.up()
        told = [event.text() for event in moon.events if "puzzle" in event.text() and "bits" in event.text()]
        assert told[0].startswith("the gateway is under load and asks for a puzzle of 9 bits")
        assert told[1].startswith("the puzzle is solved: 9 bits took ")
    finally:
        moon.stop()
        sun.stop()
        await moon.solver.close()
