"""Deadlines by name."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ikectl.sa.schedule import Schedule


def test_the_earliest_comes_first_and_only_once() -> None:
    schedule = Schedule()
    schedule["rekey"] = 30.0
    schedule["retransmit"] = 4.0
    schedule[("expire", 7)] = 4.0
    assert schedule.next() == 4.0
    assert schedule.due(3.9) == []
    assert schedule.due(4.0) == ["retransmit", ("expire", 7)]
    assert schedule.next() == 30.0 and "retransmit" not in schedule


def test_setting_again_replaces_and_clearing_what_is_not_there_is_no_error() -> None:
    schedule = Schedule()
    schedule["rekey"] = 30.0
    schedule["rekey"] = 40.0
    assert schedule.due(39.0) == [] and schedule.get("rekey") == 40.0
    schedule.pop("rekey", None)
    schedule.pop("rekey", None)
    assert schedule.next() is None


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 100)), st.floats(0, 100))
def test_due_takes_exactly_what_is_due(deadlines: dict[str, float], now: float) -> None:
    schedule = Schedule()
    for name, at in deadlines.items():
        schedule[name] = at
    due = schedule.due(now)
    assert sorted(due) == sorted(name for name, at in deadlines.items() if at <= now)
    assert [deadlines[name] for name in due] == sorted(deadlines[name] for name in due)  # type: ignore[index]
    assert schedule.next() == min((at for at in deadlines.values() if at > now), default=None)
