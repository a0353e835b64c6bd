"""Traps: which sentries are to stand, and the children that packets call for.

A sentry stays where it is, whatever becomes of the children that it calls
for. A peer given by name is looked up first, and again when the name leads
elsewhere.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from ikectl.config.model import Child, Connection
from ikectl.engine.chore import Chore
from ikectl.engine.outside import Outside
from ikectl.errors import IkectlError
from ikectl.sa.asks import InstallSentry, RemoveSentry
from ikectl.sa.events import Note
from ikectl.sa.sentries import Packet, Sentry
from ikectl.values.path import Path
from ikectl.values.selector import SelectorSpec, TrafficSelector, covers

if TYPE_CHECKING:
    from ikectl.engine.engine import Engine

TRY_AGAIN = 60.0
"""Seconds after which a sentry of the configuration that could not be set (no such name, no route) is tried again."""

Name = tuple[str, str]
"""Of the connection, and of its child."""


@dataclass(slots=True, eq=False)
class Post:
    """Where a sentry is to stand."""

    connection: Connection
    child: Child
    own: bool
    """The configuration wants it, so a failure is not the end."""
    sentry: Sentry | None = None
    """The one that stands."""
    parts: list[int] = field(default_factory=list)
    """Of commands that wait for it."""
    busy: bool = False
    """It is being set, or moved."""
    at: float | None = None
    """When to try again."""

    @property
    def name(self) -> Name:
        return self.connection.name, self.child.name

    @property
    def hosts(self) -> tuple[str, ...]:
        """The host names that decide where the peer is."""
        return tuple(spec.hostname for spec in self.connection.remote_addrs if spec.hostname is not None)


class Traps:
    """Of one engine, by connection and child."""

    def __init__(self, engine: Engine, outside: Outside) -> None:
        self._engine = engine
        self._outside = outside
        self._posts: dict[Name, Post] = {}
        self._of: dict[str, dict[str, Post]] = {}
        """The same by connection, then child."""
        self._by_host: dict[str, dict[Name, Post]] = {}
        """Those whose peer is given by that host name."""
        self._alarms: list[tuple[float, int, Name]] = []
        """A heap of (instant, order, name); stale entries are skipped when they come up."""
        self._order = count()

    # -- what is to stand ------------------------------------------------------------

    def install(self, connection: Connection, child: Child, part: int, now: float, own: bool = False) -> None:
        """Let the sentry of `child` stand; `part` of a command is told when it does, or why not."""
        post = self._posts.get((connection.name, child.name))
        if post is None:
            post = Post(connection, child, own)
            self._posts[post.name] = post
            self._of.setdefault(connection.name, {})[child.name] = post
            for host in post.hosts:
                self._by_host.setdefault(host, {})[post.name] = post
        post.own = post.own or own
        if post.sentry is not None:
            self._engine.commands.settle(part, None)
            return
        if part:
            post.parts.append(part)
        self._set(post, now)

    def uninstall(self, connection: str, child: str) -> bool:
        """Take the sentry away, or no longer try to set it; whether there was one. Children stay."""
        post = self._posts.pop((connection, child), None)
        if post is None:
            return False
        posts = self._of[connection]
        del posts[child]
        if not posts:
            del self._of[connection]
        for host in post.hosts:
            self._by_host[host].pop(post.name)
            if not self._by_host[host]:
                del self._by_host[host]
        self._settle(post, "it was removed meanwhile")
        self._dismiss(post)
        return True

    def reload(self, connection: str, new: Connection | None, kept: Iterable[Child]) -> None:
        """The configuration of a connection changed, or went (None): only what stands for children `kept` stays."""
        unchanged = set(kept)
        for post in list(self._of.get(connection, {}).values()):
            if new is None or post.child not in unchanged:
                self.uninstall(connection, post.child.name)
            else:
                post.connection = new  # which differs in other children at most

    def resolved(self, host: str, now: float) -> None:
        """A name was looked up: a trap for a peer that is elsewhere now follows."""
        addresses = self._engine.connections.calls.resolved.get(host, ())
        for post in list(self._by_host.get(host, {}).values()) if addresses else ():
            if post.sentry is None or not _leads_to(post.sentry, addresses):
                self._set(post, now)

    # -- setting them ------------------------------------------------------------------

    def _set(self, post: Post, now: float) -> None:
        if not post.busy:
            post.busy, post.at = True, None
            Chore(self._outside, self._place(post), partial(self._placed, post), now)

    async def _place(self, post: Post) -> None:
        """Find where the peer is and let the kernel know; one that stood elsewhere goes. Raises BackendError."""
        connection, child = post.connection, post.child
        sentry = await self._sentry(connection, child)
        if post.sentry is not None and post.sentry.path == sentry.path:
            return
        old = post.sentry
        if old is not None:
            sentry.reqid = old.reqid
        await InstallSentry(sentry)
        self._engine.env.sentries.add(sentry)
        post.sentry = sentry
        if old is not None:
            await RemoveSentry(old)

    async def _sentry(self, connection: Connection, child: Child) -> Sentry:
        ids = child.if_id_in or connection.if_id_in, child.if_id_out or connection.if_id_out
        if child.is_shunt:
            return Sentry(connection.name, child, _of_all(child.local_ts), _of_all(child.remote_ts), None, 0, *ids)
        path = (await self._engine.connections.calls.places(connection))[0]
        reqid = child.reqid or self._engine.env.reqids.fresh()
        local = tuple(dict.fromkeys(spec.resolve(path.local.address) for spec in child.local_ts))
        remote = tuple(dict.fromkeys(spec.resolve(path.remote.address) for spec in child.remote_ts))
        return Sentry(connection.name, child, local, remote, path, reqid, *ids)

    def _placed(self, post: Post, failure: IkectlError | None, now: float) -> None:
        post.busy = False
        if self._posts.get(post.name) is not post:
            self._dismiss(post)
        elif failure is None:
            self._settle(post, None)
        else:
            why = f"the policies of {post.connection.name}/{post.child.name} are not set: {failure}"
            self._engine.env.events.append(Note(None, why))
            self._settle(post, why)
            if post.own or post.sentry is not None:
                post.at = now + TRY_AGAIN
                heapq.heappush(self._alarms, (post.at, next(self._order), post.name))
            else:
                self.uninstall(*post.name)

    def _dismiss(self, post: Post) -> None:
        sentry, post.sentry = post.sentry, None
        if sentry is not None and not post.busy:
            self._engine.env.sentries.remove(sentry)
            self._outside.do(RemoveSentry(sentry))
        elif sentry is not None:
            post.sentry = sentry  # the chore under way ends first

    def _settle(self, post: Post, error: str | None) -> None:
        parts, post.parts = post.parts, []
        for part in parts:
            self._engine.commands.settle(part, error)

    # -- what packets call for ----------------------------------------------------------

    def acquired(self, sentry: Sentry, packet: Packet, now: float) -> None:
        """A packet met a trap and found no SA. One child at a time is negotiated for a trap; further packets wait."""
        post = self._posts.get((sentry.connection, sentry.name))
        if post is None or post.sentry is not sentry or sentry.packet is not None:
            return
        inside = _within(sentry, packet)
        if inside is None:
            return
        for machine in self._engine.connections.of(sentry.connection):
            for child in machine.sa.children.values():
                if child.usable and child.name == sentry.name and _carries(child.ts_local, child.ts_remote, inside):
                    return  # it came up while the packet's news were on their way
        self._engine.env.events.append(
            Note(None, f"a packet from {inside} calls for {sentry.connection}/{post.child.name}")
        )
        sentry.packet = inside
        step = self._engine.commands.step(partial(self._ended, sentry))
        self._engine.connections.bring_up(post.connection, post.child, step, now, further=True)

    def _ended(self, sentry: Sentry, error: str | None) -> None:
        """The child stands, or none came of it: then the kernel asks again when it next sees a packet."""
        sentry.packet = None

    # -- time ----------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When a sentry is to be tried again."""
        while self._alarms and not self._is_due(self._alarms[0]):
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None

    def _is_due(self, alarm: tuple[float, int, Name]) -> bool:
        post = self._posts.get(alarm[2])
        return post is not None and post.at == alarm[0]

    def tick(self, now: float) -> None:
        """Try what is due."""
        while self._alarms and self._alarms[0][0] <= now:
            alarm = heapq.heappop(self._alarms)
            if self._is_due(alarm):
                self._set(self._posts[alarm[2]], now)


