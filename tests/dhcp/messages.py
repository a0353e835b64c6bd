"""Messages as clients and servers send them, and a small server."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ikectl.dhcp.message import REPLY, REQUEST, UNSPECIFIED, DhcpMessage
from ikectl.iana.dhcp import MessageType, Option

SERVER = bytes((10, 1, 0, 10))
RELAY = bytes((10, 1, 0, 1))
CHADDR = bytes.fromhex("020000000001")

DISCOVER = DhcpMessage(
    REQUEST,
    0x11223344,
    ((Option.MESSAGE_TYPE, bytes((MessageType.DISCOVER,))), (Option.CLIENT_ID, b"\0carol")),
    htype=31,
    hlen=6,
    chaddr=CHADDR.ljust(16, b"\0"),
    flags=0x8000,
)


def typed(message: DhcpMessage, kind: MessageType, *options: tuple[int, bytes]) -> DhcpMessage:
    """The same message, of another type and with more options."""
    rest = tuple(option for option in message.options if option[0] != Option.MESSAGE_TYPE)
    return replace(message, options=((Option.MESSAGE_TYPE, bytes((kind,))), *rest, *options))


def reply(
    request: DhcpMessage,
    kind: MessageType,
    address: bytes = UNSPECIFIED,
    lease: int = 3600,
    *,
    echo: bool = True,
    server: bytes = SERVER,
) -> DhcpMessage:
    """A server's reply, with the relay agent information as it came (RFC 3046 §2.2)."""
    options = [(int(Option.MESSAGE_TYPE), bytes((kind,))), (int(Option.SERVER_ID), server)]
    if kind is not MessageType.NAK and address != UNSPECIFIED:
        options.append((Option.LEASE_TIME, lease.to_bytes(4, "big")))
    information = request.option(Option.RELAY_AGENT_INFORMATION)
    if echo and information is not None:
        options.append((Option.RELAY_AGENT_INFORMATION, information))
    return replace(request, op=REPLY, hops=0, secs=0, yiaddr=address, options=tuple(options))


@dataclass
class Server:
    """Leases addresses of a range to clients, one each, for ever the same."""

    first: bytes = bytes((10, 1, 0, 100))
    size: int = 50
    lease: int = 3600
    echo: bool = True
    held: dict[bytes, bytes] = field(default_factory=dict)
    """Client -> address."""
    released: list[bytes] = field(default_factory=list)

    def answer(self, octets: bytes) -> bytes | None:
        request = DhcpMessage.read(octets)
        if request.type is MessageType.RELEASE:
            assert self.held.pop(request.client) == request.ciaddr
            self.released.append(request.ciaddr)
            return None
        address = self.held.get(request.client) or self._free()
        if request.type is MessageType.DISCOVER:
            return reply(request, MessageType.OFFER, address, self.lease, echo=self.echo).write()
        wanted = request.address(Option.REQUESTED_ADDRESS) or request.ciaddr
        if wanted != address:
            return reply(request, MessageType.NAK, echo=self.echo).write()
        self.held[request.client] = address
        return reply(request, MessageType.ACK, address, self.lease, echo=self.echo).write()

    def _free(self) -> bytes:
        start = int.from_bytes(self.first, "big")
        addresses = ((start + number).to_bytes(4, "big") for number in range(self.size))
        return next(address for address in addresses if address not in self.held.values())
