"""Quick mode: three messages make, or renew, one child (RFC 2409 §5.5).

     initiator                                  responder
     HASH(1), SA, Ni [, KE] [, IDci, IDcr]  -->               1
                      <--  HASH(2), SA, Nr [, KE] [, IDci, IDcr]   2
     HASH(3)                                -->               3

The responder can receive before it sends message 2, the initiator does both
halves before message 3, and the responder begins to send when that has come:
so no packet finds an end that does not know its SA. When the initiator renews
a child, the old SA sends on for a moment, for peers that can receive on the
new one only when message 3 has come. A fourth message, CONNECTED, goes to an
initiator that set the commit bit (RFC 2408 §3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ikectl.auth.v1.base import NONCE_LENGTHS
from ikectl.config.model import Child, Mode
from ikectl.crypto.ke import KePair
from ikectl.crypto.proposal_v1 import Phase2Choice, accepted_phase2
from ikectl.crypto.transforms import KE_BY_METHOD
from ikectl.crypto.transforms_v1 import PHASE2
from ikectl.errors import BackendError, IkectlError, NoProposalChosen, PeerMisbehaved, Refused, TsUnacceptable
from ikectl.exchange import children
from ikectl.exchange.v1 import child as agreement
from ikectl.exchange.v1 import diagnosis
from ikectl.exchange.v1.base import PLAIN, Done, Exchange, Guard, Ignore, Say, Turn
from ikectl.exchange.v1.child import Pair, Spis
from ikectl.exchange.v1.informational import TellDelete
from ikectl.exchange.v1.phase1 import NONCE_OCTETS, check_situation, told_seconds
from ikectl.exchange.v1.succession import bring_home, inferior, inherit, standing, take_over
from ikectl.iana.v1 import ExchangeType, NotifyType, ProtocolId
from ikectl.iana.v2 import KeyExchangeMethod
from ikectl.sa.asks import AnswerKe, CombineKe, GenerateKe
from ikectl.sa.child_sa import ChildSa, ChildState
from ikectl.sa.events import ChildFailed, Note, ProposalMismatch, TsMismatch
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.wire.v1.identity import ID
from ikectl.wire.v1.keying import KE, Nonce
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.notify import Notify
from ikectl.wire.v1.payload import Payload
from ikectl.wire.v1.sa import SA

CONNECTED = Notify(NotifyType.CONNECTED)


def wanted(config: Child, token: int = 0) -> list[QuickMode]:
    """What brings up a child. How many quick modes that takes is known when the inner addresses are."""
    return [QuickMode(config, None, token)]


def rekeying(old: ChildSa, token: int = 0) -> QuickMode:
    """The quick mode that renews a child."""
    return QuickMode(old.config, None, token, old)


@dataclass(slots=True, eq=False)
class QuickMode(Exchange):
    """Quick mode, initiator's half, for a new child or one that renews `old`."""

    type: ClassVar[ExchangeType] = ExchangeType.QUICK_MODE

    config: Child
    asked: Pair | None = None
    """The traffic it is for. None, without an `old` one: all that the configuration says, by one exchange each."""
    token: int = 0
    old: ChildSa | None = None
    spis: Spis | None = None
    offered: SA | None = None
    pair: KePair | None = None
    nonces: tuple[bytes, bytes] = (b"", b"")
    said: tuple[ID, ID] | None = None
    """IDci and IDcr as we sent them; None if we sent none."""
    before: tuple[ChildSa, ...] = ()
    """What stood for the same traffic when we began."""
    agreed: tuple[tuple[ProtocolId, int], ...] = ()
    """Our SPIs in what both ends agreed to."""
    made: ChildSa | None = None
    """The child, while we wait for CONNECTED."""

    def may_begin(self, sa: IsakmpSa) -> bool:
        return sa.may_have_children

    async def begin(self, sa: IsakmpSa) -> Turn:
        """Raises BackendError, NoProposalChosen, TsUnacceptable."""
        if self.old is None and self.asked is None:
            return self._one_for_each(sa)
        pair = self._pair(sa)
        if pair is None:
            return Done()  # it stands already, or is gone, or a better one stands beside it
        if self.old is not None:
            self.before = (self.old, *standing(sa, self.old))
            self.old.move(ChildState.REKEYING)
        config = self.config
        self.spis = Spis(sa.path)
        await self._reserve(sa, agreement.protocols_of(config))
        group = agreement.group_of(config)
        self.offered = agreement.offer(sa, config, self.spis, group)
        self.nonces = (sa.random(NONCE_OCTETS), b"")
        payloads: list[Payload] = [self.offered, Nonce(self.nonces[0])]
        if group is not None:
            self.pair = await GenerateKe(group, sa.random)
            payloads.append(KE(self.pair.public))
        transport = config.mode is Mode.TRANSPORT
        if not (transport and pair == agreement.host_pair(sa.ends)):
            self.said = _ids(pair)
            payloads += self.said
        return Say([*payloads, *agreement.original_addresses(sa, transport, True)])

    async def _reserve(self, sa: IsakmpSa, protocols: tuple[ProtocolId, ...]) -> None:
        """SPIs for all we offer; a kernel that cannot compress offers the rest. Raises BackendError."""
        assert self.spis is not None
        try:
            await self.spis.reserve(protocols)
        except BackendError as failure:
            await self.spis.give_back()
            if ProtocolId.IPCOMP not in protocols:
                raise
            sa.emit(Note(sa, f"child {self.config.name} is offered without IPComp: {failure}"))
            await self.spis.reserve(tuple(each for each in protocols if each is not ProtocolId.IPCOMP))

    def _pair(self, sa: IsakmpSa) -> Pair | None:
        """The traffic to ask for; None if there is nothing to ask any more."""
        if self.old is not None:
            old = self.old
            if old.ike is not sa.home or old.state is not ChildState.INSTALLED or inferior(sa, old):
                return None
            return old.ts_local[0], old.ts_remote[0]
        assert self.asked is not None
        pair = self.asked
        stands = any(
            child.usable
            and child.name == self.config.name
            and (child.ts_local, child.ts_remote) == (pair[:1], pair[1:])
            for child in sa.home.children.values()
        )
        return None if stands else pair

    def _one_for_each(self, sa: IsakmpSa) -> Done:
        """A quick mode for each pair of selectors, for IKEv1 has one in each ID. Raises TsUnacceptable."""
        modes = [QuickMode(self.config, pair) for pair in agreement.pairs(sa, self.config)]
        modes[-1].token = self.token
        return Done(follow=tuple(modes))

    async def take(self, sa: IsakmpSa, message: Message) -> Turn:
        if self.made is not None:
            return await self._take_connected(sa, message)
        try:
            return await self._take_answer(sa, message)
        except (Refused, PeerMisbehaved, BackendError) as failure:
            # The peer believes in a child that we cannot have.
            why = f"child {self.config.name}: {failure}"
            _tell(sa, self.config.name, failure)
            unborn = self._unborn()
            await self.abandon(sa, why)
            return Done(follow=unborn, failed=why, retry=self.again())

    async def _take_answer(self, sa: IsakmpSa, message: Message) -> Turn:
        assert self.offered is not None and self.spis is not None
        choice = accepted_phase2(self.offered, message.one(SA))
        nonce_r = _nonce(message)
        self._check_ids(sa, message)
        shared = await self._combine(message, choice.group)
        self.nonces = (self.nonces[0], nonce_r)
        await self.spis.give_back(keep=tuple(part.protocol for part in choice.parts))
        pair = self._real_pair(sa)
        original = agreement.peer_original(sa, message, True)
        seconds = told_seconds(message, PHASE2)  # while nothing is made that would have to be undone
        made = agreement.build(sa, self.config, True, choice, self.spis, pair, self.nonces, shared, original)
        _hear_lifetime(sa, made, seconds)
        self.agreed, self.spis.held = tuple(self.spis.held.items()), {}  # they are the child's from here on
        await children.install(sa.home, made, outbound=not (message.commit or self.before), replaces=self.old)
        bring_home(sa, made)
        if message.commit:
            self.made = made
            return Say([])
        await self._stand(sa, made)
        return Done([])

    async def _take_connected(self, sa: IsakmpSa, message: Message) -> Turn:
        """The peer is ready to receive (RFC 2408 §3.1)."""
        assert self.made is not None
        if message.notify(NotifyType.CONNECTED) is None:
            return Ignore("no CONNECTED, which we wait for")
        made, self.made = self.made, None
        await children.switch_outbound(made)
        await self._stand(sa, made)
        return Done()

    async def _stand(self, sa: IsakmpSa, made: ChildSa) -> None:
        """Of a renewed child the old SA goes on sending a little: see `IsakmpMachine._watch_children`."""
        if not inherit(sa, made, self.before):
            await children.switch_outbound(made)
            children.announce(sa, made)

    def _real_pair(self, sa: IsakmpSa) -> Pair:
        """What goes into the kernel."""
        return agreement.host_pair(sa.ends) if self.said is None else self._meant(sa, self.said)

    def _meant(self, sa: IsakmpSa, said: tuple[ID, ID]) -> Pair:
        pair = said[0].selector(), said[1].selector()
        return agreement.through_nat(sa, pair) if self.config.mode is Mode.TRANSPORT else pair

    def _check_ids(self, sa: IsakmpSa, message: Message) -> None:
        """What we sent must come back as it is (RFC 2409 §5.5). Raises TsUnacceptable.

        In transport mode through a NAT addresses are not compared: strongSwan answers with those that it sees.
        """
        answered = agreement.client_ids(message)
        ours = None if self.said is None else self._meant(sa, self.said)
        theirs = None if answered is None else self._meant(sa, answered)
        if ours != theirs and not (ours is None and self.config.mode is Mode.TRANSPORT):
            raise TsUnacceptable(f"the peer answered {_shown(theirs)}, and we asked for {_shown(ours)}")

    async def _combine(self, message: Message, group: KeyExchangeMethod | None) -> bytes:
        ke = message.get(KE)
        if group is None or self.pair is None:
            if ke is not None:
                raise PeerMisbehaved("a key exchange that we did not ask for")
            return b""
        if ke is None:
            raise PeerMisbehaved("quick mode without the key exchange we asked for")
        return await CombineKe(self.pair, ke.public)

    def _unborn(self) -> tuple[Exchange, ...]:
        """A delete for what the peer set up and we did not."""
        spis = self.agreed or (tuple(self.spis.held.items()) if self.spis is not None else ())
        return (TellDelete.of_spis(spis, "could not be set up here"),) if spis else ()

    def again(self) -> QuickMode | None:
        """What to try again after a while when this failed: a renewal, for without one the child ends."""
        return None if self.old is None else QuickMode(self.config, None, 0, self.old)

    def anew(self) -> QuickMode:
        """The same from the start, on another ISAKMP SA."""
        return QuickMode(self.config, self.asked, 0, self.old)

    async def give_up(self, sa: IsakmpSa, why: str) -> None:
        """The peer said no, in an exchange of its own."""
        sa.emit(ChildFailed(sa, self.config.name, why))
        await self.abandon(sa, why)

    def unanswered(self, sa: IsakmpSa, octets: int = 0) -> str:
        if self.made is not None:
            return (
                f"the peer does not answer child {self.config.name}: CONNECTED, which it asked us to wait for, is due"
            )
        return diagnosis.child_unanswered(sa, self.config, self._asked)

    def refused(self, sa: IsakmpSa, types: Sequence[NotifyType]) -> str:
        return diagnosis.child_refused(types, sa, self.config, self._asked)

    def report(self, sa: IsakmpSa, error: IkectlError, why: str) -> None:
        _tell(sa, self.config.name, error)

    @property
    def _asked(self) -> Pair | None:
        return self.asked if self.old is None else (self.old.ts_local[0], self.old.ts_remote[0])

    @property
    def step(self) -> str:
        return f"message {3 if self.made is not None else 1} of quick mode for child {self.config.name}"

    async def abandon(self, sa: IsakmpSa, why: str) -> None:
        self.pair = None
        if self.spis is not None:
            await self.spis.give_back()
        if self.made is not None:
            made, self.made = self.made, None
            await children.remove(sa.home, made, why)
        if self.old is not None and self.old.state is ChildState.REKEYING:
            self.old.move(ChildState.INSTALLED)

    def outgoing(self) -> Guard:
        if not self.nonces[1]:
            return PLAIN
        return Guard(b"\0", self.nonces[0] + self.nonces[1], alone=True)

    def incoming(self) -> Guard:
        return PLAIN if self.nonces[1] else Guard(b"", self.nonces[0])

    def names(self, spi: bytes) -> bool:
        """Whether a refusal with that SPI is about this exchange."""
        return self.spis is not None and spi in self.spis.octets().values()

    @property
    def subject(self) -> str:
        return f"{'rekeying of ' if self.old is not None else ''}child {self.config.name}"


