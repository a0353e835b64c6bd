"""QUICK_CRASH_DETECTION: tokens given and taken, in IKE_AUTH and for rekeyed SAs (RFC 6290 §4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ikectl.errors import WireError
from ikectl.exchange.v2.base import Case, Done, Exchange, Next
from ikectl.exchange.v2.rider import AnswerRider, Rider
from ikectl.iana.v2 import ExchangeType, NotifyType, PayloadType
from ikectl.sa.association import IkeState
from ikectl.sa.crash_tokens import LONGEST, SHORTEST, matches
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.header import Header
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify


def is_wanted(sa: IkeSa) -> bool:
    return sa.connection is not None and sa.connection.qcd


def own(sa: IkeSa) -> list[Payload]:
    """The token for the peer; none without a secret to make it from."""
    token = sa.env.crash_secrets.token(sa.spi_i, sa.spi_r, sa.path.remote.address)
    return [Notify(NotifyType.QUICK_CRASH_DETECTION, token)] if token else []


def hear(sa: IkeSa, message: Message) -> None:
    """Keep the peer's token; the latest one counts (§4.4)."""
    notify = message.notify(NotifyType.QUICK_CRASH_DETECTION)
    if notify is not None and is_wanted(sa) and SHORTEST <= len(notify.data) <= LONGEST:
        sa.crash_token = notify.data


def proves_loss(sa: IkeSa, header: Header, datagram: bytes) -> bool:
    """Whether an unprotected message shows that the peer has lost the SA (§4.5).

    The token alone proves it: without one that matches nothing is believed.
    """
    if not sa.crash_token or header.next_payload is not PayloadType.NOTIFY:
        return False
    try:
        message = Message.read(datagram, header)
    except WireError:
        return False
    shown = message.notifies(NotifyType.QUICK_CRASH_DETECTION)
    return message.notify(NotifyType.INVALID_IKE_SPI) is not None and any(
        matches(sa.crash_token, notify.data) for notify in shown
    )


class CrashToken(Rider):
    """The initiator's half."""

    option: ClassVar = "qcd"

    async def ask(self, sa: IkeSa) -> list[Payload]:
        return own(sa)

    async def take(self, sa: IkeSa, reply: Message) -> None:
        hear(sa, reply)


class AnswerCrashToken(AnswerRider):
    """The responder's half."""

    option: ClassVar = "qcd"

    async def answer(self, sa: IkeSa, request: Message) -> list[Payload]:
        hear(sa, request)
        return own(sa)


@dataclass(slots=True, eq=False)
class TellToken(Exchange):
    """INFORMATIONAL {N(QUICK_CRASH_DETECTION)}: a rekeyed SA has other SPIs, a peer that moved another address, so
    there is another token (§4.3, §4.4, §5.2)."""

    type: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL
    token: int = 0
    peer: bytes = b""
    """The address that the token is for."""

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        self.peer = sa.path.remote.address
        return (own(sa) or None) if is_wanted(sa) and sa.state is IkeState.ESTABLISHED else None

    async def on_answer(self, sa: IkeSa, reply: Message) -> Next:
        hear(sa, reply)
        return Done(follow=moved(sa, self.peer))

    def serves(self, other: Exchange) -> bool:
        # One under way, too: when the peer moves meanwhile, it is followed by another one.
        return isinstance(other, TellToken)

    cases = (Case(on_answer),)


def moved(sa: IkeSa, before: bytes) -> tuple[Exchange, ...]:
    """What the peer must be told if its address (packed) is not the one before: a token is bound to it (§5.2)."""
    return (TellToken(),) if is_wanted(sa) and sa.path.remote.address != before else ()
