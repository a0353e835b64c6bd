"""The 28-octet IKE header, the same for both versions of IKE (RFC 7296 §3.1, RFC 2408 §3.1)."""

from __future__ import annotations

from struct import Struct
from typing import Self

from ikectl.errors import WireError
from ikectl.iana.v2 import ExchangeType, PayloadType, exchange_type, payload_type
from ikectl.values.record import record

HEADER = Struct("!8s8sBBBBII")
HEADER_OCTETS = HEADER.size

NON_ESP_MARKER = b"\0\0\0\0"
"""What stands before an IKE message on port 4500, where ESP has its SPI (RFC 3948 §2.2)."""

NO_SPI = bytes(8)
"""The responder's SPI before there is one."""

FLAG_INITIATOR = 0x08
FLAG_RESPONSE = 0x20

VERSION_2 = 0x20


def write_header(
    spi_i: bytes,
    spi_r: bytes,
    exchange: ExchangeType,
    message_id: int,
    response: bool,
    initiator: bool,
    first: PayloadType,
    length: int,
    version: int = VERSION_2,
) -> bytes:
    """The header of a message of IKEv2 that begins with a payload of type `first`; `length` counts the header.

    `initiator` says that the sender is the original initiator of the IKE SA, `version` is the octet of the header.
    """
    flags = (FLAG_INITIATOR if initiator else 0) | (FLAG_RESPONSE if response else 0)
    return HEADER.pack(spi_i, spi_r, first, version, exchange, flags, message_id, length)


@record
class Header:
    """An IKE header as read. Reserved flags are kept and mean nothing (RFC 7296 §3.1).

    `length` counts the whole message in octets, the header with it. For a
    message of IKEv1 the SPIs are the cookies and `exchange` and `next_payload`
    are unnamed numbers.
    """

    spi_i: bytes
    spi_r: bytes
    next_payload: PayloadType
    version: int
    exchange: ExchangeType
    flags: int
    message_id: int
    length: int

    @classmethod
    def read(cls, datagram: bytes) -> Self:
        """The header of a datagram, the non-ESP marker already taken off.

        Raises:
            WireError: shorter than a header, or its length is not the datagram's.
        """
        octets = len(datagram)
        if octets < HEADER_OCTETS:
            raise WireError(f"{octets} octets are too few for an IKE header")
        spi_i, spi_r, following, version, exchange, flags, message_id, length = HEADER.unpack_from(datagram)
        if length != octets:
            raise WireError(f"the header says {length} octets, the datagram has {octets}")
        return cls(
            spi_i,
            spi_r,
            payload_type(following),
            version,
            exchange_type(exchange),
            flags,
            message_id,
            length,
        )

    def write(self) -> bytes:
        """The 28 octets."""
        return HEADER.pack(
            self.spi_i,
            self.spi_r,
            self.next_payload,
            self.version,
            self.exchange,
            self.flags,
            self.message_id,
            self.length,
        )

    @property
    def major(self) -> int:
        return self.version >> 4

    @property
    def minor(self) -> int:
        return self.version & 0x0F

    @property
    def is_response(self) -> bool:
        return bool(self.flags & FLAG_RESPONSE)

    @property
    def from_initiator(self) -> bool:
        """Whether the sender is the original initiator of the IKE SA."""
        return bool(self.flags & FLAG_INITIATOR)