@dataclass(slots=True, eq=False)
class AnswerQuickMode(Exchange):
    """Quick mode, responder's half. Message 2 is repeated by time: without 3 we do not know that it came."""

    type: ClassVar[ExchangeType] = ExchangeType.QUICK_MODE

    token: int = 0
    nonces: tuple[bytes, bytes] = (b"", b"")
    spis: Spis | None = None
    made: ChildSa | None = None
    before: tuple[ChildSa, ...] = ()
    """What stood for the same traffic when the peer began."""
    commit: bool = False
    """The initiator waits for CONNECTED."""
    about: str = ""
    """The child of ours that comes nearest to what the peer asked for and did not get."""

    async def take(self, sa: IsakmpSa, message: Message) -> Turn:
        if self.made is None:
            return await self._take_offer(sa, message)
        return await self._take_confirmation(sa)

    async def _take_offer(self, sa: IsakmpSa, message: Message) -> Turn:
        """Message 1 offers; 2 chooses. Raises Refused, PeerMisbehaved."""
        assert sa.connection is not None
        if len(sa.home.children) >= 2 * sa.env.settings.max_children:
            raise NoProposalChosen("too many children on this IKE SA")
        check_situation(message.one(SA))
        nonce_i, ids = _nonce(message), agreement.client_ids(message)
        transport = _asks_transport(message)
        try:
            if ids is None:
                pair = agreement.host_pair(sa.ends)
            else:
                pair = ids[1].selector(), agreement.peers_selector(sa, ids[0], transport)
            if transport:
                pair = agreement.through_nat(sa, pair)
            config, choice = await self._choose(sa, message, pair)
        except Refused as refusal:
            if isinstance(refusal, NoProposalChosen):
                self.about = refusal.subject
            raise
        self.nonces = (nonce_i, sa.random(NONCE_OCTETS))
        payloads: list[Payload] = [Nonce(self.nonces[1])]
        shared = b""
        if choice.group is not None:
            public, shared = await AnswerKe(choice.group, _public(message, choice.group), sa.random)
            payloads.append(KE(public))
        elif message.get(KE) is not None:
            raise PeerMisbehaved("a key exchange without a group")
        assert self.spis is not None
        try:
            original = agreement.peer_original(sa, message, False)
            answer = choice.with_spis(self.spis.octets())
            made = agreement.build(sa, config, False, choice, self.spis, pair, self.nonces, shared, original)
            self.spis.held = {}
            self.before = standing(sa, made)
            await children.install(sa.home, made, outbound=False)
            bring_home(sa, made)
        except IkectlError:
            await self.spis.give_back()
            raise
        self.made, self.commit = made, message.commit
        return Say([answer, *payloads, *(ids or ()), *agreement.original_addresses(sa, transport, False)])

    async def _choose(self, sa: IsakmpSa, message: Message, pair: Pair) -> tuple[Child, Phase2Choice]:
        """The child asked for and its terms, SPIs reserved; without compression where the kernel has none.

        Raises TsUnacceptable, NoProposalChosen, BackendError.
        """
        assert sa.connection is not None
        self.spis = Spis(sa.path)
        for compress in (True, False):
            config, choice = agreement.choose(sa, message, pair, sa.connection.negotiable, compress=compress)
            protocols = tuple(part.protocol for part in choice.parts)
            try:
                await self.spis.reserve(protocols)
            except BackendError:
                await self.spis.give_back()
                if ProtocolId.IPCOMP not in protocols:
                    raise
                continue
            return config, choice
        raise NoProposalChosen("this kernel cannot compress, and the peer offers nothing without IPComp")

    async def _take_confirmation(self, sa: IsakmpSa) -> Turn:
        """Message 3: the initiator has our answer and can receive."""
        assert self.made is not None
        made = self.made
        if made.state is ChildState.DELETED:
            return Done()
        await children.switch_outbound(made)
        if not await take_over(sa, made, self.before):
            children.announce(sa, made)
        return Done([CONNECTED] if self.commit else None)

    def taken_back(self) -> tuple[Exchange, ...]:
        """A delete for what we agreed to and never heard confirmed: the peer may send on it all the same."""
        if self.made is None or self.made.outbound:
            return ()
        kinds = {protocol: number for number, protocol in agreement.PROTOCOLS.items()}
        spis = [(kinds[self.made.protocol], self.made.spi_in)]
        spis += [(kinds[each.protocol], each.spi_in) for each in self.made.companions]
        return (TellDelete.of_spis(tuple(spis), "never confirmed"),)

    async def abandon(self, sa: IsakmpSa, why: str) -> None:
        if self.spis is not None:
            await self.spis.give_back()
        if self.made is not None and not self.made.outbound:
            await children.remove(sa.home, self.made, None)

    def outgoing(self) -> Guard:
        return Guard(b"", self.nonces[0]) if self.made is None or not self.made.outbound else PLAIN

    def incoming(self) -> Guard:
        return PLAIN if self.made is None else Guard(b"\0", self.nonces[0] + self.nonces[1], alone=True)

    def unanswered(self, sa: IsakmpSa, octets: int = 0) -> str:
        return (
            f"the peer did not confirm {self.subject}: message 3 of quick mode did not come, so the child does not "
            "stand; our message 2 is lost on its way, or the peer does not like what we chose; its log says which"
        )

    def report(self, sa: IsakmpSa, error: IkectlError, why: str) -> None:
        _tell(sa, self.made.name if self.made is not None else self.about, error)

    @property
    def step(self) -> str:
        return f"message 2 of quick mode for {self.subject}"

    @property
    def subject(self) -> str:
        name = self.made.name if self.made is not None else self.about
        return f"child {name}" if name else "a child the peer asks for"


