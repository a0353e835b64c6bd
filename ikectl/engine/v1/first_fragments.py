"""FirstFragments: first messages of phase 1 that come in fragments, before there is an SA to keep them in.

Peers that force fragmentation (strongSwan's `fragmentation = force`, ours too)
cut even message 1. Anybody can send such pieces, so few senders are
remembered, and the one that waits longest makes room.
"""

from __future__ import annotations

from ikectl.errors import WireError
from ikectl.sa.fragments import Fragments
from ikectl.wire.header import Header
from ikectl.wire.v1.fragment import Fragment
from ikectl.wire.v1.message import Message

MAX_SENDERS = 32
"""Each may have 64 KiB of pieces here (`sa.fragments.MAX_OCTETS`): 2 MiB for all strangers together."""


class FirstFragments:
    """By the sender's cookie and address."""

    __slots__ = ("_of",)

    def __init__(self) -> None:
        self._of: dict[tuple[bytes, bytes], Fragments] = {}

    def add(self, header: Header, datagram: bytes, address: bytes) -> bytes | None:
        """The whole message once its last missing piece came.

        Raises WireError for a malformed piece, or pieces that make up another sender's message.
        """
        payloads = Message.read(datagram, header).payloads
        if len(payloads) != 1 or not isinstance(payloads[0], Fragment):
            raise WireError("a fragment among other payloads")
        key = header.spi_i, address
        waiting = self._of.pop(key, None) or Fragments()
        self._of[key] = waiting
        if len(self._of) > MAX_SENDERS:
            del self._of[next(iter(self._of))]
        whole = waiting.add(payloads[0])
        if whole is None:
            return None
        del self._of[key]
        if Header.read(whole).spi_i != header.spi_i:
            raise WireError("fragments of a message with another cookie")
        return whole
