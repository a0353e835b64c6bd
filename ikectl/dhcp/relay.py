"""Relay: the gateway's DHCP relay agent (RFC 3456 §4.2, RFC 3046, RFC 1542 §4.1). Sans-IO.

Every DHCP SA ends in a circuit. What comes out of a circuit is a client's and
is not trusted; what goes to the server says which circuit it came from, in an
option that the server sends back. A reply is taken only for a question that
is open on that circuit.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ikectl.dhcp.leases import Holder, Lease, Leases, NotRelayed, Upstream
from ikectl.dhcp.message import BROADCAST_FLAG, REPLY, REQUEST, UNSPECIFIED, DhcpMessage
from ikectl.iana.dhcp import MessageType, Option, RelaySuboption

BROADCAST = b"\xff" * 4

FROM_CLIENTS = frozenset(
    {MessageType.DISCOVER, MessageType.REQUEST, MessageType.DECLINE, MessageType.RELEASE, MessageType.INFORM}
)
FROM_SERVERS = frozenset({MessageType.OFFER, MessageType.ACK, MessageType.NAK})

MAX_HOPS = 4
"""Relay agents that a request may have passed already (RFC 1542 §4.1.1 proposes 4)."""

MAX_OPEN = 8
"""Transactions open at once on one circuit. A client has one; the oldest gives way."""

OPEN_FOR = 60.0
"""Seconds in which a server may answer: clients repeat after 4 to 64 (RFC 2131 §4.1)."""

BURST, PER_SECOND = 16, 0.5
"""Messages that one circuit may send at once, and for long: against the exhaustion of the server (RFC 3456 §5)."""

MAX_REMOTE_ID_OCTETS = 128
"""Of the peer's identity in the relay agent information; a distinguished name may be longer, and is cut."""


__all__ = ["Circuit", "Relay", "ToClient", "ToServer", "Upstream"]


@dataclass(slots=True, eq=False)
class Circuit:
    """One DHCP SA as the relay agent sees it; or several, if one IKE SA has several.

    `number` names it to the server, `ike` is the unique id of its IKE SA.
    """

    number: int
    ike: int
    identity: str
    server: Upstream
    client: bytes = b""
    """What its client calls itself; fixed by the first message."""
    hardware: tuple[int, bytes] = (0, b"")
    open: dict[int, float] = field(default_factory=dict)
    """xid -> until when a reply is taken."""
    credit: float = BURST
    credited_at: float = 0.0

    @property
    def information(self) -> bytes:
        """The relay agent information option: circuit id (the number, RFC 3456 §4.2) and remote id (the identity)."""
        identity = self.identity.encode()[:MAX_REMOTE_ID_OCTETS]
        number = self.number.to_bytes(4, "big")
        return (
            bytes((RelaySuboption.CIRCUIT_ID, len(number)))
            + number
            + bytes((RelaySuboption.REMOTE_ID, len(identity)))
            + identity
        )

    @property
    def holder(self) -> Holder:
        return Holder(self.ike, self.identity, self.client)

    def spend(self, now: float) -> bool:
        """Whether one more message may pass now."""
        self.credit = min(BURST, self.credit + (now - self.credited_at) * PER_SECOND)
        self.credited_at = now
        if self.credit < 1:
            return False
        self.credit -= 1
        return True

    def expect(self, xid: int, now: float) -> None:
        """A reply to `xid` is awaited from now on."""
        self.open = {open_: until for open_, until in self.open.items() if until > now and open_ != xid}
        if len(self.open) >= MAX_OPEN:
            del self.open[next(iter(self.open))]
        self.open[xid] = now + OPEN_FOR


@dataclass(frozen=True, slots=True)
class ToServer:
    """To be sent to `server` from its giaddr, port 67 both; `ended` is a lease given back."""

    octets: bytes
    server: Upstream
    type: MessageType
    ended: Lease | None = None


@dataclass(frozen=True, slots=True)
class ToClient:
    """To be sent into the SA of circuit `number`, from port 67 to `destination` port 68.

    `lease` is what the message grants; `ended` are leases that it ends.
    """

    number: int
    octets: bytes
    destination: bytes
    type: MessageType
    lease: Lease | None = None
    ended: tuple[Lease, ...] = ()


