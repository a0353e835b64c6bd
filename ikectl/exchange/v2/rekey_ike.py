"""CREATE_CHILD_SA that replaces the IKE SA, with every collision (RFC 7296 §1.3.2, §2.8.2, §2.18, §2.25.2)."""

from __future__ import annotations

from dataclasses import dataclass

from ikectl.crypto import proposal as proposals
from ikectl.crypto.kdf_v2 import derive_rekeyed_ike
from ikectl.crypto.ke import KePair
from ikectl.crypto.proposal import IkeSuite
from ikectl.errors import InvalidKe, NoProposalChosen, PeerMisbehaved, TemporaryFailure
from ikectl.exchange.v2.base import Answer, Birth, Case, Done, Exchange, Next, Reply, first_error
from ikectl.exchange.v2.child import one_proposal
from ikectl.exchange.v2.create_child import MAX_CORRECTIONS
from ikectl.exchange.v2.delete import DeleteIke
from ikectl.exchange.v2.followup_ke import Creation, Plan, forget, go_on, pending, postpone
from ikectl.exchange.v2.ike_sa_init import ke_methods
from ikectl.exchange.v2.nonce import NONCE_OCTETS, nonce_of
from ikectl.exchange.v2.session_ticket import promise
from ikectl.iana.v2 import KeyExchangeMethod, NotifyType
from ikectl.sa.asks import AnswerKe, CombineKe, GenerateKe
from ikectl.sa.association import IkeState
from ikectl.sa.collision import Outcome, Rival, decide, lowest
from ikectl.sa.events import IkeRekeyed, Note, ProposalMismatch
from ikectl.sa.followups import Followup
from ikectl.sa.ike_sa import IkeSa
from ikectl.values.secret import NO_SECRET, Secret
from ikectl.wire.payload import Payload
from ikectl.wire.v2.keying import KE, Nonce
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import invalid_ke_group
from ikectl.wire.v2.sa import SA, Proposal

SPI_OCTETS = 8


@dataclass(slots=True, eq=False)
class Agreement:
    """What both ends agreed on for a new IKE SA; its original initiator is who began the rekeying (RFC 7296 §2.18)."""

    initiator: bool
    spi_i: bytes
    spi_r: bytes
    suite: IkeSuite
    shared: Secret
    nonce_i: bytes
    nonce_r: bytes

    @property
    def nonce(self) -> bytes:
        """The one that counts if both ends rekey at once."""
        return lowest(self.nonce_i, self.nonce_r)

    def successor(self, sa: IkeSa, additional: Secret) -> IkeSa:
        """The SA that replaces `sa`: SKEYSEED from the old SK_d with the *old* prf (RFC 7296 §2.18), message IDs at 0.

        `additional` are the secrets of additional key exchanges, one after the other (RFC 9370 §2.2.4).
        """
        assert sa.keys is not None and sa.suite is not None
        uniqueid = sa.env.next_ike()
        keys = derive_rekeyed_ike(
            self.suite,
            sa.suite.prf,
            sa.keys.sk_d,
            self.shared,
            self.nonce_i,
            self.nonce_r,
            self.spi_i,
            self.spi_r,
            additional,
        )
        keys.sk_pi = keys.sk_pr = NO_SECRET  # nothing is authenticated anew
        return IkeSa(
            env=sa.env,
            random=sa.env.random_for(uniqueid),
            uniqueid=uniqueid,
            initiator=self.initiator,
            spi_i=self.spi_i,
            spi_r=self.spi_r,
            path=sa.path,
            connection=sa.connection,
            state=IkeState.ESTABLISHED,
            suite=self.suite,
            keys=keys,
            local_id=sa.local_id,
            remote_id=sa.remote_id,
            user=sa.user,
            nat=sa.nat,
            proven=sa.proven,
            extensions=sa.extensions,
            ppk=sa.ppk,
            caller=sa.caller,
            reauth_at=sa.reauth_at,
            reauth_by=sa.reauth_by,
            mobility=None if sa.mobility is None else sa.mobility.handed_on(),
            numbering=None if sa.numbering is None else sa.numbering.handed_on(),
        )


def take_over(old: IkeSa, new: IkeSa) -> None:
    """`new` replaces `old`, children and all; whoever began it deletes `old`."""
    new.inherit(old)
    old.move(IkeState.REKEYED)
    old.emit(IkeRekeyed(old, new))


