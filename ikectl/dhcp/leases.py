"""Leases: which address the DHCP server gave to which peer, and what still holds it.

The server alone gives addresses. What is kept here is what the gateway saw
pass by (RFC 3456 §4.2: it learns the client's address from the DHCPACK), so
that a tunnel for an address is set up for that very peer only, and the
address goes back when nothing of the peer is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ikectl.dhcp.message import REQUEST, UNSPECIFIED, DhcpMessage
from ikectl.errors import IkectlError
from ikectl.iana.dhcp import MessageType, Option

FOREVER = 0xFFFFFFFF
"""Of a lease time: it does not end (RFC 2131 §3.3)."""


class NotRelayed(IkectlError):
    """A DHCP message goes no further; the text says why."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """The DHCP server (packed), our address towards it, by which it tells networks apart, and by which interface."""

    address: bytes
    giaddr: bytes
    interface: str = ""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who asks: an IKE SA (its unique id) of a peer, and by what the server knows the client."""

    ike: int
    identity: str
    """Of the peer, authenticated."""
    client: bytes
    """`DhcpMessage.client`."""


@dataclass(slots=True, eq=False)
class Lease:
    """An address with its owner. It lives while one of `ikes` and `children` (unique ids) does."""

    address: bytes
    identity: str
    client: bytes
    ack: DhcpMessage
    """As the server sent it."""
    server: Upstream
    until: float
    """Monotonic seconds, as far as we saw: a client renews by its tunnel, past the relay agent (RFC 3456 §4.4)."""
    ikes: list[int] = field(default_factory=list)
    children: list[int] = field(default_factory=list)

    @property
    def held(self) -> bool:
        """Whether something of the peer still stands."""
        return bool(self.ikes or self.children)

    def release(self, xid: int, options: Sequence[tuple[int, bytes]] = ()) -> DhcpMessage:
        """What gives the address back in the client's name (RFC 2131 §4.4.6), as a relay agent sends it."""
        identifier = self.ack.option(Option.SERVER_ID) or b""
        client = self.client[1:] if self.client[:1] == b"i" else b""
        parts = [(int(Option.MESSAGE_TYPE), bytes((MessageType.RELEASE,))), (int(Option.SERVER_ID), identifier)]
        if client:
            parts.append((int(Option.CLIENT_ID), client))
        return replace(
            self.ack,
            op=REQUEST,
            xid=xid,
            hops=1,
            secs=0,
            flags=0,
            ciaddr=self.address,
            yiaddr=UNSPECIFIED,
            siaddr=UNSPECIFIED,
            sname=bytes(64),
            file=bytes(128),
            options=(*parts, *options),
        )


class Leases:
    """All leases of one gateway. Nothing here knows the time but by argument."""

    def __init__(self) -> None:
        self._by_address: dict[bytes, Lease] = {}

    def __len__(self) -> int:
        return len(self._by_address)

    def at(self, address: bytes) -> Lease | None:
        """The lease of an address."""
        return self._by_address.get(address)

    def of(self, ike: int) -> Lease | None:
        """The lease that an IKE SA holds; there is at most one."""
        return next((lease for lease in self._by_address.values() if ike in lease.ikes), None)

    def permit(self, holder: Holder) -> None:
        """Refuse a client that calls itself what another peer's client does.

        The server would give it the other one's address (RFC 3456 §5 names
        spoofed client identifiers). Raises NotRelayed.
        """
        for lease in self._by_address.values():
            if lease.client == holder.client and lease.identity != holder.identity:
                raise NotRelayed(f"the client identifier belongs to the client of {lease.identity}")

    def grant(self, holder: Holder, ack: DhcpMessage, server: Upstream, now: float) -> list[Lease]:
        """The server gave `ack.yiaddr` to the holder; the leases that this ended.

        Raises NotRelayed when the address belongs to another peer, and still
        does as far as we saw. A lease whose time is over belongs to the
        server, which may give the address to somebody else.
        """
        ended = []
        standing = self._by_address.get(ack.yiaddr)
        if standing is not None and (standing.identity, standing.client) != (holder.identity, holder.client):
            if standing.until > now:
                raise NotRelayed(f"the address is leased to another client, of {standing.identity}")
            ended.append(self._drop(standing))
            standing = None
        former = self.of(holder.ike)
        if former is not None and former is not standing:
            former.ikes.remove(holder.ike)
            if not former.ikes:  # the server moved the client: its old address is no longer its own
                ended.append(self._drop(former))
        seconds = ack.number(Option.LEASE_TIME) or 0
        until = float("inf") if seconds == FOREVER else now + seconds
        lease = Lease(ack.yiaddr, holder.identity, holder.client, ack, server, until)
        if standing is not None:
            lease.ikes, lease.children = standing.ikes, standing.children
        if holder.ike not in lease.ikes:
            lease.ikes.append(holder.ike)
        self._by_address[lease.address] = lease
        return ended

    def surrender(self, holder: Holder, address: bytes) -> Lease | None:
        """The client itself gave the address back, or declined it: its lease, which ended, if it was its own."""
        lease = self._by_address.get(address)
        if lease is None or lease.identity != holder.identity or lease.client != holder.client:
            return None
        return self._drop(lease)

    # -- what becomes of the SAs ---------------------------------------------

    def ike_moved(self, old: int, new: int) -> Lease | None:
        """IKE SA `new` took over from `old`; the lease that went along."""
        lease = self.of(old)
        if lease is not None:
            lease.ikes.remove(old)
            if new not in lease.ikes:
                lease.ikes.append(new)
        return lease

    def ike_gone(self, ike: int) -> Lease | None:
        """An IKE SA ended; the lease that ended with it, if nothing else holds it."""
        lease = self.of(ike)
        if lease is None:
            return None
        lease.ikes.remove(ike)
        return None if lease.held else self._drop(lease)

    def child_up(self, address: bytes, child: int) -> bool:
        """A tunnel for `address` stands; whether that is a leased one."""
        lease = self._by_address.get(address)
        if lease is not None and child not in lease.children:
            lease.children.append(child)
        return lease is not None

    def child_gone(self, child: int) -> Lease | None:
        """A tunnel ended; the lease that ended with it, if nothing else holds it."""
        for lease in self._by_address.values():
            if child in lease.children:
                lease.children.remove(child)
                return None if lease.held else self._drop(lease)
        return None

    def end(self) -> list[Lease]:
        """All leases, none of which is known any more: the gateway ends."""
        leases = list(self._by_address.values())
        self._by_address.clear()
        return leases

    def _drop(self, lease: Lease) -> Lease:
        if self._by_address.get(lease.address) is lease:
            del self._by_address[lease.address]
        return lease
