"""Marks of a child's own."""

from __future__ import annotations

import pytest

from ikectl.config.model import Child, Fresh, Mark
from ikectl.errors import BackendError
from ikectl.sa.marks import ChildMarks, Marks

UNIQUE = Mark(0, 0xFFFFFFFF, Fresh.CHILD)


def config(into: Mark = UNIQUE, out: Mark = UNIQUE, set_into: Mark | None = None) -> Child:
    return Child("l2tp", (), mark_in=into, mark_out=out, set_mark_in=into if set_into is None else set_into)


def take(marks: Marks, wanted: Child, replaced: ChildMarks | None = None) -> ChildMarks:
    taken = marks.take(wanted, replaced)
    assert taken is not None
    return taken


def test_one_mark_for_both_directions() -> None:
    marks = Marks()
    first, second = take(marks, config()), take(marks, config())
    assert first.into == first.out == first.set_into == Mark(1, 0xFFFFFFFF)
    assert first.set_out == Mark()
    assert second.into == Mark(2, 0xFFFFFFFF)


def test_one_mark_for_each_direction() -> None:
    each = Mark(0, 0xFFFF, Fresh.DIRECTION)
    taken = take(Marks(), config(each, each))
    assert (taken.into, taken.out) == (Mark(1, 0xFFFF), Mark(2, 0xFFFF))


def test_only_what_is_to_be_unique_is() -> None:
    taken = take(Marks(), config(Mark(7, 0xFF), UNIQUE, Mark(9, 0xF)))
    assert taken == ChildMarks(Mark(7, 0xFF), Mark(1, 0xFFFFFFFF), Mark(9, 0xF), Mark())
    assert Marks().take(config(Mark(7, 0xFF), Mark())) is None


def test_the_number_goes_into_the_bits_of_the_mask() -> None:
    marks = Marks()
    wanted = config(Mark(0, 0xFF00, Fresh.CHILD), Mark(0, 0xFF00, Fresh.CHILD))
    values = [take(marks, wanted).into.value for _ in range(255)]
    assert values[0] == 0x100
    assert len(set(values)) == 255
    assert all(value & ~0xFF00 == 0 and value for value in values)
    with pytest.raises(BackendError, match="widen the mask"):
        marks.take(wanted)


def test_a_successor_keeps_them_and_the_last_gives_them_back() -> None:
    marks = Marks()
    wanted = config(Mark(0, 0x3, Fresh.CHILD), Mark(0, 0x3, Fresh.CHILD))
    old = take(marks, wanted)
    new = take(marks, wanted, old)
    assert new == old
    others = [take(marks, wanted) for _ in range(2)]
    marks.release(old)
    with pytest.raises(BackendError):
        marks.take(wanted)  # the successor still has it
    marks.release(new)
    assert take(marks, wanted) == old
    assert old not in others


def test_a_mark_given_back_is_the_last_to_be_given_again() -> None:
    marks = Marks()
    wanted = config(Mark(0, 0x7, Fresh.CHILD), Mark(0, 0x7, Fresh.CHILD))
    values = []
    for _ in range(8):
        taken = take(marks, wanted)
        marks.release(taken)
        values.append(taken.into.value)
    assert values == [1, 2, 3, 4, 5, 6, 7, 1]


def test_nothing_is_held_when_one_of_two_cannot_be_had() -> None:
    marks = Marks()
    narrow = Mark(0, 0x1, Fresh.DIRECTION)
    with pytest.raises(BackendError):
        marks.take(config(narrow, narrow))
    assert take(marks, config(narrow, Mark())).into == Mark(1, 1)


def test_releasing_what_was_never_unique_is_nothing() -> None:
    Marks().release(None)
