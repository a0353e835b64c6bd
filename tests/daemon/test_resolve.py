"""Names to addresses."""

from __future__ import annotations

import pytest

from ikectl.daemon.resolve import resolve
from ikectl.errors import BackendError
from ikectl.sa.asks import Resolve


async def test_addresses_are_packed_and_once() -> None:
    assert await resolve(Resolve("192.0.2.1")) == (bytes([192, 0, 2, 1]),)
    assert await resolve(Resolve("2001:db8::1")) == (bytes.fromhex("20010db8000000000000000000000001"),)


@pytest.mark.parametrize("name", ["no such name", "a" * 64 + ".example.org", "host.invalid."])
async def test_what_cannot_be_found_says_so(name: str) -> None:
    with pytest.raises(BackendError, match="cannot look up"):
        await resolve(Resolve(name))
