"""TrafficSelector: which packets, as sets of protocol, ports and addresses.

Pure set algebra: intersection, containment, narrowing (RFC 7296 §2.9).
Addresses are ints, ports are what RFC 7296 §3.13.1 says: for ICMP the type
in the upper octet and the code in the lower, and 65535-0 for OPAQUE.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from ikectl.values.duration import parse_number

MAX_SELECTORS = 255
"""The count of a TS payload is one octet (RFC 7296 §3.13)."""

_MAX_PIECES = 1024  # of one selector, while others are subtracted from it
_ALL4, _ALL6 = 2**32 - 1, 2**128 - 1

# Names as in /etc/protocols and /etc/services; a fixed table, so that a
# configuration means the same on every machine.
PROTOCOLS = {
    "icmp": 1, "igmp": 2, "ipencap": 4, "tcp": 6, "egp": 8, "igp": 9, "udp": 17, "dccp": 33, "ipv6": 41,
    "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "icmpv6": 58, "eigrp": 88, "ospf": 89,
    "ipip": 94, "etherip": 97, "pim": 103, "ipcomp": 108, "vrrp": 112, "l2tp": 115, "isis": 124, "sctp": 132,
    "udplite": 136, "mpls-in-ip": 137,
}  # fmt: skip
SERVICES = {
    "ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "tacacs": 49, "domain": 53, "bootps": 67,
    "bootpc": 68, "tftp": 69, "http": 80, "kerberos": 88, "pop3": 110, "sunrpc": 111, "ntp": 123,
    "netbios-ns": 137, "netbios-dgm": 138, "netbios-ssn": 139, "imap2": 143, "snmp": 161, "snmp-trap": 162,
    "bgp": 179, "ldap": 389, "https": 443, "microsoft-ds": 445, "isakmp": 500, "syslog": 514,
    "submission": 587, "ldaps": 636, "domain-s": 853, "imaps": 993, "pop3s": 995, "l2f": 1701, "radius": 1812,
    "radius-acct": 1813, "nfs": 2049, "mysql": 3306, "ms-wbt-server": 3389, "ipsec-nat-t": 4500, "sip": 5060,
    "sip-tls": 5061, "postgresql": 5432, "vxlan": 4789,
}  # fmt: skip
_PROTOCOL_NAMES = {number: name for name, number in reversed(PROTOCOLS.items())}
_SERVICE_NAMES = {number: name for name, number in SERVICES.items()}
_ICMP = (1, 58)
_ANY_PORTS = (0, 65535)
_OPAQUE = (65535, 0)


@dataclass(slots=True, unsafe_hash=True)
class TrafficSelector:
    """A range of addresses, a range of ports and a protocol (0: any).

    Treated as a value, never changed: it is hashed. Not frozen, because one
    is made for every selector of every TS payload.
    """

    protocol: int
    start_port: int
    end_port: int
    start: int
    end: int
    v6: bool

    ANY4: ClassVar[TrafficSelector]
    ANY6: ClassVar[TrafficSelector]

    @classmethod
    def of_network(cls, text: str, protocol: int = 0, ports: tuple[int, int] = _ANY_PORTS) -> Self:
        """From `10.0.0.0/24`, an address, or a range `10.0.0.1-10.0.0.9` (`..` too). Raises ValueError."""
        for separator in ("..", "-"):
            first, found, last = text.partition(separator)
            if found:
                low, high = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
                if low.version != high.version or int(low) > int(high):
                    raise ValueError(f"{text[:80]!r} is not a range of addresses in rising order")
                return cls(protocol, *ports, int(low), int(high), low.version == 6)
        network = ipaddress.ip_network(text.strip(), strict=False)
        return cls(protocol, *ports, int(network[0]), int(network[-1]), network.version == 6)

    @classmethod
    def of_address(cls, packed: bytes, protocol: int = 0, ports: tuple[int, int] = _ANY_PORTS) -> Self:
        """One address of 4 or 16 octets."""
        number = int.from_bytes(packed, "big")
        return cls(protocol, *ports, number, number, len(packed) == 16)

    def at(self, address: bytes) -> TrafficSelector:
        """The same protocol and ports at one packed address."""
        return self.of_address(address, self.protocol, (self.start_port, self.end_port))

    @property
    def is_opaque(self) -> bool:
        """OPAQUE ports: packets whose ports cannot be seen (RFC 4301 §4.4.1.1)."""
        return self.start_port > self.end_port

    def __and__(self, other: TrafficSelector) -> TrafficSelector | None:
        """What both cover; None when that is nothing."""
        if self.v6 != other.v6:
            return None
        start = self.start if self.start >= other.start else other.start
        end = self.end if self.end <= other.end else other.end
        if start > end:
            return None
        protocol = self.protocol or other.protocol
        if other.protocol != protocol and other.protocol:
            return None
        start_port, end_port = self.start_port, self.end_port
        if start_port != other.start_port or end_port != other.end_port:
            ports = _common_ports((start_port, end_port), (other.start_port, other.end_port))
            if ports is None:
                return None
            start_port, end_port = ports
        same_ports = start_port == self.start_port and end_port == self.end_port
        if same_ports and start == self.start and end == self.end and protocol == self.protocol:
            return self  # as good as another object, and shared
        return TrafficSelector(protocol, start_port, end_port, start, end, self.v6)

    def within(self, other: TrafficSelector) -> bool:
        """Whether `other` covers all of this one."""
        return (
            self.v6 == other.v6
            and other.start <= self.start
            and self.end <= other.end
            and (not other.protocol or other.protocol == self.protocol)
            and _ports_within(self.start_port, self.end_port, other.start_port, other.end_port)
        )

    __le__ = within

    def networks(self) -> tuple[tuple[bytes, int], ...]:
        """The addresses as exactly covering networks: (packed address, prefix length) each."""
        width = 128 if self.v6 else 32
        found = []
        start = self.start
        while start <= self.end:
            low_zeros = (start & -start).bit_length() - 1 if start else width
            host_bits = min(low_zeros, (self.end - start + 1).bit_length() - 1)
            found.append((start.to_bytes(width // 8, "big"), width - host_bits))
            start += 1 << host_bits
        return tuple(found)

    def prefix(self) -> tuple[bytes, int]:
        """The smallest single network that covers the addresses: (packed address, prefix length)."""
        width = 128 if self.v6 else 32
        host_bits = (self.start ^ self.end).bit_length()
        return (self.start >> host_bits << host_bits).to_bytes(width // 8, "big"), width - host_bits

    def __str__(self) -> str:
        """swanctl's form: `10.0.0.0/24[tcp/http]`, `10.0.0.1..10.0.0.9`."""
        address = ipaddress.IPv6Address if self.v6 else ipaddress.IPv4Address
        networks = self.networks() if self.prefix_is_exact else ()
        if networks:
            text = f"{address(networks[0][0])}/{networks[0][1]}"
        else:
            text = f"{address(self.start)}..{address(self.end)}"
        return text + _restriction(self.protocol, (self.start_port, self.end_port))

    @property
    def prefix_is_exact(self) -> bool:
        """Whether the addresses are one network."""
        size = self.end - self.start + 1
        return size & (size - 1) == 0 and self.start % size == 0


