"""RelayAgent: the gateway's side of DHCP over IPsec (RFC 3456 §4.2): port 67, and what becomes of the SAs.

Judgement is in `dhcp/relay.py`. Here events of the engine open and close
circuits, messages pass between the SAs and the server, and what the server
granted is told to the engine before the client hears of it.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from typing import Protocol

import structlog

from ikectl.config.model import DHCP_MARK
from ikectl.daemon.dhcp_socket import Arrival, DhcpSocket
from ikectl.dhcp.leases import Lease
from ikectl.dhcp.relay import Relay, ToClient, ToServer, Upstream
from ikectl.engine.commands import Command, InnerAddress, Selection, Terminate
from ikectl.errors import BackendError, IkectlError
from ikectl.exchange.v1.dhcp import is_dhcp
from ikectl.sa.association import Association
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.events import ChildDown, ChildRekeyed, ChildUp, Event, IkeDown, IkeRekeyed
from ikectl.values.selector import TrafficSelector

log = structlog.get_logger(__name__)

CLIENT_PORT, SERVER_PORT = 68, 67
MESSAGES_A_TURN = 32
"""Taken from the socket before others have their turn."""


class Commander(Protocol):
    """The part of the shell that is needed here."""

    @property
    def now(self) -> float: ...

    def command(self, command: Command) -> None: ...


class RelayAgent:
    """One for the daemon; it has a socket from the first DHCP SA on.

    `source` tells the address we would send from to a remote one (packed both),
    `random` gives unpredictable octets.
    """

    def __init__(self, shell: Commander, source: Callable[[bytes], bytes], random: Callable[[int], bytes]) -> None:
        self._shell = shell
        self._source = source
        self._random = random
        self._relay = Relay()
        self._socket: DhcpSocket | None = None
        self._dhcp: dict[int, dict[int, ChildSa]] = {}
        """DHCP SAs that stand: by mark, then unique id."""
        self._tunnels: dict[int, ChildSa] = {}
        """Children for leased addresses, by unique id."""

    def close(self) -> None:
        """Relay nothing any more; addresses that are still leased are given back."""
        for lease in self._relay.leases.end():
            self._give_back(lease)
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    # -- what becomes of the SAs -------------------------------------------------

    def observe(self, event: Event) -> None:
        """An event of the engine."""
        match event:
            case ChildUp(sa, child):
                if _relays(sa):
                    self._child_up(sa, child)
            case ChildRekeyed(sa, old, new):
                if is_dhcp(new.config):
                    if _relays(sa):
                        self._child_up(sa, new)
                elif old.uniqueid in self._tunnels:
                    self._tunnel_up(new)
                    self._tunnel_down(old)
            case ChildDown(_, child):
                self._child_down(child)
            case IkeRekeyed(sa, new):
                self._ike_moved(sa.uniqueid, new)
            case IkeDown(sa, _):
                self._ike_down(sa)

    def _child_up(self, sa: Association, child: ChildSa) -> None:
        if not is_dhcp(child.config):
            if self._tunnel_up(child):
                self._end_dhcp(sa.uniqueid)
            return
        assert sa.connection is not None and sa.connection.dhcp is not None
        settings = sa.connection.dhcp
        try:
            if child.path.local.is_v6 and not settings.giaddr:
                raise BackendError("DHCP over IPsec between IPv6 addresses needs dhcp_giaddr: answers come from there")
            self._listen()
            giaddr = settings.giaddr or self._source(settings.server)
        except BackendError as error:
            log.error(str(error), group="net")
            self._terminate(child)
            return
        mark = child.marks.set_into.value
        self._dhcp.setdefault(mark, {})[child.uniqueid] = child
        server = Upstream(settings.server, giaddr, settings.interface)
        self._relay.open(mark, sa.uniqueid, _identity(sa), server, self._shell.now)

    def _child_down(self, child: ChildSa) -> None:
        mark = child.marks.set_into.value
        standing = self._dhcp.get(mark)
        if standing is not None and standing.pop(child.uniqueid, None) is not None:
            if not standing:
                del self._dhcp[mark]
                self._relay.close(mark)
        else:
            self._tunnel_down(child)

    def _tunnel_up(self, child: ChildSa) -> bool:
        address = single(child.ts_remote)
        leased = address is not None and self._relay.leases.child_up(address, child.uniqueid)
        if leased:
            self._tunnels[child.uniqueid] = child
        return leased

    def _tunnel_down(self, child: ChildSa) -> None:
        if self._tunnels.pop(child.uniqueid, None) is not None:
            self._ended(self._relay.leases.child_gone(child.uniqueid))

    def _end_dhcp(self, ike: int) -> None:
        """The tunnel stands: the DHCP SAs of that peer have served (RFC 3456 §4.4)."""
        for standing in list(self._dhcp.values()):
            for child in list(standing.values()):
                if child.ike.uniqueid == ike:
                    self._terminate(child)

    def _ike_moved(self, old: int, new: Association) -> None:
        lease = self._relay.ike_moved(old, new.uniqueid)
        if lease is not None:
            self._shell.command(InnerAddress(new.uniqueid, lease.address))

    def _ike_down(self, sa: Association) -> None:
        for standing in list(self._dhcp.values()):
            for child in [each for each in standing.values() if each.ike is sa]:
                self._child_down(child)
        lease = self._relay.leases.of(sa.uniqueid)
        for number in lease.children if lease is not None else ():
            # IKEv1's children outlive their IKE SA where another one of the same peer takes them over.
            tunnel = self._tunnels.get(number)
            if tunnel is not None and tunnel.ike is not sa:
                self._ike_moved(sa.uniqueid, tunnel.ike)
                break
        self._ended(self._relay.leases.ike_gone(sa.uniqueid))

    def _ended(self, lease: Lease | None) -> None:
        if lease is not None:
            self._give_back(lease)

    # -- messages -------------------------------------------------------------------

    def _listen(self) -> None:
        """Raises BackendError."""
        if self._socket is None:
            self._socket = DhcpSocket(SERVER_PORT)
            asyncio.get_running_loop().add_reader(self._socket, self._readable, self._socket)

    def _readable(self, sock: DhcpSocket) -> None:
        for arrival in sock.drain(MESSAGES_A_TURN):
            number = arrival.mark & DHCP_MARK.mask
            try:
                if number:
                    self._to_server(self._relay.from_client(number, arrival.octets, self._shell.now))
                else:
                    self._to_client(self._relay.from_server(arrival.octets, arrival.source, self._shell.now))
            except IkectlError as refusal:
                self._refused(arrival, number, refusal)

    def _refused(self, arrival: Arrival, number: int, refusal: IkectlError) -> None:
        circuit = self._relay.circuit(number)
        peer = circuit.identity if circuit is not None else _text(arrival.source)
        log.debug("a DHCP message was not relayed", group="net", peer=peer, why=str(refusal))

    def _to_server(self, message: ToServer) -> None:
        if message.ended is not None:
            self._forget(message.ended, f"the client sent {message.type}")
        self._send(message.octets, message.server.address, SERVER_PORT, message.server.giaddr, message.server.interface)

    def _to_client(self, message: ToClient) -> None:
        for ended in message.ended:
            self._forget(ended, "the server gave the client another address, or the address another client")
        standing = list(self._dhcp.get(message.number, {}).values())
        circuit = self._relay.circuit(message.number)
        if not standing or circuit is None:
            return
        lease = message.lease
        if lease is not None:
            # The engine has to know first: the client begins its tunnel as soon as it has the ACK.
            self._shell.command(InnerAddress(circuit.ike, lease.address))
            log.info("an inner address was leased", group="ike", address=_text(lease.address), peer=lease.identity)
        local = standing[-1].path.local
        source = circuit.server.giaddr if local.is_v6 else local.address
        self._send(message.octets, message.destination, CLIENT_PORT, source, mark=message.number)

    def _send(self, octets: bytes, to: bytes, port: int, source: bytes, interface: str = "", mark: int = 0) -> None:
        if self._socket is None:
            return
        try:
            self._socket.send(octets, to, port, source=source, mark=mark, interface=interface)
        except OSError as error:
            log.warning("cannot send DHCP", group="net", to=_text(to), why=error.strerror or str(error))

    def _give_back(self, lease: Lease) -> None:
        """Nothing of the peer is left: the server gets the address back."""
        message = lease.release(int.from_bytes(self._random(4), "big"))
        log.info("an inner address is given back", group="ike", address=_text(lease.address), peer=lease.identity)
        server = lease.server
        self._send(message.write(), server.address, SERVER_PORT, server.giaddr, server.interface)

    def _forget(self, lease: Lease, why: str) -> None:
        """The address is no longer that peer's: neither is a tunnel for it."""
        log.info("an inner address is no longer leased", group="ike", address=_text(lease.address), why=why)
        for ike in lease.ikes:
            self._shell.command(InnerAddress(ike, b""))
        for number in lease.children:
            child = self._tunnels.pop(number, None)
            if child is not None:
                self._terminate(child)

    def _terminate(self, child: ChildSa) -> None:
        self._shell.command(Terminate(0, Selection(child_id=child.uniqueid)))


def single(selectors: tuple[TrafficSelector, ...]) -> bytes | None:
    """The IPv4 address (packed) that all selectors are about; None when there are several."""
    addresses = {(one.start, one.end, one.v6) for one in selectors}
    if len(addresses) != 1:
        return None
    start, end, v6 = addresses.pop()
    return start.to_bytes(4, "big") if start == end and not v6 else None


def _relays(sa: Association) -> bool:
    connection = sa.connection
    return connection is not None and connection.dhcp is not None and not connection.dhcp.client


def _identity(sa: Association) -> str:
    """Who the peer is, as far as it proved that: its identity, and the user that logged in."""
    user = getattr(sa, "user", "")
    return f"{sa.remote_id}/{user}" if user else str(sa.remote_id)


def _text(address: bytes) -> str:
    return str(ipaddress.ip_address(address))
