"""Quick mode's proposals in numbers: what is configured, and what came in an SA payload (RFC 2407 §4.4, §4.5).

Proposals of one number are a bundle: all of them or none (RFC 2408 §4.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from ikectl.crypto import transforms as table
from ikectl.crypto.transforms_v1 import (
    AH_AUTHENTICATORS,
    AUTHENTICATORS,
    ESP_CIPHERS,
    MAX_CONSIDERED,
    PHASE2,
    REMEMBERED_OFFERS,
    Said,
    group_name,
    groups_of,
    said,
    usable,
    worth_remembering,
)
from ikectl.errors import NoProposalChosen
from ikectl.iana.v1 import AuthAlgorithm, IpcompTransform, Phase2Attribute, ProtocolId, encapsulation_mode
from ikectl.iana.v2 import KeyExchangeMethod, Protocol, TransformType
from ikectl.wire.v1.sa import SA, Proposal, Transform
from ikectl.wire.v2.sa import Proposal as Configured

MAX_BUNDLES = 64
"""Numbers of an offer that are looked at."""

REMEMBERED_LAYOUTS = 512

RESERVED_SPIS = 256
"""SPIs below are reserved (RFC 2406 §2.1, RFC 2402 §2.4)."""

RESERVED_CPIS = range(64, 256)
"""CPIs between the well-known and the negotiated ones (RFC 3173 §3.3)."""

_AH, _ESP, _IPCOMP = ProtocolId.AH, ProtocolId.ESP, ProtocolId.IPCOMP
_A = Phase2Attribute


class Key(NamedTuple):
    """One combination in IKEv1's numbers: transform id, normal key length, authenticator, ESN."""

    id: int
    bits: int
    auth: int
    esn: int


DEFLATE = Key(IpcompTransform.DEFLATE, 0, 0, 0)
"""The one IPComp transform we have (RFC 2394)."""


# -- what is configured --------------------------------------------------------


class Layout(NamedTuple):
    """A configured proposal in IKEv1's numbers."""

    protocol: ProtocolId
    keys: tuple[Key, ...]
    """Every combination, the most preferred first."""
    groups: tuple[KeyExchangeMethod | None, ...]
    silent: bool
    """It names no group: beside another protocol of a bundle that one's groups count."""


@lru_cache(REMEMBERED_LAYOUTS)
def layout_of(proposal: Configured) -> Layout:
    """Without what IKEv1 has no number for, such as ChaCha20: there may be no keys left."""
    ciphers: list[table.Encryption] = []
    integrity: list[table.Integrity] = []
    esns: list[int] = []
    for transform in proposal.transforms if usable(proposal) else ():
        row = table.row_of(transform)
        if isinstance(row, table.Encryption) and row.v1_esp:
            ciphers.append(row)
        elif isinstance(row, table.Integrity) and row.v1_auth:
            integrity.append(row)
        elif transform in (table.ESN, table.NO_ESN):
            esns.append(transform.id)
    esns = esns or [0]
    silent = not any(transform.type is TransformType.KE for transform in proposal.transforms)
    if proposal.protocol is Protocol.AH:
        keys = [Key(row.v1_ah, 0, row.v1_auth, esn) for row, esn in product(integrity, esns)]
        return Layout(_AH, tuple(keys), groups_of(proposal), silent)
    keys = [
        Key(row.v1_esp, row.key_bits if row.key_attribute else 0, auth, esn)
        for row in ciphers
        for auth, esn in product([0] if row.combined else [mac.v1_auth for mac in integrity], esns)
    ]
    return Layout(_ESP, tuple(keys), groups_of(proposal), silent)


def wishes_of(configured: Sequence[Configured], bundle: bool) -> list[tuple[Layout, ...]]:
    """What we would take, in order of preference: one protocol each, or with `bundle` pairs of ESP and AH."""
    layouts = [layout for layout in map(layout_of, configured) if layout.keys]
    if not bundle:
        return [(layout,) for layout in layouts]
    return list(product(*([each for each in layouts if each.protocol == kind] for kind in (_ESP, _AH))))


def agreed_groups(wish: tuple[Layout, ...]) -> tuple[int, ...]:
    """Numbers of the groups that all of a wish agree to, in order; 0 for none."""
    named = [layout for layout in wish if not layout.silent] or wish
    return tuple(
        table.KE_BY_METHOD[method].v1_group if method is not None else 0
        for method in named[0].groups
        if all(method in layout.groups for layout in named)
    )


# -- what came -----------------------------------------------------------------


class Candidate(NamedTuple):
    """One transform. `mode` and `group` are 0 where it names none."""

    transform: Transform
    said: Said
    key: Key
    mode: int
    group: int


