"""The map of the whole protocol: which class asks or answers what, and what collides with what."""

from __future__ import annotations

from ikectl.exchange.v2.address_update import CheckRoute, TellAddresses, UpdateAddresses
from ikectl.exchange.v2.answer_ike_auth import AnswerIkeAuth
from ikectl.exchange.v2.base import Answer, Exchange
from ikectl.exchange.v2.create_child import AnswerCreateChild, CreateChild
from ikectl.exchange.v2.delete import DeleteChildren, DeleteIke, Farewell
from ikectl.exchange.v2.followup_ke import AnswerFollowupKe, FollowupKe
from ikectl.exchange.v2.ike_intermediate import AnswerIkeIntermediate
from ikectl.exchange.v2.informational import AnswerInformational, Liveness
from ikectl.exchange.v2.rekey_child import AnswerRekeyChild, RekeyChild
from ikectl.exchange.v2.rekey_ike import AnswerRekeyIke, RekeyIke
from ikectl.exchange.v2.resumed_auth import AnswerResumedAuth
from ikectl.iana.v2 import ExchangeType, NotifyType, Protocol
from ikectl.sa.association import IkeState
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.sa import SA

# fmt: off
ANSWERS: dict[tuple[IkeState, ExchangeType], type[Answer]] = {
    (IkeState.CONNECTING,  ExchangeType.IKE_INTERMEDIATE): AnswerIkeIntermediate,
    (IkeState.CONNECTING,  ExchangeType.IKE_AUTH):         AnswerIkeAuth,
    (IkeState.ESTABLISHED, ExchangeType.CREATE_CHILD_SA):  AnswerCreateChild,
    (IkeState.ESTABLISHED, ExchangeType.IKE_FOLLOWUP_KE):  AnswerFollowupKe,
    (IkeState.ESTABLISHED, ExchangeType.INFORMATIONAL):    AnswerInformational,
    (IkeState.REKEYING,    ExchangeType.CREATE_CHILD_SA):  AnswerCreateChild,
    (IkeState.REKEYING,    ExchangeType.IKE_FOLLOWUP_KE):  AnswerFollowupKe,
    (IkeState.REKEYING,    ExchangeType.INFORMATIONAL):    AnswerInformational,
    (IkeState.REKEYED,     ExchangeType.CREATE_CHILD_SA):  AnswerCreateChild,
    (IkeState.REKEYED,     ExchangeType.IKE_FOLLOWUP_KE):  AnswerFollowupKe,
    (IkeState.REKEYED,     ExchangeType.INFORMATIONAL):    AnswerInformational,
    (IkeState.DELETING,    ExchangeType.CREATE_CHILD_SA):  AnswerCreateChild,
    (IkeState.DELETING,    ExchangeType.IKE_FOLLOWUP_KE):  AnswerFollowupKe,
    (IkeState.DELETING,    ExchangeType.INFORMATIONAL):    AnswerInformational,
}
"""Who answers a request. What is not in the table is malformed there: INVALID_SYNTAX, and the SA ends (§2.21.3)."""

BUSY: dict[type[Exchange], frozenset[type[Answer]]] = {
    RekeyIke:        frozenset({AnswerCreateChild, AnswerRekeyChild}),
    CreateChild:     frozenset({AnswerRekeyIke}),
    RekeyChild:      frozenset({AnswerRekeyIke}),
    DeleteChildren:  frozenset({AnswerRekeyIke}),
    DeleteIke:       frozenset({AnswerCreateChild, AnswerRekeyChild, AnswerRekeyIke}),
    UpdateAddresses: frozenset({AnswerRekeyIke}),
    CheckRoute:      frozenset({AnswerRekeyIke}),
    Farewell:        frozenset({AnswerCreateChild, AnswerRekeyChild, AnswerRekeyIke}),
}
"""While our request (left) is in flight, these of the peer's get TEMPORARY_FAILURE (RFC 7296 §2.25.1, §2.25.2)."""
# fmt: on


ABREAST = frozenset({CreateChild, RekeyChild, DeleteChildren, Liveness, UpdateAddresses, CheckRoute, TellAddresses})
"""Requests that may be in flight together, where the peer takes several and they concern different things (§2.3).

All others go alone: before IKE_AUTH is done there is one at a time, whatever ends or replaces the IKE SA would leave
the others without an answer, and additional key exchanges come one after the other. An update of addresses need not
wait (RFC 4555 §3.5).
"""

MAKING = (CreateChild, RekeyChild)
"""Requests after which the peer may know a child that we do not know yet."""


def goes_beside(exchange: Exchange, active: tuple[Exchange, ...]) -> bool:
    """Whether `exchange` may begin while those are under way, if the peer has room for it."""
    taken = {each for other in active for each in other.concerns}
    return {type(exchange), *map(type, active)} <= ABREAST and taken.isdisjoint(exchange.concerns)


def busy(active: tuple[Exchange, ...], answer: type[Answer], sa: IkeSa, request: Message) -> bool:
    """Whether `request` collides with one of ours in flight and must come again later.

    Beside the table: while the answer that would tell us of a new child is
    under way, a child we do not know may be that one, and CHILD_SA_NOT_FOUND
    would make the peer drop it. And once CREATE_CHILD_SA is answered and its
    additional key exchanges run, the SA they renew must not be renewed by the
    peer as well (RFC 9370 §2.2.4).
    """
    for each in active:  # noqa: SIM110  a generator costs more than all the rest
        if _collides(each, answer, sa, request):
            return True
    return False


def _collides(active: Exchange, answer: type[Answer], sa: IkeSa, request: Message) -> bool:
    asked: Exchange = active.origin if isinstance(active, FollowupKe) else active
    if answer in BUSY.get(type(asked), ()):
        return True
    if answer is AnswerRekeyIke:
        return asked is not active and isinstance(asked, RekeyIke)
    notify = request.notify(NotifyType.REKEY_SA)
    if answer is not AnswerRekeyChild or not isinstance(asked, MAKING) or notify is None:
        return False
    child = sa.child_by_outbound(int.from_bytes(notify.spi, "big"))
    return child is None or (asked is not active and isinstance(asked, RekeyChild) and asked.old is child)


def premature(sa: IkeSa, exchange: ExchangeType) -> bool:
    """Whether a request of that exchange comes too early, so that it is not to be answered yet.

    While an SA is CONNECTING nobody is authenticated, and the original
    responder has nothing to ask.
    """
    return sa.state is IkeState.CONNECTING and (sa.initiator or (sa.state, exchange) not in ANSWERS)


def answer_to(sa: IkeSa, request: Message) -> type[Answer] | None:
    """The class that answers `request` in the present state; None if nothing does.

    CREATE_CHILD_SA is three exchanges in one (§1.3): REKEY_SA tells a rekeyed
    child, protocol IKE in the proposals a rekeyed IKE SA. And so is IKE_AUTH
    in an SA that resumes another.
    """
    found = ANSWERS.get((sa.state, request.exchange))
    if found is AnswerIkeAuth and sa.resumes is not None:
        return AnswerResumedAuth
    if found is AnswerCreateChild:
        offer = next(iter(request.all(SA)), None)  # that there is only one is for the answering half to judge
        if request.notify(NotifyType.REKEY_SA) is not None:
            return AnswerRekeyChild
        if offer is not None and offer.proposals and offer.proposals[0].protocol is Protocol.IKE:
            return AnswerRekeyIke
    return found
