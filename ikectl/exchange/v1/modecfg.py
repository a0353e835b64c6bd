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
from ikectl.errors import NoAddress
from ikectl.exchange import inner
from ikectl.exchange.v1 import configuration
from ikectl.exchange.v1.base import Done, Exchange, Ignore, Say, Turn
from ikectl.exchange.v1.configuration import ADDRESSES, Configuration
from ikectl.exchange.v1.informational import TellDelete
from ikectl.iana.v1 import ConfigAttribute, ExchangeType, TransactionType, VendorId
from ikectl.sa.asks import DescribePools
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.events import Banner, NoInnerAddress, Note
from ikectl.sa.isakmp_sa import Awaited, IsakmpSa
from ikectl.wire.v1.attributes import Attribute
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.transaction import Attributes

A, T = ConfigAttribute, TransactionType

ADDRESS_KINDS = frozenset(ADDRESSES.values())

SHORTEST = 60
"""Seconds an inner address is used at least: a server that says less would have us ask without end."""


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
        wanted = _wishes(sa, sa.connection.vips)
        asked = configuration.request(wanted, VendorId.UNITY in sa.peer)
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
        addresses = await _grant(sa, {octets: [b""] for octets in provision.octets})
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
        sa.home.peer_vips = _leased(sa.home)
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
    addresses = await _grant(sa, wishes)
    return configuration.answer(asked, addresses, provided, VendorId.UNITY in sa.peer)


async def _grant(sa: IsakmpSa, wishes: dict[int, list[bytes]]) -> tuple[bytes, ...]:
    """Addresses for the peer: those it has, and new ones as far as it wishes more (none given: any)."""
    assert sa.connection is not None
    given: list[bytes] = []
    who = sa.user or str(sa.remote_id)
    for octets, wanted in wishes.items():
        had = inner.held(sa, octets)
        given += had[: len(wanted)]
        for wish in wanted[len(had) :]:
            try:
                given.append(await inner.lease(sa, sa.connection.pools, octets, wish))
            except NoAddress as refusal:
                sa.emit(NoInnerAddress(sa, True, f"{who}: {refusal}"))
                break
    if any(address not in sa.peer_vips for address in given):
        sa.emit(Note(sa, f"{who} has the inner address {_text(given)}"))
    sa.peer_vips = _leased(sa)
    return tuple(given)


def _leased(sa: IsakmpSa) -> tuple[bytes, ...]:
    return tuple(one.address for one in inner.of(sa).leases)


# -- client ----------------------------------------------------------------------------


def _wishes(sa: IsakmpSa, configured: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """What to ask for: the addresses we have, and those configured where we have none of their family."""
    had = {len(address) for address in sa.own_vips}
    return (*sa.own_vips, *(address for address in configured if len(address) not in had))


async def _set(sa: IsakmpSa, attributes: Sequence[Attribute]) -> tuple[Done, tuple[Attribute, ...]]:
    """(the end of the exchange, what to acknowledge). Only a client lets itself be configured."""
    if sa.connection is None or not sa.connection.vips:
        sa.emit(Note(sa, "the peer pushes a configuration, and none is wanted (vips)"))
        return Done(), ()
    return await _accept(sa.home, attributes)


async def _accept(sa: IsakmpSa, attributes: Sequence[Attribute]) -> tuple[Done, tuple[Attribute, ...]]:
    """Do as the server says; (the end of the exchange, the attributes that were accepted, without values, §2)."""
    given = configuration.read(attributes)
    taken = set(given.understood) - ADDRESS_KINDS
    moved = await _move_to(sa, given)
    taken |= {ADDRESSES[len(address)] for address in sa.own_vips if address in given.addresses}
    if given.servers and not await inner.install_names(sa, tuple(given.servers), tuple(given.domains)):
        taken -= {A.INTERNAL_IP4_DNS, A.INTERNAL_IP6_DNS}
    record = inner.of(sa)
    record.networks = tuple(given.include) or record.networks
    record.excluded = tuple(given.exclude) or record.excluded
    if given.addresses:
        record.expires_in = max([*given.expires_in, SHORTEST]) if any(given.expires_in) else 0
    _tell(sa, given)
    sa.awaited -= {Awaited.CONFIG}
    follow = (TellDelete(tuple(moved), False, "its inner address changed"),) if moved else ()
    wanted = tuple(dict.fromkeys(child.config for child in moved))
    return Done(follow=follow, wanted=wanted), tuple(Attribute(kind, b"") for kind in sorted(taken))


async def _move_to(sa: IsakmpSa, given: Configuration) -> list[ChildSa]:
    """Have the inner addresses that are given; which children were for others that we had."""
    assert sa.connection is not None
    old = sa.own_vips
    wanted: list[bytes] = []
    for address in given.addresses:
        alike = [one for one in wanted if len(one) == len(address)]
        if len(alike) < sum(len(vip) == len(address) for vip in sa.connection.vips):
            wanted.append(address)
        else:
            given.notes.append(f"ignored the inner address {ip_address(address)}, which vips does not ask for")
    if not wanted:
        if not old:
            sa.emit(NoInnerAddress(sa, False, "the peer gave none; its log says why, most likely its pool is empty"))
        return []
    # Of a family that is not mentioned the addresses stay.
    families = {len(address) for address in wanted}
    wanted += [address for address in old if len(address) not in families]
    now = await inner.install(sa, tuple(wanted))
    if not now:
        sa.emit(NoInnerAddress(sa, False, f"{_text(wanted)} cannot be installed"))
    elif now != old:
        sa.emit(Note(sa, f"our inner address is {_text(now)}"))
    gone = tuple(address for address in old if address not in now)
    await inner.retire(sa, gone)
    numbers = {(int.from_bytes(address, "big"), len(address) == 16) for address in gone}
    return [child for child in sa.living_children if any((ts.start, ts.v6) in numbers for ts in child.ts_local)]


def _tell(sa: IsakmpSa, given: Configuration) -> None:
    """What the user or the operator should know."""
    for note in given.notes:
        sa.emit(Note(sa, note))
    for text in given.banner:
        sa.emit(Banner(sa, text))
    for name in given.version:
        sa.emit(Note(sa, f"the peer is {name!r}"))
    if given.exclude:
        networks = " ".join(map(str, given.exclude))
        sa.emit(Note(sa, f"the peer leaves {networks} out of the tunnel"))
    if given.backup:
        sa.emit(Note(sa, f"the peer names other gateways: {' '.join(given.backup)}"))
    if any(given.pfs):
        sa.emit(Note(sa, "the peer wants PFS: proposals of children should have a key exchange"))
    if given.save_password:
        allowed = "may" if any(given.save_password) else "must not"
        sa.emit(Note(sa, f"by the peer's policy a user {allowed} save the password"))


def _text(addresses: Sequence[bytes]) -> str:
    return " ".join(str(ip_address(address)) for address in addresses)
