"""CFG_REPLY: what a gateway answers to a CFG_REQUEST, wherever that comes (RFC 7296 §2.19, §3.15)."""

from __future__ import annotations

from collections.abc import Sequence

from ikectl.config.model import PoolAttribute
from ikectl.errors import NoAddress
from ikectl.exchange import inner, vips
from ikectl.exchange.v2 import configuration
from ikectl.iana.v2 import CfgType
from ikectl.sa.asks import DescribePools
from ikectl.sa.events import Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.payload import Payload
from ikectl.wire.v2.cp import CP, Attribute
from ikectl.wire.v2.message import Message


async def reply(sa: IkeSa, asked: Sequence[Attribute]) -> CP:
    """Addresses as far as there are any, and what goes with them."""
    assert sa.connection is not None
    wishes, notes = configuration.suggested(asked)
    for note in notes:
        sa.emit(Note(sa, note))
    provided: tuple[PoolAttribute, ...] = ()
    if sa.connection.pools:
        provided = (await DescribePools(sa.connection.pools)).attributes
    addresses = await vips.grant(sa, wishes)
    return CP(CfgType.REPLY, configuration.answer(asked, addresses, provided, sa.path.remote))


async def reply_beside_child(sa: IkeSa, request: Message) -> list[Payload]:
    """The CFG_REPLY to a request that asks for a child, too, and perhaps for nothing of this.

    Raises NoAddress where the peer gets none of the addresses it asks for: then there is no child (§3.15.4).
    """
    said = request.get(CP)
    if said is None:
        return []
    if said.kind is not CfgType.REQUEST:
        sa.emit(Note(sa, f"ignored a CFG_{said.kind}, which is no question"))
        return []
    answer = await reply(sa, said.attributes)
    if not sa.peer_vips and any(one.type in vips.ADDRESS_KINDS for one in said.attributes):
        raise NoAddress(f"none of the addresses that {inner.tenant(sa)} asks for can be had")
    return [answer]
