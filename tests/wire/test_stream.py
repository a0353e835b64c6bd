"""Messages in a TCP stream (RFC 9329 §3, §4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.errors import WireError
from ikectl.wire.stream import LENGTH_OCTETS, MAX_MESSAGE, PREFIX, Unframer, frame


def test_prefix() -> None:
    assert PREFIX.hex() == "494b45544350"  # §4


def test_length_counts_itself() -> None:
    assert frame(b"\0\0\0\0rest") == b"\0\x0a\0\0\0\0rest"


def test_longest() -> None:
    longest = bytes(MAX_MESSAGE)
    assert Unframer().feed(frame(longest)) == [longest]
    with pytest.raises(ValueError, match="may have 65533"):
        frame(longest + b"\0")


def test_nothing_is_a_message_too() -> None:
    assert Unframer().feed(b"\0\2\0\3\xff") == [b"", b"\xff"]


@pytest.mark.parametrize("length", [0, 1])
def test_length_below_its_own_octets(length: int) -> None:
    unframer = Unframer()
    with pytest.raises(WireError, match=f"length {length}"):
        unframer.feed(frame(b"fine") + bytes((0, length)) + b"what is this")


@given(st.lists(st.binary(max_size=300), max_size=10), st.data())
def test_however_tcp_cuts_it(messages: list[bytes], data: st.DataObject) -> None:
    stream, found, unframer = b"".join(map(frame, messages)), [], Unframer()
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        found += unframer.feed(stream[:cut])
        stream = stream[cut:]
    assert found == messages


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_anything_is_messages_or_an_error(pieces: list[bytes]) -> None:
    unframer, found = Unframer(), []
    try:
        for piece in pieces:
            found += unframer.feed(piece)
    except WireError:
        return
    said = b"".join(pieces)
    again = b"".join(map(frame, found))
    assert said.startswith(again)
    assert len(said) - len(again) < LENGTH_OCTETS + MAX_MESSAGE
