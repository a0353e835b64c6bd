"""Security Association payload: proposals and transforms (RFC 2408 §3.4 to §3.6, RFC 2407 §4.6.1).

Thousands of peers send the same offer. What was read is therefore remembered
by its octets and shared: an offer without SPIs as a whole, any other proposal
by proposal, the SPI left out. Equal offers hold the same transforms.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import NamedTuple, Self

from ikectl.errors import WireError
from ikectl.iana.v1 import IPSEC_DOI, SIT_IDENTITY_ONLY, PayloadType, ProtocolId, protocol_id
from ikectl.values.record import record
from ikectl.wire.octets import U32
from ikectl.wire.v1.attributes import Attribute, read_attributes, write_attributes
from ikectl.wire.v1.payload import Payload, payload

REMEMBERED = 256
"""How many offers without SPI, and how many sequences of transforms, are remembered."""

MAX_REMEMBERED_OCTETS = 2048
"""What is longer is read afresh each time, so that what is remembered is bounded in octets as well."""

MAX_PROPOSALS = 255
"""Proposals are numbered from 1 in one octet (§3.5), and a bundle is few of them: more cannot be meant."""

SPI_OCTETS = {
    ProtocolId.ISAKMP: range(17),
    ProtocolId.AH: (4,),
    ProtocolId.ESP: (4,),
    ProtocolId.IPCOMP: (2, 4),
}
"""SPI sizes of a proposal. ISAKMP's is without meaning, the cookies are its SPI (RFC 2408 §3.5); an IPComp
CPI is of two octets, or of four beginning with zeros (RFC 3173 §4.1)."""

_PROPOSAL = Struct("!BBHBBBB")  # next payload, RESERVED, length, number, protocol, SPI size, number of transforms
_TRANSFORM = Struct("!BBHBBH")  # next payload, RESERVED, length, number, id, RESERVED2
_SITUATION = Struct("!II")  # DOI, situation
_PROPOSAL_OCTETS = _PROPOSAL.size
_TRANSFORM_OCTETS = _TRANSFORM.size
_SITUATION_OCTETS = _SITUATION.size
_IDENTITY_ONLY = _SITUATION.pack(IPSEC_DOI, SIT_IDENTITY_ONLY)

_FIRST_SPI_SIZE = _SITUATION_OCTETS + 6  # where in the payload the first proposal says how long its SPI is

_LAST = 0
_MORE_PROPOSALS = int(PayloadType.PROPOSAL)
_MORE_TRANSFORMS = int(PayloadType.TRANSFORM)


class Transform(NamedTuple):
    """One algorithm or, in phase 1, one whole suite (§3.6): KEY_IKE and its attributes in the sender's order."""

    number: int
    id: int
    attributes: tuple[Attribute, ...] = ()


class Proposal(NamedTuple):
    """One protocol: its number, the sender's SPI, the transforms in the sender's order of preference (§3.5).

    Several of one number are a bundle: all of them or none (§4.2).
    `_replace(spi=...)` is the same proposal with another SPI.
    """

    number: int
    protocol: ProtocolId
    spi: bytes
    transforms: tuple[Transform, ...]


@payload(PayloadType.SA)
@record
class SA(Payload):
    """Security Association payload: one proposal or more.

    Of another DOI than IPsec's, or another situation than identity only,
    there are no proposals here: they stand behind what we cannot read, in
    `rest`. The situation of another DOI is 0. Which notify that deserves is
    for the exchange to say (§5.4). Whether numbers rise is for selection.
    """

    proposals: tuple[Proposal, ...]
    doi: int = IPSEC_DOI
    situation: int = SIT_IDENTITY_ONLY
    rest: bytes = b""

    @classmethod
    def read(cls, body: bytes) -> Self:
        if not body.startswith(_IDENTITY_ONLY):
            return cls._foreign(body)
        if len(body) > MAX_REMEMBERED_OCTETS or body[_FIRST_SPI_SIZE : _FIRST_SPI_SIZE + 1] != b"\0":
            return cls(_read_proposals(body))
        return cls(_remembered_proposals(body))

    @classmethod
    def _foreign(cls, body: bytes) -> Self:
        (doi,) = U32.unpack_from(body)
        if doi != IPSEC_DOI:
            return cls((), doi, 0, body[U32.size :])
        _, situation = _SITUATION.unpack_from(body)
        return cls((), doi, situation, body[_SITUATION_OCTETS:])

    def body(self) -> bytes:
        """The octets; of what was read in this form, the same again."""
        if self.doi != IPSEC_DOI:
            return U32.pack(self.doi) + self.rest
        if self.situation != SIT_IDENTITY_ONLY:
            return _SITUATION.pack(self.doi, self.situation) + self.rest
        if not 0 < len(self.proposals) <= MAX_PROPOSALS:
            raise ValueError(f"an SA payload of {len(self.proposals)} proposals")
        parts: list[bytes] = [_IDENTITY_ONLY]
        left = len(self.proposals)
        for number, protocol, spi, transforms in self.proposals:
            left -= 1
            octets = _write_transforms(transforms)
            length = _PROPOSAL_OCTETS + len(spi) + len(octets)
            following = _MORE_PROPOSALS if left else _LAST
            head = _PROPOSAL.pack(following, 0, length, number, protocol, len(spi), len(transforms))
            parts += (head, spi, octets)
        return b"".join(parts)


def _read_proposals(body: bytes) -> tuple[Proposal, ...]:
    proposals: list[Proposal] = []
    start, end, following = _SITUATION_OCTETS, len(body), _MORE_PROPOSALS
    while following != _LAST:
        if len(proposals) == MAX_PROPOSALS:
            raise WireError(f"more than {MAX_PROPOSALS} proposals")
        following, reserved, length, number, protocol, spi_octets, count = _PROPOSAL.unpack_from(body, start)
        transforms_at = start + _PROPOSAL_OCTETS + spi_octets
        stop = start + length
        if not transforms_at <= stop <= end or following not in (_LAST, _MORE_PROPOSALS) or reserved:
            raise WireError(f"proposal {number} is malformed")
        kind = protocol_id(protocol)
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
        following, reserved, length, number, kind, _ = _TRANSFORM.unpack_from(octets, start)
        stop = start + length
        last = following == (_MORE_TRANSFORMS if left else _LAST)
        if length < _TRANSFORM_OCTETS or stop > end or not last or reserved:
            raise WireError(f"transform {len(transforms) + 1} of {count} is malformed")
        transforms.append(Transform(number, kind, read_attributes(octets[start + _TRANSFORM_OCTETS : stop])))
        start = stop
    if start != end:
        raise WireError(f"{end - start} octets follow {count} transforms")
    return tuple(transforms)


@lru_cache(REMEMBERED)
def _write_transforms(transforms: tuple[Transform, ...]) -> bytes:
    parts: list[bytes] = []
    left = len(transforms)
    for number, kind, attributes in transforms:
        left -= 1
        octets = write_attributes(attributes)
        following = _MORE_TRANSFORMS if left else _LAST
        parts += (_TRANSFORM.pack(following, 0, _TRANSFORM_OCTETS + len(octets), number, kind, 0), octets)
    return b"".join(parts)
