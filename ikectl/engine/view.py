"""Read-only snapshots of SAs, for whoever looks: the control protocol and the metrics.

A snapshot holds typed values; their text is the reader's business. Durations
are seconds counted from the instant the snapshot was taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from ikectl.config.model import Mark
from ikectl.crypto.proposal import ChildSuite, IkeSuite
from ikectl.crypto.proposal_v1 import proof_of
from ikectl.crypto.suite_v1 import IsakmpSuite
from ikectl.iana.v2 import Protocol
from ikectl.sa.asks import Usage
from ikectl.sa.association import Association
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.isakmp_sa import IsakmpSa
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
    """Additional key exchanges in order (RFC 9370)."""

    @classmethod
    def of_ike(cls, suite: IkeSuite | IsakmpSuite) -> Self:
        """IKEv1 has no integrity algorithm of its own, and one key exchange."""
        if isinstance(suite, IsakmpSuite):
            return cls(
                encryption=suite.encryption.name,
                encryption_bits=suite.encryption.transform.key_bits,
                prf=suite.prf_row.name,
                ke=suite.ke.name,
            )
        return cls(
            encryption=suite.encryption.name,
            encryption_bits=suite.encryption.transform.key_bits,
            integrity=suite.integrity.name if suite.integrity else "",
            prf=suite.prf_row.name,
            ke=suite.ke.name,
            additional=tuple(method.name for method in suite.additional),
        )

    @classmethod
    def of_child(cls, suite: ChildSuite) -> Self:
        return cls(
            encryption=suite.encryption.name if suite.encryption else "",
            encryption_bits=suite.encryption.transform.key_bits if suite.encryption else 0,
            integrity=suite.integrity.name if suite.integrity else "",
            ke=suite.ke.name if suite.ke is not None else "",
            additional=tuple(method.name for method in suite.additional),
        )


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
    tcp: bool = False
    """What carries its ESP is TCP, not UDP."""
    cpi: tuple[int, int] | None = None
    """Of IPComp inside, inbound and outbound."""
    usage: Usage | None = None
    """None where the kernel could not be asked, as for a child that is gone."""
    installed_for: float = 0.0
    rekey_in: float | None = None
    expires_in: float | None = None
    if_id_in: int = 0
    if_id_out: int = 0
    marks: MarksView = field(default_factory=MarksView)

    @classmethod
    def of(cls, child: ChildSa, now: float, usage: Usage | None = None) -> Self:
        """A snapshot taken at `now`, in the same monotonic seconds as the instants."""
        return cls(
            name=child.name,
            uniqueid=child.uniqueid,
            reqid=child.reqid,
            state=child.state.name,
            mode=child.mode.name,
            protocol=child.protocol.name,
            spi_in=child.spi_in,
            spi_out=child.spi_out,
            ts_local=child.ts_local,
            ts_remote=child.ts_remote,
            suite=SuiteView.of_child(child.suite),
            esn=child.suite.esn,
            encap=child.encap,
            tcp=child.path.tcp,
            cpi=next(((c.spi_in, c.spi_out) for c in child.companions if c.protocol is Protocol.IPCOMP), None),
            usage=usage,
            installed_for=now - child.installed_at,
            rekey_in=_until(child.rekey_at, now),
            expires_in=_until(child.expire_at, now),
            if_id_in=child.if_id_in,
            if_id_out=child.if_id_out,
            marks=MarksView(_mark(child.config.mark_in), _mark(child.config.mark_out)),
        )


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
    user: str = ""
    """Who logged in as a user, where XAUTH or EAP asked."""
    method: str = ""
    """How both ends prove themselves, in the configuration's words; of IKEv1, which negotiates it."""
    natt: str = ""
    """The form of NAT traversal that both ends know; of IKEv1, which has several."""
    suite: SuiteView | None = None
    """None until one is chosen."""
    ppk: bool = False
    """A post-quantum pre-shared key is in its keys (RFC 8784)."""
    nat: NatView = field(default_factory=NatView)
    established_for: float | None = None
    """None until it is established."""
    rekey_in: float | None = None
    reauth_in: float | None = None
    if_id_in: int = 0
    if_id_out: int = 0
    own_vips: tuple[bytes, ...] = ()
    """Inner addresses the peer gave us, packed; `peer_vips` those we gave it."""
    peer_vips: tuple[bytes, ...] = ()
    tasks: TasksView = field(default_factory=TasksView)
    children: tuple[ChildSaView, ...] = ()

    @classmethod
    def of(
        cls,
        sa: Association,
        now: float,
        children: tuple[ChildSaView, ...] = (),
        tasks: TasksView | None = None,
    ) -> Self:
        """A snapshot taken at `now`, in the same monotonic seconds as the instants."""
        connection = sa.connection
        fake = connection is not None and connection.encap and not (sa.nat.local or sa.nat.remote)
        isakmp = sa if isinstance(sa, IsakmpSa) else None
        # A new phase 1 authenticates anew.
        anew = isakmp is not None and connection is not None and connection.isakmp_time == connection.reauth_time
        renewed = _until(sa.rekey_at, now)
        reauth = _until(sa.reauth_at, now) if isinstance(sa, IkeSa) else renewed if anew else None
        return cls(
            name=sa.name,
            uniqueid=sa.uniqueid,
            version=sa.VERSION,
            state=sa.state.name,
            initiator=sa.initiator,
            spi_i=sa.spi_i,
            spi_r=sa.spi_r,
            path=sa.path,
            local_id=sa.local_id,
            remote_id=sa.remote_id,
            user=sa.user,
            method=proof_of(isakmp.method) if isakmp is not None and isakmp.suite is not None else "",
            natt=str(isakmp.natt) if isakmp is not None and isakmp.natt is not None else "",
            suite=SuiteView.of_ike(sa.suite) if sa.suite is not None else None,
            ppk=isinstance(sa, IkeSa) and sa.ppk,
            nat=NatView(sa.nat.local, sa.nat.remote, fake),
            established_for=now - sa.established_at if sa.established_at else None,
            rekey_in=None if anew else renewed,
            reauth_in=reauth,
            if_id_in=connection.if_id_in if connection else 0,
            if_id_out=connection.if_id_out if connection else 0,
            own_vips=sa.own_vips,
            peer_vips=sa.peer_vips,
            tasks=tasks or TasksView(),
            children=children,
        )


def _until(at: float, now: float) -> float | None:
    """0.0 stands for never."""
    return max(0.0, at - now) if at else None


def _mark(mark: Mark) -> tuple[int, int] | None:
    return (mark.value, mark.mask) if mark.mask else None
