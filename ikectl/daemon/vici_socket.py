"""The Unix socket that the control protocol is spoken on: clients, commands running, events told.

Sessions (ikectl.vici.session) speak the protocol; here their octets are
carried, their commands run as tasks of their own, and the engine's events
handed to whoever wants them. A slow command holds up its own client only.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections import deque
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Self

import structlog

from ikectl.errors import BackendError, IkectlError
from ikectl.sa.events import CommandDone, Event
from ikectl.vici import shapes
from ikectl.vici.commands import COMMANDS, EVENTS, run
from ikectl.vici.feed import broadcasts
from ikectl.vici.message import Draft, MessageError
from ikectl.vici.ports import Control, LogLine
from ikectl.vici.session import Broadcast, Overrun, Session

log = structlog.get_logger(__name__)

MODE = 0o770  # root and the socket's group; whoever may write here rules the daemon
CLIENTS = 256  # at once; each may hold about two megabytes
ACCEPT_PAUSE = 1.0  # seconds to wait when the process has no file descriptor left
STORY = 1000  # log lines of one command that may wait for its client

BUG = "internal error; the daemon's log has the traceback"


class ViciSocket:
    """The server. `publish` every event of the engine between `start` and `stop`."""

    def __init__(self, control: Control, path: str, group: int | None = None, clients: int = CLIENTS) -> None:
        """`group` is the number of the group that may use the socket; None leaves it the daemon's own."""
        self._room_for = clients
        self.control = control
        self.path = path
        self._group = group
        self._listener: socket.socket | None = None
        self._accepting: set[asyncio.Task[object]] = set()
        self._inode = 0
        self._clients: dict[_Client, None] = {}
        self._following: dict[int, _Following] = {}
        self._tokens = count(1)

    async def start(self) -> None:
        """Listen. Raises BackendError: somebody else listens there, or we may not."""
        try:
            listener = _bind(self.path, self._group)
            self._inode = os.stat(self.path).st_ino
        except OSError as error:
            raise BackendError(f"cannot listen at {self.path}: {error.strerror or error}") from error
        listener.listen()
        listener.setblocking(False)
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener, self._accept)

    async def stop(self) -> None:
        """Close the socket, end the conversations, take the socket's file away."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        asyncio.get_running_loop().remove_reader(listener)
        listener.close()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for client in list(self._clients):
            client.abort()
        while self._clients:
            await asyncio.sleep(0)
        try:
            if os.stat(self.path).st_ino == self._inode:
                os.unlink(self.path)
        except OSError:
            pass  # gone, or no longer ours to remove

    def _accept(self) -> None:
        """Not asyncio's own server: that one loses connections that are being made when it closes."""
        loop, listener = asyncio.get_running_loop(), self._listener
        if listener is None:
            return
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            log.warning("cannot take a vici client", why=error.strerror)
            loop.remove_reader(listener)
            loop.call_later(ACCEPT_PAUSE, self._accept_again)
            return
        task = loop.create_task(loop.connect_accepted_socket(lambda: _Client(self), connection))
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    def _accept_again(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def publish(self, event: Event) -> None:
        """Tell whoever wants to know. Costs next to nothing while nobody does."""
        if isinstance(event, CommandDone):
            following = self._following.get(event.token)
            if following is not None:
                following.end(event)
        for following in self._following.values():
            following.offer(event)
        if self._clients:
            for name, tree in broadcasts(event, self.control, self._wanted):
                self._broadcast(name, tree)

    def _wanted(self, name: str) -> bool:
        return any(client.session.registered(name) for client in self._clients)

    def _broadcast(self, name: str, tree: Draft) -> None:
        try:
            event = Broadcast.of(name, tree)
        except MessageError as error:
            log.warning("an event does not fit into vici", event_name=name, why=str(error))
            return
        for client in list(self._clients):
            client.offer(event)

    # -- for the clients

    def arrived(self, client: _Client) -> bool:
        """Whether there is room for one more, and we still serve."""
        self._clients[client] = None
        if len(self._clients) > self._room_for:
            log.warning("too many vici clients", clients=self._room_for)
            return False
        return self._listener is not None

    def left(self, client: _Client) -> None:
        self._clients.pop(client, None)

    def follow(self, concerns: Callable[[Event], bool], within: float | None) -> _Following:
        return _Following(self._following, next(self._tokens), concerns, within)


class _Client(asyncio.Protocol):
    """One connection: carries octets, runs one command at a time. The `Context` of its commands."""

    def __init__(self, server: ViciSocket) -> None:
        self._server = server
        self.session = Session(COMMANDS, EVENTS)
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[Draft] | None = None
        self._room = asyncio.Event()
        self._room.set()

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._server.arrived(self):
            transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._server.left(self)
        self._room.set()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, octets: bytes) -> None:
        self.session.receive(octets)
        self._advance()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()
        self._flush()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- the conversation

    def offer(self, event: Broadcast) -> None:
        try:
            self.session.offer(event)
        except Overrun as overrun:
            self._drop(overrun)
        else:
            self._flush()

    def _advance(self) -> None:
        if self._transport is None:
            return
        try:
            call = self.session.next()
        except Overrun as overrun:
            self._drop(overrun)
            return
        if call is not None:
            self._task = asyncio.get_running_loop().create_task(run(self, call))
            self._task.add_done_callback(self._ended)
        self._flush()
        if self.session.full:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _ended(self, task: asyncio.Task[Draft]) -> None:
        self._task = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            answer = task.result()
        elif isinstance(error, IkectlError):
            answer = shapes.failed(str(error))
        else:
            log.error("a vici command failed", exc_info=error)
            answer = shapes.failed(BUG)
        try:
            self.session.respond(answer)
        except MessageError as too_large:
            self.session.respond(shapes.failed(f"the answer does not fit into vici: {too_large}"))
        self._advance()

    def _flush(self) -> None:
        while self._transport is not None and self._room.is_set() and (octets := self.session.take()):
            self._transport.write(octets)

    def _drop(self, overrun: Overrun) -> None:
        log.warning("vici client cut off", why=str(overrun))
        self.abort()

    # -- what a running command sees

    @property
    def control(self) -> Control:
        return self._server.control

    async def emit(self, event: str, tree: Draft) -> None:
        self.session.stream(event, tree)
        self._flush()
        await self._room.wait()

    def follow(self, concerns: Callable[[Event], bool], within: float | None) -> _Following:
        return self._server.follow(concerns, within)


