"""How a child is agreed on: offer, answer and acceptance, wherever in the protocol it happens.

IKE_AUTH, CREATE_CHILD_SA for a new child and CREATE_CHILD_SA for a rekeyed
one differ in what travels around SA, TSi and TSr, not in what these mean
(RFC 7296 §1.2, §1.3.1, §1.3.3, §2.9, §2.17).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from ikectl.config.model import Child, Mode
from ikectl.crypto import proposal as proposals
from ikectl.crypto.kdf_v2 import derive_child
from ikectl.crypto.proposal import ChildSuite
from ikectl.errors import BackendError, IkectlError, NoProposalChosen, PeerMisbehaved, TsUnacceptable
from ikectl.exchange import children
from ikectl.exchange.children import Selectors, Terms
from ikectl.exchange.v2 import compression, virtual
from ikectl.iana.v2 import KeyExchangeMethod, NotifyType, Protocol, TransformType
from ikectl.sa.asks import AllocSpi, FreeSpi
from ikectl.sa.child_sa import ChildSa, Companion, Particulars
from ikectl.sa.events import Note
from ikectl.sa.followups import Reserved
from ikectl.sa.ike_sa import IkeSa
from ikectl.values.path import Path
from ikectl.values.selector import TrafficSelector, covers, meet, narrow
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import ADDITIONAL_TS_POSSIBLE, ESP_TFC_PADDING_NOT_SUPPORTED, USE_TRANSPORT_MODE
from ikectl.wire.v2.sa import SA, Proposal
from ikectl.wire.v2.ts import TSi, TSr

Pair = tuple[Selectors, Selectors]
"""Our side's and the peer's side's traffic."""

MAX_ORPHANS = 16
"""Deletes for unknown children that are remembered: only the latest can be of an answer still under way."""


class Stillborn(IkectlError):
    """The child of our exchange is gone again at the peer: nothing is left to delete there."""


def note_orphan(sa: IkeSa, spi: bytes) -> None:
    """Remember a delete for a child we do not know; only the latest ones matter."""
    sa.orphans = (*sa.orphans, int.from_bytes(spi, "big"))[-MAX_ORPHANS:]


@dataclass(slots=True, eq=False)
class ChildOffer:
    """What we ask for: the proposals with our reserved SPIs, and the selectors."""

    config: Child
    path: Path
    spis: dict[Protocol, int]
    offered: tuple[Proposal, ...]
    ts_local: tuple[TrafficSelector, ...]
    ts_remote: tuple[TrafficSelector, ...]
    whole: bool = False
    """The peer may not narrow it: a child is to be replaced (RFC 7296 §2.9.2)."""

    @property
    def transport(self) -> bool:
        return self.config.mode is Mode.TRANSPORT

    @property
    def ke_methods(self) -> tuple[KeyExchangeMethod, ...]:
        """The key exchange methods offered, best first; empty without PFS."""
        methods = [
            KeyExchangeMethod(transform.id)
            for offered in self.offered
            for transform in offered.transforms
            if transform.type == TransformType.KE and transform.id != KeyExchangeMethod.NONE
        ]
        return tuple(dict.fromkeys(methods))

    def sa_payload(self) -> SA:
        return SA(self.offered)

    @property
    def named(self) -> tuple[tuple[Protocol, int], ...]:
        """Our SPIs by which the peer could delete what comes of the offer; a CPI goes with its child."""
        return tuple((protocol, spi) for protocol, spi in self.spis.items() if protocol is not Protocol.IPCOMP)

    def selectors(self) -> list[Payload]:
        """TSi and TSr, and what is wanted beside algorithms."""
        beside = _beside(self.transport, Protocol.ESP in self.spis, self.spis.get(Protocol.IPCOMP, 0))
        return [TSi(self.ts_local), TSr(self.ts_remote), *beside]

    async def withdraw(self, keep: Collection[Protocol] = ()) -> None:
        """Give back the reserved SPIs, except those in use."""
        for protocol, spi in self.spis.items():
            if protocol not in keep:
                await FreeSpi(protocol, self.path, spi)
        self.spis = {protocol: spi for protocol, spi in self.spis.items() if protocol in keep}


def _beside(transport: bool, esp: bool, cpi: int) -> list[Payload]:
    """What is said of a child beside SA, TSi and TSr.

    Linux takes TFC padding off in tunnel mode, where the inner header says how
    long the packet is, and could not in transport mode (RFC 4303 §2.7): the
    peer is told. NON_FIRST_FRAGMENTS_ALSO is never said: fragments pass an SA
    with all ports as they are, and no other one (RFC 4301 §7.1).
    """
    payloads: list[Payload] = []
    if transport:
        payloads.append(USE_TRANSPORT_MODE)
        if esp:
            payloads.append(ESP_TFC_PADDING_NOT_SUPPORTED)
    if cpi:
        payloads.append(compression.said(cpi))
    return payloads


