"""The other end of a channel, for tests: says what it was told beforehand, as octets.

A channel reads right after it sends, so the answers are queued first.  Sequence
numbers are known: a channel counts from 1.
"""

import socket
import struct
from types import TracebackType

from xfrm import Channel

ACK, EXPLAINED, CAPPED, MULTI, INTERRUPTED = 0, 0x200, 0x100, 0x2, 0x10
ERROR, DONE = 2, 3


def message(kind: int, seq: int, payload: bytes, flags: int = 0) -> bytes:
    """One netlink message, padded."""
    size = 16 + len(payload)
    return struct.pack("=IHHII", size, kind, flags, seq, 0) + payload + bytes(-size % 4)


def acknowledgement(seq: int, errno: int = 0, why: str = "", kind: int = ERROR) -> bytes:
    """An acknowledgement as the kernel gives it with EXT_ACK and CAP_ACK."""
    payload = struct.pack("=i", -errno)
    if kind == ERROR:
        payload += struct.pack("=IHHII", 300, 0x10, 5, seq, 0)
    if not why:
        return message(kind, seq, payload, CAPPED)
    text = why.encode() + b"\0"
    attribute = struct.pack("=HH", 4 + len(text), 1) + text
    return message(kind, seq, payload + attribute, CAPPED | EXPLAINED)


class Kernel:
    """A channel and the octets at its other end."""

    def __init__(self) -> None:
        ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.channel = Channel(sock=ours)

    def __enter__(self) -> "Kernel":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self.channel.close()
        self._theirs.close()

    def will_say(self, *datagrams: bytes) -> None:
        """Queue answers."""
        for octets in datagrams:
            self._theirs.send(octets)

    def was_told(self) -> bytes:
        """The next datagram the channel sent."""
        return self._theirs.recv(1 << 20)
