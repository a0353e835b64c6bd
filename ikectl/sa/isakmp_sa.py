"""IsakmpSa: the facts of one ISAKMP SA (IKEv1) and its legal states. It has no reference upward.

The SPIs of the base class are what IKEv1 calls cookies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar

from ikectl.config.model import Connection
from ikectl.crypto.kdf_v1 import IsakmpKeys
from ikectl.crypto.suite_v1 import IsakmpSuite
from ikectl.iana.v1 import AuthMethod, VendorId
from ikectl.sa.association import Association, IkeState
from ikectl.values.path import Path
from ikectl.values.secret import NO_SECRET, Secret

S = IkeState
# fmt: off
LEGAL: dict[IkeState, frozenset[IkeState]] = {
    S.CREATED:        frozenset({S.CONNECTING, S.CLOSED}),
    S.CONNECTING:     frozenset({S.AUTHENTICATING, S.ESTABLISHED, S.DELETING, S.CLOSED}),
    S.AUTHENTICATING: frozenset({S.ESTABLISHED, S.DELETING, S.CLOSED}),
    S.ESTABLISHED:    frozenset({S.REKEYED, S.DELETING, S.CLOSED}),
    S.REKEYED:        frozenset({S.ESTABLISHED, S.DELETING, S.CLOSED}),
    S.DELETING:       frozenset({S.CLOSED}),
    S.CLOSED:         frozenset(),
}
# fmt: on
"""REKEYED: a newer ISAKMP SA between the same ends took over its children. There is no REKEYING, for
phase 1 is not rekeyed but run again (RFC 2409 §4). It is ESTABLISHED again if the peer deletes the newer one."""


class Awaited(Enum):
    """What must come before we begin quick modes."""

    XAUTH = "XAUTH"
    CONFIG = "mode config"


@dataclass(slots=True, eq=False)
class Phase1:
    """What only phase 1 needs; forgotten when it is done."""

    nonce_i: bytes = field(default=b"", repr=False)
    """Both are secret with public key encryption (RFC 2409 §5.2)."""
    nonce_r: bytes = field(default=b"", repr=False)
    public_i: bytes = b""
    """g^xi, as in the KE payload."""
    public_r: bytes = b""
    sa_body: bytes = b""
    """The initiator's whole SA payload but its generic header (SAi_b, RFC 2409 §5)."""
    shared: Secret = NO_SECRET
    """g^xy."""
    psk: Secret = NO_SECRET
    """The pre-shared key in use, so that the identity that follows is held to it."""
    others: tuple[tuple[Secret, IsakmpKeys], ...] = ()
    """Further pre-shared keys that may be the peer's, and what would come of them: message 5 tells."""
    asked: bool = False
    """The peer sent a CERTREQ."""
    authorities: tuple[bytes, ...] = ()
    """DER names of the authorities the peer's CERTREQs want; empty: any."""
    arrived: Path | None = None
    """Between which ends the message under judgement came: NAT-D is about these, and ports may have changed."""
    candidates: tuple[Connection, ...] = ()
    """Responder: connections that fit addresses and proposals, best first."""


@dataclass(slots=True, eq=False, repr=False)
class IsakmpSa(Association):
    """One ISAKMP SA (RFC 2408 §2.1)."""

    VERSION: ClassVar[int] = 1
    LEGAL: ClassVar[Mapping[IkeState, frozenset[IkeState]]] = LEGAL

    handshake: Phase1 | None = None
    suite: IsakmpSuite | None = None
    keys: IsakmpKeys | None = None
    method: AuthMethod = AuthMethod.PRE_SHARED_KEY
    last_block: bytes = b""
    """The last ciphertext block of phase 1, from which the IVs of all later exchanges come (RFC 2409 App. B)."""
    peer: frozenset[VendorId] = frozenset()
    """What the peer's vendor ids announced."""
    natt: VendorId | None = None
    """The form of NAT traversal that both ends know; None: none."""
    heir: IsakmpSa | None = None
    """The newer ISAKMP SA that took over the children, for as long as this one lasts."""
    forerunners: tuple[IsakmpSa, ...] = ()
    """The SAs whose heir this one is, for as long as they last, the latest last."""
    confirmed: bool = False
    """The peer has shown that phase 1 is done at its end, too: whoever said the last message learns it later."""
    life_time: int = 0
    """Seconds the peer wants the SA to live at most; 0: it did not say."""
    has_proof: bool = False
    """The peer proved itself in phase 1; in hybrid mode its user alone does, behind it."""
    life_bytes: int = 0
    """Octets the peer wants the SA to protect at most; 0: it did not say."""
    octets: int = 0
    """Of messages protected so far, both ways."""
    awaited: frozenset[Awaited] = frozenset()
    login: Any = field(default=None, repr=False)
    """Our own login, while it goes on: it may go over several message IDs."""
    dpd_sent: int = 0
    """Sequence number of our last R-U-THERE, 0 before the first."""
    dpd_heard: int = -1
    """That of the peer's last one."""
    message_ids: dict[int, None] = field(default_factory=dict)
    """Message IDs used so far by either end, oldest first: none may serve twice (RFC 2409 §5.5)."""

    @property
    def cookie_i(self) -> bytes:
        return self.spi_i

    @property
    def cookie_r(self) -> bytes:
        return self.spi_r

    @property
    def home(self) -> IsakmpSa:
        """Where children belong: this SA or the newest that took over; what is under way here makes its there."""
        home = self
        while home.heir is not None:
            home = home.heir
        return home

    @property
    def dpd(self) -> bool:
        """Whether the peer answers R-U-THERE (RFC 3706 §5.1)."""
        return VendorId.DPD in self.peer

    @property
    def may_have_children(self) -> bool:
        """Whether we may begin quick modes now."""
        return self.state is IkeState.ESTABLISHED and not self.awaited
