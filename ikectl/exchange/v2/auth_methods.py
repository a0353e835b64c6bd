"""By which methods each end takes the other's proof, told before the proof is made (RFC 9593).

It is told where the configuration narrows the signatures it takes (`auth =
ike:...`, key types and hashes), for a peer with several keys to choose by; else
SIGNATURE_HASH_ALGORITHMS tells enough in fewer octets. A responder tells it
with IKE_SA_INIT, an initiator with IKE_AUTH, if the responder did (§3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from ikectl.auth.base import ANNOUNCED_HASHES
from ikectl.config.model import Auth, AuthKind, Connection
from ikectl.crypto.signature import OLD_SCHEMES, SCHEMES
from ikectl.iana.v2 import AuthMethod, NotifyType
from ikectl.pki.constraints import scheme_fits
from ikectl.wire.v2.auth_methods import ProofMethod, auth_methods, auth_methods_notify
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify

LARGEST_KEY = 1 << 16
"""Bits of a key that no constraint finds too short: what keys the peer has is not known yet."""


def announced(connections: Sequence[Connection]) -> list[Notify]:
    """What tells the peer by which methods it may prove itself for one of these connections; nothing, often."""
    if not [connection for connection in connections if connection.narrows_methods]:
        return []
    return [_notify(tuple(dict.fromkeys(remote.auth for connection in connections for remote in connection.remote)))]


def accepted(message: Message) -> frozenset[ProofMethod] | None:
    """What the peer takes; None if it does not say. Raises WireError."""
    notify = message.notify(NotifyType.SUPPORTED_AUTH_METHODS)
    return None if notify is None or not notify.data else auth_methods(notify)


@lru_cache(64)
def _notify(wanted: tuple[Auth, ...]) -> Notify:
    return auth_methods_notify(dict.fromkeys(method for auth in wanted for method in _methods(auth)))


def _methods(auth: Auth) -> list[ProofMethod]:
    """What a configured proof stands for on the wire; EAP is no method of AUTH (RFC 9593 §3.2)."""
    if auth.kind is AuthKind.PUBKEY:
        return [
            (scheme.method, scheme.identifier)
            for scheme in (*SCHEMES, *OLD_SCHEMES.values())
            if (scheme.hash in ANNOUNCED_HASHES or scheme.method is AuthMethod.RSA_SIGNATURE)
            and scheme_fits(scheme, LARGEST_KEY, auth.ike)
        ]
    plain = {AuthKind.PSK: AuthMethod.SHARED_KEY_MIC, AuthKind.NULL: AuthMethod.NULL}.get(auth.kind)
    return [] if plain is None else [(plain, b"")]
