"""Reassembly of IKEv1 messages: any order, repeats, limits (MS-IKEE §3.3.5.3)."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ikectl.sa.fragments import MAX_MESSAGES, MAX_OCTETS, Fragments
from ikectl.wire.v1.fragment import Fragment


def message(octets: int, fill: int = 0) -> bytes:
    """As long as its header says, which is all that is looked at."""
    return bytes(24) + octets.to_bytes(4, "big") + bytes((each + fill) % 256 for each in range(octets - 28))


WHOLE, OTHER = message(100), message(100, 50)


def pieces(whole: bytes, size: int = 30, identifier: int = 1) -> list[Fragment]:
    parts = [whole[start : start + size] for start in range(0, len(whole), size)]
    return [Fragment(identifier, at, at == len(parts), part) for at, part in enumerate(parts, 1)]


def add(fragments: Fragments, found: list[Fragment]) -> list[bytes]:
    return [whole for each in found if (whole := fragments.add(each)) is not None]


@pytest.mark.conformance("v1-37")
@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_pieces_in_any_order(order: tuple[int, ...]) -> None:
    fragments, found = Fragments(), pieces(WHOLE)
    for at in order[:-1]:
        assert fragments.add(found[at]) is None
    assert fragments.add(found[order[-1]]) == WHOLE
    assert fragments.messages == fragments.octets == 0


@pytest.mark.conformance("v1-37")
def test_pieces_that_come_twice() -> None:
    fragments = Fragments()
    first, second, third, last = pieces(WHOLE)
    assert add(fragments, [first, first, third, third, last, last, second]) == [WHOLE]
    assert fragments.octets == 0


@pytest.mark.conformance("v1-37")
def test_without_the_last_piece_there_is_no_message() -> None:
    fragments, found = Fragments(), pieces(WHOLE)
    assert add(fragments, found[:-1] * 3) == []
    assert fragments.add(found[-1]) == WHOLE


def test_one_piece_is_a_message() -> None:
    assert Fragments().add(Fragment(9, 1, True, WHOLE)) == WHOLE


def test_messages_at_once() -> None:
    fragments = Fragments()
    one, two = pieces(WHOLE, identifier=1), pieces(OTHER, identifier=2)
    mixed = [each for pair in zip(one, two, strict=True) for each in pair]
    assert add(fragments, mixed) == [WHOLE, OTHER]


def test_every_message_under_the_same_id() -> None:
    """As some peers number them; what was left of one does not harm the next."""
    fragments = Fragments()
    assert add(fragments, pieces(WHOLE)) == [WHOLE]
    assert add(fragments, pieces(WHOLE)[:2]) == []
    assert add(fragments, pieces(OTHER)) == [OTHER]
    assert fragments.octets == 0


def test_a_shorter_message_under_the_same_id() -> None:
    fragments = Fragments()
    add(fragments, pieces(WHOLE)[1:])
    assert add(fragments, pieces(message(60))) == [message(60)]
    assert fragments.messages == 0


@pytest.mark.conformance("v1-37")
@pytest.mark.parametrize("octets", [b"all", bytes(24), message(100)[:-1], message(100) + b"\0"])
def test_a_message_is_as_long_as_its_header_says(octets: bytes) -> None:
    fragments = Fragments()
    assert fragments.add(Fragment(9, 1, True, octets)) is None
    assert fragments.messages == 0
    assert add(fragments, pieces(octets, 2)) == []


def test_a_longer_message_under_the_same_id() -> None:
    fragments = Fragments()
    assert add(fragments, [Fragment(1, 2, True, b"tail")]) == []
    assert add(fragments, pieces(WHOLE)[::-1]) == [WHOLE]


@pytest.mark.conformance("v1-37")
def test_another_last_piece_begins_anew() -> None:
    fragments = Fragments()
    assert fragments.add(Fragment(1, 5, False, b"five")) is None
    assert fragments.add(Fragment(1, 3, True, b"three")) is None
    assert (fragments.messages, fragments.octets) == (1, 5)
    assert fragments.add(Fragment(1, 4, True, b"four")) is None
    assert (fragments.messages, fragments.octets) == (1, 4)


def test_a_forged_piece_is_healed_by_the_true_one() -> None:
    fragments = Fragments()
    first, second, third, last = pieces(WHOLE)
    forged = Fragment(1, 2, False, b"forged")
    assert add(fragments, [first, forged, second, third, last]) == [WHOLE]
    assert add(fragments, [Fragment(1, 200, True, b"forged"), *pieces(WHOLE)]) == []
    assert add(fragments, pieces(WHOLE)) == [WHOLE]


def test_what_waited_longest_is_forgotten() -> None:
    fragments = Fragments()
    for identifier in range(MAX_MESSAGES + 1):
        fragments.add(pieces(WHOLE, identifier=identifier)[0])
    assert fragments.messages == MAX_MESSAGES
    assert add(fragments, pieces(WHOLE, identifier=1)[1:]) == [WHOLE]
    assert add(fragments, pieces(WHOLE, identifier=0)[1:]) == []


def test_octets_are_limited() -> None:
    fragments = Fragments()
    half = bytes(MAX_OCTETS // 2 + 1)
    fragments.add(Fragment(1, 1, False, half))
    fragments.add(Fragment(2, 1, False, half))
    assert (fragments.messages, fragments.octets) == (1, len(half))
    assert fragments.add(Fragment(2, 2, True, half)) is None
    assert (fragments.messages, fragments.octets) == (0, 0)


def test_everything_can_be_forgotten() -> None:
    fragments = Fragments()
    fragments.add(pieces(WHOLE)[0])
    fragments.clear()
    assert add(fragments, pieces(WHOLE)[1:]) == []


@given(
    st.lists(
        st.builds(
            Fragment,
            st.integers(0, 6),
            st.integers(1, 255),
            st.booleans(),
            st.one_of(st.binary(min_size=1, max_size=9), st.just(bytes(20_000))),
        ),
        max_size=60,
    )
)
@settings(max_examples=200, deadline=None)
def test_whatever_comes_stays_within_the_limits(found: list[Fragment]) -> None:
    fragments = Fragments()
    for each in found:
        whole = fragments.add(each)
        assert whole is None or len(whole) <= MAX_OCTETS
        assert fragments.messages <= MAX_MESSAGES
        assert fragments.octets <= MAX_OCTETS
