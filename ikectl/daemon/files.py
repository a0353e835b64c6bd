"""The file system, as configuration is read from it."""

from __future__ import annotations

import glob
import os
import stat

from ikectl.config.tree import Files

MAX_OCTETS = 16 << 20
"""Of one file; a certificate bundle of thousands of CAs stays well below."""


def read(path: str) -> bytes:
    """A regular file, whole. Raises OSError."""
    # Without O_NONBLOCK a FIFO would hold up the daemon until somebody writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no regular file")
        octets = file.read(MAX_OCTETS + 1)
    if len(octets) > MAX_OCTETS:
        raise OSError(f"{path} is larger than {MAX_OCTETS} octets")
    return octets


def matching(pattern: str) -> list[str]:
    """The regular files that match, sorted."""
    return sorted(path for path in glob.glob(pattern) if os.path.isfile(path))


FILES = Files(read, matching)
