"""Attribute payload of mode config and XAUTH (draft-dukes-ike-mode-cfg-02 §3.2)."""

from __future__ import annotations

from dataclasses import field
from struct import Struct
from typing import ClassVar, Self

from ikectl.iana.v1 import PayloadType, TransactionType, transaction_type
from ikectl.values.record import record
from ikectl.wire.v1.attributes import Attribute, octets_of, read_attributes, write_attributes
from ikectl.wire.v1.payload import Payload, payload


@payload(PayloadType.ATTRIBUTES)
@record
class Attributes(Payload):
    """A request, reply, set or acknowledgement, and its attributes in order.

    What answers has the identifier of what it answers. The attributes may
    hold a password (XAUTH) and so are never printed.
    """

    LAYOUT: ClassVar = Struct("!BxH")  # kind, RESERVED, identifier

    type: TransactionType
    identifier: int
    attributes: tuple[Attribute, ...] = field(default=(), repr=False)

    @property
    def short(self) -> str:
        return f"CFG_{self.type}"

    @classmethod
    def read(cls, body: bytes) -> Self:
        kind, identifier = cls.LAYOUT.unpack_from(body)
        return cls(transaction_type(kind), identifier, read_attributes(body, cls.LAYOUT.size))

    def body(self) -> bytes:
        return self.LAYOUT.pack(self.type, self.identifier) + write_attributes(self.attributes)

    def get(self, kind: int) -> Attribute | None:
        """The first attribute of that type, or None."""
        for attribute in self.attributes:
            if attribute.type == kind:
                return attribute
        return None

    def values(self, kind: int) -> tuple[bytes, ...]:
        """The octets of all attributes of that type, in order."""
        return tuple(octets_of(attribute) for attribute in self.attributes if attribute.type == kind)
