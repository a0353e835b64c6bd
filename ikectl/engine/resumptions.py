"""KeptTickets: what resumes the IKE SAs that were lost, in memory alone (RFC 5723 §4.3)."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import Any

from ikectl.config.model import Connection
from ikectl.engine.driver import Driver, End
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.tickets import KeptTicket

LOST = (End.SILENT, End.UPROOTED)
"""The ends after which the peer may be called by the ticket: nobody wanted that end."""


class KeptTickets:
    """A client's, one for each connection: that of the SA which was lost last."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Connection, KeptTicket]] = {}

    def __contains__(self, name: str) -> bool:
        """Whether there is one for the connection of that name, be it still good or not."""
        return name in self._kept

    def keep(self, machine: Driver[Any], loaded: Connection) -> None:
        """An SA came to its end; `loaded` is its connection now."""
        sa = machine.sa
        if not isinstance(sa, IkeSa) or sa.ticket is None or machine.end not in LOST or sa.heir is not None:
            return  # what replaced an SA has a ticket of its own
        ticket, sa.ticket = sa.ticket, None
        session = replace(ticket.session, reauth_at=sa.reauth_at, reauth_by=sa.reauth_by)
        if sa.connection is not None and sa.connection.same_ike(loaded):
            kept = replace(ticket, session=session, own_vips=sa.own_vips, gateway=sa.path.remote.address)
            self._kept[sa.name] = sa.connection, kept

    def take(self, connection: Connection, now: float, later: Container[bytes] = ()) -> KeptTicket | None:
        """The ticket for that connection, if there is one that is good; it is kept no longer.

        It stays for its gateway, if that is at one of the addresses (packed) that are called `later`.
        """
        known = self._kept.get(connection.name)
        if known is None or known[1].gateway in later:
            return None
        del self._kept[connection.name]
        if not known[0].same_ike(connection):
            return None
        session = known[1].session
        ends = [at for at in (known[1].until, session.reauth_at, session.reauth_by) if at]
        return known[1] if now < min(ends) else None

    def forget(self, name: str) -> None:
        """The connection is loaded no longer."""
        self._kept.pop(name, None)
