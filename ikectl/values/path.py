"""Endpoint and Path: where the messages of an SA come from and go to."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Self


@dataclass(slots=True, unsafe_hash=True)
class Endpoint:
    """An address and a UDP port. `address` is packed: 4 or 16 octets, network order.

    Treated as a value, never changed: it is hashed. Not frozen, because one
    is made for every datagram.
    """

    address: bytes
    port: int

    @classmethod
    def parse(cls, address: str, port: int) -> Self:
        """From text. Raises ValueError."""
        return cls(ipaddress.ip_address(address).packed, port)

    @property
    def is_v6(self) -> bool:
        return len(self.address) == 16

    @property
    def host(self) -> str:
        """The address as text."""
        return str(ipaddress.ip_address(self.address))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.is_v6 else f"{self.host}:{self.port}"


@dataclass(slots=True, unsafe_hash=True)
class Path:
    """The two ends of a conversation, as this host sees them. A value, as `Endpoint`."""

    local: Endpoint
    remote: Endpoint

    def __str__(self) -> str:
        return f"{self.local} <-> {self.remote}"


def site_of(address: bytes) -> bytes:
    """What strangers are counted by: a packed IPv4 address, or the /64 of one of IPv6.

    A single IPv6 host has a /64 to itself and may speak from any address in it (RFC 4291 §2.5.4, RFC 8981).
    """
    return address[:8] if len(address) == 16 else address
