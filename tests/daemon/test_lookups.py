"""Certificates by hash and URL: what is fetched must be what the hash is of."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest

from ikectl.daemon.fetch import Fetcher
from ikectl.daemon.lookups import Lookups
from ikectl.errors import BackendError, CredentialError
from ikectl.sa.asks import FetchCertificates
from tests.daemon.http import HttpServer
from tests.pki.certs import Authority
from tests.pki.test_bundle import der

LEAF = Authority.root().leaf("moon").der
BUNDLE = der(0x30, der(0xA0, LEAF))


@pytest.fixture
async def server() -> AsyncIterator[HttpServer]:
    started = await HttpServer().start()
    yield started
    await started.stop()


def sha1(octets: bytes) -> bytes:
    return hashlib.sha1(octets).digest()


async def test_what_the_hash_is_of_is_taken_and_kept(server: HttpServer) -> None:
    fetcher = Fetcher()
    lookups = Lookups(fetcher)
    server.answers = {"/leaf": LEAF, "/bundle": BUNDLE}
    server.raw = {"/moved": b"HTTP/1.1 301 M\r\nLocation: /leaf\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"}
    assert await lookups.fetch(FetchCertificates(server.uri("/leaf"), sha1(LEAF), False)) == (LEAF,)
    assert await lookups.fetch(FetchCertificates(server.uri("/leaf"), sha1(LEAF), False)) == (LEAF,)
    assert await lookups.fetch(FetchCertificates(server.uri("/bundle"), sha1(BUNDLE), True)) == (LEAF,)
    assert server.asked == ["GET /leaf", "GET /bundle"]
    with pytest.raises(CredentialError, match="is not what the peer's hash is of"):
        await lookups.fetch(FetchCertificates(server.uri("/leaf"), bytes(20), False))
    for path in ("/none", "/moved"):
        with pytest.raises(BackendError):
            await lookups.fetch(FetchCertificates(server.uri(path), bytes(20), False))
    await fetcher.close()
