"""Aggressive mode: three messages, identities in clear (RFC 2409 §5).

     initiator                          responder
     SA, KE, Ni, IDii, V  -->                                    1
                          <--    SA, KE, Nr, IDir, proof, V      2
     proof (*)            -->                                    3

It serves peers with changing addresses, whose pre-shared key is found by
identity. The price with a pre-shared key: whoever sends message 1 gets a HASH
from the responder against which keys can be guessed at leisure, so the
operator has to say `aggressive_psk = yes`. NAT-D goes in 2 and 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ikectl.auth.v1.base import Authentication
from ikectl.auth.v1.table import authentication
from ikectl.config.match import for_identities
from ikectl.config.model import Connection, Unique
from ikectl.crypto.ke import KePair
from ikectl.crypto.proposal_v1 import accepted_phase1, phase1_groups
from ikectl.errors import AuthenticationFailed, CredentialError, IkectlError, NoProposalChosen, PeerMisbehaved
from ikectl.exchange.v1 import diagnosis, phase1
from ikectl.exchange.v1.after import next_steps
from ikectl.exchange.v1.base import Done, Exchange, Ignore, Say, Turn
from ikectl.exchange.v1.certreq import hear_requests, request_certificates
from ikectl.exchange.v1.informational import Tell
from ikectl.exchange.v1.natt import float_ports, judge_nat, nat_payloads
from ikectl.iana.v1 import ExchangeType, NotifyType
from ikectl.sa.asks import AnswerKe, CombineKe, GenerateKe
from ikectl.sa.events import AuthFailed, Note
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.values.identity import Identity
from ikectl.wire.header import NO_SPI
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.notify import initial_contact_notify
from ikectl.wire.v1.payload import Payload
from ikectl.wire.v1.sa import SA


@dataclass(slots=True, eq=False)
class Aggressive(Exchange):
    """Aggressive mode, initiator's half."""

    type: ClassVar[ExchangeType] = ExchangeType.AGGRESSIVE
    PROTECTED: ClassVar[bool] = False

    token: int = 0
    offered: SA | None = None
    pair: KePair | None = None

    def may_begin(self, sa: IsakmpSa) -> bool:
        return sa.handshake is None and sa.suite is None

    async def begin(self, sa: IsakmpSa) -> Turn:
        """Message 1: the group is ours to fix, for the public value goes with the offer (RFC 2409 §5)."""
        connection = sa.connection
        assert connection is not None
        groups, methods = phase1_groups(connection.proposals), await phase1.own_methods(connection, True)
        self.offered = phase1.our_offer(connection, methods, group=groups[0] if groups else None)
        sa.method = methods[0]
        method = authentication(methods[0], True)
        if method.IDENTITY_WITH_KEYS:
            # What is encrypted here rests on hash and cipher: they cannot be negotiated (RFC 2409 §5).
            self.offered = phase1.first_of(self.offered)
            phase1.take_choice(sa, accepted_phase1(self.offered, self.offered))
        self.pair = await GenerateKe(groups[0], sa.random)
        shake = phase1.new_phase1(sa)
        shake.sa_body = self.offered.body()
        shake.nonce_i, shake.public_i = sa.random(phase1.NONCE_OCTETS), self.pair.public
        await phase1.identify_initiator(sa, method)
        payloads = await method.say_keys(sa, shake.public_i, shake.nonce_i)
        if not method.IDENTITY_WITH_KEYS:
            payloads.append(phase1.our_id(sa))
        certreqs = await request_certificates((connection,))
        return Say([self.offered, *payloads, *certreqs, *phase1.vendor_ids(connection)])

    async def take(self, sa: IsakmpSa, message: Message) -> Turn:
        """Message 2 proves the responder; 3 proves us."""
        shake, connection = sa.handshake, sa.connection
        assert shake is not None and connection is not None and self.offered is not None and self.pair is not None
        if message.cookie_r in (NO_SPI, sa.spi_i):
            return Ignore("an answer without a responder's cookie")
        take_back = phase1.keep(sa)
        try:
            method = await self._judge(sa, message)
        except AuthenticationFailed as failure:
            # Perhaps not the peer's word at all: go on waiting for a better one.
            take_back()
            sa.emit(AuthFailed(sa, True, str(failure)))
            raise PeerMisbehaved(f"authentication failed: {failure}") from failure
        except IkectlError:
            take_back()
            raise
        self.pair = None
        judge_nat(sa, message)
        float_ports(sa)
        payloads = await self._proof(sa, method, connection)
        phase1.finish(sa, connection)
        return Done([*payloads, *nat_payloads(sa)], follow=next_steps(sa))

    async def _judge(self, sa: IsakmpSa, message: Message) -> Authentication:
        """Keys, identity and proof of the responder, in the facts; the method it chose.

        Raises AuthenticationFailed, PeerMisbehaved, with the facts half changed.
        """
        shake = sa.handshake
        assert shake is not None and self.offered is not None and self.pair is not None
        choice = accepted_phase1(self.offered, message.one(SA))
        method = authentication(choice.method, True)
        phase1.take_choice(sa, choice)
        keying = await method.hear_keys(sa, message)
        phase1.check_keying(sa, keying)
        shake.shared = await CombineKe(self.pair, keying.public)
        shake.nonce_r, shake.public_r, sa.spi_r = keying.nonce, keying.public, message.cookie_r
        phase1.hear_vendors(sa, message)
        hear_requests(shake, message)
        await phase1.make_keys(sa, method)
        named, body = phase1.peers_id(message, method, keying)
        await phase1.judge_responder(sa, message, method, named, body)
        return method

    async def _proof(self, sa: IsakmpSa, method: Authentication, connection: Connection) -> list[Payload]:
        hashed = phase1.hash_of(sa, True, phase1.our_id(sa).body())
        payloads = await method.prove(sa, connection.local[0], hashed)
        if connection.unique is not Unique.NEVER and sa.env.is_first_contact(sa):
            payloads.append(initial_contact_notify(sa.spi_i, sa.spi_r))
        return payloads

    def unanswered(self, sa: IsakmpSa, octets: int = 0) -> str:
        return "; ".join(filter(None, (diagnosis.no_first_answer(sa), diagnosis.too_long(sa, octets))))

    def report(self, sa: IsakmpSa, error: IkectlError, why: str) -> None:
        if not isinstance(error.__cause__, AuthenticationFailed):  # that was told as what it is
            sa.emit(Note(sa, why))

    @property
    def step(self) -> str:
        return "message 1 of aggressive mode"

    async def abandon(self, sa: IsakmpSa, why: str) -> None:
        self.pair = None

    @property
    def subject(self) -> str:
        return "aggressive mode"


