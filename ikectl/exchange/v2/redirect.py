"""Redirection: a gateway sends its client to another one, before, amid or after authentication (RFC 5685)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ikectl.errors import Refused, WireError
from ikectl.exchange.v2.base import Case, Done, Exchange, Next, Reply
from ikectl.exchange.v2.rider import AnswerRider, Rider
from ikectl.iana.v2 import ExchangeType, NotifyType
from ikectl.sa.association import IkeState
from ikectl.sa.events import Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify
from ikectl.wire.v2.redirect import redirect, redirect_notify, redirected_from_notify

SUPPORTED = Notify(NotifyType.REDIRECT_SUPPORTED)


class Redirected(Refused):
    """The client is to go to another gateway; there is no child here."""

    notify = NotifyType.REDIRECT


def announced(sa: IkeSa) -> list[Payload]:
    """What a client says in IKE_SA_INIT that follows, and by whom it was sent here (§3)."""
    return [redirected_from_notify(sa.redirected_from) if sa.redirected_from else SUPPORTED]


def follows(request: Message) -> bool:
    """Whether the client says so."""
    return NotifyType.REDIRECT_SUPPORTED in request.said or NotifyType.REDIRECTED_FROM in request.said


def agreed(request: Message) -> tuple[NotifyType, ...]:
    """What this adds to the extensions of a gateway's SA."""
    return (NotifyType.REDIRECT_SUPPORTED,) if follows(request) else ()


def send_away(gateway: str, nonce: bytes) -> Reply:
    """The response to IKE_SA_INIT that sends a client on which follows, of that nonce (§3)."""
    return Reply([redirect_notify(gateway, nonce)], close=f"sent to {gateway}")


def hear(sa: IkeSa, message: Message, nonce: bytes = b"") -> str:
    """The gateway that a message sends us to; empty if none, or if it is not for us to obey.

    In IKE_SA_INIT the nonce must be ours: who does not see our request cannot send us anywhere (§3).
    """
    notify = message.notify(NotifyType.REDIRECT)
    called = sa.caller or (sa.initiator and sa.state is IkeState.CONNECTING)
    if notify is None or sa.connection is None or not sa.connection.follow_redirects or not called:
        return ""
    try:
        gateway, shown = redirect(notify)
    except WireError as failure:
        sa.emit(Note(sa, str(failure)))
        return ""
    return gateway if shown == nonce else ""


def obey(sa: IkeSa, reply: Message) -> None:
    """Go where a gateway sends us that has proven itself in IKE_AUTH. Raises Redirected."""
    sa.redirect = hear(sa, reply)
    if sa.redirect:
        raise Redirected(f"the gateway sends us to {sa.redirect}")


class FollowRedirect(Rider):
    """The client's half in IKE_AUTH (§6)."""

    option: ClassVar = "follow_redirects"

    async def take(self, sa: IkeSa, reply: Message) -> None:
        """Raises Redirected."""
        obey(sa, reply)


class AnswerRedirect(AnswerRider):
    """The gateway's half in IKE_AUTH: only now is it known whose connection it is."""

    option: ClassVar = "redirect_to"

    async def answer(self, sa: IkeSa, request: Message) -> list[Payload]:
        """Raises Redirected."""
        assert sa.connection is not None and sa.connection.redirect_to is not None
        if NotifyType.REDIRECT_SUPPORTED not in sa.extensions:
            return []
        gateway = sa.connection.redirect_to
        refusal = Redirected(f"the client is sent to {gateway}")
        refusal.data = redirect_notify(gateway).data
        raise refusal


@dataclass(slots=True, eq=False)
class SendAway(Exchange):
    """INFORMATIONAL {N(REDIRECT)}: the gateway sends on a client that is connected (§5)."""

    type: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL

    gateway: str
    token: int = 0

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        return [redirect_notify(self.gateway)] if sa.state is IkeState.ESTABLISHED else None

    async def on_answer(self, sa: IkeSa, reply: Message) -> Next:
        sa.emit(Note(sa, f"the client was told to go to {self.gateway}"))
        return Done()

    cases = (Case(on_answer),)

    @property
    def subject(self) -> str:
        return f"redirection to {self.gateway}"
