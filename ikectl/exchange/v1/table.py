"""The map of IKEv1: which class answers what the peer begins, in which state."""

from __future__ import annotations

from ikectl.exchange.v1.aggressive import AnswerAggressive
from ikectl.exchange.v1.base import Exchange
from ikectl.exchange.v1.informational import AnswerInformational, HearStranger
from ikectl.exchange.v1.main import AnswerMainMode
from ikectl.exchange.v1.quick import AnswerQuickMode
from ikectl.exchange.v1.transaction import AnswerTransaction
from ikectl.iana.v1 import ExchangeType
from ikectl.sa.association import IkeState
from ikectl.sa.isakmp_sa import IsakmpSa

# fmt: off
PHASE_1: dict[ExchangeType, type[AnswerMainMode] | type[AnswerAggressive]] = {
    ExchangeType.IDENTITY_PROTECTION: AnswerMainMode,
    ExchangeType.AGGRESSIVE:          AnswerAggressive,
}
"""What begins an ISAKMP SA, and who answers."""

ANSWERS: dict[tuple[IkeState, ExchangeType], type[Exchange]] = {
    (IkeState.CONNECTING,     ExchangeType.INFORMATIONAL): HearStranger,
    (IkeState.AUTHENTICATING, ExchangeType.INFORMATIONAL): HearStranger,
    (IkeState.AUTHENTICATING, ExchangeType.TRANSACTION):   AnswerTransaction,
    (IkeState.ESTABLISHED,    ExchangeType.INFORMATIONAL): AnswerInformational,
    (IkeState.ESTABLISHED,    ExchangeType.TRANSACTION):   AnswerTransaction,
    (IkeState.ESTABLISHED,    ExchangeType.QUICK_MODE):    AnswerQuickMode,
    (IkeState.REKEYED,        ExchangeType.INFORMATIONAL): AnswerInformational,
    (IkeState.REKEYED,        ExchangeType.TRANSACTION):   AnswerTransaction,
    (IkeState.REKEYED,        ExchangeType.QUICK_MODE):    AnswerQuickMode,
    (IkeState.DELETING,       ExchangeType.INFORMATIONAL): AnswerInformational,
}
# fmt: on
"""On an SA that a newer one replaced the peer may have begun a quick mode before it knew; the child belongs to the
newer one."""


def answer_to(sa: IsakmpSa, exchange: ExchangeType) -> type[Exchange] | None:
    """The class that answers a message of `exchange` in the present state; None if nothing does."""
    return ANSWERS.get((sa.state, exchange))
