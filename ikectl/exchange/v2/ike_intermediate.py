"""IKE_INTERMEDIATE: additional key exchanges before IKE_AUTH, and how AUTH covers them (RFC 9242, RFC 9370 §2.2.2).

One exchange for each additional method that was negotiated, in their order.
The keys change after each; an exchange is protected by the keys from before
it. AUTH of both ends covers all of them through IntAuth (RFC 9242 §3.3.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from ikectl.config.model import Child
from ikectl.crypto.kdf_v2 import IkeKeys, derive_intermediate
from ikectl.crypto.ke import KePair
from ikectl.crypto.suite import absent
from ikectl.errors import PeerMisbehaved
from ikectl.exchange.v2.base import Answer, Case, Done, Exchange, Next, Reply, first_error
from ikectl.exchange.v2.ike_auth import IkeAuth
from ikectl.iana.v2 import ExchangeType, KeyExchangeMethod, TransformType
from ikectl.sa.asks import AnswerKe, CombineKe, GenerateKe
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.payload import Payload
from ikectl.wire.v2.keying import KE
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.sa import Proposal


def next_method(sa: IkeSa) -> KeyExchangeMethod | None:
    """The additional key exchange that is due; None when all are done."""
    assert sa.suite is not None and sa.handshake is not None
    done = sa.handshake.rounds
    return sa.suite.additional[done] if done < len(sa.suite.additional) else None


def follow(child: Child | None, token: int, sa: IkeSa) -> Exchange:
    """What comes next on the way to an established SA."""
    return IkeAuth(child, token) if next_method(sa) is None else IkeIntermediate(child, token)


def mixed(sa: IkeSa, shared: bytes) -> IkeKeys:
    """The keys after a round with that secret."""
    assert sa.suite is not None and sa.keys is not None and sa.handshake is not None
    shake = sa.handshake
    return derive_intermediate(sa.suite, sa.keys.sk_d, shared, shake.nonce_i, shake.nonce_r, sa.spi_i, sa.spi_r)


def cover(sa: IkeSa, clear_form: bytes, from_initiator: bool) -> None:
    """Take a message of IKE_INTERMEDIATE into IntAuth, with the SK_p of the keys it is protected by.

    IntAuth_iN = prf(SK_piN, IntAuth_i(N-1) | A | P), and likewise for the
    responder (RFC 9242 §3.3.2); `clear_form` is A | P.
    """
    assert sa.suite is not None and sa.keys is not None and sa.handshake is not None
    shake, prf = sa.handshake, sa.suite.prf
    if from_initiator:
        shake.int_auth_i = prf.compute(sa.keys.sk_pi, shake.int_auth_i + clear_form)
    else:
        shake.int_auth_r = prf.compute(sa.keys.sk_pr, shake.int_auth_r + clear_form)


@lru_cache(256)
def optional_rounds_left_out(proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
    """Those proposals that a peer without IKE_INTERMEDIATE can meet, for a new IKE SA with it.

    A proposal that wants an additional key exchange and does not list NONE for
    it (RFC 9370 §2.2.1) is not among them; of the others its additional key
    exchanges are left out.
    """
    return tuple(
        proposal._replace(transforms=tuple(t for t in proposal.transforms if t.type < TransformType.ADDKE1))
        for proposal in proposals
        if not _mandatory_rounds(proposal)
    )


def _mandatory_rounds(proposal: Proposal) -> set[TransformType]:
    """The types of additional key exchanges that may not be NONE."""
    wanted = {transform.type for transform in proposal.transforms if transform.type >= TransformType.ADDKE1}
    return wanted - {transform.type for transform in proposal.transforms if absent(transform)}


@dataclass(slots=True, eq=False)
class IkeIntermediate(Exchange):
    """One additional key exchange, initiator's half."""

    type: ClassVar[ExchangeType] = ExchangeType.IKE_INTERMEDIATE

    child: Child | None
    token: int = 0
    pair: KePair | None = None

    async def request(self, sa: IkeSa) -> list[Payload]:
        method = next_method(sa)
        assert method is not None
        self.pair = await GenerateKe(method, sa.random)
        return [KE(method, self.pair.public)]

    async def on_answer(self, sa: IkeSa, reply: Message) -> Next:
        assert self.pair is not None and sa.handshake is not None
        ke = reply.one(KE)
        if ke.method != self.pair.method:
            raise PeerMisbehaved(f"the peer answered key exchange {ke.method}; we sent {self.pair.method}")
        sa.keys = mixed(sa, await CombineKe(self.pair, ke.public))
        sa.handshake.rounds += 1
        return Done(follow=(follow(self.child, self.token, sa),))

    async def on_refused(self, sa: IkeSa, reply: Message) -> Next:
        error = first_error(reply)
        assert error is not None
        return Done(close=f"the peer answered IKE_INTERMEDIATE with {error.type}")

    cases = (
        Case(on_refused, error=True),
        Case(on_answer, required=(KE,)),
    )


@dataclass(slots=True, eq=False)
class AnswerIkeIntermediate(Answer):
    """One additional key exchange, responder's half."""

    async def respond(self, sa: IkeSa, request: Message) -> Reply:
        method, ke = next_method(sa), request.one(KE)
        if method is None or ke.method != method:
            raise PeerMisbehaved(f"key exchange {ke.method} is not the one that is due ({method})")
        assert sa.handshake is not None
        public, shared = await AnswerKe(method, ke.public, sa.random)
        sa.handshake.rounds += 1
        return Reply([KE(method, public)], keys=mixed(sa, shared))
