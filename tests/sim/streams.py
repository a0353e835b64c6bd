"""Streams: TCP connections of a world. What is said on one arrives, in order and once, unless it is cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ikectl.engine.commands import StreamBroken
from ikectl.errors import BackendError
from ikectl.sa.asks import CloseStream, OpenStream
from ikectl.values.path import Endpoint, Path, Stream

if TYPE_CHECKING:
    from tests.sim.host import Host
    from tests.sim.world import World

DELAY = 0.02
"""Seconds from one end to the other, whatever the link does to datagrams: TCP repeats them."""


@dataclass(eq=False)
class Wire:
    """One connection: how its opener and its answerer see it."""

    opener: Host
    near: Path
    answerer: Host
    far: Path
    alive: bool = True
    silent: bool = False
    """Nothing arrives any more, and nobody knows."""
    carried: list[bytes] = field(default_factory=list)


class Streams:
    """All connections there are or were."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._port = 40000
        self.all: list[Wire] = []
        self.blocked = False
        """Nobody gets a new one."""

    def serve(self, host: Host) -> None:
        """Let a host open connections."""
        host.dial = lambda ask: self._open(host, ask)
        host.hang_up = self._close

    @property
    def alive(self) -> list[Wire]:
        return [wire for wire in self.all if wire.alive]

    def _open(self, host: Host, ask: OpenStream) -> Path:
        if ask.esp and not host.kernel.esp_in_tcp:
            raise BackendError("this kernel cannot carry ESP inside TCP")
        if self.blocked or ask.path.local.address not in host.addresses:
            raise BackendError(f"nobody answers at {ask.path.remote} (TCP)")
        self._port += 1
        source, destination = Endpoint(ask.path.local.address, self._port), ask.path.remote
        seen, reached = source, destination
        for nat in self._world.nats:
            crossed = nat.cross(seen, reached)
            if crossed is None:
                raise BackendError(f"nobody answers at {ask.path.remote} (TCP)")
            seen, reached = crossed
        answerer = self._world.host_at(reached.address)
        if answerer is None or not answerer.listens:
            raise BackendError(f"no TCP connection with {ask.path.remote}: Connection refused")
        wire = Wire(host, Stream(source, destination), answerer, Stream(reached, seen))
        self.all.append(wire)
        return wire.near

    def _close(self, ask: CloseStream) -> None:
        for wire in self.alive:
            if ask.path in (wire.near, wire.far):
                # What was said just before still arrives.
                self._world.at(self._world.now + 2 * DELAY, lambda wire=wire: self._end(wire))  # type: ignore[misc]

    def _end(self, wire: Wire) -> None:
        wire.alive = wire.alive and wire.near in wire.opener.engine.streams()

    def say(self, message: bytes, path: Path) -> None:
        """Send it to the other end; there may be none."""
        for wire in self.alive:
            if path in (wire.near, wire.far):
                wire.carried.append(message)
                target, seen = (wire.answerer, wire.far) if path == wire.near else (wire.opener, wire.near)
                self._world.at(
                    self._world.now + DELAY,
                    lambda wire=wire, target=target, seen=seen: self._arrive(wire, target, message, seen),  # type: ignore[misc]
                )

    def _arrive(self, wire: Wire, target: Host, message: bytes, seen: Path) -> None:
        if wire.alive and not wire.silent:
            target.receive(message, seen, self._world.now)

    def cut(self, why: str = "Connection reset by peer") -> None:
        """Every connection breaks, what is under way is lost, and openers are told."""
        for wire in self.alive:
            wire.alive = False
            wire.opener.engine.command(StreamBroken(wire.near, why), self._world.now)
        self._world.flush()
