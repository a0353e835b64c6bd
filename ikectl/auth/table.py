"""The authentication methods by their configured name, and the two questions put to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ikectl.auth.base import AuthContext, Method, Proof
from ikectl.auth.null import Null
from ikectl.auth.psk import Psk
from ikectl.auth.signature import Signature
from ikectl.config.model import AuthKind, Local, Remote
from ikectl.errors import AuthenticationFailed
from ikectl.wire.v2.identity import AUTH, CERT

METHODS: Mapping[AuthKind, Method] = MappingProxyType(
    {
        AuthKind.PSK: Psk(),
        AuthKind.PUBKEY: Signature(),
        AuthKind.NULL: Null(),
    }
)


async def prove(local: Local, context: AuthContext) -> Proof:
    """Our AUTH and CERT payloads, as `local` wants them. Raises AuthenticationFailed."""
    return await METHODS[local.auth.kind].prove(local, context)


async def verify(remote: Remote, context: AuthContext, auth: AUTH, certs: Sequence[CERT]) -> str:
    """Judge the peer's AUTH by what `remote` demands; returns how it proved itself, for the log.

    Raises AuthenticationFailed, with a reason that is for the log alone.
    """
    if context.remote_id.is_any:
        # Type 0 is reserved (RFC 7296 §3.5); inside it means "anybody" and must not come from outside.
        raise AuthenticationFailed("the peer gave an identity of the reserved type 0")
    return await METHODS[remote.auth.kind].verify(remote, context, auth, certs)


__all__ = ["METHODS", "AuthContext", "Method", "Proof", "prove", "verify"]
