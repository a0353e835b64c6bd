"""Offering and choosing proposals in IKEv1: phase 1 (RFC 2409 §4 and §5, RFC 2408 §5.4). Phase 2: `proposal_v1_child`.

What is configured has one form for both versions: a proposal with several
transforms of each type. IKEv1 wants each combination written out as one
transform, and what is chosen sent back unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, product
from typing import NamedTuple

from ikectl.crypto import transforms as table
from ikectl.crypto.keywords import format_proposal
from ikectl.crypto.proposal_v1_child import (
    Part,
    Phase2Choice,
    accepted_phase2,
    offer_phase2,
    phase2_group,
    select_phase2,
)
from ikectl.crypto.suite_v1 import IsakmpSuite
from ikectl.crypto.transforms_v1 import (
    GROUPS,
    HASHES,
    IKE_CIPHERS,
    MAX_CONSIDERED,
    NO_LIMIT,
    PHASE1,
    REMEMBERED_OFFERS,
    Lifetime,
    Said,
    group_name,
    groups_of,
    life_attributes,
    said,
    usable,
    worth_remembering,
)
from ikectl.errors import NoProposalChosen, PeerMisbehaved
from ikectl.iana.v1 import KEY_IKE, AuthMethod, HashId, Phase1Attribute, ProtocolId, auth_method
from ikectl.iana.v2 import KeyExchangeMethod, Protocol, TransformType
from ikectl.wire.v1.attributes import Attribute
from ikectl.wire.v1.sa import SA, Proposal, Transform
from ikectl.wire.v2.sa import Proposal as Configured

__all__ = [
    "Lifetime",
    "Part",
    "Phase1Choice",
    "Phase2Choice",
    "accepted_phase1",
    "accepted_phase2",
    "in_words",
    "offer_phase1",
    "offer_phase2",
    "phase1_groups",
    "phase2_group",
    "proof_of",
    "select_phase1",
    "select_phase2",
]

MAX_OFFERED = 64
"""Transforms of an offer. The first message cannot be fragmented by IKE, and some 35 fill a datagram of 1500 octets;
what no longer fits is what the operator prefers least."""

MAX_NEAREST = 64
"""How many of the peer's transforms an explanation compares with ours."""

REMEMBERED_LAYOUTS = 512

_A = Phase1Attribute


@dataclass(frozen=True, slots=True)
class Phase1Choice:
    """What was chosen in phase 1. `lifetime` is the one stated in the chosen transform."""

    answer: SA
    """What the responder sends: one proposal, one transform, as it was offered (RFC 2408 §5.4)."""
    suite: IsakmpSuite
    method: AuthMethod
    lifetime: Lifetime


class _Key(NamedTuple):
    """One combination, in IKEv1's numbers. The key length is normal: see `Ciphers.bits`."""

    cipher: int
    bits: int
    hash: int
    group: int
    method: int


class _Layout(NamedTuple):
    """A configured proposal in IKEv1's numbers, each in order of preference."""

    ciphers: tuple[tuple[int, int], ...]
    hashes: tuple[int, ...]
    groups: tuple[int, ...]

    def keys(self, methods: Sequence[AuthMethod]) -> Iterator[_Key]:
        """Every combination, the most preferred first."""
        for (cipher, bits), hashing, group, method in product(self.ciphers, self.hashes, self.groups, methods):
            yield _Key(cipher, bits, hashing, group, int(method))


@lru_cache(REMEMBERED_LAYOUTS)
def _layout(proposal: Configured) -> _Layout:
    """Nothing of what IKEv1 has no number for; ciphers with integrity of their own have none in phase 1.

    The hash is that of the integrity algorithm, whose HMAC it serves as prf;
    only where a proposal names none, that of the prf.
    """
    ciphers: list[tuple[int, int]] = []
    integrity: list[int] = []
    prfs: list[int] = []
    for transform in proposal.transforms if proposal.protocol is Protocol.IKE and usable(proposal) else ():
        row = table.row_of(transform)
        if isinstance(row, table.Encryption) and row.v1_ike:
            ciphers.append((row.v1_ike, transform.key_bits))
        elif isinstance(row, table.Integrity):
            integrity.append(table.PRF_BY_ID[row.prf].v1_hash)
        elif isinstance(row, table.PrfRow):
            prfs.append(row.v1_hash)
    hashes = tuple(dict.fromkeys(number for number in integrity or prfs if number))
    groups = tuple(table.KE_BY_METHOD[method].v1_group for method in groups_of(proposal) if method is not None)
    return _Layout(tuple(ciphers), hashes, groups)


