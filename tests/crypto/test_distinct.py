from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from ikectl.crypto.distinct import completes


@given(st.lists(st.lists(st.integers(1, 6), max_size=5, unique=True), max_size=5), st.lists(st.integers(1, 6)))
def test_whether_each_gets_one_of_its_own(choices: list[list[int]], used: list[int]) -> None:
    """Compared with trying them all."""
    every = any(len({*way, *used}) == len(way) + len(set(used)) for way in product(*choices))
    assert completes(choices, used) is every
