"""Message numbers, one request in flight, one reply kept (RFC 7296 §2.1 to §2.3)."""

from __future__ import annotations

import pytest

from ikectl.iana.v2 import ExchangeType
from ikectl.sa.window import Verdict, Window

AUTH, INFO = ExchangeType.IKE_AUTH, ExchangeType.INFORMATIONAL


@pytest.mark.conformance("v2-32")
def test_numbers_start_at_0_and_each_direction_counts_for_itself() -> None:
    window = Window()
    assert window.send(AUTH, (b"first",)).message_id == 0
    window.settle()
    assert window.send(INFO, (b"second",)).message_id == 1
    assert window.judge(0) is Verdict.NEW and window.judge(1) is Verdict.OUTSIDE
    window.replied(b"request 0", (b"reply 0",))
    assert window.judge(1) is Verdict.NEW


@pytest.mark.conformance("v2-37")
def test_only_the_right_number_and_exchange_answer() -> None:
    window = Window()
    window.send(AUTH, (b"x",))
    assert window.answers(AUTH, 0)
    assert not window.answers(INFO, 0) and not window.answers(AUTH, 1)
    window.settle()
    assert not window.answers(AUTH, 0)


@pytest.mark.conformance("v2-29")
def test_a_repeat_gets_the_same_octets_and_a_forged_one_nothing() -> None:
    window = Window()
    request = b"header and body and an integrity checksum of 16"
    window.replied(request, (b"the sealed reply",))
    assert window.judge(0) is Verdict.REPEAT
    assert window.repeat(request) == (b"the sealed reply",)
    assert window.repeat(request[:-1] + b"!") == ()
    assert window.repeat(b"!" + request[1:]) == ()
    assert window.repeat(request[-16:]) == (), "its tail alone was seen on the wire by anybody"
    assert Window().repeat(b"") == ()


@pytest.mark.conformance("v2-34")
def test_what_is_below_and_above_the_window_is_outside() -> None:
    window = Window()
    for number in range(3):
        window.replied(b"request %d ................" % number, (b"reply",))
    assert window.judge(1) is Verdict.OUTSIDE and window.judge(4) is Verdict.OUTSIDE
    assert window.judge(2) is Verdict.REPEAT and window.judge(3) is Verdict.NEW


def test_a_request_made_anew_keeps_its_number() -> None:
    window = Window()
    window.send(ExchangeType.IKE_SA_INIT, (b"first",)).tries = 3
    window.resend_as((b"with a cookie",))
    assert window.in_flight is not None
    assert (window.in_flight.message_id, window.in_flight.tries) == (0, 0)
    assert window.in_flight.datagrams == (b"with a cookie",) and window.next_request == 1