def phase1_groups(configured: Sequence[Configured]) -> tuple[KeyExchangeMethod, ...]:
    """The groups that proposals usable in phase 1 name, in order. Aggressive mode must pick one (RFC 2409 §5)."""
    layouts = [layout for layout in map(_layout, configured) if layout.ciphers and layout.hashes]
    numbers = dict.fromkeys(number for layout in layouts for number in layout.groups)
    return tuple(GROUPS[number].id for number in numbers)


# -- offering ------------------------------------------------------------------


def offer_phase1(
    configured: Sequence[Configured],
    methods: Sequence[AuthMethod],
    lifetime: Lifetime = NO_LIMIT,
    *,
    group: KeyExchangeMethod | None = None,
) -> SA:
    """One proposal with a transform for each combination and method, our preferred ones first, MAX_OFFERED at most.

    `group` leaves the others out: in aggressive mode the public value goes
    with the offer, so all transforms must be of its group (RFC 2409 §5).

    Raises ValueError if nothing configured has numbers in IKEv1.
    """
    transforms = _written(tuple(configured), tuple(methods), lifetime, group)
    if not transforms:
        texts = ", ".join(format_proposal(proposal) for proposal in configured) or "no proposal"
        wanted = f" with {group}" if group is not None else ""
        raise ValueError(f"nothing of {texts} can be offered in IKEv1{wanted}; try aes256-sha256-modp2048")
    return SA((Proposal(1, ProtocolId.ISAKMP, b"", transforms),))


@lru_cache(REMEMBERED_LAYOUTS)
def _written(
    configured: tuple[Configured, ...],
    methods: tuple[AuthMethod, ...],
    lifetime: Lifetime,
    group: KeyExchangeMethod | None,
) -> tuple[Transform, ...]:
    only = table.KE_BY_METHOD[group].v1_group if group is not None else None
    keys = [key for proposal in configured for key in _layout(proposal).keys(methods) if only in (None, key.group)]
    life = life_attributes(lifetime, PHASE1)
    return tuple(
        Transform(number, KEY_IKE, (*_attributes(key), *life))
        for number, key in enumerate(islice(dict.fromkeys(keys), MAX_OFFERED), 1)
    )


def _attributes(key: _Key) -> tuple[Attribute, ...]:
    numbers = (
        (_A.ENCRYPTION, key.cipher),
        (_A.KEY_LENGTH, key.bits),
        (_A.HASH, key.hash),
        (_A.GROUP, key.group),
        (_A.AUTH_METHOD, key.method),
    )
    return tuple(Attribute(kind, value) for kind, value in numbers if value)


# -- choosing ------------------------------------------------------------------


def select_phase1(offered: SA, configured: Sequence[Configured], methods: Sequence[AuthMethod]) -> Phase1Choice:
    """The first of our combinations that the peer offers; our order of proposals, algorithms and methods counts.

    A lifetime of any length is accepted and reported (RFC 2407 §4.5.4).

    Raises NoProposalChosen, whose text says attribute by attribute what
    failed in the pair that comes nearest.
    """
    candidates = list(islice(_candidates(offered), MAX_CONSIDERED))
    sound: dict[_Key, _Candidate] = {}
    for candidate in candidates:
        if not candidate.said.flaw:
            sound.setdefault(candidate.key, candidate)
    for ours in configured:
        for key in _layout(ours).keys(methods):
            found = sound.get(key)
            if found is not None:
                answer = SA((Proposal(found.proposal.number, ProtocolId.ISAKMP, b"", (found.transform,)),))
                return Phase1Choice(answer, _suite(key), auth_method(key.method), found.said.lifetime)
    raise _nearest(offered, candidates, configured, methods)


class _Candidate(NamedTuple):
    """One transform. What the attributes say is remembered by the sequence it came in."""

    proposal: Proposal
    transform: Transform
    said: Said
    key: _Key


def _candidates(sa: SA) -> Iterator[_Candidate]:
    for proposal in sa.proposals:
        if proposal.protocol == ProtocolId.ISAKMP:
            transforms = proposal.transforms[:MAX_CONSIDERED]
            read = _read if worth_remembering(transforms) else _read.__wrapped__
            for transform, (stated, key) in zip(transforms, read(transforms), strict=True):
                yield _Candidate(proposal, transform, stated, key)


