"""MOBIKE: who supports it, which addresses there are, and which of them to use (RFC 4555 §3.1 to §3.4).

What is said and concluded between two exchanges; the exchanges themselves are
in `address_update`. The original initiator alone decides between which
addresses an SA runs (§2.1): it knows its own routes, and the way through a NAT
in front of it is its to find.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ikectl.config.model import Connection, Mode
from ikectl.errors import BackendError
from ikectl.exchange.v2.rider import AnswerRider, Rider
from ikectl.iana.v2 import NotifyType
from ikectl.sa.asks import OwnAddresses, SourceAddress
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.mobility import Mobility
from ikectl.values.hosts import is_of_a_host
from ikectl.values.path import Endpoint, Path, Stream
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import MOBIKE_SUPPORTED, additional_address, additional_address_notify

MAX_ADDITIONAL = 8
"""Further addresses that are told or taken; each may become a path to try, and ends have a few."""
MAX_PATHS = 8
"""Paths tried beside the one in use, at each repeat of a request."""

LISTS = (NotifyType.ADDITIONAL_IP4_ADDRESS, NotifyType.ADDITIONAL_IP6_ADDRESS)
SAY_SO = frozenset({*LISTS, NotifyType.NO_ADDITIONAL_ADDRESSES})
"""What says which further addresses there are."""


@dataclass(slots=True)
class Mobike(Rider):
    """MOBIKE_SUPPORTED and our further addresses in IKE_AUTH, by the initiator (§3.1, §3.4)."""

    option: ClassVar = "mobike"

    told: tuple[bytes, ...] = ()

    async def ask(self, sa: IkeSa) -> list[Payload]:
        assert sa.connection is not None
        self.told = await further(sa, sa.connection)
        return [MOBIKE_SUPPORTED, *listed(self.told)]

    async def take(self, sa: IkeSa, reply: Message) -> None:
        if NotifyType.MOBIKE_SUPPORTED in reply.said:
            begin(sa, reply, self.told)


class AnswerMobike(AnswerRider):
    """The same by the responder, who says so only to a peer that does (§3.1)."""

    calls: ClassVar = NotifyType.MOBIKE_SUPPORTED
    option: ClassVar = "mobike"

    async def answer(self, sa: IkeSa, request: Message) -> list[Payload]:
        assert sa.connection is not None
        told = await further(sa, sa.connection)
        begin(sa, request, told)
        return [MOBIKE_SUPPORTED, *listed(told)]


def listed(addresses: Sequence[bytes]) -> list[Payload]:
    """Each address as its notify (§4.2.2)."""
    return list(map(additional_address_notify, addresses))


async def further(sa: IkeSa, connection: Connection) -> tuple[bytes, ...]:
    """Our addresses beside the one in use that the peer may send to: those the configuration allows, none inner."""
    if connection.fixed_ends is not None and connection.fixed_ends[0] == sa.path.local.address:
        return ()
    others = [each for each in await OwnAddresses() if each != sa.path.local.address and each not in sa.own_vips]
    if not others:
        return ()
    allowed = [each for each in others if any(spec.match(each) for spec in connection.local_addrs)]
    return tuple(allowed[:MAX_ADDITIONAL])


def begin(sa: IkeSa, message: Message, told: tuple[bytes, ...]) -> None:
    """Both ends support MOBIKE: keep what it needs, and what the peer's message lists. Raises WireError."""
    mobility = Mobility(sa.nat.known, told=told)
    take_list(mobility, message)
    sa.mobility = mobility


def take_list(mobility: Mobility, message: Message) -> bool:
    """The peer's further addresses as of now, if the message says (§3.6); whether it does.

    What is no host's is left out: requests go there when the path in use is silent.
    """
    if message.said.keys().isdisjoint(SAY_SO):
        return False
    found = [additional_address(notify) for kind in LISTS for notify in message.notifies(kind)]
    mobility.peer_addresses = tuple(dict.fromkeys(filter(is_of_a_host, found)))[:MAX_ADDITIONAL]
    return True


