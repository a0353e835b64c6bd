"""The configuration payload at work: a client gets inner addresses and what goes with them (RFC 7296 §2.19, §3.15).

     in IKE_AUTH (or with any child)     in INFORMATIONAL, either way
     CP(CFG_REQUEST)      -->            CP(CFG_REQUEST or CFG_SET)   -->
                          <--  CFG_REPLY                              <--  CFG_REPLY or CFG_ACK

Inside IKE_AUTH it comes before the child, whose selectors are narrowed to the
address. Only there addresses are asked for by us; a peer may do so with any
child. Whoever asks again finds the addresses it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ikectl.exchange import inner, vips
from ikectl.exchange.v2 import configuration
from ikectl.exchange.v2.base import Case, Done, Exchange, Next
from ikectl.exchange.v2.config_reply import reply, reply_beside_child
from ikectl.exchange.v2.create_child import CreateChild
from ikectl.exchange.v2.delete import DeleteChildren
from ikectl.exchange.v2.rider import AnswerRider, Rider
from ikectl.iana.v2 import CfgAttribute, CfgType, ExchangeType
from ikectl.sa.asks import DescribePools
from ikectl.sa.association import IkeState
from ikectl.sa.events import Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.payload import Payload
from ikectl.wire.v2.cp import CP, Attribute
from ikectl.wire.v2.message import Message

A = CfgAttribute


# -- inside IKE_AUTH -------------------------------------------------------------------


@dataclass(slots=True)
class RequestConfig(Rider):
    """CFG_REQUEST with our first request, and what the CFG_REPLY gives us."""

    option: ClassVar = "vips"

    async def ask(self, sa: IkeSa) -> list[Payload]:
        assert sa.connection is not None
        wanted = configuration.request(vips.wishes(sa, sa.connection.vips), vips.asks_servers(sa))
        return [CP(CfgType.REQUEST, wanted)]

    async def take(self, sa: IkeSa, reply: Message) -> None:
        said = reply.get(CP)
        attributes = said.attributes if said is not None and said.kind is CfgType.REPLY else ()
        sa.own_vips = inner.of(sa).installed  # what an SA before this one had was a wish
        await vips.take(sa, configuration.read(attributes))


class ReplyConfig(AnswerRider):
    """CFG_REPLY to the CFG_REQUEST of a client."""

    calls: ClassVar = CP

    async def answer(self, sa: IkeSa, request: Message) -> list[Payload]:
        """Raises NoAddress where the client gets none of the addresses it asks for (§3.15.4)."""
        return await reply_beside_child(sa, request)


# -- what we send in INFORMATIONAL ---------------------------------------------------------


@dataclass(slots=True, eq=False)
class AskConfig(Exchange):
    """CFG_REQUEST in INFORMATIONAL (§1.4): what the peer tells of itself."""

    type: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL

    token: int = 0
    kinds: tuple[CfgAttribute, ...] = (A.APPLICATION_VERSION,)

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        if sa.state not in (IkeState.ESTABLISHED, IkeState.REKEYING):
            return None
        return [CP(CfgType.REQUEST, tuple(map(Attribute, self.kinds)))]

    async def on_reply(self, sa: IkeSa, reply: Message) -> Next:
        said = reply.get(CP)
        if said is None or said.kind is not CfgType.REPLY:
            return Done(failed="the peer does not answer questions about its configuration")
        await vips.take(sa, configuration.read(one for one in said.attributes if one.type in self.kinds))
        return Done()

    cases = (Case(on_reply),)

    @property
    def subject(self) -> str:
        return "question about the peer's configuration"


@dataclass(slots=True, eq=False)
class SetConfig(Exchange):
    """CFG_SET in INFORMATIONAL: a gateway gives its client the configuration that its pools have by now (§3.15)."""

    type: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL

    token: int = 0

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        if sa.connection is None or sa.state is not IkeState.ESTABLISHED:
            return None
        provided = (await DescribePools(sa.connection.pools)).attributes
        given = configuration.push(sa.peer_vips, provided)
        if given:
            return [CP(CfgType.SET, given)]
        sa.emit(Note(sa, "there is nothing to send: the connection has no pools, or they have no attributes"))
        return None

    async def on_answer(self, sa: IkeSa, reply: Message) -> Next:
        said = reply.get(CP)
        if said is None or said.kind is not CfgType.ACK:
            return Done(failed="the peer takes no configuration that it did not ask for")
        taken = " ".join(str(one.type) for one in said.attributes) or "nothing of it"
        sa.emit(Note(sa, f"the peer took its configuration: {taken}"))
        return Done()

    cases = (Case(on_answer),)

    @property
    def subject(self) -> str:
        return "configuration of the peer"


# -- what we answer in INFORMATIONAL -------------------------------------------------------


async def hear(sa: IkeSa, request: Message) -> tuple[list[Payload], tuple[Exchange, ...]]:
    """CFG_REPLY to a CFG_REQUEST, CFG_ACK to a CFG_SET; and the exchanges that follow from it."""
    said = request.get(CP)
    if said is None or sa.connection is None:
        return [], ()
    if said.kind is CfgType.REQUEST:
        return [await reply(sa, said.attributes)], ()
    if said.kind is not CfgType.SET:
        sa.emit(Note(sa, f"ignored a CFG_{said.kind}, which answers nothing"))
        return [], ()
    if not sa.connection.vips:
        # Only a client lets itself be configured; what is not named in the CFG_ACK was not taken (§3.15).
        sa.emit(Note(sa, "the peer sends a configuration (CFG_SET), and none is wanted (vips)"))
        return [CP(CfgType.ACK)], ()
    taken = await vips.take(sa, configuration.read(said.attributes))
    ack = CP(CfgType.ACK, tuple(Attribute(A(kind)) for kind in sorted(taken.kinds)))
    if not taken.moved:
        return [ack], ()
    again = dict.fromkeys(child.config for child in taken.moved)
    return [ack], (DeleteChildren(tuple(taken.moved), "its inner address changed"), *map(CreateChild, again))
