"""Connections: what is configured, who is connected, and who is to be connected again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ikectl.config.match import AddressTable
from ikectl.config.model import Child, Connection, Unique
from ikectl.config.traps import why_no_trap
from ikectl.config.warnings import warnings
from ikectl.engine.annexes import Annexes, takes_children
from ikectl.engine.calls import STANDING, Calls, beginning
from ikectl.engine.driver import Driver
from ikectl.engine.outside import Outside
from ikectl.engine.reauthentication import Reauthentications
from ikectl.engine.resumptions import KeptTickets
from ikectl.engine.traps import Traps
from ikectl.engine.v1.machine import IsakmpMachine
from ikectl.sa.association import Association, IkeState
from ikectl.sa.events import IkeRekeyed, Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.isakmp_sa import Awaited, IsakmpSa
from ikectl.sa.tickets import Session
from ikectl.values.identity import Identity

if TYPE_CHECKING:
    from ikectl.engine.engine import Engine

AnyDriver = Driver[Any]

LOOK_BACK = 60.0
"""Seconds until it is settled which SAs a peer deletes that called in the same moment as we did: a DELETE that is lost
is sent five times meanwhile."""
REPLACED = "replaced by a newer one of the same peer"
PROVEN = (IkeState.ESTABLISHED, IkeState.REKEYED, IkeState.DELETING)

Ends = bytes
"""Our identity and the peer's, or the user that logged in: users may share an identity, or change theirs."""
Whereabouts = tuple[bytes, bytes, bytes, str]


