"""Message numbers, one request in flight, one reply kept (RFC 7296 §2.1 to §2.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.iana.v2 import ExchangeType
from ikectl.sa.window import Verdict, WideWindow, Window

AUTH, INFO = ExchangeType.IKE_AUTH, ExchangeType.INFORMATIONAL


@pytest.mark.conformance("v2-32")
def test_numbers_start_at_0_and_each_direction_counts_for_itself() -> None:
    window = Window()
    first = window.send(AUTH, (b"first",))
    assert first.message_id == 0
    window.settle(first)
    assert window.send(INFO, (b"second",)).message_id == 1
    assert window.judge(0) is Verdict.NEW and window.judge(1) is Verdict.OUTSIDE
    window.replied(0, b"request 0", (b"reply 0",))
    assert window.judge(1) is Verdict.NEW


@pytest.mark.conformance("v2-37")
def test_only_the_right_number_and_exchange_answer() -> None:
    window = Window()
    request = window.send(AUTH, (b"x",))
    assert window.answered(AUTH, 0) is request
    assert window.answered(INFO, 0) is None and window.answered(AUTH, 1) is None
    window.settle(request)
    assert window.answered(AUTH, 0) is None


@pytest.mark.conformance("v2-29")
def test_a_repeat_gets_the_same_octets_and_a_forged_one_nothing() -> None:
    window = Window()
    request = b"header and body and an integrity checksum of 16"
    window.replied(0, request, (b"the sealed reply",))
    assert window.judge(0) is Verdict.REPEAT
    assert window.repeat(0, request) == (b"the sealed reply",)
    assert window.repeat(0, request[:-1] + b"!") == ()
    assert window.repeat(0, b"!" + request[1:]) == ()
    assert window.repeat(0, request[-16:]) == (), "its tail alone was seen on the wire by anybody"
    assert Window().repeat(0, b"") == ()


def test_what_somebody_else_recognises_is_no_repeat_here() -> None:
    """The first message of an SA: the router keeps it, and asks for the reply itself."""
    window = Window()
    window.replied(0, b"", (b"the reply",))
    assert window.repeat(0, b"") == window.repeat(0, b"anything") == ()
    assert window.judge(0) is Verdict.REPEAT and window.reply(0) == (b"the reply",)
    window.replied(1, b"sealed", (b"another",))
    assert window.judge(0) is Verdict.OUTSIDE


@pytest.mark.conformance("v2-34")
def test_what_is_below_and_above_the_window_is_outside() -> None:
    window = Window()
    for number in range(3):
        window.replied(number, b"request %d ................" % number, (b"reply",))
    assert window.judge(1) is Verdict.OUTSIDE and window.judge(4) is Verdict.OUTSIDE
    assert window.judge(2) is Verdict.REPEAT and window.judge(3) is Verdict.NEW


@pytest.mark.conformance("v2-35")
def test_no_more_requests_go_out_than_the_peer_keeps_replies_for() -> None:
    """The oldest one without an answer counts, however many after it were answered (§2.3)."""
    window = Window()
    requests = [window.send(INFO, (b"request",)) for _ in range(3) if window.has_room(3)]
    assert [request.message_id for request in requests] == [0, 1, 2] and not window.has_room(3)
    window.settle(requests[1])
    window.settle(requests[2])
    assert not window.has_room(3) and window.has_room(4)
    window.settle(requests[0])
    assert window.has_room(1) and window.in_flight == ()


def widened(answered: int, size: int) -> WideWindow:
    window = Window()
    for number in range(answered):
        window.replied(number, b"request %d" % number, (b"reply %d" % number,))
    return WideWindow(window, size)


@pytest.mark.conformance("v2-29", "v2-34")
def test_a_window_that_becomes_wider_keeps_what_it_has() -> None:
    window = Window()
    request = window.send(AUTH, (b"ours",))
    window.replied(0, b"theirs", (b"reply",))
    wide = WideWindow(window, 4)
    assert wide.in_flight == (request,) and wide.next_request == 1 and wide.expected == 1
    assert wide.judge(0) is Verdict.REPEAT and wide.repeat(0, b"theirs") == (b"reply",) == wide.reply(0)
    assert wide.repeat(0, b"other") == () and WideWindow(Window(), 4).judge(0) is Verdict.NEW


@pytest.mark.conformance("v2-30", "v2-34")
def test_requests_of_a_wide_window_come_in_any_order() -> None:
    wide = widened(5, 3)
    assert [wide.judge(number) for number in (3, 4, 5, 7, 8)] == [
        Verdict.OUTSIDE,
        Verdict.REPEAT,
        Verdict.NEW,
        Verdict.NEW,
        Verdict.OUTSIDE,
    ]
    wide.replied(7, b"request 7", (b"reply 7", b"in two"))
    assert wide.expected == 5 and wide.judge(8) is Verdict.OUTSIDE, "5 is still to come"
    assert wide.judge(7) is Verdict.REPEAT and wide.repeat(7, b"request 7") == (b"reply 7", b"in two")
    assert wide.judge(4) is Verdict.OUTSIDE, "who sends 7 has the answers up to 4"
    wide.replied(5, b"request 5", (b"reply 5",))
    wide.replied(6, b"request 6", (b"reply 6",))
    assert wide.expected == 8 and wide.judge(10) is Verdict.NEW and wide.judge(11) is Verdict.OUTSIDE
    assert all(wide.reply(number) for number in (5, 6, 7)) and wide.reply(8) == ()


@given(st.integers(2, 16), st.lists(st.integers(0, 40), max_size=120))
def test_a_wide_window_is_bounded_and_loses_nothing(size: int, arrivals: list[int]) -> None:
    """Each number is answered once; what is kept is no more than the window, and all of what may come again."""
    wide = widened(0, size)
    answered: set[int] = set()
    for number in arrivals:
        verdict = wide.judge(number)
        assert not (verdict is Verdict.NEW and number in answered)
        if verdict is Verdict.NEW:
            wide.replied(number, b"request %d" % number, (b"reply %d" % number,))
            answered.add(number)
        kept = {each for each in range(60) if wide.reply(each)}
        assert len(kept) <= size and kept <= answered
        assert kept == {each for each in answered if each > max(answered) - size}
        assert wide.expected == next(each for each in range(60) if each not in answered)
