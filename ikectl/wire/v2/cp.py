"""Configuration payload (RFC 7296 §3.15)."""

from __future__ import annotations

from struct import Struct
from typing import ClassVar, NamedTuple, Self

from ikectl.errors import WireError
from ikectl.iana.v2 import CfgAttribute, CfgType, PayloadType, cfg_attribute, cfg_type
from ikectl.values.record import record
from ikectl.wire.payload import Payload, payload

MAX_ATTRIBUTES = 512
"""In one payload. A reply with a few hundred split networks is real, thousands are an attack."""

_ATTRIBUTE = Struct("!HH")  # reserved bit and type, length
_ATTRIBUTE_OCTETS = _ATTRIBUTE.size
_TYPE_BITS = 0x7FFF


class Attribute(NamedTuple):
    """One configuration attribute; an empty value asks for one (§3.15.1).

    The value's own layout is not looked at here: an attribute nobody asked
    about must not spoil the message.
    """

    type: CfgAttribute
    value: bytes = b""


@payload(PayloadType.CP)
@record
class CP(Payload):
    """Configuration payload: a request, reply, set or acknowledgement, and its attributes in order."""

    LAYOUT: ClassVar = Struct("!B3x")  # kind, RESERVED

    kind: CfgType
    attributes: tuple[Attribute, ...] = ()

    @classmethod
    def read(cls, body: bytes) -> Self:
        (kind,) = cls.LAYOUT.unpack_from(body)
        attributes: list[Attribute] = []
        start, end = 4, len(body)
        while start != end:
            if len(attributes) == MAX_ATTRIBUTES:
                raise WireError(f"more than {MAX_ATTRIBUTES} configuration attributes")
            number, length = _ATTRIBUTE.unpack_from(body, start)
            start += _ATTRIBUTE_OCTETS
            stop = start + length
            if stop > end:
                raise WireError(f"a configuration attribute of {length} octets ends outside its payload")
            attributes.append(Attribute(cfg_attribute(number & _TYPE_BITS), body[start:stop]))
            start = stop
        return cls(cfg_type(kind), tuple(attributes))

    def body(self) -> bytes:
        parts = [self.LAYOUT.pack(self.kind)]
        for kind, value in self.attributes:
            parts += (_ATTRIBUTE.pack(kind, len(value)), value)
        return b"".join(parts)

    def values(self, kind: CfgAttribute) -> tuple[bytes, ...]:
        """The values of all attributes of that type, in order."""
        return tuple(value for type, value in self.attributes if type == kind)