def _of_all(specs: Iterable[SelectorSpec]) -> tuple[TrafficSelector, ...]:
    """A shunt has no ends: its `dynamic` is every address of either family."""
    found: dict[TrafficSelector, None] = {}
    for spec in specs:
        if spec.network is not None:
            found[spec.network] = None
            continue
        for everything in (TrafficSelector.ANY4, TrafficSelector.ANY6):
            found[
                TrafficSelector(
                    spec.protocol, spec.start_port, spec.end_port, everything.start, everything.end, everything.v6
                )
            ] = None
    return tuple(found)


def _leads_to(sentry: Sentry, addresses: tuple[bytes, ...]) -> bool:
    path: Path | None = sentry.path
    return path is not None and path.remote.address in addresses


def _carries(ts_local: tuple[TrafficSelector, ...], ts_remote: tuple[TrafficSelector, ...], packet: Packet) -> bool:
    return covers(ts_local, (packet.local,)) and covers(ts_remote, (packet.remote,))


def _within(sentry: Sentry, packet: Packet) -> Packet | None:
    """What of the packet's description the sentry's selectors allow; None if it is none of theirs."""
    local = next((both for ts in sentry.ts_local if (both := ts & packet.local) is not None), None)
    remote = next((both for ts in sentry.ts_remote if (both := ts & packet.remote) is not None), None)
    return None if local is None or remote is None else Packet(local, remote)
