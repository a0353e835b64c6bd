"""Engine: the only class the shell sees.

Datagrams, time, commands and answers go in; datagrams, questions and events come out.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from ikectl.config.model import Connection
from ikectl.engine.calls import STANDING
from ikectl.engine.commands import (
    Acquired,
    AddressesChanged,
    Command,
    Configure,
    Expire,
    Initiate,
    InnerAddress,
    Install,
    LoadConnection,
    Redirect,
    Rekey,
    Remapped,
    Resolved,
    Selection,
    StreamBroken,
    Terminate,
    Uninstall,
    UnloadConnection,
)
from ikectl.engine.connections import Connections
from ikectl.engine.dhcp import DhcpWaits
from ikectl.engine.driver import Driver
from ikectl.engine.outside import Answers, Outside, Question, Transmit
from ikectl.engine.pending import Pending
from ikectl.engine.roaming import Roaming
from ikectl.engine.router import Router, Stranger
from ikectl.engine.v1.machine import IsakmpMachine
from ikectl.engine.v2.machine import Machine
from ikectl.exchange.v1.base import Exchange
from ikectl.exchange.v1.table import PHASE_1
from ikectl.exchange.v2.config_payload import AskConfig, SetConfig
from ikectl.exchange.v2.ike_sa_init import AnswerIkeSaInit
from ikectl.exchange.v2.session_resume import AnswerSessionResume
from ikectl.iana.v2 import ExchangeType, NotifyType
from ikectl.sa.association import Association, IkeState
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.env import Env
from ikectl.sa.events import Event, Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.values.path import Path
from ikectl.wire.header import NO_SPI
from ikectl.wire.v2.message import Message

AnyDriver = Driver[Any]

ANSWERS_INITIAL: dict[ExchangeType, type[AnswerIkeSaInit] | type[AnswerSessionResume]] = {
    ExchangeType.IKE_SA_INIT: AnswerIkeSaInit,
    ExchangeType.IKE_SESSION_RESUME: AnswerSessionResume,
}
MIN_SWEEP = 1000
"""Alarms below which looking for stale ones is not worth it."""


class Engine:
    """All IKE SAs of one host. Deterministic: what goes in decides what comes out."""

    def __init__(self, env: Env, answers: Answers) -> None:
        self.env = env
        self._outside = Outside(env, answers)
        self.commands = Pending(env.events)
        self._outside.settle = self.commands.settle
        self._outside.born = self._born
        self._outside.changed = self._changed
        self._outside.supersede = self.superseded
        self._router = Router(self._outside)
        env.is_taken = self._router.machines.__contains__
        self.connections = Connections(self, self._outside)
        self._roaming = Roaming()
        self.dhcp = DhcpWaits(self.commands)
        env.is_first_contact = self.connections.first_contact
        env.connected = self.connections.connected
        env.kin = self.connections.kin
        env.remains = self.connections.remains
        env.expecting = self.connections.expecting
        self._outside.again = self.connections.again
        self._outside.reauthenticate = self.connections.reauthenticate
        self._outside.annex = self.connections.annexes.make
        self._outside.look_back = self.connections.look_back
        self._outside.redirected = self.connections.redirected
        self._outside.expired = self.connections.reauthentications.expired
        self._outside.revive = self.connections.revive
        self._outside.hand_over = self._handed_over
        self._outside.broken = self._stream_broken
        self._outside.first_contact = self.connections.first_contact_told

    # -- in ------------------------------------------------------------------

    def receive(self, datagram: bytes, path: Path, now: float) -> None:
        """A UDP payload that arrived on `path`, as it came."""
        stranger = self._router.receive(datagram, path, now)
        if stranger is not None:
            self._respond(stranger, path, now)

    def tick(self, now: float) -> None:
        """Time has come to `now`: see to the deadlines that are due."""
        alarms = self._outside.alarms
        while alarms and alarms[0][0] <= now:
            at, _, spi = heapq.heappop(alarms)
            machine = self._router.machines.get(spi)
            if machine is not None and machine.wake_at == at:
                machine.wake_at = None
                machine.tick(now)
        self.connections.calls.tick(now)
        self.connections.traps.tick(now)
        self._roaming.tick(now)
        self._sweep_alarms()

    def _sweep_alarms(self) -> None:
        """Drop stale alarms when they are many, so that SAs that came and went leave nothing behind."""
        alarms = self._outside.alarms
        if len(alarms) > MIN_SWEEP + 4 * len(self._router.machines):
            alarms[:] = [alarm for alarm in alarms if self._is_due(alarm)]
            heapq.heapify(alarms)

    def _is_due(self, alarm: tuple[float, int, bytes]) -> bool:
        machine = self._router.machines.get(alarm[2])
        return machine is not None and machine.wake_at == alarm[0]

    def deadline(self) -> float | None:
        """When `tick` wants to be called at the latest."""
        alarms = self._outside.alarms
        while alarms and not self._is_due(alarms[0]):
            heapq.heappop(alarms)
        connections = self.connections
        instants = (
            alarms[0][0] if alarms else None,
            connections.calls.deadline(),
            connections.traps.deadline(),
            self._roaming.deadline(),
        )
        return min((at for at in instants if at is not None), default=None)

    def answer(self, question: int, result: Any, now: float) -> None:
        """The answer to a question; an exception (an IkectlError) means it failed."""
        waiting = self._outside.waiting.pop(question, None)
        if waiting is not None:
            waiting[0].answered(question, result, now)
        else:
            self._outside.answered_late(question, result)

    def command(self, command: Command, now: float) -> None:
        """Do as told; a `CommandDone` event ends the commands that carry a token."""
        match command:
            case LoadConnection(connection):
                self.connections.load(connection, now)
            case UnloadConnection(name):
                self.connections.unload(name, now)
            case Initiate(token, ike, child):
                self.connections.initiate(token, ike, child, now)
            case Terminate(token, selection, force):
                self._terminate(token, selection, force, now)
            case Configure(token, selection, ask):
                self._configure(token, selection, ask, now)
            case Redirect():
                self._redirect(command, now)
            case Rekey(token, selection, reauth):
                self._rekey(token, selection, reauth, now)
            case Resolved(host, addresses):
                self.connections.calls.resolved[host] = addresses
                self.connections.traps.resolved(host, now)
            case Install(token, ike, child):
                self.connections.install(token, ike, child, now)
            case Uninstall(token, ike, child):
                self.connections.uninstall(token, ike, child)
            case Acquired(sentry, packet):
                self.connections.traps.acquired(sentry, packet, now)
            case Expire(child, hard):
                self._expire(child, hard, now)
            case Remapped(child, remote):
                machine = self.machine_of(child.ike)
                if machine is not None:
                    machine.remapped(child, remote, now)
            case AddressesChanged():
                self._roaming.changed(self.machines(), now)
            case StreamBroken(path, why):
                self._stream_broken(path, why, now)
            case InnerAddress(ike, address, why):
                machine = next((each for each in self.machines() if each.sa.uniqueid == ike), None)
                if machine is not None:
                    self.dhcp.given(machine, address, why, now)

    # -- out -----------------------------------------------------------------

    def drain(self) -> list[Transmit | Question | Event]:
        """Everything that came of it since the last call, datagrams first."""
        out: list[Transmit | Question | Event] = [*self._outside.out, *self.env.events]
        self._outside.out.clear()
        self.env.events.clear()
        return out

    def machines(self) -> Iterator[AnyDriver]:
        """All machines in the order they were made, but for those that only linger."""
        return (machine for machine in list(self._router.machines.values()) if machine.sa.state is not IkeState.CLOSED)

    def streams(self) -> set[Path]:
        """The TCP connections that some SA uses, be it for its children alone."""
        used = ((each.sa.path, each.sa.way) for each in self.machines() if each.sa.path.tcp or each.sa.way.tcp)
        return {path for paths in used for path in paths}

    def machine_of(self, sa: Association) -> AnyDriver | None:
        """The machine that drives `sa`."""
        machine = self._router.machines.get(sa.our_spi)
        return machine if machine is not None and machine.sa is sa else None

    def machine_at(self, spi: bytes) -> AnyDriver | None:
        """The machine of the SA that has that SPI of ours."""
        return self._router.machines.get(spi)

    @property
    def waiting(self) -> int:
        """Questions that have no answer yet."""
        return len(self._outside.waiting) + len(self._outside.abandoned)

    @property
    def half_open(self) -> int:
        """Responders that wait for IKE_AUTH."""
        return self._router.waiting

    # -- making SAs ------------------------------------------------------------

    def new_machine(
        self, initiator: bool, path: Path, spi_i: bytes, now: float, connection: Connection | None, version: int = 2
    ) -> AnyDriver:
        """A driver for an SA of that version, with an SPI of its own, routed."""
        env = self.env
        uniqueid = env.next_ike()
        random = env.random_for(uniqueid)
        ours = env.next_spi(random)
        ends = (ours, NO_SPI) if initiator else (spi_i, ours)
        machine: AnyDriver
        if version == 1:
            isakmp = IsakmpSa(env, random, uniqueid, initiator, *ends, path, connection)
            machine = IsakmpMachine(self._outside, isakmp, now)
        else:
            machine = Machine(self._outside, IkeSa(env, random, uniqueid, initiator, *ends, path, connection), now)
        self._router.add(machine)
        return machine

    def _respond(self, stranger: Stranger, path: Path, now: float) -> None:
        """The first message of a peer that was let in."""
        message, ends = stranger.message, (path.local.address, path.remote.address)
        version = 2 if isinstance(message, Message) else 1
        candidates = self.connections.for_addresses(*ends, version)
        if isinstance(message, Message):
            if not candidates and self.connections.for_addresses(*ends, 1):
                self._router.not_version_2(message, path, now)
                return
            ticket = b""
            if message.exchange is ExchangeType.IKE_SESSION_RESUME:
                candidates = tuple([each for each in candidates if each.resumption])
                shown = message.notify(NotifyType.TICKET_OPAQUE)
                ticket = b"" if shown is None else shown.data
                if not self._router.takes_ticket(message, ticket, bool(candidates), path):
                    return
            machine = self.new_machine(False, path, message.spi_i, now, candidates[0] if candidates else None)
            assert isinstance(machine, Machine)
            self._router.add_half_open(machine, stranger.datagram, ticket)
            if not candidates:
                machine.sa.emit(Note(machine.sa, self._nobody_for(path, 2)))
            answer = ANSWERS_INITIAL[message.exchange](candidates)
            if isinstance(answer, AnswerIkeSaInit):
                answer.puzzle = stranger.puzzle
            machine.answer_init(answer, message, stranger.datagram, path, now, stranger.hurried)
            return
        isakmp = self.new_machine(False, path, message.cookie_i, now, candidates[0] if candidates else None, 1)
        assert isinstance(isakmp, IsakmpMachine)
        self._router.add_half_open(isakmp, stranger.datagram)
        if not candidates:
            isakmp.sa.emit(Note(isakmp.sa, self._nobody_for(path, 1)))
        isakmp.answer_first(PHASE_1[message.exchange](candidates), message, stranger.datagram, path, now)

    def _nobody_for(self, path: Path, version: int) -> str:
        """Why no connection answers a peer that calls by that version of IKE."""
        ends = path.local.address, path.remote.address
        others = self.connections.for_addresses(*ends, 3 - version)
        calls = f"{path.remote.host} calls {path.local.host} by IKEv{version}"
        if others:
            names, other = ", ".join(each.name for each in others[:5]), 3 - version
            return (
                f"{calls}, and what has these addresses ({names}) speaks IKEv{other} alone: set version = 0, or "
                f"{other} at the peer"
            )
        some = [
            f"{each.name} ({' '.join(map(str, each.local_addrs[:3]))} with {' '.join(map(str, each.remote_addrs[:3]))})"
            for each in islice(self.connections.all, 3)
        ]
        known = f"; there is {', '.join(some)}" if some else "; none is loaded"
        return f"{calls}, and no connection has these addresses: compare local_addrs and remote_addrs{known}"

    def _born(self, driver: AnyDriver) -> None:
        """An SA was made by another one and stands already."""
        self._router.add(driver)
        driver.established(driver.now)
        self.connections.joined(driver)

    def _changed(self, driver: AnyDriver) -> None:
        """A job of `driver` ended."""
        now, sa = driver.now, driver.sa
        while self.env.sentries.due:
            self.connections.set_trap(*self.env.sentries.due.pop(), now)
        if sa.successor is not None:
            heir = self.machine_of(sa.successor)
            self.superseded(sa, now)
            if heir is not None:
                heir.go_on(now)
        state = sa.state
        if state is IkeState.ESTABLISHED:
            if sa.established_at:
                return
            if not sa.initiator:
                self._router.drop_half_open(driver)
            driver.established(now)
            self.connections.joined(driver)
            self.connections.established(driver, now)
        elif state is IkeState.AUTHENTICATING and isinstance(sa, IsakmpSa) and sa.has_proof:
            self._router.drop_half_open(driver)
        elif state is IkeState.CLOSED:
            self._router.drop_half_open(driver)
            if driver.schedule.next() is None:
                self._router.remove(driver)
                sa.keys = None
            self.connections.left(driver)
            self.connections.closed(driver, now)
            self.dhcp.closed(driver)

    def _stream_broken(self, path: Path, why: str, now: float) -> None:
        """A TCP connection that we opened is gone."""
        for machine in [machine for machine in self.machines() if machine.sa.path == path]:
            machine.stream_broken(path, why, now)

    def _handed_over(self, sa: Association, exchanges: Sequence[Exchange]) -> None:
        """Another SA has more to do, or other children."""
        driver = self.machine_of(sa)
        if isinstance(driver, IsakmpMachine):
            driver.take_on(exchanges)

    def superseded(self, sa: Association, now: float) -> None:
        """`sa` was replaced: its successor, if it has one, takes over what it did."""
        machine = self.machine_of(sa)
        if machine is None:
            return
        heir = None if sa.successor is None else self.machine_of(sa.successor)
        if heir is not None:
            heir.adopt(machine, now)
            self.connections.reauthentications.moved(sa, heir)
        sa.successor = None
        machine.superseded(now)
        self.connections.left(machine)

    # -- commands on what there is -----------------------------------------------

    def _selected(self, selection: Selection) -> list[tuple[AnyDriver, ChildSa | None]]:
        """The SAs a command means: machines, with a child where children are meant."""
        if selection.ike:
            machines = self.connections.of(selection.ike)
        else:
            machines = list(self.machines())
        if selection.ike_id:
            machines = [machine for machine in machines if machine.sa.uniqueid == selection.ike_id]
        if not selection.of_children:
            return [(machine, None) for machine in machines]
        return [
            (machine, child)
            for machine in machines
            for child in machine.sa.living_children
            if selection.child in ("", child.name) and selection.child_id in (0, child.uniqueid)
        ]

    def _terminate(self, token: int, selection: Selection, force: bool, now: float) -> None:
        selected, resting = self._selected(selection), self._hang_up(selection)
        part = self.commands.begin(token, len(selected) + resting, "no SA matches: `ikectl sas` lists what there is")
        for _ in range(resting):
            self.commands.settle(part, None)
        for machine, child in selected:
            if child is not None:
                machine.delete_children((child,), "terminated by command", part, now)
            elif force or machine.sa.state is IkeState.CONNECTING or machine.sa.state is IkeState.CREATED:
                machine.close("terminated by command", now)
                self.commands.settle(part, None)
            else:
                machine.delete("terminated by command", part, now)

    def _hang_up(self, selection: Selection) -> int:
        """Nothing of the connections meant is called any more; how many were between two attempts, without an SA."""
        calls = self.connections.calls
        if selection.of_children or selection.ike_id:
            return 0
        called = [name for name in ([selection.ike] if selection.ike else list(calls)) if name in calls]
        resting = sum(map(calls.rests, called))
        for name in called:
            calls.cancel(name, "terminated by command")
        return resting

    def _redirect(self, command: Redirect, now: float) -> None:
        """Send clients on: those of IKEv2 that follow."""
        selected = [
            machine
            for machine, _ in self._selected(Selection(command.ike, ike_id=command.ike_id))
            if isinstance(machine, Machine) and machine.sa.state in STANDING and command.means(machine.sa)
        ]
        able = [each for each in selected if NotifyType.REDIRECT_SUPPORTED in each.sa.extensions and not each.sa.caller]
        none = "no client matches" if not selected else "none of these clients follows redirects (RFC 5685)"
        part = self.commands.begin(command.token, len(able), none)
        for machine in able:
            machine.send_away(command.gateway, part, now)

    def _rekey(self, token: int, selection: Selection, reauth: bool, now: float) -> None:
        selected = self._selected(selection)
        part = self.commands.begin(token, len(selected), "no SA matches: `ikectl sas` lists what there is")
        for machine, child in selected:
            if child is None and reauth and isinstance(machine, Machine):
                machine.now = now
                self.connections.reauthenticate(machine, part)
            elif child is None:
                machine.rekey(part, now)
            else:
                machine.rekey_child(child, now, part)

    def _configure(self, token: int, selection: Selection, ask: bool, now: float) -> None:
        selected = self._selected(selection)
        part = self.commands.begin(token, len(selected), "no SA matches: `ikectl sas` lists what there is")
        for machine, _ in selected:
            if isinstance(machine, Machine):
                machine.begin(AskConfig(part) if ask else SetConfig(part), now)
            else:
                why = "IKEv1 tells its configuration after phase 1 alone; `ikectl rekey` runs that again"
                self.commands.settle(part, why)

    def _expire(self, child: ChildSa, hard: bool, now: float) -> None:
        machine = self.machine_of(child.ike)
        if machine is None:
            return
        if hard:
            machine.expire_child(child, now)
        else:
            machine.rekey_child(child, now)
