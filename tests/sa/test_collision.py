"""Which of two simultaneous rekeyings stays (RFC 7296 §2.8.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.sa.collision import Outcome, decide, lowest

nonces = st.binary(min_size=16, max_size=64)


@pytest.mark.conformance("v2-89", "v2-90")
def test_the_lowest_of_the_four_nonces_loses() -> None:
    low, high = b"\x01" * 32, b"\x02" * 32
    assert decide(ours=lowest(low, high), theirs=lowest(high, high)) is Outcome.THEIRS_STAYS
    assert decide(ours=lowest(high, high), theirs=lowest(high, low)) is Outcome.OURS_STAYS


def test_a_prefix_is_lower() -> None:
    assert lowest(b"\x05" * 32, b"\x05" * 16) == b"\x05" * 16


@given(nonces, nonces, nonces, nonces)
def test_both_ends_come_to_the_same_verdict(a: bytes, b: bytes, c: bytes, d: bytes) -> None:
    ours, theirs = lowest(a, b), lowest(c, d)
    if ours == theirs:
        return
    assert {decide(ours, theirs), decide(theirs, ours)} == {Outcome.OURS_STAYS, Outcome.THEIRS_STAYS}
