"""Mobility: what MOBIKE (RFC 4555) keeps for an IKE SA, and hands on to the one that replaces it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from ikectl.values.path import Path

MAX_VERIFIED = 8
"""Peer addresses remembered as reachable: somebody who goes to and fro between a few is not asked each time."""


class Held(NamedTuple):
    """Where children stay while the peer's new address is not yet known to be its own (RFC 4555 §3.7)."""

    path: Path
    encap: bool


@dataclass(slots=True, eq=False)
class Mobility:
    """Both ends said MOBIKE_SUPPORTED; an SA without one of these does not move.

    All but `updated_by` and the last three go on with the line of SAs that rekeying makes.
    """

    natt: bool
    """Both ends know NAT traversal, so that a NAT may come and go (§3.5, §3.9)."""
    peer_addresses: tuple[bytes, ...] = ()
    """Further addresses of the peer (packed), as it told us under protection (§3.4)."""
    told: tuple[bytes, ...] = ()
    """Further addresses of ours that the peer knows of."""
    verified: tuple[bytes, ...] = ()
    """Peer addresses that answered, the latest last, beside the one it proved itself from."""
    updated_by: int = -1
    """Message ID of the latest update of addresses that the peer asked for on this IKE SA."""
    held: Held | None = None
    """Set while a return routability check is owed."""
    moves: int = 0
    """How often the caller moved, whichever end it is. Where it is again after two moves, what was sent meanwhile went

    elsewhere, too, and what came of it may be about there.
    """
    heard: Path | None = None
    """Between which ends the authentic message that is handled just now came."""
    probed: tuple[Path, ...] = ()
    """Other paths on which our request in flight went out, for its answer to tell which of them works."""
    seen_as: bytes = b""
    """What the peer last said of the address it sees us at; another hash means that a NAT changed its mind (§3.8)."""

    def handed_on(self) -> Self:
        """The same for the SA that replaces this one."""
        return replace(self, heard=None, probed=(), seen_as=b"", updated_by=-1)

    def verify(self, address: bytes) -> None:
        """The peer answers at that address."""
        kept = [each for each in self.verified if each != address]
        self.verified = (*kept, address)[-MAX_VERIFIED:]
