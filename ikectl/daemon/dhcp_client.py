"""DhcpHosts: the remote host's side of DHCP over IPsec (RFC 3456 §4): port 68, and what becomes of the SAs.

Judgement is in `dhcp/client.py`. A client begins when the DHCP SA stands, the
engine is told the address when it is on an interface, and the DHCP SA goes
when the tunnel stands.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import structlog

from ikectl.config.model import DHCP_MARK, Connection
from ikectl.daemon.dhcp_relay import CLIENT_PORT, MESSAGES_A_TURN, SERVER_PORT, Commander, single
from ikectl.daemon.dhcp_socket import Arrival, DhcpSocket, hardware_address
from ikectl.dhcp.client import Bound, ClientIdentity, DhcpClient, Ended, Output, Send, State
from ikectl.dhcp.relay import BROADCAST
from ikectl.engine.commands import Initiate, InnerAddress, Selection, Terminate
from ikectl.errors import BackendError
from ikectl.exchange.v1.dhcp import is_dhcp
from ikectl.sa.asks import Ask, InstallAddress, InstallDns, RemoveAddress, RemoveDns
from ikectl.sa.association import Association
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.events import ChildDown, ChildRekeyed, ChildUp, Event, IkeDown, IkeRekeyed

log = structlog.get_logger(__name__)

SETTLE_FOR = 0.2
"""Seconds after our end of the DHCP SA stands: the gateway relays once it has judged the last message of quick mode,
which is still under way. A message that comes sooner is lost, and repeated after four seconds."""

AGAIN_AFTER = 3.0
"""Seconds after which tunnels whose address was taken away are tried with another one."""


@dataclass(slots=True, eq=False)
class _Host:
    """One client: of one IKE SA, and of the one that takes over from it."""

    ike: Association
    connection: Connection
    client: DhcpClient
    dhcp: dict[int, ChildSa] = field(default_factory=dict)
    """DHCP SAs that stand, by unique id."""
    tunnels: dict[int, ChildSa] = field(default_factory=dict)
    """Children for our inner address, by unique id."""
    held: Send | None = None
    """Waits for the DHCP SA."""
    timer: asyncio.TimerHandle | None = None
    installed: bytes = b""

    @property
    def owner(self) -> str:
        return f"dhcp:{self.connection.name}"


class DhcpHosts:
    """All clients of the daemon; there is a socket from the first DHCP SA on.

    `do` answers an ask that waits, such as to install an address.
    """

    def __init__(
        self, shell: Commander, do: Callable[[Ask[Any]], Awaitable[Any]], random: Callable[[int], bytes]
    ) -> None:
        self._shell = shell
        self._do = do
        self._random = random
        self._socket: DhcpSocket | None = None
        self._hosts: dict[int, _Host] = {}
        """By the unique id of the IKE SA."""
        self._former: dict[str, bytes] = {}
        """The last address of each connection, to ask for it again."""
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """No client renews any more; addresses stay until whoever installed them ends."""
        for host in self._hosts.values():
            self._stop(host)
        self._hosts.clear()
        for task in self._tasks:
            task.cancel()
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    # -- what becomes of the SAs -------------------------------------------------

    def observe(self, event: Event) -> None:
        """An event of the engine."""
        match event:
            case ChildUp(sa, child):
                connection = sa.connection
                if connection is not None and connection.dhcp is not None and connection.dhcp.client:
                    self._child_up(sa, connection, child)
            case ChildRekeyed(_, old, new):
                host = self._host_of(old)
                if host is not None and is_dhcp(new.config):
                    host.dhcp[new.uniqueid] = new
                elif host is not None:
                    host.tunnels.pop(old.uniqueid, None)
                    self._tunnel_up(host, new)
            case ChildDown(_, child):
                self._child_down(child)
            case IkeRekeyed(sa, new):
                self._ike_moved(sa, new)
            case IkeDown(sa, _):
                self._ike_down(sa)

    def _child_up(self, sa: Association, connection: Connection, child: ChildSa) -> None:
        host = self._hosts.get(sa.uniqueid)
        if not is_dhcp(child.config):
            if host is not None:
                self._tunnel_up(host, child)
            return
        if host is None:
            try:
                self._listen()
            except BackendError as error:
                self._shell.command(InnerAddress(sa.uniqueid, b"", str(error)))
                return
            name = f"{sa.local_id}/{connection.name}"
            identity = ClientIdentity.of(hardware_address(), sa.path.local.address, name)
            client = DhcpClient(identity, self._random, self._former.get(connection.name, b""))
            host = self._hosts[sa.uniqueid] = _Host(sa, connection, client)
        host.dhcp[child.uniqueid] = child
        self._loop.call_later(SETTLE_FOR, self._dhcp_stands, host)

    def _dhcp_stands(self, host: _Host) -> None:
        if self._hosts.get(host.ike.uniqueid) is not host or not host.dhcp:
            return
        if host.client.state is State.INIT:
            self._act(host, host.client.start(self._shell.now))
        elif host.held is not None:
            held, host.held = host.held, None
            self._send(host, held)

    def _tunnel_up(self, host: _Host, child: ChildSa) -> None:
        lease = host.client.lease
        if lease is None or single(child.ts_local) != lease.address:
            return
        host.tunnels[child.uniqueid] = child
        host.client.direct = _leads_to(host.tunnels.values(), lease.server)
        self._end_dhcp(host)

    def _end_dhcp(self, host: _Host) -> None:
        """The DHCP SA has served (RFC 3456 §4.4)."""
        for child in list(host.dhcp.values()):
            self._terminate(child)

    def _child_down(self, child: ChildSa) -> None:
        host = self._host_of(child)
        if host is None:
            return
        host.tunnels.pop(child.uniqueid, None)
        ended = host.dhcp.pop(child.uniqueid, None)
        lease = host.client.lease
        if lease is not None:
            host.client.direct = _leads_to(host.tunnels.values(), lease.server)
        elif ended is not None and not host.dhcp:
            self._lost(host, "the DHCP SA ended before there was an address")

    def _host_of(self, child: ChildSa) -> _Host | None:
        return next(
            (host for host in self._hosts.values() if child.uniqueid in host.tunnels or child.uniqueid in host.dhcp),
            None,
        )

    def _ike_moved(self, old: Association, new: Association) -> None:
        host = self._hosts.pop(old.uniqueid, None)
        if host is not None:
            host.ike = new
            self._hosts[new.uniqueid] = host
            if host.installed:
                self._shell.command(InnerAddress(new.uniqueid, host.installed))

    def _ike_down(self, sa: Association) -> None:
        host = self._hosts.get(sa.uniqueid)
        heir = next((child.ike for child in host.tunnels.values() if child.ike is not sa), None) if host else None
        if heir is not None:
            self._ike_moved(sa, heir)
        elif host is not None:
            del self._hosts[sa.uniqueid]
            self._stop(host)
            self._uninstall(host)

    # -- messages -------------------------------------------------------------------

    def _listen(self) -> None:
        """Raises BackendError."""
        if self._socket is None:
            self._socket = DhcpSocket(CLIENT_PORT)
            self._loop.add_reader(self._socket, self._readable, self._socket)

    def _readable(self, sock: DhcpSocket) -> None:
        for arrival in sock.drain(MESSAGES_A_TURN):
            for host in list(self._hosts.values()):
                if _came_for(host, arrival):
                    self._act(host, host.client.receive(arrival.octets, self._shell.now))

    def _tick(self, host: _Host) -> None:
        host.timer = None
        self._act(host, host.client.tick(self._shell.now))

    def _act(self, host: _Host, outputs: list[Output]) -> None:
        """Do what the client wants done, and wake it in time."""
        for output in outputs:
            match output:
                case Send():
                    self._send(host, output)
                case Bound(lease, renewed):
                    log.info(
                        "DHCP lease renewed" if renewed else "DHCP lease granted",
                        group="ike",
                        address=_text(lease.address),
                        server=_text(lease.server),
                    )
                    if not renewed:
                        self._begin(self._install(host))
                    elif host.tunnels:
                        self._end_dhcp(host)
                case Ended(why):
                    self._lost(host, why)
        if host.timer is not None:
            host.timer.cancel()
            host.timer = None
        due = host.client.deadline()
        if due is not None and due != float("inf"):
            host.timer = self._loop.call_at(max(due, self._loop.time()), self._tick, host)

    def _send(self, host: _Host, message: Send) -> None:
        """Broadcasts go into the DHCP SA, which is brought up for them; others by the tunnel."""
        assert self._socket is not None
        try:
            if message.to != BROADCAST and host.client.direct:
                self._socket.send(message.octets, message.to, SERVER_PORT, source=host.installed)
            elif host.dhcp:
                sa = next(reversed(host.dhcp.values()))
                local = sa.path.local
                self._socket.send(
                    message.octets,
                    message.to,
                    SERVER_PORT,
                    source=b"" if local.is_v6 else local.address,
                    mark=sa.marks.set_into.value,
                )
            else:
                host.held = message
                self._shell.command(Initiate(0, host.connection.name, host.connection.dhcp_name))
        except OSError as error:
            log.warning("cannot send DHCP", group="net", to=_text(message.to), why=error.strerror or str(error))

    # -- the address -----------------------------------------------------------------

    async def _install(self, host: _Host) -> None:
        lease = host.client.lease
        if lease is None:
            return
        try:
            await self._do(InstallAddress(lease.address, host.ike.path.remote.address))
            host.installed = lease.address
            if lease.dns:
                domains = (lease.domain,) if lease.domain else ()
                await self._do(InstallDns(host.owner, lease.dns, domains))
        except BackendError as error:
            self._lost(host, str(error))
            return
        if host.ike.uniqueid not in self._hosts:
            self._uninstall(host)  # the SA ended meanwhile
            return
        self._former[host.connection.name] = lease.address
        self._shell.command(InnerAddress(host.ike.uniqueid, lease.address))

    def _lost(self, host: _Host, why: str) -> None:
        """There is no address, or none any more; tunnels for it end, and are tried again with another."""
        if self._hosts.pop(host.ike.uniqueid, None) is None:
            return
        log.warning("no inner address by DHCP", group="ike", connection=host.connection.name, why=why)
        self._stop(host)
        self._uninstall(host)
        self._shell.command(InnerAddress(host.ike.uniqueid, b"", why))
        for child in (*host.dhcp.values(), *host.tunnels.values()):
            self._terminate(child)
        for name in dict.fromkeys(child.name for child in host.tunnels.values()):
            again = Initiate(0, host.connection.name, name)
            self._loop.call_later(AGAIN_AFTER, self._shell.command, again)

    def _uninstall(self, host: _Host) -> None:
        if host.installed:
            self._begin(self._remove(host.installed, host.owner))
            host.installed = b""

    async def _remove(self, address: bytes, owner: str) -> None:
        try:
            await self._do(RemoveDns(owner))
            await self._do(RemoveAddress(address))
        except BackendError as error:
            log.warning("cannot remove an inner address", group="knl", address=_text(address), why=str(error))

    def _stop(self, host: _Host) -> None:
        if host.timer is not None:
            host.timer.cancel()
            host.timer = None

    def _terminate(self, child: ChildSa) -> None:
        self._shell.command(Terminate(0, Selection(child_id=child.uniqueid)))

    def _begin(self, job: Any) -> None:
        task = self._loop.create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _came_for(host: _Host, arrival: Arrival) -> bool:
    """Whether it came out of this host's DHCP SA, or by its tunnel for its address.

    The kernel lets nothing in clear pass that a tunnel's selectors cover.
    """
    mark = arrival.mark & DHCP_MARK.mask
    if mark:
        return any(child.marks.set_into.value == mark for child in host.dhcp.values())
    return (
        bool(host.installed)
        and arrival.destination == host.installed
        and _leads_to(host.tunnels.values(), arrival.source)
    )


def _leads_to(tunnels: Iterable[ChildSa], server: bytes) -> bool:
    """Whether one of the tunnels takes DHCP to that address (packed)."""
    number = int.from_bytes(server, "big")
    return any(
        selector.start <= number <= selector.end
        and selector.protocol in (0, 17)
        and selector.start_port <= SERVER_PORT <= selector.end_port
        for child in tunnels
        for selector in child.ts_remote
        if not selector.v6
    )


def _text(address: bytes) -> str:
    return str(ipaddress.ip_address(address))
