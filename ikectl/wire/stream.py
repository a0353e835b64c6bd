"""IKE and ESP in a TCP stream: a prefix once, then messages that each tell their length (RFC 9329 §3, §4).

What `Unframer` gives begins with the non-ESP marker or with an SPI, as the
payload of a datagram on port 4500 does.
"""

from __future__ import annotations

from ikectl.errors import WireError

PREFIX = b"IKETCP"
"""What the end that opened the connection says first; the other end says nothing of the sort."""
LENGTH_OCTETS = 2
MAX_MESSAGE = 0xFFFF - LENGTH_OCTETS
"""Octets of a message, marker and all: the length counts its own two."""


def frame(message: bytes) -> bytes:
    """A message with its length in front. Raises ValueError if it is too long to have one."""
    if len(message) > MAX_MESSAGE:
        raise ValueError(f"a message of {len(message)} octets; inside TCP it may have {MAX_MESSAGE}")
    return (len(message) + LENGTH_OCTETS).to_bytes(LENGTH_OCTETS, "big") + message


class Unframer:
    """The messages in what one end sends, however TCP cuts it. Never holds more than one unfinished message."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def feed(self, octets: bytes) -> list[bytes]:
        """The messages that are complete with these octets, in order.

        Raises WireError for a length below its own two octets: where the next message begins is not known then, and
        the connection is of no use any more (§3.1). What came whole before it is lost with it.
        """
        held, at, found = self._held + octets, 0, []
        while len(held) - at >= LENGTH_OCTETS:
            length = int.from_bytes(held[at : at + LENGTH_OCTETS], "big")
            if length < LENGTH_OCTETS:
                raise WireError(f"a message of length {length} in a TCP stream, which counts its own two octets")
            if len(held) - at < length:
                break
            found.append(held[at + LENGTH_OCTETS : at + length])
            at += length
        self._held = held[at:]
        return found
