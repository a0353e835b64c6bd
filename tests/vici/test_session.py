"""One client's conversation: order, registrations, streams, and what a slow reader gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.vici.message import MAX_FRAME, Draft, Frames, Packet, PacketType, decode, encode
from ikectl.vici.session import BACKLOG, Broadcast, Overrun, Session

COMMANDS = {"version", "list-sas"}
EVENTS = {"log", "ike-updown", "list-sa"}


def session() -> Session:
    return Session(COMMANDS, EVENTS)


def request(name: str, message: Draft | None = None) -> bytes:
    return Packet(PacketType.CMD_REQUEST, name, encode(message or {})).frame()


def register(name: str) -> bytes:
    return Packet(PacketType.EVENT_REGISTER, name).frame()


def unregister(name: str) -> bytes:
    return Packet(PacketType.EVENT_UNREGISTER, name).frame()


def sent(server: Session) -> list[Packet]:
    frames = Frames()
    while octets := server.take():
        frames.feed(octets)
    return [Packet.read(octets) for octets in frames]


def test_a_command_and_its_answer() -> None:
    server = session()
    server.receive(request("version", {"key": "value"}))
    call = server.next()
    assert call is not None
    assert (call.name, call.message) == ("version", {"key": b"value"})
    server.respond({"daemon": "ikectld"})
    (answer,) = sent(server)
    assert (answer.type, decode(answer.body)) == (PacketType.CMD_RESPONSE, {"daemon": b"ikectld"})


def test_an_empty_answer_has_no_elements() -> None:
    server = session()
    server.receive(request("version"))
    server.next()
    server.respond({})
    assert server.take() == bytes.fromhex("0000000101")


def test_requests_are_served_one_after_another() -> None:
    server = session()
    server.receive(request("version") + request("list-sas") + register("log"))
    first = server.next()
    assert first is not None and first.name == "version"
    assert server.next() is None, "the second waits for the first"
    assert sent(server) == [], "so does the registration behind it"
    server.respond({})
    second = server.next()
    assert second is not None and second.name == "list-sas"
    server.respond({})
    assert server.next() is None
    kinds = [packet.type for packet in sent(server)]
    assert kinds == [PacketType.CMD_RESPONSE, PacketType.CMD_RESPONSE, PacketType.EVENT_CONFIRM]


def test_a_command_that_does_not_exist_is_said_to_be_unknown() -> None:
    server = session()
    server.receive(request("dance"))
    assert server.next() is None
    assert sent(server) == [Packet(PacketType.CMD_UNKNOWN)]


def test_registrations() -> None:
    server = session()
    server.receive(register("log") + register("weather") + unregister("log") + unregister("log"))
    assert server.next() is None
    assert [packet.type for packet in sent(server)] == [
        PacketType.EVENT_CONFIRM,
        PacketType.EVENT_UNKNOWN,
        PacketType.EVENT_CONFIRM,
        PacketType.EVENT_UNKNOWN,
    ]
    assert not server.registered("log")


def test_events_reach_those_who_registered() -> None:
    server = session()
    server.receive(register("log"))
    server.next()
    sent(server)
    server.offer(Broadcast.of("ike-updown", {"up": "yes"}))
    server.offer(Broadcast.of("log", {"msg": "hello"}))
    server.stream("list-sa", {})
    assert sent(server) == [Packet(PacketType.EVENT, "log", encode({"msg": "hello"}))]


def test_packets_of_other_types_are_passed_over() -> None:
    server = session()
    server.receive(Packet(PacketType.CMD_RESPONSE).frame() + b"\0\0\0\1\x2a" + b"\0\0\0\0" + request("version"))
    call = server.next()
    assert call is not None and call.name == "version"
    assert sent(server) == []


def test_a_malformed_message_is_a_call_that_says_so() -> None:
    server = session()
    server.receive(Packet(PacketType.CMD_REQUEST, "version", b"\x02").frame())
    call = server.next()
    assert call is not None and call.message is None
    assert "malformed" in call.fault


def test_a_frame_that_is_too_long_ends_the_conversation() -> None:
    server = session()
    server.receive((MAX_FRAME + 1).to_bytes(4, "big"))
    with pytest.raises(Overrun):
        server.next()


def test_reading_stops_while_a_command_runs_and_enough_is_held() -> None:
    server = session()
    server.receive(request("version"))
    server.next()
    server.receive(bytes(MAX_FRAME))
    assert not server.full
    server.receive(bytes(10))
    assert server.full


def test_a_slow_reader_of_the_log_misses_lines_and_is_told_how_many() -> None:
    server = session()
    server.receive(register("log"))
    server.next()
    line = Broadcast.of("log", {"msg": "x" * 1000})
    sent(server)
    for _ in range(2000):
        server.offer(line)
    assert server.waiting <= BACKLOG
    arrived = len(sent(server))
    assert arrived == BACKLOG // len(line.frame)
    server.offer(line)
    told, last = sent(server)
    assert f"{2000 - arrived} log lines are missing here".encode() in told.body
    assert last.body == encode({"msg": "x" * 1000})
    server.offer(line)
    assert len(sent(server)) == 1, "told once"


def test_a_slow_reader_of_anything_else_is_cut_off() -> None:
    server = session()
    server.receive(register("ike-updown"))
    server.next()
    event = Broadcast.of("ike-updown", {"conn": {"x": "y" * 60000}})
    with pytest.raises(Overrun, match="slow"):
        for _ in range(100):
            server.offer(event)


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_whatever_comes_in_the_session_stands_or_says_overrun(pieces: list[bytes]) -> None:
    server = session()
    try:
        for piece in pieces:
            server.receive(piece)
            while server.next() is not None:
                server.respond({})
    except Overrun:
        pass
    sent(server)


@given(st.integers(1, 30))
def test_however_the_stream_is_cut_the_commands_are_the_same(cut: int) -> None:
    stream = register("log") + request("version", {"a": ["b", "c"]}) + request("dance") + request("list-sas")
    server = session()
    names = []
    for at in range(0, len(stream), cut):
        server.receive(stream[at : at + cut])
        while (call := server.next()) is not None:
            names.append(call.name)
            server.respond({})
    assert names == ["version", "list-sas"]
    assert [packet.type for packet in sent(server)] == [
        PacketType.EVENT_CONFIRM,
        PacketType.CMD_RESPONSE,
        PacketType.CMD_UNKNOWN,
        PacketType.CMD_RESPONSE,
    ]