TrafficSelector.ANY4 = TrafficSelector(0, 0, 65535, 0, _ALL4, False)
TrafficSelector.ANY6 = TrafficSelector(0, 0, 65535, 0, _ALL6, True)


def narrow(offered: Sequence[TrafficSelector], configured: Sequence[TrafficSelector]) -> tuple[TrafficSelector, ...]:
    """What `offered` and `configured` have in common, in the order of the offer (RFC 7296 §2.9).

    Empty when nothing is (TS_UNACCEPTABLE). No selector of the result lies
    within another, and there are at most MAX_SELECTORS.
    """
    if len(offered) == 1 and len(configured) == 1:
        if offered[0] == configured[0]:
            return (offered[0],)
        both = offered[0] & configured[0]
        return () if both is None else (both,)
    found: dict[TrafficSelector, None] = {}
    for theirs in offered:
        for ours in configured:
            both = theirs & ours
            if both is None or both in found or any(map(both.within, found)):
                continue
            for smaller in [other for other in found if other.within(both)]:
                del found[smaller]
            found[both] = None
            if len(found) == MAX_SELECTORS:
                return tuple(found)
    return tuple(found)


def meet(local: Sequence[TrafficSelector], remote: Sequence[TrafficSelector]) -> bool:
    """Whether there are packets between the two: of one family, and of a protocol that both sides have."""
    for ours in local:
        for theirs in remote:
            if ours.v6 == theirs.v6 and (not ours.protocol or not theirs.protocol or ours.protocol == theirs.protocol):
                return True
    return False


