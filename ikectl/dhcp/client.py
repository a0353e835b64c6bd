"""DhcpClient: the remote host's DHCP client (RFC 2131 §4.4, RFC 3456 §4). Sans-IO.

Three inputs (`start`, `receive`, `tick`), each of which returns what is to be
done, and `deadline()`. Broadcasts belong into the DHCP SA; what is sent to the
server's own address belongs into the tunnel (RFC 3456 §4.4).

There is no DHCPRELEASE here: by the time that an SA is known to end there is
nothing left to send it through, and the gateway gives the address back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ikectl.dhcp.leases import FOREVER
from ikectl.dhcp.message import BROADCAST_FLAG, REPLY, REQUEST, UNSPECIFIED, DhcpMessage
from ikectl.dhcp.relay import BROADCAST, is_unicast
from ikectl.errors import WireError
from ikectl.iana.dhcp import HardwareType, MessageType, Option

FIRST_WAIT, LAST_WAIT = 4.0, 64.0
"""Seconds before a message is repeated, doubled each time (RFC 2131 §4.1)."""

JITTER = 1.0
"""Seconds by which a wait is longer or shorter, so that clients do not repeat in step (RFC 2131 §4.1)."""

TRIES = 4
"""Messages of one kind before the client gives up: a minute in all, as in the example of RFC 2131 §4.1."""

RESTARTS = 3
"""Times that a server may take back its offer before the client gives up."""

MIN_RENEWAL_WAIT = 60.0
"""Seconds between repeated renewals at least (RFC 2131 §4.4.5)."""

MIN_LEASE = 30
"""Seconds. A shorter lease would have the tunnel made anew all the time."""

MAX_SIZE = 1400
"""Octets of the largest message that is taken: fits into a packet of the SA."""

WANTED = (
    Option.DOMAIN_NAME_SERVER,
    Option.DOMAIN_NAME,
    Option.LEASE_TIME,
    Option.RENEWAL_TIME,
    Option.REBINDING_TIME,
)

IDENTIFIER = b"\x00"
"""Type octet of a client identifier that is no hardware address (RFC 2132 §9.14)."""

MAX_IDENTIFIER_OCTETS = 255


class State(Enum):
    """The states of RFC 2131 §4.4 that a client without a store goes through."""

    INIT = "INIT"
    SELECTING = "SELECTING"
    REQUESTING = "REQUESTING"
    BOUND = "BOUND"
    RENEWING = "RENEWING"
    REBINDING = "REBINDING"
    ENDED = "ENDED"


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """By what a server knows the client. `chaddr` has 6 or 7 octets, `identifier` is the content of option 61."""

    chaddr: bytes
    identifier: bytes

    @classmethod
    def of(cls, hardware: bytes | None, outer: bytes, name: str) -> ClientIdentity:
        """As RFC 3456 §4.1 says.

        `hardware` is the address of a LAN interface, if there is one; else the
        outer IPv4 address (packed) makes a locally administered one. `name` is
        unique to the client (our IKE identity and the connection's name).
        """
        chaddr = hardware if hardware is not None and len(hardware) == 6 else b"\x40\x00" + outer[-4:] + b"\x00"
        return cls(chaddr, (IDENTIFIER + name.encode())[:MAX_IDENTIFIER_OCTETS])


@dataclass(frozen=True, slots=True)
class Granted:
    """What the server granted. Addresses are packed, `until` is an instant in monotonic seconds."""

    address: bytes
    server: bytes
    dns: tuple[bytes, ...]
    domain: str
    until: float
    renew_at: float
    rebind_at: float


@dataclass(frozen=True, slots=True)
class Send:
    """To be sent from port 68 to port 67 of `to` (packed): a broadcast into the DHCP SA, else by the tunnel."""

    octets: bytes
    to: bytes
    type: MessageType


@dataclass(frozen=True, slots=True)
class Bound:
    """The address is ours; `renewed` says that it was before."""

    lease: Granted
    renewed: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """There is no lease, or none any more, and the client does nothing further."""

    why: str


Output = Send | Bound | Ended


class DhcpClient:
    """One client for one SA; after `Ended` it is of no further use.

    `random` gives unpredictable octets. `wanted` is an address to ask for
    first, one that was ours before.
    """

    def __init__(self, identity: ClientIdentity, random: Callable[[int], bytes], wanted: bytes = b"") -> None:
        self.identity = identity
        self.state = State.INIT
        self.lease: Granted | None = None
        self.direct = True
        """Whether the tunnel leads to the server, so that renewals go to it; else they are broadcast."""
        self._random = random
        self._wanted = wanted
        self._xid = 0
        self._offer: DhcpMessage | None = None
        self._began_at = 0.0
        self._tries = 0
        self._restarts = 0
        self._due: float | None = None
        self._sent_at = 0.0
        """A lease counts from when it was asked for (RFC 2131 §4.4.1)."""

    def deadline(self) -> float | None:
        """When `tick` is due."""
        return self._due

    def start(self, now: float) -> list[Output]:
        """Look for servers."""
        self.state = State.SELECTING
        self._offer = None
        self._xid = int.from_bytes(self._random(4), "big")
        self._began_at = now
        self._tries = 0
        return self._send(now)

    def tick(self, now: float) -> list[Output]:
        """What is due: a repetition, a renewal, or the end."""
        if self._due is None or now < self._due or self.state is State.ENDED:
            return []
        if self.lease is not None:
            return self._age(self.lease, now)
        if self._tries >= TRIES:
            if self.state is State.REQUESTING and self._restarts < RESTARTS:
                return self._restart(now)
            return self._end(f"no DHCP server answered {self._tries} times; see that the gateway's relay reaches one")
        return self._send(now)

    def receive(self, octets: bytes, now: float) -> list[Output]:
        """A message came; what is not for us, or fits nothing, is ignored (RFC 2131 §4.4.1)."""
        try:
            message = DhcpMessage.read(octets)
        except WireError:
            return []
        if message.op != REPLY or message.xid != self._xid or message.hardware != self.identity.chaddr:
            return []
        kind = message.type
        if self.state is State.SELECTING and kind is MessageType.OFFER:
            return self._offered(message, now)
        if self.state in (State.REQUESTING, State.RENEWING, State.REBINDING):
            if kind is MessageType.ACK:
                return self._acknowledged(message, now)
            if kind is MessageType.NAK:
                return self._refused(message, now)
        return []

    # -- what came -------------------------------------------------------------

    def _offered(self, offer: DhcpMessage, now: float) -> list[Output]:
        """The first good offer is taken."""
        if offer.address(Option.SERVER_ID) is None or not is_unicast(offer.yiaddr):
            return []
        self._offer = offer
        self.state = State.REQUESTING
        self._tries = 0
        return self._send(now)

    def _acknowledged(self, ack: DhcpMessage, now: float) -> list[Output]:
        expected = self.lease.address if self.lease is not None else self._offer.yiaddr if self._offer else b""
        granted = self._granted(ack, now)
        if granted is None or granted.address != expected:
            return []
        renewed = self.lease is not None
        self.lease = granted
        self.state = State.BOUND
        self._restarts = 0
        self._due = None if granted.until == float("inf") else granted.renew_at
        return [Bound(granted, renewed)]

    def _refused(self, nak: DhcpMessage, now: float) -> list[Output]:
        if self.lease is not None:
            return self._end("the DHCP server took the address back")
        if self._offer is not None and nak.address(Option.SERVER_ID) != self._offer.address(Option.SERVER_ID):
            return []
        if self._restarts >= RESTARTS:
            return self._end("the DHCP server offers addresses and refuses them")
        return self._restart(now)

    def _granted(self, ack: DhcpMessage, now: float) -> Granted | None:
        """None for an ACK that is no lease, or one for too short a time to live with."""
        server = ack.address(Option.SERVER_ID)
        seconds = ack.number(Option.LEASE_TIME)
        if server is None or seconds is None or seconds < MIN_LEASE or not is_unicast(ack.yiaddr):
            return None
        began = self._sent_at
        renewal = ack.number(Option.RENEWAL_TIME) or seconds // 2  # RFC 2131 §4.4.5
        rebinding = ack.number(Option.REBINDING_TIME) or seconds * 7 // 8
        if not 0 < renewal < rebinding < seconds:
            renewal, rebinding = seconds // 2, seconds * 7 // 8
        forever = seconds == FOREVER
        return Granted(
            ack.yiaddr,
            server,
            ack.addresses(Option.DOMAIN_NAME_SERVER),
            (ack.option(Option.DOMAIN_NAME) or b"").rstrip(b"\0").decode("ascii", "replace"),
            float("inf") if forever else began + seconds,
            float("inf") if forever else max(began + renewal, now),
            float("inf") if forever else began + rebinding,
        )

    # -- time --------------------------------------------------------------------

    def _age(self, lease: Granted, now: float) -> list[Output]:
        """Renew, then ask anybody, then give up (RFC 2131 §4.4.5)."""
        if now >= lease.until:
            return self._end("the lease expired: no DHCP server renewed it")
        if self.state is State.BOUND:
            self._xid = int.from_bytes(self._random(4), "big")
            self._began_at = now
        self.state = State.REBINDING if now >= lease.rebind_at else State.RENEWING
        limit = lease.until if self.state is State.REBINDING else lease.rebind_at
        wait = max((limit - now) / 2, MIN_RENEWAL_WAIT)
        self._due = min(now + wait, limit)
        self._sent_at = now
        to = lease.server if self.state is State.RENEWING and self.direct else BROADCAST
        return [self._message(MessageType.REQUEST, to, self._usual(), now, ciaddr=lease.address)]

    def _send(self, now: float) -> list[Output]:
        """The message of the state, with the next repetition planned."""
        wait = min(FIRST_WAIT * 2**self._tries, LAST_WAIT)
        wait += (int.from_bytes(self._random(2), "big") / 0xFFFF * 2 - 1) * JITTER
        self._tries += 1
        self._due = now + wait
        self._sent_at = now
        if self.state is State.SELECTING:
            options = (*self._usual(), *((self._address_option(self._wanted),) if self._wanted else ()))
            return [self._message(MessageType.DISCOVER, BROADCAST, options, now)]
        assert self._offer is not None
        server = self._offer.address(Option.SERVER_ID)
        assert server is not None
        options = (self._address_option(self._offer.yiaddr), self._server_option(server), *self._usual())
        return [self._message(MessageType.REQUEST, BROADCAST, options, now)]

    def _restart(self, now: float) -> list[Output]:
        self._restarts += 1
        self._wanted = b""
        return self.start(now)

    def _end(self, why: str) -> list[Output]:
        self.state = State.ENDED
        self.lease = None
        self._due = None
        return [Ended(why)]

    # -- messages ----------------------------------------------------------------

    def _usual(self) -> tuple[tuple[int, bytes], ...]:
        return (
            (int(Option.PARAMETER_LIST), bytes(WANTED)),
            (int(Option.MAX_MESSAGE_SIZE), MAX_SIZE.to_bytes(2, "big")),
        )

    @staticmethod
    def _address_option(address: bytes) -> tuple[int, bytes]:
        return int(Option.REQUESTED_ADDRESS), address

    @staticmethod
    def _server_option(address: bytes) -> tuple[int, bytes]:
        return int(Option.SERVER_ID), address

    def _message(
        self,
        kind: MessageType,
        to: bytes,
        options: tuple[tuple[int, bytes], ...],
        now: float,
        *,
        ciaddr: bytes = UNSPECIFIED,
    ) -> Send:
        """A message of ours: hardware type 31, and the same chaddr and identifier always (RFC 3456 §4.1)."""
        message = DhcpMessage(
            REQUEST,
            self._xid,
            ((int(Option.MESSAGE_TYPE), bytes((kind,))), (int(Option.CLIENT_ID), self.identity.identifier), *options),
            htype=HardwareType.IPSEC_TUNNEL,
            hlen=len(self.identity.chaddr),
            chaddr=self.identity.chaddr.ljust(16, b"\0"),
            secs=min(int(now - self._began_at), 0xFFFF),
            # Through the DHCP SA nothing comes in for an inner address.
            flags=BROADCAST_FLAG if to == BROADCAST else 0,
            ciaddr=ciaddr,
        )
        return Send(message.write(), to, kind)
