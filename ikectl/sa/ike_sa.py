"""IkeSa: the facts of one IKEv2 SA and its legal states. It has no reference upward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ikectl.config.model import Connection
from ikectl.crypto.kdf_v2 import IkeKeys
from ikectl.crypto.proposal import IkeSuite
from ikectl.iana.v2 import CertEncoding, ExchangeType, HashAlgorithm, NotifyType
from ikectl.sa.association import Association, IkeState
from ikectl.sa.collision import Rival
from ikectl.sa.followups import Followups
from ikectl.sa.mobility import Mobility
from ikectl.sa.synchrony import Numbering
from ikectl.sa.tickets import KeptTicket, Session
from ikectl.values.path import Path
from ikectl.values.secret import Secret
from ikectl.wire.v2.auth_methods import ProofMethod
from ikectl.wire.v2.puzzle import Demand, PuzzleSolution

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


NO_EXTENSIONS: frozenset[NotifyType] = frozenset()


class Wanted(NamedTuple):
    """What a peer wants to see of our certificates (RFC 7296 §3.7)."""

    encodings: frozenset[CertEncoding] = frozenset()
    """What its CERTREQs ask for; empty: it sent none."""
    authorities: tuple[bytes, ...] = ()
    """CA hashes of its CERTREQs; empty: any."""
    looks_up: bool = False
    """It fetches certificates that are named by hash and URL (HTTP_CERT_LOOKUP_SUPPORTED)."""


NOTHING_WANTED = Wanted()


@dataclass(slots=True, eq=False)
class Handshake:
    """What only the first two exchanges need; forgotten when the SA is established."""

    nonce_i: bytes = b""
    nonce_r: bytes = b""
    request: bytes = b""
    """The IKE_SA_INIT request that was answered, as its sender signs it (RFC 7296 §2.15)."""
    response: bytes = b""
    """The IKE_SA_INIT response, likewise."""
    wanted: Wanted = NOTHING_WANTED
    """Of certificates, by the peer."""
    hashes: tuple[HashAlgorithm, ...] | None = None
    """The peer's SIGNATURE_HASH_ALGORITHMS; None if it sent none."""
    methods: frozenset[ProofMethod] | None = None
    """By what the peer takes our proof; None if it does not say (RFC 9593)."""
    ppk: Secret | None = None
    """Initiator: the post-quantum key to be mixed in (RFC 8784, RFC 9867)."""
    ppk_in: ExchangeType | None = None
    """The exchange, still to come, in which both ends agreed to mix one in: IKE_INTERMEDIATE or IKE_AUTH."""
    ppk_named: bytes = b""
    """Responder: the identity of the key that IKE_INTERMEDIATE mixed in."""
    rounds: int = 0
    """Additional key exchanges done (RFC 9370)."""
    intermediates: int = 0
    """IKE_INTERMEDIATE exchanges done."""
    int_auth_i: bytes = b""
    """IntAuth of the initiator's IKE_INTERMEDIATE messages so far (RFC 9242 §3.3.2)."""
    int_auth_r: bytes = b""
    candidates: tuple[Connection, ...] = ()
    """Responder: connections that fit addresses and proposals, best first."""
    ticket: bytes = b""
    """Responder: the session ticket that is being taken (RFC 5723)."""
    puzzle: Demand | None = None
    """Responder: what is to be solved before an IKE_AUTH is opened (RFC 8019 §7.2); None once it is."""
    solution: PuzzleSolution | None = None
    """Initiator: what our first IKE_AUTH has to show."""
    admission: Any = None
    """Responder: what IKE_AUTH keeps between its messages (`exchange.v2.answer_ike_auth.Admission`)."""


