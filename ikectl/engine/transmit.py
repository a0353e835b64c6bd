"""Retransmission policy: how long to wait before repeating a request (RFC 7296 §2.1, §2.4)."""

from __future__ import annotations

from ikectl.sa.association import Association


def wait(sa: Association, tries: int) -> float:
    """Seconds to wait for an answer after `tries` repeats: growing, and shortened by jitter."""
    settings = sa.env.settings
    longest = settings.retransmit_timeout * settings.retransmit_base**tries
    return longest * (1 - settings.retransmit_jitter * sa.chance())
