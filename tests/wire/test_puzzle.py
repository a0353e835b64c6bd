"""PUZZLE and the Puzzle Solution payload, octet by octet (RFC 8019 §8)."""

from __future__ import annotations

import pytest

from ikectl.errors import WireError
from ikectl.iana.v2 import ExchangeType, NotifyType, PayloadType, PrfId
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify
from ikectl.wire.v2.puzzle import Demand, PuzzleSolution, prf_id, puzzle, puzzle_notify


def test_a_puzzle_names_a_prf_and_a_difficulty() -> None:
    demand = Demand(PrfId.HMAC_SHA2_256, 18)
    notify = puzzle_notify(demand)
    assert notify.type == NotifyType.PUZZLE == 16434 and notify.data == bytes.fromhex("0005 12")
    assert notify.body() == bytes.fromhex("00 00 4032 0005 12")
    assert puzzle(notify) == demand
    assert puzzle(Notify(NotifyType.PUZZLE, bytes.fromhex("ffff 00"))) == Demand(prf_id(65535), 0)


@pytest.mark.parametrize("octets", [0, 1, 2, 4, 100])
def test_a_puzzle_of_another_length_is_none(octets: int) -> None:
    with pytest.raises(WireError, match=f"{octets} octets"):
        puzzle(Notify(NotifyType.PUZZLE, bytes(octets)))


@pytest.mark.parametrize("each", [1, 3, 4, 16, 64])
def test_a_solution_is_four_keys_of_one_length(each: int) -> None:
    body = bytes(range(4 * each))
    solution = PuzzleSolution.read(body)
    assert PuzzleSolution.TYPE is PayloadType.PS and PayloadType.PS == 54
    assert solution.keys == (body[:each], body[each : 2 * each], body[2 * each : 3 * each], body[3 * each :])
    assert solution.body() == body


@pytest.mark.parametrize("octets", [0, 1, 2, 3, 5, 15, 4 * 64 + 1, 4 * 65, 4096])
def test_other_lengths_are_no_solution(octets: int) -> None:
    with pytest.raises(WireError, match=f"a puzzle solution of {octets} octets"):
        PuzzleSolution.read(bytes(octets))


def test_it_stands_among_other_payloads() -> None:
    """HDR, N(COOKIE), PS (RFC 8019 §7.1.2)."""
    payloads = [Notify(NotifyType.COOKIE, b"a cookie"), PuzzleSolution((b"a", b"b", b"c", b"d"))]
    message = Message(bytes(range(8)), bytes(8), ExchangeType.IKE_SA_INIT, 0, False, True, payloads)
    octets = message.write()
    assert octets[28:] == bytes.fromhex("36 00 0010 00 00 4006") + b"a cookie" + bytes.fromhex("00 00 0008") + b"abcd"
    assert Message.read(octets).one(PuzzleSolution) == payloads[1]
