"""Followups: CREATE_CHILD_SA exchanges of the peer whose additional key exchanges are under way (RFC 9370 §2.2.4).

Theory. With additional key exchanges the answer to CREATE_CHILD_SA makes no SA
yet. It carries a link, octets of the responder's choice; the initiator brings
it back in IKE_FOLLOWUP_KE, whose answer has the next link or none. The SA is
made with the last of them. Until then the responder remembers what is to be
made, under the link it gave, and not for long: an initiator may forget.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ikectl.iana.v2 import KeyExchangeMethod, Protocol
from ikectl.values.path import Path
from ikectl.values.record import record
from ikectl.values.secret import NO_SECRET, Secret

P = TypeVar("P")

MAX_PENDING = 8
"""Of one IKE SA. A peer has one under way for each request its window lets it send; what it gave up adds to that
until `TIMEOUT`. More get TEMPORARY_FAILURE."""
TIMEOUT = 20.0
"""Seconds the peer has for its next IKE_FOLLOWUP_KE: the upper end of what RFC 9370 §2.2.4 finds appropriate, so
that a request lost twice still comes in time."""
LINK_OCTETS = 4


@record
class Reserved:
    """An inbound SPI, or CPI, that waits for its child."""

    protocol: Protocol
    path: Path
    spi: int


@dataclass(slots=True, eq=False)
class Followup(Generic[P]):
    """One of them."""

    plan: P
    """What is to be made in the end."""
    methods: tuple[KeyExchangeMethod, ...]
    """The additional key exchanges still to come, in order."""
    replaces: Any = None
    """The child or IKE SA that the plan renews; None for a further child."""
    reserved: tuple[Reserved, ...] = ()
    secrets: Secret = NO_SECRET
    """SK(1) | SK(2) | ... of those that are done."""


@dataclass(slots=True, eq=False)
class Followups(Generic[P]):
    """Those of one IKE SA, by link. A link serves once."""

    pending: dict[int, Followup[P]] = field(default_factory=dict)
    last: int = 0

    @property
    def full(self) -> bool:
        return len(self.pending) >= MAX_PENDING

    def put(self, followup: Followup[P]) -> bytes:
        """Remember it; the link that the peer is to bring back."""
        self.last += 1
        self.pending[self.last] = followup
        return self.last.to_bytes(LINK_OCTETS, "big")

    def get(self, link: bytes) -> Followup[P] | None:
        """What the link stands for; None for one that was never given, was used or is too old."""
        return self.pending.get(int.from_bytes(link, "big")) if len(link) == LINK_OCTETS else None

    def replacing(self, old: Any) -> Followup[P] | None:
        """The one that renews `old`."""
        for followup in self.pending.values():
            if followup.replaces is old:
                return followup
        return None

    def drop(self, followup: Followup[P]) -> None:
        """Forget it; gone already is no error. What it reserved is the caller's to give back."""
        self.pending = {number: other for number, other in self.pending.items() if other is not followup}