class Bundle(NamedTuple):
    """The proposals of one number, by protocol; with a `flaw` it is not to be chosen."""

    number: int
    proposals: dict[ProtocolId, Proposal]
    candidates: dict[ProtocolId, tuple[Candidate, ...]]
    flaw: str

    @property
    def shape(self) -> str:
        """Such as `AH+ESP`."""
        return "+".join(str(protocol) for protocol in self.proposals)


def bundles_of(sa: SA) -> list[Bundle]:
    """The bundles of an SA payload in order; no more than MAX_BUNDLES with MAX_CONSIDERED transforms."""
    found: dict[int, Bundle] = {}
    left = MAX_CONSIDERED
    for proposal in sa.proposals:
        number, protocol, spi, transforms = proposal
        if number not in found and len(found) == MAX_BUNDLES:
            break
        bundle = found.get(number) or Bundle(number, {}, {}, "")
        flaw = bundle.flaw or ("" if sound_spi(protocol, spi) else f"its SPI for {protocol} is {spi[:16].hex()}")
        if protocol in bundle.proposals:
            flaw = flaw or f"it has {protocol} twice"
        bundle.proposals[protocol] = proposal
        read = _candidates if worth_remembering(transforms) else _candidates.__wrapped__
        bundle.candidates[protocol] = read(protocol, transforms[:left])
        left -= len(bundle.candidates[protocol])
        found[number] = bundle._replace(flaw=flaw)
    return list(found.values())


def sound_spi(protocol: ProtocolId, spi: bytes) -> bool:
    """Whether an SA can have this SPI, or CPI."""
    number = int.from_bytes(spi, "big")
    if protocol == _IPCOMP:
        return len(spi) in (2, 4) and 0 < number <= 0xFFFF and number not in RESERVED_CPIS
    return len(spi) == 4 and number >= RESERVED_SPIS


@lru_cache(REMEMBERED_OFFERS)
def _candidates(protocol: ProtocolId, transforms: tuple[Transform, ...]) -> tuple[Candidate, ...]:
    return tuple([_candidate(protocol, transform) for transform in transforms])


def _candidate(protocol: ProtocolId, transform: Transform) -> Candidate:
    stated = said(transform, PHASE2)
    get = stated.numbers.get
    bits = get(_A.KEY_LENGTH, 0)
    if protocol == _ESP:
        bits = ESP_CIPHERS.bits(transform.id, bits)
    key = Key(transform.id, bits, get(_A.AUTH_ALGORITHM, 0), get(_A.EXT_SEQ, 0))
    return Candidate(transform, stated, key, get(_A.ENCAPSULATION_MODE, 0), get(_A.GROUP, 0))


def only_group(bundles: Sequence[Bundle]) -> int:
    """The one group of an offer (RFC 2409 §5.5), 0 for none. IPComp has no keys, so it may leave the group out.

    Raises NoProposalChosen if there are several.
    """
    groups = {
        candidate.group
        for bundle in bundles
        for protocol, candidates in bundle.candidates.items()
        for candidate in candidates
        if candidate.group or protocol != _IPCOMP
    }
    if len(groups) > 1:
        names = ", ".join(group_name(group) for group in sorted(groups)[:8])
        raise NoProposalChosen(f"the peer's transforms are of different groups: {names}; RFC 2409 §5.5 allows one")
    return groups.pop() if groups else 0


# -- names ---------------------------------------------------------------------


def describe(protocol: ProtocolId, candidate: Candidate) -> str:
    """All that a transform says."""
    key = candidate.key
    names = [cipher_name(protocol, key), auth_name(key), esn_name(key)]
    return "/".join([*names, f"group {group_name(candidate.group)}", mode_name(candidate.mode)])


def cipher_name(protocol: ProtocolId, key: Key) -> str:
    """What operators read for a transform's id."""
    if protocol == _AH:
        return AH_AUTHENTICATORS[key.id].name if key.id in AH_AUTHENTICATORS else str(key.id)
    return ESP_CIPHERS.name(key.id, key.bits) if protocol == _ESP else str(IpcompTransform(key.id))


def auth_name(key: Key) -> str:
    """What operators read for its authenticator."""
    row = AUTHENTICATORS.get(key.auth)
    return row.name if row is not None else str(AuthAlgorithm(key.auth))


def esn_name(key: Key) -> str:
    """What operators read for its sequence numbers (RFC 4304 §2)."""
    return {0: "NO_EXT_SEQ", 1: "EXT_SEQ"}.get(key.esn, str(key.esn))


def mode_name(mode: int) -> str:
    """What operators read for an encapsulation mode."""
    return str(encapsulation_mode(mode)) if mode else "none"
