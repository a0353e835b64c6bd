"""Phase 1 with a pre-shared key (RFC 2409 §5.4)."""

from __future__ import annotations

from hmac import compare_digest

from ikectl.auth.v1.base import Authentication
from ikectl.config.model import Local, Remote
from ikectl.crypto.kdf_v1 import skeyid_psk
from ikectl.errors import AuthenticationFailed
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.values.secret import Secret
from ikectl.wire.v1.keying import Hash
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.payload import Payload


class Psk(Authentication):
    """The key is a fact before keys are made: in main mode it is found by address (RFC 2409 §5.4)."""

    async def skeyid(self, sa: IsakmpSa) -> Secret:
        shake, suite = sa.handshake, sa.suite
        assert shake is not None and suite is not None and shake.psk
        return skeyid_psk(suite.prf, shake.psk, shake.nonce_i, shake.nonce_r)

    async def prove(self, sa: IsakmpSa, local: Local, hash: bytes) -> list[Payload]:
        return [Hash(hash)]

    async def verify(self, sa: IsakmpSa, message: Message, remote: Remote, hash: bytes) -> str:
        if not compare_digest(message.one(Hash).data, hash):
            raise AuthenticationFailed(
                f"the pre-shared keys of {sa.local_id} and {sa.remote_id} differ (HASH mismatch)"
            )
        return "pre-shared key"
