"""IKE_INTERMEDIATE: additional key exchanges before IKE_AUTH, and how AUTH covers them (RFC 9242, RFC 9370 §2.2.2).

One exchange for each additional method that was negotiated, in their order.
The last one also says which post-quantum pre-shared key goes in (RFC 9867),
and there is one for that alone where no method was negotiated. The keys change
after each; an exchange is protected by the keys from before it. AUTH of both
ends covers all of them through IntAuth (RFC 9242 §3.3.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from ikectl.config.model import Child
from ikectl.crypto.kdf_v2 import IkeKeys, derive_intermediate
from ikectl.crypto.ke import KePair
from ikectl.crypto.suite import absent
from ikectl.errors import AuthenticationFailed, PeerMisbehaved
from ikectl.exchange.v2 import ppk_intermediate as ppk
from ikectl.exchange.v2.base import Answer, Case, Done, Exchange, Next, Reply, first_error
from ikectl.exchange.v2.ike_auth import IkeAuth
from ikectl.iana.v2 import ExchangeType, KeyExchangeMethod, NotifyType, TransformType
from ikectl.sa.asks import AnswerKe, CombineKe, GenerateKe
from ikectl.sa.events import AuthFailed
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.payload import Payload
from ikectl.wire.v2.keying import KE
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import AUTHENTICATION_FAILED
from ikectl.wire.v2.sa import Proposal


def next_method(sa: IkeSa) -> KeyExchangeMethod | None:
    """The additional key exchange that is due; None when all are done."""
    assert sa.suite is not None and sa.handshake is not None
    done = sa.handshake.rounds
    return sa.suite.additional[done] if done < len(sa.suite.additional) else None


def follow(child: Child | None, token: int, sa: IkeSa) -> Exchange:
    """What comes next on the way to an established SA."""
    assert sa.suite is not None and sa.handshake is not None
    if not sa.suite.additional and sa.handshake.ppk_in is None:
        return IkeAuth(child, token)
    due = next_method(sa) is not None or ppk.is_due(sa)
    return IkeIntermediate(child, token) if due else IkeAuth(child, token)


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
    """One additional key exchange, or what names the post-quantum key, or both; initiator's half."""

    type: ClassVar[ExchangeType] = ExchangeType.IKE_INTERMEDIATE

    child: Child | None
    token: int = 0
    pair: KePair | None = None

    async def request(self, sa: IkeSa) -> list[Payload]:
        payloads: list[Payload] = []
        method = next_method(sa)
        if method is not None:
            self.pair = await GenerateKe(method, sa.random)
            payloads.append(KE(method, self.pair.public))
        if self._names_ppk(sa):
            payloads.append(ppk.ours(sa))
        return payloads

    def _names_ppk(self, sa: IkeSa) -> bool:
        """Whether this is the last one, and a post-quantum key is to go in with it."""
        return ppk.is_due(sa) and _is_last(sa)

    async def on_answer(self, sa: IkeSa, reply: Message) -> Next:
        """Raises PeerMisbehaved, and AuthenticationFailed if a post-quantum key has to be used and is not."""
        assert sa.handshake is not None and sa.keys is not None
        keys, in_use = sa.keys, False
        if self.pair is not None:
            ke = reply.one(KE)
            if ke.method != self.pair.method:
                raise PeerMisbehaved(f"the peer answered key exchange {ke.method}; we sent {self.pair.method}")
            keys = mixed(sa, await CombineKe(self.pair, ke.public))
        elif reply.all(KE):
            raise PeerMisbehaved("the peer answered a key exchange that we did not begin")
        named = self._names_ppk(sa)
        if named:
            in_use = ppk.heard(sa, reply)
            if in_use:
                keys = ppk.mixed_in(sa, keys, sa.handshake.ppk)
        # Nothing can fail from here on: a response that is found wrong has changed no facts.
        _did(sa, self.pair is not None, named)
        sa.keys, sa.ppk = keys, in_use
        return Done(follow=(follow(self.child, self.token, sa),))

    async def on_refused(self, sa: IkeSa, reply: Message) -> Next:
        error = first_error(reply)
        assert error is not None
        why = f"the peer answered IKE_INTERMEDIATE with {error.type}"
        if error.type is NotifyType.AUTHENTICATION_FAILED and self._names_ppk(sa):
            why += f": {ppk.refused(sa)}"
        return Done(close=why)

    cases = (
        Case(on_refused, error=True),
        Case(on_answer),
    )


@dataclass(slots=True, eq=False)
class AnswerIkeIntermediate(Answer):
    """The same, responder's half. There are never more of them than were negotiated in IKE_SA_INIT."""

    async def respond(self, sa: IkeSa, request: Message) -> Reply:
        """Raises PeerMisbehaved, WireError."""
        shake, keys, method = sa.handshake, sa.keys, next_method(sa)
        assert shake is not None and keys is not None
        if shake.admission is not None or (method is None and not ppk.is_due(sa)):
            raise PeerMisbehaved("no IKE_INTERMEDIATE is due: all that was agreed on is done")
        last, names = _is_last(sa), bool(request.notifies(NotifyType.PPK_IDENTITY_KEY))
        if names and not (last and ppk.is_due(sa)):
            raise PeerMisbehaved("PPK_IDENTITY_KEY in an IKE_INTERMEDIATE where none is due (RFC 9867 §3.1)")
        payloads: list[Payload] = []
        if method is not None:
            ke = request.one(KE)
            if ke.method != method:
                raise PeerMisbehaved(f"key exchange {ke.method} is not the one that is due ({method})")
            public, shared = await AnswerKe(method, ke.public, sa.random)
            payloads.append(KE(method, public))
            keys = mixed(sa, shared)
        elif request.all(KE):
            raise PeerMisbehaved("a key exchange, and none is due")
        # An exchange without KE is there for the post-quantum key alone, and names none if its sender has none.
        settled = names or method is None
        if settled:
            try:
                chosen = await ppk.choose(sa, request)
            except AuthenticationFailed as failure:
                sa.emit(AuthFailed(sa, True, str(failure)))
                return Reply([AUTHENTICATION_FAILED], close=f"authentication failed: {failure}")
            if chosen is not None:
                keys = ppk.mixed_in(sa, keys, chosen.key)
                payloads.append(chosen.answer)
                sa.ppk, shake.ppk_named = True, chosen.identity
        _did(sa, method is not None, settled)
        return Reply(payloads, keys=keys)


def _is_last(sa: IkeSa) -> bool:
    """Whether no further additional key exchange follows the present IKE_INTERMEDIATE."""
    assert sa.suite is not None and sa.handshake is not None
    return sa.handshake.rounds + 1 >= len(sa.suite.additional)


def _did(sa: IkeSa, exchanged: bool, settled: bool) -> None:
    """One IKE_INTERMEDIATE is done: with a key exchange, and with all said of the post-quantum key?"""
    shake = sa.handshake
    assert shake is not None
    shake.intermediates += 1
    shake.rounds += exchanged
    if settled:
        shake.ppk_in = None