class Connections:
    """The configured connections, and the machines by connection and by identities."""

    def __init__(self, engine: Engine, outside: Outside) -> None:
        self._engine = engine
        self._loaded: dict[str, Connection] = {}
        self._machines: dict[str, dict[int, AnyDriver]] = {}
        """By connection name, then unique id."""
        self._ends: dict[Ends, AnyDriver | dict[int, AnyDriver]] = {}
        """The established one of two identities; several, which are rare, by unique id."""
        self._near: dict[Whereabouts, dict[int, AnyDriver]] = {}
        """Those of IKEv1 by identities and the peer's address: a group may share an identity by the thousand."""
        self._where: dict[int, Whereabouts] = {}
        """Under what each stands there: its path may change later."""
        self.calls = Calls(engine)
        self.traps = Traps(engine, outside)
        self.reauthentications = Reauthentications(engine)
        self.annexes = Annexes(engine)
        self._contacts: dict[int, Ends] = {}
        """Between whom our own IKE_AUTH is under way: by unique id."""
        self._under_way: dict[Ends, int] = {}
        """How many of these are between the same ends."""
        self._reruns: dict[int, AnyDriver] = {}
        """Phases 1 under way beside an SA that is to be renewed, by its unique id."""
        self._renews: dict[int, int] = {}
        """The other way round."""
        self.tickets = KeptTickets()
        """Of SAs that were lost."""
        self._by_address: AddressTable | None = None
        """Made anew at the first search after a change, so that loading many stays cheap."""
        self._by_peer: dict[bytes, list[Connection]] | None = None
        """By the one identity that each expects; made anew like the addresses."""

    # -- configuration ---------------------------------------------------------

    @property
    def all(self) -> Iterable[Connection]:
        """In the order they were loaded."""
        return self._loaded.values()

    def get(self, name: str) -> Connection | None:
        """The connection of that name."""
        return self._loaded.get(name)

    def for_addresses(self, local: bytes, remote: bytes, version: int = 2) -> tuple[Connection, ...]:
        """The connections for a pair of packed addresses that speak `version` of IKE, closest first."""
        if self._by_address is None:
            self._by_address = AddressTable(self._loaded.values())
        return tuple(self._by_address.candidates(local, remote, self.calls.resolved, version))

    def expecting(self, identity: Identity) -> tuple[Connection, ...]:
        """The connections that expect that very identity of the peer."""
        if self._by_peer is None:
            self._by_peer = {}
            for connection in self._loaded.values():
                expected = connection.remote[0].id.identity
                if expected is not None:
                    self._by_peer.setdefault(expected.folded, []).append(connection)
        return tuple(self._by_peer.get(identity.folded, ()))

    def load(self, connection: Connection, now: float) -> None:
        """Add or replace. Unchanged children keep their SAs; what only the old one started is closed."""
        old = self._loaded.get(connection.name)
        self._loaded[connection.name] = connection
        self._by_address = self._by_peer = None
        kept: tuple[Child, ...] = ()
        if old is not None:
            if old.same_ike(connection):
                kept = tuple(child for child in old.children if child in connection.children)
            self.calls.cancel(old.name, "its configuration was replaced", [child.name for child in kept])
            self.traps.reload(old.name, connection, kept)
            self._unstart(old, kept, now)
            for machine in self.of(connection.name):
                if old.same_ike(connection):
                    machine.sa.connection = connection
        for warning in warnings(connection):
            self._engine.env.events.append(Note(None, warning))
        for child in connection.children:
            if child.start_action.traps and child not in kept:
                self.traps.install(connection, child, 0, now, own=True)
            if child.start_action.starts and child not in kept:
                self.bring_up(connection, child, 0, now, own=True)

    def unload(self, name: str, now: float) -> None:
        """Forget a connection and close what it started by itself; other SAs of it stay."""
        old = self._loaded.pop(name, None)
        self.tickets.forget(name)
        self._by_address = self._by_peer = None
        if old is not None:
            self.calls.cancel(name, "its configuration was removed")
            self.traps.reload(name, None, ())
            self._unstart(old, (), now)

    def _unstart(self, old: Connection, kept: tuple[Child, ...], now: float) -> None:
        gone = {child.name for child in old.children if child.start_action.starts and child not in kept}
        if not gone:
            return
        for machine in self.of(old.name):
            leaving = tuple(child for child in machine.sa.living_children if child.name in gone)
            if len(leaving) == len(machine.sa.living_children):
                self._delete(machine, now)
            elif leaving:
                machine.delete_children(leaving, "its configuration was removed", 0, now)

    def _delete(self, machine: AnyDriver, now: float) -> None:
        if machine.sa.state in (IkeState.CREATED, IkeState.CONNECTING):
            machine.close("its configuration was removed", now)
        else:
            machine.delete("its configuration was removed", 0, now)

    # -- starting ------------------------------------------------------------------

    def initiate(self, token: int, ike: str, child_name: str, now: float) -> None:
        """Bring up a child (or the IKE SA alone), over the IKE SA that is there if there is one."""
        commands = self._engine.commands
        connection = self._loaded.get(ike)
        if connection is None:
            commands.begin(token, 0, f"no connection {ike!r} is loaded; `ikectl conns` lists them")
            return
        child = connection.child(child_name) if child_name else None
        if child_name and child is None:
            commands.begin(token, 0, f"connection {ike} has no child {child_name!r}")
            return
        if child is not None and child.is_shunt:
            why = (
                f"{ike}/{child_name} is a shunt (mode = {child.mode}), with no SA to bring up: `ikectl install` sets it"
            )
            commands.begin(token, 0, why)
            return
        self.bring_up(connection, child, commands.begin(token, 1, ""), now)

    def bring_up(
        self,
        connection: Connection,
        child: Child | None,
        part: int,
        now: float,
        own: bool = False,
        further: bool = False,
    ) -> None:
        """The same for one part of a command.

        `own`: the configuration wants it, so that a refusal is not the end. `further`: one more of that name, if
        there is one, which does not carry what is wanted.
        """
        machine = self._usable(connection.name)
        if machine is None or (machine.sa.state not in STANDING and self.calls.makes(machine)):
            self.calls.bring_up(connection, child, part, now, own)
        elif child is None or (
            not further and any(c.usable and c.name == child.name for c in machine.sa.children.values())
        ):
            what = connection.name if child is None else child.name
            machine.sa.emit(Note(machine.sa, f"{what} is established already"))
            self._engine.commands.settle(part, None)
        elif (first := self._engine.dhcp.before(machine.sa, connection, child, part)) is not None:
            assert first[0] is not None
            machine.create_child(first[0], first[1], now)

    def again(self, old: AnyDriver, token: int) -> None:
        """Run phase 1 of IKEv1 again beside `old`: the new SA then takes over its children."""
        if old.sa.uniqueid in self._reruns:
            # Of two of ours the ends could keep different ones.
            old.sa.emit(Note(old.sa, "it is being renewed already"))
            self._engine.commands.settle(token, None)
            return
        machine = self.beside(old, 1)
        self._reruns[old.sa.uniqueid] = machine
        self._renews[machine.sa.uniqueid] = old.sa.uniqueid
        machine.initiate(None, token, old.now)

    def reauthenticate(self, old: AnyDriver, part: int) -> None:
        """Replace an IKE SA of IKEv2 by one made from scratch, for that part of a command."""
        self.reauthentications.begin(old, part, old.now)

    def redirected(self, old: AnyDriver) -> None:
        """The peer sends us to another gateway: make an SA there, and then delete the one that stands."""
        if old.sa.state in STANDING:
            self.reauthentications.go_elsewhere(old, old.now)

    def beside(self, old: AnyDriver, version: int) -> AnyDriver:
        """A driver for another SA with the peer of `old`, from where connections begin."""
        sa = old.sa
        connection = sa.connection
        assert connection is not None
        path = sa.path  # through a NAT only the ports in use lead to the peer (RFC 3947 §4)
        if path.tcp or not sa.nat.found:
            path = beginning(connection, path)
        machine = self._engine.new_machine(True, path, b"", old.now, connection, version)
        self.joined(machine)
        return machine

    def standing(self, name: str) -> AnyDriver | None:
        """An SA of that connection that stands."""
        return next((machine for machine in self.of(name) if machine.sa.state in STANDING), None)

    def _usable(self, name: str) -> AnyDriver | None:
        """An SA a further child can go over: one that stands, or one of our own making on its way."""
        if name not in self._machines:
            return None
        return self.annexes.roomiest(self.open_to_children(name))

    def open_to_children(self, name: str) -> list[AnyDriver]:
        """All of them, oldest first."""
        leaving = self.reauthentications.is_leaving
        return [machine for machine in self.of(name) if takes_children(machine) and not leaving(machine)]

    # -- who is there ----------------------------------------------------------------

    def of(self, name: str) -> list[AnyDriver]:
        """The machines of a connection, oldest first."""
        return list(self._machines.get(name, {}).values())

    def connected(self, local: Identity, remote: Identity, user: str = "") -> int:
        """How many SAs stand between these two, of that user."""
        found = self._ends.get(_between(local, remote, user))
        return len(found) if isinstance(found, dict) else int(found is not None)

    def kin(self, sa: Association) -> tuple[Association, ...]:
        """The other SAs of the same version that stand between the very ends of `sa`, the newest first.

        An identity may be shared by a group, whose members are told apart by where they are and by XAUTH.
        """
        found = self._near.get(_whereabouts(sa)) if sa.state in PROVEN else None
        if found is None or (len(found) == 1 and sa.uniqueid in found):
            return ()
        others = (each.sa for each in reversed(found.values()) if each.sa is not sa)
        return tuple(other for other in others if other.state is IkeState.ESTABLISHED and _same_peer(sa, other))

    def first_contact_told(self, machine: AnyDriver) -> None:
        """INITIAL-CONTACT came behind phase 1 (RFC 2407 §4.6.3.3): the older SAs with the peer are dead."""
        connection = machine.sa.connection
        if connection is not None and connection.unique is not Unique.NEVER:
            for other in self._older(machine):
                if other.sa.uniqueid < machine.sa.uniqueid:
                    other.close("the peer says this is its first contact", machine.now)
            if isinstance(machine, IsakmpMachine):
                machine.drop_inherited("the peer says this is its first contact", machine.now)

    def first_contact(self, sa: Association) -> bool:
        """Whether no other SA stands between the ends of `sa`, nor is on its way (RFC 7296 §2.4)."""
        ends = _ends(sa)
        self._contact_over(sa)
        first = ends not in self._ends and ends not in self._under_way
        self._contacts[sa.uniqueid] = ends
        self._under_way[ends] = self._under_way.get(ends, 0) + 1
        return first

    def _contact_over(self, sa: Association) -> None:
        """Its attempt came to its end, one way or the other."""
        ends = self._contacts.pop(sa.uniqueid, None)
        if ends is not None:
            self._under_way[ends] -= 1
            if not self._under_way[ends]:
                del self._under_way[ends]

    def joined(self, machine: AnyDriver) -> None:
        """`machine` has a connection now, perhaps another one than before, and may be established."""
        sa = machine.sa
        self._machines.setdefault(sa.name, {})[sa.uniqueid] = machine
        if sa.state is not IkeState.CREATED and sa.remote_id is not None:
            ends = _ends(sa)
            found = self._ends.setdefault(ends, machine)
            if isinstance(found, dict):
                found[sa.uniqueid] = machine
            elif found is not machine:
                self._ends[ends] = {found.sa.uniqueid: found, sa.uniqueid: machine}
            if sa.VERSION == 1:
                where = self._where.setdefault(sa.uniqueid, _whereabouts(sa))
                self._near.setdefault(where, {})[sa.uniqueid] = machine

    def left(self, machine: AnyDriver) -> None:
        """`machine` serves its connection no longer."""
        sa = machine.sa
        machines = self._machines.get(sa.name, {})
        machines.pop(sa.uniqueid, None)
        if not machines:
            self._machines.pop(sa.name, None)
        self.annexes.left(machine, not machines)
        ends = _ends(sa)
        found = self._ends.get(ends)
        if isinstance(found, dict):
            found.pop(sa.uniqueid, None)
        if found is machine or found == {}:
            del self._ends[ends]
        where = self._where.pop(sa.uniqueid, None)
        if where is not None:
            self._near[where].pop(sa.uniqueid, None)
            if not self._near[where]:
                del self._near[where]

    def established(self, machine: AnyDriver, now: float) -> None:
        """A new peer is in: see to its older SAs and to the rest of what it should have."""
        sa = machine.sa
        connection = sa.connection
        assert connection is not None
        if sa.VERSION == 1:
            self._run_ended(machine)
            self._succeed(machine, now)
        elif not sa.initiator and sa.resumes is not None:
            self._close_resumed(sa.resumes, now)
        contacted = sa.contacted and connection.unique is not Unique.NEVER
        if contacted:
            # §2.4: the peer knows no other SA with us; they are dead, and need no DELETE. But what came to stand
            # after the peer began this one is alive: both ends called at once, each before it knew of the other.
            for other in self._older(machine):
                if other.sa.established_at <= machine.began_at:
                    other.close("the peer says this is its first contact", now)
        if connection.unique is Unique.REPLACE:
            self._replace(machine, now)
        elif isinstance(machine, IsakmpMachine) and not contacted:
            if connection.unique is Unique.KEEP:
                self._keep_older(machine, now)
            else:
                self._keep_few(machine, now)
        self._contact_over(sa)
        self.calls.established(machine, now)

    def remains(self, session: Session) -> tuple[IkeSa, ...]:
        """What is left here of a session: its SA, whoever of both began that, and those that replaced it."""
        found: list[IkeSa] = []
        for ours in (session.spi_r, session.spi_i):
            machine = self._engine.machine_at(ours)
            sa = None if machine is None else machine.sa
            if isinstance(sa, IkeSa) and (sa.spi_i, sa.spi_r) == (session.spi_i, session.spi_r):
                found.append(sa)
        while found and found[-1].heir is not None:
            found.append(found[-1].heir)  # the client may not have learnt of it any more
        return tuple(sa for sa in found if sa.state is not IkeState.CLOSED)

    def _replace(self, machine: AnyDriver, now: float) -> None:
        """unique = replace: one SA with a peer is to stay.

        Both ends may call at once, and then each end answers one SA: would whoever completes the second one delete
        the first, each end could delete another one, and nothing be left. The responder of an SA has it before the
        initiator does, so as long as the responder alone replaces, one is left at either end. Both are left where
        each end had the other's SA first; then the one of the smaller SPIs goes, at either end. A peer that replaces
        nothing leaves it to us to look again, when what it deletes is surely gone.
        """
        sa = machine.sa
        for other in self._older(machine):
            if not sa.initiator or isinstance(machine, IsakmpMachine):
                other.delete(REPLACED, 0, now)
            elif not _is_our_call(other.sa):
                if _loses(other.sa, sa):
                    other.delete(REPLACED, 0, now)
                else:
                    machine.look_back_at(now + LOOK_BACK, now)

    def look_back(self, machine: AnyDriver) -> None:
        """Some time ago both ends called at once, and the older one was to stay."""
        sa = machine.sa
        if sa.state in STANDING and sa.connection is not None and sa.connection.unique is Unique.REPLACE:
            others = [other for other in self._older(machine) if other.sa.state in STANDING]
            if any(_loses(sa, other.sa) and not _is_our_call(other.sa) for other in others):
                machine.delete("the peer called at the same time, and its SA stays", 0, machine.now)

    def _close_resumed(self, session: Session, now: float) -> None:
        """The client resumed what still stands here: it is dead, and needs no DELETE (RFC 5723 §4.3.2)."""
        for sa in self.remains(session):
            machine = self._engine.machine_of(sa)
            if machine is not None:
                machine.close("the peer has lost it, and resumed it by its ticket", now)

    def _keep_older(self, machine: IsakmpMachine, now: float) -> None:
        """unique = keep in IKEv1: only now is it known which user the peer is, and whether it just renews what stands.

        An older SA with the very same device was replaced already (`_succeed`); any other one is somebody else's.
        """
        sa = machine.sa
        if sa.initiator or sa.state is not IkeState.ESTABLISHED:
            return
        if any(other.sa.state is IkeState.ESTABLISHED for other in self._older(machine)):
            who = f"user {sa.user!r}" if sa.user else str(sa.remote_id)
            machine.queue.clear()  # nothing of it is to come before the end
            machine.delete(f"{who} is connected already, and unique = keep keeps the older SA", 0, now)

    def _keep_few(self, machine: IsakmpMachine, now: float) -> None:
        """What IKEv2 refuses in IKE_AUTH: more SAs of one peer than anybody needs."""
        sa, most = machine.sa, self._engine.env.settings.max_sas_of_peer
        assert sa.local_id is not None and sa.remote_id is not None
        if not sa.initiator and self.connected(sa.local_id, sa.remote_id, sa.user) > most:
            machine.queue.clear()
            machine.delete(f"{sa.remote_id} has {most} SAs already", 0, now)

    def _succeed(self, machine: AnyDriver, now: float) -> None:
        """A newer ISAKMP SA with the very same peer takes over the children of the older ones (RFC 2409 §5.5).

        Of two that both ends began at once, each before it knew of the other's, the same one must win at either
        end: that of the greater cookies. What the peer may not have heard of yet is not begun any more.
        """
        sa = machine.sa
        for other in self.kin(sa):
            if sa.contacted:
                continue
            rerun = self._reruns.get(other.uniqueid)
            if isinstance(rerun, IsakmpMachine) and rerun is not machine:
                rerun.give_way(now)
            twins = other.initiator != sa.initiator and machine.began_at < other.established_at
            if twins and other.spi_i + other.spi_r > sa.spi_i + sa.spi_r:
                self._take_over(sa, other, now)
                return
            self._take_over(other, sa, now)

    def revive(self, sa: Association, now: float) -> Association | None:
        """The SA that `sa` replaced here. The peer deletes `sa`: of two it keeps the other one, and so do we."""
        left = [one for one in sa.forerunners if one.state is IkeState.REKEYED] if isinstance(sa, IsakmpSa) else []
        old = left[-1] if left else None
        driver = None if old is None else self._engine.machine_of(old)
        if old is None or not isinstance(driver, IsakmpMachine):
            return None
        old.heir = None
        old.move(IkeState.ESTABLISHED)
        old.emit(IkeRekeyed(sa, old))
        self.joined(driver)
        driver.revived(now)
        return old

    def _run_ended(self, machine: AnyDriver) -> None:
        renewed = self._renews.pop(machine.sa.uniqueid, None)
        if renewed is not None:
            self._reruns.pop(renewed, None)

    def _take_over(self, old: Association, new: Association, now: float) -> None:
        heir = self._engine.machine_of(new)
        assert isinstance(old, IsakmpSa) and isinstance(new, IsakmpSa) and heir is not None
        new.take_children(old)
        new.take_inner(old)
        if new.own_vips or new.peer_vips:
            new.awaited -= {Awaited.CONFIG}  # what it would bring is known
        old.move(IkeState.REKEYED)
        old.heir = old.successor = new
        new.forerunners = (*new.forerunners, old)
        new.emit(IkeRekeyed(old, new))
        self._engine.superseded(old, now)
        heir.go_on(now)

    def _older(self, machine: AnyDriver) -> list[AnyDriver]:
        """The other established SAs between the same identities, of the same user.

        An address behind a NAT names nobody for sure: two hosts may both be 192.168.0.2, behind NATs of their own. And
        who has no identity is nobody's older self, or any stranger could end the SAs of all others (RFC 7619 §2.5).
        """
        sa = machine.sa
        if sa.is_nobody:
            return []
        found = self._ends[_ends(sa)]
        others = [other for other in found.values() if other is not machine] if isinstance(found, dict) else []
        if sa.is_hidden:
            others = [other for other in others if other.sa.path.remote.address == sa.path.remote.address]
        return others

    def closed(self, machine: AnyDriver, now: float) -> None:
        """An SA is gone: start it again if the configuration says so."""
        self._run_ended(machine)
        self._contact_over(machine.sa)
        connection = self._loaded.get(machine.sa.name)
        if connection is not None:
            self.tickets.keep(machine, connection)
        self.calls.closed(machine, now)
        self.reauthentications.closed(machine, now)
        if connection is None:
            return
        if machine.restart:
            self.calls.bring_back(connection, machine.restart, now, machine.sa)
        for name in machine.trap:
            self.set_trap(connection.name, name, now)

    # -- traps and shunts --------------------------------------------------------------

    def install(self, token: int, ike: str, child_name: str, now: float) -> None:
        """Let the policies of a child stand by themselves: a trap or a shunt."""
        connection = self._loaded.get(ike)
        child = None if connection is None else connection.child(child_name)
        if connection is None or child is None:
            self._engine.commands.begin(token, 0, f"there is no child {child_name!r} in connection {ike!r}")
            return
        why = why_no_trap(connection, child)
        part = self._engine.commands.begin(token, 0 if why else 1, why or "")
        if part:
            self.traps.install(connection, child, part, now)

    def uninstall(self, token: int, ike: str, child_name: str) -> None:
        """Take them away; children that they brought up stay."""
        gone = self.traps.uninstall(ike, child_name)
        why = f"there is no policy of {ike}/{child_name} without an SA: `ikectl policies` lists them"
        self._engine.commands.settle(self._engine.commands.begin(token, int(gone), why), None)

    def set_trap(self, name: str, child_name: str, now: float) -> None:
        """What was up is to come back with the next packet."""
        connection = self._loaded.get(name)
        child = None if connection is None else connection.child(child_name)
        if connection is not None and child is not None:
            self.traps.install(connection, child, 0, now, own=True)


