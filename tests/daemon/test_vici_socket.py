"""The control socket: who may open it, who waits for whom, what slow and rude clients can do."""

from __future__ import annotations

import asyncio
import os
import re
import select
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ikectl.daemon import vici_socket
from ikectl.daemon.vici_socket import ViciSocket
from ikectl.errors import BackendError
from ikectl.iana.v2 import ExchangeType
from ikectl.sa.events import (
    AuthFailed,
    Dropped,
    Event,
    Note,
    ProposalMismatch,
    Retransmitted,
    RetransmitTimeout,
    TsMismatch,
)
from ikectl.vici.client import Client, CommandFailed
from ikectl.vici.message import MAX_FRAME, Frames, Packet, PacketType, Tree, decode, encode, section
from tests.vici.memory import Memory
from tests.vici.serving import Served, serving
from tests.vici.test_commands import OFFICE


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(str(tmp_path / "run" / "ikectl.vici")) as daemon:
        with Client(daemon.path) as client:
            client.request("load-conn", {"office": OFFICE})
        yield daemon


def received(client: socket.socket, packets: int) -> list[Packet]:
    """The next so many packets, which are all that is under way."""
    frames = Frames()
    got: list[Packet] = []
    while len(got) < packets:
        frames.feed(client.recv(65536))
        got += [Packet.read(octets) for octets in frames]
    assert len(got) == packets and not len(frames)
    return got


def request(name: str, message: dict[str, str] | None = None) -> bytes:
    return Packet(PacketType.CMD_REQUEST, name, encode(message or {})).frame()


def register(name: str) -> bytes:
    return Packet(PacketType.EVENT_REGISTER, name).frame()


# -- the socket's file


def test_root_and_the_group_may_use_the_socket_and_nobody_else(served: Served) -> None:
    assert stat.S_IMODE(os.stat(served.path).st_mode) == 0o770


