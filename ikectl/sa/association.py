"""Association: the facts that an IKE SA has in either version of IKE. It has no reference upward."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Self

from ikectl.config.model import Connection
from ikectl.iana.v2 import IdType
from ikectl.sa.child_sa import ChildSa, ChildState
from ikectl.sa.env import Env, Random
from ikectl.sa.events import Event
from ikectl.sa.inner import Inner
from ikectl.sa.nat import NO_NAT, Nat
from ikectl.values.identity import Identity
from ikectl.values.path import Path


class IkeState(Enum):
    """Where an IKE SA stands. The names are the ones operators know."""

    CREATED = "CREATED"
    CONNECTING = "CONNECTING"
    AUTHENTICATING = "AUTHENTICATING"
    """IKEv1: phase 1 is done, and XAUTH has yet to tell who the user is."""
    ESTABLISHED = "ESTABLISHED"
    REKEYING = "REKEYING"
    """Our CREATE_CHILD_SA that replaces it is in flight."""
    REKEYED = "REKEYED"
    """Replaced, its children moved; the end that rekeyed it deletes it."""
    DELETING = "DELETING"
    """Our DELETE for it is in flight."""
    CLOSED = "CLOSED"

    __hash__ = object.__hash__  # members are single; the hash of Enum is that of the name, in Python


@dataclass(slots=True, eq=False)
class Association:
    """What `IkeSa` (RFC 7296) and `IsakmpSa` (RFC 2408) have in common. SPIs are what IKEv1 calls cookies."""

    VERSION: ClassVar[int]
    LEGAL: ClassVar[Mapping[IkeState, frozenset[IkeState]]]
    """The changes of state that the version knows."""

    env: Env
    random: Random
    uniqueid: int
    initiator: bool
    """We are the *original* initiator."""
    spi_i: bytes
    spi_r: bytes
    path: Path
    our_spi: bytes = field(init=False)
    """The one of the two that we chose; the peer's may become known later."""
    emit: Callable[[Event], None] = field(init=False)
    """Tells observers."""
    connection: Connection | None = None
    state: IkeState = IkeState.CREATED
    suite: Any = None
    """The algorithms; `IkeSuite` or what the version has for it. None until chosen."""
    keys: Any = None
    local_id: Identity | None = None
    remote_id: Identity | None = None
    user: str = ""
    """Who the peer logged in as, beside its identity: the name that XAUTH or EAP proved."""
    nat: Nat = NO_NAT
    children: dict[int, ChildSa] = field(default_factory=dict)
    """By inbound SPI."""
    successor: Self | None = None
    """The SA that replaced this one, until the engine has seen to it."""
    proven: Path | None = None
    """Between which addresses both ends proved themselves. The path may follow a NAT's changes later; what an end
    may have as its own does not."""
    own_vips: tuple[bytes, ...] = ()
    """Inner addresses the peer gave us, packed."""
    peer_vips: tuple[bytes, ...] = ()
    """Inner addresses we gave the peer, packed."""
    inner: Inner | None = None
    """What mode config set up, if it did."""
    contacted: bool = False
    """The peer said INITIAL_CONTACT: it knows no other SA with us (RFC 7296 §2.4, RFC 2407 §4.6.3.3)."""
    established_at: float = 0.0
    """These three are instants in monotonic seconds, set by the engine; 0 stands for never."""
    rekey_at: float = 0.0
    expire_at: float = 0.0

    def __post_init__(self) -> None:
        self.our_spi = self.spi_i if self.initiator else self.spi_r
        self.emit = self.env.tell

    def chance(self) -> float:
        """A number from 0 up to but excluding 1, by which a wait of this SA differs from those of others."""
        return self.env.chance(self.random)

    def move(self, state: IkeState) -> None:
        """Change the state. Raises RuntimeError for a change the table does not have: our bug."""
        if state not in self.LEGAL[self.state]:
            raise RuntimeError(f"IKE SA {self.uniqueid} cannot go from {self.state.name} to {state.name}")
        self.state = state

    @property
    def name(self) -> str:
        """Name of its connection, or `(unnamed)` until one is chosen."""
        return self.connection.name if self.connection else "(unnamed)"

    @property
    def is_hidden(self) -> bool:
        """Whether the peer's identity is an address that it does not talk from, and so names nobody for sure."""
        named = self.remote_id
        return (
            named is not None
            and not self.user
            and named.kind in (IdType.IPV4_ADDR, IdType.IPV6_ADDR)
            and named.data != self.path.remote.address
        )

    @property
    def is_nobody(self) -> bool:
        """Whether the peer has no identity at all: what is true of one such peer is not of another (RFC 7619 §2.5)."""
        return not self.user and self.remote_id is not None and self.remote_id.kind is IdType.NULL

    @property
    def ends(self) -> Path:
        """The addresses that stand for both ends in what they may ask for."""
        return self.proven or self.path

    @property
    def their_spi(self) -> bytes:
        return self.spi_r if self.initiator else self.spi_i

    def take_children(self, old: Self) -> None:
        """Take over the children of an SA that this one replaces."""
        for child in old.children.values():
            child.ike = self
        self.children.update(old.children)
        old.children = {}

    def take_inner(self, old: Self) -> None:
        """Take over the inner addresses of an SA that this one replaces, and the duty to give them back."""
        self.own_vips, self.peer_vips = self.own_vips or old.own_vips, self.peer_vips or old.peer_vips
        if old.inner is not None:
            self.inner = self.inner or Inner()
            self.inner.add(old.inner)
            old.inner = None

    def child_by_outbound(self, spi: int) -> ChildSa | None:
        """The child whose outbound SPI is `spi`: how the peer names it (its inbound one)."""
        for child in self.children.values():
            if child.spi_out == spi:
                return child
        return None

    @property
    def way(self) -> Path:
        """Between which ends its children send."""
        return self.path

    @property
    def encap(self) -> bool:
        """Whether their ESP goes in UDP or, as on every stream, in TCP."""
        return self.nat.found or self.path.tcp

    @property
    def living_children(self) -> list[ChildSa]:
        return [child for child in self.children.values() if child.state is not ChildState.DELETED]

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"<{kind} {self.name}[{self.uniqueid}] {self.state.name} {self.spi_i.hex()}_i {self.spi_r.hex()}_r>"
