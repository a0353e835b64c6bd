"""TCP connections with real sockets: what is taken, what is closed, and what comes back by itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ikectl.config.model import Tcp
from ikectl.daemon import carrier, tcp
from ikectl.daemon.tcp import TcpSettings, TcpStreams
from ikectl.engine.commands import Initiate, Rekey, Selection, Terminate
from ikectl.errors import BackendError
from ikectl.kernel.backend import Features
from ikectl.sa.asks import CloseStream, OpenStream
from ikectl.sa.association import IkeState
from ikectl.sa.events import IkeDown, Note
from ikectl.values.path import Endpoint, Path, Stream
from ikectl.wire.header import NON_ESP_MARKER
from ikectl.wire.stream import PREFIX, frame
from tests.daemon.loopback import WITHIN, Running

MOON, SUN = "127.0.1.31", "127.0.1.32"
PORT = 15501
MESSAGE = NON_ESP_MARKER + b"a message"


class Listener:
    """What a shell is to connections."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, Path]] = []
        self.lost: list[tuple[Path, str]] = []
        self.used: set[Path] = set()
        self._news = asyncio.Event()

    def received(self, message: bytes, path: Path) -> None:
        self.messages.append((message, path))
        self._news.set()

    def broken(self, path: Path, why: str) -> None:
        self.lost.append((path, why))
        self._news.set()

    def streams(self) -> set[Path]:
        return self.used

    async def until(self, true: Any) -> None:
        async with asyncio.timeout(WITHIN):
            while not true():
                self._news.clear()
                await self._news.wait()


@pytest.fixture
async def server() -> AsyncIterator[tuple[TcpStreams, Listener]]:
    streams, listener = TcpStreams(TcpSettings(PORT, privileged=False)), Listener()
    streams.start(listener)
    yield streams, listener
    streams.close()


async def stranger(source: str = MOON) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    sock.bind((source, 0))
    await asyncio.get_running_loop().sock_connect(sock, (SUN, PORT))
    return sock


async def ended(sock: socket.socket) -> bool:
    """Wait until the other end closes it."""
    async with asyncio.timeout(WITHIN):
        try:
            while await asyncio.get_running_loop().sock_recv(sock, 65536):
                pass
        except ConnectionResetError:
            pass
    sock.close()
    return True


async def say(sock: socket.socket, octets: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, octets)


# -- what is taken ------------------------------------------------------------


async def test_a_message_however_it_is_cut(server: tuple[TcpStreams, Listener]) -> None:
    _, listener = server
    sock = await stranger()
    for octet in PREFIX + frame(MESSAGE):
        await say(sock, bytes((octet,)))
    await listener.until(lambda: listener.messages)
    ((message, path),) = listener.messages
    assert message == MESSAGE
    assert path == Stream(Endpoint.parse(SUN, PORT), Endpoint.parse(*sock.getsockname()))
    sock.close()


async def test_answers_go_back_on_it(server: tuple[TcpStreams, Listener]) -> None:
    streams, listener = server
    sock = await stranger()
    await say(sock, PREFIX + frame(MESSAGE))
    await listener.until(lambda: listener.messages)
    streams.send(b"\0\0\0\0an answer", listener.messages[0][1])
    assert await asyncio.get_running_loop().sock_recv(sock, 100) == frame(b"\0\0\0\0an answer")  # and no prefix, §4
    sock.close()


async def test_keepalives_are_no_fault(server: tuple[TcpStreams, Listener]) -> None:
    _, listener = server
    sock = await stranger()
    await say(sock, PREFIX + frame(b"\xff") * (2 * carrier.MAX_STRAYS) + frame(MESSAGE))
    await listener.until(lambda: listener.messages)
    sock.close()


@pytest.mark.parametrize(
    "said",
    [b"GET / HTTP/1.1\r\n", b"IKEUDP", PREFIX + b"\0\1", PREFIX + b"\0\0", PREFIX + frame(b"\0\0\0\x09esp") * 65],
)
async def test_what_is_no_ike_is_closed(server: tuple[TcpStreams, Listener], said: bytes) -> None:
    streams, listener = server
    sock = await stranger()
    await say(sock, said)
    assert await ended(sock)
    assert listener.messages == [] and len(streams) == 0


