"""Endpoint and Path: where the messages of an SA come from and go to."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Self


@lru_cache(1024)
def _text(address: bytes) -> str:
    return str(ipaddress.ip_address(address))


@dataclass(slots=True, unsafe_hash=True)
class Endpoint:
    """An address and a UDP or TCP port. `address` is packed: 4 or 16 octets, network order.

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
        return _text(self.address)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.is_v6 else f"{self.host}:{self.port}"


@dataclass(slots=True, unsafe_hash=True)
class Path:
    """The two ends of a conversation, as this host sees them. A value, as `Endpoint`. Datagrams go on it."""

    tcp: ClassVar[bool] = False
    """Whether it is a `Stream`."""

    local: Endpoint
    remote: Endpoint

    def __str__(self) -> str:
        return f"{self.local} <-> {self.remote}"


@dataclass(slots=True, unsafe_hash=True)
class Stream(Path):
    """A path that is one TCP connection (RFC 9329): while it stands no other has these ends.

    With our port 0 it is one that has yet to be opened. Never equal to a path of datagrams between the same ends.
    """

    tcp: ClassVar[bool] = True

    @classmethod
    def to(cls, local: bytes, remote: Endpoint) -> Self:
        """One to be opened, from this packed address of ours."""
        return cls(Endpoint(local, 0), remote)

    def __str__(self) -> str:
        return f"{self.local} <-> {self.remote} (TCP)"


def site_of(address: bytes) -> bytes:
    """What strangers are counted by: a packed IPv4 address, or the /64 of one of IPv6.

    A single IPv6 host has a /64 to itself and may speak from any address in it (RFC 4291 §2.5.4, RFC 8981).
    """
    return address[:8] if len(address) == 16 else address
