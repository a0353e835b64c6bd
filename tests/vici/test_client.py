"""Our own client: what it makes of answers, and of daemons that are not there or make no sense."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ikectl.vici.client import (
    Client,
    ClientError,
    CommandFailed,
    ConnectionLost,
    NotAllowed,
    NotRunning,
    UnknownCommand,
)
from ikectl.vici.message import Packet, PacketType, encode
from tests.vici.serving import Served
from tests.vici.test_commands import OFFICE


@contextmanager
def answering(path: Path, octets: bytes) -> Iterator[str]:
    """A daemon that reads one request and answers with these octets, whatever they are."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(octets)

        thread = threading.Thread(target=serve)
        thread.start()
        yield str(path)
        thread.join()


def event(name: str) -> bytes:
    return Packet(PacketType.EVENT, name, encode({"msg": "x"})).frame()


def test_a_request_and_its_answer(served: Served) -> None:
    with Client(served.path) as client:
        assert client.request("version")["daemon"] == b"ikectld"


def test_a_refusal_carries_the_reason_and_the_whole_answer(served: Served) -> None:
    with Client(served.path) as client:
        with pytest.raises(CommandFailed, match="no matching SAs to rekey found") as caught:
            client.request("rekey", {"ike": "none"})
        assert caught.value.response["matches"] == b"0"
        assert client.request("version"), "the connection still serves"


def test_a_stream_ends_with_its_answer(served: Served) -> None:
    with Client(served.path) as client:
        client.request("load-conn", {"office": OFFICE})
        client.request("initiate", {"child": "net"})
        story = client.stream("terminate", "control-log", {"ike": "office"})
        assert len(list(story)) == 2
        assert story.response["terminated"] == b"1"


def test_a_stream_may_end_with_a_refusal(served: Served) -> None:
    with Client(served.path) as client:
        client.request("load-conn", {"office": OFFICE})
        lines = []
        with pytest.raises(CommandFailed, match="did not prove"):
            for line in client.stream("initiate", "control-log", {"child": "refused"}):
                lines.append(line)
        assert len(lines) == 2
        assert client.request("version"), "the connection still serves"


def test_events_that_come_before_their_confirmation_are_kept(tmp_path: Path) -> None:
    octets = event("log") + Packet(PacketType.EVENT_CONFIRM).frame() + event("log")
    with answering(tmp_path / "socket", octets) as path, Client(path) as client:
        client.register("log")
        events = client.events()
        assert [next(events)[0], next(events)[0]] == ["log", "log"]


def test_commands_and_events_the_daemon_does_not_know(served: Served) -> None:
    with Client(served.path) as client:
        with pytest.raises(UnknownCommand, match="dance"):
            client.request("dance")
        with pytest.raises(UnknownCommand, match="weather"):
            client.register("weather")


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(NotRunning):
        Client(str(tmp_path / "none"))
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    with pytest.raises(NotRunning):
        Client(str(tmp_path / "dead"))


def test_what_is_no_path_of_a_socket() -> None:
    with pytest.raises(ClientError):
        Client("/" + "x" * 200)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may open everything, so root becomes nobody for a while."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_the_socket_is_not_for_us(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0)
        with as_nobody(), pytest.raises(NotAllowed):
            Client(str(path))


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\0\0\0",
        b"\xff\xff\xff\xff",
        b"\0\0\0\0",
        b"\0\0\0\1\x63",
        Packet(PacketType.CMD_RESPONSE, "", b"\x02").frame(),
        Packet(PacketType.EVENT_CONFIRM).frame(),
    ],
)
def test_a_daemon_that_makes_no_sense(tmp_path: Path, octets: bytes) -> None:
    with answering(tmp_path / "socket", octets) as path, Client(path) as client, pytest.raises(ConnectionLost):
        client.request("version")


def test_a_request_that_is_too_large(served: Served) -> None:
    with Client(served.path) as client, pytest.raises(ClientError, match="fit"):
        client.request("load-cert", {"data": ["x" * 60000] * 10})


def test_a_refusal_without_a_reason(tmp_path: Path) -> None:
    octets = Packet(PacketType.CMD_RESPONSE, "", encode({"success": "no"})).frame()
    with (
        answering(tmp_path / "socket", octets) as path,
        Client(path) as client,
        pytest.raises(CommandFailed, match="gave no reason"),
    ):
        client.request("version")