async def test_strangers_of_one_site_are_few(
    server: tuple[TcpStreams, Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    streams, listener = server
    kept = [await stranger() for _ in range(tcp.MAX_STRANGERS_OF_SITE)]
    assert await ended(await stranger())
    other = await stranger("127.0.1.33")
    await say(other, PREFIX + frame(MESSAGE))
    await listener.until(lambda: listener.messages)
    assert len(streams) == len(kept) + 1
    for sock in (*kept, other):
        sock.close()


async def test_strangers_are_few(server: tuple[TcpStreams, Listener], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "MAX_STRANGERS", 1)
    first = await stranger()
    assert await ended(await stranger("127.0.1.33"))
    first.close()


async def test_who_says_nothing_has_seconds(
    server: tuple[TcpStreams, Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(tcp, "STRANGER_FOR", 0.05)
    streams, listener = server
    idle, used = await stranger(), await stranger()
    await say(used, PREFIX + frame(MESSAGE))
    await listener.until(lambda: listener.messages)
    listener.used.add(listener.messages[0][1])
    await say(idle, PREFIX[:3])
    assert await ended(idle)
    streams.send(MESSAGE, listener.messages[0][1])  # that of an SA stays
    assert len(streams) == 1
    used.close()


async def test_who_does_not_read_is_closed(server: tuple[TcpStreams, Listener]) -> None:
    streams, listener = server
    sock = await stranger()
    await say(sock, PREFIX + frame(MESSAGE))
    await listener.until(lambda: listener.messages)
    with pytest.raises(carrier.ConnectionLost, match="does not read"):
        for _ in range(1000):
            streams.send(bytes(60000), listener.messages[0][1])
    assert await ended(sock)
    assert len(streams) == 0


async def test_what_is_too_long_is_refused(server: tuple[TcpStreams, Listener]) -> None:
    streams, listener = server
    sock = await stranger()
    await say(sock, PREFIX + frame(MESSAGE))
    await listener.until(lambda: listener.messages)
    with pytest.raises(OSError, match="too long"):
        streams.send(bytes(65534), listener.messages[0][1])
    sock.close()


async def test_the_port_is_taken(server: tuple[TcpStreams, Listener]) -> None:
    with pytest.raises(BackendError, match=f"TCP port {PORT}"):
        TcpStreams(TcpSettings(PORT, privileged=False))


# -- what we open ----------------------------------------------------------------


def to_sun(port: int = PORT) -> Stream:
    return Stream.to(Endpoint.parse(MOON, 0).address, Endpoint.parse(SUN, port))


async def test_opened_told_and_closed(server: tuple[TcpStreams, Listener]) -> None:
    _, listener = server
    ours, us = TcpStreams(TcpSettings(privileged=False)), Listener()
    ours.start(us)
    path = await ours.open(OpenStream(to_sun(), False))
    ours.send(MESSAGE, path)
    ours.finish(CloseStream(path))
    await listener.until(lambda: listener.messages)
    assert listener.messages == [(MESSAGE, Stream(path.remote, path.local))]
    ours.close()


async def test_told_when_it_breaks(server: tuple[TcpStreams, Listener]) -> None:
    streams, _ = server
    ours, us = TcpStreams(TcpSettings(privileged=False)), Listener()
    ours.start(us)
    path = await ours.open(OpenStream(to_sun(), False))
    ours.send(frame(b""), path)  # neither marker nor SPI: the other end keeps it
    await asyncio.sleep(0)
    streams.close()
    await us.until(lambda: us.lost)
    assert us.lost[0][0] == path
    with pytest.raises(OSError, match="gone"):
        ours.send(MESSAGE, path)
    ours.close()


async def test_nobody_listens() -> None:
    ours = TcpStreams(TcpSettings(privileged=False))
    with pytest.raises(BackendError, match="15999: Connection refused"):
        await ours.open(OpenStream(to_sun(15999), False))
    with pytest.raises(BackendError, match="cannot carry ESP inside TCP"):
        await ours.open(OpenStream(to_sun(), True))
    ours.close()


# -- two daemons --------------------------------------------------------------------


@pytest.fixture
async def both() -> AsyncIterator[tuple[Running, Running]]:
    moon, sun = Running(MOON), Running(SUN, tcp_port=PORT)
    moon.load(SUN, tcp=Tcp.YES, remote_tcp_port=PORT)
    sun.load(MOON)
    yield moon, sun
    moon.stop()
    sun.stop()


async def test_an_ike_sa_comes_and_goes(both: tuple[Running, Running]) -> None:
    moon, sun = both
    moon.shell.command(Initiate(1, "site", ""))
    assert (await moon.done(1)).error is None
    (machine,) = moon.shell.engine.machines()
    assert machine.sa.path.tcp and machine.sa.path.remote.port == PORT
    moon.shell.command(Terminate(2))
    assert (await moon.done(2)).error is None
    await sun.until(lambda: any(isinstance(event, IkeDown) for event in sun.events))


async def test_a_connection_that_breaks_is_opened_again(both: tuple[Running, Running]) -> None:
    moon, sun = both
    wires: list[asyncio.StreamWriter] = []
    under_way: list[asyncio.Task[None]] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while octets := await reader.read(65536):
                writer.write(octets)
        except ConnectionResetError:
            pass
        writer.close()

    async def between(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, forth = await asyncio.open_connection(SUN, PORT, local_addr=(MOON, 0))
        wires.append(back)
        task = asyncio.current_task()
        assert task is not None
        under_way.append(task)
        await asyncio.gather(carry(near, forth), carry(far, back))

    relay = await asyncio.start_server(between, SUN, PORT + 1)
    moon.load(SUN, tcp=Tcp.YES, remote_tcp_port=PORT + 1)
    moon.shell.command(Initiate(1, "site", ""))
    await moon.done(1)
    (machine,) = moon.shell.engine.machines()
    first = machine.sa.path
    wires[0].transport.abort()
    await moon.until(lambda: any("going on over" in event.text() for event in moon.events))
    await sun.until(lambda: any("the peer goes on over" in event.text() for event in sun.events))
    moon.shell.command(Rekey(2, Selection("site")))
    assert (await moon.done(2)).error is None
    assert machine.sa.path != first
    assert all(each.sa.state is not IkeState.CONNECTING for each in sun.shell.engine.machines())
    moon.streams.close()
    sun.streams.close()
    relay.close()
    async with asyncio.timeout(WITHIN):
        await asyncio.gather(*under_way)


async def test_a_gateway_without_esp_in_tcp_refuses_children_alone(both: tuple[Running, Running]) -> None:
    moon, sun = both
    sun.kernel.features = Features(esp_in_tcp=False)
    moon.shell.command(Initiate(1, "site", "net"))
    done = await moon.done(1)
    assert done.error is not None and "cannot carry ESP inside TCP" in done.error
    assert not any(isinstance(event, Note) and "established" in event.text() for event in sun.events)