class Relay:
    """All circuits of one gateway, and the leases seen on them."""

    def __init__(self) -> None:
        self.leases = Leases()
        self._circuits: dict[int, Circuit] = {}

    def open(self, number: int, ike: int, identity: str, server: Upstream, now: float) -> Circuit:
        """A DHCP SA stands. A second one of the same number is the same circuit."""
        circuit = self._circuits.get(number)
        if circuit is None:
            circuit = Circuit(number, ike, identity, server, credited_at=now)
            self._circuits[number] = circuit
        return circuit

    def close(self, number: int) -> None:
        """The last DHCP SA of the number is gone; nothing passes any more."""
        self._circuits.pop(number, None)

    def circuit(self, number: int) -> Circuit | None:
        """The circuit of that number."""
        return self._circuits.get(number)

    def ike_moved(self, old: int, new: int) -> Lease | None:
        """IKE SA `new` took over from `old`, with its circuits and its lease, which is returned."""
        for circuit in self._circuits.values():
            if circuit.ike == old:
                circuit.ike = new
        return self.leases.ike_moved(old, new)

    # -- client to server ------------------------------------------------------

    def from_client(self, number: int, octets: bytes, now: float) -> ToServer:
        """What becomes of a message that came out of the SA. Raises NotRelayed, WireError."""
        circuit = self._circuits.get(number)
        if circuit is None:
            raise NotRelayed("it came out of no DHCP SA")
        if not circuit.spend(now):
            raise NotRelayed("the client sends too many")
        message = DhcpMessage.read(octets)
        kind = self._check_client(circuit, message)
        if not circuit.client:
            circuit.client, circuit.hardware = message.client, (message.htype, message.hardware)
        self.leases.permit(circuit.holder)
        ended = None
        if kind is MessageType.RELEASE:
            ended = self.leases.surrender(circuit.holder, message.ciaddr)
        elif kind is MessageType.DECLINE:
            ended = self.leases.surrender(circuit.holder, message.address(Option.REQUESTED_ADDRESS) or b"")
        else:
            circuit.expect(message.xid, now)
        information = (int(Option.RELAY_AGENT_INFORMATION), circuit.information)
        relayed = replace(
            message, hops=message.hops + 1, giaddr=circuit.server.giaddr, options=(*message.options, information)
        )
        return ToServer(relayed.write(), circuit.server, kind, ended)

    def _check_client(self, circuit: Circuit, message: DhcpMessage) -> MessageType:
        """The message's type, if it may pass. Raises NotRelayed."""
        kind = message.type
        if message.op != REQUEST or kind not in FROM_CLIENTS:
            raise NotRelayed(f"{message} is nothing that a client sends")
        assert kind is not None
        if message.giaddr != UNSPECIFIED or message.option(Option.RELAY_AGENT_INFORMATION) is not None:
            # RFC 3046 §2.1: a client that plays relay agent could name another's circuit.
            raise NotRelayed(f"{message} pretends to come from another relay agent")
        if message.hops >= MAX_HOPS:
            raise NotRelayed(f"{message} passed {message.hops} relay agents")
        if circuit.client and (message.client, (message.htype, message.hardware)) != (circuit.client, circuit.hardware):
            # RFC 3456 §4.1: the same chaddr and identifier in all messages.
            raise NotRelayed(f"{message} is of another client than the first message of this SA")
        return kind

    # -- server to client ------------------------------------------------------

    def from_server(self, octets: bytes, source: bytes, now: float) -> ToClient:
        """What becomes of a message that `source` (packed) sent to the relay agent. Raises NotRelayed, WireError."""
        message = DhcpMessage.read(octets)
        kind = message.type
        if message.op != REPLY or kind not in FROM_SERVERS:
            raise NotRelayed(f"{message} is nothing that a server sends")
        assert kind is not None
        circuit = self._circuit_of(message, source, now)
        lease, ended = None, []
        if kind is MessageType.ACK and message.yiaddr != UNSPECIFIED and message.number(Option.LEASE_TIME):
            if not is_unicast(message.yiaddr):
                raise NotRelayed(f"{message} grants no address that a host can have")
            ended = self.leases.grant(circuit.holder, message, circuit.server, now)
            lease = self.leases.at(message.yiaddr)
        if kind in (MessageType.ACK, MessageType.NAK):
            circuit.open.pop(message.xid, None)
        # RFC 3046 §2.1: the option was the relay agent's and is not the client's.
        options = tuple(option for option in message.options if option[0] != Option.RELAY_AGENT_INFORMATION)
        plain = replace(message, options=options).write()
        return ToClient(circuit.number, plain, _destination(message, kind), kind, lease, tuple(ended))

    def _circuit_of(self, message: DhcpMessage, source: bytes, now: float) -> Circuit:
        """Whose question this answers. Raises NotRelayed."""
        information = message.option(Option.RELAY_AGENT_INFORMATION)
        named = None if information is None else self._circuits.get(int.from_bytes(information[2:6], "big"))
        fitting = [
            circuit
            for circuit in (self._circuits.values() if named is None else (named,))
            if circuit.open.get(message.xid, 0.0) > now
            and circuit.hardware[1] == message.hardware
            and (circuit.server.address, circuit.server.giaddr) == (source, message.giaddr)
        ]
        if information is not None:
            # RFC 3046 §2.2: the server sends it back as it was.
            fitting = [circuit for circuit in fitting if circuit.information == information]
        if len(fitting) != 1:
            # Without the option, xid and chaddr have to do (RFC 3456 §4.2); where these are not clear, nobody gets it.
            raise NotRelayed(f"{message} answers {'several clients' if fitting else 'no open question'}")
        return fitting[0]


def _destination(message: DhcpMessage, kind: MessageType) -> bytes:
    """Where the client can receive it (RFC 2131 §4.1)."""
    if kind is MessageType.NAK or message.flags & BROADCAST_FLAG:
        return BROADCAST
    if message.ciaddr != UNSPECIFIED:
        return message.ciaddr
    return message.yiaddr if is_unicast(message.yiaddr) else BROADCAST


def is_unicast(address: bytes) -> bool:
    """Whether a host can have this IPv4 address: not 0/8, 127/8, multicast, reserved or broadcast."""
    return address[0] not in (0, 127) and address[0] < 224
