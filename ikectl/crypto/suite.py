"""Suites: what one transform of each type amounts to, for an IKE SA and for a child."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from ikectl.crypto import transforms as table
from ikectl.crypto.cipher import BoundAead, BoundPair, SkCipher
from ikectl.crypto.keywords import KIND_NAMES, name_of
from ikectl.crypto.prf import Prf
from ikectl.iana.v2 import KeyExchangeMethod, Protocol, TransformType
from ikectl.wire.v2.sa import Proposal, Transform

REMEMBERED_SUITES = 512

_OPTIONAL_TYPES = table.KEY_EXCHANGES | {TransformType.INTEG, TransformType.ESN}


def absent(transform: Transform) -> bool:
    """The transform stands for doing without its type, so leaving it out means the same (§3.3.2).

    Not one with attributes, which nobody defined for it: it is never to be chosen (§3.3.6).
    """
    kind, number, key_bits, unknown = transform
    return number == 0 and kind in _OPTIONAL_TYPES and not key_bits and not unknown


def unsound(protocol: Protocol, chosen: dict[TransformType, Transform]) -> str:
    """Why one transform of each type does not make a suite; empty if it does."""
    for kind in table.MANDATORY.get(protocol, ()):
        if kind not in chosen:
            return f"there is no {KIND_NAMES[kind]}"
    cipher = table.ENCRYPTION_BY_TRANSFORM.get(chosen[TransformType.ENCR]) if TransformType.ENCR in chosen else None
    integrity = chosen.get(TransformType.INTEG, table.NO_INTEGRITY) != table.NO_INTEGRITY
    if cipher is not None and cipher.combined == integrity:
        return "its cipher has integrity of its own" if integrity else "nothing protects integrity"
    if protocol is Protocol.AH and not integrity:
        return "nothing protects integrity"
    exchanges = [chosen[kind].id for kind in table.ADDITIONAL if kind in chosen and not absent(chosen[kind])]
    if not exchanges:
        return ""
    # RFC 9370 §2.2.1: the same method twice adds nothing; §2.2.4: they follow the one of CREATE_CHILD_SA.
    first = chosen.get(TransformType.KE, table.NO_KE)
    if absent(first):
        return "additional key exchanges without a first one"
    return "the same key exchange method twice" if len({first.id, *exchanges}) <= len(exchanges) else ""


@dataclass(frozen=True, slots=True)
class IkeSuite:
    """The algorithms of one IKE SA. Shared: one instance for each distinct suite."""

    encryption: table.Encryption
    integrity: table.Integrity | None
    prf_row: table.PrfRow
    ke: KeyExchangeMethod
    additional: tuple[KeyExchangeMethod, ...]
    """Additional key exchanges in order, those that are NONE left out (RFC 9370)."""
    prf: Prf = field(repr=False, compare=False)
    encryption_octets: int = field(repr=False, compare=False)
    integrity_octets: int = field(repr=False, compare=False)

    @staticmethod
    def of(proposal: Proposal) -> IkeSuite:
        """The suite of a chosen proposal. Raises ValueError if it is not one transform of each type."""
        return _ike_suite(proposal.transforms)

    def ike_cipher(self, sk_e: bytes, sk_a: bytes) -> SkCipher:
        """A cipher for one direction. Cheap: make it for a message, drop it after."""
        row = self.encryption
        if row.aead is not None:
            return BoundAead(row.aead, sk_e, row.salt_octets, row.icv_octets)
        assert row.block is not None and self.integrity is not None
        return BoundPair(row.block, sk_e, row.iv_octets, row.block_octets, self.integrity.mac, sk_a)

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """One of each type: a proposal of these has this suite."""
        integrity = (self.integrity.transform,) if self.integrity else ()
        exchanges = (Transform(TransformType.KE, self.ke),)
        more = zip(table.ADDITIONAL, self.additional, strict=False)
        return (
            self.encryption.transform,
            *integrity,
            self.prf_row.transform,
            *exchanges,
            *(Transform(kind, method) for kind, method in more),
        )

    def __str__(self) -> str:
        return "/".join(name_of(transform) for transform in self.transforms)


@dataclass(frozen=True, slots=True)
class ChildSuite:
    """The algorithms of one child. Shared: one instance for each distinct suite."""

    protocol: Protocol
    encryption: table.Encryption | None
    integrity: table.Integrity | None
    ke: KeyExchangeMethod | None
    """None if the child has no key exchange of its own."""
    additional: tuple[KeyExchangeMethod, ...]
    esn: bool
    encryption_octets: int = field(repr=False, compare=False)
    integrity_octets: int = field(repr=False, compare=False)

    @staticmethod
    def of(proposal: Proposal) -> ChildSuite:
        """The suite of a chosen proposal. Raises ValueError if it is not one transform of each type."""
        return _child_suite(proposal.protocol, proposal.transforms)

    def __str__(self) -> str:
        names = []
        if self.encryption is not None:
            names.append(name_of(self.encryption.transform))
        if self.integrity is not None:
            names.append(self.integrity.name)
        if self.ke is not None:
            names.append(name_of(Transform(TransformType.KE, self.ke)))
        names += [
            name_of(Transform(kind, method)) for kind, method in zip(table.ADDITIONAL, self.additional, strict=False)
        ]
        names.append("EXT_SEQ" if self.esn else "NO_EXT_SEQ")
        return "/".join(names)


@lru_cache(REMEMBERED_SUITES)
def _ike_suite(transforms: tuple[Transform, ...]) -> IkeSuite:
    chosen = _single(Protocol.IKE, transforms)
    encryption = table.ENCRYPTION_BY_TRANSFORM[chosen[TransformType.ENCR]]
    integrity = table.INTEGRITY_BY_TRANSFORM.get(chosen.get(TransformType.INTEG, table.NO_INTEGRITY))
    prf = table.PRF_BY_TRANSFORM[chosen[TransformType.PRF]]
    return _shared_ike(
        IkeSuite(
            encryption,
            integrity,
            prf,
            KeyExchangeMethod(chosen[TransformType.KE].id),
            _additional(chosen),
            prf.prf,
            encryption.key_octets,
            integrity.key_octets if integrity else 0,
        )
    )


@lru_cache(REMEMBERED_SUITES)
def _child_suite(protocol: Protocol, transforms: tuple[Transform, ...]) -> ChildSuite:
    chosen = _single(protocol, transforms)
    encryption = table.ENCRYPTION_BY_TRANSFORM[chosen[TransformType.ENCR]] if TransformType.ENCR in chosen else None
    integrity = table.INTEGRITY_BY_TRANSFORM.get(chosen.get(TransformType.INTEG, table.NO_INTEGRITY))
    method = chosen.get(TransformType.KE, table.NO_KE)
    return _shared_child(
        ChildSuite(
            protocol,
            encryption,
            integrity,
            None if method == table.NO_KE else KeyExchangeMethod(method.id),
            _additional(chosen),
            chosen.get(TransformType.ESN) == table.ESN,
            encryption.key_octets if encryption else 0,
            integrity.key_octets if integrity else 0,
        )
    )


@lru_cache(REMEMBERED_SUITES)
def _shared_ike(suite: IkeSuite) -> IkeSuite:
    return suite


@lru_cache(REMEMBERED_SUITES)
def _shared_child(suite: ChildSuite) -> ChildSuite:
    return suite


def _single(protocol: Protocol, transforms: tuple[Transform, ...]) -> dict[TransformType, Transform]:
    chosen = {transform.type: transform for transform in transforms}
    why = "several transforms of one type" if len(chosen) != len(transforms) else unsound(protocol, chosen)
    unknown = [t for t in transforms if table.row_of(t) is None and not absent(t) and t != table.ESN]
    if why or unknown:
        text = "/".join(name_of(transform) for transform in transforms)
        raise ValueError(f"{text} is no suite: {why or 'unknown transforms'}")
    return chosen


def _additional(chosen: dict[TransformType, Transform]) -> tuple[KeyExchangeMethod, ...]:
    methods = (chosen[kind].id for kind in table.ADDITIONAL if kind in chosen)
    return tuple(KeyExchangeMethod(number) for number in methods if number != KeyExchangeMethod.NONE)
