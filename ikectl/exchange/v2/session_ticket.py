"""Session tickets given and taken: TICKET_REQUEST and its answers (RFC 5723 §4.1, §4.2).

A gateway gives one ticket for each IKE SA, by value (TICKET_LT_OPAQUE), or
refuses (TICKET_NACK). It is worth nothing once the SA ended in another way
than by silence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from typing import ClassVar

from ikectl.config.model import Connection
from ikectl.exchange.v2.base import Case, Done, Exchange, Next
from ikectl.exchange.v2.rider import AnswerRider, Rider
from ikectl.iana.v2 import ExchangeType, IdType, NotifyType
from ikectl.sa.asks import SealTicket, SpendTicket
from ikectl.sa.association import IkeState
from ikectl.sa.events import Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.tickets import MAX_TICKET_OCTETS, KeptTicket, Session
from ikectl.values.secret import Secret
from ikectl.wire.octets import U32
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify

TICKET_REQUEST = Notify(NotifyType.TICKET_REQUEST)
TICKET_NACK = Notify(NotifyType.TICKET_NACK)
TICKET_ACK = Notify(NotifyType.TICKET_ACK)


def is_wanted(sa: IkeSa) -> bool:
    return sa.connection is not None and sa.connection.resumption


@lru_cache(256)
def demands(connection: Connection) -> bytes:
    """A digest of all that the connection says of its IKE SA; a ticket is good for the very same alone.

    Kept, because it costs more than to open a ticket, and somebody who saw one may show it again and again.

    The order in which sets show their members may differ between equal ones: then a good ticket is refused.
    """
    # Certificates and keys do not show themselves.
    ours = [(each.certs, each.pubkeys) for each in connection.local]
    theirs = [(each.certs, each.cacerts, each.pubkeys) for each in connection.remote]
    return sha256(repr((replace(connection, children=()), ours, theirs)).encode()).digest()


def session_of(sa: IkeSa) -> Session:
    """What is to outlive the SA, which stands."""
    assert sa.local_id is not None and sa.remote_id is not None and sa.suite is not None and sa.keys is not None
    ends, identities = (sa.spi_i, sa.spi_r), (sa.local_id, sa.remote_id)
    sk_d = Secret(sa.keys.sk_d)
    return Session(*identities, *ends, sa.suite, sk_d, sa.user, sa.ppk, sa.reauth_at, sa.reauth_by)


# -- the client ---------------------------------------------------------------


def keep(sa: IkeSa, reply: Message) -> None:
    """Keep the ticket of a gateway that is proven; the latest counts."""
    notify = reply.notify(NotifyType.TICKET_LT_OPAQUE)
    if notify is None or not is_wanted(sa):
        return
    lifetime, octets = notify.data[: U32.size], notify.data[U32.size :]
    if not 0 < len(octets) <= MAX_TICKET_OCTETS:
        sa.emit(Note(sa, f"the peer gave a session ticket of {len(octets)} octets, which is not kept"))
        return
    (seconds,) = U32.unpack(lifetime)
    sa.ticket = KeptTicket(octets, seconds, session_of(sa)) if seconds else None


class AskTicket(Rider):
    """The initiator's half."""

    option: ClassVar = "resumption"

    async def ask(self, sa: IkeSa) -> list[Payload]:
        return [TICKET_REQUEST]

    async def take(self, sa: IkeSa, reply: Message) -> None:
        keep(sa, reply)


@dataclass(slots=True, eq=False)
class RenewTicket(Exchange):
    """INFORMATIONAL {N(TICKET_REQUEST)}: a rekeyed SA has another SK_d, so it needs another ticket (§4.1)."""

    type: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL
    token: int = 0

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        return [TICKET_REQUEST] if is_wanted(sa) and sa.caller and sa.state is IkeState.ESTABLISHED else None

    async def on_answer(self, sa: IkeSa, reply: Message) -> Next:
        keep(sa, reply)
        return Done()

    cases = (Case(on_answer),)


def promised(sa: IkeSa, reply: Message) -> tuple[Exchange, ...]:
    """What follows where the gateway cannot give a ticket just now and says to ask once more: TICKET_ACK (§4.1)."""
    return (RenewTicket(),) if NotifyType.TICKET_ACK in reply.said and is_wanted(sa) else ()


# -- the gateway ----------------------------------------------------------------


def _deserves(sa: IkeSa) -> bool:
    """Whether the peer gets tickets: the client (§4.1), unless it proved nothing and so has no session to resume."""
    nobody = sa.remote_id is None or sa.remote_id.kind is IdType.NULL
    return is_wanted(sa) and not nobody and not sa.caller


def promise(sa: IkeSa, request: Message) -> list[Payload]:
    """The answer to a TICKET_REQUEST that rides with the rekeying of `sa`: the new SA stands only behind that.

    TICKET_ACK says that the client may ask there, by INFORMATIONAL (§4.1).
    """
    if request.notify(NotifyType.TICKET_REQUEST) is None:
        return []
    return [TICKET_ACK if _deserves(sa) else TICKET_NACK]


async def give(sa: IkeSa, request: Message) -> list[Payload]:
    """The answer to a TICKET_REQUEST; nothing to what is none. Its sender is proven."""
    connection = sa.connection
    if connection is None or request.notify(NotifyType.TICKET_REQUEST) is None:
        return []
    # One ticket for each SA keeps what we remember of them small.
    if not _deserves(sa) or sa.issued:
        return [TICKET_NACK]
    life = connection.rekey_time + connection.over_time if connection.rekey_time else 0
    proof = connection.reauth_time + connection.over_time if connection.reauth_time else 0
    issued = await SealTicket(session_of(sa), connection.name, demands(connection), life, proof)
    if issued is None:
        return [TICKET_NACK]
    sa.issued = issued.octets
    return [Notify(NotifyType.TICKET_LT_OPAQUE, U32.pack(issued.lifetime) + issued.octets)]


async def revoke(sa: IkeSa) -> None:
    """The SA ended because somebody wanted so: its ticket goes with it."""
    if sa.issued:
        await SpendTicket(sa.issued)


class GiveTicket(AnswerRider):
    """The responder's half."""

    calls: ClassVar = NotifyType.TICKET_REQUEST

    async def answer(self, sa: IkeSa, request: Message) -> list[Payload]:
        return await give(sa, request)