async def offer(
    sa: IkeSa, config: Child, *, without_ke: bool = False, asked: Pair | None = None, whole: bool = False
) -> ChildOffer:
    """Reserve SPIs and lay out the offer for a child of `config`.

    `without_ke`: inside IKE_AUTH no key exchange is negotiated (RFC 7296 §1.2).
    `asked`: the traffic, where it is not all that the configuration says; `whole`: no less will do.
    Raises BackendError when the kernel gives no SPI, TsUnacceptable where an inner address is missing.
    """
    sentries = sa.env.sentries
    packet = sentries.packet(sa.name, config.name) if sentries.standing and asked is None else None
    ts_local, ts_remote = asked or (virtual.own_offered(sa, config), children.peer_selectors(sa, config))
    made = ChildOffer(config, sa.path, {}, (), ts_local, ts_remote, whole)
    if packet is not None:
        # RFC 7296 §2.9: the packet that wants the child goes first, so that a peer who narrows keeps it.
        made.ts_local = (packet.local, *made.ts_local)
        made.ts_remote = (packet.remote, *made.ts_remote)
    offered: list[Proposal] = []
    try:
        for number, protocol, _, transforms in proposals.offer(config.proposals, without_ke=without_ke):
            spi = made.spis.get(protocol)
            if spi is None:
                spi = made.spis[protocol] = await AllocSpi(protocol, sa.path)
            offered.append(Proposal(number, protocol, spi.to_bytes(4, "big"), transforms))
    except BackendError:
        await made.withdraw()
        raise
    if config.ipcomp:
        cpi = await compression.reserve(sa, config, made.ts_local, made.ts_remote)
        if cpi:
            made.spis[Protocol.IPCOMP] = cpi
    made.offered = tuple(offered)
    return made


@dataclass(slots=True, eq=False)
class Keying:
    """What a child's keys are made of, beside SK_d (RFC 7296 §2.17)."""

    nonce_i: bytes
    nonce_r: bytes
    shared: bytes = b""
    """The secret of the exchange's own key exchange, if there was one."""
    additional: bytes = b""
    """Those of the additional key exchanges that followed, one after the other (RFC 9370 §2.2.4)."""


@dataclass(slots=True, eq=False)
class Agreed:
    """What the peer chose out of our offer, or we out of the peer's; nothing of it stands yet."""

    config: Child
    chosen: Proposal
    """With the SPI of the other end."""
    terms: Terms
    """But for what we reserve for it: the SPI and the CPI by which we receive."""
    cpi: int = 0
    """The peer's CPI; 0 without IPComp."""
    further: bool = False
    """There would be more of the offered traffic in children of their own."""

    @property
    def suite(self) -> ChildSuite:
        return self.terms.suite

    def reserved(self, spi: int, cpi: int) -> Terms:
        """The terms with what is reserved."""
        terms = self.terms
        terms.spi_in = spi
        if cpi and self.cpi:
            terms.particulars = terms.particulars._replace(companions=(Companion(Protocol.IPCOMP, cpi, self.cpi),))
        return terms


def _terms(
    config: Child, chosen: Proposal, ts_local: Selectors, ts_remote: Selectors, transport: bool, message: Message
) -> Terms:
    """As the peer's `message` and what was chosen out of it have them."""
    spi_out = int.from_bytes(chosen.spi, "big")
    terms = Terms(chosen.protocol, ChildSuite.of(chosen), 0, spi_out, ts_local, ts_remote, transport)
    if config.tfc_padding and NotifyType.ESP_TFC_PADDING_NOT_SUPPORTED not in message.said:
        terms.particulars = Particulars(tfc_padding=config.tfc_padding)
    return terms


async def accept(sa: IkeSa, made: ChildOffer, reply: Message, keying: Keying) -> ChildSa:
    """The child that the reply agrees to, standing in the kernel.

    Raises PeerMisbehaved for an answer our offer did not allow,
    TsUnacceptable for selectors outside of it, Stillborn, BackendError.
    """
    agreed = agree(sa, made, reply)
    agreed.terms.ts_local = virtual.own_agreed(sa, made.config, agreed.terms.ts_local)
    return await settle(sa, made, agreed, keying)


