"""Rider and AnswerRider: the two halves of what travels inside IKE_AUTH; `riders.py` has the table of them.

A rider of the initiator speaks in the first request and hears the last
response; one of the responder hears the first request once the initiator is
proven, and speaks in the last response. Both come before the child is settled,
which may depend on them.
"""

from __future__ import annotations

from typing import ClassVar

from ikectl.iana.v2 import NotifyType
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.payload import Payload
from ikectl.wire.v2.identity import IDi
from ikectl.wire.v2.message import Message


class Rider:
    """The initiator's half. Subclasses are dataclasses holding what they need between request and response."""

    option: ClassVar[str] = ""
    """The one of `config.model.EXTRAS` that it is for; empty: it rides with every connection."""

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

    calls: ClassVar[NotifyType | type[Payload]] = IDi
    """What in the first request calls for it, as `Message.said` has it; IDi is in every one."""
    option: ClassVar[str] = ""
    """The one of `config.model.EXTRAS` that lets it answer, of the connection that is chosen and proven by now."""

    async def answer(self, sa: IkeSa, request: Message) -> list[Payload]:
        """Payloads of the last response to the first `request`; the initiator is proven, the SA established.

        Raises Refused, BackendError: then there is no child, the refusal is told and the IKE SA goes on.
        """
        return []
