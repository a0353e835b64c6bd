"""Key exchange, nonce and vendor id payloads (RFC 7296 §3.4, §3.9, §3.12)."""

from __future__ import annotations

from struct import Struct
from typing import ClassVar, Self

from ikectl.errors import WireError
from ikectl.iana.v2 import KeyExchangeMethod, PayloadType, key_exchange_method
from ikectl.values.record import record
from ikectl.wire.payload import Payload, payload

MIN_NONCE_OCTETS = 16
MAX_NONCE_OCTETS = 256


@payload(PayloadType.KE)
@record
class KE(Payload):
    """Key Exchange payload (§3.4).

    The public value is opaque here; whether it suits `method` is for
    crypto.ke to check.
    """

    LAYOUT: ClassVar = Struct("!H2x")  # method, RESERVED

    method: KeyExchangeMethod
    public: bytes

    @classmethod
    def read(cls, body: bytes) -> Self:
        (method,) = cls.LAYOUT.unpack_from(body)
        return cls(key_exchange_method(method), body[4:])

    def body(self) -> bytes:
        return self.LAYOUT.pack(self.method) + self.public


@payload(PayloadType.NONCE)
@record
class Nonce(Payload):
    """Nonce payload: 16 to 256 octets (§3.9).

    That it must also have half the octets of the PRF's key is for whoever
    knows the PRF (§2.10).
    """

    value: bytes

    @classmethod
    def read(cls, body: bytes) -> Self:
        if not MIN_NONCE_OCTETS <= len(body) <= MAX_NONCE_OCTETS:
            raise WireError(f"a nonce of {len(body)} octets")
        return cls(body)

    def body(self) -> bytes:
        return self.value


@payload(PayloadType.VENDOR_ID)
@record
class VendorId(Payload):
    """Vendor ID payload, of any content (§3.12)."""

    REPEATS: ClassVar = True

    data: bytes

    @classmethod
    def read(cls, body: bytes) -> Self:
        return cls(body)

    def body(self) -> bytes:
        return self.data
