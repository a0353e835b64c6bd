"""Fragments: IKEv1 messages put together again, within limits (MS-IKEE §3.3.5.3).

Fragments travel unprotected, so anybody who sees the cookies can add some.
That can spoil a message, as dropping a packet can, but never costs more
memory than the limits, and the peer's repetition heals it: a piece that comes
again replaces the one before. Peers that give every message the same
fragment id are served by that too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ikectl.wire.v1.fragment import Fragment

MAX_OCTETS = 0xFFFF
"""Of all pieces that wait, in one SA: no whole message can be longer than a datagram."""

MAX_MESSAGES = 4
"""That wait for pieces, in one SA. A peer sends one at a time, and a few in parallel quick modes."""

_LENGTH = slice(24, 28)
"""Where the header says how long the whole message is."""


@dataclass(slots=True)
class _Partial:
    """A message some pieces of which have come, by number. `last` is 0 until the last one has."""

    pieces: dict[int, bytes] = field(default_factory=dict)
    last: int = 0

    @property
    def octets(self) -> int:
        return sum(map(len, self.pieces.values()))

    def contradicts(self, fragment: Fragment) -> bool:
        """Whether the piece cannot be of the same message: beyond the last one, or another last one."""
        if self.last:
            return fragment.number > self.last or (fragment.last and fragment.number != self.last)
        return fragment.last and fragment.number < max(self.pieces)


@dataclass(slots=True)
class Fragments:
    """What waits to be put together, of one peer."""

    _waiting: dict[int, _Partial] = field(default_factory=dict)

    def add(self, fragment: Fragment) -> bytes | None:
        """The whole message as a datagram, its header first, if this was the piece that was missing.

        Pieces come in any order. The message is as long as its header says;
        no more is known of it. When the limits are met, what has waited
        longest is forgotten.
        """
        partial = self._waiting.get(fragment.id)
        if partial is None or partial.contradicts(fragment):
            self._waiting.pop(fragment.id, None)
            partial = self._waiting[fragment.id] = _Partial()
        partial.pieces[fragment.number] = fragment.data
        if fragment.last:
            partial.last = fragment.number
        self._forget()
        if not partial.last or len(partial.pieces) != partial.last or fragment.id not in self._waiting:
            return None
        del self._waiting[fragment.id]
        whole = b"".join(partial.pieces[number] for number in range(1, partial.last + 1))
        if len(whole) == int.from_bytes(whole[_LENGTH], "big"):
            return whole
        # Pieces of two messages, told by the header in the first: this one is of the newer, and begins it.
        return self.add(fragment) if partial.last > 1 else None

    def clear(self) -> None:
        """Forget everything."""
        self._waiting.clear()

    @property
    def messages(self) -> int:
        """How many messages wait."""
        return len(self._waiting)

    @property
    def octets(self) -> int:
        """Of all pieces that wait."""
        return sum(partial.octets for partial in self._waiting.values())

    def _forget(self) -> None:
        while len(self._waiting) > MAX_MESSAGES or self.octets > MAX_OCTETS:
            del self._waiting[next(iter(self._waiting))]
