"""Fetcher: what certificates and the configuration point to, over HTTP or from a file, within limits.

Nothing is fetched here on a stranger's word: who asks has made sure that a CA
we trust, or the operator, named the place.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ikectl.errors import BackendError

if TYPE_CHECKING:
    import httpx

FETCH_WITHIN = 8.0
"""Seconds for one fetch, from looking up the name to the last octet: a handshake waits for it."""
MAX_REDIRECTS = 3
MAX_AT_ONCE = 16
"""Connections to servers; further fetches wait for one of them."""
MAX_WAITING = 256
"""Fetches under way and waiting; more are refused."""

_FILE = "file"


class Fetcher:
    """One client for all fetches. Redirects stay with HTTP, and are few."""

    def __init__(self, within: float = FETCH_WITHIN) -> None:
        self._within = within
        self._http: httpx.AsyncClient | None = None
        self._room = asyncio.Semaphore(MAX_AT_ONCE)
        self._waiting = 0

    async def get(self, uri: str, most: int, *, local: bool = False, redirects: bool = True) -> bytes:
        """What is at a URI, at most `most` octets. With `local` it may be a file: URI. Raises BackendError."""
        if _scheme(uri) == _FILE:
            if not local:
                raise BackendError("only the configuration may name files")
            return await asyncio.to_thread(_read, uri, most)
        return await self._fetch("GET", uri, most, redirects=redirects)

    async def post(self, uri: str, body: bytes, kind: str, most: int) -> bytes:
        """What a server answers to `body` of content type `kind`. Raises BackendError."""
        return await self._fetch("POST", uri, most, body, {"Content-Type": kind})

    async def close(self) -> None:
        """Cut all connections."""
        if self._http is not None:
            await self._http.aclose()

    async def _fetch(
        self,
        method: str,
        uri: str,
        most: int,
        body: bytes | None = None,
        headers: Mapping[str, str] = {},
        redirects: bool = True,
    ) -> bytes:
        if _scheme(uri) not in ("http", "https"):
            raise BackendError("only http and https are spoken here")
        import httpx  # costs a tenth of a second, and most daemons never fetch

        async with self._place():
            try:
                async with asyncio.timeout(self._within):
                    request = self._client().build_request(method, uri, content=body, headers=dict(headers))
                    reply = await self._client().send(request, stream=True, follow_redirects=redirects)
                    try:
                        return await _body(reply, most)
                    finally:
                        await reply.aclose()
            except TimeoutError:
                raise BackendError(f"no answer within {self._within:g} seconds") from None
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as error:
                raise BackendError(str(error)[:200] or type(error).__name__) from None

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if self._waiting >= MAX_WAITING:
            raise BackendError(f"{MAX_WAITING} other fetches wait already")
        self._waiting += 1
        try:
            async with self._room:
                yield
        finally:
            self._waiting -= 1

    def _client(self) -> httpx.AsyncClient:
        import httpx

        if self._http is None:
            self._http = httpx.AsyncClient(
                headers={"User-Agent": "ikectl", "Accept-Encoding": "identity"},
                max_redirects=MAX_REDIRECTS,
                timeout=None,  # ours is of the whole fetch
                verify=ssl.create_default_context(),
            )
        return self._http


def _scheme(uri: str) -> str:
    return uri.partition(":")[0].lower()


async def _body(reply: httpx.Response, most: int) -> bytes:
    if reply.status_code != 200:
        raise BackendError(f"the server answered {reply.status_code} {reply.reason_phrase}".rstrip())
    if reply.headers.get("content-encoding", "identity") != "identity":
        raise BackendError("the server compressed its answer, though we did not ask for that")
    found = bytearray()
    async for chunk in reply.aiter_raw():
        found += chunk
        if len(found) > most:
            raise BackendError(f"the answer has more than {most} octets")
    return bytes(found)


def _read(uri: str, most: int) -> bytes:
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost"):
        raise BackendError("a file: URI is file:///path, without a host")
    path = Path(unquote(parts.path))
    try:
        if not path.is_file():
            raise BackendError(f"{path} is no file")
        with path.open("rb") as file:
            octets = file.read(most + 1)
    except OSError as error:
        raise BackendError(f"cannot read {path}: {error.strerror or type(error).__name__}") from None
    if len(octets) > most:
        raise BackendError(f"{path} has more than {most} octets")
    return octets
