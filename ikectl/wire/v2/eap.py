"""EAP payload: a carrier of one EAP message (RFC 7296 §3.16, RFC 3748 §4)."""

from __future__ import annotations

from dataclasses import field
from struct import Struct
from typing import ClassVar, Self

from ikectl.errors import WireError
from ikectl.iana.v2 import PayloadType
from ikectl.values.record import record
from ikectl.wire.payload import Payload, payload


@payload(PayloadType.EAP)
@record
class EAP(Payload):
    """One EAP message.

    `data` begins with the type of a request or response. It may hold a
    password (EAP-GTC) and so is never printed.
    """

    LAYOUT: ClassVar = Struct("!BBH")  # code, identifier, length of the EAP message

    code: int
    identifier: int
    data: bytes = field(default=b"", repr=False)

    @classmethod
    def read(cls, body: bytes) -> Self:
        code, identifier, length = cls.LAYOUT.unpack_from(body)
        if length != len(body):
            raise WireError(f"an EAP message says {length} octets and has {len(body)}")
        return cls(code, identifier, body[4:])

    def body(self) -> bytes:
        return self.LAYOUT.pack(self.code, self.identifier, 4 + len(self.data)) + self.data
