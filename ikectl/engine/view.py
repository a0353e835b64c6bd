"""Read-only snapshots of SAs, for whoever looks: the control protocol and the metrics.

A snapshot holds typed values; their text is the reader's business. Durations
are seconds counted from the instant the snapshot was taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ikectl.sa.asks import Usage
from ikectl.values.identity import Identity
from ikectl.values.path import Path
from ikectl.values.selector import TrafficSelector


@dataclass(frozen=True, slots=True)
class SuiteView:
    """Negotiated algorithms by their names in the IANA registries, as `AES_GCM_16` or `CURVE_25519`.

    An empty name means that the suite has none of that kind; 0 bits that the
    algorithm's key size is not negotiable.
    """

    encryption: str = ""
    encryption_bits: int = 0
    integrity: str = ""
    integrity_bits: int = 0
    prf: str = ""
    ke: str = ""
    """The key exchange; of a child the one of its last CREATE_CHILD_SA, if that had one."""
    additional: tuple[str, ...] = ()
    """Additional key exchanges 1 to 7 (RFC 9370), empty names for the rounds not used."""


@dataclass(frozen=True, slots=True)
class NatView:
    """What NAT detection found (RFC 7296 §2.23)."""

    local: bool = False
    remote: bool = False
    fake: bool = False
    """We pretend to sit behind a NAT (`encap = yes`)."""


@dataclass(frozen=True, slots=True)
class TasksView:
    """Names of the exchanges of an SA: those that wait, ours in flight, the peer's being answered."""

    queued: tuple[str, ...] = ()
    active: tuple[str, ...] = ()
    passive: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MarksView:
    """Kernel marks of a child as (value, mask); None where there is none."""

    inbound: tuple[int, int] | None = None
    outbound: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class ChildSaView:
    """One child at one instant.

    Longer than records want to be, because it mirrors what operators' tools
    print of a child, one field for each line.
    """

    name: str
    uniqueid: int
    reqid: int
    state: str
    """A name of `ChildState`."""
    mode: str
    """`TUNNEL` or `TRANSPORT`."""
    protocol: str
    """`ESP` or `AH`."""
    spi_in: int
    spi_out: int
    ts_local: tuple[TrafficSelector, ...]
    ts_remote: tuple[TrafficSelector, ...]
    suite: SuiteView = field(default_factory=SuiteView)
    esn: bool = False
    encap: bool = False
    usage: Usage | None = None
    """None where the kernel could not be asked, as for a child that is gone."""
    installed_for: float = 0.0
    rekey_in: float | None = None
    expires_in: float | None = None
    if_id_in: int = 0
    if_id_out: int = 0
    marks: MarksView = field(default_factory=MarksView)


@dataclass(frozen=True, slots=True)
class IkeSaView:
    """One IKE SA at one instant, its children with it. Long for the same reason as `ChildSaView`."""

    name: str
    uniqueid: int
    version: int
    state: str
    """A name of `IkeState`."""
    initiator: bool
    """We are the original initiator."""
    spi_i: bytes
    spi_r: bytes
    path: Path
    local_id: Identity | None
    remote_id: Identity | None
    suite: SuiteView | None = None
    """None until one is chosen."""
    nat: NatView = field(default_factory=NatView)
    established_for: float | None = None
    """None until it is established."""
    rekey_in: float | None = None
    reauth_in: float | None = None
    if_id_in: int = 0
    if_id_out: int = 0
    tasks: TasksView = field(default_factory=TasksView)
    children: tuple[ChildSaView, ...] = ()
