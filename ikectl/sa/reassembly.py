"""Reassembly: IKEv2 messages put together from fragments that proved themselves (RFC 7383 §2.6).

Unlike those of IKEv1, each fragment carries an integrity checksum of its own:
a stranger can add none. What a peer that has keys but has not authenticated
yet may make us keep is bounded all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ikectl.wire.v2.sealed import Piece

MAX_OCTETS = 0xFFFF
"""Of the pieces of one message: none needs to be longer than one that was sent whole could be."""

MAX_OCTETS_UNPROVEN = 0x8000
"""The same before the peer has authenticated: enough for a chain of certificates or the largest public value of a
key exchange, and `half_open_limit` times as much is what strangers that finish a key exchange can fill."""

MAX_MESSAGES = 4
"""Messages that wait for pieces, in one SA: a request and a response, and what is left of those given up."""

Number = tuple[bool, int]
"""Whether it is a response, and its message ID."""


@dataclass(slots=True)
class _Partial:
    """A message of `total` pieces, by number, of which some came."""

    total: int
    pieces: dict[int, Piece] = field(default_factory=dict)
    octets: int = 0


@dataclass(slots=True)
class Reassembly:
    """What waits to be put together, of one peer."""

    _waiting: dict[Number, _Partial] = field(default_factory=dict)

    def has(self, number: Number, piece: int, total: int) -> bool:
        """Whether that piece of that many is of no use, before it is even decrypted.

        It is here already, or the sender has cut the message into more since: of several sets of fragments that
        with the most counts (RFC 7383 §2.6).
        """
        partial = self._waiting.get(number)
        return partial is not None and (total < partial.total or (total == partial.total and piece in partial.pieces))

    def add(self, number: Number, piece: Piece, limit: int = MAX_OCTETS) -> list[Piece] | None:
        """All pieces in their order, if this was the one that was missing.

        A message that grows beyond `limit` octets is forgotten; whether it comes again is for its sender.
        """
        partial = self._waiting.get(number)
        if partial is None or piece.total > partial.total:
            partial = self._waiting[number] = _Partial(piece.total)
        elif piece.total < partial.total or piece.number in partial.pieces:
            return None
        partial.pieces[piece.number] = piece
        partial.octets += len(piece.datagram)
        if partial.octets > limit:
            del self._waiting[number]
        elif len(partial.pieces) == partial.total:
            del self._waiting[number]
            return [partial.pieces[each] for each in range(1, partial.total + 1)]
        elif len(self._waiting) > MAX_MESSAGES:
            del self._waiting[next(iter(self._waiting))]
        return None

    @property
    def octets(self) -> int:
        """Of all pieces that wait, as they came."""
        return sum(partial.octets for partial in self._waiting.values())