@dataclass(slots=True, eq=False)
class RekeyIke(Creation):
    """CREATE_CHILD_SA for the IKE SA itself, initiator's half (RFC 7296 §1.3.2)."""

    token: int = 0
    method: KeyExchangeMethod = KeyExchangeMethod.NONE
    corrections: int = 0
    tries: int = 0
    """How often the peer was busy already."""
    losses: int = 0
    spi: bytes = b""
    nonce: bytes = b""
    offered: tuple[Proposal, ...] = ()
    pair: KePair | None = None
    agreed: Agreement | None = None

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        if sa.state is not IkeState.ESTABLISHED:
            return None
        assert sa.connection is not None and sa.suite is not None
        self.spi = sa.env.next_spi(sa.random)
        self.nonce = sa.random(NONCE_OCTETS)
        self.offered = proposals.offer(sa.connection.proposals, self.spi)
        methods = ke_methods(self.offered)
        if self.method not in methods:
            self.method = sa.suite.ke if sa.suite.ke in methods else methods[0]
        self.pair = await GenerateKe(self.method, sa.random)
        sa.move(IkeState.REKEYING)
        return [SA(self.offered), Nonce(self.nonce), KE(self.method, self.pair.public)]

    async def on_created(self, sa: IkeSa, reply: Message) -> Next:
        assert self.pair is not None
        chosen = proposals.accepted(self.offered, one_proposal(reply))
        suite, ke = IkeSuite.of(chosen), reply.one(KE)
        nonce_r = nonce_of(reply, suite.prf)
        if len(chosen.spi) != SPI_OCTETS or chosen.spi == bytes(SPI_OCTETS):
            raise PeerMisbehaved("the peer's SPI for the new IKE SA must have 8 octets and not be zero (§3.3.1)")
        if ke.method != self.method or suite.ke != self.method:
            raise PeerMisbehaved(f"the peer chose {suite.ke} and answered {ke.method}; we sent {self.method}")
        shared = await CombineKe(self.pair, ke.public)
        self.agreed = Agreement(True, self.spi, chosen.spi, suite, shared, self.nonce, nonce_r)
        if not suite.additional:
            return await self.complete(sa, NO_SECRET)
        after = go_on(self, sa, suite.additional, reply)
        if sa.state is not IkeState.REKEYING:
            return Done()  # the peer uses the SA of its own rekeying already
        if self._loses(sa):
            # RFC 9370 §2.2.4: nothing was made yet, so there is nothing to delete. We just do not go on.
            sa.emit(Note(sa, "both ends rekey the IKE SA; the peer's rekeying goes on, not ours"))
            self._settle_without_ours(sa)
            return Done(retry=self.anew())
        await forget(sa, pending(sa, sa))
        return after

    async def complete(self, sa: IkeSa, additional: Secret) -> Next:
        assert self.agreed is not None
        new = self.agreed.successor(sa, additional)
        if sa.state is not IkeState.REKEYING:
            # The peer uses the SA of its own rekeying already: that was decided before this answer came.
            return Done(born=Birth(new, (DeleteIke("redundant after a simultaneous rekeying"),)))
        rival = sa.rival
        if self._loses(sa):
            sa.emit(Note(sa, "both ends rekeyed the IKE SA; the peer's new one stays"))
            self._settle_without_ours(sa)
            return Done(born=Birth(new, (DeleteIke("redundant after a simultaneous rekeying"),)))
        redundant = rival.made if rival is not None else None
        if redundant is not None and redundant.state is IkeState.ESTABLISHED:
            # The peer deletes what it began (§2.8.2), unless it never learns that it came about.
            redundant.predecessor = None
            redundant.move(IkeState.REKEYED)
        else:
            redundant = None
            await forget(sa, pending(sa, sa))
        take_over(sa, new)
        return Done(born=Birth(new), redundant=redundant, follow=(DeleteIke("rekeyed", self.token),))

    def _loses(self, sa: IkeSa) -> bool:
        """Whether the peer's rekeying of the IKE SA is the one that stays (§2.8.2)."""
        rival = sa.rival
        if rival is None or self.agreed is None or (rival.made is None and pending(sa, sa) is None):
            return False
        return decide(self.agreed.nonce, rival.nonce) is Outcome.THEIRS_STAYS

    async def on_invalid_ke(self, sa: IkeSa, reply: Message) -> Next:
        notify = reply.notify(NotifyType.INVALID_KE_PAYLOAD)
        assert notify is not None
        self._settle_without_ours(sa)
        wanted = invalid_ke_group(notify)
        if wanted not in ke_methods(self.offered) or wanted == self.method or self.corrections >= MAX_CORRECTIONS:
            return Done(failed=f"the peer wants key exchange {wanted}, which we cannot give")
        return Done(follow=(RekeyIke(self.token, wanted, self.corrections + 1, self.tries, self.losses),))

    async def on_busy(self, sa: IkeSa, reply: Message) -> Next:
        """§2.25.2: the SA goes on, we try again later."""
        self._settle_without_ours(sa)
        return Done(retry=self.anew() if sa.state is IkeState.ESTABLISHED else None)

    async def on_refused(self, sa: IkeSa, reply: Message) -> Next:
        """As when the peer is busy, but whoever asked is told."""
        self._settle_without_ours(sa)
        error = first_error(reply)
        assert error is not None
        if sa.state is not IkeState.ESTABLISHED:
            return Done()
        if sa.caller and error.type is NotifyType.NO_ADDITIONAL_SAS:
            # RFC 7296 §4: a peer without rekeying says so in this way, and a new IKE SA is made instead.
            sa.emit(Note(sa, "the peer does not rekey the IKE SA; making another one"))
            return Done(afresh=True)
        again = self.anew()
        again.token = 0
        return Done(retry=again, failed=f"the peer refuses to rekey the IKE SA: {error.type}")

    def anew(self) -> RekeyIke:
        return RekeyIke(self.token, self.method, 0, self.tries + 1, self.losses)

    async def abandon(self, sa: IkeSa, why: str) -> None:
        self._settle_without_ours(sa)

    async def spoilt(self, sa: IkeSa, why: str) -> tuple[Exchange, ...]:
        """The peer's children are on an SA that we do not have: this one is of no use any more."""
        await self.abandon(sa, why)
        return (DeleteIke(why),)

    def _settle_without_ours(self, sa: IkeSa) -> None:
        """Our attempt came to nothing: the peer's stands if there is one, else the old SA goes on."""
        if sa.state is not IkeState.REKEYING:
            return
        made = sa.rival.made if sa.rival is not None else None
        if made is not None and made.state is not IkeState.CLOSED:
            take_over(sa, made)
        else:
            sa.rival = None
            sa.move(IkeState.ESTABLISHED)

    cases = (
        Case(on_invalid_ke, notify=NotifyType.INVALID_KE_PAYLOAD),
        Case(on_busy, notify=NotifyType.TEMPORARY_FAILURE),
        Case(on_refused, error=True),
        Case(on_created, required=(SA, Nonce, KE)),
    )

    @property
    def subject(self) -> str:
        return "rekeying of the IKE SA"


