"""What the authentication methods of phase 1 mean, and which of them a connection stands for.

IKEv1 negotiates the method as one number: how both ends prove themselves in
phase 1, and which end's user logs in behind it (RFC 2409 App. A, RFC 4754 §5,
draft-beaulieu-ike-xauth-02 §7.2, draft-ietf-ipsec-isakmp-hybrid-auth-05 §3.2.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from ikectl.config.model import Auth, AuthKind, Connection
from ikectl.errors import NoProposalChosen
from ikectl.iana.v1 import AuthMethod


class Phase1Kind(Enum):
    """How phase 1 is authenticated."""

    PSK = "pre-shared key"
    SIGNATURE = "signatures"
    ENCRYPTION = "public-key encryption"
    REVISED = "revised public-key encryption"


class End(Enum):
    """Whose user logs in by XAUTH."""

    NONE = "nobody"
    INITIATOR = "initiator"
    RESPONDER = "responder"


class Row(NamedTuple):
    """One method."""

    phase1: Phase1Kind
    xauth_of: End = End.NONE
    hybrid: bool = False


_PSK, _SIG, _ENC, _REV = Phase1Kind.PSK, Phase1Kind.SIGNATURE, Phase1Kind.ENCRYPTION, Phase1Kind.REVISED

METHODS: Mapping[AuthMethod, Row] = MappingProxyType(
    {
        AuthMethod.PRE_SHARED_KEY:            Row(_PSK),
        AuthMethod.RSA_SIGNATURE:             Row(_SIG),
        AuthMethod.ECDSA_256:                 Row(_SIG),
        AuthMethod.ECDSA_384:                 Row(_SIG),
        AuthMethod.ECDSA_521:                 Row(_SIG),
        AuthMethod.RSA_ENCRYPTION:            Row(_ENC),
        AuthMethod.RSA_ENCRYPTION_REVISED:    Row(_REV),
        AuthMethod.HYBRID_INIT_RSA:           Row(_SIG, End.INITIATOR, hybrid=True),
        AuthMethod.HYBRID_RESP_RSA:           Row(_SIG, End.RESPONDER, hybrid=True),
        AuthMethod.XAUTH_INIT_PRE_SHARED:     Row(_PSK, End.INITIATOR),
        AuthMethod.XAUTH_RESP_PRE_SHARED:     Row(_PSK, End.RESPONDER),
        AuthMethod.XAUTH_INIT_RSA:            Row(_SIG, End.INITIATOR),
        AuthMethod.XAUTH_RESP_RSA:            Row(_SIG, End.RESPONDER),
        AuthMethod.XAUTH_INIT_RSA_ENCRYPTION: Row(_ENC, End.INITIATOR),
        AuthMethod.XAUTH_RESP_RSA_ENCRYPTION: Row(_ENC, End.RESPONDER),
        AuthMethod.XAUTH_INIT_RSA_REVISED:    Row(_REV, End.INITIATOR),
        AuthMethod.XAUTH_RESP_RSA_REVISED:    Row(_REV, End.RESPONDER),
    }
)  # fmt: skip
"""All that is spoken here, in the order in which they are offered. Those with DSS (2, 64223, 64224, 65003, 65004)
are not: no certificate with such a key is taken. With ECDSA there is no number for XAUTH."""

_KINDS = {
    AuthKind.PSK: _PSK,
    AuthKind.PUBKEY: _SIG,
    AuthKind.RSA_ENCRYPTION: _ENC,
    AuthKind.RSA_ENCRYPTION_REVISED: _REV,
}
_ECDSA_BITS = {AuthMethod.ECDSA_256: 256, AuthMethod.ECDSA_384: 384, AuthMethod.ECDSA_521: 521}


class Meaning(NamedTuple):
    """A method as one end sees it."""

    phase1: Phase1Kind
    xauth_of: End
    hybrid: bool
    """The end whose user logs in proves nothing in phase 1: it sends a HASH where a SIG would be (hybrid §4.2)."""
    we_log_in: bool
    peer_logs_in: bool

    @property
    def we_prove(self) -> bool:
        """Whether we sign, or know the secret, in phase 1."""
        return not (self.hybrid and self.we_log_in)

    @property
    def peer_proves(self) -> bool:
        return not (self.hybrid and self.peer_logs_in)


def meaning(method: AuthMethod, initiator: bool) -> Meaning:
    """What `method` means to the initiator of phase 1, or to its responder.

    Raises NoProposalChosen for one that is not spoken here.
    """
    row = METHODS.get(method)
    if row is None:
        raise NoProposalChosen(f"the authentication method {method} is not spoken here")
    ours, theirs = (End.INITIATOR, End.RESPONDER) if initiator else (End.RESPONDER, End.INITIATOR)
    return Meaning(row.phase1, row.xauth_of, row.hybrid, row.xauth_of is ours, row.xauth_of is theirs)


def offered(connection: Connection, initiator: bool) -> tuple[AuthMethod, ...]:
    """The methods that do what `connection` demands, in order of preference, as initiator or as responder.

    Empty where no method does: both ends of IKEv1 prove themselves alike.
    """
    ours, theirs = (End.INITIATOR, End.RESPONDER) if initiator else (End.RESPONDER, End.INITIATOR)
    logs_in, asks = connection.xauth_client is not None, connection.xauth_server is not None
    wanted = _phase1(connection)
    if wanted is None or (logs_in and asks):
        return ()
    phase1, hybrid = wanted
    xauth_of = ours if logs_in else theirs if asks else End.NONE
    row = Row(phase1, xauth_of, hybrid)
    return tuple(method for method, known in METHODS.items() if known == row and _allowed(connection, method))


def _phase1(connection: Connection) -> tuple[Phase1Kind, bool] | None:
    """(how phase 1 is authenticated, whether by one end alone); None for what IKEv1 cannot do."""
    kinds = connection.local[0].auth.kind, connection.remote[0].auth.kind
    if AuthKind.XAUTH in kinds:
        return (_SIG, True) if AuthKind.PUBKEY in kinds else None
    local, remote = (_KINDS.get(kind) for kind in kinds)
    return (local, False) if local is not None and local is remote else None


def _allowed(connection: Connection, method: AuthMethod) -> bool:
    """Whether the constraints on keys of both ends leave `method` possible."""
    ends = connection.local[0].auth, connection.remote[0].auth
    return all(auth.kind is not AuthKind.PUBKEY or _key_fits(auth, method) for auth in ends)


def _key_fits(auth: Auth, method: AuthMethod) -> bool:
    bits = _ECDSA_BITS.get(method)
    if bits is None:
        return not auth.ike or any(rule.key in ("", "rsa") for rule in auth.ike)
    return not auth.ike or any(rule.key in ("", "ecdsa") and bits >= rule.min_bits for rule in auth.ike)
