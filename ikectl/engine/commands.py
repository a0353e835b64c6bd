"""What the shell may command. Each ends with a `CommandDone` event that carries its token."""

from __future__ import annotations

from dataclasses import dataclass, field

from ikectl.config.model import AddressSpec, Connection
from ikectl.sa.association import Association
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.sentries import Packet, Sentry
from ikectl.values.identity import IdentityPattern
from ikectl.values.path import Endpoint, Path


@dataclass(frozen=True, slots=True)
class Selection:
    """Which SAs a command means; what is empty or 0 matches all."""

    ike: str = ""
    child: str = ""
    ike_id: int = 0
    child_id: int = 0

    @property
    def of_children(self) -> bool:
        """Children are meant, not IKE SAs."""
        return bool(self.child or self.child_id)


@dataclass(frozen=True, slots=True)
class Initiate:
    """Bring up child `child` of connection `ike`, or the IKE SA alone if `child` is empty."""

    token: int
    ike: str = ""
    child: str = ""


@dataclass(frozen=True, slots=True)
class Terminate:
    """Delete what is selected. `force` does not wait for the peer's consent."""

    token: int
    selection: Selection = field(default_factory=Selection)
    force: bool = False


@dataclass(frozen=True, slots=True)
class Rekey:
    """Rekey what is selected. `reauth`: IKE SAs are made from scratch, so that both ends prove themselves again."""

    token: int
    selection: Selection = field(default_factory=Selection)
    reauth: bool = False


@dataclass(frozen=True, slots=True)
class Configure:
    """Tell the clients on what is selected what their pools have now (CFG_SET); `ask`: ask the peers about themselves
    (CFG_REQUEST)."""

    token: int
    selection: Selection = field(default_factory=Selection)
    ask: bool = False


@dataclass(frozen=True, slots=True)
class Install:
    """Let the policies of child `child` of connection `ike` stand without an SA: a trap or a shunt."""

    token: int
    ike: str = ""
    child: str = ""


@dataclass(frozen=True, slots=True)
class Uninstall:
    """Take them away again."""

    token: int
    ike: str = ""
    child: str = ""


@dataclass(frozen=True, slots=True)
class Acquired:
    """The kernel reports that a packet met the policies of `sentry` and found no SA."""

    sentry: Sentry
    packet: Packet


@dataclass(frozen=True, slots=True)
class Redirect:
    """Send clients to another gateway, an address or a name; what is not given matches all (RFC 5685 §5)."""

    token: int
    gateway: str
    ike: str = ""
    ike_id: int = 0
    peer: AddressSpec | None = None
    identity: IdentityPattern | None = None

    def means(self, sa: Association) -> bool:
        """Whether the peer of that SA is one of those."""
        fits = self.peer is None or self.peer.match(sa.path.remote.address)
        named = sa.remote_id is not None and (self.identity is None or self.identity.match(sa.remote_id))
        return bool(fits and named)


@dataclass(frozen=True, slots=True)
class LoadConnection:
    """Add a connection, or replace the one of that name."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class UnloadConnection:
    """Forget a connection."""

    name: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """The packed addresses of a host name that connections mention, as of now."""

    host: str
    addresses: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Expire:
    """The kernel reports that a lifetime of `child` ended: `hard`, or soft and due for rekeying."""

    child: ChildSa
    hard: bool


@dataclass(frozen=True, slots=True)
class Remapped:
    """The kernel reports that a packet of `child` that proved itself came from elsewhere, behind the peer's NAT."""

    child: ChildSa
    remote: Endpoint


@dataclass(frozen=True, slots=True)
class AddressesChanged:
    """Addresses, links or routes of this host changed, and have settled."""


@dataclass(frozen=True, slots=True)
class StreamBroken:
    """A TCP connection that we opened is gone, and not by our will."""

    path: Path
    why: str


@dataclass(frozen=True, slots=True)
class InnerAddress:
    """DHCP over IPsec gave the client of IKE SA `ike` (unique id) this address (packed), or none, and why."""

    ike: int
    address: bytes
    why: str = ""


Command = (
    Initiate
    | Terminate
    | Rekey
    | Configure
    | Redirect
    | Install
    | Uninstall
    | Acquired
    | LoadConnection
    | UnloadConnection
    | Resolved
    | Expire
    | Remapped
    | AddressesChanged
    | StreamBroken
    | InnerAddress
)
