"""Contents: which payloads a message must and may hold, declared beside the exchange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ikectl.errors import PeerMisbehaved

if TYPE_CHECKING:
    from ikectl.wire.payload import Payload
    from ikectl.wire.v2.message import Message


@dataclass(frozen=True, slots=True)
class Contents:
    """What a message is made of.

    Each of `required` stands in the message, and each of both lists at most
    once unless its class REPEATS. Everything else in the message is ignored,
    in any order (RFC 7296 §2.5).
    """

    required: tuple[type[Payload], ...] = ()
    optional: tuple[type[Payload], ...] = ()

    def check(self, message: Message) -> None:
        """Raises PeerMisbehaved (INVALID_SYNTAX) naming what is missing or too many."""
        for kind in self.required:
            if not message.all(kind):
                raise PeerMisbehaved(f"{message!r} lacks {kind.__name__}")
        for kind in self.required + self.optional:
            if not kind.REPEATS and len(found := message.all(kind)) > 1:
                raise PeerMisbehaved(f"{message!r} has {len(found)} {kind.__name__}")
