"""Crash tokens: how a peer learns at once that we lost an IKE SA (RFC 6290).

Theory. Each end gives the other a token for the IKE SA, under its protection.
Who has lost the SA, because it crashed, can make the token again out of the
SPIs of a message it does not understand and a secret that it did not lose; a
peer that gets its token back knows that nobody else can have sent it. So a
token must never leave us in clear while its SA may live. Here that cannot
happen: the secret is drawn anew at each start, SAs get tokens of that one,
and only tokens of the secrets from before are ever shown.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from ikectl.values.secret import NO_SECRET, Secret

SECRET_OCTETS = 32
KEPT = 3
"""Secrets of earlier starts that are kept: a daemon that crashes twice in a row still answers for the first time."""
SHORTEST, LONGEST = 16, 128
"""Octets a token may have (§4.1)."""


@dataclass(frozen=True, slots=True)
class CrashSecrets:
    """What tokens are made from: at this start, and at those before, the latest first."""

    current: Secret = NO_SECRET
    earlier: tuple[Secret, ...] = ()

    def token(self, spi_i: bytes, spi_r: bytes, peer: bytes) -> bytes:
        """For the peer at that address (packed), for an SA of today; empty without a secret."""
        return _token(self.current, spi_i, spi_r, peer) if self.current else b""

    def proofs(self, spi_i: bytes, spi_r: bytes, peer: bytes) -> tuple[bytes, ...]:
        """The tokens that an SA between these SPIs may have had before we started."""
        return tuple(_token(secret, spi_i, spi_r, peer) for secret in self.earlier)


def matches(known: bytes, shown: bytes) -> bool:
    """Whether the token that somebody shows is the one the peer gave us."""
    return len(known) >= SHORTEST and hmac.compare_digest(known, shown)


def _token(secret: bytes, spi_i: bytes, spi_r: bytes, peer: bytes) -> bytes:
    """§5.2: bound to the peer's address, so that nobody else can have it told."""
    return hmac.digest(secret, spi_i + spi_r + peer, "sha256")
