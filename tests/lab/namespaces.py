"""Network namespaces, entered for a moment.

`entered("moon")` moves the calling thread into a namespace and back. What is
opened or started meanwhile belongs to that namespace for good: a socket, a
program. It needs CAP_SYS_ADMIN, which the guest's root has.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

CLONE_NEWNET = 0x40000000
"""setns(2), unshare(2)."""

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def entered(name: str | None) -> Iterator[None]:
    """Be in the namespace that `ip netns` knows by this name; None: in a fresh, nameless one."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if name is None:
            _checked(_libc.unshare(CLONE_NEWNET), "unshare")
        else:
            there = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                _checked(_libc.setns(there, CLONE_NEWNET), f"setns to {name}")
            finally:
                os.close(there)
        try:
            yield
        finally:
            _checked(_libc.setns(home, CLONE_NEWNET), "setns back")
    finally:
        os.close(home)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
