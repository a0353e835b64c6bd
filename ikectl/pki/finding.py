"""Finding: what one source, at one time, says of one certificate's revocation."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from cryptography import x509

from ikectl.values.record import record

SKEW = timedelta(minutes=5)
"""How far the clock of a CA or a responder may be ahead of ours."""


ON_HOLD = "certificate hold"


class Status(Enum):
    """What is known of a certificate."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@record
class Finding:
    """Holds from `since` (thisUpdate) until `until` (nextUpdate), both aware; after that it tells nothing good."""

    status: Status
    since: datetime
    until: datetime
    source: str
    """For the operator: `the CRL from http://... of 2026-03-01 12:00 UTC`."""
    revoked_at: datetime | None = None
    reason: str = ""
    """Of the revocation, in words; empty if it was not said."""

    @property
    def final(self) -> bool:
        """Whether it was revoked for good; what is on hold may come back (RFC 5280 §5.3.1)."""
        return self.status is Status.REVOKED and self.reason != ON_HOLD

    def fresh(self, at: datetime) -> bool:
        return self.since - SKEW <= at <= self.until


def reason_words(reason: x509.ReasonFlags | None) -> str:
    """`key compromise`, of RFC 5280 §5.3.1; nothing for unspecified."""
    if reason is None or reason is x509.ReasonFlags.unspecified:
        return ""
    word = "".join(f" {c.lower()}" if c.isupper() else c for c in reason.value)
    return word.replace("c a ", "CA ").replace("a a ", "AA ").strip()


def instant(at: datetime) -> str:
    """`2026-03-01 12:00 UTC`."""
    return at.strftime("%Y-%m-%d %H:%M UTC")