@dataclass(slots=True, eq=False)
class AnswerRekeyIke(Answer):
    """CREATE_CHILD_SA for the IKE SA itself, responder's half (RFC 7296 §1.3.2, §2.25.2)."""

    async def respond(self, sa: IkeSa, request: Message) -> Reply:
        """Raises NoProposalChosen, InvalidKe, TemporaryFailure, PeerMisbehaved."""
        if sa.state not in (IkeState.ESTABLISHED, IkeState.REKEYING) or sa.rival is not None:
            raise TemporaryFailure(f"the IKE SA is {sa.state.name}")
        if sa.dying:
            # Or one peer could pile up SAs without end: what this one replaced must be deleted first.
            raise TemporaryFailure("the SA that this one replaced is not deleted yet")
        assert sa.connection is not None
        ke = request.get(KE)
        try:
            chosen = proposals.select(request.one(SA).proposals, sa.connection.proposals)
        except NoProposalChosen as refusal:
            sa.emit(ProposalMismatch(sa, "", str(refusal)))
            raise
        suite = IkeSuite.of(chosen)
        if len(chosen.spi) != SPI_OCTETS or chosen.spi == bytes(SPI_OCTETS):
            raise PeerMisbehaved("the SPI for the new IKE SA must have 8 octets and not be zero (§3.3.1)")
        if ke is None or ke.method != suite.ke:
            raise InvalidKe(suite.ke)
        nonce_i = nonce_of(request, suite.prf)
        public, shared = await AnswerKe(suite.ke, ke.public, sa.random)
        nonce_r, spi = sa.random(NONCE_OCTETS), sa.env.next_spi(sa.random)
        plan = RenewedIke(Agreement(False, chosen.spi, spi, suite, shared, nonce_i, nonce_r))
        answer: list[Payload] = [
            SA((Proposal(chosen.number, chosen.protocol, spi, chosen.transforms),)),
            Nonce(nonce_r),
            KE(suite.ke, public),
            *promise(sa, request),
        ]
        if not suite.additional:
            return Reply(answer, born=await plan.finish(sa))
        link = await postpone(sa, Followup(plan, suite.additional, sa))
        if sa.state is IkeState.REKEYING:
            sa.rival = Rival(plan.agreed.nonce, None)
        return Reply([*answer, link])


@dataclass(slots=True, eq=False)
class RenewedIke(Plan):
    """An IKE SA in place of another, once its additional key exchanges are done."""

    agreed: Agreement

    async def finish(self, sa: IkeSa, additional: Secret = NO_SECRET) -> Birth:
        new = self.agreed.successor(sa, additional)
        if sa.state is IkeState.REKEYING:
            # Both ends at once: nonces decide when our own exchange is answered (§2.8.2).
            sa.rival = Rival(self.agreed.nonce, new)
            new.predecessor = sa
        else:
            take_over(sa, new)
        return Birth(new)
