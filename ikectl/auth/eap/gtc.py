"""EAP-GTC: the password, or what a token shows, as it is (RFC 3748 §5.6).

Nothing hides it but the IKE SA or the tunnel around: good only once the
server is proven.
"""

from __future__ import annotations

from ikectl.auth.eap.base import PeerMethod, Proven, ServerMethod, name_of, shown
from ikectl.config.model import XauthBackend
from ikectl.errors import AuthenticationFailed, CredentialError
from ikectl.iana.eap import EapType
from ikectl.sa.asks import BeginLogin, CheckPassword, Prompt, UserSecret
from ikectl.sa.logins import Accepted, Challenge, LoginAnswer, PromptKind, Rejected
from ikectl.values.secret import Secret
from ikectl.wire.eap import EapMessage

MAX_TEXT = 512
"""Octets of a password or answer: what PAM takes."""
PROMPT = "Password: "


class GtcPeer(PeerMethod):
    """Says the password once; a further question wants something else."""

    type = EapType.GTC

    async def take(self, request: EapMessage) -> bytes:
        user = name_of(self.context.user)
        if not self.done:
            said = await UserSecret(user)
        else:
            try:
                said = await Prompt(user, shown(request.data), PromptKind.ANSWER)
            except CredentialError as error:
                raise AuthenticationFailed(str(error)) from error
        self.done = True
        return bytes(said)


class GtcServer(ServerMethod):
    """Asks what the backend wants to know."""

    type = EapType.GTC

    async def begin(self, identifier: int) -> bytes:
        backend = XauthBackend.LOCAL
        step = self._next(await BeginLogin(backend, self.context.address))
        assert isinstance(step, bytes)  # secrets want a password first
        return step

    async def take(self, response: EapMessage, identifier: int) -> bytes | Proven:
        if not 0 < len(response.data) <= MAX_TEXT:
            raise AuthenticationFailed(f"a password of {len(response.data)} octets; 1 to {MAX_TEXT} are right")
        user, password = name_of(self.context.claimed), Secret(response.data)
        kind, state = self.challenge.kind, self.challenge.state
        return self._next(await CheckPassword(XauthBackend.LOCAL, user, password, self.context.address, kind, state))

    def _next(self, answer: LoginAnswer) -> bytes | Proven:
        match answer:
            case Accepted():
                return Proven(self.context.claimed)
            case Rejected(why):
                raise AuthenticationFailed(why)
            case Challenge(message=message):
                self.challenge = answer
                return (message or PROMPT).encode()
