"""AUTH_LIFETIME: how long the responder takes what the initiator proved for good (RFC 4478)."""

from __future__ import annotations

from typing import ClassVar

from ikectl.exchange.v2.rider import AnswerRider, Rider
from ikectl.iana.v2 import NotifyType
from ikectl.sa.events import Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import auth_lifetime, auth_lifetime_notify


def hear(sa: IkeSa, message: Message) -> None:
    """Take the time that the peer gives into the facts. Raises WireError.

    It is for whoever began the first of the IKE SAs that replaced one another (§2): the other end may not even be
    able to, where passwords are asked for.
    """
    notify = message.notify(NotifyType.AUTH_LIFETIME)
    if notify is None or not sa.caller:
        return
    sa.auth_lifetime = auth_lifetime(notify)
    sa.emit(Note(sa, f"the peer wants us to authenticate anew within {sa.auth_lifetime} s"))


class AuthLifetime(Rider):
    """Heard by the initiator."""

    async def take(self, sa: IkeSa, reply: Message) -> None:
        hear(sa, reply)


class AnswerAuthLifetime(AnswerRider):
    """Said by the responder, whose `reauth_time` it is."""

    option: ClassVar = "reauth_time"

    async def answer(self, sa: IkeSa, request: Message) -> list[Payload]:
        assert sa.connection is not None
        seconds, session = sa.connection.reauth_time, sa.resumes
        if session is not None and session.proven_for:
            # Resuming proves nothing anew: what was proven ends when it would have ended (RFC 5723 §5.2).
            seconds = max(min(seconds, session.proven_for - sa.connection.over_time), 1)
        return [auth_lifetime_notify(seconds)]
