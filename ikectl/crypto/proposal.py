"""Proposals: their text form, the default ones, selection, and the suite that a chosen one makes.

Keyword strings are those of swanctl.conf and exist here alone; inside, a
proposal is made of typed transforms (`wire.v2.sa`). Selection keeps to RFC
7296 §2.7, §3.3 and §3.3.6, and to RFC 5282 §8 for ciphers that protect
integrity as well.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from ikectl.crypto import transforms as table
from ikectl.crypto.cipher import BoundAead, BoundPair, SkCipher
from ikectl.crypto.prf import Prf
from ikectl.errors import NoProposalChosen, PeerMisbehaved
from ikectl.iana.v2 import EsnId, KeyExchangeMethod, Protocol, TransformType
from ikectl.wire.v2.sa import Proposal, Transform

__all__ = [
    "ChildSuite",
    "IkeSuite",
    "Proposal",
    "Transform",
    "accepted",
    "default_ah",
    "default_esp",
    "default_ike",
    "describe",
    "format_proposal",
    "offer",
    "parse_proposal",
    "select",
]

REMEMBERED_SELECTIONS = 512
REMEMBERED_SUITES = 512

ADDITIONAL = tuple(TransformType(number) for number in range(TransformType.ADDKE1, TransformType.ADDKE7 + 1))
"""Additional key exchanges (RFC 9370 §2.2.1)."""

KEY_EXCHANGES = frozenset((TransformType.KE, *ADDITIONAL))

KNOWN_TYPES = frozenset(TransformType)

MANDATORY: dict[Protocol, tuple[TransformType, ...]] = {
    Protocol.IKE: (TransformType.ENCR, TransformType.PRF, TransformType.KE),
    Protocol.ESP: (TransformType.ENCR,),
    Protocol.AH: (TransformType.INTEG,),
}
"""Without these a proposal is none (RFC 7296 §3.3.3). Integrity beside a cipher depends on the cipher."""

DEFAULT_IKE_HYBRID = (
    "aes256gcm16-chacha20poly1305-aes128gcm16-prfsha384-prfsha256-prfsha512-x25519-ecp384-ke1_mlkem768-ke1_mlkem1024",
)
DEFAULT_IKE = (
    "aes256gcm16-chacha20poly1305-aes128gcm16-prfsha384-prfsha256-prfsha512-x25519-ecp256-ecp384-x448-modp3072-modp2048",
    "aes256-aes128-sha384-sha256-sha512-x25519-ecp256-ecp384-x448-modp3072-modp2048",
)
DEFAULT_ESP = (
    "aes256gcm16-chacha20poly1305-aes128gcm16-esn-noesn",
    "aes256-aes128-sha384-sha256-sha512-esn-noesn",
)
DEFAULT_AH = ("sha384-sha256-sha512-esn-noesn",)


# -- text ----------------------------------------------------------------


def parse_proposal(text: str, protocol: Protocol) -> Proposal:
    """A proposal from keywords joined by "-", as in swanctl.conf. Its number is 1 and it has no SPI.

    Of several keywords of one kind the first is preferred. An IKE proposal
    that names no prf takes those of its integrity algorithms. `ke1_` to `ke7_`
    before a key exchange make it an additional one (RFC 9370); `none` makes a
    key exchange optional.

    Raises ValueError, with a suggestion, for unknown words and for
    combinations that cannot work.
    """
    found: dict[TransformType, dict[Transform, None]] = {kind: {} for kind in TransformType}
    for word in text.strip().lower().split("-"):
        transform = _parse_word(word.strip())
        found[transform.type][transform] = None
    chosen = {kind: list(transforms) for kind, transforms in found.items() if transforms}
    _complete(chosen, protocol, text)
    return Proposal(1, protocol, b"", tuple(t for kind in TransformType for t in chosen.get(kind, ())))


def default_ike(*, hybrid: bool = False) -> tuple[Proposal, ...]:
    """What "default" means for an IKE SA.

    `hybrid` puts a proposal with ML-KEM beside the classic exchange (RFC 9370)
    before the others; it needs IKE_INTERMEDIATE.
    """
    return _parsed((*DEFAULT_IKE_HYBRID, *DEFAULT_IKE) if hybrid else DEFAULT_IKE, Protocol.IKE)


def default_esp() -> tuple[Proposal, ...]:
    """What "default" means for ESP: no key exchange of its own."""
    return _parsed(DEFAULT_ESP, Protocol.ESP)


def default_ah() -> tuple[Proposal, ...]:
    """What "default" means for AH."""
    return _parsed(DEFAULT_AH, Protocol.AH)


def format_proposal(proposal: Proposal) -> str:
    """The keywords of a proposal; what has none is written as type and number."""
    return "-".join(_keyword(transform) for transform in proposal.transforms)


def describe(proposal: Proposal) -> str:
    """What operators read, such as `AES_GCM_16_256/PRF_HMAC_SHA2_256/CURVE_25519`."""
    return "/".join(_name(transform) for transform in proposal.transforms)


@lru_cache(16)
def _parsed(texts: tuple[str, ...], protocol: Protocol) -> tuple[Proposal, ...]:
    return tuple(parse_proposal(text, protocol)._replace(number=number) for number, text in enumerate(texts, 1))


def _parse_word(word: str) -> Transform:
    fixed = _FIXED_WORDS.get(word)
    if fixed is not None:
        return fixed
    kind = TransformType.KE
    bare = word
    if word[:2] == "ke" and word[3:4] == "_" and word[2:3] in tuple("1234567"):
        kind, bare = ADDITIONAL[int(word[2]) - 1], word[4:]
        if bare == "none":
            return Transform(kind, KeyExchangeMethod.NONE)
    row = table.BY_KEYWORD.get(bare)
    if row is None or (bare != word and not isinstance(row, table.KeRow)):
        words = [*table.BY_KEYWORD, *_FIXED_WORDS]
        close = difflib.get_close_matches(bare, words, n=1)
        raise ValueError(f'unknown algorithm "{word}"' + (f': did you mean "{close[0]}"?' if close else ""))
    return row.transform if kind is TransformType.KE else Transform(kind, row.id)


_FIXED_WORDS = {"esn": table.ESN, "noesn": table.NO_ESN, "none": table.NO_KE, "modpnone": table.NO_KE}


def _complete(found: dict[TransformType, list[Transform]], protocol: Protocol, text: str) -> None:
    """Fill in what the text may leave out, drop what the protocol has no use for, refuse the impossible."""
    T = TransformType
    if protocol is Protocol.AH:
        for kind in (T.ENCR, T.PRF):
            found.pop(kind, None)
    if protocol is Protocol.IKE:
        found.pop(T.ESN, None)
        _complete_ike(found, text)
    else:
        found.pop(T.PRF, None)
        found.setdefault(T.ESN, [table.NO_ESN])
    combined = {table.ENCRYPTION_BY_TRANSFORM[t].combined for t in found.get(T.ENCR, ())}
    if combined == {True, False}:
        raise ValueError(f'"{text}" mixes ciphers with and without integrity of their own: make two proposals of it')
    if combined == {True}:
        found.pop(T.INTEG, None)
    elif T.INTEG not in found:
        raise ValueError(f'"{text}" has no integrity algorithm, such as sha256')
    for kind in MANDATORY[protocol]:
        if kind not in found:
            raise ValueError(f'"{text}" has no {_KIND_NAMES[kind]}, such as {_EXAMPLES[kind]}')


def _complete_ike(found: dict[TransformType, list[Transform]], text: str) -> None:
    T = TransformType
    for transform in found.get(T.ENCR, ()):
        row = table.ENCRYPTION_BY_TRANSFORM[transform]
        if not row.ike:
            raise ValueError(f'"{row.keywords[0]}" cannot protect an IKE SA')
    if T.PRF not in found:
        ids = [table.INTEGRITY_BY_TRANSFORM[t].prf for t in found.get(T.INTEG, ())]
        found[T.PRF] = [Transform(T.PRF, number) for number in ids]
        if not ids:
            del found[T.PRF]
    if table.NO_KE in found.get(T.KE, ()):
        raise ValueError("an IKE SA cannot do without a key exchange")


_KIND_NAMES = {
    TransformType.ENCR: "encryption algorithm",
    TransformType.PRF: "pseudo-random function",
    TransformType.INTEG: "integrity algorithm",
    TransformType.KE: "key exchange",
    TransformType.ESN: "sequence numbers",
} | {kind: f"additional key exchange {number}" for number, kind in enumerate(ADDITIONAL, 1)}

_EXAMPLES = {
    TransformType.ENCR: "aes256gcm16",
    TransformType.PRF: "prfsha256",
    TransformType.INTEG: "sha256",
    TransformType.KE: "x25519",
}


def _row(transform: Transform) -> table.Row | None:
    kind, number, _, _ = transform
    return table.BY_TRANSFORM.get(Transform(TransformType.KE, number) if kind in ADDITIONAL else transform)


def _keyword(transform: Transform) -> str:
    kind, number, key_bits, _ = transform
    prefix = f"ke{ADDITIONAL.index(kind) + 1}_" if kind in ADDITIONAL else ""
    row = _row(transform)
    if row is not None:
        return prefix + row.keywords[0]
    if kind in KEY_EXCHANGES and number == KeyExchangeMethod.NONE:
        return prefix + "none"
    if kind is TransformType.ESN and number in (EsnId.NO_ESN, EsnId.ESN):
        return "esn" if number else "noesn"
    if transform == table.NO_INTEGRITY:
        return "noauth"
    return f"{prefix}{int(kind)}:{number}" + (f":{key_bits}" if key_bits else "")


def _name(transform: Transform) -> str:
    kind, number, key_bits, _ = transform
    prefix = f"KE{ADDITIONAL.index(kind) + 1}_" if kind in ADDITIONAL else ""
    row = _row(transform)
    if row is not None:
        return f"{prefix}{row.name}_{key_bits}" if key_bits else prefix + row.name
    if kind in KEY_EXCHANGES and number == KeyExchangeMethod.NONE:
        return prefix + "KE_NONE"
    if kind is TransformType.ESN and number in (EsnId.NO_ESN, EsnId.ESN):
        return "EXT_SEQ" if number else "NO_EXT_SEQ"
    if transform == table.NO_INTEGRITY:
        return "INTEG_NONE"
    return f"{prefix}{int(kind)}:{number}" + (f"_{key_bits}" if key_bits else "")


# -- offering and choosing -------------------------------------------------


def offer(configured: Iterable[Proposal], spi: bytes = b"", *, without_ke: bool = False) -> tuple[Proposal, ...]:
    """Configured proposals as they go out: numbered from 1 (§3.3.1), with our SPI.

    `without_ke` leaves key exchanges out, for the child of IKE_AUTH (§1.2).
    """
    wanted = dict.fromkeys((p.protocol, _without_ke(p.transforms) if without_ke else p.transforms) for p in configured)
    return tuple(Proposal(number, protocol, spi, ts) for number, (protocol, ts) in enumerate(wanted, 1))


def select(offered: Sequence[Proposal], configured: Sequence[Proposal], *, without_ke: bool = False) -> Proposal:
    """The first configured proposal that an offered one meets, with one transform of each type it offered.

    Our order of proposals and of transforms is preferred. Number and SPI are
    the offered ones. `without_ke`: inside IKE_AUTH key exchanges are ignored
    on both sides and none is in the result (§1.2).

    Raises NoProposalChosen, whose text says what failed in the nearest pair.
    """
    found = _select(tuple([(p.protocol, p.transforms) for p in offered]), tuple(configured), without_ke)
    if isinstance(found, str):
        raise NoProposalChosen(found)
    index, transforms = found
    number, protocol, spi, _ = offered[index]
    return Proposal(number, protocol, spi, transforms)


def accepted(offered: Sequence[Proposal], answer: Proposal) -> Proposal:
    """The answer, once it is a legal choice out of our offer (§2.7, §3.3.6).

    Raises PeerMisbehaved.
    """
    number, protocol, _, chosen = answer
    for proposal in offered:
        if proposal.number == number and proposal.protocol == protocol:
            why = _judge(protocol, proposal.transforms, chosen)
            if why:
                raise PeerMisbehaved(f"the peer chose {describe(answer) or 'nothing'} of proposal {number}: {why}")
            return answer
    raise PeerMisbehaved(f"the peer chose proposal {number} for {protocol}, which we never offered")


@lru_cache(REMEMBERED_SELECTIONS)
def _judge(protocol: Protocol, ours: tuple[Transform, ...], chosen: tuple[Transform, ...]) -> str:
    """Why `chosen` is no choice out of `ours`; empty if it is."""
    kinds = {transform.type for transform in chosen}
    if len(kinds) != len(chosen):
        return "several transforms of one type"
    for transform in chosen:
        if transform not in ours:
            return f"it does not offer {_name(transform)}"
    for transform in ours:
        # A transform that says "none of it" may be left out of the answer.
        if transform.type not in kinds and not any(_absent(t) for t in ours if t.type == transform.type):
            return f"there is no {_KIND_NAMES[transform.type]}"
    return _unsound(protocol, {transform.type: transform for transform in chosen})


def _without_ke(transforms: tuple[Transform, ...]) -> tuple[Transform, ...]:
    return tuple(transform for transform in transforms if transform.type not in KEY_EXCHANGES)


def _absent(transform: Transform) -> bool:
    """The transform stands for doing without its type, so leaving it out means the same (§3.3.2)."""
    return transform.id == 0 and transform.type in _OPTIONAL_TYPES


_OPTIONAL_TYPES = KEY_EXCHANGES | {TransformType.INTEG, TransformType.ESN}


@lru_cache(REMEMBERED_SELECTIONS)
def _select(
    offered: tuple[tuple[Protocol, tuple[Transform, ...]], ...],
    configured: tuple[Proposal, ...],
    without_ke: bool,
) -> tuple[int, tuple[Transform, ...]] | str:
    """Index of the offered proposal and the chosen transforms, or why there is none."""
    theirs = [(protocol, _by_type(transforms, without_ke)) for protocol, transforms in offered]
    nearest: tuple[list[TransformType], int, Proposal] | None = None
    for ours in configured:
        wanted = _by_type(ours.transforms, without_ke)
        for index, (protocol, having) in enumerate(theirs):
            if protocol != ours.protocol:
                continue
            chosen, failed = _match(having, wanted)
            if not failed:
                return index, tuple(chosen)
            if nearest is None or len(failed) < len(nearest[0]):
                nearest = failed, index, ours
    if nearest is None:
        kinds = ", ".join(dict.fromkeys(str(protocol) for protocol, _ in offered)) or "nothing"
        wanted_kinds = ", ".join(dict.fromkeys(str(p.protocol) for p in configured)) or "nothing"
        return f"the peer offers {kinds}; configured is {wanted_kinds}"
    failed, index, ours = nearest
    having, wanted = theirs[index][1], _by_type(ours.transforms, without_ke)
    why = "; ".join(_differ(kind, having.get(kind, []), wanted.get(kind, [])) for kind in failed[:8])
    return f"nearest are the peer's proposal {index + 1} and our {format_proposal(ours)}: {why}"


def _by_type(transforms: tuple[Transform, ...], without_ke: bool) -> dict[TransformType, list[Transform]]:
    kinds: dict[TransformType, list[Transform]] = {}
    for transform in transforms:
        if not (without_ke and transform.type in KEY_EXCHANGES):
            kinds.setdefault(transform.type, []).append(transform)
    return kinds


def _match(
    having: dict[TransformType, list[Transform]], wanted: dict[TransformType, list[Transform]]
) -> tuple[list[Transform], list[TransformType]]:
    """One transform of each type, in the order of type numbers; and the types that failed."""
    failed = [kind for kind in having if kind not in KNOWN_TYPES]
    chosen: list[Transform] = []
    combined = False
    for kind in TransformType:
        offers, wishes = having.get(kind, []), wanted.get(kind, [])
        if not offers and not wishes:
            continue
        if kind is TransformType.INTEG and combined:
            # RFC 5282 §8: beside such a cipher no integrity transform, or the one that says NONE.
            wishes = [table.NO_INTEGRITY]
        common = next((wish for wish in wishes if wish in offers), None)
        if common is None and not wishes:
            common = next((offered for offered in offers if _absent(offered)), None)
        if common is not None:
            chosen.append(common)
            if kind is TransformType.ENCR:
                combined = table.ENCRYPTION_BY_TRANSFORM[common].combined
        elif offers or not any(_absent(wish) for wish in wishes):
            failed.append(kind)  # else they leave out what we can do without
    return chosen, failed


def _differ(kind: TransformType, offers: list[Transform], wishes: list[Transform]) -> str:
    """Bounded, whatever the peer sent."""
    if kind not in KNOWN_TYPES:
        return f"the peer wants a transform of the unknown type {int(kind)}"
    shown = ", ".join(_name(transform) for transform in offers[:8]) or "none"
    more = ", ..." if len(offers) > 8 else ""
    ours = ", ".join(_name(transform) for transform in wishes) or "none"
    return f"no common {_KIND_NAMES[kind]} (offered {shown}{more}; configured {ours})"


def _unsound(protocol: Protocol, chosen: dict[TransformType, Transform]) -> str:
    """Why one transform of each type does not make a suite; empty if it does."""
    for kind in MANDATORY.get(protocol, ()):
        if kind not in chosen:
            return f"there is no {_KIND_NAMES[kind]}"
    cipher = table.ENCRYPTION_BY_TRANSFORM.get(chosen[TransformType.ENCR]) if TransformType.ENCR in chosen else None
    integrity = chosen.get(TransformType.INTEG, table.NO_INTEGRITY) != table.NO_INTEGRITY
    if cipher is not None and cipher.combined == integrity:
        return "its cipher has integrity of its own" if integrity else "nothing protects integrity"
    if protocol is Protocol.AH and not integrity:
        return "nothing protects integrity"
    return ""


# -- suites ----------------------------------------------------------------


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

    def __str__(self) -> str:
        integrity = (self.integrity.transform,) if self.integrity else ()
        exchanges = (Transform(TransformType.KE, self.ke),)
        more = zip(ADDITIONAL, self.additional, strict=False)
        chosen = (
            self.encryption.transform,
            *integrity,
            self.prf_row.transform,
            *exchanges,
            *(Transform(kind, method) for kind, method in more),
        )
        return "/".join(_name(transform) for transform in chosen)


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
            names.append(_name(self.encryption.transform))
        if self.integrity is not None:
            names.append(self.integrity.name)
        if self.ke is not None:
            names.append(_name(Transform(TransformType.KE, self.ke)))
        names += [_name(Transform(kind, method)) for kind, method in zip(ADDITIONAL, self.additional, strict=False)]
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
    why = "several transforms of one type" if len(chosen) != len(transforms) else _unsound(protocol, chosen)
    unknown = [t for t in transforms if _row(t) is None and not _absent(t) and t != table.ESN]
    if why or unknown:
        text = "/".join(_name(transform) for transform in transforms)
        raise ValueError(f"{text} is no suite: {why or 'unknown transforms'}")
    return chosen


def _additional(chosen: dict[TransformType, Transform]) -> tuple[KeyExchangeMethod, ...]:
    methods = (chosen[kind].id for kind in ADDITIONAL if kind in chosen)
    return tuple(KeyExchangeMethod(number) for number in methods if number != KeyExchangeMethod.NONE)
