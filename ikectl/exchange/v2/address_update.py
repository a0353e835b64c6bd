"""The INFORMATIONAL exchanges of MOBIKE: addresses updated, checked and told (RFC 4555 §3.5 to §3.9).

An update and a check are about one path. If the path of the SA changes while
the request is in flight, the request goes on from there, for message IDs come
in turn; but its answer then says nothing of the new path, so that another
exchange follows it.
"""

from __future__ import annotations

import hmac
from collections.abc import Hashable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import ClassVar

from ikectl.exchange import children
from ikectl.exchange.v2 import crash_token, mobike
from ikectl.exchange.v2.base import Case, Done, Exchange, Next
from ikectl.exchange.v2.delete import DeleteIke
from ikectl.exchange.v2.natd import judge_nat, nat_hashes
from ikectl.exchange.v2.rekey_child import RekeyChild
from ikectl.iana.v2 import ExchangeType, NotifyType
from ikectl.sa.association import IkeState
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.events import Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.mobility import Held, Mobility
from ikectl.values.path import Path
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import (
    NO_ADDITIONAL_ADDRESSES,
    UPDATE_SA_ADDRESSES,
    Ends,
    Notify,
    cookie2,
    no_nats,
    no_nats_notify,
)

COOKIE_OCTETS = 16
"""Of our COOKIE2: 8 to 64 are legal, and 128 bits are not guessed (RFC 4555 §4.2.5)."""
MAX_NAT_RETRIES = 3
"""Updates repeated after UNEXPECTED_NAT_DETECTED; "several times" may help, for the NAT may be gone (§3.9)."""

OF_MOBIKE = frozenset(
    {
        *mobike.LISTS,
        NotifyType.NO_ADDITIONAL_ADDRESSES,
        NotifyType.UPDATE_SA_ADDRESSES,
        NotifyType.COOKIE2,
        NotifyType.NO_NATS_ALLOWED,
        NotifyType.NAT_DETECTION_SOURCE_IP,
        NotifyType.NAT_DETECTION_DESTINATION_IP,
    }
)
"""What `hear` understands."""

LIVE = (IkeState.ESTABLISHED, IkeState.REKEYING)


class AboutAddresses(Exchange):
    """One at a time of these: where several exchanges may be in flight at once, what they say may come in any order."""

    type: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL

    @property
    def concerns(self) -> tuple[Hashable, ...]:
        return (AboutAddresses,)


@dataclass(slots=True, eq=False)
class UpdateAddresses(AboutAddresses):
    """UPDATE_SA_ADDRESSES for the present path of the SA, by the original initiator (RFC 4555 §3.5)."""

    token: int = 0
    before: Path | None = None
    """Where the SA ran until now; None if the path is the same and its NAT changed."""
    tries: int = 0
    """How often a NAT was found where none may be."""
    path: Path | None = None
    moves: int = 0
    """The count of our moves when it was made."""
    told: tuple[bytes, ...] = ()

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        mobility = sa.mobility
        if mobility is None or not sa.caller or sa.state not in (*LIVE, IkeState.REKEYED):
            return None
        assert sa.connection is not None
        self.path, self.moves = sa.path, mobility.moves
        # What we send goes the new way at once: the peer takes ESP from wherever it comes.
        await _follow(sa)
        self.told = await mobike.further(sa, sa.connection)
        lists = mobike.listed(self.told) or [NO_ADDITIONAL_ADDRESSES]
        return [UPDATE_SA_ADDRESSES, *_about_nats(sa, mobility), *lists]

    async def on_unacceptable(self, sa: IkeSa, reply: Message) -> Next:
        """The peer does not want us there: back to where we were, if that is left (§3.5)."""
        if self._is_late(sa):
            return Done(follow=(UpdateAddresses(before=self.before),))
        why = f"the peer does not accept {sa.path} (UNACCEPTABLE_ADDRESSES): see its local_addrs and remote_addrs"
        assert sa.connection is not None
        own = (*await mobike.further(sa, sa.connection), sa.path.local.address)
        if self.before is None or self.before.local.address not in own:
            return Done(follow=(DeleteIke(why),), failed=why)
        sa.emit(Note(sa, f"{why}; back to {self.before}"))
        sa.path = self.before
        await _follow(sa)
        return Done(failed=why)

    async def on_nat(self, sa: IkeSa, reply: Message) -> Next:
        """A NAT on a path that must have none: ESP would not pass it, and somebody may have put it there (§3.9)."""
        why = f"the peer found a NAT on {sa.path}, and does not know NAT traversal"
        if self.tries >= MAX_NAT_RETRIES and sa.path == self.path:
            return Done(follow=(DeleteIke(why),), failed=why)
        sa.emit(Note(sa, f"{why}; trying again"))
        return Done(follow=(UpdateAddresses(before=self.before, tries=self.tries + 1),))

    async def on_updated(self, sa: IkeSa, reply: Message) -> Next:
        mobility = sa.mobility
        assert mobility is not None
        if self._is_late(sa):
            return Done(follow=(UpdateAddresses(before=self.before),))
        mobility.told = self.told
        mobility.verify(sa.path.remote.address)
        destination = reply.notify(NotifyType.NAT_DETECTION_DESTINATION_IP)
        if destination is not None:
            mobility.seen_as = destination.data
            judge_nat(sa, reply)
        failed = await _follow(sa)
        sa.emit(Note(sa, f"the SA runs on {sa.path} now"))
        token = crash_token.moved(sa, self.before.remote.address) if self.before is not None else ()
        return Done(follow=(*(RekeyChild(child) for child in failed), *token))

    def _is_late(self, sa: IkeSa) -> bool:
        """Whether we moved since, so that the peer may have heard it from elsewhere, however near we are now."""
        return sa.path != self.path or (sa.mobility is not None and sa.mobility.moves != self.moves)

    async def on_answer(self, sa: IkeSa, reply: Message) -> Next:
        if reply.notify(NotifyType.UNACCEPTABLE_ADDRESSES) is not None:
            return await self.on_unacceptable(sa, reply)
        if reply.notify(NotifyType.UNEXPECTED_NAT_DETECTED) is not None:
            return await self.on_nat(sa, reply)
        return await self.on_updated(sa, reply)

    cases = (Case(on_answer),)

    @property
    def subject(self) -> str:
        return "update of addresses"


