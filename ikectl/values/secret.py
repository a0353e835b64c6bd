"""Secret: octets that do not print."""

from __future__ import annotations


class Secret(bytes):
    """Key material. Its text forms show the length only.

    Slices and concatenations are plain bytes: wrap them again where they are
    kept. Python cannot promise that the octets are wiped from memory.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} secret octets>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)


NO_SECRET = Secret(b"")
"""Where a suite has no such key, and where one was forgotten."""
