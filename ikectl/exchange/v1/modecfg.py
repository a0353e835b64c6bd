"""Mode config: a client gets its inner address and what goes with it (draft-dukes-ike-mode-cfg-02 §2, §5.1).

     pull: client                server       push: server                client
     REQUEST              -->                 SET                  -->
                          <--   REPLY                              <--   ACK

Whoever begins, a transaction has a message ID and an identifier of its own.
Requests may come again, on another message ID, and find the same addresses.
All of it waits for phase 1 and XAUTH; quick modes wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import ClassVar

from ikectl.config.model import PoolAttribute
from ikectl.exchange import inner, vips
from ikectl.exchange.configuration import ADDRESSES
from ikectl.exchange.v1 import configuration
from ikectl.exchange.v1.base import Done, Exchange, Ignore, Say, Turn
from ikectl.exchange.v1.informational import TellDelete
from ikectl.iana.v1 import ConfigAttribute, ExchangeType, TransactionType, VendorId
from ikectl.sa.asks import DescribePools
from ikectl.sa.events import Note
from ikectl.sa.isakmp_sa import Awaited, IsakmpSa
from ikectl.wire.v1.attributes import Attribute
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.transaction import Attributes

A, T = ConfigAttribute, TransactionType


@dataclass(slots=True, eq=False)
class PullConfig(Exchange):
    """The client asks. Asked again on a later ISAKMP SA, it asks for what it has."""

    type: ClassVar[ExchangeType] = ExchangeType.TRANSACTION
    ALONE: ClassVar[bool] = True
    """A quick mode needs the address that this brings (§5.1)."""

    token: int = 0
    identifier: int = 0

    async def begin(self, sa: IsakmpSa) -> Turn:
        if sa.connection is None or sa.heir is not None:
            return Done()
        self.identifier = int.from_bytes(sa.random(2), "big")
        wanted = vips.wishes(sa, sa.connection.vips)
        asked = configuration.request(wanted, VendorId.UNITY in sa.peer, vips.asks_servers(sa))
        return Say([Attributes(T.REQUEST, self.identifier, asked)])

    async def take(self, sa: IsakmpSa, message: Message) -> Turn:
        said = message.get(Attributes)
        if said is None or said.type != T.REPLY or said.identifier != self.identifier:
            return Ignore("not the REPLY to our REQUEST")
        done, _ = await _accept(sa.home, said.attributes)
        return done

    def unanswered(self, sa: IsakmpSa, octets: int = 0) -> str:
        return "the peer does not answer mode config: most likely it pushes (pull = no), or gives no addresses"

    @property
    def subject(self) -> str:
        return "mode config"


@dataclass(slots=True, eq=False)
class PushConfig(Exchange):
    """The server sends a configuration unasked."""

    type: ClassVar[ExchangeType] = ExchangeType.TRANSACTION
    ALONE: ClassVar[bool] = True
    """Our quick modes are for the address that this gives."""

    token: int = 0
    identifier: int = 0

    async def begin(self, sa: IsakmpSa) -> Turn:
        if sa.connection is None or sa.heir is not None:
            return Done()
        provision = await DescribePools(sa.connection.pools)
        addresses = await vips.grant(sa, {octets: [b""] for octets in provision.octets})
        given = configuration.push(addresses, provision.attributes, VendorId.UNITY in sa.peer)
        if not given:
            return Done()
        self.identifier = int.from_bytes(sa.random(2), "big")
        return Say([Attributes(T.SET, self.identifier, given)])

    async def take(self, sa: IsakmpSa, message: Message) -> Turn:
        said = message.get(Attributes)
        if said is None or said.type != T.ACK or said.identifier != self.identifier:
            return Ignore("not the ACK of our SET")
        taken = {attribute.type for attribute in said.attributes}
        # What is not named was not accepted (§2); but some name nothing at all, and mean everything.
        for octets, kind in ADDRESSES.items() if taken else ():
            for address in inner.held(sa.home, octets) if kind not in taken else ():
                sa.emit(Note(sa, f"the peer does not take the inner address {ip_address(address)}"))
                await inner.take_back(sa.home, address)
        sa.home.peer_vips = vips.leased(sa.home)
        return Done()

    def unanswered(self, sa: IsakmpSa, octets: int = 0) -> str:
        return "the peer does not acknowledge mode config: most likely it asks for an address itself (pull = yes)"

    @property
    def subject(self) -> str:
        return "mode config"


@dataclass(slots=True, eq=False)
class AnswerConfig(Exchange):
    """What the peer asks or sends. A REQUEST always has a REPLY, be it empty (§2)."""

    type: ClassVar[ExchangeType] = ExchangeType.TRANSACTION
    REPEATS: ClassVar[bool] = False

    token: int = 0

    async def take(self, sa: IsakmpSa, message: Message) -> Turn:
        said = message.one(Attributes)
        if said.type == T.REQUEST:
            return Done([Attributes(T.REPLY, said.identifier, await _reply(sa.home, said.attributes))])
        if said.type == T.SET:
            done, taken = await _set(sa, said.attributes)
            done.payloads = [Attributes(T.ACK, said.identifier, taken)]
            return done
        return Ignore(f"a {said.type} that answers nothing")

    @property
    def subject(self) -> str:
        return "mode config"


# -- server ----------------------------------------------------------------------------


async def _reply(sa: IsakmpSa, asked: Sequence[Attribute]) -> tuple[Attribute, ...]:
    assert sa.connection is not None
    wishes, notes = configuration.suggested(asked)
    for note in notes:
        sa.emit(Note(sa, note))
    pools = sa.connection.pools
    provided: tuple[PoolAttribute, ...] = ()
    if pools:
        provided = (await DescribePools(pools)).attributes
        sa.awaited -= {Awaited.CONFIG}
    addresses = await vips.grant(sa, wishes)
    return configuration.answer(asked, addresses, provided, VendorId.UNITY in sa.peer)


# -- client ----------------------------------------------------------------------------


async def _set(sa: IsakmpSa, attributes: Sequence[Attribute]) -> tuple[Done, tuple[Attribute, ...]]:
    """(the end of the exchange, what to acknowledge). Only a client lets itself be configured."""
    if sa.connection is None or not sa.connection.vips:
        sa.emit(Note(sa, "the peer pushes a configuration, and none is wanted (vips)"))
        return Done(), ()
    return await _accept(sa.home, attributes)


async def _accept(sa: IsakmpSa, attributes: Sequence[Attribute]) -> tuple[Done, tuple[Attribute, ...]]:
    """Do as the server says; (the end of the exchange, the attributes that were accepted, without values, §2)."""
    taken = await vips.take(sa, configuration.read(attributes))
    sa.awaited -= {Awaited.CONFIG}
    moved = tuple(taken.moved)
    follow = (TellDelete(moved, False, "its inner address changed"),) if moved else ()
    wanted = tuple(dict.fromkeys(child.config for child in moved))
    return Done(follow=follow, wanted=wanted), tuple(Attribute(kind, b"") for kind in sorted(taken.kinds))
