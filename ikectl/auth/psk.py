"""Pre-shared keys (RFC 7296 §2.15)."""

from __future__ import annotations

from collections.abc import Sequence
from hmac import compare_digest

from ikectl.auth.base import AuthContext, Proof
from ikectl.config.model import Local, Remote
from ikectl.crypto.prf import Prf
from ikectl.errors import AuthenticationFailed, CredentialError
from ikectl.iana.v2 import AuthMethod
from ikectl.sa.asks import SharedSecret
from ikectl.values.secret import Secret
from ikectl.wire.v2.identity import AUTH, CERT

_MIC = AuthMethod.SHARED_KEY_MIC

KEY_PAD = b"Key Pad for IKEv2"
"""17 ASCII octets, no terminating zero (RFC 7296 §2.15)."""


def psk_auth(prf: Prf, secret: bytes, octets: bytes) -> bytes:
    """prf(prf(secret, "Key Pad for IKEv2"), octets), whatever the secret is: a key of EAP, SK_pi and SK_pr, too."""
    return prf.compute(padded(prf, secret), octets)


def padded(prf: Prf, secret: bytes) -> Secret:
    """prf(secret, "Key Pad for IKEv2"), the key of both ends' AUTH."""
    return Secret(prf.compute(secret, KEY_PAD))


class Psk:
    """AUTH method 2, Shared Key Message Integrity Code."""

    async def prove(self, local: Local, context: AuthContext) -> Proof:
        data = context.prf.compute(context.shared_key or await _shared_key(context), context.octets_local)
        return Proof(AUTH(_MIC, data), [], "pre-shared key")

    async def verify(self, remote: Remote, context: AuthContext, auth: AUTH, certs: Sequence[CERT]) -> str:
        if auth.method != _MIC:
            raise AuthenticationFailed(f"a pre-shared key is configured, but the peer used {auth.method}")
        expected = context.prf.compute(context.shared_key or await _shared_key(context), context.octets_remote)
        if not compare_digest(expected, auth.data):
            raise AuthenticationFailed(
                f"the pre-shared keys of {context.local_id} and {context.remote_id} differ (MAC mismatch): compare the "
                "secrets of both ends that have these ids, and mind blanks and quotes"
            )
        return "pre-shared key"


async def _shared_key(context: AuthContext) -> Secret:
    """Looks the secret up, and keeps what both directions make of it in `context`."""
    path = context.path
    try:
        secret = await SharedSecret(context.local_id, context.remote_id, path.local.address, path.remote.address)
    except CredentialError as error:
        raise AuthenticationFailed(str(error)) from error
    context.shared_key = padded(context.prf, secret)
    return context.shared_key
