"""Collisions of rekeyings and deletes, as pure functions (RFC 7296 §2.8.1, §2.8.2, §2.25).

Theory. Both ends may begin to rekey the same SA at once; then two replacements
exist and one must go. Of the four nonces of the two exchanges the lowest,
compared octet by octet, marks its exchange as the redundant one, and whoever
*began* that exchange deletes what it made (§2.8.1 for children, §2.8.2 for
IKE SAs). The end whose exchange survives deletes the SA that was rekeyed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, TypeVar

T = TypeVar("T")


class Outcome(Enum):
    """Of a simultaneous rekeying, as the end that asks sees it."""

    OURS_STAYS = auto()
    """The exchange we began survives: we delete the old SA, the peer its redundant new one."""
    THEIRS_STAYS = auto()
    """The exchange the peer began survives: we delete the SA we made."""


def lowest(nonce_i: bytes, nonce_r: bytes) -> bytes:
    """The nonce of one exchange that counts in a comparison."""
    return min(nonce_i, nonce_r)


def decide(ours: bytes, theirs: bytes) -> Outcome:
    """Compare the lowest nonces of the exchange we began and of the one the peer began.

    Octets are compared one by one, a shorter nonce that is a prefix of a
    longer one being the lower, as §2.8.1 has it.
    """
    return Outcome.THEIRS_STAYS if ours < theirs else Outcome.OURS_STAYS


@dataclass(frozen=True, slots=True)
class Rival(Generic[T]):
    """The peer's rekeying that came while ours of the same SA was in flight."""

    nonce: bytes
    """The lowest nonce of the peer's exchange."""
    made: T | None
    """The SA it made on our side; None while its additional key exchanges are to come (RFC 9370 §2.2.4)."""
