"""The IKE sockets: ports 500 and 4500, IPv4 and IPv6, each datagram with the address it came to.

They are bound to all addresses, so that an address that comes later is served
too; the packet info of each datagram tells which one was meant, and answers
leave from there. No policy holds for them (RFC 7296 §2.23 wants IKE to pass
whatever the tunnels are), and the kernel takes ESP out of the datagrams on
the NAT-T port before we see them (RFC 3948).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from ikectl.errors import BackendError
from ikectl.kernel.netlink import bypass
from ikectl.values.path import Endpoint, Path

log = structlog.get_logger(__name__)

# linux/in.h, linux/in6.h, linux/udp.h; the socket module lacks these.
IP_PKTINFO = 8
IP_MTU_DISCOVER = 10
IPV6_MTU_DISCOVER = 23
PMTUDISC_DONT = 0
UDP_ENCAP = 100
UDP_ENCAP_ESPINUDP = 2
SO_RCVBUFFORCE = 33

RECEIVE_BUFFER = 4 << 20
"""Octets: a burst of some thousand peers that come back at once."""
DATAGRAM_OCTETS = 65536
PKTINFO4 = struct.Struct("=I4s4s")  # in_pktinfo: interface, our address, address in the header
PKTINFO6 = struct.Struct("=16sI")  # in6_pktinfo: address, interface
ANCILLARY = socket.CMSG_SPACE(PKTINFO6.size) + socket.CMSG_SPACE(PKTINFO4.size)
LINK_LOCAL = b"\xfe\x80"
SCOPES = 1024
"""Link-local peers whose interface is remembered."""


@dataclass(frozen=True, slots=True)
class UdpSettings:
    """Ports of IKE and of IKE with NAT traversal; `fwmark` is set on all packets sent, 0 on none."""

    ike_port: int = 500
    natt_port: int = 4500
    fwmark: int = 0


class UdpSockets:
    """All sockets. `drain` one that is readable, `send` finds the one for a path."""

    def __init__(self, settings: UdpSettings) -> None:
        """Raises BackendError when no socket can be had for one of the ports."""
        self._sockets: dict[tuple[bool, int], socket.socket] = {}
        self._scopes: dict[bytes, int] = {}
        try:
            for port in (settings.ike_port, settings.natt_port):
                self._sockets[False, port] = _open(socket.AF_INET, port, settings)
            for port in (settings.ike_port, settings.natt_port):
                six = _open_v6(port, settings)
                if six is not None:
                    self._sockets[True, port] = six
        except BackendError:
            self.close()
            raise

    def __iter__(self) -> Iterator[socket.socket]:
        return iter(self._sockets.values())

    def close(self) -> None:
        """Close them all."""
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()

    def drain(self, sock: socket.socket, limit: int) -> Iterator[tuple[bytes, Path]]:
        """The datagrams that wait, at most `limit`."""
        port = sock.getsockname()[1]
        six = sock.family == socket.AF_INET6
        for _ in range(limit):
            try:
                data, ancillary, _, peer = sock.recvmsg(DATAGRAM_OCTETS, ANCILLARY)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of an earlier datagram
            local = _destination(ancillary, six)
            if local is None:
                continue
            remote = socket.inet_pton(sock.family, peer[0].partition("%")[0])
            if six and remote.startswith(LINK_LOCAL):
                self._remember(remote, peer[3])
            yield data, Path(Endpoint(local, port), Endpoint(remote, peer[1]))

    def send(self, data: bytes, path: Path) -> None:
        """Send from the local end of `path`. Raises OSError."""
        local, remote = path.local, path.remote
        sock = self._sockets.get((local.is_v6, local.port))
        if sock is None:
            kind = "IPv6" if local.is_v6 else "IPv4"
            raise OSError(f"no {kind} socket has port {local.port}: set local_port to the daemon's ports")
        if local.is_v6:
            scope = self._scopes.get(remote.address, 0) if remote.address.startswith(LINK_LOCAL) else 0
            info = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, PKTINFO6.pack(local.address, scope))
            sock.sendmsg(
                (data,), (info,), 0, (socket.inet_ntop(socket.AF_INET6, remote.address), remote.port, 0, scope)
            )
        else:
            info = (socket.IPPROTO_IP, IP_PKTINFO, PKTINFO4.pack(0, local.address, bytes(4)))
            sock.sendmsg((data,), (info,), 0, (socket.inet_ntoa(remote.address), remote.port))

    def _remember(self, address: bytes, interface: int) -> None:
        """On which link a link-local peer is; the oldest are forgotten."""
        self._scopes.pop(address, None)
        self._scopes[address] = interface
        if len(self._scopes) > SCOPES:
            del self._scopes[next(iter(self._scopes))]


def _destination(ancillary: list[tuple[int, int, bytes]], six: bool) -> bytes | None:
    """Our address that a datagram was sent to, packed."""
    for level, kind, octets in ancillary:
        if six and level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            return bytes(PKTINFO6.unpack_from(octets)[0])
        if not six and level == socket.IPPROTO_IP and kind == IP_PKTINFO:
            return bytes(PKTINFO4.unpack_from(octets)[1])
    return None


def _open_v6(port: int, settings: UdpSettings) -> socket.socket | None:
    """None where IPv6 is switched off."""
    try:
        probe = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        with probe:
            probe.bind(("::", 0))
    except OSError as error:
        log.info("no IPv6 here", why=str(error.strerror or error))
        return None
    return _open(socket.AF_INET6, port, settings)


def _open(family: int, port: int, settings: UdpSettings) -> socket.socket:
    """A socket as the module says. Raises BackendError."""
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            # Large messages are fragmented by IP rather than lost.
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DONT)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DONT)
        if settings.fwmark:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, settings.fwmark)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        sock.bind(("::" if family == socket.AF_INET6 else "", port))
        if port == settings.natt_port:
            _decapsulate(sock, family)
        bypass(sock)
    except (OSError, BackendError) as error:
        sock.close()
        raise BackendError(f"cannot use UDP port {port}: {_advice(error, port)}") from error
    return sock


def _decapsulate(sock: socket.socket, family: int) -> None:
    """Let the kernel take ESP from this socket; IPv6 can from Linux 5.8 on."""
    try:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
    except OSError as error:
        name = "IPv6" if family == socket.AF_INET6 else "IPv4"
        log.warning(
            f"the kernel takes no ESP in UDP over {name}: tunnels through a NAT will not carry traffic",
            why=str(error.strerror or error),
        )


def _advice(error: Exception, port: int) -> str:
    if isinstance(error, PermissionError):
        return "permission denied; ikectld needs CAP_NET_ADMIN and CAP_NET_BIND_SERVICE"
    if isinstance(error, OSError) and error.errno == 98:
        return "another program has it; stop that (strongSwan? `ss -lupn` shows it) and start again"
    return str(error)