class _Following:
    """The log lines of one command, kept for its client until it takes them."""

    def __init__(
        self,
        table: dict[int, _Following],
        token: int,
        concerns: Callable[[Event], bool],
        within: float | None,
    ) -> None:
        self._table = table
        self.token = token
        self.done: CommandDone | None = None
        self._concerns = concerns
        self._within = within
        self._until: float | None = None
        self._lines: deque[LogLine] = deque(maxlen=STORY)
        self._news = asyncio.Event()

    def offer(self, event: Event) -> None:
        if self._concerns(event):
            self._lines.append(LogLine.of(event))
            self._news.set()

    def end(self, done: CommandDone) -> None:
        self.done = done
        self._news.set()

    async def __aenter__(self) -> Self:
        if self._within is not None:
            self._until = asyncio.get_running_loop().time() + self._within
        self._table[self.token] = self
        return self

    async def __aexit__(self, *exc: object) -> None:
        del self._table[self.token]

    async def __aiter__(self) -> AsyncIterator[LogLine]:
        while True:
            while self._lines:
                yield self._lines.popleft()
            if self.done is not None:
                return
            self._news.clear()
            try:
                async with asyncio.timeout_at(self._until):
                    await self._news.wait()
            except TimeoutError:
                return


def _bind(path: str, group: int | None) -> socket.socket:
    """A listening socket; one that a dead daemon left behind is replaced. Raises OSError."""
    os.makedirs(os.path.dirname(path) or ".", mode=0o755, exist_ok=True)
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o777 & ~MODE)  # no instant at which others may connect
    try:
        listener.bind(path)
        if group is not None:
            os.chown(path, -1, group)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(umask)
    return listener


def _remove_stale(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError("something that is no socket is in the way")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        else:
            raise OSError("another daemon listens there")
