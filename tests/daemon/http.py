"""A small HTTP server on 127.0.0.1: answers as it is told, or never, and writes down what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

Answer = bytes | Callable[[bytes], bytes]
"""The body of an answer, or what makes it of the body of the request."""


@dataclass
class HttpServer:
    """Answers by path. What has no answer is 404; what is in `silent` hears nothing until `release`."""

    answers: dict[str, Answer] = field(default_factory=dict)
    raw: dict[str, bytes] = field(default_factory=dict)
    """Whole answers, head and all."""
    silent: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    """`GET /ca.crl`, in the order they came."""
    port: int = 0

    def __post_init__(self) -> None:
        self._release = asyncio.Event()
        self._server: asyncio.Server | None = None
        self.heard = asyncio.Condition()

    async def start(self) -> HttpServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        assert self._server is not None
        self.release()
        self._server.close()
        await self._server.wait_closed()

    def uri(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def release(self) -> None:
        """Answer those who wait."""
        self._release.set()

    async def until_asked(self, times: int) -> None:
        async with self.heard:
            await self.heard.wait_for(lambda: len(self.asked) >= times)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, path, _ = head.split("\r\n")[0].split(" ")
            length = next(
                (int(line.split(":")[1]) for line in head.split("\r\n") if "content-length" in line.lower()), 0
            )
            body = await reader.readexactly(length)
            async with self.heard:
                self.asked.append(f"{method} {path}")
                self.heard.notify_all()
            if path in self.silent:
                await self._release.wait()
            writer.write(self._reply(path, body))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _reply(self, path: str, body: bytes) -> bytes:
        if path in self.raw:
            return self.raw[path]
        answer = self.answers.get(path)
        if answer is None:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        content = answer if isinstance(answer, bytes) else answer(body)
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(content) + content
