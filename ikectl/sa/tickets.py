"""Session tickets: what of an IKE SA outlives it, so that it can be resumed (RFC 5723 §5, appendix A).

Theory. A client that lost its IKE SA shows the gateway a ticket, and both make
new keys out of SK_d of the lost one: no key exchange, no proof, no password.
The gateway keeps nothing meanwhile: the ticket has all it needs to know,
sealed by a key that it alone has (a ticket by value).
"""

from __future__ import annotations

from struct import Struct, error

from ikectl.crypto.suite import IkeSuite
from ikectl.errors import WireError
from ikectl.iana.v2 import Protocol, id_type
from ikectl.values.identity import Identity
from ikectl.values.record import record
from ikectl.values.secret import Secret
from ikectl.wire.octets import U16
from ikectl.wire.v2.sa import SA, Proposal

MAX_TICKET_OCTETS = 2048
"""A longer ticket is neither made nor kept: it must fit into an IKE_SESSION_RESUME that no path cuts by much."""


@record
class Session:
    """What is left of an IKE SA; `local` and `remote` are as its holder sees them."""

    local_id: Identity
    remote_id: Identity
    spi_i: bytes
    spi_r: bytes
    suite: IkeSuite
    sk_d: Secret
    user: str = ""
    """Who EAP proved the client to be."""
    ppk: bool = False
    """A post-quantum key is in SK_d."""
    reauth_at: float = 0.0
    """When we begin to authenticate anew, and when what was proven is worth nothing any more. Instants; 0: never."""
    reauth_by: float = 0.0
    proven_for: int = 0
    """Seconds left until `reauth_by`, when the ticket was opened."""


@record
class KeptTicket:
    """A client's: the gateway's ticket, and what it is for."""

    octets: bytes
    lifetime: int
    """Seconds, from when it came."""
    session: Session
    until: float = 0.0
    """When it is worth nothing any more; set by the engine."""
    gateway: bytes = b""
    """Where the SA was lost, a packed address: other gateways of the connection could not open the ticket."""
    own_vips: tuple[bytes, ...] = ()
    """The inner addresses that we had when the SA was lost, and ask for again."""


@record
class Opened:
    """A gateway's: what a ticket says."""

    session: Session
    connection: str
    demands: bytes
    """Digest of the connection when it was given: whether it still is the same."""
    until: float


@record
class Issued:
    """A new ticket, and for how many seconds it is good."""

    octets: bytes
    lifetime: int


_FIXED = Struct("!8s8s?dd")  # SPIs, PPK, proven by, good until


def write(state: Opened) -> bytes:
    """The content of a ticket; an instant is of the clock of this process, which alone has the key."""
    session = state.session
    offer = SA((Proposal(1, Protocol.IKE, b"", session.suite.transforms),))
    fields = (
        bytes((session.local_id.kind,)) + session.local_id.data,
        bytes((session.remote_id.kind,)) + session.remote_id.data,
        offer.body(),
        session.sk_d,
        session.user.encode(),
        state.connection.encode(),
        state.demands,
    )
    fixed = _FIXED.pack(session.spi_i, session.spi_r, session.ppk, session.reauth_by, state.until)
    return fixed + b"".join(U16.pack(len(field)) + field for field in fields)


def read(octets: bytes) -> Opened:
    """What `write` wrote. Raises WireError for anything else."""
    try:
        spi_i, spi_r, ppk, reauth_by, until = _FIXED.unpack_from(octets)
        local, remote, offer, sk_d, user, connection, demands = _fields(octets[_FIXED.size :])
        session = Session(
            Identity(id_type(local[0]), local[1:]),
            Identity(id_type(remote[0]), remote[1:]),
            spi_i,
            spi_r,
            IkeSuite.of(SA.read(offer).proposals[0]),
            Secret(sk_d),
            user.decode(),
            ppk,
            0.0,
            reauth_by,
        )
        return Opened(session, connection.decode(), demands, until)
    except (error, ValueError, IndexError) as failure:
        raise WireError(f"no content of a ticket: {failure}") from failure


def _fields(octets: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(octets):
        (length,) = U16.unpack_from(octets, at)
        at += U16.size + length
        if at > len(octets):
            raise ValueError("a field is cut")
        found.append(octets[at - length : at])
    return found