def covers(outer: Sequence[TrafficSelector], inner: Sequence[TrafficSelector]) -> bool:
    """Whether every packet of `inner` is one of `outer`, by one selector or by several together."""
    for one in inner:
        for cover in outer:
            if one.within(cover):
                break
        else:
            if not _covered_piecewise(one, outer):
                return False
    return True


def _covered_piecewise(one: TrafficSelector, outer: Sequence[TrafficSelector]) -> bool:
    pieces = [one]
    for cover in outer:
        pieces = [left for piece in pieces for left in subtract(piece, cover)]
        if not pieces:
            return True
        if len(pieces) > _MAX_PIECES:
            return False
    return False


def subtract(one: TrafficSelector, other: TrafficSelector) -> tuple[TrafficSelector, ...]:
    """What of `one` is not in `other`, as disjoint selectors.

    "Every protocol but TCP" cannot be written as selectors: a specific
    protocol takes nothing from any-protocol. Likewise for OPAQUE ports.
    """
    both = one & other
    if both is None or both.protocol != one.protocol or (both.is_opaque and not one.is_opaque):
        return (one,)
    ports, (start, end) = (one.start_port, one.end_port), (both.start, both.end)
    left = []
    if one.start < start:
        left.append(TrafficSelector(one.protocol, *ports, one.start, start - 1, one.v6))
    if end < one.end:
        left.append(TrafficSelector(one.protocol, *ports, end + 1, one.end, one.v6))
    if not one.is_opaque:
        if one.start_port < both.start_port:
            left.append(TrafficSelector(one.protocol, one.start_port, both.start_port - 1, start, end, one.v6))
        if both.end_port < one.end_port:
            left.append(TrafficSelector(one.protocol, both.end_port + 1, one.end_port, start, end, one.v6))
    return tuple(left)


