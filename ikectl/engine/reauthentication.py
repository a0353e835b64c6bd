"""Reauthentication: a new IKE SA from scratch in the place of an old one, so that both ends prove themselves again.

IKEv2 has no exchange for it (RFC 7296 §2.8.3): IKE_SA_INIT and IKE_AUTH make
another IKE SA, children are made on it anew, and the old SA is deleted with
its own. Made before broken, both stand for a moment and no packet is lost; but
a peer that allows one SA of an identity only (`unique = keep`) needs it the
other way round. The end that began the first IKE SA begins this as well, for it is
the one that can be asked for passwords; the other end says how much time it
gives (AUTH_LIFETIME, RFC 4478), and deletes what outlives that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ikectl.config.model import AddressSpec, Child, Connection
from ikectl.engine.calls import BEGINNING, NOWHERE, STANDING, TO_AND_FRO
from ikectl.engine.driver import Driver
from ikectl.engine.v2.machine import Machine
from ikectl.sa.association import Association
from ikectl.sa.events import Note
from ikectl.values.path import Path

if TYPE_CHECKING:
    from ikectl.engine.engine import Engine

AnyDriver = Driver[Any]

RETRY = 60.0
"""Seconds after a failed attempt until the next, less up to a quarter: several fit into any sensible `over_time`."""


@dataclass(slots=True, eq=False)
class Renewal:
    """An SA that is to replace another one, child by child."""

    old: AnyDriver
    new: Machine
    left: list[Child]
    """Children that are not asked for on the new SA yet."""
    names: tuple[str, ...]
    """All that the old one had."""
    part: int
    gateway: str = ""
    """Where the new one is, if the peer sent us elsewhere (RFC 5685 §5)."""


@dataclass(frozen=True, slots=True)
class Return:
    """Children to be brought up once an SA is gone, and the command's part that waits."""

    names: tuple[str, ...] = ()
    part: int = 0


