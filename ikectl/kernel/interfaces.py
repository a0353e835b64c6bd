"""Interfaces: our addresses, and routes that make the gateway itself speak from inside its networks.

A gateway forwards what its networks send into a tunnel, but what it sends
itself would leave from its outer address, which no policy selects. So the
networks behind a peer get a route that prefers an address of ours within the
local selectors. These routes live in a table of their own, which an operator
sees, and which is looked at before the main one.

pyroute2 talks to the kernel here; a millisecond is nothing for a route, and
nothing of a negotiation waits for it.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from pyroute2 import AsyncIPRoute, NetlinkError

from ikectl.config.model import Mode
from ikectl.errors import BackendError
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.sentries import Sentry
from ikectl.values.selector import TrafficSelector

log = structlog.get_logger(__name__)

TABLE = 220
"""The routing table; also the place of its rule, before the main table's 32766. As strongSwan has them."""
PROTO = 73
"""rt_protos: who made a route or a rule. Nobody else has this number (4 would be every administrator's)."""
RT_SCOPE_LINK, RT_SCOPE_HOST = 253, 254
RTN_THROW = 9
MAX_ROUTES = 64
"""Of one child; ranges that are no networks need many, and such a child goes without."""


@dataclass(frozen=True, slots=True)
class Route:
    """To a network (packed address, bits): from `source`, the way to `peer`; without source the main table decides."""

    network: bytes
    bits: int
    source: bytes = b""
    peer: bytes = b""

    @property
    def key(self) -> tuple[bytes, int]:
        return self.network, self.bits


@dataclass(frozen=True, slots=True)
class Own:
    """An address of this host (packed), the bits of the network it is connected to, and its interface."""

    address: bytes
    bits: int
    interface: int


Routed = ChildSa | Sentry
"""What traffic goes out by: a child, or a trap that calls for one."""


def routes_for(child: Routed, own: Sequence[Own]) -> tuple[Route, ...]:
    """The routes a child wants, given our own addresses. Pure.

    None where packets leave from inside the selectors anyway: in transport
    mode, or where the outer address is inside; and none for xfrm interfaces,
    whose routes are the operator's. What goes to the peer itself, to networks we
    are connected to and to those the peer does not want keeps its way by a
    route that says nothing.
    """
    config, path = child.config, child.path
    if path is None or child.mode is not Mode.TUNNEL or not config.policies or child.if_id_out:
        return ()
    if config.mark_out.fresh:
        return ()  # only packets with a mark of the child's own are meant, and whoever marks them sees to their way
    wanted: list[Route] = []
    for remote in child.ts_remote:
        inside = [local for local in child.ts_local if local.v6 == remote.v6]
        if any(_contains(local, path.local.address) for local in inside):
            continue
        source = next((one.address for one in own if any(_contains(local, one.address) for local in inside)), None)
        if source is None:
            continue
        wanted += [Route(network, bits, source, path.remote.address) for network, bits in remote.networks()]
        if _contains(remote, path.remote.address):
            wanted.append(Route(path.remote.address, 8 * len(path.remote.address)))
        wanted += [_connected(one) for one in own if _contains(remote, one.address)]
        wanted += _outside(child, remote)
    if len(wanted) > MAX_ROUTES:
        return ()
    # One network has one route, and to keep a way matters more than to prefer a source.
    wanted.sort(key=lambda route: bool(route.source))
    return tuple({route.key: route for route in reversed(wanted)}.values())


def _outside(child: Routed, remote: TrafficSelector) -> list[Route]:
    """To what the peer leaves out of the tunnel (Unity's local LAN): the way there is as without the tunnel.

    No policy is in its way, for what goes there has no inner address as its source.
    """
    inner = child.ike.inner if isinstance(child, ChildSa) else None
    excluded = () if inner is None else inner.excluded
    return [Route(network, bits) for one in excluded if one.within(remote) for network, bits in one.networks()]


