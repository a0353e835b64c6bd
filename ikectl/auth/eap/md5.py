"""EAP-MD5: CHAP in EAP (RFC 3748 §5.4, RFC 1994 §4.1). It makes no key and proves no server."""

from __future__ import annotations

from ikectl.auth.eap.base import PeerMethod, Proven, ServerMethod, name_of
from ikectl.auth.xauth import chap
from ikectl.config.model import XauthBackend
from ikectl.errors import AuthenticationFailed
from ikectl.iana.eap import EapType
from ikectl.sa.asks import CheckPassword, UserSecret
from ikectl.sa.logins import Accepted, PromptKind, Rejected
from ikectl.values.secret import Secret
from ikectl.wire.eap import EapMessage

CHALLENGE_OCTETS = 16
HASH_OCTETS = 16


class Md5Peer(PeerMethod):
    """Hides the password by the challenge."""

    type = EapType.MD5

    async def take(self, request: EapMessage) -> bytes:
        challenge, _ = _split(request.data)
        user = name_of(self.context.user)
        hashed = chap(request.identifier, await UserSecret(user), challenge)[1:]
        self.done = True
        return bytes((len(hashed),)) + hashed + user.encode()


class Md5Server(ServerMethod):
    """Has the hash compared."""

    type = EapType.MD5

    async def begin(self, identifier: int) -> bytes:
        self.challenge = self.context.random(CHALLENGE_OCTETS)
        return bytes((CHALLENGE_OCTETS,)) + self.challenge

    async def take(self, response: EapMessage, identifier: int) -> bytes | Proven:
        hashed, _ = _split(response.data)
        if len(hashed) != HASH_OCTETS:
            raise AuthenticationFailed(f"an EAP-MD5 response of {len(hashed)} octets")
        said = self.context.claimed
        proof = Secret(bytes((response.identifier,)) + hashed)
        answer = await CheckPassword(
            XauthBackend.CHAP, name_of(said), proof, self.context.address, PromptKind.CHAP, challenge=self.challenge
        )
        match answer:
            case Accepted():
                return Proven(said)
            case Rejected(why):
                raise AuthenticationFailed(why)
        raise AuthenticationFailed("EAP-MD5 has no further question, and the backend wants one")


def _split(data: bytes) -> tuple[bytes, bytes]:
    """(the value, the name after it). Raises AuthenticationFailed."""
    size = data[0] if data else 0
    if not size or len(data) <= size:
        raise AuthenticationFailed("an EAP-MD5 packet without a value, or with less than it says")
    return data[1 : 1 + size], data[1 + size :]
