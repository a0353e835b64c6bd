"""What an IKEv1 transform says: attributes in either form and any order (RFC 2408 §3.3, §3.6), and the rows they name.

One `transforms` table serves both versions. Here it is found by IKEv1's numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from ikectl.crypto import transforms as table
from ikectl.errors import WireError
from ikectl.iana import v1
from ikectl.iana.registry import Registry
from ikectl.iana.v2 import KeyExchangeMethod, TransformType
from ikectl.wire.v1.attributes import Attribute, number
from ikectl.wire.v1.sa import Transform
from ikectl.wire.v2.sa import Proposal as Configured

MAX_CONSIDERED = 256
"""How many transforms of an offer are looked at: more than any peer has use for, and a bound to what one costs."""

MAX_LIFE = 0xFFFFFFFF
"""Longest lifetime reported, in seconds or kilobytes: 136 years, 4 TiB. A longer one bounds nothing."""

REMEMBERED_OFFERS = 64
"""How many sequences of transforms are remembered as they were understood: peers come in crowds of one kind."""

MAX_REMEMBERED_ATTRIBUTES = 512
MAX_REMEMBERED_OCTETS = 8
"""A longer sequence, or one with a longer value, is read afresh each time, so that what strangers leave is bounded."""

DEFAULT_AES_BITS = 128
"""What AES-CBC means without a key length; old peers leave it out, though RFC 3602 §5.3 wants it sent."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long an SA may live (RFC 2409 App. A, RFC 2407 §4.5). 0 is no limit of that kind."""

    seconds: int = 0
    kilobytes: int = 0

    def meet(self, other: Lifetime) -> Lifetime:
        """The shorter one of each kind."""
        return Lifetime(_shorter(self.seconds, other.seconds), _shorter(self.kilobytes, other.kilobytes))

    def within(self, limit: Lifetime) -> bool:
        """Whether it is nowhere longer than `limit`. Where it says nothing, `limit` stands."""
        pairs = ((self.seconds, limit.seconds), (self.kilobytes, limit.kilobytes))
        return all(mine <= theirs for mine, theirs in pairs if theirs)


def _shorter(one: int, other: int) -> int:
    return min(one, other) if one and other else one or other


NO_LIMIT = Lifetime()


class Phase(NamedTuple):
    """Where the numbering of attributes differs between both phases."""

    registry: type[v1.Phase1Attribute] | type[v1.Phase2Attribute]
    understood: frozenset[int]
    life_type: int
    life_duration: int


_P1, _P2 = v1.Phase1Attribute, v1.Phase2Attribute

PHASE1 = Phase(
    _P1,
    frozenset((_P1.ENCRYPTION, _P1.HASH, _P1.AUTH_METHOD, _P1.GROUP, _P1.KEY_LENGTH)),
    _P1.LIFE_TYPE,
    _P1.LIFE_DURATION,
)
"""Groups of the peer's own making and prfs that are no HMAC of the hash are not understood."""

PHASE2 = Phase(
    _P2,
    frozenset((_P2.GROUP, _P2.ENCAPSULATION_MODE, _P2.AUTH_ALGORITHM, _P2.KEY_LENGTH, _P2.EXT_SEQ)),
    _P2.LIFE_TYPE,
    _P2.LIFE_DURATION,
)


class Said(NamedTuple):
    """A transform's attributes as numbers. With a `flaw` it is not to be chosen; the rest then serves to explain."""

    numbers: dict[int, int]
    lifetime: Lifetime
    flaw: str


def said(transform: Transform, phase: Phase) -> Said:
    """What the attributes of a transform say. Never raises: what is wrong is the flaw."""
    numbers: dict[int, int] = {}
    lives: tuple[list[int], list[int]] = [], []
    flaw = ""
    for attribute in transform.attributes:
        kind = attribute.type
        try:
            value = number(attribute)
        except WireError:
            flaw = flaw or f"its attribute {_named(phase, kind)} is no number"
            continue
        if kind in (phase.life_type, phase.life_duration):
            lives[kind == phase.life_duration].append(value)
        elif kind not in phase.understood:
            flaw = flaw or f"its attribute {_named(phase, kind)} is not understood here"
        elif numbers.setdefault(kind, value) != value:
            flaw = flaw or f"it has the attribute {_named(phase, kind)} twice"
    lifetime = _lifetime(*lives)
    if lifetime is None:
        return Said(numbers, NO_LIMIT, flaw or "its lifetimes have no meaning")
    return Said(numbers, lifetime, flaw)


def _named(phase: Phase, kind: int) -> str:
    known = phase.registry(kind)
    return known.name if known.assigned else str(kind)


