"""Security Association payload: proposals and transforms (RFC 7296 §3.3).

Thousands of peers send the same offer. What was read is therefore remembered
by its octets and shared: an offer without SPIs as a whole, any other proposal
by proposal, the SPI left out. Equal offers hold the same transforms.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import NamedTuple, Self

from ikectl.errors import WireError
from ikectl.iana.v2 import AttributeType, PayloadType, Protocol, TransformType, protocol, transform_type
from ikectl.values.record import record
from ikectl.wire.payload import Payload, payload

REMEMBERED = 256
"""How many offers without SPI, and how many sequences of transforms, are remembered."""

MAX_REMEMBERED_OCTETS = 1024
"""What is longer is read afresh each time, so that what is remembered is bounded in octets as well."""

MAX_PROPOSALS = 255
"""Proposals are numbered from 1 in one octet (§3.3.1): more cannot be meant."""

SPI_OCTETS = {Protocol.IKE: (0, 8), Protocol.AH: (4,), Protocol.ESP: (4,)}
"""SPI sizes of a proposal (§3.3.1). IKE has none in IKE_SA_INIT and eight octets when it is rekeyed."""

_PROPOSAL = Struct("!BxHBBBB")  # last, RESERVED, length, number, protocol, SPI size, number of transforms
_TRANSFORM = Struct("!BxHBxH")  # last, RESERVED, length, type, RESERVED, id
_ATTRIBUTE = Struct("!HH")  # format bit and type, value or length
_PROPOSAL_OCTETS = _PROPOSAL.size
_TRANSFORM_OCTETS = _TRANSFORM.size
_ATTRIBUTE_OCTETS = _ATTRIBUTE.size

_FIRST_SPI_SIZE = slice(6, 7)  # where in the payload the first proposal says how long its SPI is

_LAST = 0
_MORE_PROPOSALS = 2
_MORE_TRANSFORMS = 3

_BASIC = 0x8000  # the attribute's value stands in place of its length
_KEY_LENGTH = _BASIC | AttributeType.KEY_LENGTH


class Transform(NamedTuple):
    """One algorithm (§3.3.2).

    `key_bits` is the Key Length attribute, 0 when there is none. `unknown`
    holds all attributes as octets, and `key_bits` is 0, when they are anything
    else than one Key Length: such a transform is never to be chosen (§3.3.6).
    """

    type: TransformType
    id: int
    key_bits: int = 0
    unknown: bytes = b""


class Proposal(NamedTuple):
    """One proposal: its number, protocol, the sender's SPI, the transforms in the sender's order (§3.3.1).

    `_replace(spi=...)` is the same proposal with another SPI.
    """

    number: int
    protocol: Protocol
    spi: bytes
    transforms: tuple[Transform, ...]


@payload(PayloadType.SA)
@record
class SA(Payload):
    """Security Association payload: one proposal or more.

    Numbers are kept as they came. Whether they count 1, 2, 3 or name the one
    that was chosen is for selection to judge (§3.3.1), and so is whether an
    IKE proposal has its SPI of eight octets in a rekeying.
    """

    proposals: tuple[Proposal, ...]

    @classmethod
    def read(cls, body: bytes) -> Self:
        if len(body) > MAX_REMEMBERED_OCTETS or body[_FIRST_SPI_SIZE] != b"\0":
            return cls(_read_proposals(body))
        return cls(_remembered_proposals(body))

    def body(self) -> bytes:
        if not 0 < len(self.proposals) <= MAX_PROPOSALS:
            raise ValueError(f"an SA payload of {len(self.proposals)} proposals")
        parts: list[bytes] = []
        left = len(self.proposals)
        for number, protocol_id, spi, transforms in self.proposals:
            left -= 1
            head, octets = _write_around(left > 0, number, protocol_id, len(spi), transforms)
            parts += head, spi, octets
        return b"".join(parts)


def _read_proposals(body: bytes) -> tuple[Proposal, ...]:
    proposals: list[Proposal] = []
    start, end, last = 0, len(body), _MORE_PROPOSALS
    while last != _LAST:
        if len(proposals) == MAX_PROPOSALS:
            raise WireError(f"more than {MAX_PROPOSALS} proposals")
        last, length, number, protocol_id, spi_octets, count = _PROPOSAL.unpack_from(body, start)
        transforms_at = start + _PROPOSAL_OCTETS + spi_octets
        stop = start + length
        if not transforms_at <= stop <= end or last not in (_LAST, _MORE_PROPOSALS):
            raise WireError(f"proposal {number} is malformed")
        kind = protocol(protocol_id)
        if spi_octets not in SPI_OCTETS.get(kind, (spi_octets,)):
            raise WireError(f"an SPI of {spi_octets} octets in a proposal for {kind}")
        spi = body[transforms_at - spi_octets : transforms_at]
        read = _read_transforms if length <= MAX_REMEMBERED_OCTETS else _read_transforms.__wrapped__
        proposals.append(Proposal(number, kind, spi, read(count, body[transforms_at:stop])))
        start = stop
    if start != end:
        raise WireError(f"{end - start} octets follow the last proposal")
    return tuple(proposals)


_remembered_proposals = lru_cache(REMEMBERED)(_read_proposals)


@lru_cache(REMEMBERED)
def _read_transforms(count: int, octets: bytes) -> tuple[Transform, ...]:
    transforms: list[Transform] = []
    start, end = 0, len(octets)
    for left in range(count - 1, -1, -1):
        last, length, kind, number = _TRANSFORM.unpack_from(octets, start)
        stop = start + length
        if length < _TRANSFORM_OCTETS or stop > end or last != (_MORE_TRANSFORMS if left else _LAST):
            raise WireError(f"transform {len(transforms) + 1} of {count} is malformed")
        key_bits, unknown = _read_attributes(octets[start + _TRANSFORM_OCTETS : stop])
        transforms.append(Transform(transform_type(kind), number, key_bits, unknown))
        start = stop
    if start != end:
        raise WireError(f"{end - start} octets follow {count} transforms")
    return tuple(transforms)


def _read_attributes(octets: bytes) -> tuple[int, bytes]:
    """Key bits, and the octets as they are if they say anything else (§3.3.5)."""
    if not octets:
        return 0, octets
    first, value = _ATTRIBUTE.unpack_from(octets)
    if first == _KEY_LENGTH and value and len(octets) == _ATTRIBUTE_OCTETS:
        return value, b""
    start = 0
    while start < len(octets):
        first, value = _ATTRIBUTE.unpack_from(octets, start)
        start += _ATTRIBUTE_OCTETS + (0 if first & _BASIC else value)
    if start != len(octets):
        raise WireError("a transform attribute ends outside its transform")
    return 0, octets


@lru_cache(REMEMBERED)
def _write_around(
    more: bool, number: int, protocol_id: Protocol, spi_octets: int, transforms: tuple[Transform, ...]
) -> tuple[bytes, bytes]:
    """What stands before and behind the SPI of a proposal; `more` of them follow, or none."""
    octets = _write_transforms(transforms)
    length = _PROPOSAL_OCTETS + spi_octets + len(octets)
    last = _MORE_PROPOSALS if more else _LAST
    return _PROPOSAL.pack(last, length, number, protocol_id, spi_octets, len(transforms)), octets


def _write_transforms(transforms: tuple[Transform, ...]) -> bytes:
    parts: list[bytes] = []
    left = len(transforms)
    for kind, number, key_bits, unknown in transforms:
        left -= 1
        attributes = unknown or (_ATTRIBUTE.pack(_KEY_LENGTH, key_bits) if key_bits else b"")
        last = _MORE_TRANSFORMS if left else _LAST
        parts += (_TRANSFORM.pack(last, _TRANSFORM_OCTETS + len(attributes), kind, number), attributes)
    return b"".join(parts)
