"""What EAP methods are given, and what they give back; the names of users as EAP says them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from ikectl.config.model import Local, Remote
from ikectl.errors import AuthenticationFailed
from ikectl.iana.eap import EapType
from ikectl.iana.v2 import IdType
from ikectl.values.dn import read_name
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.values.record import record
from ikectl.values.secret import Secret
from ikectl.wire.eap import EapMessage

MAX_ROUNDS = 60
"""Requests of one conversation, with all its parts. TLS with long chains in small parts takes forty."""
MAX_IDENTITY = 1020
"""Octets of an identity: what the smallest packet that every link carries has room for (RFC 3748 §3.1)."""
MAX_NAME = 256
"""Octets of a name inside a method (RFC 2759 §4: 0 to 256)."""

MAX_SHOWN = 256
"""Octets of a message to the user that we repeat."""
MAX_TYPES_SHOWN = 8
"""Methods of a peer's list that we repeat: more than that no client has, and a list may be as long as a packet."""

Random = Callable[[int], bytes]
"""Octet count -> octets nobody can predict."""

_TEXT_KINDS = (IdType.FQDN, IdType.RFC822_ADDR, IdType.KEY_ID)


def name_of(identity: Identity) -> str:
    """An identity as EAP and its methods say it: plain text, a DN as people write it (RFC 4282 asks for UTF-8)."""
    if identity.kind in _TEXT_KINDS:
        return identity.data.decode(errors="replace")
    return str(identity)


def identity_of(said: bytes) -> Identity:
    """Who a peer says it is in an identity response. Nothing it may say stands for anybody.

    strongSwan sends the DER of a distinguished name, others its text.
    """
    try:
        if said.startswith(b"\x30"):
            read_name(said)
            return Identity.of_dn(said)
        text = said.decode()
        if text.startswith("@"):  # an NAI that tells the realm alone (RFC 7542 §2.4)
            return Identity(IdType.RFC822_ADDR, said)
        found = Identity(IdType.KEY_ID, said) if ":" in text or text.startswith("{") else Identity.parse(text)
    except ValueError:
        return Identity(IdType.KEY_ID, said)
    return Identity(IdType.KEY_ID, said) if found.is_any else found


def is_anonymous(identity: Identity) -> bool:
    """Whether it tells at most the realm (RFC 7542 §2.4, RFC 9190 §2.1.7)."""
    user = name_of(identity).partition("@")[0]
    return user in ("", "anonymous")


@record
class PeerContext:
    """What our half of a method is given."""

    local: Local
    user: Identity
    """Who we are."""
    server: IdentityPattern | None
    """Whom the server's certificate must name; None: nobody has said."""
    random: Random
    methods: Mapping[EapType, type[PeerMethod]]
    """Those there are, for what runs inside a tunnel."""
    demands: Remote
    """What else is wanted of the server's certificate: all of the remote section that EAP is to prove, if it does."""

    @property
    def trusted(self) -> Remote:
        """By what a certificate of the server is judged. Raises AuthenticationFailed."""
        if self.server is None:
            raise AuthenticationFailed("nobody said whom the EAP server's certificate must name; set aaa_id")
        return replace(self.demands, id=self.server)


@record
class ServerContext:
    """What the half of a method that judges a peer is given."""

    remote: Remote
    local: Local
    """By which the methods of TLS prove ourselves."""
    claimed: Identity
    """Whom the peer says it is."""
    address: bytes
    """Its packed address."""
    random: Random
    methods: Mapping[EapType, type[ServerMethod]]


@record
class Proven:
    """The peer is `user`. `msk` None: the method makes no key (RFC 7296 §2.16)."""

    user: Identity
    msk: Secret | None = None


class PeerMethod(ABC):
    """One run of a method, the side that proves itself. Made when the server asks for the method first."""

    type: ClassVar[EapType]
    mutual: ClassVar[bool] = False
    """Whether the server is proven by it too, beyond what guessing at a password may find (RFC 5998 §4)."""

    def __init__(self, context: PeerContext) -> None:
        self.context = context
        self.done = False
        """Whether a success may be believed: we have said all that proves us, and heard all that we wanted."""
        self.msk: Secret | None = None
        self.why = ""
        """What the server said about a failure."""

    @abstractmethod
    async def take(self, request: EapMessage) -> bytes:
        """The data of our response. Raises AuthenticationFailed, CredentialError when something of ours is missing."""


class ServerMethod(ABC):
    """One run of a method, the side that judges."""

    type: ClassVar[EapType]
    mutual: ClassVar[bool] = False

    def __init__(self, context: ServerContext) -> None:
        self.context = context

    @abstractmethod
    async def begin(self, identifier: int) -> bytes:
        """The data of the first request, which has this identifier."""

    @abstractmethod
    async def take(self, response: EapMessage, identifier: int) -> bytes | Proven:
        """The data of the next request, which has this identifier, or the end. Raises AuthenticationFailed."""


def listed(types: Sequence[EapType]) -> str:
    """`EAP-TLS, EAP-MD5`."""
    return ", ".join(label(kind) for kind in types)


def shown(said: bytes) -> str:
    """Text of the other end for a log line, which it cannot forge: cut, and without what does not print."""
    text = said[:MAX_SHOWN].decode(errors="replace")
    return "".join(c if c.isprintable() else " " for c in text).strip()


def label(kind: EapType | None) -> str:
    """`EAP-TLS`; `EAP type 99` for one without a name."""
    if kind is None:
        return "EAP"
    return f"EAP-{kind}" if kind.assigned else f"EAP type {int(kind)}"


def judged(said: Identity, user: str) -> Identity:
    """The identity of a user whose password was right, where it is the one it said it is.

    Raises AuthenticationFailed.
    """
    if name_of(said) == user:
        return said
    if is_anonymous(said):
        return identity_of(user.encode())
    raise AuthenticationFailed(f"{name_of(said)!r} logs in as user {user!r}; the two must be the same name")