async def test_the_socket_may_belong_to_a_group(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    server = ViciSocket(Memory(), path, group=os.getgid())
    await server.start()
    assert os.stat(path).st_gid == os.getgid()
    await server.stop()


async def test_the_socket_goes_when_the_server_stops(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    server = ViciSocket(Memory(), path)
    await server.start()
    await server.stop()
    assert not os.path.exists(path)
    await server.stop()


async def test_what_a_dead_daemon_left_behind_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    server = ViciSocket(Memory(), path)
    await server.start()
    await server.stop()


async def test_a_living_daemon_is_not_pushed_aside(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    first, second = ViciSocket(Memory(), path), ViciSocket(Memory(), path)
    await first.start()
    with pytest.raises(BackendError, match="another daemon listens there"):
        await second.start()
    await second.stop()
    assert os.path.exists(path)
    await first.stop()


async def test_what_is_no_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.write_text("precious")
    with pytest.raises(BackendError, match="no socket"):
        await ViciSocket(Memory(), str(path)).start()
    assert path.read_text() == "precious"


async def test_a_socket_that_took_our_place_is_left_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    server = ViciSocket(Memory(), path)
    await server.start()
    os.rename(path, path + ".old")
    Path(path).touch()
    await server.stop()
    assert os.path.exists(path)


# -- waiting


def test_a_slow_command_holds_up_its_own_client_only(served: Served) -> None:
    slow = served.connect()
    slow.sendall(request("initiate", {"child": "endless"}) + request("version"))
    with Client(served.path) as other:
        assert other.request("version")["daemon"] == b"ikectld"
        assert len(list(other.stream("list-sas", "list-sa"))) == 1
    slow.close()


def test_answers_come_in_the_order_of_the_requests(served: Served) -> None:
    client = served.connect()
    client.sendall(request("get-conns") + request("dance") + register("log") + request("version"))
    packets = received(client, 4)
    assert [packet.type for packet in packets] == [
        PacketType.CMD_RESPONSE,
        PacketType.CMD_UNKNOWN,
        PacketType.EVENT_CONFIRM,
        PacketType.CMD_RESPONSE,
    ]
    client.close()


def test_who_hangs_up_does_not_stop_what_was_begun(served: Served) -> None:
    client = served.connect()
    client.sendall(request("initiate", {"child": "endless"}))
    with Client(served.path) as other:
        other.register("log")
        client.sendall(request("version"))
        client.close()
        assert other.request("version")
        assert len(list(other.stream("list-sas", "list-sa"))) == 1


def test_two_clients_see_the_story_of_their_own_command_only(served: Served) -> None:
    with Client(served.path) as one, Client(served.path) as two:
        two.register("control-log")
        story = list(one.stream("initiate", "control-log", {"child": "net"}))
        assert len(story) == 3
        response = two.request("version")  # raises if an event of the other came first
        assert response["daemon"] == b"ikectld"


def test_a_defect_of_ours_is_an_answer_and_not_a_silence(served: Served) -> None:
    served.memory.broken = True
    with Client(served.path) as client:
        with pytest.raises(CommandFailed, match=re.escape(vici_socket.BUG)):
            client.request("stats")
        assert client.request("version"), "the conversation goes on"


# -- events


def tell(served: Served, *events: Event) -> None:
    for event in events:
        served.call(served.memory.tell, event)


def test_the_log_reaches_everybody_who_registered(served: Served) -> None:
    with Client(served.path) as one, Client(served.path) as two, Client(served.path) as deaf:
        one.register("log")
        two.register("log")
        tell(served, Note(None, "hello"))
        for client in (one, two):
            name, line = next(client.events())
            assert name == "log"
            assert line == {"thread": b"1", "group": b"IKE", "level": b"1", "msg": b"hello"}
        assert deaf.request("version")


def test_the_log_tells_levels_up_to_1(served: Served) -> None:
    with Client(served.path) as client, Client(served.path) as other:
        client.register("log")
        list(other.stream("initiate", "control-log", {"child": "net"}))
        sa = next(iter(served.memory.sas.values()))
        tell(served, Dropped(sa, sa.path, "noise"), Note(sa, "hello"))
        lines = [line for _, line in (next(client.events()) for _ in range(4))]
        assert [line["msg"] for line in lines][3] == b"hello"
        assert lines[3]["ikesa-name"] == b"office"
        assert lines[3]["ikesa-uniqueid"] == b"1"


def at(tree: Tree, *path: str) -> Tree:
    """The section at a path."""
    for name in path:
        tree = section(tree[name])
    return tree


def test_sas_up_rekeyed_and_down(served: Served) -> None:
    client = served.connect()
    names = ["ike-updown", "child-updown", "ike-rekey", "child-rekey"]
    client.sendall(b"".join(register(name) for name in names))
    assert {packet.type for packet in received(client, 4)} == {PacketType.EVENT_CONFIRM}
    with Client(served.path) as other:
        list(other.stream("initiate", "control-log", {"child": "net"}))
        other.request("rekey", {"child": "net"})
        other.request("rekey", {"ike": "office"})
        list(other.stream("terminate", "control-log", {"ike": "office"}))
    packets = received(client, 6)
    client.close()
    assert [packet.name for packet in packets] == [
        "ike-updown",
        "child-updown",
        "child-rekey",
        "ike-rekey",
        "child-updown",
        "ike-updown",
    ]
    ike_up, child_up, child_rekey, ike_rekey, child_down, ike_down = (decode(packet.body) for packet in packets)
    assert ike_up["up"] == child_up["up"] == b"yes"
    assert "up" not in child_down and "up" not in ike_down
    assert at(ike_up, "office")["uniqueid"] == b"1"
    assert "child-sas" not in at(ike_up, "office")
    assert list(at(child_up, "office", "child-sas")) == ["net-1"]
    pair = at(child_rekey, "office", "child-sas", "net")
    assert (at(pair, "old")["spi-in"], at(pair, "new")["spi-in"]) == (b"c0000001", b"c0000002")
    ikes = at(ike_rekey, "office")
    assert (at(ikes, "old")["uniqueid"], at(ikes, "new")["uniqueid"]) == (b"1", b"2")
    assert list(at(child_down, "office", "child-sas")) == ["net-2"]
    assert at(ike_down, "office")["state"] == b"CLOSED"


def test_alerts(served: Served) -> None:
    with Client(served.path) as client, Client(served.path) as other:
        list(other.stream("initiate", "control-log", {"child": "net"}))
        client.register("alert")
        sa = next(iter(served.memory.sas.values()))
        tell(
            served,
            AuthFailed(sa, peer=True, why="bad signature"),
            AuthFailed(sa, peer=False, why="no key"),
            ProposalMismatch(sa, "", "no cipher"),
            ProposalMismatch(sa, "net", "no cipher"),
            TsMismatch(sa, "net", "nothing in common"),
            Retransmitted(sa, ExchangeType.INFORMATIONAL, 3, 1),
            RetransmitTimeout(sa, ExchangeType.INFORMATIONAL, 5),
        )
        events = client.events()
        alerts = [next(events)[1] for _ in range(7)]
    assert [alert["type"] for alert in alerts] == [
        b"peer-auth-failed",
        b"local-auth-failed",
        b"proposal-mismatch-ike",
        b"proposal-mismatch-child",
        b"ts-mismatch",
        b"retransmit-send",
        b"retransmit-send-timeout",
    ]
    assert all(list(at(alert, "ike-sa")) == ["office"] for alert in alerts)


def test_who_does_not_read_the_log_misses_lines_and_is_told(served: Served) -> None:
    client = served.connect()
    client.sendall(register("log"))
    received(client, 1)
    line = Note(None, "x" * 50_000)
    tell(served, *([line] * 200))
    bodies: list[bytes] = []
    while not any(b"log lines are missing here" in body for body in bodies):
        frames = Frames()
        while octets := take(client, frames):
            bodies.append(Packet.read(octets).body)
        tell(served, line)
    assert len(bodies) < 200
    client.close()


def take(client: socket.socket, frames: Frames) -> bytes | None:
    """The next packet of those that were sent until now."""
    while (octets := frames.next()) is None:
        if not len(frames) and not select.select([client], [], [], 0)[0]:
            return None
        frames.feed(client.recv(65536))
    return octets


def test_a_long_list_is_made_as_it_is_read(served: Served) -> None:
    served.call(served.memory.populate, 3000)
    client = served.connect()
    client.sendall(register("list-sa"))
    assert received(client, 1)[0].type is PacketType.EVENT_CONFIRM
    client.sendall(request("list-sas"))
    with Client(served.path) as other:
        assert len(list(other.stream("list-sas", "list-sa"))) == 3000
    seen = served.memory.seen - 3000
    assert seen < 3000, "nobody reads the first list, so it is not made"
    assert received(client, 3001)[-1].type is PacketType.CMD_RESPONSE
    assert served.memory.seen == 6000
    client.close()


# -- rude clients


def test_a_frame_that_is_too_long_ends_the_connection(served: Served) -> None:
    client = served.connect()
    client.sendall((MAX_FRAME + 1).to_bytes(4, "big"))
    assert client.recv(100) == b""
    client.close()


def test_garbage_inside_a_frame_is_passed_over(served: Served) -> None:
    client = served.connect()
    client.sendall(b"\0\0\0\3\xff\xff\xff" + request("version"))
    (packet,) = received(client, 1)
    assert packet.type is PacketType.CMD_RESPONSE
    client.close()


def test_a_flood_of_requests_is_answered_piece_by_piece(served: Served) -> None:
    client = served.connect()
    client.sendall(request("version") * 3000)
    assert len(received(client, 3000)) == 3000
    client.close()


async def test_there_is_room_for_so_many_clients(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    memory = Memory()
    server = memory.socket = ViciSocket(memory, path, clients=2)
    await server.start()
    streams = [await asyncio.open_unix_connection(path) for _ in range(3)]
    assert await streams[2][0].read() == b""
    streams[0][1].write(request("version"))
    assert await streams[0][0].readexactly(5)
    for _, writer in streams:
        writer.close()
    await server.stop()
