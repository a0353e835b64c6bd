"""Tap: what listening to and meddling with a simulated wire is in either version of IKE."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ikectl.engine.outside import Transmit
from tests.sim.host import Host
from tests.sim.world import World


@dataclass(eq=False)
class Datagram:
    """One datagram as it left a host."""

    host: Host
    at: float
    transmit: Transmit
    octets: bytes
    """The IKE message, non-ESP marker taken off."""
    lost: bool = field(default=False, kw_only=True)


D = TypeVar("D", bound=Datagram)


@dataclass(eq=False)
class Rule(Generic[D]):
    """Takes messages off the wire. `times` counts down; None is for ever."""

    which: Callable[[D], bool]
    times: int | None = None
    instead: Callable[[D], bytes] | None = None
    """Makes the octets that travel in its stead."""
    caught: list[D] = field(default_factory=list)

    def stop(self) -> None:
        """Let everything pass from now on."""
        self.times = 0


class Tap(Generic[D]):
    """On the wire of a world. What a datagram says is for the version's own tap to read."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: list[D] = []
        self.keepalives: list[tuple[Host, Transmit]] = []
        self._rules: list[Rule[D]] = []
        world.taps.append(self._tap)

    # -- looking --------------------------------------------------------------

    def all(self, choice: Callable[[D], bool] | None = None, since: int = 0) -> list[D]:
        """What was sent so far, lost or not."""
        return [seen for seen in self.seen[since:] if choice is None or choice(seen)]

    # -- meddling ---------------------------------------------------------------

    def hold(self, choice: Callable[[D], bool], times: int | None = None) -> Rule[D]:
        """Keep messages back; `release` lets them travel after all."""
        rule = Rule(choice, times)
        self._rules.append(rule)
        return rule

    def release(self, rule: Rule[D]) -> None:
        """Let what was kept arrive now, in its order, and keep nothing more."""
        rule.stop()
        caught, rule.caught = rule.caught, []
        for seen in caught:
            self.arrive(seen)

    def arrive(self, seen: D) -> None:
        """Let a message arrive (again), now."""
        path = seen.transmit.path
        self.world.deliver(seen.transmit.data, path.local, path.remote)
        self.world.flush()
        self.world.check()

    def rewrite(self, choice: Callable[[D], bool], instead: Callable[[D], bytes], times: int | None = 1) -> Rule[D]:
        """Let other octets travel in the place of messages, as if their sender had written these.

        What the sender has to know of what it said is set right there.
        """
        rule = Rule(choice, times, instead)
        self._rules.append(rule)
        return rule

    def _tap(self, host: Host, transmit: Transmit) -> bool:
        if transmit.data == b"\xff":
            self.keepalives.append((host, transmit))
            return True
        octets = transmit.data
        if transmit.path.local.port != 500:
            assert octets[:4] == bytes(4), "no marker on a port that is not 500"
            octets = octets[4:]
        seen = self._read(host, transmit, octets)
        if seen is None:
            return True
        self.seen.append(seen)
        for rule in self._rules:
            if rule.times == 0 or not rule.which(seen):
                continue
            if rule.times is not None:
                rule.times -= 1
            rule.caught.append(seen)
            seen.lost = True
            if rule.instead is not None:
                self._replace(seen, rule.instead(seen))
            return False
        return True

    def _replace(self, seen: D, octets: bytes) -> None:
        self._correct(seen, octets)
        path = seen.transmit.path
        marker = seen.transmit.data[: len(seen.transmit.data) - len(seen.octets)]
        self.world.at(
            self.world.now + self.world.link.delay,
            lambda: self.world.deliver(marker + octets, path.local, path.remote),
        )

    def _read(self, host: Host, transmit: Transmit, octets: bytes) -> D | None:
        """A datagram opened; None for one of another version, which passes untouched."""
        raise NotImplementedError

    def _correct(self, seen: D, octets: bytes) -> None:
        """The sender believes that it said `octets`."""
        raise NotImplementedError
