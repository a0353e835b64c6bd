"""How late wrong passwords are answered."""

from __future__ import annotations

from ikectl.daemon.penalties import FIRST, HALF_LIFE, LONGEST, Penalties


def test_each_failure_in_a_row_waits_twice_as_long_up_to_the_longest() -> None:
    penalties = Penalties()

    delays = [penalties.failed("joe", 0.0) for _ in range(50)]

    assert delays[:4] == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST]
    assert delays[4:] == [LONGEST] * 46


def test_who_never_failed_does_not_wait() -> None:
    penalties = Penalties()
    penalties.failed("joe", 0.0)

    assert penalties.due("joe", 0.0) == FIRST
    assert penalties.due("ann", 0.0) == 0.0


def test_failures_are_forgotten_with_time() -> None:
    penalties = Penalties()
    for _ in range(4):
        penalties.failed("joe", 0.0)

    assert penalties.due("joe", HALF_LIFE) == 2 * FIRST
    assert penalties.due("joe", 2 * HALF_LIFE) == FIRST
    assert penalties.due("joe", 4 * HALF_LIFE) == 0.0
    assert penalties.failed("joe", 100 * HALF_LIFE) == FIRST


def test_the_memory_is_bounded_and_keeps_who_failed_last() -> None:
    penalties = Penalties(size=3)
    for who in ("a", "b", "c", "a", "d"):
        penalties.failed(who, 0.0)

    assert len(penalties) == 3
    assert penalties.due("b", 0.0) == 0.0
    assert penalties.due("a", 0.0) == 2 * FIRST


def test_a_clock_that_ran_for_long_does_no_harm() -> None:
    penalties = Penalties()
    penalties.failed("joe", 0.0)

    assert penalties.due("joe", 1e12) == 0.0
