"""How quick mode agrees on a child: offer, choice, selectors, keys (RFC 2409 §5.5, RFC 2407 §4.5).

One negotiation makes one child, of one selector at each end: IKEv1 cannot
narrow, so the responder takes what is offered as it is, or refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from ikectl.config.model import MAX_PAIRS, Child, Mode
from ikectl.crypto.kdf_v1 import derive_child
from ikectl.crypto.proposal_v1 import Lifetime, Phase2Choice, offer_phase2, phase2_group, select_phase2
from ikectl.errors import NoProposalChosen, PeerMisbehaved, TsUnacceptable
from ikectl.exchange import children
from ikectl.exchange.children import Terms
from ikectl.exchange.v1 import dhcp
from ikectl.exchange.v1.diagnosis import terms_of
from ikectl.exchange.v1.natt import MODES, is_draft, mode_of
from ikectl.iana.v1 import EncapsulationMode, IdType, Phase2Attribute, ProtocolId
from ikectl.iana.v2 import KeyExchangeMethod, Protocol
from ikectl.sa.asks import AllocSpi, FreeSpi
from ikectl.sa.child_sa import ChildSa, Companion, Particulars
from ikectl.sa.events import Note
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.values.path import Path
from ikectl.values.selector import TrafficSelector
from ikectl.wire.v1.attributes import number
from ikectl.wire.v1.identity import ID
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.nat import NatOa, NatOaDraft, OriginalAddress
from ikectl.wire.v1.payload import Payload
from ikectl.wire.v1.sa import SA

PROTOCOLS = {ProtocolId.ESP: Protocol.ESP, ProtocolId.AH: Protocol.AH, ProtocolId.IPCOMP: Protocol.IPCOMP}
SPI_OCTETS = {ProtocolId.ESP: 4, ProtocolId.AH: 4, ProtocolId.IPCOMP: 2}

TRANSPORT = frozenset(
    {EncapsulationMode.TRANSPORT, EncapsulationMode.UDP_TRANSPORT, EncapsulationMode.UDP_TRANSPORT_DRAFT}
)

Pair = tuple[TrafficSelector, TrafficSelector]
"""Our side's and the peer's side's traffic."""


# -- SPIs ------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Spis:
    """Inbound SPIs that we reserved, by protocol."""

    path: Path
    held: dict[ProtocolId, int] = field(default_factory=dict)

    async def reserve(self, protocols: tuple[ProtocolId, ...]) -> None:
        """One for each. Raises BackendError; whatever is held then is for `give_back`."""
        for protocol in protocols:
            self.held[protocol] = await AllocSpi(PROTOCOLS[protocol], self.path)

    async def give_back(self, keep: tuple[ProtocolId, ...] = ()) -> None:
        """All but those of the protocols in use."""
        for protocol in [each for each in self.held if each not in keep]:
            await FreeSpi(PROTOCOLS[protocol], self.path, self.held.pop(protocol))

    def octets(self) -> Mapping[ProtocolId, bytes]:
        """As they go into proposals."""
        return {protocol: spi.to_bytes(SPI_OCTETS[protocol], "big") for protocol, spi in self.held.items()}


def protocols_of(config: Child) -> tuple[ProtocolId, ...]:
    """What a child may come to use."""
    found = [ProtocolId.ESP] if config.esp_proposals else []
    found += [ProtocolId.AH] if config.ah_proposals else []
    return (*found, ProtocolId.IPCOMP) if config.ipcomp else tuple(found)


# -- offering and choosing ----------------------------------------------------------


def group_of(config: Child) -> KeyExchangeMethod | None:
    """The group to offer for PFS; None without."""
    return phase2_group(config.proposals, bundle=config.bundle)


