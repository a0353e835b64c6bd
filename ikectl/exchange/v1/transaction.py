"""Transactions that the peer begins: which of the two they are, XAUTH or mode config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ikectl.exchange.v1.base import Exchange, Ignore, Turn
from ikectl.exchange.v1.modecfg import AnswerConfig
from ikectl.exchange.v1.xauth import AnswerXauth, is_login
from ikectl.iana.v1 import ExchangeType
from ikectl.sa.association import IkeState
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.transaction import Attributes


@dataclass(slots=True, eq=False)
class AnswerTransaction(Exchange):
    """Looks at the first message, and leaves the rest to who answers that.

    While a user has yet to log in nothing else is answered; what is ignored
    comes again. A gateway may have the user log in once more at any time.
    """

    type: ClassVar[ExchangeType] = ExchangeType.TRANSACTION
    REPEATS: ClassVar[bool] = False

    token: int = 0
    half: AnswerXauth | AnswerConfig | None = None

    async def take(self, sa: IsakmpSa, message: Message) -> Turn:
        if self.half is not None:
            return await self.half.take(sa, message)
        login = is_login(message.one(Attributes))
        if not login and sa.state is IkeState.AUTHENTICATING:
            return Ignore("mode config before the user has logged in")
        half = AnswerXauth() if login else AnswerConfig()
        turn = await half.take(sa, message)
        if not isinstance(turn, Ignore):
            self.half = half
        return turn

    async def abandon(self, sa: IsakmpSa, why: str) -> None:
        if self.half is not None:
            await self.half.abandon(sa, why)

    def unanswered(self, sa: IsakmpSa, octets: int = 0) -> str:
        return Exchange.unanswered(self, sa) if self.half is None else self.half.unanswered(sa, octets)

    @property
    def subject(self) -> str:
        return "a transaction" if self.half is None else self.half.subject
