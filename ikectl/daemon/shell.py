"""Shell: the sockets, one timer and the answers around one Engine.

The engine knows no clock and does no IO. What arrives is handed to it with the
instant; what comes of it is sent, answered or told at once, before anything
else is looked at.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import structlog

from ikectl.daemon.answers import Later
from ikectl.engine.commands import Acquired, Command, Expire, Remapped, StreamBroken
from ikectl.engine.engine import Engine
from ikectl.engine.outside import Question, Transmit
from ikectl.errors import BackendError, IkectlError
from ikectl.kernel.backend import KernelBackend
from ikectl.sa.events import Event
from ikectl.values.path import Path

log = structlog.get_logger(__name__)

DATAGRAMS_A_TURN = 32
"""Taken from one socket before the timer and the others have their turn."""

Observer = Callable[[Event], None]


class Datagrams(Protocol):
    """What carries datagrams: `udp.UdpSockets`."""

    def __iter__(self) -> Iterator[socket.socket]: ...

    def drain(self, sock: socket.socket, limit: int) -> Iterable[tuple[bytes, Path]]:
        """The datagrams that wait at one of the sockets, at most `limit`."""

    def send(self, data: bytes, path: Path) -> None:
        """Raises OSError."""


class Streams(Protocol):
    """What carries messages inside TCP: `tcp.TcpStreams`."""

    def send(self, message: bytes, path: Path) -> None:
        """Raises OSError."""


class NoStreams:
    """Where there is no TCP."""

    def send(self, message: bytes, path: Path) -> None:
        """Raises OSError."""
        raise OSError("there is no TCP here")


class Shell:
    """Runs in one event loop. Observers are told every event, in order; they must not wait."""

    def __init__(
        self,
        engine: Engine,
        sockets: Datagrams,
        kernel: KernelBackend,
        later: Later,
        observers: Sequence[Observer],
        streams: Streams | None = None,
    ) -> None:
        self.engine = engine
        self._sockets = sockets
        self._streams = NoStreams() if streams is None else streams
        self._kernel = kernel
        self._later = later
        self._observers = list(observers)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._flushing = False

    @property
    def now(self) -> float:
        return self._loop.time()

    def observe(self, observer: Observer) -> None:
        """One more is told."""
        self._observers.append(observer)

    def start(self) -> None:
        """Begin to listen."""
        for sock in self._sockets:
            self._loop.add_reader(sock, self._readable, sock)
        self._loop.add_reader(self._kernel.fileno(), self._kernel_readable)

    def stop(self) -> None:
        """Listen no longer; nothing is sent any more either."""
        for sock in self._sockets:
            self._loop.remove_reader(sock)
        self._loop.remove_reader(self._kernel.fileno())
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    def command(self, command: Command) -> None:
        """Do as told, and all that follows from it at once."""
        self.engine.command(command, self.now)
        self._flush()

    # -- in --------------------------------------------------------------------

    def _readable(self, sock: socket.socket) -> None:
        for data, path in self._sockets.drain(sock, DATAGRAMS_A_TURN):
            try:
                self.engine.receive(data, path, self.now)
            except Exception:
                log.exception("a datagram was not digested", path=str(path), octets=len(data))
            self._hand_out()
        self._rearm()

    def received(self, message: bytes, path: Path) -> None:
        """A message came inside TCP, with its marker."""
        try:
            self.engine.receive(message, path, self.now)
        except Exception:
            log.exception("a message was not digested", path=str(path), octets=len(message))
        self._flush()

    def broken(self, path: Path, why: str) -> None:
        """A TCP connection that we opened is gone."""
        self.command(StreamBroken(path, why))

    def streams(self) -> set[Path]:
        """The TCP connections that some SA uses."""
        return self.engine.streams()

    def _kernel_readable(self) -> None:
        for expired in self._kernel.expired():
            self.engine.command(Expire(expired.child, expired.hard), self.now)
        for mapped in self._kernel.mappings():
            self.engine.command(Remapped(mapped.child, mapped.remote), self.now)
        for wanted in self._kernel.acquired():
            self.engine.command(Acquired(wanted.sentry, wanted.packet), self.now)
        self._flush()

    def _tick(self, at: float) -> None:
        self._timer = self._timer_at = None
        try:
            self.engine.tick(max(at, self.now))
        except Exception:
            log.exception("a deadline was not met")
        self._flush()

    # -- out ---------------------------------------------------------------------

    def _flush(self) -> None:
        self._hand_out()
        self._rearm()

    def _hand_out(self) -> None:
        """Send, ask and tell until nothing is left. An observer that gives a command gets it done here as well."""
        if self._flushing:
            return
        self._flushing = True
        try:
            while out := self.engine.drain():
                for item in out:
                    if isinstance(item, Transmit):
                        self._send(item)
                    elif isinstance(item, Question):
                        self._ask(item)
                    else:
                        self._tell(item)
        finally:
            self._flushing = False

    def _send(self, transmit: Transmit) -> None:
        try:
            (self._streams if transmit.path.tcp else self._sockets).send(transmit.data, transmit.path)
        except OSError as error:
            # Requests are repeated, and repeats of requests answered again: nothing is lost but time.
            log.warning("cannot send", path=str(transmit.path), why=error.strerror or str(error))

    def _tell(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer(event)
            except Exception:
                log.exception("an observer of events failed", event_class=type(event).__name__)

    def _ask(self, question: Question) -> None:
        task = self._loop.create_task(self._answer(question))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, question: Question) -> None:
        result: object
        try:
            function = self._later[type(question.ask)]
            result = await function(question.ask)
        except IkectlError as failure:
            result = failure
        except Exception as error:
            log.exception("an answer failed", ask=type(question.ask).__name__)
            result = BackendError(f"internal error: {type(error).__name__}")
        self.engine.answer(question.id, result, self.now)
        self._flush()

    def _rearm(self) -> None:
        """One timer, at the engine's next deadline."""
        at = self.engine.deadline()
        if at == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = at
        if at is not None:
            self._timer = self._loop.call_at(at, self._tick, at)