def lifetime_of(config: Child) -> Lifetime:
    return Lifetime(config.life_time, config.life_bytes // 1024)


def offer(sa: IsakmpSa, config: Child, spis: Spis, group: KeyExchangeMethod | None) -> SA:
    """Our SA payload. Raises NoProposalChosen if the configuration leaves nothing to offer."""
    octets = spis.octets()
    try:
        return offer_phase2(
            config.proposals,
            octets,
            mode_of(sa, config.mode is Mode.TRANSPORT),
            lifetime_of(config),
            group,
            octets.get(ProtocolId.IPCOMP),
            config.bundle,
        )
    except ValueError as failure:
        raise NoProposalChosen(str(failure)) from None


def modes(sa: IsakmpSa, transport: bool) -> tuple[EncapsulationMode, ...]:
    """The encapsulation modes we take as responder, the right one first.

    Behind a NAT either numbering of UDP encapsulation is taken: peers announce
    the RFC and use the drafts' numbers (Windows XP and 2003).
    """
    draft = is_draft(sa)
    right = MODES[transport, sa.nat.found, draft]
    return (right, MODES[transport, True, not draft]) if sa.nat.found else (right,)


def choose(
    sa: IsakmpSa, message: Message, wanted: Pair, configured: tuple[Child, ...], *, compress: bool = True
) -> tuple[Child, Phase2Choice]:
    """Which of `configured` the peer's quick mode is for, and on what terms; with IPComp only if `compress`.

    Raises TsUnacceptable, NoProposalChosen.
    """
    ours, theirs = wanted
    assert sa.connection is not None
    relayed = dhcp.asked(sa.connection, sa.path, theirs, ours)
    if relayed is not None:
        configured = (relayed,)
    else:
        dhcp.check_lease(sa, theirs)
    fitting = [
        config
        for config in configured
        if any(ours.within(each) for each in children.own_selectors(sa, config))
        and any(theirs.within(each) for each in children.peer_selectors(sa, config))
    ]
    if not fitting:
        raise TsUnacceptable(misfit(sa, wanted, configured))
    fitting.sort(key=lambda config: (ours not in children.own_selectors(sa, config)) + _looseness(sa, config, theirs))
    failures: list[NoProposalChosen] = []
    for config in fitting:
        try:
            chosen = select_phase2(
                message.one(SA),
                config.proposals,
                modes(sa, config.mode is Mode.TRANSPORT),
                ipcomp=config.ipcomp and compress,
                bundle=config.bundle,
            )
        except NoProposalChosen as refusal:
            told = NoProposalChosen(f"{refusal}; let the peer offer {terms_of(config)}")
            told.distance, told.subject = refusal.distance, config.name
            failures.append(told)
            continue
        return config, chosen
    raise min(failures, key=lambda each: each.distance)


def _looseness(sa: IsakmpSa, config: Child, theirs: TrafficSelector) -> int:
    return int(theirs not in children.peer_selectors(sa, config))


def misfit(sa: IsakmpSa, wanted: Pair, configured: tuple[Child, ...]) -> str:
    """Why the peer's traffic is none of ours, and what would have been, for the operator."""
    ours, theirs = wanted
    text = f"the peer asks for {theirs} (its side) === {ours} (ours); {described(sa, configured)}"
    fits_ours = [c for c in configured if any(ours.within(each) for each in children.own_selectors(sa, c))]
    fits_theirs = [c for c in configured if any(theirs.within(each) for each in children.peer_selectors(sa, c))]
    if fits_ours and not fits_theirs:
        text += f"; {theirs} is not within remote_ts"
        pools = sa.connection is not None and sa.connection.pools
        if pools and not sa.peer_vips and any(spec.network is None for c in fits_ours for spec in c.remote_ts):
            text += ", which is dynamic: the peer took no inner address from our pools (vips there)"
    elif fits_theirs and not fits_ours:
        text += f"; {ours} is not within local_ts"
    return text + ". IKEv1 cannot narrow: let both ends have the same networks"


def described(sa: IsakmpSa, configured: tuple[Child, ...]) -> str:
    """What would have fitted."""
    if not configured:
        return "no child is configured"
    texts = [
        f"{config.name}: {_list(children.peer_selectors(sa, config))} === {_list(children.own_selectors(sa, config))}"
        for config in configured[:5]
    ]
    return "configured are " + "; ".join(texts)


def _list(selectors: tuple[TrafficSelector, ...]) -> str:
    return " ".join(map(str, selectors))


# -- selectors -------------------------------------------------------------------------


def pairs(sa: IsakmpSa, config: Child) -> tuple[Pair, ...]:
    """What to ask for to bring up a child: at least one pair, each for a quick mode of its own.

    Where the peer said which networks belong into the tunnel (Unity's split
    include), these stand for `0.0.0.0/0`. Raises TsUnacceptable.
    """
    assert sa.connection is not None
    if dhcp.is_dhcp(config):
        return (dhcp.ids(sa.path),)
    if children.lacks_address(sa, config):
        raise TsUnacceptable(children.NO_ADDRESS)
    theirs = _split(sa, children.peer_selectors(sa, config))
    found = [(one, other) for one in children.own_selectors(sa, config) for other in theirs if one.v6 == other.v6]
    if not found:
        raise TsUnacceptable("local_ts and remote_ts have no addresses of one family")
    if len(found) > MAX_PAIRS:
        sa.emit(Note(sa, f"child {config.name} would take {len(found)} quick modes; the first {MAX_PAIRS} are run"))
    return tuple(found[:MAX_PAIRS])


def _split(sa: IsakmpSa, theirs: tuple[TrafficSelector, ...]) -> tuple[TrafficSelector, ...]:
    networks = () if sa.inner is None else sa.inner.networks
    found: list[TrafficSelector] = []
    for one in theirs:
        everything = (one.start, one.end) == (TrafficSelector.ANY4.start, TrafficSelector.ANY4.end) and not one.v6
        narrowed = [both for network in networks if (both := one & network) is not None] if everything else []
        found += narrowed or [one]
    return tuple(dict.fromkeys(found))


def client_ids(message: Message) -> tuple[ID, ID] | None:
    """IDci and IDcr; None where the message has none. Raises PeerMisbehaved for one alone."""
    ids = message.all(ID)
    if not ids:
        return None
    if len(ids) != 2:
        raise PeerMisbehaved(f"quick mode with {len(ids)} IDs; there are two or none")
    return ids[0], ids[1]


def host_pair(path: Path) -> Pair:
    """Without client identities the ends speak for themselves (RFC 2409 §5.5)."""
    return TrafficSelector.of_address(path.local.address), TrafficSelector.of_address(path.remote.address)


def through_nat(sa: IsakmpSa, pair: Pair) -> Pair:
    """In transport mode behind a NAT the addresses are those that packets really have here. Raises TsUnacceptable."""
    (ours,), (theirs,) = children.as_seen(sa, pair[:1], pair[1:])
    return ours, theirs


def peers_selector(sa: IsakmpSa, said: ID, transport: bool) -> TrafficSelector:
    """What the peer's ID says of its own end. Raises PeerMisbehaved.

    Windows behind a NAT says its name instead of an address, which could
    only be wrong; in transport mode the address that we see stands for both.
    """
    if transport and sa.nat.remote and said.kind is IdType.FQDN:
        host = TrafficSelector.of_address(sa.ends.remote.address)
        ports = (said.port, said.port) if said.port else (host.start_port, host.end_port)
        return replace(host, protocol=said.protocol, start_port=ports[0], end_port=ports[1])
    return said.selector()


# -- NAT-OA ------------------------------------------------------------------------------


def original_addresses(sa: IsakmpSa, transport: bool, initiator: bool) -> list[Payload]:
    """NAT-OA payloads: the initiator's address, then the responder's, as we see them (RFC 3947 §5.2).

    `initiator`: whether we began the quick mode.
    """
    if not transport or not sa.nat.found:
        return []
    kind: type[OriginalAddress] = NatOaDraft if is_draft(sa) else NatOa
    ours, theirs = sa.path.local.address, sa.path.remote.address
    return [kind.of(each) for each in ((ours, theirs) if initiator else (theirs, ours))]


def peer_original(sa: IsakmpSa, message: Message, initiator: bool) -> bytes:
    """The peer's own address as it says itself; empty if it does not.

    The initiator's comes first (RFC 3947 §5.2); the drafts have each end say its own alone.
    """
    said: list[OriginalAddress] = [*message.all(NatOa), *message.all(NatOaDraft)]
    if not said or not sa.nat.remote:
        return b""
    found = said[-1] if initiator and len(said) > 1 else said[0]
    return found.address if len(found.address) == len(sa.path.remote.address) else b""


# -- what an offer and an answer say beside --------------------------------------------------


def is_transport(offered: SA) -> bool:
    """Whether the first transform that names a mode names transport mode."""
    for proposal in offered.proposals:
        for transform in proposal.transforms:
            for attribute in transform.attributes:
                if attribute.type == Phase2Attribute.ENCAPSULATION_MODE:
                    return number(attribute) in TRANSPORT
    return False


# -- what comes of it ----------------------------------------------------------------------


def build(
    sa: IsakmpSa,
    config: Child,
    initiator: bool,
    choice: Phase2Choice,
    spis: Spis,
    pair: Pair,
    nonces: tuple[bytes, bytes],
    shared: bytes,
    original: bytes = b"",
) -> ChildSa:
    """The facts of the child, keys derived for every SA of its bundle, nothing installed."""
    assert sa.suite is not None and sa.keys is not None
    prf, skeyid_d = sa.suite.prf, sa.keys.skeyid_d
    companions: list[Companion] = []
    leading: Companion | None = None
    # The child itself is the ESP of a bundle, and AH only without it.
    for part in sorted(choice.parts, key=lambda each: each.protocol is not ProtocolId.ESP):
        protocol, spi_in, spi_out = PROTOCOLS[part.protocol], spis.held[part.protocol], part.spi
        own = spis.octets()[part.protocol]
        keys = None
        if part.suite is not None:
            spi_i, spi_r = (own, spi_out) if initiator else (spi_out, own)
            keys = derive_child(prf, part.suite, skeyid_d, part.protocol, spi_i, spi_r, *nonces, shared)
        made = Companion(protocol, spi_in, int.from_bytes(spi_out, "big"), part.suite, keys)
        if leading is None and part.suite is not None:
            leading = made
        else:
            companions.append(made)
    assert leading is not None and leading.suite is not None
    transport = choice.mode in TRANSPORT
    terms = Terms(
        leading.protocol,
        leading.suite,
        leading.spi_in,
        leading.spi_out,
        *(dhcp.selectors(sa, config) if dhcp.is_dhcp(config) else (pair[:1], pair[1:])),
        transport,
        _of_lifetime(choice.lifetime),
    )
    if companions:
        terms.particulars = terms.particulars._replace(companions=tuple(companions))
    if original and transport:
        terms.particulars = terms.particulars._replace(peer_original=original)
    return children.describe(sa.home, config, initiator, terms, spis.path, leading.keys)


@lru_cache(64)
def _of_lifetime(agreed: Lifetime) -> Particulars:
    """One object for all children of that lifetime."""
    return Particulars(agreed.seconds, agreed.kilobytes * 1024)
