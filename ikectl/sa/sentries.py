"""Sentries: policies that stand without an SA, and which of them stand.

A sentry is a trap, whose packets make the kernel call for a child (ACQUIRE,
RFC 2367 §3.1.6), or a shunt: its packets pass as they are, or are dropped
(RFC 4301 §4.4.1: BYPASS and DISCARD).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ikectl.config.model import Child, Mode
from ikectl.values.path import Path
from ikectl.values.selector import TrafficSelector


class Packet(NamedTuple):
    """What is known of a packet that waits for a child: both ends with protocol and ports."""

    local: TrafficSelector
    remote: TrafficSelector

    def __str__(self) -> str:
        return f"{self.local} to {self.remote}"


@dataclass(slots=True, eq=False)
class Sentry:
    """The policies of one child of a connection, without its SAs."""

    connection: str
    config: Child
    ts_local: tuple[TrafficSelector, ...]
    ts_remote: tuple[TrafficSelector, ...]
    path: Path | None = None
    """Between which ends the SAs would be; None of a shunt."""
    reqid: int = 0
    """A child with the same selectors has it, too, so that its SAs serve these policies; 0 of a shunt."""
    if_id_in: int = 0
    if_id_out: int = 0
    packet: Packet | None = None
    """That waits for a child, whose negotiation is under way."""

    @property
    def name(self) -> str:
        """Of the child."""
        return self.config.name

    @property
    def mode(self) -> Mode:
        return self.config.mode

    def __repr__(self) -> str:
        return f"<Sentry {self.connection}/{self.name} {self.mode.value}>"


@dataclass(slots=True)
class Sentries:
    """Those of one engine that stand, by connection and child."""

    due: list[tuple[str, str]] = field(default_factory=list)
    """Traps that close_action asks for; the engine sees to them."""
    standing: dict[tuple[str, str], Sentry] = field(default_factory=dict)
    """Often there are none."""

    def __iter__(self) -> Iterator[Sentry]:
        """In the order they were set."""
        return iter(self.standing.values())

    def add(self, sentry: Sentry) -> None:
        """It stands."""
        self.standing[sentry.connection, sentry.name] = sentry

    def remove(self, sentry: Sentry) -> None:
        """It stands no longer."""
        self.standing.pop((sentry.connection, sentry.name), None)

    def packet(self, connection: str, child: str) -> Packet | None:
        """The packet that waits for that child."""
        sentry = self.standing.get((connection, child))
        return None if sentry is None else sentry.packet

    def reqid(
        self,
        connection: str,
        child: str,
        path: Path,
        ts_local: tuple[TrafficSelector, ...],
        ts_remote: tuple[TrafficSelector, ...],
    ) -> int:
        """That of the trap which a child replaces, for exactly its traffic between its ends; 0: there is none."""
        sentry = self.standing.get((connection, child))
        if sentry is None or sentry.path is None or (ts_local, ts_remote) != (sentry.ts_local, sentry.ts_remote):
            return 0
        same = (sentry.path.local.address, sentry.path.remote.address) == (path.local.address, path.remote.address)
        return sentry.reqid if same else 0
