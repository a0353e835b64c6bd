"""Fetching: what comes, and every way in which it is not let come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ikectl.daemon import fetch
from ikectl.daemon.fetch import Fetcher
from ikectl.errors import BackendError
from tests.daemon.http import HttpServer


@pytest.fixture
async def server() -> AsyncIterator[HttpServer]:
    started = await HttpServer().start()
    yield started
    await started.stop()


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    made = Fetcher()
    yield made
    await made.close()


async def test_get_and_post(server: HttpServer, fetcher: Fetcher) -> None:
    server.answers = {"/a": b"what is there", "/echo": lambda body: body[::-1]}
    assert await fetcher.get(server.uri("/a"), 100) == b"what is there"
    assert await fetcher.post(server.uri("/echo"), b"abc", "application/ocsp-request", 100) == b"cba"
    assert server.asked == ["GET /a", "POST /echo"]


async def test_what_does_not_come(server: HttpServer, fetcher: Fetcher) -> None:
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
    server.answers = {"/big": bytes(101)}
    server.raw = {
        "/zipped": head + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        "/endless": head + b"\r\n" + bytes(100_000),
        "/short": head + b"Content-Length: 50\r\n\r\nabc",
        "/junk": b"nothing of HTTP\r\n\r\n",
        "/off": b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "/round": b"HTTP/1.1 302 Found\r\nLocation: /round\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    }
    for path, why in (
        ("/none", "the server answered 404 Not Found"),
        ("/big", "more than 100 octets"),
        ("/endless", "more than 100 octets"),
        ("/zipped", "compressed its answer"),
        ("/short", "incomplete|closed"),
        ("/junk", "."),
        ("/off", "unsupported|protocol"),
        ("/round", "redirects"),
    ):
        with pytest.raises(BackendError, match=f"(?i){why}"):
            await fetcher.get(server.uri(path), 100)
    assert server.asked.count("GET /round") == 1 + fetch.MAX_REDIRECTS


async def test_redirects(server: HttpServer, fetcher: Fetcher) -> None:
    server.raw = {"/old": b"HTTP/1.1 301 M\r\nLocation: /new\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"}
    server.answers = {"/new": b"moved"}
    assert await fetcher.get(server.uri("/old"), 100) == b"moved"
    with pytest.raises(BackendError, match="the server answered 301"):
        await fetcher.get(server.uri("/old"), 100, redirects=False)


async def test_a_server_that_never_answers(server: HttpServer) -> None:
    server.silent = {"/never"}
    patient = Fetcher(within=0.05)
    with pytest.raises(BackendError, match=r"no answer within 0\.05 seconds"):
        await patient.get(server.uri("/never"), 100)
    await patient.close()


async def test_places_that_are_none(fetcher: Fetcher) -> None:
    for uri, why in (
        ("ldap://ca/x", "only http and https"),
        ("file:///etc/passwd", "only the configuration may name files"),
        ("http://", "."),
        ("http://[::1", "."),
        ("http://127.0.0.1:1/", "."),
    ):
        with pytest.raises(BackendError, match=why):
            await fetcher.get(uri, 100)


async def test_files(fetcher: Fetcher, tmp_path: Path) -> None:
    (tmp_path / "a crl").write_bytes(b"octets")
    assert await fetcher.get(f"file://{tmp_path}/a%20crl", 6, local=True) == b"octets"
    for uri, why in (
        (f"file://{tmp_path}/a%20crl", "more than 5 octets"),
        (f"file://{tmp_path}/none", "is no file"),
        (f"file://{tmp_path}", "is no file"),
        ("file:///dev/zero", "is no file"),
        ("file://host/x", "without a host"),
    ):
        with pytest.raises(BackendError, match=why):
            await fetcher.get(uri, 5, local=True)


async def test_not_too_many_at_once(server: HttpServer, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MAX_WAITING", 20)
    server.silent = {"/slow"}
    server.answers = {"/slow": b"at last"}
    tasks = [asyncio.ensure_future(fetcher.get(server.uri("/slow"), 100)) for _ in range(20)]
    await server.until_asked(fetch.MAX_AT_ONCE)
    with pytest.raises(BackendError, match="20 other fetches wait already"):
        await fetcher.get(server.uri("/slow"), 100)
    assert len(server.asked) == fetch.MAX_AT_ONCE
    server.release()
    assert await asyncio.gather(*tasks) == [b"at last"] * 20
