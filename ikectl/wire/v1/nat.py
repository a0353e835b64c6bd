"""NAT traversal: hashes of addresses, and original addresses (RFC 3947 §3.2, §5.2).

The drafts draft-ietf-ipsec-nat-t-ike-02 and -03 have the same payloads under
private numbers.
"""

from __future__ import annotations

from struct import Struct
from typing import ClassVar, Self

from ikectl.errors import WireError
from ikectl.iana.v1 import IdType, PayloadType, id_type
from ikectl.values.record import record
from ikectl.wire.v1.payload import Payload, payload

ADDRESS_OCTETS = {IdType.IPV4_ADDR: 4, IdType.IPV6_ADDR: 16}


class NatHash(Payload):
    """What NAT-D payloads of both numbers have in common: the negotiated hash of cookies, address and port."""

    __slots__ = ()

    REPEATS: ClassVar = True

    hash: bytes

    def __init__(self, hash: bytes) -> None:
        raise NotImplementedError

    @classmethod
    def read(cls, body: bytes) -> Self:
        return cls(body)

    def body(self) -> bytes:
        return self.hash


@payload(PayloadType.NAT_D)
@record
class NatD(NatHash):
    """NAT-D payload (RFC 3947 §3.2): the first is of the receiver's address, the others of the sender's."""

    SHORT: ClassVar = "NAT-D"

    hash: bytes


@payload(PayloadType.NAT_D_DRAFT)
@record
class NatDDraft(NatHash):
    """NAT-D payload under the drafts' number."""

    SHORT: ClassVar = "NAT-D"

    hash: bytes


class OriginalAddress(Payload):
    """What NAT-OA payloads of both numbers have in common: an address of 4 or 16 octets."""

    __slots__ = ()

    REPEATS: ClassVar = True
    LAYOUT: ClassVar = Struct("!B3x")  # kind, RESERVED

    kind: IdType
    address: bytes

    def __init__(self, kind: IdType, address: bytes) -> None:
        raise NotImplementedError

    @classmethod
    def of(cls, packed: bytes) -> Self:
        """The payload that says this address."""
        return cls(IdType.IPV4_ADDR if len(packed) == 4 else IdType.IPV6_ADDR, packed)

    @classmethod
    def read(cls, body: bytes) -> Self:
        (number,) = cls.LAYOUT.unpack_from(body)
        kind, address = id_type(number), body[4:]
        if len(address) != ADDRESS_OCTETS.get(kind):
            raise WireError(f"an original address of type {kind} with {len(address)} octets")
        return cls(kind, address)

    def body(self) -> bytes:
        return self.LAYOUT.pack(self.kind) + self.address


@payload(PayloadType.NAT_OA)
@record
class NatOa(OriginalAddress):
    """NAT-OA payload (RFC 3947 §5.2): the first is the initiator's address, the second the responder's."""

    SHORT: ClassVar = "NAT-OA"

    kind: IdType
    address: bytes


@payload(PayloadType.NAT_OA_DRAFT)
@record
class NatOaDraft(OriginalAddress):
    """NAT-OA payload under the drafts' number."""

    SHORT: ClassVar = "NAT-OA"

    kind: IdType
    address: bytes
