"""ChildSa: both halves of an ESP or AH SA pair, its companions, its selectors and its legal states."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from ikectl.config.model import Child, Mode
from ikectl.crypto.kdf_v2 import ChildKeys
from ikectl.crypto.proposal import ChildSuite
from ikectl.iana.v2 import Protocol
from ikectl.sa.collision import Rival
from ikectl.sa.marks import ChildMarks
from ikectl.sa.reqids import Policies
from ikectl.values.path import Path
from ikectl.values.selector import TrafficSelector

if TYPE_CHECKING:
    from ikectl.sa.association import Association


class ChildState(Enum):
    """Where a child stands. The names are the ones operators know."""

    INSTALLING = "INSTALLING"
    INSTALLED = "INSTALLED"
    REKEYING = "REKEYING"
    """Our CREATE_CHILD_SA that replaces it is in flight."""
    REKEYED = "REKEYED"
    """Replaced; the end that rekeyed it deletes it."""
    DELETING = "DELETING"
    """Our DELETE for it is in flight or waits for its turn."""
    DELETED = "DELETED"
    """Gone for the protocol; its inbound half lingers for packets under way."""

    __hash__ = object.__hash__  # members are single; the hash of Enum is that of the name, in Python


S = ChildState
# fmt: off
LEGAL: dict[ChildState, frozenset[ChildState]] = {
    S.INSTALLING: frozenset({S.INSTALLED, S.DELETED}),
    S.INSTALLED:  frozenset({S.REKEYING, S.REKEYED, S.DELETING, S.DELETED}),
    S.REKEYING:   frozenset({S.INSTALLED, S.REKEYED, S.DELETING, S.DELETED}),
    S.REKEYED:    frozenset({S.INSTALLED, S.DELETING, S.DELETED}),
    S.DELETING:   frozenset({S.DELETED}),
    S.DELETED:    frozenset(),
}
# fmt: on


@dataclass(slots=True, eq=False)
class Companion:
    """A further pair of SAs that a child's packets pass: its part of an SA bundle (RFC 4301 §4.4.2.1, RFC 2407 §4.6.1).

    AH is applied around the child's own ESP, IPComp inside of it: a packet is
    compressed, then encrypted, then authenticated. Mode and reqid are the
    child's.
    """

    protocol: Protocol
    """AH beside ESP, or IPCOMP beside either."""
    spi_in: int
    """For IPComp the two are CPIs (RFC 3173 §3.3), of 16 bits."""
    spi_out: int
    suite: ChildSuite | None = None
    """None for IPComp, which has no keys and always compresses with DEFLATE (RFC 2394)."""
    keys: ChildKeys | None = None


class Particulars(NamedTuple):
    """What only some children have."""

    life_time: int = 0
    """Seconds that both ends agreed on at most (IKEv1, RFC 2407 §4.5.4); 0: the configuration alone counts."""
    life_bytes: int = 0
    """Octets that both ends agreed on at most (IKEv1); 0: the configuration alone counts."""
    companions: tuple[Companion, ...] = ()
    """The other SAs of its bundle. With ESP the child's own `protocol` is ESP, and AH only without it."""
    peer_original: bytes = b""
    """The peer's packed address behind its NAT, as it says in NAT-OA (RFC 3947 §5.2) or in its selectors (RFC 7296
    §2.23.1); transport mode only."""
    tfc_padding: int = 0
    """Octets to which packets are padded on their way out; 0: none, be it that the peer does not take padding."""


NOTHING_PARTICULAR = Particulars()
"""Shared by all others."""


@dataclass(slots=True, eq=False)
class ChildSa:
    """One pair of unidirectional SAs (RFC 7296 §1.3, RFC 4301).

    `keys` are forgotten once both halves stand in the kernel: nothing needs
    them afterwards.
    """

    uniqueid: int
    ike: Association
    """The IKE SA it belongs to now."""
    config: Child
    initiator: bool
    """We began the exchange that made it, so the initiator's keys are ours outbound (§2.17)."""
    protocol: Protocol
    mode: Mode
    suite: ChildSuite
    spi_in: int
    spi_out: int
    ts_local: tuple[TrafficSelector, ...]
    ts_remote: tuple[TrafficSelector, ...]
    path: Path
    encap: bool
    """ESP goes in UDP (RFC 3948), or in TCP if `path` is a stream (RFC 9329)."""
    policies: Policies
    """What it shares with the children whose policies are the same."""
    if_id_in: int
    if_id_out: int
    keys: ChildKeys | None
    state: ChildState = ChildState.INSTALLING
    outbound: bool = False
    """The outbound half stands in the kernel. The responder of a rekeying installs it late (§2.8)."""
    inbound: bool = False
    rival: Rival[ChildSa] | None = None
    """The peer's rekeying of this child, while ours is in flight."""
    successor: ChildSa | None = None
    """The child that replaced this one; its outbound half may still wait for this one's end."""
    installed_at: float = 0.0
    """These three are instants in monotonic seconds, set by the engine; 0 stands for never."""
    rekey_at: float = 0.0
    expire_at: float = 0.0
    used_at: float = 0.0
    """When it, or what it replaced, last carried a packet, and when somebody looked; kept where `inactivity` counts."""
    looked_at: float = 0.0
    particulars: Particulars = NOTHING_PARTICULAR
    given_marks: ChildMarks | None = None
    """Marks that are this child's own (`Marks`); None: those of the configuration."""

    @property
    def reqid(self) -> int:
        """Ties the SAs to the policies in the kernel."""
        return self.policies.reqid

    @property
    def life_time(self) -> int:
        return self.particulars.life_time

    @property
    def life_bytes(self) -> int:
        return self.particulars.life_bytes

    @property
    def companions(self) -> tuple[Companion, ...]:
        return self.particulars.companions

    @property
    def peer_original(self) -> bytes:
        return self.particulars.peer_original

    @property
    def tfc_padding(self) -> int:
        return self.particulars.tfc_padding

    @property
    def marks(self) -> ChildMarks:
        """The marks of its policies and SAs."""
        return self.given_marks or ChildMarks.of(self.config)

    def forget_keys(self) -> None:
        """Both halves stand: nothing needs the keys any more."""
        self.keys = None
        for companion in self.particulars.companions:
            companion.keys = None

    def move(self, state: ChildState) -> None:
        """Change the state. Raises RuntimeError for a change the table does not have: our bug."""
        if state not in LEGAL[self.state]:
            raise RuntimeError(f"child {self.uniqueid} cannot go from {self.state.name} to {state.name}")
        self.state = state

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def usable(self) -> bool:
        """It carries traffic and nobody is about to take it away."""
        return self.state in (ChildState.INSTALLED, ChildState.REKEYING)

    def __repr__(self) -> str:
        return f"<ChildSa {self.name} #{self.uniqueid} {self.state.name} in {self.spi_in:08x} out {self.spi_out:08x}>"
