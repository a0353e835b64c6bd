"""Payload, its registration, and the chain walk of IKEv2 (RFC 7296 §3.2).

A payload class reads its body (what follows the generic header) and writes it.
It may let `struct.error` out where its fixed part falls short: the walk turns
that into WireError. Slices fall short silently, so whatever is of variable
length is checked by the class that reads it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import ClassVar, Self, TypeVar

from ikectl.errors import WireError
from ikectl.iana.v2 import PayloadType, payload_type
from ikectl.values.record import record
from ikectl.wire.octets import CRITICAL, GENERIC, GENERIC_OCTETS

MAX_PAYLOADS = 128
"""In one chain; a message that is longer is refused. An IKE_AUTH of many certificates has about thirty."""


class Payload:
    """What every payload can do."""

    __slots__ = ()

    TYPE: ClassVar[PayloadType]
    FLAGS: ClassVar[int] = 0
    """The second octet of the generic header as we write it: the critical bit is for types not in RFC 7296."""
    REPEATS: ClassVar[bool] = False
    """Whether one message may hold several of these."""

    @classmethod
    def read(cls, body: bytes) -> Self:
        """From the octets behind the generic header. Raises WireError or struct.error."""
        raise NotImplementedError

    def body(self) -> bytes:
        """The octets behind the generic header."""
        raise NotImplementedError


class Enclosing(Payload):
    """A payload with others inside: SK and SKF.

    Its Next Payload field names the first payload inside, so it ends the chain
    it stands in (RFC 7296 §3.14).
    """

    __slots__ = ()

    first: PayloadType

    @classmethod
    def read(cls, body: bytes, first: PayloadType = PayloadType.NONE) -> Self:
        """From the octets behind the generic header and that header's Next Payload field."""
        raise NotImplementedError


@record
class Unknown(Payload):
    """A payload of a type without a class here, kept as it came.

    What a set critical bit means is not decided here (RFC 7296 §2.5).
    """

    type: PayloadType
    critical: bool
    data: bytes

    @property
    def TYPE(self) -> PayloadType:  # type: ignore[override]
        return self.type

    @property
    def FLAGS(self) -> int:  # type: ignore[override]
        return CRITICAL if self.critical else 0

    def body(self) -> bytes:
        return self.data


P = TypeVar("P", bound=Payload)

_pack, _unpack = GENERIC.pack, GENERIC.unpack_from
_NONE = PayloadType.NONE
_plain: dict[int, Callable[[bytes], Payload]] = {}
_enclosing: dict[int, Callable[[bytes, PayloadType], Enclosing]] = {}


def payload(number: PayloadType) -> Callable[[type[P]], type[P]]:
    """Class decorator: this class reads and writes IKEv2 payloads of that type."""

    def register(cls: type[P]) -> type[P]:
        cls.TYPE = number
        if issubclass(cls, Enclosing):
            _enclosing[int(number)] = cls.read
        else:
            _plain[int(number)] = cls.read
        return cls

    return register


def read_chain(first: PayloadType, octets: bytes, start: int = 0) -> list[Payload]:
    """The payloads of a chain that begins at `start` and fills `octets` to their end.

    Unknown types, the critical ones too, come back as `Unknown`. The critical
    bit of known types is ignored (RFC 7296 §2.5).

    Raises:
        WireError: a length is wrong, a payload is malformed, octets are left
            over, something follows an SK payload, or there are too many.
    """
    payloads: list[Payload] = []
    append, end = payloads.append, len(octets)
    number: int = first
    try:
        for _ in range(MAX_PAYLOADS):
            if not number:
                break
            following, flags, length = _unpack(octets, start)
            body_at = start + GENERIC_OCTETS
            start += length
            if start < body_at or start > end:
                raise WireError(f"payload {payload_type(number)} has an impossible length of {length} octets")
            if number in _plain:
                append(_plain[number](octets[body_at:start]))
            elif number in _enclosing:
                append(_enclosing[number](octets[body_at:start], payload_type(following)))
                break
            else:
                append(Unknown(payload_type(number), flags >= CRITICAL, octets[body_at:start]))
            number = following
        else:
            if number:
                raise WireError(f"more than {MAX_PAYLOADS} payloads")
    except struct.error:
        raise WireError(f"payload {payload_type(number)} is cut short") from None
    if start != end:
        raise WireError(f"{end - start} octets follow the last payload")
    return payloads


def write_chain(payloads: Sequence[Payload]) -> tuple[PayloadType, bytes]:
    """The type of the first payload and the octets of all, in their order.

    Raises:
        ValueError: something is too large for its field, or follows an SK payload.
    """
    parts: list[bytes] = []
    following = _NONE
    try:
        for item in reversed(payloads):
            body, kind = item.body(), item.TYPE
            if kind in _enclosing and isinstance(item, Enclosing):
                if parts:
                    raise ValueError(f"payloads after {type(item).__name__}")
                following = item.first
            parts += body, _pack(following, item.FLAGS, len(body) + GENERIC_OCTETS)
            following = kind
    except struct.error:
        raise ValueError(f"the fields of {type(item).__name__} do not fit its layout") from None
    parts.reverse()
    return following, b"".join(parts)