def agree(sa: IkeSa, made: ChildOffer, reply: Message) -> Agreed:
    """What the reply chose. Raises PeerMisbehaved for what our offer did not allow, TsUnacceptable."""
    chosen = proposals.accepted(made.offered, one_proposal(reply))
    said = reply.said
    transport = NotifyType.USE_TRANSPORT_MODE in said
    ts_local, ts_remote, original = _answered(sa, made, reply, transport)
    if transport and not made.transport:
        raise PeerMisbehaved("the peer chose transport mode, which we did not ask for")
    if made.transport and not transport:
        # RFC 7296 §1.3.1: a responder may decline; we then must not keep the SA in tunnel mode.
        raise TsUnacceptable("the peer declined transport mode; set mode = tunnel here or transport there")
    if NotifyType.ADDITIONAL_TS_POSSIBLE in said:
        sa.emit(Note(sa, _more(made, ts_local, ts_remote)))
    cpi = compression.taken(reply, made.spis.get(Protocol.IPCOMP, 0))
    terms = _terms(made.config, chosen, ts_local, ts_remote, transport, reply)
    if original:
        terms.particulars = terms.particulars._replace(peer_original=original)
    return Agreed(made.config, chosen, terms, cpi)


def _more(made: ChildOffer, ts_local: Selectors, ts_remote: Selectors) -> str:
    """ADDITIONAL_TS_POSSIBLE: what an operator can make of it (RFC 7296 §2.9)."""
    return (
        f"child {made.config.name}: the peer took {_list(ts_local)} === {_list(ts_remote)} of "
        f"{_list(made.ts_local)} === {_list(made.ts_remote)} and would take more of it in further children: "
        "write a child for each"
    )


async def settle(sa: IkeSa, made: ChildOffer, agreed: Agreed, keying: Keying) -> ChildSa:
    """The child agreed on, standing in the kernel. Raises Stillborn, TsUnacceptable, BackendError."""
    chosen = agreed.chosen
    if int.from_bytes(chosen.spi, "big") in sa.orphans:
        raise Stillborn("the peer deleted the child before its answer reached us")
    if len(made.spis) > 1:
        await made.withdraw(keep=(chosen.protocol, Protocol.IPCOMP) if agreed.cpi else (chosen.protocol,))
    terms = agreed.reserved(made.spis[chosen.protocol], made.spis.get(Protocol.IPCOMP, 0))
    child = build(sa, made.config, True, terms, keying, sa.way)
    await children.install(sa, child)
    return child


def _answered(sa: IkeSa, made: ChildOffer, reply: Message, transport: bool) -> tuple[Selectors, Selectors, bytes]:
    """Our side's and the peer's side's selectors as the peer narrowed them, and its address behind a NAT, if it tells.

    Raises TsUnacceptable.
    """
    ts_local, ts_remote, original = reply.one(TSi).selectors, reply.one(TSr).selectors, b""
    if transport and sa.nat.found:
        # §2.23.1: address substitution comes before anything else, verification of the narrowing included.
        original = children.original_address(sa, ts_remote)
        ts_local, ts_remote = children.as_seen(sa, ts_local, ts_remote)
    if not covers(made.ts_local, ts_local) or not covers(made.ts_remote, ts_remote) or not meet(ts_local, ts_remote):
        raise TsUnacceptable(
            f"the peer answered {_list(ts_local)} === {_list(ts_remote)}, "
            f"which is not within our offer {_list(made.ts_local)} === {_list(made.ts_remote)}"
        )
    if made.whole and not (covers(ts_local, made.ts_local) and covers(ts_remote, made.ts_remote)):
        raise TsUnacceptable(
            f"the peer answered {_list(ts_local)} === {_list(ts_remote)}, less than what is to be rekeyed, "
            f"{_list(made.ts_local)} === {_list(made.ts_remote)} (RFC 7296 §2.9.2)"
        )
    return ts_local, ts_remote, original


