"""Key exchange, nonce, hash, signature and vendor id payloads (RFC 2408 §3.7, §3.11 to §3.13, §3.16).

Each is nothing but octets. What they must be long is judged by whoever knows
the exchange: the nonce (8 to 256 octets, RFC 2409 §5), the group's public
value, the hash that was negotiated.
"""

from __future__ import annotations

from typing import ClassVar, Self

from ikectl.iana.v1 import PayloadType, vendor_id
from ikectl.iana.v1 import VendorId as Vendor
from ikectl.values.record import record
from ikectl.wire.v1.payload import Payload, payload


@payload(PayloadType.KE)
@record
class KE(Payload):
    """Key Exchange payload (RFC 2408 §3.7): a public value, whose group the SA payload names."""

    public: bytes

    @classmethod
    def read(cls, body: bytes) -> Self:
        return cls(body)

    def body(self) -> bytes:
        return self.public


@payload(PayloadType.NONCE)
@record
class Nonce(Payload):
    """Nonce payload (RFC 2408 §3.13); with public key encryption, the encrypted nonce (RFC 2409 §5.2)."""

    SHORT: ClassVar = "No"

    value: bytes

    @classmethod
    def read(cls, body: bytes) -> Self:
        return cls(body)

    def body(self) -> bytes:
        return self.value


@payload(PayloadType.HASH)
@record
class Hash(Payload):
    """Hash payload (RFC 2408 §3.11). In main mode with public key encryption there may be a HASH(1) beside it."""

    data: bytes

    @classmethod
    def read(cls, body: bytes) -> Self:
        return cls(body)

    def body(self) -> bytes:
        return self.data


@payload(PayloadType.SIGNATURE)
@record
class Signature(Payload):
    """Signature payload (RFC 2408 §3.12)."""

    SHORT: ClassVar = "SIG"

    data: bytes

    @classmethod
    def read(cls, body: bytes) -> Self:
        return cls(body)

    def body(self) -> bytes:
        return self.data


@payload(PayloadType.VENDOR_ID)
@record
class VendorId(Payload):
    """Vendor ID payload, of any content (RFC 2408 §3.16)."""

    REPEATS: ClassVar = True
    SHORT: ClassVar = "V"

    data: bytes

    @classmethod
    def read(cls, body: bytes) -> Self:
        return cls(body)

    def body(self) -> bytes:
        return self.data

    @property
    def vendor(self) -> Vendor | None:
        """Which one it is, if we know it."""
        return vendor_id(self.data)
