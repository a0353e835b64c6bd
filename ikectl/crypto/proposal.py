"""Offering and choosing proposals (RFC 7296 §2.7, §3.3, §3.3.6; RFC 5282 §8 for ciphers with integrity).

Text forms are in `keywords`, what a choice amounts to in `suite`; both are
named here as well, for this is where others look for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from ikectl.crypto import transforms as table
from ikectl.crypto.distinct import completes
from ikectl.crypto.keywords import (
    KIND_NAMES,
    default_ah,
    default_esp,
    default_ike,
    describe,
    format_proposal,
    name_of,
    parse_proposal,
)
from ikectl.crypto.suite import ChildSuite, IkeSuite, absent, unsound
from ikectl.errors import NoProposalChosen, PeerMisbehaved
from ikectl.iana.v2 import Protocol, TransformType
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

MAX_REMEMBERED_TRANSFORMS = 64
"""A peer's longer proposals are judged afresh each time, so that what strangers leave here is bounded in octets too."""

KNOWN_TYPES = frozenset(TransformType)
MAX_ADVISED = 16
"""Transforms of a peer's proposal that are worth showing in a line."""
MAX_WORDS = 100
"""Characters of a proposal of ours that are worth saying twice."""


def offer(configured: Iterable[Proposal], spi: bytes = b"", *, without_ke: bool = False) -> tuple[Proposal, ...]:
    """Configured proposals as they go out: numbered from 1 (§3.3.1), with our SPI.

    `without_ke` leaves key exchanges out, for the child of IKE_AUTH (§1.2).
    """
    laid_out = _offer(tuple(configured), without_ke)
    return tuple([proposal._replace(spi=spi) for proposal in laid_out]) if spi else laid_out


@lru_cache(REMEMBERED_SELECTIONS)
def _offer(configured: tuple[Proposal, ...], without_ke: bool) -> tuple[Proposal, ...]:
    wanted = dict.fromkeys((p.protocol, _without_ke(p.transforms) if without_ke else p.transforms) for p in configured)
    return tuple(Proposal(number, protocol, b"", ts) for number, (protocol, ts) in enumerate(wanted, 1))


def select(offered: Sequence[Proposal], configured: Sequence[Proposal], *, without_ke: bool = False) -> Proposal:
    """The first configured proposal that an offered one meets, with one transform of each type it offered.

    Our order of proposals and of transforms is preferred. Number and SPI are
    the offered ones. `without_ke`: inside IKE_AUTH key exchanges are ignored
    on both sides and none is in the result (§1.2).

    Raises NoProposalChosen, whose text says what failed in the nearest pair.
    """
    search = _select if _worth_remembering(offered) else _select.__wrapped__
    found = search(tuple([(protocol, ts) for _, protocol, _, ts in offered]), tuple(configured), without_ke)
    if isinstance(found, _Misfit):
        refusal = NoProposalChosen(found.why)
        refusal.distance = found.distance
        raise refusal
    index, transforms = found
    number, protocol, spi, _ = offered[index]
    return Proposal(number, protocol, spi, transforms)


def accepted(offered: Sequence[Proposal], answer: Proposal) -> Proposal:
    """The answer, once it is a legal choice out of our offer (§2.7, §3.3.6).

    Raises PeerMisbehaved.
    """
    number, protocol, _, chosen = answer
    judge = _judge if _worth_remembering((answer,)) else _judge.__wrapped__
    for proposal in offered:
        if proposal.number == number and proposal.protocol == protocol:
            why = judge(protocol, proposal.transforms, chosen)
            if why:
                raise PeerMisbehaved(f"the peer chose {describe(answer) or 'nothing'} of proposal {number}: {why}")
            return answer
    raise PeerMisbehaved(f"the peer chose proposal {number} for {protocol}, which we never offered")


def _worth_remembering(received: Sequence[Proposal]) -> bool:
    """Whether a peer's proposals are few and short. One unknown attribute alone may have 64 KiB."""
    left = MAX_REMEMBERED_TRANSFORMS
    for _, _, _, transforms in received:
        left -= 1 + len(transforms)
        if left < 0:
            return False
        for transform in transforms:
            if transform.unknown:
                return False
    return True


@lru_cache(REMEMBERED_SELECTIONS)
def _judge(protocol: Protocol, ours: tuple[Transform, ...], chosen: tuple[Transform, ...]) -> str:
    """Why `chosen` is no choice out of `ours`; empty if it is."""
    kinds = {transform.type for transform in chosen}
    if len(kinds) != len(chosen):
        return "several transforms of one type"
    for transform in chosen:
        if transform not in ours:
            return f"it does not offer {name_of(transform)}"
    for transform in ours:
        # A transform that says "none of it" may be left out of the answer.
        if transform.type not in kinds and not any(absent(t) for t in ours if t.type == transform.type):
            return f"there is no {KIND_NAMES[transform.type]}"
    return unsound(protocol, {transform.type: transform for transform in chosen})


def _without_ke(transforms: tuple[Transform, ...]) -> tuple[Transform, ...]:
    return tuple(transform for transform in transforms if transform.type not in table.KEY_EXCHANGES)


class _Misfit(NamedTuple):
    """Nothing fits."""

    distance: int
    """Types of transforms that failed in the nearest pair."""
    why: str


