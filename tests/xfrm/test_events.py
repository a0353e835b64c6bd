"""Notifications as they come off the wire."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xfrm.kernel import message
from xfrm import EventStream, Malformed, PolicyKey, Proto, SaId, Selector, XfrmError
from xfrm.codec import pack_selector
from xfrm.events import DefaultsChanged, Mapping, Report, SaDeleted, SasFlushed, read_event
from xfrm.messages import MESSAGES, Message, walk
from xfrm.model import Defaults
from xfrm.uapi import Type

A, B = ip_address("192.0.2.1"), ip_address("192.0.2.2")
A6, B6 = ip_address("2001:db8::1"), ip_address("2001:db8::2")


def read(octets: bytes) -> object:
    (one,) = walk(octets)
    return read_event(one)


def test_mapping() -> None:
    """struct xfrm_user_mapping: SPI and ports in network order, the rest in host order."""
    payload = (
        A.packed + bytes(12) + bytes.fromhex("00001234") + struct.pack("=HBx", 2, 50) + struct.pack("=I", 7)
        + B.packed + bytes(12) + B.packed + bytes(12) + struct.pack("!HH", 4500, 34567)
    )  # fmt: skip
    assert read(message(Type.MAPPING, 0, payload)) == Mapping(SaId(A, 0x1234), 7, B, 4500, B, 34567)


def test_report() -> None:
    """struct xfrm_user_report and the care-of address of a Mobile IPv6 packet nobody wanted."""
    selector = Selector(A6, 128, B6, 128, 17)
    payload = struct.pack("=B3x", 60) + pack_selector(selector)
    coaddr = struct.pack("=HH", 20, 14) + ip_address("2001:db8::7").packed
    event = read(message(Type.REPORT, 0, payload + coaddr))
    assert event == Report(Proto.DSTOPTS, selector, ip_address("2001:db8::7"))
    assert read(message(Type.REPORT, 0, payload)) == Report(Proto.DSTOPTS, selector, None)


def test_deletion_without_the_sa() -> None:
    payload = A6.packed + bytes.fromhex("00001234") + struct.pack("=HBx", 10, 51)
    assert read(message(Type.DELSA, 0, payload)) == SaDeleted(SaId(A6, 0x1234, Proto.AH), None)


def test_messages_that_later_kernels_may_have() -> None:
    assert read(message(0x29, 0, bytes(100))) is None


def test_policy_without_a_family() -> None:
    with pytest.raises(Malformed):
        read(message(Type.NEWPOLICY, 0, bytes(168)))


@given(st.sampled_from(list(Type)), st.binary(max_size=600))
def test_any_octets_give_an_event_or_an_error(kind: int, octets: bytes) -> None:
    try:
        read_event(Message(kind, 0, 0, octets))
    except Malformed:
        pass


@given(
    st.sampled_from(sorted(MESSAGES)),
    st.binary(min_size=280, max_size=280),
    st.lists(st.tuples(st.integers(0, 50), st.binary(max_size=90)), max_size=6),
)
def test_any_attributes_give_an_event_or_an_error(kind: int, head: bytes, attributes: list[tuple[int, bytes]]) -> None:
    octets = head[: MESSAGES[kind].size]
    octets += bytes(-len(octets) % 4)
    for number, payload in attributes:
        octets += struct.pack("=HH", 4 + len(payload), number) + payload + bytes(-len(payload) % 4)
    try:
        read_event(Message(kind, 0, 0, octets))
    except Malformed:
        pass


@given(st.binary(max_size=200))
def test_any_datagram_is_walked_or_refused(octets: bytes) -> None:
    try:
        for one in walk(octets):
            one.error()
    except Malformed:
        pass


@pytest.fixture
def wire() -> Iterator[tuple[EventStream, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    stream = EventStream((), sock=ours)
    yield stream, theirs
    stream.close()
    theirs.close()


async def test_stream_goes_on_after_a_malformed_message(wire: tuple[EventStream, socket.socket]) -> None:
    stream, kernel = wire
    kernel.send(message(Type.EXPIRE, 0, bytes(3)) + message(Type.FLUSHSA, 0, b"\x32"))
    kernel.send(b"?")
    kernel.send(message(0x29, 0, b"") + message(Type.GETDEFAULT, 0, bytes(3)))
    with pytest.raises(Malformed):
        await anext(stream)
    assert await anext(stream) == SasFlushed(Proto.ESP)
    with pytest.raises(Malformed):
        await anext(stream)
    assert await anext(stream) == DefaultsChanged(Defaults(0, 0, 0))
    assert stream.pending() is None


async def test_stream_waits(wire: tuple[EventStream, socket.socket]) -> None:
    stream, kernel = wire
    waiting = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    kernel.send(message(Type.FLUSHSA, 0, b"\x33"))
    assert await waiting == SasFlushed(Proto.AH)
    cancelled = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    kernel.send(message(Type.FLUSHSA, 0, b"\x32"))
    assert await anext(stream) == SasFlushed(Proto.ESP)


def test_names_are_values() -> None:
    selector = Selector.between("10.0.0.0/8", "10.1.0.0/16")
    assert hash(PolicyKey(selector, 1)) == hash(PolicyKey(Selector.between("10.0.0.0/8", "10.1.0.0/16"), 1))
    assert issubclass(Malformed, XfrmError)
