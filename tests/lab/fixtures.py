"""What a lab test asks for.

`netns`: this process in a network namespace of its own, for tests of the
kernel's tables: xfrm states, policies, links and addresses of one test are not
seen by the next.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

import pytest

CLONE_NEWNET = 0x40000000
"""setns(2), unshare(2)."""

libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


@pytest.fixture
def netns() -> Iterator[None]:
    """A fresh, empty network namespace around this test, loopback up.

    Sockets opened during the test belong to it, and so do programs the test
    starts. The process returns to its own namespace afterwards, and the fresh
    one goes away with its last socket.
    """
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(libc.unshare(CLONE_NEWNET), "unshare")
        try:
            os.spawnlp(os.P_WAIT, "ip", "ip", "link", "set", "lo", "up")
            yield
        finally:
            _checked(libc.setns(home, CLONE_NEWNET), "setns")
    finally:
        os.close(home)
