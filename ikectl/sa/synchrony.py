"""Synchrony: what is known of a cluster at the other end that may fail over (RFC 6311).

Members of a cluster share the keys of an IKE SA, but not its message IDs up to
the last one. The member that takes over says in a request of its own kind
where it will go on and where it expects us to; each such request lies higher
than the one before, so that none can be played back.
"""

from __future__ import annotations

from dataclasses import dataclass

from ikectl.wire.v2.notify import Position

MAX_NUMBER = 2**31 - 1
"""The highest message ID a member may name: no SA comes near it, and enough has to be left to go on with."""


@dataclass(slots=True, eq=False)
class Synchrony:
    """Both ends said IKEV2_MESSAGE_ID_SYNC_SUPPORTED; an SA without one of these keeps its numbers."""

    counters: bool = False
    """Both ends said IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED as well (§5.2)."""
    highest: int = -1
    """The highest number that a member has named as its next."""
    asked: bytes = b""
    """The last request to synchronise, by its mark."""
    answer: tuple[bytes, ...] = ()
    """The response to it, as sent, until the member goes on."""

    def handed_on(self) -> Synchrony:
        """The same for the SA that replaces this one."""
        return Synchrony(self.counters)


@dataclass(slots=True, eq=False)
class Numbering:
    """What was agreed on about message IDs beyond RFC 7296's one request at a time; most SAs have none of these."""

    peer_window: int = 1
    """How many of our requests the peer takes at once, as far as we want to know (RFC 7296 §2.3)."""
    synchrony: Synchrony | None = None
    """What follows a cluster at the other end from member to member; None unless both ends said that they can."""

    def handed_on(self) -> Numbering | None:
        """The same for the SA that replaces this one, which begins with a window of one (RFC 7296 §2.18)."""
        return None if self.synchrony is None else Numbering(synchrony=self.synchrony.handed_on())


def agree(synchrony: Synchrony, wish: Position, seen: int, following: int) -> Position | None:
    """Our end's position after a member's `wish`; None where nothing may be said (§5.1).

    `seen` is the highest message ID of a request that the cluster sent so far, `following` that of our next one.
    """
    if wish.send <= max(seen, synchrony.highest) or max(wish.send, wish.receive) > MAX_NUMBER:
        return None
    return Position(wish.nonce, max(wish.receive, following), wish.send)