@dataclass(frozen=True, slots=True)
class SelectorSpec:
    """A selector as configured; `network` is None for `dynamic`, which becomes an address of the SA."""

    network: TrafficSelector | None
    protocol: int = 0
    start_port: int = 0
    end_port: int = 65535

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `10.0.0.0/24[tcp/80]`, `10.0.0.1-10.0.0.9` or `dynamic[udp]`. Raises ValueError."""
        address, bracket, rest = text.strip().partition("[")
        protocol, ports = 0, _ANY_PORTS
        if bracket:
            inside, closed, after = rest.partition("]")
            if not closed or after.strip():
                raise ValueError(f"{text[:80]!r}: the form is network[protocol/port]")
            protocol, ports = _parse_restriction(inside)
        address = address.strip()
        if address == "dynamic":
            return cls(None, protocol, *ports)
        try:
            network = TrafficSelector.of_network(address, protocol, ports)
        except ValueError:
            raise ValueError(f"{address[:80]!r} is not a network, a range of addresses or the word dynamic") from None
        return cls(network, protocol, *ports)

    def resolve(self, address: bytes) -> TrafficSelector:
        """The selector; `address` (packed) stands in for `dynamic`."""
        if self.network is not None:
            return self.network
        return TrafficSelector.of_address(address, self.protocol, (self.start_port, self.end_port))

    def anywhere(self, v6: bool) -> TrafficSelector:
        """The selector; any address of the family stands in for `dynamic`."""
        if self.network is not None:
            return self.network
        every = TrafficSelector.ANY6 if v6 else TrafficSelector.ANY4
        return TrafficSelector(self.protocol, self.start_port, self.end_port, every.start, every.end, v6)

    def __str__(self) -> str:
        if self.network is not None:
            return str(self.network)
        return "dynamic" + _restriction(self.protocol, (self.start_port, self.end_port))


def _common_ports(mine: tuple[int, int], theirs: tuple[int, int]) -> tuple[int, int] | None:
    """ANY includes OPAQUE, no other range does (RFC 4301 §4.4.1.1)."""
    if mine == theirs or theirs == _ANY_PORTS:
        return mine
    if mine == _ANY_PORTS:
        return theirs
    if mine[0] > mine[1] or theirs[0] > theirs[1]:
        return None
    start, end = max(mine[0], theirs[0]), min(mine[1], theirs[1])
    return (start, end) if start <= end else None


def _ports_within(start: int, end: int, other_start: int, other_end: int) -> bool:
    if other_start == 0 and other_end == 65535:
        return True
    if start > end or other_start > other_end:  # OPAQUE is within itself and ANY only
        return start == other_start and end == other_end
    return other_start <= start and end <= other_end


def _parse_restriction(inside: str) -> tuple[int, tuple[int, int]]:
    protocol_text, slash, port_text = (part.strip() for part in inside.partition("/"))
    protocol = _parse_protocol(protocol_text)
    if not slash or port_text in ("", "any"):
        return protocol, _ANY_PORTS
    if port_text.lower() == "opaque":
        return protocol, _OPAQUE
    icmp = protocol in _ICMP
    first, last = _parse_ports(port_text, icmp)
    if first > last:
        raise ValueError(f"{port_text[:40]!r} is not a range of ports in rising order")
    return protocol, (first, last)


def _parse_protocol(text: str) -> int:
    if text in ("", "any"):
        return 0
    if text.lower() in PROTOCOLS:
        return PROTOCOLS[text.lower()]
    try:
        return parse_number(text, 8)
    except ValueError:
        raise ValueError(f"unknown protocol {text[:40]!r}; write its number or any") from None


def _parse_ports(text: str, icmp: bool) -> tuple[int, int]:
    if not icmp and text.lower() in SERVICES:
        port = SERVICES[text.lower()]
        return port, port
    first, dash, last = text.partition("-")
    try:
        if icmp and "(" in text:
            low = _parse_icmp(first)
            return low[0], (_parse_icmp(last) if dash else low)[1]
        start = parse_number(first, 16)
        end = parse_number(last, 16) if dash else start
    except ValueError:
        raise ValueError(f"unknown port {text[:40]!r}; write its number, a-b, any or opaque") from None
    if icmp:
        # A bare type stands for all its codes; from 256 on it is type*256+code.
        start = start << 8 if start < 256 else start
        end = end << 8 | 0xFF if end < 256 else end
    return start, end


def _parse_icmp(text: str) -> tuple[int, int]:
    """`type` or `type(code)` as (first, last)."""
    kind, bracket, rest = text.strip().partition("(")
    number = parse_number(kind, 8) << 8
    if not bracket:
        return number, number | 0xFF
    if not rest.endswith(")"):
        raise ValueError(text)
    code = parse_number(rest[:-1], 8)
    return number | code, number | code


def _restriction(protocol: int, ports: tuple[int, int]) -> str:
    if protocol == 0 and ports == _ANY_PORTS:
        return ""
    text = _PROTOCOL_NAMES.get(protocol, str(protocol)) if protocol else "0"
    if ports == _ANY_PORTS:
        return f"[{text}]"
    if ports == _OPAQUE:
        return f"[{text}/OPAQUE]"
    if protocol in _ICMP:
        return f"[{text}/{_icmp_text(*ports)}]"
    first, last = ports
    if first == last:
        return f"[{text}/{_SERVICE_NAMES.get(first, first)}]"
    return f"[{text}/{first}-{last}]"


def _icmp_text(first: int, last: int) -> str:
    if first & 0xFF == 0 and last & 0xFF == 0xFF:
        return f"{first >> 8}" if first >> 8 == last >> 8 else f"{first >> 8}-{last >> 8}"
    texts = [f"{port >> 8}({port & 0xFF})" for port in (first, last)]
    return texts[0] if first == last else "-".join(texts)