class Reauthentications:
    """Of one engine: what is being authenticated anew."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._renewals: dict[int, Renewal] = {}
        """By the unique id of the old SA."""
        self._returning: dict[int, Return] = {}
        """By the unique id of the SA that goes."""
        self._leaving: dict[int, str] = {}
        """SAs that we delete, and why: by unique id. Whatever replaces them meanwhile has to go, too."""

    def begin(self, old: AnyDriver, part: int, now: float) -> None:
        """Replace `old`, its time is over or a command wants it; `part` is that of the command."""
        sa = old.sa
        connection = self._engine.connections.get(sa.name)
        names = tuple(dict.fromkeys(child.name for child in sa.living_children))
        if sa.uniqueid in self._renewals or sa.uniqueid in self._returning:
            sa.emit(Note(sa, "it is being authenticated anew already"))
            self._engine.commands.settle(part, None)
        elif sa.state in BEGINNING:
            self._engine.commands.settle(part, None)  # both ends are about to prove themselves
        elif sa.state not in STANDING or connection is None:
            why = f"the IKE SA is {sa.state.name}" if connection else "its connection is not loaded any more"
            self._engine.commands.settle(part, f"no reauthentication: {why}")
        elif names and sa.env.settings.make_before_break:
            self._make(old, connection, names, part)
        else:
            # Without children nobody needs a new one just now.
            self._returning[sa.uniqueid] = Return(names, part)
            self._delete(old, "to authenticate anew", now)

    def go_elsewhere(self, old: AnyDriver, now: float) -> None:
        """The peer of `old` sends us to another gateway: the same is made there (RFC 5685 §5)."""
        sa, connection = old.sa, self._engine.connections.get(old.sa.name)
        gateway, sa.redirect = sa.redirect, ""
        names = tuple(dict.fromkeys(child.name for child in sa.living_children))
        if connection is None or sa.uniqueid in self._renewals or sa.uniqueid in self._returning:
            sa.emit(Note(sa, f"not going to {gateway}: the IKE SA is being replaced, or not configured any more"))
            return
        calls = self._engine.connections.calls
        if not calls.may_go_elsewhere(sa.name, now):
            sa.emit(Note(sa, f"not going to {gateway}: {TO_AND_FRO}; staying here"))
            return
        children = [child for child in map(connection.child, names) if child is not None]
        if not children:
            self._delete(old, f"the gateway sends us to {gateway}, and there is nothing to bring along", now)
            return
        new = self._engine.new_machine(True, NOWHERE, b"", now, connection, 2)
        self._engine.connections.joined(new)
        assert isinstance(new, Machine)
        new.sa.own_vips, new.sa.redirected_from = sa.own_vips, sa.path.remote.address
        renewal = Renewal(old, new, children, names, 0, gateway)
        self._renewals[sa.uniqueid] = renewal
        places = partial(calls.places, connection, (AddressSpec.parse(gateway),))
        new.begin_after(places, partial(self._found, renewal), now)

    def _found(self, renewal: Renewal, places: tuple[Path, ...] | None, failure: BaseException | None) -> None:
        new = renewal.new
        if failure is not None or not places:
            self._failed(renewal, str(failure))
            new.close(str(failure), new.now)
            return
        new.sa.path = places[0]
        step = self._engine.commands.step(partial(self._asked, renewal))
        new.initiate(renewal.left.pop(0), step, new.now)

    def expired(self, old: AnyDriver) -> None:
        """The hard lifetime of `old` ended, and it will be deleted: see to what the configuration wants to be up."""
        sa = old.sa
        if sa.uniqueid in self._renewals or sa.uniqueid in self._returning:
            return
        names = tuple(
            dict.fromkeys(child.name for child in sa.living_children if sa.reauth_at or _is_kept_up(child.config))
        )
        self._returning[sa.uniqueid] = Return(names)

    def is_leaving(self, machine: AnyDriver) -> bool:
        """Whether another SA is taking its place."""
        return machine.sa.uniqueid in self._renewals

    def moved(self, old: Association, heir: AnyDriver) -> None:
        """`old` was rekeyed meanwhile: its heir is what is to be replaced."""
        renewal = self._renewals.pop(old.uniqueid, None)
        if renewal is not None:
            renewal.old = heir
            self._renewals[heir.sa.uniqueid] = renewal
        returning, why = self._returning.pop(old.uniqueid, None), self._leaving.pop(old.uniqueid, None)
        if returning is not None and why is not None:  # else its lifetime was over, and now it goes on
            self._returning[heir.sa.uniqueid] = returning
        if why is not None:
            self._delete(heir, why, heir.now)

    def closed(self, machine: AnyDriver, now: float) -> None:
        """An SA is gone: bring up what was to come after it."""
        uniqueid = machine.sa.uniqueid
        self._leaving.pop(uniqueid, None)
        if uniqueid in self._renewals:
            machine.restart = ()  # its successor sees to its children, and if that fails so do we
        returning = self._returning.pop(uniqueid, Return())
        if returning.names:
            machine.restart = ()
        self._bring_up(machine.sa, returning.names, returning.part, now)

    # -- make before break ---------------------------------------------------------

    def _make(self, old: AnyDriver, connection: Connection, names: tuple[str, ...], part: int) -> None:
        children = [child for child in map(connection.child, names) if child is not None]
        new = self._engine.connections.beside(old, 2)
        assert isinstance(new, Machine)
        new.sa.own_vips = old.sa.own_vips  # what to ask for
        renewal = Renewal(old, new, children[1:], names, part)
        self._renewals[old.sa.uniqueid] = renewal
        new.sa.emit(Note(new.sa, f"authenticating anew, to replace {old.sa!r}"))
        step = self._engine.commands.step(partial(self._asked, renewal))
        new.initiate(children[0] if children else None, step, old.now)

    def _asked(self, renewal: Renewal, error: str | None) -> None:
        """One child came up on the new SA, or not; or there is no new SA."""
        new = renewal.new
        if new.sa.state not in STANDING or new.sa.redirect:
            self._failed(renewal, error or new.why)
        elif renewal.left:
            step = self._engine.commands.step(partial(self._asked, renewal))
            new.create_child(renewal.left.pop(0), step, new.now)
        else:
            self._renewals.pop(renewal.old.sa.uniqueid, None)
            renewal.old.restart = ()
            why = f"gone to {renewal.gateway}" if renewal.gateway else "authenticated anew"
            self._delete(renewal.old, why, new.now)
            self._engine.commands.settle(renewal.part, None)

    def _delete(self, machine: AnyDriver, why: str, now: float) -> None:
        self._leaving[machine.sa.uniqueid] = why
        machine.delete(why, 0, now)

    def _failed(self, renewal: Renewal, why: str) -> None:
        old, new = renewal.old, renewal.new
        self._renewals.pop(old.sa.uniqueid, None)
        self._engine.commands.settle(renewal.part, f"reauthentication: {why}")
        if old.sa.state in STANDING and renewal.gateway:
            old.sa.emit(Note(old.sa, f"not gone to {renewal.gateway}: {why}; staying here"))
        elif old.sa.state in STANDING and isinstance(old, Machine):
            wait = RETRY * (1 - old.sa.chance() / 4)
            new.sa.emit(Note(new.sa, f"no reauthentication: {why}; the old IKE SA stays, next attempt in {wait:.0f} s"))
            old.reauthenticate_at(new.now + wait, new.now)
        else:
            self._returning[new.sa.uniqueid] = Return(renewal.names)

    def _bring_up(self, sa: Association, names: tuple[str, ...], part: int, now: float) -> None:
        """Call the peer again for these children."""
        connection = self._engine.connections.get(sa.name)
        children = [child for child in map(connection.child, names) if child is not None] if connection else []
        if not children or connection is None:
            self._engine.commands.settle(part, None)
            return
        for child in children:
            self._engine.connections.bring_up(connection, child, part, now, own=True)
            part = 0


def _is_kept_up(child: Child) -> bool:
    """Whether the configuration wants it to be up."""
    return child.start_action.starts or child.close_action.starts
