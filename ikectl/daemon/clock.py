"""The two clocks. Everything below the daemon gets instants as arguments."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def monotonic() -> float:
    """Seconds since some instant in the past; what event loops count by."""
    return time.monotonic()


def wall() -> datetime:
    """The time of day, aware of its zone: what certificates are judged at."""
    return datetime.now(UTC)