def allowing(candidates: Sequence[Connection]) -> tuple[Connection, ...]:
    """Those that answer aggressive mode. Raises NoProposalChosen if none does."""
    allowed = tuple(
        each for each in candidates if each.aggressive and (each.aggressive_psk or not phase1.uses_psk(each))
    )
    if candidates and not allowed:
        raise NoProposalChosen(
            "the peer asks for aggressive mode, which no connection for its address allows: let the peer use main "
            "mode, or set aggressive = yes here (and aggressive_psk = yes with a pre-shared key)"
        )
    return allowed


@dataclass(slots=True, eq=False)
class AnswerAggressive(Exchange):
    """Aggressive mode, responder's half.

    Message 2 is repeated by time, once, because the initiator, done after 3,
    would not know that 3 was lost; and when the peer goes on regardless.
    """

    type: ClassVar[ExchangeType] = ExchangeType.AGGRESSIVE
    PROTECTED: ClassVar[bool] = False

    candidates: tuple[Connection, ...] = ()
    token: int = 0
    method: Authentication | None = None
    named: Identity | None = None
    id_body: bytes = b""

    async def take(self, sa: IsakmpSa, message: Message) -> Turn:
        if self.method is None:
            return await self._take_offer(sa, message)
        return await self._take_proof(sa, message)

    async def _take_offer(self, sa: IsakmpSa, message: Message) -> Turn:
        """Message 1 has it all; 2 proves us."""
        offer = message.one(SA)
        choice, fitting = await phase1.choose_sa(offer, allowing(self.candidates))
        method = authentication(choice.method, False)
        shake = phase1.new_phase1(sa)
        shake.sa_body, shake.candidates = message.body_of(offer), fitting
        phase1.take_choice(sa, choice)
        keying = await method.hear_keys(sa, message)
        phase1.check_keying(sa, keying)
        self.named, self.id_body = phase1.peers_id(message, method, keying)
        connection = await phase1.choose_connection(sa, self.named)
        self._check_leak(sa, connection, self.named)
        sa.connection, sa.remote_id = connection, self.named
        sa.local_id = await method.own_identity(sa, connection.local[0])
        await self._find_secret(sa)
        public, shake.shared = await AnswerKe(choice.suite.ke, keying.public, sa.random)
        shake.nonce_i, shake.public_i, shake.public_r = keying.nonce, keying.public, public
        shake.nonce_r = sa.random(phase1.NONCE_OCTETS)
        hear_requests(shake, message)
        phase1.hear_vendors(sa, message)
        keys = await method.say_keys(sa, public, shake.nonce_r)
        await phase1.make_keys(sa, method)
        named = phase1.our_id(sa)
        proof = await method.prove(sa, connection.local[0], phase1.hash_of(sa, False, named.body()))
        if not method.IDENTITY_WITH_KEYS:
            keys.append(named)
        certreqs = await request_certificates((connection,))
        self.method = method
        vendors = phase1.vendor_ids(connection)
        return Say([choice.answer, *keys, *proof, *certreqs, *nat_payloads(sa), *vendors], clear=True)

    def _check_leak(self, sa: IsakmpSa, connection: Connection, named: Identity) -> None:
        """Message 2 shows a HASH under the key of whom the peer only says it is.

        So nobody gets one under the key of a peer whose own connection does not allow that, wherever that is
        expected to come from. Raises AuthenticationFailed.
        """
        if named.is_any:
            raise AuthenticationFailed("the peer gave an identity of the reserved type 0")
        if not phase1.uses_psk(connection):
            return
        best, _ = for_identities(self.candidates, named)
        others = [each for each in sa.env.expecting(named) if each.speaks(1) and phase1.uses_psk(each)]
        for owner in (*others, *((best,) if best is not None else ())):
            if not (owner.aggressive and owner.aggressive_psk):
                raise AuthenticationFailed(
                    f"{named} is the peer of {owner.name}, which does not allow aggressive mode with a pre-shared key"
                )

    async def _find_secret(self, sa: IsakmpSa) -> None:
        shake = sa.handshake
        assert shake is not None and sa.local_id is not None and self.named is not None
        if phase1.wants_secret(sa):
            try:
                shake.psk = await phase1.find_secret(sa, sa.local_id, self.named)
            except CredentialError as failure:
                raise AuthenticationFailed(str(failure)) from failure

    async def _take_proof(self, sa: IsakmpSa, message: Message) -> Turn:
        """Message 3, which may come in clear, proves the initiator."""
        assert self.method is not None and self.named is not None
        connection = await phase1.judge_initiator(sa, message, self.method, self.named, self.id_body)
        # INITIAL-CONTACT counts only under protection (RFC 2407 §4.6.3.3).
        sa.contacted = message.encrypted and message.notify(NotifyType.INITIAL_CONTACT) is not None
        phase1.hear_more_vendors(sa, message)
        judge_nat(sa, message)
        phase1.finish(sa, connection)
        # Message 2 went out in clear, so what has to be protected goes in an exchange of its own (RFC 2407 §4.6.3).
        lifetime = phase1.own_lifetime(sa, connection)
        return Done(follow=(*((Tell(lifetime),) if lifetime else ()), *next_steps(sa)))

    def unanswered(self, sa: IsakmpSa, octets: int = 0) -> str:
        return diagnosis.stopped(sa, 2)

    @property
    def step(self) -> str:
        return "message 2 of aggressive mode"

    @property
    def subject(self) -> str:
        return "aggressive mode"
