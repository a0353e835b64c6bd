"""TLS as methods of EAP see it: a session that somebody else keeps, and what became of it with each message.

TLS draws randomness and looks at the clock by itself, so it runs where asks
are answered (`BeginTls`, `StepTls`, `ExportTls`). Here a session is held and
handed back, and never called.
"""

from __future__ import annotations

from dataclasses import field
from typing import Protocol

from ikectl.values.record import record
from ikectl.values.secret import NO_SECRET, Secret


@record
class TlsTurn:
    """What came of one step."""

    records: bytes
    """To be sent, perhaps empty."""
    plain: Secret = NO_SECRET
    """What the peer said inside."""
    established: bool = False
    """Whether the handshake is complete. It proves nothing before `peer` was judged."""
    tls13: bool = False
    """Whether TLS 1.3 was agreed on, not 1.2."""
    peer: tuple[bytes, ...] = field(default=(), repr=False)
    """The peer's certificates (DER, the leaf first) once they came, judged by nobody."""
    failed: str = ""
    """Why the session is over; `records` may tell the peer."""


class TlsSession(Protocol):
    """One connection of TLS in memory. Forgotten by whoever holds it, it is gone."""

    def step(self, received: bytes, plain: bytes) -> TlsTurn:
        """Takes what was received, says `plain` inside."""

    def export(self, label: bytes, context: bytes | None, octets: int) -> Secret:
        """Keying material (RFC 5705, RFC 8446 §7.5)."""
