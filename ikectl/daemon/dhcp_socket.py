"""DhcpSocket: one UDP port of DHCP, with the packet mark of each message.

What comes out of a DHCP SA looks like any packet to this port. The kernel
marks it with the mark that its SA sets (RFC 3456 has one such SA for each
peer, all with the same selectors), and SO_RCVMARK shows the mark; what is sent
with a mark meets the policy that demands it, and so goes into the SA. A packet
without a mark came in clear.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ikectl.daemon.udp import IP_PKTINFO, PKTINFO4
from ikectl.errors import BackendError

SO_RCVMARK = 75
"""asm-generic/socket.h, Linux 5.19; the socket module lacks it."""

MARK = struct.Struct("=I")
OCTETS = 2048
"""Of one datagram that is read; longer ones are no messages of ours and are cut, which the codec refuses."""
ANCILLARY = socket.CMSG_SPACE(PKTINFO4.size) + socket.CMSG_SPACE(MARK.size)

# linux/sockios.h, linux/if.h, linux/if_arp.h
SIOCGIFFLAGS, SIOCGIFHWADDR = 0x8913, 0x8927
IFF_RUNNING = 0x40
ARPHRD_ETHER = 1
IFREQ = struct.Struct("=16s24x")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A datagram, who sent it to which address (packed), and the mark of the DHCP SA it came out of; 0: of none."""

    octets: bytes
    source: bytes
    destination: bytes
    mark: int


class DhcpSocket:
    """Bound to all addresses, for broadcasts come to none."""

    def __init__(self, port: int) -> None:
        """Raises BackendError."""
        self.port = port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            # A DHCP client or server of this host may be bound to addresses and interfaces of its own.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            self._socket.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
            self._socket.bind(("", port))
        except OSError as error:
            self._socket.close()
            raise BackendError(f"cannot use UDP port {port} for DHCP over IPsec: {_advice(error, port)}") from error

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        """Nothing comes or goes any more."""
        self._socket.close()

    def drain(self, limit: int) -> Iterator[Arrival]:
        """The datagrams that wait, at most `limit`."""
        for _ in range(limit):
            try:
                octets, ancillary, _, peer = self._socket.recvmsg(OCTETS, ANCILLARY)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of an earlier datagram
            mark, destination = 0, b""
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SO_MARK and len(data) == MARK.size:
                    (mark,) = MARK.unpack(data)
                elif level == socket.IPPROTO_IP and kind == IP_PKTINFO and len(data) == PKTINFO4.size:
                    destination = PKTINFO4.unpack(data)[2]
            yield Arrival(octets, socket.inet_aton(peer[0]), destination, mark)

    def send(
        self, octets: bytes, to: bytes, port: int, *, source: bytes = b"", mark: int = 0, interface: str = ""
    ) -> None:
        """Send from `source` (packed; empty: as routes say) to an address and port, with a mark. Raises OSError."""
        index = socket.if_nametoindex(interface) if interface else 0
        info = [(socket.IPPROTO_IP, IP_PKTINFO, PKTINFO4.pack(index, source or bytes(4), bytes(4)))]
        if mark:
            info.append((socket.SOL_SOCKET, socket.SO_MARK, MARK.pack(mark)))
        self._socket.sendmsg((octets,), info, 0, (socket.inet_ntoa(to), port))


def hardware_address() -> bytes | None:
    """Of the active LAN interface with the lowest number, else of the lowest one (RFC 3456 §4.1); None without any."""
    found: list[tuple[bool, int, bytes]] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        for index, name in socket.if_nameindex():
            try:
                family, address = struct.unpack_from("=H6s", _ask(sock, SIOCGIFHWADDR, name))
                (flags,) = struct.unpack_from("=H", _ask(sock, SIOCGIFFLAGS, name))
            except OSError:
                continue  # it is gone meanwhile
            if family == ARPHRD_ETHER and address != bytes(6):
                found.append((not flags & IFF_RUNNING, index, address))
    return min(found)[2] if found else None


def _ask(sock: socket.socket, request: int, name: str) -> bytes:
    """An ioctl about an interface: the answer behind its name. Raises OSError."""
    return fcntl.ioctl(sock, request, IFREQ.pack(name.encode()))[16:]


def _advice(error: OSError, port: int) -> str:
    if isinstance(error, PermissionError):
        return "permission denied; ikectld needs CAP_NET_ADMIN and CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRINUSE:
        return f"another program has it; `ss -lupn sport = :{port}` shows which: stop it, or bind it to its interface"
    if error.errno == errno.ENOPROTOOPT:
        return "this kernel does not tell the marks of packets; Linux 5.19 does"
    return error.strerror or str(error)
