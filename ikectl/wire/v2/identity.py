"""Identification, certificates and AUTH (RFC 7296 §3.5 to §3.8)."""

from __future__ import annotations

from struct import Struct
from typing import ClassVar, Self

from ikectl.errors import WireError
from ikectl.iana.v2 import AuthMethod, CertEncoding, IdType, PayloadType, auth_method, cert_encoding, id_type
from ikectl.values.identity import Identity
from ikectl.values.record import record
from ikectl.wire.payload import Payload, payload

ADDRESS_OCTETS = {IdType.IPV4_ADDR: 4, IdType.IPV6_ADDR: 16}
"""Kinds of identity whose length is fixed."""

ZEROS = bytes(3)

AUTHORITY_OCTETS = 20
"""A certification authority is named by the SHA-1 hash of its SubjectPublicKeyInfo (§3.7)."""

HASH_LISTS = frozenset(
    (
        CertEncoding.X509_SIGNATURE,
        CertEncoding.HASH_AND_URL_X509,
        CertEncoding.HASH_AND_URL_BUNDLE,
        CertEncoding.OCSP_CONTENT,
    )
)
"""Encodings whose CERTREQ is a list of such hashes (§3.7, RFC 4806 §3.1)."""


class Identification(Payload):
    """What IDi and IDr have in common (§3.5). Only the length of addresses is checked here.

    `reserved` means nothing, but is kept as it came because AUTH covers it (§2.15).
    """

    __slots__ = ()

    LAYOUT: ClassVar = Struct("!B3s")  # kind, RESERVED

    kind: IdType
    data: bytes
    reserved: bytes

    def __init__(self, kind: IdType, data: bytes, reserved: bytes = ZEROS) -> None:
        raise NotImplementedError

    @classmethod
    def of(cls, identity: Identity) -> Self:
        """The payload that says this identity."""
        return cls(identity.kind, identity.data)

    @property
    def identity(self) -> Identity:
        return Identity(self.kind, self.data)

    @classmethod
    def read(cls, body: bytes) -> Self:
        number, reserved = cls.LAYOUT.unpack_from(body)
        kind, data = id_type(number), body[4:]
        if len(data) != ADDRESS_OCTETS.get(kind, len(data)):
            raise WireError(f"an identity of type {kind} with {len(data)} octets")
        return cls(kind, data, reserved)

    def body(self) -> bytes:
        """The octets that AUTH covers as well (§2.15)."""
        return self.LAYOUT.pack(self.kind, self.reserved) + self.data


@payload(PayloadType.IDI)
@record
class IDi(Identification):
    """Identification of the initiator."""

    kind: IdType
    data: bytes
    reserved: bytes = ZEROS


@payload(PayloadType.IDR)
@record
class IDr(Identification):
    """Identification of the responder."""

    kind: IdType
    data: bytes
    reserved: bytes = ZEROS


@payload(PayloadType.CERT)
@record
class CERT(Payload):
    """Certificate payload (§3.6); the first one in a message is the sender's own."""

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
    """Certificate request payload (§3.7).

    `authorities` are hashes of 20 octets for the encodings in HASH_LISTS; for
    any other encoding it is the rest of the payload as one item, or nothing.
    """

    REPEATS: ClassVar = True
    LAYOUT: ClassVar = Struct("!B")  # encoding

    encoding: CertEncoding
    authorities: tuple[bytes, ...]

    @classmethod
    def read(cls, body: bytes) -> Self:
        (number,) = cls.LAYOUT.unpack_from(body)
        encoding = cert_encoding(number)
        if encoding not in HASH_LISTS:
            return cls(encoding, (body[1:],) if len(body) > 1 else ())
        if (len(body) - 1) % AUTHORITY_OCTETS:
            raise WireError(f"{len(body) - 1} octets of authorities are not hashes of {AUTHORITY_OCTETS}")
        starts = range(1, len(body), AUTHORITY_OCTETS)
        return cls(encoding, tuple(body[start : start + AUTHORITY_OCTETS] for start in starts))

    def body(self) -> bytes:
        return self.LAYOUT.pack(self.encoding) + b"".join(self.authorities)


@payload(PayloadType.AUTH)
@record
class AUTH(Payload):
    """Authentication payload (§3.8); what `data` is depends on `method`."""

    LAYOUT: ClassVar = Struct("!B3x")  # method, RESERVED

    method: AuthMethod
    data: bytes

    @classmethod
    def read(cls, body: bytes) -> Self:
        (method,) = cls.LAYOUT.unpack_from(body)
        return cls(auth_method(method), body[4:])

    def body(self) -> bytes:
        return self.LAYOUT.pack(self.method) + self.data
