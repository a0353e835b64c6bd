"""Names to addresses. The C library decides how (files, DNS); it blocks, so it has a thread."""

from __future__ import annotations

import asyncio
import socket

from ikectl.errors import BackendError
from ikectl.sa.asks import Resolve

WITHIN = 30.0
"""Seconds after which nobody waits any longer."""
MAX_ADDRESSES = 32


async def resolve(ask: Resolve) -> tuple[bytes, ...]:
    """The packed addresses of a name, best first as the system orders them. Raises BackendError."""
    try:
        async with asyncio.timeout(WITHIN):
            found = await asyncio.get_running_loop().getaddrinfo(ask.host, None, type=socket.SOCK_DGRAM)
    except TimeoutError:
        raise BackendError(f"looking up {ask.host} took more than {WITHIN:.0f} s; check the resolver") from None
    except (OSError, UnicodeError) as error:
        raise BackendError(f"cannot look up {ask.host}: {error}; check the name and the resolver") from error
    packed = (socket.inet_pton(family, str(address[0]).partition("%")[0]) for family, _, _, _, address in found)
    return tuple(dict.fromkeys(packed))[:MAX_ADDRESSES]
