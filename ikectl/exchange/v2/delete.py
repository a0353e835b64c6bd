"""Deletes: of children, of the IKE SA, and the farewell after a failed authentication (RFC 7296 §1.4.1, §3.11)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

from ikectl.exchange import children
from ikectl.exchange.v2.base import Case, Done, Exchange, Next
from ikectl.exchange.v2.child import ChildOffer
from ikectl.iana.v2 import ExchangeType, Protocol
from ikectl.sa.association import IkeState
from ikectl.sa.child_sa import ChildSa, ChildState
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Delete, Notify

DELETE_IKE = Delete(Protocol.IKE, ())
"""SPI size and number are zero: the SA is the one the message travels on (RFC 7296 §3.11)."""


@dataclass(slots=True, eq=False)
class DeleteChildren(Exchange):
    """DELETE of ESP or AH SAs (RFC 7296 §1.4.1). The SPIs named are our inbound ones."""

    type: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL

    children: tuple[ChildSa, ...]
    why: str = "deleted"
    token: int = 0
    unborn: tuple[tuple[Protocol, int], ...] = ()
    """SPIs of children that the peer set up and we could not (see `of_offer`)."""
    offer: ChildOffer | None = None

    @classmethod
    def of_offer(cls, offer: ChildOffer) -> DeleteChildren:
        """For a child that failed on our side after the peer agreed: it knows our SPI."""
        return cls((), "could not be set up here", unborn=offer.named, offer=offer)

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        # While this waited for its turn the peer may have deleted some, or all went to a new IKE SA.
        self.children = tuple(
            child
            for child in self.children
            if sa.children.get(child.spi_in) is child and child.state is not ChildState.DELETED
        )
        named = [(child.protocol, child.spi_in) for child in self.children] + list(self.unborn)
        if not named:
            return None
        for child in self.children:
            if child.state is not ChildState.DELETING:
                child.move(ChildState.DELETING)
        return [
            Delete(protocol, tuple(spi.to_bytes(4, "big") for kind, spi in named if kind is protocol))
            for protocol in dict.fromkeys(kind for kind, _ in named)
        ]

    def serves(self, other: Exchange) -> bool:
        if not isinstance(other, DeleteChildren) or other.token or other.unborn:
            return False
        return set(other.children) <= set(self.children)

    @property
    def concerns(self) -> tuple[Hashable, ...]:
        return self.children

    async def on_answer(self, sa: IkeSa, reply: Message) -> Next:
        # The answer names the paired SPIs, or none of them if the peer deletes too (§1.4.1). We close
        # both halves whatever it names: a half-closed pair is never kept.
        await self.abandon(sa, self.why)
        return Done()

    async def abandon(self, sa: IkeSa, why: str) -> None:
        for child in self.children:
            if child.ike is sa:  # else it went to the SA that replaced this one
                await children.remove(sa, child, self.why if child.successor is None else None)
        if self.offer is not None:
            await self.offer.withdraw()

    cases = (Case(on_answer),)


@dataclass(slots=True, eq=False)
class DeleteIke(Exchange):
    """DELETE of the IKE SA, and with it of all its children (RFC 7296 §1.4.1)."""

    type: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL

    why: str = "deleted"
    token: int = 0

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        if sa.state is not IkeState.DELETING:
            sa.move(IkeState.DELETING)
        return [DELETE_IKE]

    async def on_answer(self, sa: IkeSa, reply: Message) -> Next:
        return Done(close=self.why)

    cases = (Case(on_answer),)


@dataclass(slots=True, eq=False)
class Farewell(Exchange):
    """Tells the responder why its SA, which it believes established, must go (RFC 7296 §2.21.2)."""

    type: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL

    notify: Notify
    why: str
    token: int = 0

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        sa.move(IkeState.DELETING)
        return [self.notify]

    async def on_answer(self, sa: IkeSa, reply: Message) -> Next:
        return Done(close=self.why)

    cases = (Case(on_answer),)