def _about_nats(sa: IkeSa, mobility: Mobility) -> list[Payload]:
    """NAT detection; or, where the peer does not know NAT traversal, that there must be none (§3.5, §3.9)."""
    if mobility.natt:
        return nat_hashes(sa, sa.spi_r)
    local, remote = sa.path.local, sa.path.remote
    return [no_nats_notify(Ends(local.address, remote.address, local.port, remote.port))]


async def _follow(sa: IkeSa) -> list[ChildSa]:
    """Children go where the SA is; those the kernel did not move."""
    return await children.follow(sa, sa.encap)


@dataclass(slots=True, eq=False)
class CheckRoute(AboutAddresses):
    """Return routability, by the responder: is the peer really where its update came from? (RFC 4555 §3.7)

    Without it a peer could have us send its traffic to somebody else. Only who
    sees what is sent there can give the cookie back. A request in flight follows
    the peer (§3.5), so a cookie proves a place only if the peer did not move
    from its sending to its return: not even away and back again.
    """

    token: int = 0
    path: Path | None = None
    moves: int = 0
    """The count of the peer's moves when the cookie was sent."""
    cookie: bytes = b""

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        if sa.mobility is None or sa.mobility.held is None or sa.state not in LIVE:
            return None
        self.path, self.moves, self.cookie = sa.path, sa.mobility.moves, sa.random(COOKIE_OCTETS)
        return [Notify(NotifyType.COOKIE2, self.cookie)]

    async def on_answer(self, sa: IkeSa, reply: Message) -> Next:
        mobility = sa.mobility
        assert mobility is not None
        returned = reply.notify(NotifyType.COOKIE2)
        if returned is None or not hmac.compare_digest(returned.data, self.cookie):
            # §3.7: the SA MUST be closed then.
            why = f"the peer did not give back the COOKIE2 sent to {sa.path.remote}: it may not be there"
            return Done(follow=(DeleteIke(why),), failed=why)
        if sa.path != self.path or mobility.moves != self.moves:
            return Done(follow=(CheckRoute(),))  # the cookie went to several places, and proves none (§3.7)
        mobility.verify(sa.path.remote.address)
        mobility.held = None
        failed = await _follow(sa)
        sa.emit(Note(sa, f"the peer answers at {sa.path.remote}: its children go there now"))
        return Done(follow=tuple(RekeyChild(child) for child in failed))

    def serves(self, other: Exchange) -> bool:
        # One under way, too: when the peer moves meanwhile, it is followed by another one.
        return isinstance(other, CheckRoute) and not other.token

    cases = (Case(on_answer),)

    @property
    def subject(self) -> str:
        return "return routability check"


