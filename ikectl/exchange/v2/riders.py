"""What travels inside IKE_AUTH beside identity, proof and child: a rider for each subject, one class per half.

A rider of the initiator speaks in the first request and hears the last
response; one of the responder hears the first request once the initiator is
proven, and speaks in the last response. Both come before the child is settled,
which may depend on them. `RIDERS` and `ANSWERS` say who rides, in their order.
"""

from __future__ import annotations

from ikectl.config.model import Unique
from ikectl.iana.v2 import NotifyType
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import INITIAL_CONTACT


class Rider:
    """The initiator's half. Subclasses are dataclasses holding what they need between request and response."""

    @classmethod
    def rides(cls, sa: IkeSa) -> bool:
        """Whether this connection needs it; what a connection does not use costs it nothing."""
        return True

    async def ask(self, sa: IkeSa) -> list[Payload]:
        """Payloads of the first request. Raises CredentialError, BackendError: then there is no request."""
        return []

    async def take(self, sa: IkeSa, reply: Message) -> None:
        """The last response; the responder is proven and the SA established.

        Raises Refused, BackendError, PeerMisbehaved: then there is no child, and the IKE SA goes on.
        """

    async def abandon(self, sa: IkeSa) -> None:
        """No response will come, or none that helps: take back what `ask` had set up."""


class AnswerRider:
    """The responder's half."""

    @classmethod
    def rides(cls, sa: IkeSa, request: Message) -> bool:
        """Whether the first request or the connection, which is chosen and proven by now, calls for it."""
        return True

    async def answer(self, sa: IkeSa, request: Message) -> list[Payload]:
        """Payloads of the last response to the first `request`; the initiator is proven, the SA established.

        Raises Refused, BackendError: then there is no child, the refusal is told and the IKE SA goes on.
        """
        return []


class InitialContact(Rider):
    """INITIAL_CONTACT, said and heard by the initiator (RFC 7296 §2.4)."""

    async def ask(self, sa: IkeSa) -> list[Payload]:
        assert sa.connection is not None and sa.remote_id is not None
        if sa.connection.unique is not Unique.NEVER and not sa.remote_id.is_any and sa.env.is_first_contact(sa):
            return [INITIAL_CONTACT]
        return []

    async def take(self, sa: IkeSa, reply: Message) -> None:
        sa.contacted = reply.notify(NotifyType.INITIAL_CONTACT) is not None


class AnswerInitialContact(AnswerRider):
    """INITIAL_CONTACT, heard by the responder."""

    @classmethod
    def rides(cls, sa: IkeSa, request: Message) -> bool:
        return request.notify(NotifyType.INITIAL_CONTACT) is not None

    async def answer(self, sa: IkeSa, request: Message) -> list[Payload]:
        sa.contacted = True
        return []


RIDERS: tuple[type[Rider], ...] = (InitialContact,)
ANSWERS: tuple[type[AnswerRider], ...] = (AnswerInitialContact,)
