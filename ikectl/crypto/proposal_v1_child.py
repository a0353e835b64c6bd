"""Offering and choosing proposals in IKEv1: quick mode (RFC 2409 §5.5, RFC 2407 §4.4 and §4.5, RFC 2408 §4.2).

We know ESP alone, AH alone and AH with ESP, each of them with IPComp or
without.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import islice, product

from ikectl.crypto import transforms as table
from ikectl.crypto.bundles_v1 import (
    DEFLATE,
    REMEMBERED_LAYOUTS,
    Bundle,
    Candidate,
    Key,
    Layout,
    agreed_groups,
    auth_name,
    bundles_of,
    cipher_name,
    describe,
    esn_name,
    layout_of,
    mode_name,
    only_group,
    wishes_of,
)
from ikectl.crypto.keywords import format_proposal
from ikectl.crypto.suite import ChildSuite
from ikectl.crypto.transforms_v1 import (
    AUTHENTICATORS,
    ESP_CIPHERS,
    GROUPS,
    NO_LIMIT,
    PHASE2,
    Lifetime,
    group_name,
    life_attributes,
)
from ikectl.errors import NoProposalChosen, PeerMisbehaved
from ikectl.iana.v1 import EncapsulationMode, Phase2Attribute, ProtocolId, encapsulation_mode
from ikectl.iana.v2 import KeyExchangeMethod, Protocol, TransformType
from ikectl.wire.v1.attributes import Attribute
from ikectl.wire.v1.sa import SA, Proposal, Transform
from ikectl.wire.v2.sa import Proposal as Configured
from ikectl.wire.v2.sa import Transform as ConfiguredTransform

MAX_OFFERED = 64
"""Transforms of one protocol in an offer: a few dozen are a datagram full."""

MAX_NEAREST = 16
"""Numbers of an offer that an explanation compares with what is configured."""

_AH, _ESP, _IPCOMP = ProtocolId.AH, ProtocolId.ESP, ProtocolId.IPCOMP
_A = Phase2Attribute

_PROTOCOLS = {_AH: Protocol.AH, _ESP: Protocol.ESP}

_SPI_OCTETS = {_AH: 4, _ESP: 4, _IPCOMP: 2}

_PLAIN_MODES = {
    EncapsulationMode.UDP_TUNNEL: EncapsulationMode.TUNNEL,
    EncapsulationMode.UDP_TUNNEL_DRAFT: EncapsulationMode.TUNNEL,
    EncapsulationMode.UDP_TRANSPORT: EncapsulationMode.TRANSPORT,
    EncapsulationMode.UDP_TRANSPORT_DRAFT: EncapsulationMode.TRANSPORT,
}


@dataclass(frozen=True, slots=True)
class Part:
    """One protocol of what was chosen. The SPI is the one that came in the SA payload, of IPComp two octets of CPI."""

    protocol: ProtocolId
    spi: bytes
    suite: ChildSuite | None
    """None for IPComp, which is DEFLATE always (RFC 2394)."""


@dataclass(frozen=True, slots=True)
class Phase2Choice:
    """What was chosen in quick mode. `lifetime` is the shortest one stated."""

    answer: SA
    """One proposal for each protocol with one transform as it was offered (RFC 2408 §5.4). The SPIs are still those
    that came: see `with_spis`."""
    parts: tuple[Part, ...]
    mode: EncapsulationMode
    group: KeyExchangeMethod | None
    """Of the key exchange that goes with it; None without PFS."""
    lifetime: Lifetime

    def with_spis(self, spis: Mapping[ProtocolId, bytes]) -> SA:
        """What the responder sends: the answer with its own SPIs, one for each protocol."""
        return SA(tuple(proposal._replace(spi=spis[proposal.protocol]) for proposal in self.answer.proposals))


# -- offering ------------------------------------------------------------------


def phase2_group(configured: Sequence[Configured], *, bundle: bool = False) -> KeyExchangeMethod | None:
    """The group to offer: the first one of the first proposal that quick mode can offer, None for no PFS.

    All transforms of an offer must be of one group (RFC 2409 §5.5), so
    proposals that do not allow this one stay out of the offer.
    """
    for wish in wishes_of(configured, bundle):
        for group in agreed_groups(wish):
            return GROUPS[group].id if group else None
    return None


def offer_phase2(
    configured: Sequence[Configured],
    spis: Mapping[ProtocolId, bytes],
    mode: EncapsulationMode,
    lifetime: Lifetime = NO_LIMIT,
    group: KeyExchangeMethod | None = None,
    cpi: bytes | None = None,
    bundle: bool = False,
) -> SA:
    """What quick mode offers: for each protocol all combinations, our preferred ones first, MAX_OFFERED at most.

    ESP and AH are alternatives, or with `bundle` one thing. With a `cpi` each
    is offered with IPComp first and then without it.

    Raises ValueError if nothing configured has numbers in IKEv1 and allows
    the group.
    """
    offers = dict(_written(tuple(configured), mode, lifetime, group, bundle))
    alternatives: list[tuple[ProtocolId, ...]] = [(_AH, _ESP)] if bundle else [(protocol,) for protocol in offers]
    if not alternatives or any(protocol not in offers for each in alternatives for protocol in each):
        texts = ", ".join(format_proposal(proposal) for proposal in configured) or "no proposal"
        wanted = f" with {group}" if group is not None else ""
        raise ValueError(f"nothing of {texts} can be offered in IKEv1{wanted}; try aes256-sha256-modp2048")
    if cpi is not None:
        spis = {**spis, _IPCOMP: cpi}
        offers[_IPCOMP] = (Transform(1, DEFLATE.id, _common(mode, group, lifetime)),)
        alternatives = [(*each, *more) for each in alternatives for more in ((_IPCOMP,), ())]
    return SA(
        tuple(
            Proposal(number, protocol, spis[protocol], offers[protocol])
            for number, each in enumerate(alternatives, 1)
            for protocol in each
        )
    )


def _common(mode: EncapsulationMode, group: KeyExchangeMethod | None, lifetime: Lifetime) -> tuple[Attribute, ...]:
    """The attributes that all transforms of an offer share."""
    number = table.KE_BY_METHOD[group].v1_group if group is not None else 0
    grouped = (Attribute(_A.GROUP, number),) if number else ()
    return (*grouped, Attribute(_A.ENCAPSULATION_MODE, int(mode)), *life_attributes(lifetime, PHASE2))


@lru_cache(REMEMBERED_LAYOUTS)
def _written(
    configured: tuple[Configured, ...],
    mode: EncapsulationMode,
    lifetime: Lifetime,
    group: KeyExchangeMethod | None,
    bundle: bool,
) -> tuple[tuple[ProtocolId, tuple[Transform, ...]], ...]:
    """The transforms of each protocol, in the order in which the protocols are configured."""
    keys: dict[ProtocolId, dict[Key, None]] = {}
    for layout in map(layout_of, configured):
        if layout.keys and (group in layout.groups or (bundle and layout.silent)):
            keys.setdefault(layout.protocol, {}).update(dict.fromkeys(layout.keys))
    common = _common(mode, group, lifetime)
    return tuple(
        (
            protocol,
            tuple(
                Transform(number, key.id, (*_own(key), *common))
                for number, key in enumerate(islice(each, MAX_OFFERED), 1)
            ),
        )
        for protocol, each in keys.items()
    )


def _own(key: Key) -> Iterator[Attribute]:
    for kind, value in ((_A.KEY_LENGTH, key.bits), (_A.AUTH_ALGORITHM, key.auth), (_A.EXT_SEQ, key.esn)):
        if value:
            yield Attribute(kind, value)


# -- choosing ------------------------------------------------------------------


def select_phase2(
    offered: SA,
    configured: Sequence[Configured],
    modes: Sequence[EncapsulationMode],
    *,
    ipcomp: bool = False,
    bundle: bool = False,
) -> Phase2Choice:
    """The first of our combinations that the peer offers; our order of proposals and algorithms counts.

    `configured` holds proposals of ESP and AH; with `bundle` both are wanted
    together. `modes` are the acceptable ones, at least one; a transform that
    names none is taken as the first, for RFC 2407 §4.5 leaves it to the host.
    IPComp is taken where `ipcomp` allows it and the peer's number has it. A
    lifetime of any length is accepted and reported.

    Raises NoProposalChosen, whose text says attribute by attribute what
    failed in the pair that comes nearest.
    """
    bundles = bundles_of(offered)
    wishes = wishes_of(configured, bundle)
    group = only_group(bundles)
    fitting = [each for each in bundles if not each.flaw]
    for wish in wishes:
        if group not in agreed_groups(wish):
            continue
        shaped = [each for each in fitting if _shape_fits(each, wish, ipcomp)]
        for keys in product(*(layout.keys for layout in wish)) if shaped else ():
            wanted = dict(zip((layout.protocol for layout in wish), keys, strict=True))
            for each in shaped:
                for mode in modes:
                    chosen = _match(each, wanted, mode, unnamed=mode == modes[0])
                    if chosen is not None:
                        return _choice(each, chosen, mode, group)
    raise _nearest(bundles, wishes, modes, group, ipcomp)


def _shape_fits(bundle: Bundle, wish: tuple[Layout, ...], ipcomp: bool) -> bool:
    return bundle.proposals.keys() - ({_IPCOMP} if ipcomp else set()) == {layout.protocol for layout in wish}


def _match(
    bundle: Bundle, wanted: dict[ProtocolId, Key], mode: EncapsulationMode, *, unnamed: bool
) -> dict[ProtocolId, Candidate] | None:
    """One transform of each protocol; None if they do not fit. `unnamed`: naming no mode means this one."""
    chosen: dict[ProtocolId, Candidate] = {}
    for protocol, candidates in bundle.candidates.items():
        modes = {int(mode), 0} if unnamed else {int(mode)}
        if protocol == _IPCOMP:  # UDP goes around what ESP makes of it
            modes |= {0, int(_PLAIN_MODES.get(mode, mode))}
        key = wanted.get(protocol, DEFLATE)
        found = next((c for c in candidates if c.key == key and c.mode in modes and not c.said.flaw), None)
        if found is None:
            return None
        chosen[protocol] = found
    return chosen


def _choice(bundle: Bundle, chosen: dict[ProtocolId, Candidate], mode: EncapsulationMode, group: int) -> Phase2Choice:
    method = GROUPS[group].id if group else None
    proposals = [bundle.proposals[kind]._replace(transforms=(each.transform,)) for kind, each in chosen.items()]
    parts = [
        Part(kind, bundle.proposals[kind].spi[-_SPI_OCTETS[kind] :], _suite(kind, each.key, method))
        for kind, each in chosen.items()
    ]
    lifetime = reduce(Lifetime.meet, (each.said.lifetime for each in chosen.values()), NO_LIMIT)
    return Phase2Choice(SA(tuple(proposals)), tuple(parts), mode, method, lifetime)


def _suite(protocol: ProtocolId, key: Key, group: KeyExchangeMethod | None) -> ChildSuite | None:
    """The suite of a combination that we laid out ourselves."""
    if protocol == _IPCOMP:
        return None
    chosen: list[ConfiguredTransform] = []
    if protocol == _ESP:
        cipher = ESP_CIPHERS.row(key.id, key.bits)
        assert cipher is not None
        chosen.append(cipher.transform)
    if key.auth:
        chosen.append(AUTHENTICATORS[key.auth].transform)
    if group is not None:
        chosen.append(ConfiguredTransform(TransformType.KE, group))
    chosen.append(table.ESN if key.esn else table.NO_ESN)
    return ChildSuite.of(Configured(1, _PROTOCOLS[protocol], b"", tuple(chosen)))


def accepted_phase2(offered: SA, answered: SA) -> Phase2Choice:
    """The answer, once it is a legal choice out of our offer (RFC 2408 §4.2 and §5.4, RFC 2409 §5.5).

    Its numbers need not be ours: responders SHOULD keep them and some do not.
    Its attributes must be, in whatever order and form, but for lifetimes that
    are shorter or left out.

    Raises PeerMisbehaved.
    """
    answers = bundles_of(answered)
    if len(answers) == 2 and _repeats(answers[0], answers[1]):
        del answers[1]
    if len(answers) != 1 or any(len(each) != 1 for each in answers[0].candidates.values()):
        raise PeerMisbehaved("the peer's answer is not one proposal of one transform for each protocol")
    answer = answers[0]
    if answer.flaw:
        raise PeerMisbehaved(f"the peer's answer is no choice: {answer.flaw}")
    ours = [each for each in bundles_of(offered) if each.proposals.keys() == answer.proposals.keys()]
    if not ours:
        raise PeerMisbehaved(f"the peer chose {answer.shape}, which we never offered")
    chosen = {protocol: candidates[0] for protocol, candidates in answer.candidates.items()}
    for protocol, theirs in chosen.items():
        same = [each for bundle in ours for each in bundle.candidates[protocol] if _same(protocol, each, theirs)]
        if theirs.said.flaw or not same:
            why = theirs.said.flaw or describe(protocol, theirs)
            raise PeerMisbehaved(f"the peer chose a transform for {protocol} that we never offered: {why}")
        if not any(theirs.said.lifetime.within(each.said.lifetime) for each in same):
            raise PeerMisbehaved("the peer's answer has a longer lifetime than we offered")
    leading = next(each for protocol, each in chosen.items() if protocol != _IPCOMP)
    return _choice(answer, chosen, encapsulation_mode(leading.mode), leading.group)


def _repeats(first: Bundle, second: Bundle) -> bool:
    """strongSwan 5.9.8 takes a bundle with IPComp, and repeats it without behind it."""
    without = {protocol: each for protocol, each in first.proposals.items() if protocol != _IPCOMP}
    again = {protocol: each._replace(number=first.number) for protocol, each in second.proposals.items()}
    return _IPCOMP in first.proposals and without == again


def _same(protocol: ProtocolId, ours: Candidate, theirs: Candidate) -> bool:
    if protocol == _IPCOMP:  # what else it may say is ESP's to decide
        return ours.key == theirs.key and theirs.group in (ours.group, 0)
    return (ours.key, ours.mode, ours.group) == (theirs.key, theirs.mode, theirs.group)


# -- explaining ----------------------------------------------------------------


MISSHAPEN = 100
"""How far a bundle of other protocols is, in attributes: further than any of the right ones."""


def _nearest(
    bundles: list[Bundle],
    wishes: list[tuple[Layout, ...]],
    modes: Sequence[EncapsulationMode],
    group: int,
    ipcomp: bool,
) -> NoProposalChosen:
    """Bounded, whatever the peer sent."""
    if not bundles:
        return NoProposalChosen("the peer offers nothing")
    if not wishes:
        return NoProposalChosen("nothing that is configured has numbers in IKEv1; aes256-sha256 would")
    # A bundle of other protocols is far, whatever else would fit.
    pairs = (
        (not _shape_fits(bundle, wish, ipcomp), bundle, list(_reasons(bundle, wish, modes, group, ipcomp)))
        for bundle in bundles[:MAX_NEAREST]
        for wish in wishes
    )
    misshapen, bundle, reasons = min(pairs, key=lambda pair: (pair[0], len(pair[2])))
    why = "; ".join(reasons) or "each part fits, but not together"
    refusal = NoProposalChosen(f"nearest is the peer's proposal {bundle.number} for {bundle.shape}: {why}")
    refusal.distance = len(reasons) + (MISSHAPEN if misshapen else 0)
    return refusal


def _reasons(
    bundle: Bundle, wish: tuple[Layout, ...], modes: Sequence[EncapsulationMode], group: int, ipcomp: bool
) -> Iterator[str]:
    """What keeps a bundle from being what we wish."""
    if bundle.flaw:
        yield bundle.flaw
    if not _shape_fits(bundle, wish, ipcomp):
        shape = "+".join(str(layout.protocol) for layout in wish)
        yield f"configured is {shape}{' with or without IPCOMP' if ipcomp else ''}"
    groups = agreed_groups(wish)
    if group not in groups:
        ours = ", ".join(group_name(number) for number in groups) or "no common one"
        yield f"no common group (offered {group_name(group)}; configured {ours})"
    layouts = {layout.protocol: layout.keys for layout in wish}
    for protocol, candidates in bundle.candidates.items():
        keys = layouts.get(protocol, (DEFLATE,) if protocol == _IPCOMP and ipcomp else ())
        if candidates and keys:
            yield from min((list(_differ(protocol, keys, each, modes)) for each in candidates), key=len)


def _differ(
    protocol: ProtocolId, keys: tuple[Key, ...], candidate: Candidate, modes: Sequence[EncapsulationMode]
) -> Iterator[str]:
    key, mode = candidate.key, candidate.mode
    what = "encryption algorithm" if protocol == _ESP else f"{protocol} transform"
    checks = [
        (what, cipher_name(protocol, key), [cipher_name(protocol, k) for k in keys]),
        ("integrity algorithm", auth_name(key), [auth_name(k) for k in keys]),
        ("sequence numbers", esn_name(key), [esn_name(k) for k in keys]),
    ]
    if protocol != _IPCOMP:
        checks.append(("encapsulation mode", mode_name(mode or modes[0]), [mode_name(each) for each in modes]))
    for kind, theirs, ours in checks:
        if theirs not in ours:
            yield f"no common {kind} (offered {theirs}; configured {', '.join(dict.fromkeys(ours))})"
    if candidate.said.flaw:
        yield candidate.said.flaw