def choose(
    sa: IkeSa,
    request: Message,
    configured: tuple[Child, ...],
    *,
    without_ke: bool = False,
    whole: Pair | None = None,
) -> Agreed:
    """Which of `configured` the request is for, and on what terms.

    A child whose selectors equal the offered ones is preferred, then one that
    takes the first selectors offered, which may be those of the packet that
    wanted it, then the first whose selectors meet them (RFC 7296 §2.9). It may
    not have less than `whole`, which it is to replace (§2.9.2).
    Raises TsUnacceptable, NoProposalChosen, AddressRequired.
    """
    fitting = _fitting(sa, request, configured)
    failure: NoProposalChosen | None = None
    for fit in fitting:
        try:
            chosen = proposals.select(request.one(SA).proposals, fit.config.proposals, without_ke=without_ke)
        except NoProposalChosen as refusal:
            if failure is None or refusal.distance < failure.distance:
                failure = refusal
                failure.subject = fit.config.name
            continue
        if whole is not None and not (covers(fit.ts_local, whole[0]) and covers(fit.ts_remote, whole[1])):
            raise TsUnacceptable(
                f"the peer offers {_list(fit.ts_remote)} === {_list(fit.ts_local)} in a rekeying, and the child has "
                f"{_list(whole[1])} === {_list(whole[0])} (RFC 7296 §2.9.2)"
            )
        terms = _terms(fit.config, chosen, fit.ts_local, fit.ts_remote, fit.transport, request)
        if fit.transport and sa.nat.found:
            original = children.original_address(sa, request.one(TSi).selectors)
            terms.particulars = terms.particulars._replace(peer_original=original)
        cpi = compression.offered(request) if fit.config.ipcomp else 0
        further = len(fitting) > 1 and _has_more(request, fit, fitting, without_ke)
        return Agreed(fit.config, chosen, terms, cpi, further)
    assert failure is not None
    raise failure


def _has_more(request: Message, chosen: _Fit, fitting: list[_Fit], without_ke: bool) -> bool:
    """Whether another child of ours would take traffic of the offer that the chosen one leaves out."""
    for other in fitting:
        if covers(chosen.ts_local, other.ts_local) and covers(chosen.ts_remote, other.ts_remote):
            continue
        try:
            proposals.select(request.one(SA).proposals, other.config.proposals, without_ke=without_ke)
        except NoProposalChosen:
            continue
        return True
    return False


class _Fit(NamedTuple):
    """A child of ours that the request may be for; a smaller `rank` is better."""

    rank: int
    config: Child
    ts_local: Selectors
    ts_remote: Selectors
    transport: bool


def _fitting(sa: IkeSa, request: Message, configured: tuple[Child, ...]) -> list[_Fit]:
    """The children whose selectors meet those of the request, best first.

    Raises TsUnacceptable if there is none, AddressRequired if there could be one for an inner address.
    """
    offered = request.one(TSr).selectors, request.one(TSi).selectors
    asked = NotifyType.USE_TRANSPORT_MODE in request.said
    in_transport, why = (offered, "") if not (asked and sa.nat.found) else _substituted(sa, *offered)
    fitting: list[_Fit] = []
    for order, config in enumerate(configured):
        transport = asked and config.mode is Mode.TRANSPORT
        # §2.23.1: without transport mode the substitution is undone.
        local, remote = in_transport if transport else offered
        ours, theirs = virtual.own_wanted(sa, config), virtual.peer_wanted(sa, config)
        ts_local, ts_remote = narrow(local, ours), narrow(remote, theirs)
        if not meet(ts_local, ts_remote):
            continue
        rank = order
        if len(configured) > 1:
            if local != ours or remote != theirs:
                rank += len(configured)
                if not covers(ts_local, local[:1]) or not covers(ts_remote, remote[:1]):
                    rank += len(configured)
            if (config.mode is Mode.TRANSPORT) != asked:
                rank += 3 * len(configured)
        fitting.append(_Fit(rank, config, ts_local, ts_remote, transport))
    if not fitting:
        virtual.require(sa, configured)
        raise TsUnacceptable(_misfit(sa, *offered, configured) + why)
    if len(fitting) > 1:
        fitting.sort(key=lambda fit: fit.rank)
    return fitting


def _substituted(sa: IkeSa, offered_local: Selectors, offered_remote: Selectors) -> tuple[Pair, str]:
    """What is asked for in transport mode through a NAT, as packets bear it here; nothing, and why, if that cannot be.

    The initiator's side is one address, and so is ours (RFC 7296 §2.23.1).
    """
    try:
        return children.as_seen(sa, offered_local, offered_remote), ""
    except TsUnacceptable as refusal:
        return ((), ()), f"; {refusal}"


def _misfit(sa: IkeSa, offered_local: Selectors, offered_remote: Selectors, configured: tuple[Child, ...]) -> str:
    told = f"the peer offers {_list(offered_remote)} === {_list(offered_local)}; "
    if not configured:
        return told + "no child is configured"
    half: list[tuple[str, bool]] = []
    for config in configured:
        ours = bool(narrow(offered_local, virtual.own_wanted(sa, config)))
        if ours != bool(narrow(offered_remote, virtual.peer_wanted(sa, config))):
            half.append((config.name, ours))
    told += "configured are " + "; ".join(_described(sa, config) for config in configured)
    if not half:
        return f"{told}; write the same networks at both ends, mirrored"
    name, ours_fits = half[0]
    word, other = ("remote_ts", "local_ts") if ours_fits else ("local_ts", "remote_ts")
    offer = _list(offered_remote if ours_fits else offered_local)
    return f"{told}; nearest is {name}, but for {word}: set it to {offer} here, or the peer's {other} to ours"


