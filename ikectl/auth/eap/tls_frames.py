"""How messages of TLS lie in EAP-TLS, EAP-TTLS and EAP-PEAP: flags, and parts of long ones (RFC 5216 §2.1.5, §3)."""

from __future__ import annotations

from typing import NamedTuple

from ikectl.errors import AuthenticationFailed

LENGTH, MORE, START = 0x80, 0x40, 0x20
_VERSION = 0x07
"""TTLS and PEAP have their version there, which is 0 (RFC 5281 §9.1)."""

PART = 1024
"""Octets of TLS in one packet. With EAP and IKE around them they fit in the datagrams of any path."""
MAX_MESSAGE = 64 * 1024
"""Octets of one flight of TLS that we put together: the longest chains have a fourth of that."""
ACKNOWLEDGEMENT = b"\0"
"""Flags alone: go on."""


class Frame(NamedTuple):
    """One packet of a method of TLS."""

    start: bool
    more: bool
    data: bytes

    @classmethod
    def read(cls, data: bytes) -> Frame:
        """Raises AuthenticationFailed."""
        if not data:
            raise AuthenticationFailed("a packet of EAP-TLS without flags")
        flags, at = data[0], 1
        if flags & LENGTH:
            at = 5
            if len(data) < at:
                raise AuthenticationFailed("a packet of EAP-TLS that ends before its length")
            announced = int.from_bytes(data[1:5], "big")
            if announced > MAX_MESSAGE:
                raise AuthenticationFailed(f"a message of TLS of {announced} octets; {MAX_MESSAGE} are the most")
        return cls(bool(flags & START), bool(flags & MORE), data[at:])


class Frames:
    """Both ways: parts received, and parts still to be sent."""

    __slots__ = ("_heard", "_left")

    def __init__(self) -> None:
        self._heard = b""
        self._left = b""

    @property
    def sending(self) -> bool:
        """Whether parts wait for the peer to acknowledge the last."""
        return bool(self._left)

    def hear(self, frame: Frame) -> bytes | None:
        """The message that a frame completes; None when more must come, which takes an acknowledgement.

        Raises AuthenticationFailed.
        """
        if len(self._heard) + len(frame.data) > MAX_MESSAGE:
            raise AuthenticationFailed(f"a message of TLS of more than {MAX_MESSAGE} octets")
        if frame.more and not frame.data:
            raise AuthenticationFailed("a part of a TLS message that has nothing in it")
        self._heard += frame.data
        if frame.more:
            return None
        heard, self._heard = self._heard, b""
        return heard

    def say(self, message: bytes) -> bytes:
        """The first packet of a message; `next` gives the others. Nothing to say makes an acknowledgement."""
        if len(message) <= PART:
            return ACKNOWLEDGEMENT + message
        self._left = message[PART:]
        return bytes((LENGTH | MORE,)) + len(message).to_bytes(4, "big") + message[:PART]

    def next(self, frame: Frame) -> bytes:
        """The next part, which an acknowledgement asks for. Raises AuthenticationFailed."""
        if frame.data or frame.more:
            raise AuthenticationFailed("the peer does not wait for the end of our TLS message")
        part, self._left = self._left[:PART], self._left[PART:]
        return bytes((MORE if self._left else 0,)) + part
