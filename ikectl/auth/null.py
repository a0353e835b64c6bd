"""NULL authentication: an end that proves nothing but that it made the key exchange itself (RFC 7619)."""

from __future__ import annotations

from collections.abc import Sequence
from hmac import compare_digest

from ikectl.auth.base import AuthContext, Proof
from ikectl.auth.psk import psk_auth
from ikectl.config.model import Local, Remote
from ikectl.errors import AuthenticationFailed
from ikectl.iana.v2 import AuthMethod, IdType
from ikectl.wire.v2.identity import AUTH, CERT


class Null:
    """AUTH method 13: the MAC of a pre-shared key, with SK_pi or SK_pr in its place (§2.1)."""

    async def prove(self, local: Local, context: AuthContext) -> Proof:
        data = psk_auth(context.prf, context.sk_local, context.octets_local)
        return Proof(AUTH(AuthMethod.NULL, data), [], "no authentication")

    async def verify(self, remote: Remote, context: AuthContext, auth: AUTH, certs: Sequence[CERT]) -> str:
        if auth.method != AuthMethod.NULL:
            raise AuthenticationFailed(f"auth = null is configured, but the peer used {auth.method}")
        if context.remote_id.kind is not IdType.NULL:
            # An identity nobody proved must not decide anything (§2.2); so none is taken.
            raise AuthenticationFailed(f"the peer calls itself {context.remote_id} and proves nothing")
        if not compare_digest(psk_auth(context.prf, context.sk_remote, context.octets_remote), auth.data):
            raise AuthenticationFailed("the AUTH payload is not made with the keys of this IKE SA")
        return "no authentication"
