"""Notification and Delete payloads, and typed views of what a notify carries (RFC 2408 §3.14, §3.15).

A view is asked for after the type was looked at, and raises WireError when
the data is not what the type says.
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import ClassVar, Self

from ikectl.errors import WireError
from ikectl.iana.v1 import IPSEC_DOI, NotifyType, PayloadType, ProtocolId, notify_type, protocol_id
from ikectl.values.record import record
from ikectl.wire.octets import U32
from ikectl.wire.v1.attributes import Attribute, read_attributes, write_attributes
from ikectl.wire.v1.payload import Payload, payload

COOKIES_OCTETS = 16
"""The SPI of an ISAKMP SA: both cookies (RFC 2408 §3.15)."""


@payload(PayloadType.NOTIFY)
@record
class Notify(Payload):
    """Notification payload (RFC 2408 §3.14). `spi` names an SA: one of ESP or AH, or the cookies of ISAKMP's."""

    REPEATS: ClassVar = True
    LAYOUT: ClassVar = Struct("!IBBH")  # DOI, protocol, SPI size, type

    type: NotifyType
    data: bytes = b""
    protocol: ProtocolId = ProtocolId.ISAKMP
    spi: bytes = b""
    doi: int = IPSEC_DOI

    @property
    def short(self) -> str:
        return f"N({self.type})"

    @classmethod
    def read(cls, body: bytes) -> Self:
        doi, protocol, spi_octets, number = cls.LAYOUT.unpack_from(body)
        data_at = cls.LAYOUT.size + spi_octets
        if data_at > len(body):
            raise WireError(f"a notify cannot hold its SPI of {spi_octets} octets")
        spi = body[cls.LAYOUT.size : data_at]
        return cls(notify_type(number), body[data_at:], protocol_id(protocol), spi, doi)

    def body(self) -> bytes:
        return self.LAYOUT.pack(self.doi, self.protocol, len(self.spi), self.type) + self.spi + self.data


@payload(PayloadType.DELETE)
@record
class Delete(Payload):
    """Delete payload (RFC 2408 §3.15): the sender's inbound SPIs, or the cookies of ISAKMP SAs."""

    REPEATS: ClassVar = True
    SHORT: ClassVar = "D"
    LAYOUT: ClassVar = Struct("!IBBH")  # DOI, protocol, SPI size, number of SPIs
    SPI_OCTETS: ClassVar = {
        ProtocolId.ISAKMP: (COOKIES_OCTETS,),
        ProtocolId.AH: (4,),
        ProtocolId.ESP: (4,),
        ProtocolId.IPCOMP: (2, 4),
    }

    protocol: ProtocolId
    spis: tuple[bytes, ...]
    doi: int = IPSEC_DOI

    @classmethod
    def read(cls, body: bytes) -> Self:
        doi, protocol, octets, count = cls.LAYOUT.unpack_from(body)
        kind, start = protocol_id(protocol), cls.LAYOUT.size
        if octets not in cls.SPI_OCTETS.get(kind, (octets,)) or not octets:
            raise WireError(f"a delete for {kind} with SPIs of {octets} octets")
        if not count or len(body) - start != octets * count:
            raise WireError(f"a delete of {len(body)} octets cannot hold {count} SPIs of {octets}")
        return cls(kind, tuple(body[at : at + octets] for at in range(start, len(body), octets)), doi)

    def body(self) -> bytes:
        sizes = set(map(len, self.spis))
        if len(sizes) != 1:
            raise ValueError("a delete without SPIs, or with SPIs of several sizes")
        return self.LAYOUT.pack(self.doi, self.protocol, sizes.pop(), len(self.spis)) + b"".join(self.spis)


def dpd_sequence(notify: Notify) -> int:
    """The sequence number of R-U-THERE and R-U-THERE-ACK: exactly four octets (RFC 3706 §5.3)."""
    if len(notify.data) != U32.size:
        raise WireError(f"{notify.type} with {len(notify.data)} octets of data")
    return int(U32.unpack(notify.data)[0])


def dpd_notify(kind: NotifyType, cookie_i: bytes, cookie_r: bytes, sequence: int) -> Notify:
    """R-U-THERE or R-U-THERE-ACK of that ISAKMP SA, with a sequence number of 32 bits (RFC 3706 §5.3)."""
    return Notify(kind, U32.pack(sequence), ProtocolId.ISAKMP, cookie_i + cookie_r)


def responder_lifetime(notify: Notify) -> tuple[Attribute, ...]:
    """The attributes of RESPONDER-LIFETIME: Phase1Attributes for ISAKMP, else Phase2Attributes (RFC 2407 §4.6.3.1)."""
    try:
        return read_attributes(notify.data)
    except struct.error:
        raise WireError(f"{notify.type} with an attribute cut short") from None


def responder_lifetime_notify(protocol: ProtocolId, spi: bytes, attributes: tuple[Attribute, ...]) -> Notify:
    """RESPONDER-LIFETIME of the SA with that SPI, the cookies for ISAKMP's (RFC 2407 §4.6.3.1)."""
    return Notify(NotifyType.RESPONDER_LIFETIME, write_attributes(attributes), protocol, spi)


def initial_contact_notify(cookie_i: bytes, cookie_r: bytes) -> Notify:
    """INITIAL-CONTACT in the ISAKMP SA with those cookies (RFC 2407 §4.6.3.3)."""
    return Notify(NotifyType.INITIAL_CONTACT, b"", ProtocolId.ISAKMP, cookie_i + cookie_r)


def isakmp_delete(cookie_i: bytes, cookie_r: bytes) -> Delete:
    """Delete of the ISAKMP SA with those cookies."""
    return Delete(ProtocolId.ISAKMP, (cookie_i + cookie_r,))
