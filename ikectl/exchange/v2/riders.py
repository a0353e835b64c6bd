"""What travels inside IKE_AUTH beside identity, proof and child: a rider for each subject, one class per half.

`RIDERS` and `ANSWERS` say who there is, in their order; of these rides what a connection has a use for.
"""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

from ikectl.config.model import EXTRAS, Unique
from ikectl.exchange.v2.auth_lifetime import AnswerAuthLifetime, AuthLifetime
from ikectl.exchange.v2.config_payload import ReplyConfig, RequestConfig
from ikectl.exchange.v2.crash_token import AnswerCrashToken, CrashToken
from ikectl.exchange.v2.message_id_sync import AnswerFollowCluster, FollowCluster
from ikectl.exchange.v2.mobike import AnswerMobike, Mobike
from ikectl.exchange.v2.redirect import AnswerRedirect, FollowRedirect
from ikectl.exchange.v2.rider import AnswerRider, Rider
from ikectl.exchange.v2.session_ticket import AskTicket, GiveTicket
from ikectl.iana.v2 import IdType, NotifyType
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import INITIAL_CONTACT


def says_first_contact(sa: IkeSa, message: Message) -> bool:
    """Whether the peer says so. One that proved nothing has no other SAs to speak of (RFC 7619 §2.5)."""
    return NotifyType.INITIAL_CONTACT in message.said and _is_somebody(sa)


def _is_somebody(sa: IkeSa) -> bool:
    return sa.remote_id is not None and sa.remote_id.kind is not IdType.NULL


class InitialContact(Rider):
    """INITIAL_CONTACT, said and heard by the initiator (RFC 7296 §2.4)."""

    async def ask(self, sa: IkeSa) -> list[Payload]:
        assert sa.connection is not None and sa.local_id is not None and sa.remote_id is not None
        if sa.connection.unique is Unique.NEVER or sa.remote_id.is_any or sa.local_id.kind is IdType.NULL:
            return []  # without an identity there is nobody whose contact is the first (RFC 7619 §2.5)
        return [INITIAL_CONTACT] if sa.env.is_first_contact(sa) else []

    async def take(self, sa: IkeSa, reply: Message) -> None:
        sa.contacted = says_first_contact(sa, reply)


class AnswerInitialContact(AnswerRider):
    """INITIAL_CONTACT, heard by the responder."""

    calls: ClassVar = NotifyType.INITIAL_CONTACT

    async def answer(self, sa: IkeSa, request: Message) -> list[Payload]:
        sa.contacted = _is_somebody(sa)
        return []


RIDERS: tuple[type[Rider], ...] = (
    Mobike,
    InitialContact,
    AuthLifetime,
    RequestConfig,
    CrashToken,
    AskTicket,
    FollowRedirect,
    FollowCluster,
)
ANSWERS: tuple[type[AnswerRider], ...] = (
    AnswerMobike,
    AnswerInitialContact,
    AnswerAuthLifetime,
    AnswerRedirect,  # before what costs something: a client that is sent away needs no address
    ReplyConfig,
    AnswerCrashToken,
    GiveTicket,
    AnswerFollowCluster,
)


@lru_cache(1 << len(EXTRAS))
def riders(extras: frozenset[str]) -> tuple[type[Rider], ...]:
    """Who rides with a connection of these `extras`."""
    return tuple([kind for kind in RIDERS if not kind.option or kind.option in extras])


@lru_cache(1 << len(EXTRAS))
def answers(extras: frozenset[str]) -> tuple[type[AnswerRider], ...]:
    """Who may answer them."""
    return tuple([kind for kind in ANSWERS if not kind.option or kind.option in extras])
