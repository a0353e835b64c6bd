"""IKEV2_MESSAGE_ID_SYNC: as the peer of a cluster whose members take over from one another (RFC 6311).

That both ends can is said in IKE_AUTH. The half that synchronises is a
member's, which has to know the SA before it can; the half here answers.
"""

from __future__ import annotations

from typing import ClassVar

from ikectl.errors import WireError
from ikectl.exchange.v2.rider import AnswerRider, Rider
from ikectl.iana.v2 import NotifyType
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.synchrony import Synchrony
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import MESSAGE_ID_SYNC_SUPPORTED, Notify, Position, message_id_sync

SUPPORTED = NotifyType.IKEV2_MESSAGE_ID_SYNC_SUPPORTED
ALLOWED = frozenset({NotifyType.IKEV2_MESSAGE_ID_SYNC, NotifyType.IPSEC_REPLAY_COUNTER_SYNC})
"""What a request to synchronise may hold (§5.1)."""


class FollowCluster(Rider):
    """IKEV2_MESSAGE_ID_SYNC_SUPPORTED, said and heard by the initiator."""

    @classmethod
    def rides(cls, sa: IkeSa) -> bool:
        return sa.connection is not None and sa.connection.message_id_sync

    async def ask(self, sa: IkeSa) -> list[Payload]:
        return [MESSAGE_ID_SYNC_SUPPORTED]

    async def take(self, sa: IkeSa, reply: Message) -> None:
        if SUPPORTED in reply.said:
            sa.synchrony = Synchrony()


class AnswerFollowCluster(AnswerRider):
    """The same by the responder, who says so only to a peer that does."""

    calls: ClassVar = SUPPORTED

    @classmethod
    def rides(cls, sa: IkeSa) -> bool:
        return sa.connection is not None and sa.connection.message_id_sync

    async def answer(self, sa: IkeSa, request: Message) -> list[Payload]:
        sa.synchrony = Synchrony()
        return [MESSAGE_ID_SYNC_SUPPORTED]


def wish_of(message: Message) -> Position | None:
    """Where a member wants both ends to go on; None for any other message."""
    notify = message.notify(NotifyType.IKEV2_MESSAGE_ID_SYNC)
    if notify is None or any(not isinstance(each, Notify) or each.type not in ALLOWED for each in message.payloads):
        return None
    try:
        return message_id_sync(notify)
    except WireError:
        return None
