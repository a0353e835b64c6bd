"""Which children can have policies without an SA, and why others cannot."""

from __future__ import annotations

from collections.abc import Iterator

from ikectl.config.model import Action, Child, Connection, Fresh


def why_no_trap(connection: Connection, child: Child) -> str | None:
    """What is in the way of a trap or a shunt for `child`, with the next step; None if nothing is."""
    if not child.policies:
        return "policies = no leaves nothing to set; leave it out"
    if Fresh.NO is not child.mark_in.fresh or Fresh.NO is not child.mark_out.fresh:
        return "nobody can mark packets for a child that is yet to come; set marks by number, not %unique"
    if child.is_shunt:
        return None
    if child.name == connection.dhcp_name and connection.dhcp is not None:
        return "the DHCP SA comes up when a child needs it"
    if not any(spec.concrete or spec.hostname for spec in connection.remote_addrs):
        return "a trap needs a peer to call; set remote_addrs to an address or a host name"
    return None


def mistakes(connection: Connection) -> Iterator[tuple[str, str, str]]:
    """(child, option, what is wrong with it) of every action that cannot be done."""
    for child in connection.children:
        if child.is_shunt:
            yield from ((child.name, option, why) for option, why in _shunt_mistakes(child))
        for option in ("start_action", "dpd_action", "close_action"):
            action: Action = getattr(child, option)
            why = why_no_trap(connection, child) if action.traps else None
            if why is not None:
                yield child.name, option, why


def _shunt_mistakes(child: Child) -> Iterator[tuple[str, str]]:
    if child.start_action.starts:
        yield "start_action", f"mode = {child.mode} has no SA to start; write trap"
    for option in ("dpd_action", "close_action"):
        if getattr(child, option) is not Action.NONE:
            yield option, f"mode = {child.mode} has no SA that could end; leave it out"
