"""Outside: the little a machine may touch beyond its SA, and what it hands out."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from ikectl.config.model import Child
from ikectl.errors import IkectlError
from ikectl.sa.asks import (
    AllocSpi,
    Ask,
    CloseStream,
    FreeSpi,
    InstallAddress,
    InstallChild,
    InstallDns,
    Lease,
    Leased,
    OpenStream,
    Release,
    RemoveAddress,
    RemoveChild,
    RemoveDns,
)
from ikectl.sa.association import Association
from ikectl.sa.env import Env
from ikectl.sa.events import Note
from ikectl.values.path import Path
from ikectl.values.record import record
from ikectl.wire.header import NON_ESP_MARKER

if TYPE_CHECKING:
    from ikectl.engine.chore import Chore
    from ikectl.engine.driver import Driver

    AnyDriver = Driver[Any]


@record
class Transmit:
    """A datagram to send, the non-ESP marker in front where the path needs it."""

    data: bytes
    path: Path


@record
class Question:
    """An ask that has no answer in place; `Engine.answer` takes the result under this id."""

    id: int
    ask: Ask[Any]


class Asker(Protocol):
    """Whoever waits for answers: a driver, or a chore."""

    def answered(self, question: int, result: Any, now: float) -> None:
        """The answer to a question of its own; an exception is why there is none."""


Answers = Mapping[type[Ask[Any]], Callable[[Any], Any]]
"""Immediate answers by the class of ask. A function here may raise an IkectlError, and must not wait."""

KEEPALIVE = b"\xff"
"""A NAT keepalive: one octet, no marker (RFC 3948 §2.3)."""


@dataclass(slots=True, eq=False)
class Outside:
    """Shared by the machines of one engine."""

    env: Env
    answers: Answers
    out: list[Transmit | Question] = field(default_factory=list)
    waiting: dict[int, tuple[Asker, Ask[Any]]] = field(default_factory=dict)
    """Whose coroutine waits for an answer, and to what, by question id."""
    abandoned: dict[int, Ask[Any]] = field(default_factory=dict)
    """Questions that nobody waits for any more and that are not answered yet."""
    asides: dict[bytes, Chore] = field(default_factory=dict)
    """Work that goes on beside an SA, by our SPI: few ever have any."""
    alarms: list[tuple[float, int, bytes]] = field(default_factory=list)
    """A heap of (instant, order, our SPI); stale entries are skipped when they come up."""
    settle: Callable[[int, str | None], None] = lambda part, error: None
    """Told when an exchange that serves a command ended, and how."""
    born: Callable[[AnyDriver], None] = lambda driver: None
    """Told of a new driver, whose SA stands already."""
    changed: Callable[[AnyDriver], None] = lambda driver: None
    """Told when a job of a driver ended, to look at its state."""
    supersede: Callable[[Association, float], None] = lambda sa, now: None
    """Told of another IKE SA that was replaced or has become redundant."""
    again: Callable[[AnyDriver, int], None] = lambda driver, token: None
    """Told to run phase 1 of IKEv1 again beside this SA, for the command of that number."""
    reauthenticate: Callable[[AnyDriver, int], None] = lambda driver, token: None
    """Told to replace this IKE SA by one that is made from scratch, for the command of that number."""
    annex: Callable[[AnyDriver, Child, int, str], None] = lambda driver, child, token, why: None
    """Told that the peer takes no further child on this IKE SA, to bring this one up elsewhere; and what it said."""
    look_back: Callable[[AnyDriver], None] = lambda driver: None
    """Told that a while has passed since both ends made an SA at once."""
    redirected: Callable[[AnyDriver], None] = lambda driver: None
    """Told that the peer of this established SA sends us to another gateway."""
    expired: Callable[[AnyDriver], None] = lambda driver: None
    """Told that the hard lifetime of this SA ended, before it is deleted."""
    revive: Callable[[Association, float], Association | None] = lambda sa, now: None
    """Asked for the SA that this one replaced, which the peer keeps: it stands again; None if it is gone."""
    hand_over: Callable[[Association, Sequence[Any]], None] = lambda sa, exchanges: None
    """Told of exchanges to begin on another SA, and that its children may be others than before."""
    broken: Callable[[Path, str, float], None] = lambda path, why, now: None
    """Told that a TCP connection of ours is gone, where who saw to it does so no longer."""
    first_contact: Callable[[AnyDriver], None] = lambda driver: None
    """Told that the peer of an established SA knows no other SA with us."""
    _order: count[int] = field(default_factory=count)
    _questions: count[int] = field(default_factory=lambda: count(1))

    def transmit(self, data: bytes, path: Path) -> None:
        """Send an IKE message."""
        if path.local.port != self.env.settings.ike_port or path.tcp:
            data = NON_ESP_MARKER + data
        self.out.append(Transmit(data, path))

    def keepalive(self, path: Path) -> None:
        """Send a NAT keepalive."""
        self.out.append(Transmit(KEEPALIVE, path))

    def ask(self, asker: Asker, ask: Ask[Any]) -> int:
        """Put a question for `asker`; its id."""
        question = next(self._questions)
        self.waiting[question] = asker, ask
        self.out.append(Question(question, ask))
        return question

    def abandon(self, question: int) -> None:
        """Nobody waits for that answer any more; what it may bring about is undone when it comes."""
        waiting = self.waiting.pop(question, None)
        if waiting is not None:
            self.abandoned[question] = waiting[1]

    def answered_late(self, question: int, result: Any) -> None:
        """The answer to an abandoned question: what it set up is taken back."""
        match self.abandoned.pop(question, None), result:
            case _, BaseException():
                return
            case AllocSpi(protocol, path), int(spi):
                self.do(FreeSpi(protocol, path, spi))
            case InstallChild(child, inbound, outbound), _:
                self.do(RemoveChild(child, inbound, outbound))
            case Lease(identity=identity), Leased(pool, address):
                self.do(Release(pool, identity, address))
            case OpenStream(), Path() as stream:
                self.do(CloseStream(stream))
            case InstallAddress(address=address), _:
                self.do(RemoveAddress(address))
            case InstallDns(owner=owner), _:
                self.do(RemoveDns(owner))

    def do(self, ask: Ask[Any]) -> None:
        """Have something done whose outcome nobody waits for."""
        answer = self.answers.get(type(ask))
        if answer is None:
            self.out.append(Question(next(self._questions), ask))
            return
        try:
            answer(ask)
        except IkectlError as failure:
            self.env.events.append(Note(None, str(failure)))

    def wake(self, machine: AnyDriver, at: float) -> None:
        """Let `machine` be looked at not later than `at`. One entry per machine is alive at a time."""
        if machine.wake_at is None or at < machine.wake_at:
            machine.wake_at = at
            heapq.heappush(self.alarms, (at, next(self._order), machine.sa.our_spi))
