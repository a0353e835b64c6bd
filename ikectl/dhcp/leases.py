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
    """All leases of one gateway, found by whatever somebody knows of them. Time comes as an argument."""

    def __init__(self) -> None:
        self._by_address: dict[bytes, Lease] = {}
        self._by_client: dict[bytes, dict[bytes, Lease]] = {}
        """And then by address; nearly always there is one."""
        self._by_ike: dict[int, Lease] = {}
        self._by_child: dict[int, Lease] = {}

    def __len__(self) -> int:
        return len(self._by_address)

    def at(self, address: bytes) -> Lease | None:
        """The lease of an address."""
        return self._by_address.get(address)

    def of(self, ike: int) -> Lease | None:
        """The lease that an IKE SA holds; there is at most one."""
        return self._by_ike.get(ike)

    def permit(self, holder: Holder) -> None:
        """Refuse a client that calls itself what another peer's client does.

        The server would give it the other one's address (RFC 3456 §5 names
        spoofed client identifiers). Raises NotRelayed.
        """
        for lease in self._by_client.get(holder.client, {}).values():
            if lease.identity != holder.identity:
                raise NotRelayed(f"the client identifier belongs to the client of {lease.identity}")

    def grant(self, holder: Holder, ack: DhcpMessage, server: Upstream, now: float) -> list[Lease]:
        """The server gave `ack.yiaddr` to the holder; the leases that this ended.

        Raises NotRelayed when the address belongs to another client, and still
        does as far as we saw. A lease whose time is over belongs to the
        server, which may give the address to somebody else.
        """
        ended = []
        lease = self._by_address.get(ack.yiaddr)
        if lease is not None and (lease.identity, lease.client) != (holder.identity, holder.client):
            if lease.until > now:
                raise NotRelayed(f"the address is leased to another client, of {lease.identity}")
            ended.append(self._drop(lease))
            lease = None
        former = self.of(holder.ike)
        if former is not None and former is not lease:
            self._part(former, holder.ike)
            if not former.ikes:  # the server moved the client: its old address is no longer its own
                ended.append(self._drop(former))
        seconds = ack.number(Option.LEASE_TIME) or 0
        until = float("inf") if seconds == FOREVER else now + seconds
        if lease is None:
            lease = Lease(ack.yiaddr, holder.identity, holder.client, ack, server, until)
            self._by_address[lease.address] = lease
            self._by_client.setdefault(lease.client, {})[lease.address] = lease
        lease.ack, lease.server, lease.until = ack, server, until
        self._join(lease, holder.ike)
        return ended

    def surrender(self, holder: Holder, address: bytes) -> Lease | None:
        """The client itself gave the address back, or declined it: its lease, which ended, if it was its own."""
        lease = self._by_address.get(address)
        if lease is None or (lease.identity, lease.client) != (holder.identity, holder.client):
            return None
        return self._drop(lease)

    # -- what becomes of the SAs ---------------------------------------------

    def ike_moved(self, old: int, new: int) -> Lease | None:
        """IKE SA `new` took over from `old`; the lease that went along, unless `new` got another one meanwhile."""
        lease = self.of(old)
        if lease is None or self.of(new) not in (None, lease):
            return None
        self._part(lease, old)
        self._join(lease, new)
        return lease

    def ike_gone(self, ike: int) -> Lease | None:
        """An IKE SA ended; the lease that ended with it, if nothing else holds it."""
        lease = self.of(ike)
        if lease is None:
            return None
        self._part(lease, ike)
        return None if lease.held else self._drop(lease)

    def child_up(self, address: bytes, child: int) -> bool:
        """A tunnel for `address` stands; whether that is a leased one."""
        lease = self._by_address.get(address)
        if lease is not None and child not in lease.children:
            lease.children.append(child)
            self._by_child[child] = lease
        return lease is not None

    def child_gone(self, child: int) -> Lease | None:
        """A tunnel ended; the lease that ended with it, if nothing else holds it."""
        lease = self._by_child.pop(child, None)
        if lease is None:
            return None
        lease.children.remove(child)
        return None if lease.held else self._drop(lease)

    def end(self) -> list[Lease]:
        """All leases, none of which is known any more: the gateway ends."""
        return [self._drop(lease) for lease in list(self._by_address.values())]

    def _join(self, lease: Lease, ike: int) -> None:
        if ike not in lease.ikes:
            lease.ikes.append(ike)
        self._by_ike[ike] = lease

    def _part(self, lease: Lease, ike: int) -> None:
        lease.ikes.remove(ike)
        del self._by_ike[ike]

    def _drop(self, lease: Lease) -> Lease:
        """It is over. What held it is still to be read in it."""
        del self._by_address[lease.address]
        same = self._by_client[lease.client]
        del same[lease.address]
        if not same:
            del self._by_client[lease.client]
        for ike in lease.ikes:
            del self._by_ike[ike]
        for child in lease.children:
            del self._by_child[child]
        return lease
