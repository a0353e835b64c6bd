"""IkeSa: the facts of one IKEv2 SA and its legal states. It has no reference upward."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from ikectl.config.model import Connection
from ikectl.crypto.kdf_v2 import IkeKeys
from ikectl.crypto.proposal import IkeSuite
from ikectl.iana.v2 import HashAlgorithm
from ikectl.sa.child_sa import ChildSa, ChildState
from ikectl.sa.collision import Rival
from ikectl.sa.env import Env, Random
from ikectl.sa.events import Event
from ikectl.sa.nat import NO_NAT, Nat
from ikectl.values.identity import Identity
from ikectl.values.path import Path


class IkeState(Enum):
    """Where an IKE SA stands. The names are the ones operators know."""

    CREATED = "CREATED"
    CONNECTING = "CONNECTING"
    ESTABLISHED = "ESTABLISHED"
    REKEYING = "REKEYING"
    """Our CREATE_CHILD_SA that replaces it is in flight."""
    REKEYED = "REKEYED"
    """Replaced, its children moved; the end that rekeyed it deletes it."""
    DELETING = "DELETING"
    """Our DELETE for it is in flight."""
    CLOSED = "CLOSED"

    __hash__ = object.__hash__  # members are single; the hash of Enum is that of the name, in Python


# fmt: off
LEGAL: dict[IkeState, frozenset[IkeState]] = {
    IkeState.CREATED:     frozenset({IkeState.CONNECTING, IkeState.ESTABLISHED, IkeState.CLOSED}),
    IkeState.CONNECTING:  frozenset({IkeState.ESTABLISHED, IkeState.DELETING, IkeState.CLOSED}),
    IkeState.ESTABLISHED: frozenset({IkeState.REKEYING, IkeState.REKEYED, IkeState.DELETING, IkeState.CLOSED}),
    IkeState.REKEYING:    frozenset({IkeState.ESTABLISHED, IkeState.REKEYED, IkeState.DELETING, IkeState.CLOSED}),
    IkeState.REKEYED:     frozenset({IkeState.DELETING, IkeState.CLOSED}),
    IkeState.DELETING:    frozenset({IkeState.CLOSED}),
    IkeState.CLOSED:      frozenset(),
}
# fmt: on


@dataclass(slots=True, eq=False)
class Handshake:
    """What only the first two exchanges need; forgotten when the SA is established."""

    nonce_i: bytes = b""
    nonce_r: bytes = b""
    request: bytes = b""
    """The IKE_SA_INIT request that was answered, as its sender signs it (RFC 7296 §2.15)."""
    response: bytes = b""
    """The IKE_SA_INIT response, likewise."""
    asked: bool = False
    """The peer sent a CERTREQ."""
    authorities: tuple[bytes, ...] = ()
    """CA hashes of the peer's CERTREQs; empty: any."""
    hashes: tuple[HashAlgorithm, ...] | None = None
    """The peer's SIGNATURE_HASH_ALGORITHMS; None if it sent none."""
    rounds: int = 0
    """Additional key exchanges done (RFC 9370)."""
    int_auth_i: bytes = b""
    """IntAuth of the initiator's IKE_INTERMEDIATE messages so far (RFC 9242 §3.3.2)."""
    int_auth_r: bytes = b""
    candidates: tuple[Connection, ...] = ()
    """Responder: connections that fit addresses and proposals, best first."""


@dataclass(slots=True, eq=False)
class IkeSa:
    """One IKE SA (RFC 7296 §1)."""

    env: Env
    random: Random
    uniqueid: int
    initiator: bool
    """We are the *original* initiator: our messages carry the I flag (§3.1)."""
    spi_i: bytes
    spi_r: bytes
    path: Path
    connection: Connection | None = None
    state: IkeState = IkeState.CREATED
    handshake: Handshake | None = None
    suite: IkeSuite | None = None
    keys: IkeKeys | None = None
    local_id: Identity | None = None
    remote_id: Identity | None = None
    nat: Nat = NO_NAT
    children: dict[int, ChildSa] = field(default_factory=dict)
    """By inbound SPI."""
    rival: Rival[IkeSa] | None = None
    """The peer's rekeying of this SA, while ours is in flight."""
    predecessor: IkeSa | None = None
    """The SA this one may replace, while a simultaneous rekeying of it is not decided (§2.8.2)."""
    successor: IkeSa | None = None
    """The SA that replaced this one."""
    orphans: tuple[int, ...] = ()
    """SPIs the peer deleted that we did not know: perhaps of a child whose answer is still under way."""
    heir: IkeSa | None = None
    """The SA that replaced this one, for as long as this one lasts."""
    dying: int = 0
    """SAs this one replaced that are not gone yet."""
    contacted: bool = False
    """The peer said INITIAL_CONTACT: it knows no other SA with us (§2.4)."""
    established_at: float = 0.0
    """These three are instants in monotonic seconds, set by the engine; 0 stands for never."""
    rekey_at: float = 0.0
    expire_at: float = 0.0
    sealed: int = 0
    """Messages sealed so far: the IV of counter-mode ciphers, never the same twice."""

    def move(self, state: IkeState) -> None:
        """Change the state. Raises RuntimeError for a change the table does not have: our bug."""
        if state not in LEGAL[self.state]:
            raise RuntimeError(f"IKE SA {self.uniqueid} cannot go from {self.state.name} to {state.name}")
        self.state = state

    @property
    def name(self) -> str:
        """Name of its connection, or `(unnamed)` until one is chosen."""
        return self.connection.name if self.connection else "(unnamed)"

    @property
    def our_spi(self) -> bytes:
        return self.spi_i if self.initiator else self.spi_r

    @property
    def their_spi(self) -> bytes:
        return self.spi_r if self.initiator else self.spi_i

    def emit(self, event: Event) -> None:
        """Tell observers."""
        self.env.events.append(event)

    def inherit(self, old: IkeSa) -> None:
        """Take over the children of the SA that this one replaces (RFC 7296 §2.18)."""
        for child in old.children.values():
            child.ike = self
        self.children.update(old.children)
        old.children = {}
        old.successor = old.heir = self
        self.dying += 1
        old.rival = None
        self.predecessor = None

    def child_by_outbound(self, spi: int) -> ChildSa | None:
        """The child whose outbound SPI is `spi`: how the peer names it (its inbound one)."""
        for child in self.children.values():
            if child.spi_out == spi:
                return child
        return None

    def iv(self, octets: int, counter: bool) -> bytes:
        """A fresh IV: a counter where the cipher only forbids repetition (RFC 5282 §3.1), else random."""
        if not counter:
            return self.random(octets)
        self.sealed += 1
        return self.sealed.to_bytes(octets, "big")

    @property
    def living_children(self) -> list[ChildSa]:
        return [child for child in self.children.values() if child.state is not ChildState.DELETED]

    def __repr__(self) -> str:
        return f"<IkeSa {self.name}[{self.uniqueid}] {self.state.name} {self.spi_i.hex()}_i {self.spi_r.hex()}_r>"
