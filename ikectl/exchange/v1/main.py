"""Main mode: six messages, identities protected (RFC 2409 §5).

     initiator                        responder
     SA, V            -->                              1
                      <--             SA, V            2
     KE, Ni, NAT-D    -->                              3
                      <--             KE, Nr, NAT-D    4
     IDii, proof *    -->                              5
                      <--             IDir, proof *    6

The proof is HASH, or CERT and SIG; what is starred is encrypted. With public
key encryption identities travel beside the nonces in 3 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ikectl.auth.v1.base import Authentication, Keying
from ikectl.auth.v1.table import authentication
from ikectl.config.model import Connection, Unique
from ikectl.crypto.kdf_v1 import derive, skeyid_psk
from ikectl.crypto.ke import KePair
from ikectl.crypto.proposal_v1 import accepted_phase1
from ikectl.errors import AuthenticationFailed, CredentialError
from ikectl.exchange.v1 import diagnosis, phase1
from ikectl.exchange.v1.after import next_steps
from ikectl.exchange.v1.base import Done, Exchange, Ignore, Say, Turn
from ikectl.exchange.v1.certreq import hear_requests, request_certificates
from ikectl.exchange.v1.natt import float_ports, judge_nat, nat_payloads
from ikectl.iana.v1 import ExchangeType, NotifyType
from ikectl.sa.asks import AnswerKe, CombineKe, GenerateKe
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.values.secret import Secret
from ikectl.wire.header import NO_SPI
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.notify import initial_contact_notify
from ikectl.wire.v1.payload import Payload
from ikectl.wire.v1.sa import SA


@dataclass(slots=True, eq=False)
class MainMode(Exchange):
    """Main mode, initiator's half."""

    type: ClassVar[ExchangeType] = ExchangeType.IDENTITY_PROTECTION
    PROTECTED: ClassVar[bool] = False

    token: int = 0
    offered: SA | None = None
    pair: KePair | None = None
    method: Authentication | None = None
    """The body of our ID payload."""
    theirs: Keying | None = None
    expects: int = 2
    """The number of the message that is due."""

    def may_begin(self, sa: IsakmpSa) -> bool:
        return sa.handshake is None and sa.suite is None

    async def begin(self, sa: IsakmpSa) -> Turn:
        """Message 1."""
        assert sa.connection is not None
        self.offered = phase1.our_offer(sa.connection, await phase1.own_methods(sa.connection, True))
        phase1.new_phase1(sa).sa_body = self.offered.body()
        return Say([self.offered, *phase1.vendor_ids(sa.connection)])

    async def take(self, sa: IsakmpSa, message: Message) -> Turn:
        match self.expects:
            case 2:
                return await self._take_choice(sa, message)
            case 4:
                return await self._take_keys(sa, message)
            case _:
                return await self._take_proof(sa, message)

    async def _take_choice(self, sa: IsakmpSa, message: Message) -> Turn:
        """Message 2 chooses; 3 is the answer."""
        assert self.offered is not None and sa.handshake is not None and sa.connection is not None
        if message.cookie_r in (NO_SPI, sa.spi_i):  # our own would let our messages come back as the peer's
            return Ignore("an answer without a responder's cookie")
        choice = accepted_phase1(self.offered, message.one(SA))
        self.method = authentication(choice.method, True)
        self.pair = await GenerateKe(choice.suite.ke, sa.random)
        phase1.take_choice(sa, choice)
        sa.spi_r = message.cookie_r
        phase1.hear_vendors(sa, message)
        shake = sa.handshake
        hear_requests(shake, message)
        shake.nonce_i, shake.public_i = sa.random(phase1.NONCE_OCTETS), self.pair.public
        await phase1.identify_initiator(sa, self.method)
        payloads = await self.method.say_keys(sa, shake.public_i, shake.nonce_i)
        self.expects = 4
        return Say([*payloads, *nat_payloads(sa)])

    async def _take_keys(self, sa: IsakmpSa, message: Message) -> Turn:
        """Message 4 completes the keys; 5 is the answer, the first that is encrypted."""
        shake, connection, method = sa.handshake, sa.connection, self.method
        assert shake is not None and connection is not None and method is not None and self.pair is not None
        keying = await method.hear_keys(sa, message)
        phase1.check_keying(sa, keying)
        shake.shared = await CombineKe(self.pair, keying.public)
        shake.nonce_r, shake.public_r = keying.nonce, keying.public
        phase1.hear_more_vendors(sa, message)
        hear_requests(shake, message)
        self.theirs, self.pair = keying, None
        judge_nat(sa, message)
        float_ports(sa)
        await phase1.make_keys(sa, method)
        sa.local_id = await method.own_identity(sa, connection.local[0])  # CERTREQs may choose the certificate
        named = phase1.our_id(sa)
        proof = await method.prove(sa, connection.local[0], phase1.hash_of(sa, True, named.body()))
        payloads: list[Payload] = [] if method.IDENTITY_WITH_KEYS else [named]
        payloads += [*proof, *await request_certificates((connection,))]
        if connection.unique is not Unique.NEVER and sa.env.is_first_contact(sa):
            payloads.append(initial_contact_notify(sa.spi_i, sa.spi_r))
        self.expects = 6
        return Say(payloads)

    async def _take_proof(self, sa: IsakmpSa, message: Message) -> Turn:
        """Message 6 proves the responder."""
        shake, connection, method = sa.handshake, sa.connection, self.method
        assert shake is not None and connection is not None and method is not None and self.theirs is not None
        if not message.encrypted:
            return Ignore("the proof must come encrypted")
        named, body = phase1.peers_id(message, method, self.theirs)
        await phase1.judge_responder(sa, message, method, named, body)
        phase1.hear_lifetime(sa, message)
        phase1.hear_more_vendors(sa, message)
        phase1.finish(sa, connection)
        return Done(follow=next_steps(sa))

    def unanswered(self, sa: IsakmpSa, octets: int = 0) -> str:
        match self.expects:
            case 2:
                return diagnosis.no_first_answer(sa)
            case 4:
                return diagnosis.no_fourth(sa, octets)
            case _:
                return diagnosis.no_sixth(sa, octets)

    async def abandon(self, sa: IsakmpSa, why: str) -> None:
        self.pair = None

    @property
    def step(self) -> str:
        return f"message {self.expects - 1} of main mode"

    @property
    def subject(self) -> str:
        return "main mode"


