"""Identification and certificates (RFC 2407 §4.6.2, RFC 2408 §3.9 and §3.10)."""

from __future__ import annotations

from struct import Struct
from typing import ClassVar, Self

from ikectl.errors import PeerMisbehaved
from ikectl.iana.v1 import CertEncoding, IdType, PayloadType, cert_encoding, id_type
from ikectl.iana.v2 import id_type as identity_type
from ikectl.values.identity import Identity
from ikectl.values.record import record
from ikectl.values.selector import TrafficSelector
from ikectl.wire.v1.payload import Payload, payload

DATA_OCTETS = {
    IdType.IPV4_ADDR: 4,
    IdType.IPV6_ADDR: 16,
    IdType.IPV4_ADDR_SUBNET: 8,
    IdType.IPV6_ADDR_SUBNET: 32,
    IdType.IPV4_ADDR_RANGE: 8,
    IdType.IPV6_ADDR_RANGE: 32,
}
"""Kinds of identity whose length is fixed: an address, an address and a mask, or two addresses."""

_ADDRESSES = (IdType.IPV4_ADDR, IdType.IPV6_ADDR)
_SUBNETS = (IdType.IPV4_ADDR_SUBNET, IdType.IPV6_ADDR_SUBNET)
_ANY_PORTS = (0, 65535)


@payload(PayloadType.ID)
@record
class ID(Payload):
    """Identification payload (RFC 2407 §4.6.2): of a peer in phase 1, of its traffic in phase 2.

    `protocol` and `port` are 0 for any. Reading checks nothing: with public
    key encryption all of it is ciphertext (RFC 2409 §5.2).
    """

    REPEATS: ClassVar = True
    LAYOUT: ClassVar = Struct("!BBH")  # kind, protocol, port

    kind: IdType
    protocol: int
    port: int
    data: bytes

    @classmethod
    def of(cls, identity: Identity, protocol: int = 0, port: int = 0) -> Self:
        """The payload that says this identity."""
        return cls(id_type(identity.kind), protocol, port, identity.data)

    @classmethod
    def of_selector(cls, selector: TrafficSelector) -> Self:
        """The payload that says this traffic.

        Raises:
            ValueError: IKEv1 has no word for a range of ports, for OPAQUE
                ones, nor for port 0 alone.
        """
        ports = (selector.start_port, selector.end_port)
        if ports != _ANY_PORTS and (ports[0] != ports[1] or not ports[0]):
            raise ValueError(f"{selector}: IKEv1 can say one port or any port, nothing between")
        port = 0 if ports == _ANY_PORTS else ports[0]
        v6 = selector.v6
        octets = 16 if v6 else 4
        if selector.start == selector.end:
            kind = IdType.IPV6_ADDR if v6 else IdType.IPV4_ADDR
            return cls(kind, selector.protocol, port, selector.start.to_bytes(octets, "big"))
        first, last = selector.start, selector.end
        kind = IdType.IPV6_ADDR_RANGE if v6 else IdType.IPV4_ADDR_RANGE
        if selector.prefix_is_exact:
            kind = IdType.IPV6_ADDR_SUBNET if v6 else IdType.IPV4_ADDR_SUBNET
            last = (1 << 8 * octets) - (selector.end - selector.start + 1)
        return cls(kind, selector.protocol, port, first.to_bytes(octets, "big") + last.to_bytes(octets, "big"))

    @property
    def identity(self) -> Identity:
        """Who that is, in phase 1. Raises PeerMisbehaved for an address of the wrong length."""
        if len(self.data) != DATA_OCTETS.get(self.kind, len(self.data)):
            raise PeerMisbehaved(f"an identity of type {self.kind} with {len(self.data)} octets")
        return Identity(identity_type(self.kind), self.data)

    def selector(self) -> TrafficSelector:
        """Which traffic that is, in phase 2. Bits of a subnet's address that its mask leaves out do not count.

        Raises:
            PeerMisbehaved: not a kind of address, a mask with holes, or a range that runs backwards.
        """
        ports = (self.port, self.port) if self.port else _ANY_PORTS
        first, last = self._addresses()
        return TrafficSelector(self.protocol, *ports, first, last, self._octets == 16)

    @property
    def _octets(self) -> int:
        """Of one address."""
        return len(self.data) if self.kind in _ADDRESSES else len(self.data) // 2

    def _addresses(self) -> tuple[int, int]:
        if len(self.data) != DATA_OCTETS.get(self.kind, -1):
            raise PeerMisbehaved(f"an identity of type {self.kind} does not say which traffic is meant")
        octets = self._octets
        first, second = (int.from_bytes(part, "big") for part in (self.data[:octets], self.data[-octets:]))
        if self.kind in _SUBNETS:
            hosts = ~second & (1 << 8 * octets) - 1
            if hosts & (hosts + 1):
                raise PeerMisbehaved(f"a subnet whose mask {self.data[octets:].hex()} has holes")
            return first & second, first & second | hosts
        if first > second:
            raise PeerMisbehaved("a range of addresses that runs backwards")
        return first, second

    @classmethod
    def read(cls, body: bytes) -> Self:
        number, protocol, port = cls.LAYOUT.unpack_from(body)
        return cls(id_type(number), protocol, port, body[4:])

    def body(self) -> bytes:
        """The octets that HASH_I and HASH_R cover as well (RFC 2409 §5)."""
        return self.LAYOUT.pack(self.kind, self.protocol, self.port) + self.data


@payload(PayloadType.CERT)
@record
class CERT(Payload):
    """Certificate payload (RFC 2408 §3.9); the first one in a message is the sender's own."""

    REPEATS: ClassVar = True
    LAYOUT: ClassVar = Struct("!B")  # encoding

    encoding: CertEncoding
    data: bytes

    @classmethod
    def read(cls, body: bytes) -> Self:
        (encoding,) = cls.LAYOUT.unpack_from(body)
        return cls(cert_encoding(encoding), body[1:])

    def body(self) -> bytes:
        return self.LAYOUT.pack(self.encoding) + self.data


@payload(PayloadType.CERTREQ)
@record
class CERTREQ(Payload):
    """Certificate request payload (RFC 2408 §3.10): the DER of an authority's name, or nothing for any."""

    REPEATS: ClassVar = True
    LAYOUT: ClassVar = Struct("!B")  # encoding

    encoding: CertEncoding
    authority: bytes = b""

    @classmethod
    def read(cls, body: bytes) -> Self:
        (encoding,) = cls.LAYOUT.unpack_from(body)
        return cls(cert_encoding(encoding), body[1:])

    def body(self) -> bytes:
        return self.LAYOUT.pack(self.encoding) + self.authority