@dataclass(slots=True, eq=False)
class Promise:
    """A child that we agree to: its SPI is reserved, nothing else of it exists yet."""

    choice: Agreed
    spi: int
    path: Path
    cpi: int = 0
    """Our CPI; 0 without IPComp."""

    def payloads(self) -> tuple[SA, list[Payload]]:
        """The SA payload that answers, and TSi, TSr and mode."""
        number, protocol, _, transforms = self.choice.chosen
        terms = self.choice.terms
        chosen = Proposal(number, protocol, self.spi.to_bytes(4, "big"), transforms)
        beside = _beside(terms.transport, protocol is Protocol.ESP, self.cpi)
        if self.choice.further:
            beside.append(ADDITIONAL_TS_POSSIBLE)
        return SA((chosen,)), [TSi(terms.ts_remote), TSr(terms.ts_local), *beside]

    async def keep(self, sa: IkeSa, keying: Keying, *, outbound: bool = True) -> ChildSa:
        """Set up the child. Raises BackendError, TsUnacceptable; nothing is left behind then.

        `outbound=False` leaves the outbound half for later: the initiator of a
        rekeying must be able to receive on the new SA first (RFC 7296 §2.8).
        """
        try:
            child = build(sa, self.choice.config, False, self.choice.reserved(self.spi, self.cpi), keying, sa.way)
        except TsUnacceptable:
            await self.withdraw()
            raise
        await children.install(sa, child, outbound=outbound)
        return child

    @property
    def reserved(self) -> tuple[Reserved, ...]:
        """What is kept for it."""
        spi = Reserved(self.choice.chosen.protocol, self.path, self.spi)
        return (spi, Reserved(Protocol.IPCOMP, self.path, self.cpi)) if self.cpi else (spi,)

    async def withdraw(self) -> None:
        """Give back the SPIs of a child that will not be."""
        for each in self.reserved:
            await FreeSpi(each.protocol, each.path, each.spi)


async def promise(sa: IkeSa, choice: Agreed) -> Promise:
    """Agree to the chosen child. Raises BackendError."""
    made = Promise(choice, await AllocSpi(choice.chosen.protocol, sa.path), sa.path)
    if choice.cpi:
        made.cpi = await compression.reserve(sa, choice.config, choice.terms.ts_local, choice.terms.ts_remote)
    if choice.config.mode is Mode.TRANSPORT and not choice.terms.transport:
        sa.emit(Note(sa, f"child {choice.config.name}: the peer did not ask for transport mode; using tunnel mode"))
    return made


async def answer(
    sa: IkeSa, choice: Agreed, keying: Keying, *, outbound: bool = True
) -> tuple[ChildSa, SA, list[Payload]]:
    """Set up the chosen child at once: it, the SA payload that answers, and TSi, TSr and mode.

    Raises BackendError, TsUnacceptable; nothing is left behind then.
    """
    made = await promise(sa, choice)
    child = await made.keep(sa, keying, outbound=outbound)
    chosen, selectors = made.payloads()
    return child, chosen, selectors


def build(sa: IkeSa, config: Child, initiator: bool, terms: Terms, keying: Keying, path: Path) -> ChildSa:
    """The facts of a new child, keys derived, nothing installed. Raises TsUnacceptable."""
    assert sa.suite is not None and sa.keys is not None
    prf, sk_d = sa.suite.prf, sa.keys.sk_d
    keys = derive_child(prf, terms.suite, sk_d, keying.nonce_i, keying.nonce_r, keying.shared, keying.additional)
    return children.describe(sa, config, initiator, terms, path, keys)


def one_proposal(reply: Message) -> Proposal:
    """The single proposal of an answering SA payload. Raises PeerMisbehaved (RFC 7296 §2.7)."""
    answered = reply.one(SA).proposals
    if len(answered) != 1:
        raise PeerMisbehaved(f"the peer answered {len(answered)} proposals; it must choose one")
    return answered[0]


def _list(selectors: tuple[TrafficSelector, ...]) -> str:
    return " ".join(str(selector) for selector in selectors) or "nothing"


def _described(sa: IkeSa, config: Child) -> str:
    ours, theirs = virtual.own_wanted(sa, config), virtual.peer_wanted(sa, config)
    return f"{config.name}: {_list(theirs)} === {_list(ours)}"