def _lifetime(types: list[int], durations: list[int]) -> Lifetime | None:
    """A duration counts what the type of the same place says, seconds if there is none (RFC 2407 §4.5)."""
    if len(durations) == 1 and not types:
        types = [v1.LifeType.SECONDS]
    if len(types) != len(durations) or len(set(types)) != len(types):
        return None
    found = dict(zip(types, (min(duration, MAX_LIFE) for duration in durations), strict=True))
    lifetime = Lifetime(found.pop(v1.LifeType.SECONDS, 0), found.pop(v1.LifeType.KILOBYTES, 0))
    return None if found else lifetime


def worth_remembering(transforms: tuple[Transform, ...]) -> bool:
    """Whether a peer's transforms are few and short."""
    left = MAX_REMEMBERED_ATTRIBUTES
    for _, _, attributes in transforms:
        left -= 1 + len(attributes)
        if left < 0:
            return False
        for _, value in attributes:
            if value.__class__ is bytes and len(value) > MAX_REMEMBERED_OCTETS:
                return False
    return True


def life_attributes(lifetime: Lifetime, phase: Phase) -> tuple[Attribute, ...]:
    """Type and duration of each limit there is."""
    limits = ((v1.LifeType.SECONDS, lifetime.seconds), (v1.LifeType.KILOBYTES, lifetime.kilobytes))
    return tuple(
        Attribute(kind, value)
        for unit, limit in limits
        if limit
        for kind, value in ((phase.life_type, int(unit)), (phase.life_duration, min(limit, MAX_LIFE)))
    )


# -- rows by IKEv1's numbers ---------------------------------------------------


class Ciphers:
    """The ciphers of one phase, by number and key bits; 0 bits stands for a fixed length."""

    def __init__(self, registry: type[Registry], aes: int, rows: Iterable[tuple[int, table.Encryption]]) -> None:
        self._registry = registry
        self._aes = aes
        self._rows = {(n, row.key_bits if row.key_attribute else 0): row for n, row in rows if n}

    def bits(self, cipher: int, bits: int) -> int:
        """The key length a transform means: 0 for ciphers of one length, also if it is said all the same."""
        fixed = self._rows.get((cipher, 0))
        if fixed is not None:
            return 0 if bits == fixed.key_bits else bits
        return DEFAULT_AES_BITS if cipher == self._aes and not bits else bits

    def row(self, cipher: int, bits: int) -> table.Encryption | None:
        """The row, or None for what we do not have."""
        return self._rows.get((cipher, bits))

    def name(self, cipher: int, bits: int) -> str:
        """What operators read."""
        row = self._rows.get((cipher, bits))
        name = row.name if row is not None else str(self._registry(cipher))
        return f"{name}_{bits}" if bits else name


IKE_CIPHERS = Ciphers(v1.EncryptionId, v1.EncryptionId.AES_CBC, ((row.v1_ike, row) for row in table.ENCRYPTION))
ESP_CIPHERS = Ciphers(v1.EspTransform, v1.EspTransform.AES_CBC, ((row.v1_esp, row) for row in table.ENCRYPTION))
HASHES = {row.v1_hash: row for row in table.PRF if row.v1_hash}
GROUPS = {row.v1_group: row for row in table.KE if row.v1_group}
AUTHENTICATORS = {row.v1_auth: row for row in table.INTEGRITY if row.v1_auth}
AH_AUTHENTICATORS = {row.v1_ah: row for row in table.INTEGRITY if row.v1_ah}


def usable(proposal: Configured) -> bool:
    """Whether IKEv1 can do what a proposal demands: it has no additional key exchanges (RFC 9370)."""
    wanted = {t.type for t in proposal.transforms if t.type in table.ADDITIONAL}
    spared = {t.type for t in proposal.transforms if t.id == KeyExchangeMethod.NONE}
    return wanted <= spared


def groups_of(proposal: Configured) -> tuple[KeyExchangeMethod | None, ...]:
    """The groups of a proposal that IKEv1 has, in order; None where it may do without (`none`, or no group at all)."""
    methods = [KeyExchangeMethod(t.id) for t in proposal.transforms if t.type is TransformType.KE]
    if not methods:
        return (None,)
    none = KeyExchangeMethod.NONE
    return tuple(
        None if method is none else method
        for method in methods
        if method is none or (method in table.KE_BY_METHOD and table.KE_BY_METHOD[method].v1_group)
    )


def group_name(group: int) -> str:
    """What operators read for a group's number; 0 for none."""
    return GROUPS[group].name if group in GROUPS else str(group or "none")