def _connected(own: Own) -> Route:
    width = 8 * len(own.address)
    host_bits = width - own.bits
    network = int.from_bytes(own.address, "big") >> host_bits << host_bits
    return Route(network.to_bytes(width // 8, "big"), own.bits)


def _contains(selector: TrafficSelector, address: bytes) -> bool:
    width = 16 if selector.v6 else 4
    return len(address) == width and selector.start <= int.from_bytes(address, "big") <= selector.end


class SourceRoutes:
    """The routes of all children, in one task. `want` and `unwant` never wait and never fail."""

    def __init__(self) -> None:
        self._ip: AsyncIPRoute | None = None
        self._jobs: deque[tuple[Routed, bool]] = deque()
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ending = False
        self._restoring = False
        self._own: list[Own] = []
        self._of: dict[Routed, tuple[Route, ...]] = {}
        self._holders: dict[tuple[bytes, int], list[Route]] = {}
        """Routes to one network, the one that stands last."""
        self._rules: set[int] = set()
        """Address families whose rule we made."""

    async def start(self) -> None:
        """Learn our addresses, and remove what a daemon that was killed left. Raises BackendError."""
        try:
            self._ip = AsyncIPRoute()
            await self._learn()
            await self._sweep()
        except (NetlinkError, OSError) as error:
            raise BackendError(f"cannot read addresses over rtnetlink: {error}") from error
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Remove all routes and rules that are ours."""
        if self._task is not None:
            # Not cancelled: a route half-way set would be nobody's. What still waits is not begun.
            self._ending = True
            self._jobs.clear()
            self._news.set()
            await self._task
        for holders in list(self._holders.values()):
            await self._delete(holders[-1])
        self._holders, self._of = {}, {}
        for family in sorted(self._rules):
            await self._try("rule", "del", **_rule(family))
        if self._ip is not None:
            self._ip.close()

    def want(self, child: Routed) -> None:
        """Traffic of `child` goes out from now on."""
        self._jobs.append((child, True))
        self._news.set()

    def unwant(self, child: Routed) -> None:
        """It goes no longer."""
        self._jobs.append((child, False))
        self._news.set()

    def restore(self) -> None:
        """Links or routes changed: those of ours that went with an interface are set again."""
        self._restoring = True
        self._news.set()

    def interface_of(self, address: bytes) -> int | None:
        """Index of the interface that has `address` (packed), as far as is known."""
        return next((own.interface for own in self._own if own.address == address), None)

    # -- the task ----------------------------------------------------------------

    async def _run(self) -> None:
        while not self._ending:
            await self._news.wait()
            self._news.clear()
            if not self._jobs and not self._restoring:
                continue
            try:
                await self._learn()
            except (NetlinkError, OSError) as error:
                log.warning("cannot read addresses; routes go by those known before", why=str(error))
            while self._jobs:
                child, wanted = self._jobs.popleft()
                try:
                    await (self._add(child) if wanted else self._remove(child))
                except (NetlinkError, OSError) as error:
                    log.warning("a route was not set", child=child.name, why=str(error))
            if self._restoring and not self._ending:
                self._restoring = False
                try:
                    await self._set_again()
                except (NetlinkError, OSError) as error:
                    log.warning("routes that went with an interface were not all set again", why=str(error))

    async def _set_again(self) -> None:
        """What should stand in our table and does not."""
        assert self._ip is not None
        there: set[tuple[bytes, int]] = set()
        for family, width in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
            async for route in await self._ip.get_routes(family=family, table=TABLE):
                text = route.get("RTA_DST")
                network = ipaddress.ip_address(text).packed if text else bytes(width)
                there.add((network, route["dst_len"]))
        lost = [holders[-1] for key, holders in self._holders.items() if key not in there]
        for route in sorted(lost, key=lambda route: bool(route.source)):
            await self._set(route)

    async def _learn(self) -> None:
        assert self._ip is not None
        found: list[Own] = []
        async for message in await self._ip.get_addr():
            text = message.get("IFA_LOCAL") or message.get("IFA_ADDRESS")
            if text and message["scope"] not in (RT_SCOPE_LINK, RT_SCOPE_HOST):
                found.append(Own(ipaddress.ip_address(text).packed, message["prefixlen"], message["index"]))
        self._own = found

    async def _sweep(self) -> None:
        """Routes and rules are known by who made them: us."""
        assert self._ip is not None
        for family in (socket.AF_INET, socket.AF_INET6):
            left = [route async for route in await self._ip.get_routes(family=family, table=TABLE)]
            for route in left:
                if route["proto"] == PROTO:
                    network = route.get("RTA_DST") or _text(bytes(4 if family == socket.AF_INET else 16))
                    kind = {"type": "throw"} if route["type"] == RTN_THROW else {}
                    name = {"dst": f"{network}/{route['dst_len']}", "family": family, "table": TABLE, "proto": PROTO}
                    await self._try("route", "del", **name, **kind)
            rules = [rule async for rule in await self._ip.get_rules(family=family)]
            for rule in rules:
                if rule.get("FRA_PROTOCOL") == PROTO:
                    await self._try("rule", "del", **_rule(family))

    async def _add(self, child: Routed) -> None:
        wanted = () if child in self._of else routes_for(child, self._own)
        if not wanted:
            return
        self._of[child] = wanted
        # What must keep its way comes first, or the way to the peer would be looked up through the tunnel.
        for route in sorted(wanted, key=lambda route: bool(route.source)):
            holders = self._holders.setdefault(route.key, [])
            if not holders or holders[-1] != route:
                if holders:
                    await self._delete(holders[-1])
                await self._set(route)
            holders.append(route)

    async def _remove(self, child: Routed) -> None:
        for route in self._of.pop(child, ()):
            holders = self._holders[route.key]
            stood = holders[-1]
            holders.remove(route)
            if not holders:
                del self._holders[route.key]
                await self._delete(stood)
            elif holders[-1] != stood:
                await self._delete(stood)
                await self._set(holders[-1])

    async def _set(self, route: Route) -> None:
        family = _family(route.network)
        if family not in self._rules and await self._try("rule", "add", **_rule(family)):
            self._rules.add(family)
        way = await self._way(route)
        if way is not None:
            await self._try("route", "add", **_name(route), **way)

    async def _way(self, route: Route) -> dict[str, Any] | None:
        """Gateway and interface, as those to the peer; None if there is no way."""
        if not route.source:
            return {"type": "throw"}
        assert self._ip is not None
        same = len(route.peer) == len(route.network)
        try:
            found = await self._ip.route("get", dst=_text(route.peer))
        except NetlinkError as error:
            log.warning("no way to the peer, so no route", peer=_text(route.peer), why=str(error))
            return None
        gateway, interface = found[0].get("RTA_GATEWAY"), found[0].get("RTA_OIF")
        way: dict[str, Any] = {"oif": interface, "prefsrc": _text(route.source)}
        if gateway is not None and same:
            way["gateway"] = gateway
        else:
            way["scope"] = RT_SCOPE_LINK
        return way

    async def _delete(self, route: Route) -> None:
        await self._try("route", "del", **_name(route), **({} if route.source else {"type": "throw"}))

    async def _try(self, what: str, act: str, **arguments: Any) -> bool:
        """Whether the kernel did it; what is gone already, and rules that are there, are no trouble."""
        assert self._ip is not None
        try:
            await getattr(self._ip, what)(act, **arguments)
        except NetlinkError as error:
            fine = (errno.ESRCH, errno.ENOENT) if act == "del" else ((errno.EEXIST,) if what == "rule" else ())
            if error.code not in fine:
                log.warning(f"cannot {act} a {what}", **arguments, why=str(error))
            return False
        return True


def _name(route: Route) -> dict[str, Any]:
    return {
        "dst": f"{_text(route.network)}/{route.bits}",
        "family": _family(route.network),
        "table": TABLE,
        "proto": PROTO,
    }


def _rule(family: int) -> dict[str, Any]:
    """Packets that this host sends itself come, to the rules, from `lo`."""
    return {"family": family, "table": TABLE, "priority": TABLE, "iifname": "lo", "protocol": PROTO}


def _family(address: bytes) -> int:
    return socket.AF_INET if len(address) == 4 else socket.AF_INET6


def _text(address: bytes) -> str:
    return str(ipaddress.ip_address(address))


def source_address(remote: bytes) -> bytes:
    """The packed address the kernel sends from to `remote`. Raises BackendError when there is no way.

    A connected UDP socket is asked; nothing is sent.
    """
    family = _family(remote)
    try:
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.connect((_text(remote), 500))
            return socket.inet_pton(family, sock.getsockname()[0].partition("%")[0])
    except OSError as error:
        raise BackendError(f"no way to {_text(remote)}: {error.strerror}; check the routes of this host") from error
