"""What the control protocol needs of the daemon: protocols that its shell satisfies.

Commands that take time (initiate, terminate, rekey) are begun with a token of
the caller's choice and end with a `CommandDone` event that carries it; that
event, like all others, reaches the clients through the carrier's `publish`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

from ikectl.config.model import Authority, Certificate, Connection, Crl, Pool, PrivateKey, PublicKey, SharedSecret
from ikectl.engine.commands import Configure, Initiate, Install, Redirect, Rekey, Selection, Terminate, Uninstall
from ikectl.engine.view import ChildSaView, IkeSaView
from ikectl.pools.pool import Pool as LeasedPool
from ikectl.sa.association import Association
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.events import CommandDone, Event
from ikectl.sa.sentries import Sentry
from ikectl.vici.message import Draft


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the story; `name` and `uniqueid` are empty and 0 where it concerns no SA."""

    group: str
    level: int
    name: str
    uniqueid: int
    text: str

    @classmethod
    def of(cls, event: Event) -> Self:
        sa = event.ike
        if sa is None:
            return cls(event.group, event.level, "", 0, event.text())
        return cls(event.group, event.level, sa.name, sa.uniqueid, event.text())


@dataclass(frozen=True, slots=True)
class Version:
    """The daemon and the machine it runs on, as `uname` has it."""

    daemon: str
    version: str
    sysname: str
    release: str
    machine: str


@dataclass(frozen=True, slots=True)
class Stats:
    """How the daemon is doing. `running_for` in seconds, `since` as text for people."""

    running_for: float
    since: str
    ike_sas: int
    half_open: int


@dataclass(frozen=True, slots=True)
class CertificateView:
    """A certificate of the store: DER, whether it is a trusted CA's, whether its private key is here."""

    der: bytes
    ca: bool
    has_private_key: bool


class Credentials(Protocol):
    """The credential store. What cannot be taken raises an IkectlError that says why."""

    async def load_certificate(self, certificate: Certificate) -> None: ...

    async def load_crl(self, crl: Crl) -> None: ...

    async def load_public_key(self, key: PublicKey) -> None: ...

    def public_keys(self) -> Iterable[bytes]:
        """SubjectPublicKeyInfo (DER) of the raw public keys that clients loaded."""

    async def load_key(self, key: PrivateKey) -> str:
        """The key's id: hex SHA-1 of its subjectPublicKey bits."""

    async def unload_key(self, key_id: str) -> bool:
        """Whether there was one."""

    def keys(self) -> Iterable[str]:
        """The ids of the keys loaded."""

    async def load_secret(self, secret: SharedSecret) -> None:
        """One of the same name is replaced."""

    async def unload_secret(self, name: str) -> bool: ...

    def secrets(self) -> Iterable[str]:
        """The names of the secrets loaded."""

    async def load_authority(self, authority: Authority) -> None:
        """One of the same name is replaced."""

    async def unload_authority(self, name: str) -> bool: ...

    def authorities(self) -> Mapping[str, Authority]:
        """By name."""

    def certificates(self) -> Iterable[CertificateView]: ...

    def signers(self) -> Iterable[bytes]:
        """DER of the certificates of OCSP responders that were loaded."""

    def crls(self) -> Iterable[bytes]:
        """DER of the CRLs that were loaded or fetched."""

    def ocsp_responses(self) -> Iterable[bytes]:
        """DER of the OCSP responses remembered."""

    async def flush_certificates(self, crls: bool = True, responses: bool = True) -> None:
        """Forget CRLs and OCSP responses that were fetched or received, not what was loaded."""

    async def clear(self) -> None:
        """Forget everything that was loaded over this protocol."""


class AddressPools(Protocol):
    """The address pools. What cannot be done raises an IkectlError that says why."""

    async def load(self, pool: Pool) -> None:
        """One of the same name is replaced, its leases stay."""

    async def unload(self, name: str) -> bool:
        """Whether there was one."""

    def all(self) -> Iterable[LeasedPool]:
        """In the order of loading."""


Begun = Initiate | Terminate | Rekey | Redirect | Configure | Install | Uninstall
"""Commands that take time."""


class Control(Protocol):
    """The daemon, as the control protocol sees it."""

    @property
    def credentials(self) -> Credentials: ...

    @property
    def pools(self) -> AddressPools: ...

    def version(self) -> Version: ...

    def stats(self) -> Stats: ...

    async def reload_settings(self) -> None:
        """Read the daemon's own configuration again. Raises ConfigErrors."""

    def connections(self) -> Iterable[Connection]:
        """In the order they were loaded."""

    async def load_connection(self, connection: Connection) -> None:
        """One of the same name is replaced. Raises IkectlError."""

    async def unload_connection(self, name: str) -> bool:
        """Whether there was one."""

    def read_file(self, path: str) -> bytes:
        """A certificate file that a request names by absolute path. Raises OSError."""

    def command(self, command: Begun) -> None:
        """Begin it. What it names exists; its `CommandDone` may be published before this returns."""

    def ike_sas(self, selection: Selection) -> AsyncIterator[IkeSaView]:
        """Snapshots of the IKE SAs that may match, one at a time; the caller filters exactly."""

    def is_calling(self, ike: str) -> bool:
        """Whether the peer of that connection is called just now, or is to be called again."""

    def sentries(self) -> Iterable[Sentry]:
        """The traps and shunts that stand."""

    def view(self, sa: Association) -> IkeSaView:
        """A snapshot of the SA an event speaks of, which may be gone already; without its usage."""

    def view_child(self, child: ChildSa) -> ChildSaView:
        """A snapshot of a child, likewise."""


class Following(Protocol):
    """The story of one command while it runs.

    Iterating gives its log lines and ends when the command is done, or its
    time is over.
    """

    @property
    def token(self) -> int: ...

    @property
    def done(self) -> CommandDone | None:
        """How it ended; None while it has not."""

    def __aiter__(self) -> AsyncIterator[LogLine]: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...


class Context(Protocol):
    """One running command: the daemon it acts on and the client that asked."""

    @property
    def control(self) -> Control: ...

    async def emit(self, event: str, tree: Draft) -> None:
        """Stream an event to the client that asked; waits while that client is slow."""

    def follow(self, concerns: Callable[[Event], bool], within: float | None) -> Following:
        """To be entered before the command is begun.

        `concerns` picks the events that belong to its story; `within` is the
        time in seconds after which nobody waits any longer, None for never.
        """