def _loses(one: Association, other: Association) -> bool:
    """Which of two SAs that both ends began at once goes: the same one at either end."""
    return one.spi_i + one.spi_r < other.spi_i + other.spi_r


def _is_our_call(sa: Association) -> bool:
    """Whether this end called the peer for it; whose the last rekeying was makes no difference."""
    return sa.caller if isinstance(sa, IkeSa) else sa.initiator


def _ends(sa: Association) -> Ends:
    return _between(sa.local_id, sa.remote_id, sa.user)


def _between(local: Identity | None, remote: Identity | None, user: str) -> Ends:
    """However the peer spells them: its own spelling must not make it another peer. A user counts instead of a device.

    One string of octets for each SA takes little room; the lengths in front keep different ends apart.
    """
    ours, theirs = _folded(local), user.encode(errors="surrogatepass") if user else _folded(remote)
    return b"%d %d %b%b" % (len(ours), bool(user), ours, theirs)


def _whereabouts(sa: Association) -> Whereabouts:
    """Its identities, the peer's address and the connection."""
    return _folded(sa.local_id), _folded(sa.remote_id), sa.path.remote.address, sa.name


def _folded(identity: Identity | None) -> bytes:
    return b"" if identity is None else identity.folded


def _same_peer(one: Association, other: Association) -> bool:
    """Of two SAs between the same identities: whether they are with the same device."""
    return (one.name, one.path.remote, one.user) == (other.name, other.path.remote, other.user)