@dataclass(slots=True, eq=False)
class TellAddresses(AboutAddresses):
    """Our further addresses, when they changed and the path did not (RFC 4555 §3.6)."""

    token: int = 0
    told: tuple[bytes, ...] = ()

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        if sa.mobility is None or sa.connection is None or sa.state not in LIVE:
            return None
        self.told = await mobike.further(sa, sa.connection)
        if self.told == sa.mobility.told:
            return None
        return mobike.listed(self.told) or [NO_ADDITIONAL_ADDRESSES]

    async def on_answer(self, sa: IkeSa, reply: Message) -> Next:
        assert sa.mobility is not None
        sa.mobility.told = self.told
        return Done()

    cases = (Case(on_answer),)


# -- the answering half ----------------------------------------------------------


@dataclass(slots=True)
class Heard:
    """What an INFORMATIONAL request means for addresses: what is said to it, and what follows."""

    payloads: list[Payload]
    follow: tuple[Exchange, ...] = ()
    look: bool = False
    """Whether the path in use should be tried, because the peer's addresses changed."""


async def hear(sa: IkeSa, mobility: Mobility, request: Message) -> Heard:
    """The part of `AnswerInformational` that is MOBIKE's (RFC 4555 §3.5 to §3.9). Raises WireError."""
    arrived = mobility.heard or sa.path
    heard = Heard([])
    cookie = request.notify(NotifyType.COOKIE2)
    if cookie is not None:
        heard.payloads.append(Notify(NotifyType.COOKIE2, cookie2(cookie)))
    if request.notify(NotifyType.NAT_DETECTION_SOURCE_IP) is not None:
        heard.payloads += nat_hashes(sa, sa.spi_r, arrived)
    if request.notify(NotifyType.UPDATE_SA_ADDRESSES) is not None:
        if request.message_id < mobility.updated_by:
            return heard  # a newer one overtook it, as may be where several requests are in flight (§3.5)
        refusal = _refusal(sa, mobility, request, arrived)
        if refusal is not None:
            return Heard([*heard.payloads, Notify(refusal)])
        heard.follow = await _update(sa, mobility, request, arrived)
    if mobike.take_list(mobility, request):
        known = (sa.path.remote.address, *mobility.peer_addresses)
        if sa.caller and arrived.remote.address not in known:
            # The one in use may be gone, and it is said from another: one more to try, should the path be silent.
            mobility.peer_addresses += (arrived.remote.address,)
        listed = ", ".join(str(ip_address(each)) for each in mobility.peer_addresses) or "none"
        sa.emit(Note(sa, f"further addresses of the peer: {listed}"))
        heard.look = sa.caller
    return heard


def _refusal(sa: IkeSa, mobility: Mobility, request: Message, arrived: Path) -> NotifyType | None:
    """Why an update is not obeyed; None if it is."""
    if sa.caller:
        # RFC 4555 §2.1: the peer is the original responder, and moving the SA is not its to do.
        sa.emit(Note(sa, "the peer wants to update addresses, which is for the original initiator; refused"))
        return NotifyType.UNACCEPTABLE_ADDRESSES
    prohibition = request.notify(NotifyType.NO_NATS_ALLOWED)
    if prohibition is not None:
        seen = Ends(arrived.remote.address, arrived.local.address, arrived.remote.port, arrived.local.port)
        if no_nats(prohibition) != seen:
            sa.emit(Note(sa, f"a NAT changed the peer's update on its way, and the peer allows none: {arrived}"))
            return NotifyType.UNEXPECTED_NAT_DETECTED
    if not mobike.acceptable(sa, arrived):
        sa.emit(Note(sa, f"the peer moved to {arrived.remote}, which local_addrs and remote_addrs do not allow"))
        return NotifyType.UNACCEPTABLE_ADDRESSES
    return None


async def _update(sa: IkeSa, mobility: Mobility, request: Message, arrived: Path) -> tuple[Exchange, ...]:
    """The SA goes where the update came from; its children only once the peer is known to be there (§3.5, §3.7).

    The addresses are those of the IP header, which a NAT may have rewritten.
    """
    mobility.updated_by = request.message_id
    held, before = mobility.held or Held(sa.way, sa.encap), sa.path.remote.address
    if arrived != sa.path:
        sa.emit(Note(sa, f"the peer moved from {sa.path.remote} to {arrived.remote}"))
        mobility.moves += 1
    sa.path = arrived
    if request.notify(NotifyType.NAT_DETECTION_SOURCE_IP) is not None:
        judge_nat(sa, request)
    if arrived.remote.address in (sa.ends.remote.address, *mobility.verified):
        mobility.held = None
        failed = await _follow(sa)
        return (*(RekeyChild(child) for child in failed), *crash_token.moved(sa, before))
    mobility.held = held
    return (CheckRoute(), *crash_token.moved(sa, before))