def movable(sa: IkeSa) -> bool:
    """Whether changing addresses is ours, and every child can follow: transport mode is bound to its addresses.

    MOBIKE moves tunnels (RFC 4555 §1.2); an SA with other children is made anew where it must.
    """
    if sa.mobility is None or sa.connection is None:
        return False
    return all(child.mode is Mode.TUNNEL for child in sa.living_children)


class Bearings(NamedTuple):
    """What a look at our addresses and routes found."""

    path: Path | None
    """Between which ends the SA can run; None: just now there is no way to the peer."""
    further: tuple[bytes, ...]
    """Our addresses beside that of the path."""


async def bearings(sa: IkeSa) -> Bearings:
    """Where the SA should run, our addresses and routes being what they are now.

    The peer's present address is kept while there is a way to it; else the
    first other one of the peer that a route leads to.
    """
    assert sa.connection is not None and sa.mobility is not None
    own = await OwnAddresses()
    if not sa.caller and sa.path.local.address in own:
        return Bearings(sa.path, await further(sa, sa.connection))  # where we are reached is the peer's choice
    for remote in (sa.path.remote.address, *sa.mobility.peer_addresses):
        local = await _source(sa, remote, own)
        if local is not None:
            return Bearings(between(sa, local, remote), await further(sa, sa.connection))
    return Bearings(None, await further(sa, sa.connection))


async def _source(sa: IkeSa, remote: bytes, own: Sequence[bytes]) -> bytes | None:
    """The address to send from to `remote`: a configured one if there are such, else what the routes say."""
    assert sa.connection is not None
    present = sa.path.local.address
    fixed = [spec.concrete for spec in sa.connection.local_addrs if spec.concrete]
    if fixed:
        usable = [each for each in fixed if each is not None and len(each) == len(remote) and each in own]
        return present if present in usable else next(iter(usable), None)
    try:
        found = await SourceAddress(remote)
    except BackendError:
        return None
    # A tunnel for everything may lead there, too; its own packets must not go into it.
    return found if found in own and found not in sa.own_vips else None


def between(sa: IkeSa, local: bytes, remote: bytes) -> Path:
    """The path between two addresses: the ports in use, and for another address of the peer those it listens on.

    Inside TCP another path is another connection, to the port that was called.
    """
    if sa.path.tcp:
        here = (local, remote) == (sa.path.local.address, sa.path.remote.address)
        return sa.path if here else Stream.to(local, Endpoint(remote, sa.path.remote.port))
    port = sa.path.remote.port
    if remote != sa.path.remote.address and sa.mobility is not None and sa.mobility.natt:
        port = sa.env.settings.natt_port  # a NAT's port belongs to the NAT's address
    return Path(Endpoint(local, sa.path.local.port), Endpoint(remote, port))


async def other_paths(sa: IkeSa) -> tuple[Path, ...]:
    """Paths to try when the one in use is silent: every address of the peer from every address that may serve (§3.10).

    For each the route's own choice comes first. None where the SA is inside TCP, which tells by itself when it is cut.
    """
    if sa.path.tcp:
        return ()
    assert sa.connection is not None and sa.mobility is not None
    own = await OwnAddresses()
    ours = (sa.path.local.address, *await further(sa, sa.connection))
    found: list[Path] = []
    for remote in (sa.path.remote.address, *sa.mobility.peer_addresses):
        best = await _source(sa, remote, own)
        locals_ = dict.fromkeys([each for each in (best, *ours) if each is not None and each in own])
        found += [between(sa, local, remote) for local in locals_ if len(local) == len(remote)]
    return tuple(path for path in dict.fromkeys(found) if path != sa.path)[:MAX_PATHS]


def acceptable(sa: IkeSa, path: Path) -> bool:
    """Whether the configuration lets the peer go on from there (§3.5).

    A network or range in `remote_addrs` says from where a peer may come. A
    single address or a name says where it is called, and a peer with MOBIKE
    may leave it: that is what MOBIKE is for.
    """
    assert sa.connection is not None
    ours, theirs = sa.connection.local_addrs, sa.connection.remote_addrs
    if not any(spec.hostname is not None or spec.match(path.local.address) for spec in ours):
        return False
    limits = [spec for spec in theirs if spec.concrete is None and spec.hostname is None]
    return len(limits) < len(theirs) or any(spec.match(path.remote.address) for spec in limits)
