"""The real server on a real Unix socket; its event loop has a thread, since the clients block."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ikectl.daemon.vici_socket import ViciSocket
from tests.vici.memory import Memory

T = TypeVar("T")


class Served:
    """A daemon in memory that listens at `path`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.memory = Memory()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def start(self) -> None:
        self._thread.start()
        self.memory.socket = ViciSocket(self.memory, self.path)
        self.wait(self.memory.socket.start())

    def stop(self) -> None:
        assert self.memory.socket is not None
        self.wait(self.memory.socket.stop())
        self.wait(self._settle())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _settle(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    def wait(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(30)

    def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Run a function on the daemon's side."""

        async def run() -> T:
            return function(*arguments)

        return self.wait(run())

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(5)
        client.connect(self.path)
        return client


@contextmanager
def serving(path: str) -> Iterator[Served]:
    served = Served(path)
    served.start()
    try:
        yield served
    finally:
        served.stop()