def _ids(pair: Pair) -> tuple[ID, ID]:
    """IDci is of the initiator, us. Raises TsUnacceptable for ports that IKEv1 cannot say."""
    try:
        return ID.of_selector(pair[0]), ID.of_selector(pair[1])
    except ValueError as failure:
        raise TsUnacceptable(str(failure)) from None


def _shown(selectors: Pair | None) -> str:
    return " === ".join(map(str, selectors)) if selectors else "no client identities"


def _nonce(message: Message) -> bytes:
    nonce = message.one(Nonce).value
    if len(nonce) not in NONCE_LENGTHS:
        raise PeerMisbehaved(f"a nonce of {len(nonce)} octets; 8 to 256 are legal (RFC 2409 §5)")
    return nonce


def _public(message: Message, group: KeyExchangeMethod) -> bytes:
    public, octets = message.one(KE).public, KE_BY_METHOD[group].initiator_octets
    if len(public) != octets:
        raise PeerMisbehaved(f"a public value of {len(public)} octets; {group} has {octets}")
    return public


def _asks_transport(message: Message) -> bool:
    """Whether the first transform offered is of transport mode."""
    return agreement.is_transport(message.one(SA))


def _hear_lifetime(sa: IsakmpSa, made: ChildSa, seconds: int) -> None:
    """RESPONDER-LIFETIME beside message 2 (RFC 2407 §4.6.3.1)."""
    if seconds:
        if not made.life_time or seconds < made.life_time:
            sa.emit(Note(sa, f"the peer ends child {made.name} after {seconds} seconds"))
        shorter = min(filter(None, (made.life_time, seconds)))
        made.particulars = made.particulars._replace(life_time=shorter)


def _tell(sa: IsakmpSa, child: str, failure: IkectlError) -> None:
    """The event that tells operators why there is no child."""
    if isinstance(failure, TsUnacceptable):
        sa.emit(TsMismatch(sa, child, str(failure)))
    elif isinstance(failure, NoProposalChosen):
        sa.emit(ProposalMismatch(sa, child, str(failure)))
    else:
        sa.emit(ChildFailed(sa, child, str(failure)))
