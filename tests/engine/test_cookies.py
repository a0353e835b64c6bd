"""Cookies: only the peer that received one can show it, and not for ever (RFC 7296 §2.6)."""

from __future__ import annotations

import pytest

from ikectl.engine.cookies import LIFETIME, NO_PUZZLE, Cookies
from ikectl.iana.v2 import PrfId
from ikectl.wire.v2.puzzle import Demand
from tests.sim.tape import Tape

NONCE, ADDRESS, SPI = bytes(32), bytes((192, 0, 2, 9)), bytes(range(8))


@pytest.fixture
def cookies() -> Cookies:
    return Cookies(Tape(1, "cookies"))


@pytest.mark.conformance("v2-43")
def test_a_cookie_is_good_for_its_peer_alone(cookies: Cookies) -> None:
    cookie = cookies.make(NONCE, ADDRESS, SPI, 0.0)
    assert 1 <= len(cookie) <= 64
    assert cookies.asked_with(cookie, NONCE, ADDRESS, SPI, 1.0)
    assert not cookies.asked_with(cookie, NONCE, bytes((192, 0, 2, 8)), SPI, 1.0)
    assert not cookies.asked_with(cookie, bytes(31) + b"\x01", ADDRESS, SPI, 1.0)
    assert not cookies.asked_with(cookie, NONCE, ADDRESS, bytes(8), 1.0)


@pytest.mark.conformance("v2-45")
def test_junk_is_no_cookie(cookies: Cookies) -> None:
    cookie = cookies.make(NONCE, ADDRESS, SPI, 0.0)
    for wrong in (b"", cookie[:-1], cookie + b"\0", bytes(len(cookie)), bytes((cookie[0] ^ 1,)) + cookie[1:]):
        assert not cookies.asked_with(wrong, NONCE, ADDRESS, SPI, 1.0)


def test_a_cookie_remembers_what_was_asked_with_it(cookies: Cookies) -> None:
    """Which puzzle, or none; and nobody else can write that into it (RFC 8019 §7.1.1.3)."""
    demand = Demand(PrfId.HMAC_SHA2_384, 17)
    cookie = cookies.make(NONCE, ADDRESS, SPI, 0.0, demand)
    assert cookies.asked_with(cookie, NONCE, ADDRESS, SPI, 1.0) == demand
    assert cookies.asked_with(cookies.make(NONCE, ADDRESS, SPI, 0.0), NONCE, ADDRESS, SPI, 1.0) == NO_PUZZLE
    for at in range(len(cookie)):
        wrong = cookie[:at] + bytes((cookie[at] ^ 1,)) + cookie[at + 1 :]
        assert cookies.asked_with(wrong, NONCE, ADDRESS, SPI, 1.0) is None


def test_a_secret_serves_a_second_lifetime_and_no_longer(cookies: Cookies) -> None:
    old = cookies.make(NONCE, ADDRESS, SPI, 0.0)
    new = cookies.make(NONCE, ADDRESS, SPI, LIFETIME + 1)
    assert old != new
    assert cookies.asked_with(old, NONCE, ADDRESS, SPI, LIFETIME + 2) and cookies.asked_with(
        new, NONCE, ADDRESS, SPI, LIFETIME + 2
    )
    cookies.make(NONCE, ADDRESS, SPI, 2 * LIFETIME + 2)
    assert not cookies.asked_with(old, NONCE, ADDRESS, SPI, 2 * LIFETIME + 3)
    assert not cookies.asked_with(new, NONCE, ADDRESS, SPI, 5 * LIFETIME)
