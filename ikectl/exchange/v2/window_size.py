"""SET_WINDOW_SIZE: how many requests may be in flight at once (RFC 7296 §2.3).

Each end says for itself how many of the other's it takes. Nothing is said
before the SA stands, because until then the window is one; and an SA that
replaces another begins with one again (§2.18), so that it is said anew there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ikectl.exchange.v2.base import Case, Done, Exchange, Next
from ikectl.iana.v2 import ExchangeType, NotifyType
from ikectl.sa.association import IkeState
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.synchrony import Numbering
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import message_id_notify, window_size, window_size_notify


def hear(sa: IkeSa, request: Message) -> None:
    """How many of our requests the peer takes; where the connection wants one at a time, one. Raises WireError."""
    notify = request.notify(NotifyType.SET_WINDOW_SIZE)
    if notify is None or sa.connection is None:
        return
    width = min(window_size(notify), sa.connection.window)
    if sa.numbering is not None:
        sa.numbering.peer_window = width
    elif width > 1:
        sa.numbering = Numbering(width)


@dataclass(slots=True, eq=False)
class TellWindow(Exchange):
    """INFORMATIONAL {N(SET_WINDOW_SIZE)}."""

    type: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL
    token: int = 0

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        if sa.connection is None or sa.connection.window == 1 or sa.state is not IkeState.ESTABLISHED:
            return None
        return [window_size_notify(sa.connection.window)]

    async def on_answer(self, sa: IkeSa, reply: Message) -> Next:
        return Done()

    cases = (Case(on_answer),)


@dataclass(slots=True, eq=False)
class ReportMessageId(Exchange):
    """INFORMATIONAL {N(INVALID_MESSAGE_ID)}: a request of the peer lies beyond our window (RFC 7296 §2.3)."""

    type: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL
    number: int
    token: int = 0

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        return [message_id_notify(self.number)] if sa.state is IkeState.ESTABLISHED else None

    async def on_answer(self, sa: IkeSa, reply: Message) -> Next:
        return Done()

    cases = (Case(on_answer),)