@lru_cache(REMEMBERED_OFFERS)
def _read(transforms: tuple[Transform, ...]) -> tuple[tuple[Said, _Key], ...]:
    read: list[tuple[Said, _Key]] = []
    for transform in transforms:
        stated = said(transform, PHASE1)
        if transform.id != KEY_IKE:
            stated = stated._replace(flaw=f"it is no KEY_IKE but {transform.id}")
        read.append((stated, _key(stated)))
    return tuple(read)


def _key(stated: Said) -> _Key:
    """Its combination; a missing attribute is 0, which is no one's number."""
    get = stated.numbers.get
    cipher = get(_A.ENCRYPTION, 0)
    bits = IKE_CIPHERS.bits(cipher, get(_A.KEY_LENGTH, 0))
    return _Key(cipher, bits, get(_A.HASH, 0), get(_A.GROUP, 0), get(_A.AUTH_METHOD, 0))


def _suite(key: _Key) -> IsakmpSuite:
    cipher = IKE_CIPHERS.row(key.cipher, key.bits)
    assert cipher is not None
    return IsakmpSuite.of(cipher, HASHES[key.hash], GROUPS[key.group].id)


def accepted_phase1(offered: SA, answered: SA) -> Phase1Choice:
    """The answer, once it is a legal choice out of our offer (RFC 2408 §5.4, RFC 2409 §5).

    Its numbers need not be ours: responders SHOULD keep them and some do not.
    Its attributes must be, in whatever order and form, but for lifetimes that
    are shorter or left out.

    Raises PeerMisbehaved.
    """
    answers = list(islice(_candidates(answered), 2))
    if len(answers) != 1 or len(answered.proposals) != 1:
        raise PeerMisbehaved("the peer's answer is not one proposal of one transform")
    answer = answers[0]
    ours = list(_candidates(offered))
    same = [each for each in ours if each.key == answer.key]
    if answer.said.flaw or not same:
        nearest = next((each for each in ours if each.transform.number == answer.transform.number), ours[0])
        differing = [kind for kind in _KINDS if _part(kind, nearest.key) != _part(kind, answer.key)]
        why = answer.said.flaw or f"it differs in {', '.join(differing)}"
        raise PeerMisbehaved(f"the peer chose a transform we never offered: {why}")
    if not any(answer.said.lifetime.within(each.said.lifetime) for each in same):
        raise PeerMisbehaved("the peer's answer has a longer lifetime than we offered")
    return Phase1Choice(answered, _suite(answer.key), auth_method(answer.key.method), answer.said.lifetime)


# -- explaining ----------------------------------------------------------------


def in_words(proposal: Configured) -> str:
    """The keywords of a proposal as they mean something in IKEv1; empty if it has no numbers there."""
    if proposal.protocol is Protocol.IKE and not all(_layout(proposal)):
        return ""
    kinds = {transform.type for transform in proposal.transforms}
    implied = {TransformType.PRF} if TransformType.INTEG in kinds else set()
    words = [each for each in proposal.transforms if each.type not in implied and each != table.NO_ESN]
    return format_proposal(proposal._replace(transforms=tuple(words)))


_KINDS = {
    "encryption algorithm": (0, 1),
    "hash": (2,),
    "group": (3,),
    "authentication method": (4,),
}
"""What an explanation calls each attribute, and its fields of a key."""


def _part(kind: str, key: _Key) -> tuple[int, ...]:
    return tuple(key[field] for field in _KINDS[kind])


def _name(kind: str, key: _Key) -> str:
    match kind:
        case "encryption algorithm":
            return IKE_CIPHERS.name(key.cipher, key.bits) if key.cipher else "none"
        case "hash":
            return str(HashId(key.hash)) if key.hash else "none"
        case "group":
            return group_name(key.group)
        case _:
            return _method_name(key.method)


