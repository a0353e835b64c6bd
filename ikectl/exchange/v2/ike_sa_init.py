"""IKE_SA_INIT: algorithms, nonces, Diffie-Hellman and NAT detection, all unprotected (RFC 7296 §1.2).

Nothing here is authenticated until IKE_AUTH: a reply may steer a bounded
restart (§2.6, §2.7), never more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple

from ikectl.auth.base import ANNOUNCED_HASHES
from ikectl.config.model import Child, Connection
from ikectl.crypto import proposal as proposals
from ikectl.crypto.kdf_v2 import derive_ike
from ikectl.crypto.ke import KePair
from ikectl.crypto.proposal import IkeSuite
from ikectl.errors import InvalidKe, NoProposalChosen, PeerMisbehaved
from ikectl.exchange.v2 import auth_methods, childless, extensions, ppk, redirect
from ikectl.exchange.v2.base import Again, Answer, Aside, Case, Done, Doubt, Exchange, Ignore, Next, Reply, first_error
from ikectl.exchange.v2.certreq import announced, request_certificates, wanted
from ikectl.exchange.v2.child import one_proposal
from ikectl.exchange.v2.create_child import CreateChild
from ikectl.exchange.v2.demands import Demands
from ikectl.exchange.v2.ike_intermediate import follow, optional_rounds_left_out
from ikectl.exchange.v2.natd import judge_nat, nat_hashes, to_natt_port
from ikectl.exchange.v2.nonce import NONCE_OCTETS, nonce_of
from ikectl.iana.v2 import (
    ExchangeType,
    HashAlgorithm,
    KeyExchangeMethod,
    NotifyType,
    TransformType,
    key_exchange_method,
)
from ikectl.sa.asks import AnswerKe, CombineKe, GenerateKe
from ikectl.sa.association import IkeState
from ikectl.sa.events import ProposalMismatch
from ikectl.sa.ike_sa import Handshake, IkeSa
from ikectl.values.path import Path
from ikectl.wire.payload import Payload
from ikectl.wire.v2.keying import KE, Nonce
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import (
    INTERMEDIATE_EXCHANGE_SUPPORTED,
    MULTIPLE_AUTH_SUPPORTED,
    USE_PPK_INT,
    Notify,
    invalid_ke_group,
    signature_hashes,
    signature_hashes_notify,
)
from ikectl.wire.v2.puzzle import Demand, PuzzleSolution, puzzle_notify
from ikectl.wire.v2.sa import SA, Proposal

HASHES_NOTIFY = signature_hashes_notify(ANNOUNCED_HASHES)
KNOWN_HASHES = tuple(HashAlgorithm)
OUR_HASHES = tuple([known for known in KNOWN_HASHES if known in ANNOUNCED_HASHES])
"""What `peer_hashes` makes of a list that is the same as ours."""


def peer_hashes(message: Message) -> tuple[HashAlgorithm, ...] | None:
    """Those hashes of the peer's SIGNATURE_HASH_ALGORITHMS that we know, None if it sent none (RFC 7427 §4).

    Each once and in an order of our own: equal sets are equal, and none is longer than the registry.
    """
    notify = message.notify(NotifyType.SIGNATURE_HASH_ALGORITHMS)
    if notify is None:
        return None
    if notify.data == HASHES_NOTIFY.data:
        return OUR_HASHES
    named = frozenset(signature_hashes(notify))
    return tuple([known for known in KNOWN_HASHES if known in named])


class Opening(NamedTuple):
    """What configured proposals come to."""

    offered: tuple[Proposal, ...]
    method: KeyExchangeMethod
    """The best of its key exchange methods, which is tried first."""
    rounds: bool
    """Additional key exchanges are offered."""


@lru_cache(256)
def opening(configured: tuple[Proposal, ...]) -> Opening:
    """The offer of an initiator."""
    offered = proposals.offer(configured)
    return Opening(offered, ke_methods(offered)[0], _has_rounds(offered))


def ke_methods(offered: Sequence[Proposal]) -> tuple[KeyExchangeMethod, ...]:
    """The key exchange methods of an offer, best first."""
    methods = [t.id for proposal in offered for t in proposal.transforms if t.type is TransformType.KE]
    return tuple(map(key_exchange_method, dict.fromkeys(methods)))


@dataclass(slots=True, eq=False)
class IkeSaInit(Exchange):
    """IKE_SA_INIT, initiator's half (RFC 7296 §1.2).

    Starts over, same nonce and SPIi, when the responder wants a cookie
    (§2.6), a puzzle solved (RFC 8019 §7.1) or another key exchange method (§2.7); gives up after MAX_RESTARTS.
    """

    MAX_RESTARTS: ClassVar[int] = 5
    type: ClassVar[ExchangeType] = ExchangeType.IKE_SA_INIT

    child: Child | None = None
    """The child to set up with IKE_AUTH; None leaves the choice to nobody: the IKE SA alone."""
    token: int = 0
    offered: tuple[Proposal, ...] = ()
    method: KeyExchangeMethod = KeyExchangeMethod.NONE
    demands: Demands | None = None
    """Those of the responder, once it has any."""
    pair: KePair | None = None
    restarts: int = 0
    refused: str = ""
    """That the peer takes none of our proposals, unless somebody says better."""
    path: Path | None = None
    """Between which ends it goes; the SA may go on between other ports."""
    said: Sequence[Payload] = ()
    """What else this connection has to announce."""

    async def request(self, sa: IkeSa) -> list[Payload]:
        connection = sa.connection
        assert connection is not None
        self.offered, best, rounds = opening(connection.proposals)
        if sa.handshake is None:
            sa.handshake = Handshake(nonce_i=sa.random(NONCE_OCTETS))
            self.method = best
            sa.move(IkeState.CONNECTING)
            self.path = sa.path
            if connection.ppk_id is not None:
                self.said = await ppk.ours(sa, connection.ppk_id)
        if self.pair is None:
            self.pair = await GenerateKe(self.method, sa.random)
        payloads: list[Payload] = [] if self.demands is None else self.demands.payloads()
        payloads += (SA(self.offered), KE(self.method, self.pair.public), Nonce(sa.handshake.nonce_i))
        payloads += nat_hashes(sa, bytes(8))
        payloads.append(HASHES_NOTIFY)
        if rounds or USE_PPK_INT in self.said:
            payloads.append(INTERMEDIATE_EXCHANGE_SUPPORTED)
        payloads += extensions.announced(connection.extras)
        payloads += self.said
        if connection.follow_redirects:
            payloads += redirect.announced(sa)
        return payloads

    async def on_cookie(self, sa: IkeSa, reply: Message) -> Next:
        """With a puzzle, or without (RFC 8019 §7.1.2)."""
        self.demands = self.demands or Demands()
        then = self.demands.take(sa, self.offered, reply)
        if not isinstance(then, Again | Aside):
            return then
        counted = self._again(sa)
        if isinstance(then, Aside) and not isinstance(counted, Again):
            then.job.close()
        return then if isinstance(counted, Again) else counted

    async def on_invalid_ke(self, sa: IkeSa, reply: Message) -> Next:
        notify = reply.notify(NotifyType.INVALID_KE_PAYLOAD)
        assert notify is not None
        wanted = invalid_ke_group(notify)
        if wanted not in ke_methods(self.offered):
            return Doubt(f"the peer wants key exchange method {wanted}, which is not in our proposals")
        if wanted == self.method:
            return Ignore("we took this correction already")
        self.method, self.pair = wanted, None
        if self.demands is not None:
            self.demands.restarted()
        return self._again(sa)

    async def on_refused(self, sa: IkeSa, reply: Message) -> Next:
        error = first_error(reply)
        assert error is not None and sa.connection is not None
        if error.type is NotifyType.NO_PROPOSAL_CHOSEN:
            ours = ", ".join(proposals.format_proposal(proposal) for proposal in sa.connection.proposals)
            self.refused = (
                f"the peer answered NO_PROPOSAL_CHOSEN: it accepts none of our IKE proposals ({ours}), or has no "
                f"connection for {sa.path.local.host}: compare with its configuration; its log names what differs"
            )
            return Doubt(self.refused)
        return Doubt(f"the peer answered IKE_SA_INIT with {error.type}")

    async def on_puzzle_alone(self, sa: IkeSa, reply: Message) -> Next:
        """Without a cookie there is nothing to be solved: the message has to be ignored (RFC 8019 §7.1.2)."""
        return Ignore("a PUZZLE without a COOKIE")

    async def abandon(self, sa: IkeSa, why: str) -> None:
        """Nobody said better: what the peer does not take is told as any other mismatch."""
        if self.refused and self.refused == why:
            sa.emit(ProposalMismatch(sa, "", self.refused))

    async def on_redirect(self, sa: IkeSa, reply: Message) -> Next:
        """Nobody has proven to be the gateway, so a better answer may come first; the next one has to (RFC 5685 §3)."""
        assert sa.handshake is not None
        gateway = redirect.hear(sa, reply, sa.handshake.nonce_i)
        if not gateway:
            return Ignore("a REDIRECT that we did not offer to follow, or without our nonce")
        sa.redirect = gateway
        return Doubt(f"the gateway sends us to {gateway}")

    async def on_chosen(self, sa: IkeSa, reply: Message) -> Next:
        """The only way on. What it concludes is doubtful until IKE_AUTH proves it."""
        shake, connection = sa.handshake, sa.connection
        assert shake is not None and self.pair is not None and connection is not None
        if reply.spi_r == bytes(8):
            return Ignore("an answer without a responder's SPI")
        chosen = proposals.accepted(self.offered, one_proposal(reply))
        suite = IkeSuite.of(chosen)
        ke = reply.one(KE)
        if ke.method != self.method or suite.ke != self.method:
            raise PeerMisbehaved(f"the peer chose {suite.ke} and answered {ke.method}; we sent {self.method}")
        if suite.additional and reply.notify(NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED) is None:
            raise PeerMisbehaved("the peer chose additional key exchanges and does not know IKE_INTERMEDIATE")
        taken = childless.is_announced(reply)
        obstacle = childless.obstacle(connection, self.child, taken) or _rounds_obstacle(connection, reply)
        if obstacle:
            return Doubt(obstacle)
        ppk_in = None if shake.ppk is None else ppk.agreed(sa, reply)
        nonce_r, hashes, certificates = nonce_of(reply, suite.prf), peer_hashes(reply), wanted(reply)
        methods = auth_methods.accepted(reply)
        asks, solution = reply.notify(NotifyType.PUZZLE), None
        if asks is not None:
            self.demands = self.demands or Demands()
            work = self.demands.before_auth(sa, self.offered, asks, nonce_r + reply.spi_r)
            if not isinstance(work, PuzzleSolution):
                return work
            solution = work
        shared = await CombineKe(self.pair, ke.public)
        keys = derive_ike(suite, shared, shake.nonce_i, nonce_r, sa.spi_i, reply.spi_r)
        # Nothing can fail from here on: a response that is found wrong has changed no facts.
        sa.spi_r, sa.suite, sa.keys = reply.spi_r, suite, keys
        shake.nonce_r, shake.hashes, shake.methods, shake.wanted = nonce_r, hashes, methods, certificates
        shake.rounds, shake.intermediates, shake.int_auth_i, shake.int_auth_r = 0, 0, b"", b""
        shake.ppk_in, shake.solution, sa.ppk = ppk_in, solution, False
        sa.redirect = ""  # this answer came before a stranger's could take us elsewhere
        sa.extensions = extensions.agreed(connection, reply)
        judge_nat(sa, reply)
        to_natt_port(sa)
        return self._go_on(sa, taken)

    def _go_on(self, sa: IkeSa, taken: bool) -> Next:
        """To IKE_AUTH, with the child or before it. `taken`: the peer takes IKE SAs without one."""
        assert sa.connection is not None
        if self.child is not None and childless.is_separate(sa.connection, taken):
            return Done(follow=(follow(None, 0, sa), CreateChild(self.child, self.token)))
        return Done(follow=(follow(self.child, self.token, sa),))

    def _again(self, sa: IkeSa) -> Next:
        self.restarts += 1
        if self.restarts > self.MAX_RESTARTS:
            return Doubt("the peer keeps restarting IKE_SA_INIT")
        sa.redirect = ""
        return Again()

    cases = (
        Case(on_cookie, notify=NotifyType.COOKIE),
        Case(on_invalid_ke, notify=NotifyType.INVALID_KE_PAYLOAD),
        Case(on_redirect, notify=NotifyType.REDIRECT),
        Case(on_refused, error=True),
        Case(on_chosen, required=(SA, KE, Nonce)),
        Case(on_puzzle_alone, notify=NotifyType.PUZZLE),
    )


@dataclass(slots=True, eq=False)
class AnswerIkeSaInit(Answer):
    """IKE_SA_INIT, responder's half (RFC 7296 §1.2). Cookies were dealt with before any SA was made."""

    candidates: tuple[Connection, ...]
    puzzle: Demand | None = None
    """To be solved before IKE_AUTH: of a peer that solved one already (RFC 8019 §7.2.1)."""

    async def respond(self, sa: IkeSa, request: Message) -> Reply:
        """Raises NoProposalChosen, InvalidKe, PeerMisbehaved."""
        ke, said = request.one(KE), request.said
        try:
            chosen, fitting = self._select(request.one(SA), NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED in said)
        except NoProposalChosen as refusal:
            if self.candidates:
                sa.emit(ProposalMismatch(sa, "", str(refusal)))
            raise
        suite = IkeSuite.of(chosen)
        if suite.ke != ke.method:
            raise InvalidKe(suite.ke)
        nonce_i = nonce_of(request, suite.prf)
        sa.connection = connection = fitting[0]
        if connection.redirect_to and redirect.follows(request):
            return redirect.send_away(connection.redirect_to, nonce_i)
        public, shared = await AnswerKe(ke.method, ke.public, sa.random)
        nonce_r = sa.random(NONCE_OCTETS)
        shake = Handshake(nonce_i=nonce_i, nonce_r=nonce_r, hashes=peer_hashes(request), candidates=fitting)
        sa.handshake = shake
        sa.suite = suite
        sa.keys = derive_ike(suite, shared, nonce_i, nonce_r, sa.spi_i, sa.spi_r)
        # The initiator computed its hashes with SPIr zero, as it must (§2.23): judge by the request.
        judge_nat(sa, request)
        sa.move(IkeState.CONNECTING)
        payloads: list[Payload] = [SA((chosen,)), KE(ke.method, public), Nonce(nonce_r)]
        payloads += nat_hashes(sa, sa.spi_r)
        if shake.hashes is not None:
            payloads.append(HASHES_NOTIFY)
        told: list[Notify] = []
        if NotifyType.USE_PPK in said or NotifyType.USE_PPK_INT in said:
            shake.ppk_in = await ppk.taken(connection, request)
            told = ppk.answer(shake.ppk_in)
        if _lists_rounds(chosen) or USE_PPK_INT in told:
            payloads.append(INTERMEDIATE_EXCHANGE_SUPPORTED)
        if [connection for connection in fitting if connection.has_rounds]:
            payloads.append(MULTIPLE_AUTH_SUPPORTED)  # RFC 4739 §3.1; to others it is of no use
        sa.extensions = extensions.agreed(connection, request, *redirect.agreed(request))
        payloads += extensions.echoed(sa.extensions)
        payloads += childless.announced(connection)
        payloads += told
        if self.puzzle is not None and not suite.additional:
            shake.puzzle = self.puzzle
            payloads.append(puzzle_notify(self.puzzle))
        payloads += auth_methods.announced(fitting)
        if [each for each in fitting if each.wants_certificates]:
            payloads[3:3] = await request_certificates(fitting)
            payloads += announced(fitting)
        return Reply(payloads)

    def _select(self, offer: SA, rounds: bool) -> tuple[Proposal, tuple[Connection, ...]]:
        """The proposal of the best candidate that has one, and all candidates that allow it.

        They may be thousands, of which most share their proposals (one tuple, see `config.build`): the offer is
        compared with each such tuple once.
        """
        failure: NoProposalChosen | None = None
        distinct = {id(candidate.proposals): candidate.proposals for candidate in self.candidates}
        for ours in distinct.values():
            try:
                chosen = _chosen(offer.proposals, ours, rounds)
            except NoProposalChosen as refusal:
                if failure is None or refusal.distance < failure.distance:
                    failure = NoProposalChosen(f"connection {self._first_with(ours)}: {refusal}")
                    failure.distance = refusal.distance
                continue
            if len(distinct) == 1:
                return chosen, self.candidates
            allowing = {key for key, others in distinct.items() if others is ours or _allows(others, chosen)}
            return chosen, tuple([each for each in self.candidates if id(each.proposals) in allowing])
        raise failure or NoProposalChosen("no connection is configured for these addresses")

    def _first_with(self, ours: tuple[Proposal, ...]) -> str:
        return next(each.name for each in self.candidates if each.proposals is ours)


