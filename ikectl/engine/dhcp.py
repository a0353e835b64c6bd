"""DhcpWaits: children that wait for an inner address by DHCP over IPsec (RFC 3456 §3.1).

Whoever wants a tunnel of a connection that gets its address by DHCP gets the
DHCP SA first. The client that then runs in it is the shell's; a command tells
what came of it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ikectl.config.model import Child, Connection
from ikectl.engine.driver import Driver
from ikectl.engine.pending import Pending
from ikectl.exchange.v1.dhcp import is_dhcp
from ikectl.sa.association import Association

MAX_WAITING = 64
"""Children of one IKE SA that may wait."""


class DhcpWaits:
    """Of one engine, by the unique ids of its IKE SAs."""

    def __init__(self, commands: Pending) -> None:
        self._commands = commands
        self._waiting: dict[int, list[tuple[Child, int]]] = {}

    def before(
        self, sa: Association, connection: Connection, child: Child | None, part: int
    ) -> tuple[Child | None, int] | None:
        """What to bring up, and for which part of a command, if somebody wants `child`.

        That is the child itself, or the DHCP SA first; None where that is under way.
        """
        dhcp = connection.dhcp
        if child is None or dhcp is None or not dhcp.client or sa.own_vips or is_dhcp(child):
            return child, part
        waiting = self._waiting.setdefault(sa.uniqueid, [])
        if len(waiting) >= MAX_WAITING:
            self._commands.settle(part, "too many children wait for an inner address; try again later")
            return None
        waiting.append((child, part))
        if len(waiting) > 1:
            return None
        return connection.dhcp_child, self._commands.step(partial(self._begun, sa.uniqueid))

    def given(self, machine: Driver[Any], address: bytes, why: str, now: float) -> None:
        """The inner address (packed) of an IKE SA's client is known, or it has none (empty) for the reason `why`."""
        sa = machine.sa
        addresses = (address,) if address else ()
        if sa.connection is None or sa.connection.dhcp is None:
            return
        if not sa.connection.dhcp.client:
            sa.peer_vips = addresses
            return
        sa.own_vips = addresses
        if not address:
            self._fail(sa.uniqueid, why)
            return
        for child, part in self._waiting.pop(sa.uniqueid, ()):
            machine.create_child(child, part, now)

    def closed(self, machine: Driver[Any]) -> None:
        """An IKE SA is gone, and so is whatever waited on it."""
        self._fail(machine.sa.uniqueid, machine.why or "the IKE SA ended")

    def _begun(self, ike: int, error: str | None) -> None:
        """The DHCP SA stands, or does not."""
        if error is not None:
            self._fail(ike, error)

    def _fail(self, ike: int, why: str) -> None:
        for child, part in self._waiting.pop(ike, ()):
            self._commands.settle(part, f"child {child.name} has no inner address: {why}")
