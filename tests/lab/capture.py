"""What passes a node, recorded and counted.

A `Wire` listens on all interfaces of a namespace at once through one packet
socket and keeps what *arrives*: a packet that a router forwards counts once.
Nothing runs meanwhile; the kernel queues packets until somebody looks. The
record can be saved as a pcap file for tcpdump and Wireshark.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from tests.lab.namespaces import entered

ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 0x0003, 0x0800, 0x86DD
PACKET_OUTGOING = 4
SOL_PACKET, PACKET_STATISTICS = 263, 6
SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33
QUEUE_OCTETS = 32 << 20
LINKTYPE_RAW = 101
"""pcap: packets begin with the IP header."""

EXCHANGES = {
    34: "IKE_SA_INIT",
    35: "IKE_AUTH",
    36: "CREATE_CHILD_SA",
    37: "INFORMATIONAL",
    43: "IKE_INTERMEDIATE",
}
EXCHANGES_V1 = {2: "MAIN_MODE", 4: "AGGRESSIVE", 5: "INFORMATIONAL", 6: "TRANSACTION", 32: "QUICK_MODE"}
FRAGMENT_V1 = 132
"""IKEv1's fragment payload: the first of a message that is a piece of another."""
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 50: "esp", 51: "ah", 58: "icmp"}
IKE_HEADER = struct.Struct("!8s8sBBBBII")


@dataclass(frozen=True, slots=True)
class Packet:
    """One IP packet, as far as an IPsec test cares."""

    at: float
    """Seconds since the epoch."""

    source: str
    destination: str
    kind: str
    """ike, esp, esp-in-udp, ah, keepalive, icmp, discovery, udp, tcp, fragment, or the protocol's number."""

    data: bytes
    """From the IP header on."""

    ports: tuple[int, int] = (0, 0)
    body: bytes = b""
    """What the kind is about: the IKE message without marker, the ESP or AH packet, the ICMP message."""

    @property
    def spi(self) -> int:
        """SPI of ESP or AH."""
        return int(struct.unpack_from("!I", self.body, 4 if self.kind == "ah" else 0)[0])

    @property
    def exchange(self) -> str:
        """An IKE message's exchange and direction: "IKE_AUTH request 1", "QUICK_MODE 1f3a77c0" (IKEv1's say none)."""
        _, _, first, version, exchange, flags, message_id, _ = IKE_HEADER.unpack_from(self.body)
        if version >> 4 == 1:
            name = "FRAGMENT of " * (first == FRAGMENT_V1) + str(EXCHANGES_V1.get(exchange, exchange))
            return f"{name} {message_id:08x}" if message_id else name
        direction = "response" if flags & 0x20 else "request"
        return f"{EXCHANGES.get(exchange, exchange)} {direction} {message_id}"

    def __str__(self) -> str:
        if self.kind == "ike":
            detail = f"{self.exchange} ({len(self.body)} octets)"
        elif self.kind in ("esp", "esp-in-udp", "ah"):
            detail = f"spi {self.spi:08x} ({len(self.body)} octets)"
        else:
            detail = f"{len(self.data)} octets"
        ports = f" {self.ports[0]}>{self.ports[1]}" if self.ports != (0, 0) else ""
        return f"{self.source} > {self.destination}{ports} {self.kind} {detail}"


def read_packet(at: float, data: bytes) -> Packet:
    """Take an IPv4 or IPv6 packet apart."""
    if data[0] >> 4 == 4:
        fragment, protocol = struct.unpack_from("!HxB", data, 6)
        source, destination = ip_address(data[12:16]), ip_address(data[16:20])
        body = data[(data[0] & 0xF) * 4 : struct.unpack_from("!H", data, 2)[0]]
        partial = bool(fragment & 0x3FFF)
    else:
        protocol = data[6]
        source, destination = ip_address(data[8:24]), ip_address(data[24:40])
        body = data[40 : 40 + struct.unpack_from("!H", data, 4)[0]]
        partial = protocol == 44
    kind, ports = PROTOCOLS.get(protocol, str(protocol)), (0, 0)
    if partial:
        kind = "fragment"
    elif protocol == 58 and body[:1] and 130 <= body[0] <= 143:
        kind = "discovery"  # IPv6's own housekeeping on a link: neighbours, routers, multicast listeners
    elif kind == "udp" and len(body) >= 8:
        ports = struct.unpack_from("!HH", body)
        kind, body = _udp_kind(ports, body[8:])
    return Packet(at, str(source), str(destination), kind, data, ports, body)


def _udp_kind(ports: tuple[int, int], body: bytes) -> tuple[str, bytes]:
    """IKE and its companions on ports 500 and 4500 (RFC 3948 §2)."""
    if 500 in ports and len(body) >= IKE_HEADER.size:
        return "ike", body
    if 4500 in ports:
        if body == b"\xff":
            return "keepalive", body
        if body[:4] == bytes(4) and len(body) >= 4 + IKE_HEADER.size:
            return "ike", body[4:]
        return "esp-in-udp", body
    return "udp", body


class Wire:
    """Everything that arrives at one node from the moment this was made."""

    def __init__(self, namespace: str) -> None:
        self._packets: list[Packet] = []
        with entered(namespace):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, QUEUE_OCTETS)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.setblocking(False)

    def packets(self, *kinds: str, source: str | None = None) -> list[Packet]:
        """What arrived so far, oldest first; of these kinds and from this address only, if named."""
        self._packets.extend(self._drain())
        return [
            packet
            for packet in self._packets
            if (not kinds or packet.kind in kinds) and source in (None, packet.source)
        ]

    def forget(self) -> None:
        """Begin anew: what arrived so far does not count."""
        self.packets()
        self._packets.clear()

    def save(self, path: Path) -> None:
        """Write a pcap file."""
        with path.open("wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, LINKTYPE_RAW))
            for packet in self.packets():
                seconds, nanoseconds = divmod(int(packet.at * 1e9), 10**9)
                file.write(struct.pack("<IIII", seconds, nanoseconds, len(packet.data), len(packet.data)))
                file.write(packet.data)

    def close(self) -> None:
        """Stop listening; what was not looked at is lost."""
        self._socket.close()

    def _drain(self) -> Iterator[Packet]:
        while True:
            try:
                data, control, _, address = self._socket.recvmsg(65536, 64)
            except BlockingIOError:
                break
            _, protocol, direction = address[:3]
            if direction != PACKET_OUTGOING and protocol in (ETH_P_IP, ETH_P_IPV6) and len(data) >= 20:
                seconds, nanoseconds = struct.unpack("qq", control[0][2]) if control else (0, 0)
                yield read_packet(seconds + nanoseconds / 1e9, data)
        _, dropped = struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        if dropped:
            raise OverflowError(f"{dropped} packets were not recorded: look more often or make QUEUE_OCTETS larger")
