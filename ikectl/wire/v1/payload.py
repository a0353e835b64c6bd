"""Payload, its registration, and the chain walk of IKEv1 (RFC 2408 §3.2, §5.3).

A payload class reads its body (what follows the generic header) and writes it.
It may let `struct.error` out where its fixed part falls short: the walk turns
that into WireError. Slices fall short silently, so whatever is of variable
length is checked by the class that reads it.

IKEv1 hashes payloads as they came, so the walk hands out the bodies too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import ClassVar, Self, TypeVar

from ikectl.errors import WireError
from ikectl.iana.v1 import PayloadType, payload_type
from ikectl.values.record import record
from ikectl.wire.octets import GENERIC, GENERIC_OCTETS

MAX_PAYLOADS = 128
"""In one chain; a message that is longer is refused. A client may say thirty vendor ids beside twenty certificates."""


class Payload:
    """What every payload can do."""

    __slots__ = ()

    TYPE: ClassVar[PayloadType]
    SHORT: ClassVar[str] = ""
    """The name in ladders, where that is shorter than the type's."""
    REPEATS: ClassVar[bool] = False
    """Whether one message may hold several of these."""

    @classmethod
    def read(cls, body: bytes) -> Self:
        """From the octets behind the generic header. Raises WireError or struct.error."""
        raise NotImplementedError

    def body(self) -> bytes:
        """The octets behind the generic header."""
        raise NotImplementedError

    @property
    def short(self) -> str:
        """The word for this payload in a log line."""
        return self.SHORT or str(self.TYPE)


@record
class Unknown(Payload):
    """A payload of a type without a class here, kept as it came."""

    type: PayloadType
    data: bytes

    @property
    def TYPE(self) -> PayloadType:  # type: ignore[override]
        return self.type

    def body(self) -> bytes:
        return self.data


P = TypeVar("P", bound=Payload)

_pack, _unpack = GENERIC.pack, GENERIC.unpack_from
_readers: dict[int, Callable[[bytes], Payload]] = {}


def payload(number: PayloadType) -> Callable[[type[P]], type[P]]:
    """Class decorator: this class reads and writes IKEv1 payloads of that type."""

    def register(cls: type[P]) -> type[P]:
        cls.TYPE = number
        _readers[int(number)] = cls.read
        return cls

    return register


def read_chain(
    first: int, octets: bytes, start: int = 0, *, padded: bool = False
) -> tuple[list[Payload], list[bytes], int]:
    """The payloads of a chain that begins at `start`, their bodies as they came, and where the chain ended.

    Unknown types come back as `Unknown`. `padded` allows octets behind the
    chain: what was encrypted is filled up to a block, with whatever the peer
    likes (RFC 2409 App. B).

    Raises:
        WireError: a length is wrong, a RESERVED octet is not zero (RFC 2408
            §5.3), a payload is malformed, octets are left over that are no
            padding, or there are too many.
    """
    payloads: list[Payload] = []
    bodies: list[bytes] = []
    end = len(octets)
    number = int(first)
    try:
        for _ in range(MAX_PAYLOADS):
            if not number:
                break
            following, reserved, length = _unpack(octets, start)
            body_at = start + GENERIC_OCTETS
            start += length
            if not body_at <= start <= end:
                raise WireError(f"payload {payload_type(number)} has an impossible length of {length} octets")
            if reserved:
                raise WireError(f"payload {payload_type(number)} has {reserved} where zero is reserved")
            body = octets[body_at:start]
            read = _readers.get(number)
            payloads.append(Unknown(payload_type(number), body) if read is None else read(body))
            bodies.append(body)
            number = following
        else:
            if number:
                raise WireError(f"more than {MAX_PAYLOADS} payloads")
    except struct.error:
        raise WireError(f"payload {payload_type(number)} is cut short") from None
    if start != end and not padded:
        raise WireError(f"{end - start} octets follow the last payload")
    return payloads, bodies, start


def write_chain(payloads: Sequence[Payload]) -> tuple[PayloadType, bytes]:
    """The type of the first payload and the octets of all, in their order.

    Raises:
        ValueError: something is too large for its field.
    """
    parts: list[bytes] = []
    following = PayloadType.NONE
    try:
        for item in reversed(payloads):
            body = item.body()
            parts += body, _pack(following, 0, len(body) + GENERIC_OCTETS)
            following = item.TYPE
    except struct.error:
        raise ValueError(f"the fields of {type(item).__name__} do not fit its layout") from None
    parts.reverse()
    return following, b"".join(parts)