_PROOFS = {
    AuthMethod.PRE_SHARED_KEY: "psk",
    AuthMethod.RSA_SIGNATURE: "pubkey with RSA",
    AuthMethod.ECDSA_256: "pubkey with ECDSA on P-256",
    AuthMethod.ECDSA_384: "pubkey with ECDSA on P-384",
    AuthMethod.ECDSA_521: "pubkey with ECDSA on P-521",
    AuthMethod.RSA_ENCRYPTION: "rsa-encryption",
    AuthMethod.RSA_ENCRYPTION_REVISED: "rsa-encryption-revised",
    AuthMethod.HYBRID_INIT_RSA: "hybrid, pubkey of the responder and XAUTH of the initiator",
    AuthMethod.HYBRID_RESP_RSA: "hybrid, pubkey of the initiator and XAUTH of the responder",
    AuthMethod.XAUTH_INIT_PRE_SHARED: "psk, then XAUTH of the initiator",
    AuthMethod.XAUTH_RESP_PRE_SHARED: "psk, then XAUTH of the responder",
    AuthMethod.XAUTH_INIT_RSA: "pubkey with RSA, then XAUTH of the initiator",
    AuthMethod.XAUTH_RESP_RSA: "pubkey with RSA, then XAUTH of the responder",
    AuthMethod.XAUTH_INIT_RSA_ENCRYPTION: "rsa-encryption, then XAUTH of the initiator",
    AuthMethod.XAUTH_RESP_RSA_ENCRYPTION: "rsa-encryption, then XAUTH of the responder",
    AuthMethod.XAUTH_INIT_RSA_REVISED: "rsa-encryption-revised, then XAUTH of the initiator",
    AuthMethod.XAUTH_RESP_RSA_REVISED: "rsa-encryption-revised, then XAUTH of the responder",
}
"""The methods in the words of the configuration."""


def proof_of(method: AuthMethod) -> str:
    """A method in the words of the configuration: `psk, then XAUTH of the initiator`."""
    return _PROOFS.get(method, str(method))


def _method_name(number: int) -> str:
    if not number:
        return "none"
    method = auth_method(number)
    return f"{method}: {proof_of(method)}" if method in _PROOFS else str(method)


def _nearest(
    offered: SA, candidates: list[_Candidate], configured: Sequence[Configured], methods: Sequence[AuthMethod]
) -> NoProposalChosen:
    """Bounded, whatever the peer sent."""
    layouts = [(ours, list(_layout(ours).keys(methods))) for ours in configured]
    layouts = [(ours, keys) for ours, keys in layouts if keys]
    if not candidates:
        kinds = ", ".join(dict.fromkeys(str(proposal.protocol) for proposal in offered.proposals[:8]))
        return NoProposalChosen(f"the peer offers {kinds or 'nothing'}, not ISAKMP")
    if not layouts:
        return NoProposalChosen("nothing that is configured has numbers in IKEv1; aes256-sha256-modp2048 would")
    nearest: tuple[int, list[str], _Candidate, Configured, list[_Key]] | None = None
    for ours, keys in layouts:
        parts = {kind: {_part(kind, key) for key in keys} for kind in _KINDS}
        for candidate in candidates[:MAX_NEAREST]:
            failed = [kind for kind in _KINDS if _part(kind, candidate.key) not in parts[kind]]
            score = len(failed) + bool(candidate.said.flaw)
            if nearest is None or score < nearest[0]:
                nearest = score, failed, candidate, ours, keys
    assert nearest is not None
    _, failed, candidate, ours, keys = nearest
    reasons = [
        f"no common {kind} (offered {_name(kind, candidate.key)}; configured "
        f"{', '.join(dict.fromkeys(_name(kind, key) for key in keys))})"
        for kind in failed
    ]
    if candidate.said.flaw:
        reasons.append(candidate.said.flaw)
    else:
        reasons.append(_remedy(failed, candidate.key, ours))
    where = f"the peer's transform {candidate.transform.number} and our {in_words(ours)}"
    refusal = NoProposalChosen(f"nearest are {where}: {'; '.join(filter(None, reasons))}")
    refusal.distance = len(reasons)
    return refusal


def _remedy(failed: list[str], theirs: _Key, ours: Configured) -> str:
    """What would make them agree."""
    if "authentication method" in failed:
        return "both ends must prove themselves in the same way: compare auth, and XAUTH, of both"
    cipher = IKE_CIPHERS.row(theirs.cipher, theirs.bits)
    if cipher is None or theirs.hash not in HASHES or theirs.group not in GROUPS:
        return f"let the peer offer {in_words(ours)}"
    words = cipher.keywords[0], HASHES[theirs.hash].keywords[0].removeprefix("prf"), GROUPS[theirs.group].keywords[0]
    return f"let the peer offer {in_words(ours)}, or take {'-'.join(words)} into proposals"