@lru_cache(REMEMBERED_SELECTIONS)
def _select(
    offered: tuple[tuple[Protocol, tuple[Transform, ...]], ...],
    configured: tuple[Proposal, ...],
    without_ke: bool,
) -> tuple[int, tuple[Transform, ...]] | _Misfit:
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
        return _Misfit(len(TransformType), f"the peer offers {kinds}; configured is {wanted_kinds}")
    failed, index, ours = nearest
    having, wanted = theirs[index][1], _by_type(ours.transforms, without_ke)
    why = "; ".join(_differ(kind, having.get(kind, []), wanted.get(kind, [])) for kind in failed[:8])
    advice = _advice(Proposal(1, ours.protocol, b"", offered[index][1]), ours, without_ke)
    told = f"nearest are the peer's proposal {index + 1} and our {format_proposal(ours)}: {why}; {advice}"
    return _Misfit(len(failed), told + _rest(offered, configured, ours))


def _advice(theirs: Proposal, ours: Proposal, without_ke: bool) -> str:
    """What makes the nearest two meet, at either end."""
    key = "proposals" if ours.protocol is Protocol.IKE else f"{ours.protocol.name.lower()}_proposals"
    own = format_proposal(ours)
    advice = "let the peer offer " + (own if len(own) <= MAX_WORDS else "something of that")
    wanted = _without_ke(theirs.transforms) if without_ke else theirs.transforms
    words = format_proposal(theirs._replace(transforms=wanted)) if len(wanted) <= MAX_ADVISED else ":"
    if ":" in words:  # something of it has no keyword, or it is not worth a line
        return advice
    return f"{advice}, or take {words} into {key}"


def _rest(
    offered: Sequence[tuple[Protocol, tuple[Transform, ...]]], configured: Sequence[Proposal], nearest: Proposal
) -> str:
    """What else there is at either end, where that is more than what was compared; bounded."""
    told = ""
    if len(offered) > 1:
        shown = ["/".join(name_of(transform) for transform in ts[:MAX_ADVISED]) for _, ts in offered[:3]]
        told += f"; offered in all: {', '.join(shown)}" + (", ..." if len(offered) > 3 else "")
    others = [format_proposal(proposal) for proposal in configured[:3] if proposal is not nearest]
    if others:
        told += f"; configured as well: {', '.join(others)}" + (", ..." if len(configured) > 3 else "")
    return told


def _by_type(transforms: tuple[Transform, ...], without_ke: bool) -> dict[TransformType, list[Transform]]:
    kinds: dict[TransformType, list[Transform]] = {}
    for transform in transforms:
        if not (without_ke and transform.type in table.KEY_EXCHANGES):
            kinds.setdefault(transform.type, []).append(transform)
    return kinds


def _match(
    having: dict[TransformType, list[Transform]], wanted: dict[TransformType, list[Transform]]
) -> tuple[list[Transform], list[TransformType]]:
    """One transform of each type, in the order of type numbers; and the types that failed.

    No key exchange method is chosen twice, and without a first key exchange
    there are no additional ones (RFC 9370 §2.2.1, §2.2.4).
    """
    failed = [kind for kind in having if kind not in KNOWN_TYPES]
    bound = _bound(having, wanted)
    chosen: list[Transform] = []
    methods: list[int] = []
    combined = False
    for kind in TransformType:
        offers, wishes = having.get(kind, []), wanted.get(kind, [])
        if not offers and not wishes:
            continue
        if kind is TransformType.INTEG and combined:
            # RFC 5282 §8: beside such a cipher no integrity transform, or the one that says NONE.
            wishes = [table.NO_INTEGRITY]
        if kind in table.ADDITIONAL:
            wishes = [wish for wish in wishes if absent(wish) or (methods and wish.id not in methods)]
        common = next((wish for wish in wishes if wish in offers), None)
        if bound and common is not None and kind in table.KEY_EXCHANGES:
            later = [ids for other, ids in bound.items() if other > kind]
            fits = (wish for wish in wishes if wish in offers and _leaves_enough(wish, later, methods))
            common = next(fits, common)
        if common is None and not wishes:
            common = next((offered for offered in offers if absent(offered)), None)
        if common is not None:
            chosen.append(common)
            if kind in table.KEY_EXCHANGES and not absent(common):
                methods.append(common.id)
            if kind is TransformType.ENCR:
                combined = table.ENCRYPTION_BY_TRANSFORM[common].combined
        elif offers or not any(absent(wish) for wish in wishes):
            failed.append(kind)  # else they leave out what we can do without
    return chosen, failed


def _bound(
    having: dict[TransformType, list[Transform]], wanted: dict[TransformType, list[Transform]]
) -> dict[TransformType, list[int]]:
    """The additional key exchanges that there must be, and the methods that both ends take for each."""
    found: dict[TransformType, list[int]] = {}
    for kind in table.ADDITIONAL:
        common = [wish for wish in wanted.get(kind, ()) if wish in having.get(kind, ())]
        if common and not any(map(absent, common)):
            found[kind] = [wish.id for wish in common]
    return found


def _leaves_enough(wish: Transform, later: list[list[int]], methods: list[int]) -> bool:
    """Whether with that choice every later additional key exchange still gets a method of its own."""
    if absent(wish):
        return completes(later, methods) if methods else not later
    return completes(later, [*methods, wish.id])


def _differ(kind: TransformType, offers: list[Transform], wishes: list[Transform]) -> str:
    """Bounded, whatever the peer sent."""
    if kind not in KNOWN_TYPES:
        return f"the peer wants a transform of the unknown type {int(kind)}"
    shown = ", ".join(name_of(transform) for transform in offers[:8]) or "none"
    more = ", ..." if len(offers) > 8 else ""
    ours = ", ".join(name_of(transform) for transform in wishes) or "none"
    if kind in table.ADDITIONAL and any(wish in offers for wish in wishes):
        return f"{KIND_NAMES[kind]} cannot be {ours}: it needs a first key exchange, and a method not chosen before"
    return f"no common {KIND_NAMES[kind]} (offered {shown}{more}; configured {ours})"