@dataclass(slots=True, eq=False)
class AnswerMainMode(Exchange):
    """Main mode, responder's half."""

    type: ClassVar[ExchangeType] = ExchangeType.IDENTITY_PROTECTION
    PROTECTED: ClassVar[bool] = False
    REPEATS: ClassVar[bool] = False  # whoever began repeats; nothing is sent twice to an address that may be forged

    candidates: tuple[Connection, ...] = ()
    token: int = 0
    method: Authentication | None = None
    theirs: Keying | None = None
    expects: int = 1

    async def take(self, sa: IsakmpSa, message: Message) -> Turn:
        match self.expects:
            case 1:
                return await self._take_offer(sa, message)
            case 3:
                return await self._take_keys(sa, message)
            case _:
                return await self._take_proof(sa, message)

    async def _take_offer(self, sa: IsakmpSa, message: Message) -> Turn:
        """Message 1 offers; 2 chooses."""
        offer = message.one(SA)
        choice, fitting = await phase1.choose_sa(offer, self.candidates)
        self.method = authentication(choice.method, False)
        shake = phase1.new_phase1(sa)
        shake.sa_body, shake.candidates = message.body_of(offer), fitting
        sa.connection = fitting[0]
        phase1.take_choice(sa, choice)
        phase1.hear_vendors(sa, message)
        self.expects = 3
        return Say([choice.answer, *phase1.vendor_ids(sa.connection)])

    async def _take_keys(self, sa: IsakmpSa, message: Message) -> Turn:
        """Message 3 completes the keys; 4 is the last in clear."""
        shake, suite, method = sa.handshake, sa.suite, self.method
        assert shake is not None and suite is not None and method is not None
        keying = await method.hear_keys(sa, message)
        phase1.check_keying(sa, keying)
        public, shared = await AnswerKe(suite.ke, keying.public, sa.random)
        secrets = await self._secrets(sa)
        shake.nonce_i, shake.public_i, shake.public_r = keying.nonce, keying.public, public
        shake.nonce_r, shake.shared = sa.random(phase1.NONCE_OCTETS), shared
        phase1.hear_more_vendors(sa, message)
        hear_requests(shake, message)
        self.theirs = keying
        judge_nat(sa, message)
        if secrets:
            shake.psk = secrets[0]
        payloads = await method.say_keys(sa, public, shake.nonce_r)
        await phase1.make_keys(sa, method)
        for secret in secrets[1:]:
            skeyid = skeyid_psk(suite.prf, secret, shake.nonce_i, shake.nonce_r)
            shake.others += ((secret, derive(suite, skeyid, shared, sa.spi_i, sa.spi_r)),)
        self.expects = 5
        return Say([*payloads, *await request_certificates(shake.candidates), *nat_payloads(sa)], clear=True)

    async def _secrets(self, sa: IsakmpSa) -> tuple[Secret, ...]:
        """The pre-shared keys that come into question, if the method wants one. Raises AuthenticationFailed."""
        shake = sa.handshake
        assert shake is not None
        if not phase1.wants_secret(sa):
            return ()
        try:
            return await phase1.secrets_by_address(sa, shake.candidates)
        except CredentialError as failure:
            remote = sa.path.remote.host
            raise AuthenticationFailed(
                f"{failure}; main mode finds it by the peer's address: give the secret an id with {remote}, its "
                "network or the identity that the connection expects, or no id at all"
            ) from failure

    async def _take_proof(self, sa: IsakmpSa, message: Message) -> Turn:
        """Message 5 proves the initiator; 6 proves us."""
        method, shake = self.method, sa.handshake
        assert method is not None and self.theirs is not None and shake is not None
        if not message.encrypted:
            return Ignore("the proof must come encrypted")
        named, body = phase1.peers_id(message, method, self.theirs)
        connection = await phase1.judge_initiator(sa, message, method, named, body)
        phase1.hear_more_vendors(sa, message)
        hear_requests(shake, message)
        own = phase1.our_id(sa)
        proof = await method.prove(sa, connection.local[0], phase1.hash_of(sa, False, own.body()))
        payloads: list[Payload] = [] if method.IDENTITY_WITH_KEYS else [own]
        payloads += [*proof, *phase1.own_lifetime(sa, connection)]
        sa.contacted = message.notify(NotifyType.INITIAL_CONTACT) is not None
        phase1.finish(sa, connection)
        return Done(payloads, follow=next_steps(sa))

    def unanswered(self, sa: IsakmpSa, octets: int = 0) -> str:
        return diagnosis.stopped(sa, self.expects - 1)

    @property
    def step(self) -> str:
        return f"message {self.expects - 1} of main mode"

    @property
    def subject(self) -> str:
        return "main mode"
