"""IKEV2_MESSAGE_ID_SYNC, IPSEC_REPLAY_COUNTER_SYNC: as the peer of a cluster that fails over (RFC 6311).

That both ends can is said in IKE_AUTH. The half that synchronises is a
member's, which has to know the SA before it can; the half here answers.
"""

from __future__ import annotations

from typing import ClassVar

from ikectl.errors import WireError
from ikectl.exchange.v2.rider import AnswerRider, Rider
from ikectl.iana.v2 import NotifyType
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.synchrony import Numbering, Synchrony
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import (
    MESSAGE_ID_SYNC_SUPPORTED,
    REPLAY_COUNTER_SYNC_SUPPORTED,
    Notify,
    Position,
    message_id_sync,
    replay_counter_sync,
)

SUPPORTED = NotifyType.IKEV2_MESSAGE_ID_SYNC_SUPPORTED
COUNTERS_SUPPORTED = NotifyType.IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED
COUNTERS = NotifyType.IPSEC_REPLAY_COUNTER_SYNC
ALLOWED = frozenset({NotifyType.IKEV2_MESSAGE_ID_SYNC, COUNTERS})
"""What a request to synchronise may hold (§5.1)."""


class FollowCluster(Rider):
    """That we follow a cluster, said and heard by the initiator."""

    option: ClassVar = "message_id_sync"

    async def ask(self, sa: IkeSa) -> list[Payload]:
        return [MESSAGE_ID_SYNC_SUPPORTED, REPLAY_COUNTER_SYNC_SUPPORTED]

    async def take(self, sa: IkeSa, reply: Message) -> None:
        if SUPPORTED in reply.said:
            sa.numbering = Numbering(synchrony=Synchrony(COUNTERS_SUPPORTED in reply.said))


class AnswerFollowCluster(AnswerRider):
    """The same by the responder, who says so only to a peer that does."""

    calls: ClassVar = SUPPORTED
    option: ClassVar = "message_id_sync"

    async def answer(self, sa: IkeSa, request: Message) -> list[Payload]:
        counters = COUNTERS_SUPPORTED in request.said
        sa.numbering = Numbering(synchrony=Synchrony(counters))
        return [MESSAGE_ID_SYNC_SUPPORTED, *([REPLAY_COUNTER_SYNC_SUPPORTED] if counters else [])]


def wish_of(message: Message) -> tuple[Position, int] | None:
    """Where a member wants both ends to go on, and how many packet numbers we are to leave out on each child.

    None for any other message.
    """
    notify, skip = message.notify(NotifyType.IKEV2_MESSAGE_ID_SYNC), message.notify(COUNTERS)
    if notify is None or any(not isinstance(each, Notify) or each.type not in ALLOWED for each in message.payloads):
        return None
    try:
        return message_id_sync(notify), 0 if skip is None else replay_counter_sync(skip)
    except WireError:
        return None