@dataclass(slots=True, eq=False, repr=False)
class IkeSa(Association):
    """One IKE SA (RFC 7296 §1). As the original initiator our messages carry the I flag (§3.1)."""

    VERSION: ClassVar[int] = 2
    LEGAL: ClassVar[Mapping[IkeState, frozenset[IkeState]]] = LEGAL

    handshake: Handshake | None = None
    suite: IkeSuite | None = None
    keys: IkeKeys | None = None
    rival: Rival[IkeSa] | None = None
    """The peer's rekeying of this SA, while ours is in flight."""
    predecessor: IkeSa | None = None
    """The SA this one may replace, while a simultaneous rekeying of it is not decided (§2.8.2)."""
    orphans: tuple[int, ...] = ()
    """SPIs the peer deleted that we did not know: perhaps of a child whose answer is still under way."""
    heir: IkeSa | None = None
    """The SA that replaced this one, for as long as this one lasts."""
    dying: int = 0
    """SAs this one replaced that are not gone yet."""
    extensions: frozenset[NotifyType] = NO_EXTENSIONS
    """What both ends announced that they know. Agreed on once: it holds for the SAs that replace this one as well."""
    ppk: bool = False
    """A post-quantum pre-shared key is in its keys (RFC 8784, RFC 9867), or in those of an SA that it replaced."""
    followups: Followups[Any] | None = None
    """What the peer's CREATE_CHILD_SA exchanges are to make once their additional key exchanges are done."""
    caller: bool = False
    """We began the first of the IKE SAs that replaced one another by rekeying: reauthentication is ours to begin,
    and with MOBIKE changing addresses (RFC 4555 §2.1)."""
    auth_lifetime: int = 0
    """Seconds within which the peer wants us to authenticate anew (RFC 4478), until the engine has seen to it."""
    reauth_at: float = 0.0
    """When we begin to authenticate anew, and when what was proven is worth nothing any more. Instants; 0: never."""
    reauth_by: float = 0.0
    redirect: str = ""
    """The gateway that the peer sends us to, an address or a name (RFC 5685)."""
    redirected_from: bytes = b""
    """Packed address of the gateway that sent us to this one."""
    crash_token: bytes = b""
    """What the peer would show, had it lost this SA (RFC 6290)."""
    ticket: KeptTicket | None = None
    """Initiator: what resumes this SA should it be lost (RFC 5723)."""
    issued: bytes = b""
    """Responder: the ticket we gave for it."""
    resumes: Session | None = None
    """What this SA resumes, if it came up by a ticket."""
    mobility: Mobility | None = None
    """What MOBIKE keeps; None unless both ends support it."""
    numbering: Numbering | None = None
    """What holds of message IDs where more than the usual was agreed on."""
    sealed: int = 0
    """Messages sealed so far: the IV of counter-mode ciphers, never the same twice."""

    @property
    def uses_ppk(self) -> bool:
        """Both ends agreed to mix in a post-quantum pre-shared key with IKE_AUTH (RFC 8784 §3)."""
        return self.handshake is not None and self.handshake.ppk_in is ExchangeType.IKE_AUTH

    def inherit(self, old: IkeSa) -> None:
        """Take over the children and inner addresses of the SA that this one replaces (RFC 7296 §2.18)."""
        self.take_children(old)
        self.take_inner(old)
        old.successor = old.heir = self
        self.dying += 1
        if old.mobility is not None:
            # What was agreed there meanwhile holds here; where the message came from that is handled just now, too.
            heard = self.mobility.heard if self.mobility is not None else None
            self.path, self.nat, self.mobility = old.path, old.nat, old.mobility.handed_on()
            self.mobility.heard = heard
        elif old.path.tcp:
            self.path = old.path  # another connection may have been opened meanwhile
        old.rival = None
        self.predecessor = None

    @property
    def latest(self) -> IkeSa:
        """Of those that replaced one another by rekeying the last; itself if it was not replaced."""
        sa = self
        while sa.heir is not None:
            sa = sa.heir
        return sa

    @property
    def way(self) -> Path:
        held = None if self.mobility is None else self.mobility.held
        return self.path if held is None else held.path

    @property
    def encap(self) -> bool:
        held = None if self.mobility is None else self.mobility.held
        return self.nat.found or self.path.tcp if held is None else held.encap

    def iv(self, octets: int, counter: bool) -> bytes:
        """A fresh IV: a counter where the cipher only forbids repetition (RFC 5282 §3.1), else random."""
        if not counter:
            return self.random(octets)
        self.sealed += 1
        return self.sealed.to_bytes(octets, "big")
