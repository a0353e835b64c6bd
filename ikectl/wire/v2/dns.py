"""What configuration attributes say about DNS: encrypted resolvers (RFC 9464) and trust anchors (RFC 8598)."""

from __future__ import annotations

import struct
from struct import Struct
from typing import NamedTuple, Self

_HEAD = Struct("!HBB")  # Service Priority, number of addresses, octets of the name
_PARAMETER = Struct("!HH")  # SvcParamKey, octets (RFC 9460 §2.2)
_MANDATORY, _ALPN, _NO_DEFAULT_ALPN, _PORT = range(4)
_UNDERSTOOD = frozenset({_ALPN, _NO_DEFAULT_ALPN, _PORT})
_ANCHOR = Struct("!HBB")  # key tag, algorithm, digest type
_MANY = 8
"""Addresses, or protocols, of one resolver: nobody asks more."""


class EncryptedDns(NamedTuple):
    """One resolver of ENCDNS_IP4 or ENCDNS_IP6 (RFC 9464 §3.1): packed addresses, the name its certificate has."""

    priority: int
    """The lower, the better; 0 refers to another name, and has no addresses."""
    addresses: tuple[bytes, ...]
    name: str
    protocols: tuple[str, ...]
    """As in TLS: `dot`, `h2`, `doq`."""
    port: int = 0
    """0: that of the protocol."""

    @classmethod
    def read(cls, octets: bytes, width: int) -> Self:
        """`width`: octets of an address. Raises ValueError."""
        try:
            priority, count, length = _HEAD.unpack_from(octets)
        except struct.error:
            raise ValueError(f"{len(octets)} octets are no resolver") from None
        names = _HEAD.size + count * width
        if count > _MANY or len(octets) < names + length:
            raise ValueError(f"{count} addresses and a name of {length} octets in {len(octets)} octets")
        packed = octets[_HEAD.size : names]
        addresses = tuple(packed[at : at + width] for at in range(0, len(packed), width))
        name = octets[names : names + length].decode("ascii", "replace").removesuffix(".")
        parameters = _parameters(octets[names + length :])
        _check_mandatory(parameters)
        port = parameters.get(_PORT, b"")
        if len(port) not in (0, 2):
            raise ValueError("a port that is none")
        return cls(priority, addresses, name, _protocols(parameters.get(_ALPN, b"")), int.from_bytes(port, "big"))

    def write(self) -> bytes:
        """The octets that `read` takes."""
        name = self.name.encode("ascii")
        alpn = b"".join(bytes((len(word),)) + word.encode("ascii") for word in self.protocols)
        parts = [_HEAD.pack(self.priority, len(self.addresses), len(name)), *self.addresses, name]
        for key, value in ((_ALPN, alpn), (_PORT, self.port.to_bytes(2, "big") if self.port else b"")):
            if value:
                parts += (_PARAMETER.pack(key, len(value)), value)
        return b"".join(parts)


def _parameters(octets: bytes) -> dict[int, bytes]:
    """Service parameters, keys strictly ascending (RFC 9460 §2.2). Raises ValueError."""
    found: dict[int, bytes] = {}
    at, last = 0, -1
    while at < len(octets):
        if len(octets) - at < _PARAMETER.size:
            raise ValueError("a service parameter is cut short")
        key, length = _PARAMETER.unpack_from(octets, at)
        at += _PARAMETER.size
        if key <= last or at + length > len(octets):
            raise ValueError(f"service parameter {key} is out of order or cut short")
        found[key] = octets[at : at + length]
        at, last = at + length, key
    return found


def _check_mandatory(parameters: dict[int, bytes]) -> None:
    """A resolver that cannot be used without a parameter which is not understood is none (RFC 9460 §8).

    Raises ValueError.
    """
    octets = parameters.get(_MANDATORY, b"")
    keys = {int.from_bytes(octets[at : at + 2], "big") for at in range(0, len(octets), 2)}
    foreign = sorted(keys - _UNDERSTOOD)
    if foreign or not keys <= parameters.keys():
        raise ValueError(f"it needs the service parameters {sorted(keys)}, of which {foreign or 'some'} are not here")


def _protocols(octets: bytes) -> tuple[str, ...]:
    """Raises ValueError."""
    found: list[str] = []
    at = 0
    while at < len(octets):
        length = octets[at]
        if not length or at + 1 + length > len(octets) or len(found) == _MANY:
            raise ValueError("a list of protocols that is none")
        found.append(octets[at + 1 : at + 1 + length].decode("ascii", "replace"))
        at += 1 + length
    return tuple(found)


class TrustAnchor(NamedTuple):
    """INTERNAL_DNSSEC_TA (RFC 8598 §4.2): what a DS record has; the domain is that of the attribute before it."""

    tag: int
    algorithm: int
    digest_type: int
    digest: bytes

    @classmethod
    def read(cls, octets: bytes) -> Self:
        """Raises ValueError."""
        if len(octets) <= _ANCHOR.size:
            raise ValueError(f"{len(octets)} octets are no trust anchor")
        tag, algorithm, digest_type = _ANCHOR.unpack_from(octets)
        return cls(tag, algorithm, digest_type, octets[_ANCHOR.size :])

    def write(self) -> bytes:
        """The octets that `read` takes."""
        return _ANCHOR.pack(self.tag, self.algorithm, self.digest_type) + self.digest

    def __str__(self) -> str:
        return f"{self.tag} {self.algorithm} {self.digest_type} {self.digest.hex()}"
