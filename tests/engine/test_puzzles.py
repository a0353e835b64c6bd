"""Puzzles for strangers: how hard, what suffices, and who is drawn (RFC 8019 §7.1)."""

from __future__ import annotations

import pytest

from ikectl.crypto import puzzle
from ikectl.crypto.transforms import PRF_BY_ID
from ikectl.engine.puzzles import GROWTH, Puzzles
from ikectl.iana.v2 import PrfId
from ikectl.sa.env import Settings
from ikectl.wire.v2.puzzle import Demand, PuzzleSolution
from tests.sim.tape import Tape

SHA256 = PrfId.HMAC_SHA2_256
COOKIE = b"a cookie of twenty o"


def puzzles(**settings: float) -> Puzzles:
    return Puzzles(Settings(**settings), Tape(1, "puzzles"))  # type: ignore[arg-type]


def solution(bits: int, exactly: bool = True) -> PuzzleSolution:
    """Four keys, the worst of exactly so many bits."""
    prf = PRF_BY_ID[SHA256].prf
    found = puzzle.search(prf, COOKIE, bits, 0, 1 << 20, 400)
    worst = next(key for key in found if puzzle.zero_bits(prf.compute(key, COOKIE)) == bits)
    others = [key for key in found if key != worst][:3]
    return PuzzleSolution((worst, *others))


def test_it_grows_with_the_load_and_with_what_an_address_has() -> None:
    asked = puzzles(puzzle_threshold=100, half_open_limit=1100, puzzle_difficulty=10, puzzle_most=17)
    assert asked.bits(99, 50) is None
    assert [asked.bits(waiting, 0) for waiting in (100, 299, 300, 700, 1099)] == [10, 10, 11, 13, 14]
    assert asked.bits(1100, 0) == 10 + GROWTH
    assert [asked.bits(100, of_site) for of_site in (1, 2, 5)] == [11, 12, 15]
    assert asked.bits(1100, 4) == asked.bits(10**9, 10**9) == 17, "never more than the most"


def test_the_defaults_leave_honest_crowds_alone() -> None:
    asked, settings = puzzles(), Settings()
    assert asked.bits(settings.puzzle_threshold - 1, 4) is None
    assert asked.bits(settings.puzzle_threshold, 0) == 14
    assert asked.bits(settings.half_open_limit, 4) == settings.puzzle_most == 18
    assert settings.cookie_threshold < settings.puzzle_threshold < settings.half_open_limit


def test_what_was_asked_suffices_unless_more_is_asked_by_now() -> None:
    asked = puzzles()
    nine = solution(9)
    assert asked.suffices(nine, COOKIE, Demand(SHA256, 9), 9)
    assert asked.suffices(nine, COOKIE, Demand(SHA256, 9), 10), "one bit of grace"
    assert not asked.suffices(nine, COOKIE, Demand(SHA256, 9), 11)
    assert asked.suffices(nine, COOKIE, Demand(SHA256, 4), 9), "who did more is not asked again"
    assert asked.suffices(nine, COOKIE, Demand(SHA256, 9), 2)
    assert not asked.suffices(nine, COOKIE, Demand(SHA256, 10), 2), "less than was asked is nothing (§7.1.4)"
    assert not asked.suffices(nine, COOKIE[:-1] + b"x", Demand(SHA256, 9), 1)
    assert not asked.suffices(PuzzleSolution((nine.keys[0],) * 4), COOKIE, Demand(SHA256, 1), 1)


@pytest.mark.parametrize(("wanted", "each_second"), [(0.0, 1000), (5.0, 3), (5.0, 1000), (50.0, 10_000)])
def test_so_many_are_drawn_in_a_second_however_many_ask(wanted: float, each_second: int) -> None:
    draw = puzzles(puzzle_legacy=wanted)
    let_in = [sum(draw.drawn(second + n / each_second) for n in range(each_second)) for second in range(20)]
    assert max(let_in) <= wanted
    if wanted > each_second:
        assert let_in == [each_second] * 20, "all of them, if they are few"
    else:
        assert sum(let_in) >= 0.5 * 20 * wanted


def test_the_draw_is_no_matter_of_who_comes_first() -> None:
    """Of a thousand a second any may be let in, not the first ones."""
    draw = puzzles(puzzle_legacy=10.0)
    lucky = [n for second in range(30) for n in range(1000) if draw.drawn(second + n / 1000) and second]
    assert sum(n >= 500 for n in lucky) > len(lucky) / 5
