"""Messages put together from fragments that proved themselves (RFC 7383 §2.6)."""

from __future__ import annotations

from itertools import permutations

import pytest

from ikectl.iana.v2 import PayloadType
from ikectl.sa.reassembly import MAX_MESSAGES, Reassembly
from ikectl.wire.v2.sealed import Piece

REQUEST, RESPONSE = (False, 7), (True, 7)


def piece(number: int, total: int = 3, octets: int = 10) -> Piece:
    first = PayloadType.IDI if number == 1 else PayloadType.NONE
    return Piece(first, number, total, b"%d" % number, bytes(octets))


@pytest.mark.conformance("v2-108")
@pytest.mark.parametrize("order", list(permutations((1, 2, 3))))
def test_any_order_makes_the_message_and_leaves_nothing(order: tuple[int, ...]) -> None:
    waiting = Reassembly()
    *before, last = order
    for number in before:
        assert waiting.add(REQUEST, piece(number)) is None
        assert waiting.has(REQUEST, number, 3), "a duplicate need not be decrypted"
        assert waiting.add(REQUEST, piece(number)) is None
    whole = waiting.add(REQUEST, piece(last))
    assert whole is not None and [each.number for each in whole] == [1, 2, 3]
    assert not waiting.octets


@pytest.mark.conformance("v2-108")
def test_the_set_of_more_fragments_counts() -> None:
    waiting = Reassembly()
    assert waiting.add(REQUEST, piece(1, 2)) is None
    assert waiting.add(REQUEST, piece(2, 3)) is None
    assert waiting.has(REQUEST, 2, 2) and waiting.add(REQUEST, piece(2, 2)) is None
    assert waiting.octets == 10, "what came of the coarser set is forgotten"
    assert waiting.add(REQUEST, piece(1, 3)) is None
    whole = waiting.add(REQUEST, piece(3, 3))
    assert whole is not None and {each.total for each in whole} == {3}


def test_a_request_and_a_response_of_one_number_are_two_messages() -> None:
    waiting = Reassembly()
    assert waiting.add(REQUEST, piece(1, 2)) is None
    assert waiting.add(RESPONSE, piece(2, 2)) is None
    assert waiting.add(REQUEST, piece(2, 2)) and waiting.add(RESPONSE, piece(1, 2))


def test_neither_octets_nor_messages_grow_without_end() -> None:
    waiting = Reassembly()
    for number in range(1, 100):
        assert waiting.add(REQUEST, piece(number, 1000, 1000), 50_000) is None
        assert waiting.octets <= 50_000
    for number in range(50):
        assert waiting.add((False, number), piece(1)) is None
    assert waiting.octets == 10 * MAX_MESSAGES