def _rounds_obstacle(connection: Connection, reply: Message) -> str:
    """Why we cannot prove ourselves in several rounds; empty if we can, or need not (RFC 4739 §2.1)."""
    if len(connection.local) == 1 or NotifyType.MULTIPLE_AUTH_SUPPORTED in reply.said:
        return ""
    return (
        f"the peer takes no second round of authentication (RFC 4739), and connection {connection.name} has "
        f"{len(connection.local)} local sections"
    )


def _has_rounds(offered: Sequence[Proposal]) -> bool:
    """Whether additional key exchanges are offered (RFC 9370 §2.2.1)."""
    first = TransformType.ADDKE1
    return bool([t for proposal in offered for t in proposal.transforms if t.type >= first])


def _lists_rounds(chosen: Proposal) -> bool:
    """Whether a choice has transforms for additional key exchanges, be they NONE. Its transforms are in type order."""
    return chosen.transforms[-1].type >= TransformType.ADDKE1


def _chosen(offered: Sequence[Proposal], configured: tuple[Proposal, ...], rounds: bool) -> Proposal:
    """Our choice; `rounds`: the peer knows IKE_INTERMEDIATE. Raises NoProposalChosen."""
    ours = _on_the_table(configured, rounds)
    chosen = proposals.select(offered, ours)
    if rounds or not _lists_rounds(chosen):
        return chosen
    # RFC 9370 §2.2.1: then these transforms are of unknown types, and the proposals that have them are skipped.
    rest = [proposal for proposal in offered if not _has_rounds((proposal,))]
    if not rest:
        raise NoProposalChosen(
            "all that the peer offers has additional key exchanges, and it does not announce IKE_INTERMEDIATE, as it "
            "must with them (RFC 9370 §2.2.1)"
        )
    return proposals.select(rest, ours)


def _on_the_table(configured: tuple[Proposal, ...], rounds: bool) -> tuple[Proposal, ...]:
    """What a peer may have that knows IKE_INTERMEDIATE (`rounds`) or does not. Raises NoProposalChosen if nothing."""
    ours = configured if rounds else optional_rounds_left_out(configured)
    if not ours:
        raise NoProposalChosen(
            "the peer does not know IKE_INTERMEDIATE, and every configured proposal wants an additional key exchange: "
            + ", ".join(map(proposals.format_proposal, configured))
        )
    return ours


def _allows(configured: tuple[Proposal, ...], chosen: Proposal) -> bool:
    try:
        proposals.select((chosen,), configured)
    except NoProposalChosen:
        return False
    return True
