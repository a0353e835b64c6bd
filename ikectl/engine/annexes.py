"""Annexes: IKE SAs for children that the peer does not take on the one that stands.

Who answers NO_ADDITIONAL_SAS takes no further child on that IKE SA (RFC 7296
§1.3); some implementations take one on each, ever (§4). The child wanted then
gets an IKE SA of its own, beside the other. There are few of them, and no more
are begun than in any sane configuration: a peer may refuse children on those
as well, or delete the older SA as soon as a newer one stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from ikectl.config.model import Child, Connection
from ikectl.engine.calls import BEGINNING, STANDING
from ikectl.engine.driver import Driver
from ikectl.sa.events import ChildFailed, Note

if TYPE_CHECKING:
    from ikectl.engine.engine import Engine

AnyDriver = Driver[Any]

MAX_ANNEXES = 16
"""IKE SAs of one connection up to which a further one is made for a child, and so many begun within ANNEX_PERIOD."""
ANNEX_PERIOD = 300.0
"""Seconds."""


class Annexes:
    """Of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._full: dict[int, int] = {}
        """Children with which an IKE SA (by unique id) was full."""
        self._begun: dict[str, list[float]] = {}
        """When annexes of a connection were begun, from the first one until no IKE SA of it is left."""

    def left(self, machine: AnyDriver, last: bool) -> None:
        """An IKE SA is gone; `last`: there is no other one of its connection."""
        self._full.pop(machine.sa.uniqueid, None)
        if last:
            self._begun.pop(machine.sa.name, None)

    def roomiest(self, machines: Iterable[AnyDriver]) -> AnyDriver | None:
        """The first that may take a further child; if all are full, the first one."""
        ordered = list(machines)
        return next((each for each in ordered if not self._is_full(each)), ordered[0] if ordered else None)

    def _is_full(self, machine: AnyDriver) -> bool:
        most = self._full.get(machine.sa.uniqueid)
        return most is not None and len(machine.sa.living_children) >= most

    def make(self, full: AnyDriver, child: Child, part: int, why: str) -> None:
        """The peer took `child` not on `full`, as `why` says: bring it up elsewhere, for that part of a command."""
        sa, now = full.sa, full.now
        self._full[sa.uniqueid] = len(sa.living_children)
        connections = self._engine.connections
        connection = connections.get(sa.name)
        if connection is None or not sa.living_children:
            # Not configured any more; or the peer takes no child at all, and would take none elsewhere.
            self._refuse(full, child, part, why)
            return
        others = connections.open_to_children(sa.name)
        other = next((each for each in others if not self._is_full(each)), None)
        if other is not None:
            other.create_child(child, part, now)
            return
        obstacle = self._obstacle(connection, len(others), now)
        if obstacle:
            self._refuse(full, child, part, f"{why}; no IKE SA of its own for it: {obstacle}")
            return
        self._begun.setdefault(sa.name, []).append(now)
        sa.emit(Note(sa, f"child {child.name}: {why}; making another IKE SA for it"))
        annex = connections.beside(full, 2)
        annex.initiate(child, self._engine.commands.step(partial(self._ended, annex, part)), now)

    def _obstacle(self, connection: Connection, stand: int, now: float) -> str:
        """Why no further IKE SA is made; empty if it may."""
        if not any(spec.concrete or spec.hostname for spec in connection.remote_addrs):
            return "remote_addrs names no peer to call"
        if connection.vips:
            return "the inner address belongs to the one that stands; write one child for all of the traffic"
        begun = [at for at in self._begun.get(connection.name, ()) if now - at < ANNEX_PERIOD]
        if connection.name in self._begun:
            self._begun[connection.name] = begun
        if stand >= MAX_ANNEXES or len(begun) >= MAX_ANNEXES:
            return f"{MAX_ANNEXES} IKE SAs of connection {connection.name} are enough"
        return ""

    def _refuse(self, machine: AnyDriver, child: Child, part: int, why: str) -> None:
        machine.sa.emit(ChildFailed(machine.sa, child.name, why))
        self._engine.commands.settle(part, f"child {child.name} not established: {why}")

    def _ended(self, annex: AnyDriver, part: int, error: str | None) -> None:
        """The child of an annex came up, or not: then nobody needs it."""
        self._engine.commands.settle(part, error)
        sa = annex.sa
        if error is not None and sa.state in STANDING and not sa.living_children and not annex.tasks.queued:
            annex.delete("the child that it was made for did not come up", 0, annex.now)


def takes_children(machine: AnyDriver) -> bool:
    """Whether a child may be asked for there: it stands, or is on its way from here."""
    return machine.sa.state in STANDING or (machine.sa.initiator and machine.sa.state in BEGINNING)


__all__ = ["ANNEX_PERIOD", "MAX_ANNEXES", "Annexes", "takes_children"]
