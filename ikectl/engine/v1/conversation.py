"""Conversation: the messages of one exchange under one message ID, as one end sees them (RFC 2408 §5.1)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from ikectl.exchange.v1.base import Exchange
from ikectl.values.path import Path

_MARK_OCTETS = 16

MAX_MARKS = 8
"""Messages of the peer in one conversation that are recognised when they come again; no exchange has more,
but for logins with many prompts, which recognise the latest."""
MAX_REPEATS = 16
"""How often one message of ours is said again because the peer repeated its own: whoever replays a datagram
with a forged source must not get datagrams without end."""


def mark(datagram: bytes) -> bytes:
    """What a datagram is recognised by; two of one mark are 2^64 work to find, and of no use."""
    return sha256(datagram).digest()[:_MARK_OCTETS]


@dataclass(slots=True, eq=False)
class Conversation:
    """What has been said so far."""

    exchange: Exchange
    message_id: int
    ours: bool
    """We began it."""
    path: Path | None = None
    """Where the peer speaks from in this conversation; None: where the SA says."""
    iv: bytes = b""
    """Of the next message, either way: the last ciphertext block before it; empty before the first."""
    sent: tuple[bytes, ...] = ()
    """Our last message as it went out, in one datagram or in fragments, to be repeated bit by bit."""
    marks: tuple[bytes, ...] = ()
    """Of the peer's messages, the latest last."""
    tries: int = 0
    """How often our last message was repeated by time."""
    repeats: int = 0
    """How often it was repeated because the peer's came again."""
    over: bool = False
    """Nothing more is expected; kept to repeat the last message."""

    def heard(self, marked: bytes) -> None:
        """A message of the peer was taken."""
        self.marks = (*self.marks, marked)[-MAX_MARKS:]

    def said(self, datagrams: tuple[bytes, ...]) -> None:
        """A new message of ours went out."""
        self.sent, self.tries, self.repeats = datagrams, 0, 0

    def may_repeat(self, marked: bytes) -> bool:
        """Whether a message that came again gets our answer again: only the latest one, and not without end."""
        if not self.sent or self.marks[-1:] != (marked,) or self.repeats >= MAX_REPEATS:
            return False
        self.repeats += 1
        return True
