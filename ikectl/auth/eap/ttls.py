"""EAP-TTLS (RFC 5281; with TLS 1.3 RFC 9427): the server proves itself by TLS, the user by a password inside.

Inside go EAP, PAP or MS-CHAPv2. A server takes what the client comes with,
unless `auth` names one.
"""

from __future__ import annotations

import re
from dataclasses import replace
from hmac import compare_digest
from struct import Struct

from ikectl.auth.eap.avps import (
    EAP_MESSAGE,
    MS_CHAP2_RESPONSE,
    MS_CHAP2_SUCCESS,
    MS_CHAP_CHALLENGE,
    MS_CHAP_ERROR,
    USER_NAME,
    USER_PASSWORD,
    Avp,
    read_avps,
    write_avps,
)
from ikectl.auth.eap.base import MAX_IDENTITY, MAX_NAME, PeerContext, Proven, ServerContext, identity_of, name_of
from ikectl.auth.eap.dialogue import PeerDialogue, ServerDialogue
from ikectl.auth.eap.tls import TlsPeer, TlsServer
from ikectl.config.model import Inner, XauthBackend
from ikectl.crypto.mschapv2 import (
    CHALLENGE_OCTETS,
    RESPONSE_OCTETS,
    authenticator_response,
    bare_user,
    nt_response,
)
from ikectl.errors import AuthenticationFailed, CannotProve
from ikectl.iana.eap import EapCode, EapType
from ikectl.sa.asks import CheckMschap, CheckPassword, ExportTls, UserHash, UserSecret
from ikectl.sa.logins import Accepted, Keyed, PromptKind, Rejected
from ikectl.values.identity import Identity
from ikectl.values.secret import Secret
from ikectl.wire.eap import EapMessage

INNER = (EapType.MSCHAPV2, EapType.MD5, EapType.GTC)
"""Methods of EAP inside, best first."""
MAX_PASSWORD = 512
"""Octets of a password with its padding."""
_LABEL = b"ttls keying material"
_CHALLENGE = b"ttls challenge"
_RESPONSE = Struct(f"!Bx{CHALLENGE_OCTETS}s8x{RESPONSE_OCTETS}s")
"""Ident, flags, the peer's challenge, reserved octets, NT response (RFC 2548 §2.3.2)."""
_PROOF = re.compile(rb"S=([0-9A-Fa-f]{40})")


class TtlsPeer(TlsPeer):
    """EAP-TTLS, the client."""

    type = EapType.TTLS
    label = _LABEL
    certified = False

    def __init__(self, context: PeerContext) -> None:
        super().__init__(context)
        self._spoken = False
        self._proof = b""
        self._dialogue = PeerDialogue(replace(context), INNER)

    async def inside(self, plain: Secret, identifier: int) -> bytes:
        if not self._spoken:
            self._spoken = True
            return await self._begin()
        found = read_avps(plain)
        if EAP_MESSAGE in found and self.context.local.auth.inner is Inner.ANY:
            response = await self._dialogue.take(found[EAP_MESSAGE])
            self.done = self._dialogue.finish()
            return write_avps([Avp(EAP_MESSAGE, response)]) if response else b""
        if MS_CHAP_ERROR in found:
            raise CannotProve("the EAP server refuses the password, or does not know the user")
        if MS_CHAP2_SUCCESS in found and self._proof:
            self._check(found[MS_CHAP2_SUCCESS])
        return b""

    async def _begin(self) -> bytes:
        """The client speaks first (§11.2)."""
        name = name_of(self.context.user).encode()
        match self.context.local.auth.inner:
            case Inner.PAP:
                password = await UserSecret(name.decode())
                self.done = True
                padded = bytes(password) + bytes(-len(password) % 16)  # hides its length (§11.2.5)
                return write_avps([Avp(USER_NAME, name), Avp(USER_PASSWORD, padded)])
            case Inner.MSCHAPV2:
                return await self._mschap(name)
        said = EapMessage(EapCode.RESPONSE, 0, EapType.IDENTITY, name[:MAX_IDENTITY])
        return write_avps([Avp(EAP_MESSAGE, said.write())])

    async def _mschap(self, name: bytes) -> bytes:
        """§11.2.4: the challenge comes of the tunnel, so that nobody can have chosen it."""
        assert self.session is not None
        made = await ExportTls(self.session, _CHALLENGE, None, CHALLENGE_OCTETS + 1)
        challenge, ident = made[:CHALLENGE_OCTETS], made[CHALLENGE_OCTETS]
        hashed, ours, user = await UserHash(name.decode()), self.context.random(CHALLENGE_OCTETS), bare_user(name)
        response = nt_response(challenge, ours, user, hashed)
        self._proof = authenticator_response(challenge, ours, user, hashed, response)
        return write_avps(
            [
                Avp(USER_NAME, name[:MAX_NAME]),
                Avp(MS_CHAP_CHALLENGE, challenge),
                Avp(MS_CHAP2_RESPONSE, _RESPONSE.pack(ident, ours, response)),
            ]
        )

    def _check(self, success: bytes) -> None:
        found = _PROOF.match(success[1:])
        if found is None or not compare_digest(bytes.fromhex(found[1].decode()), self._proof):
            raise AuthenticationFailed("the EAP server does not know our password, and says that it was right")
        self.done = True


class TtlsServer(TlsServer):
    """EAP-TTLS, the server."""

    type = EapType.TTLS
    label = _LABEL
    certified = False

    def __init__(self, context: ServerContext) -> None:
        super().__init__(context)
        self._dialogue: ServerDialogue | None = None
        self._accepted: Identity | None = None

    async def inside(self, plain: Secret, identifier: int) -> bytes | Proven:
        if self._accepted is not None:
            return Proven(self._accepted)
        if not plain:
            return b""  # the client speaks first: go on
        found, inner = read_avps(plain), self.context.remote.auth.inner
        if EAP_MESSAGE in found and inner is Inner.ANY:
            return await self._eap(found[EAP_MESSAGE])
        user = self._user_of(found)
        if USER_PASSWORD in found and inner in (Inner.ANY, Inner.PAP):
            return await self._pap(user, found[USER_PASSWORD])
        if MS_CHAP2_RESPONSE in found and inner in (Inner.ANY, Inner.MSCHAPV2):
            return await self._mschap(user, found)
        raise AuthenticationFailed(
            "the client proves itself inside EAP-TTLS in a way that is not accepted; "
            f"{f'remote.auth wants {inner}' if inner else 'EAP, PAP and MS-CHAPv2 are'}"
        )

    async def _eap(self, packet: bytes) -> bytes | Proven:
        if self._dialogue is None:
            # §11.2.1: the client says who it is without being asked, whatever the identifier.
            self._dialogue = ServerDialogue(replace(self.context), INNER, ask_identity=True)
            asked = await self._dialogue.begin()
            packet = packet[:1] + asked[1:2] + packet[2:]
        request = await self._dialogue.take(packet)
        if self._dialogue.verdict is None:
            return write_avps([Avp(EAP_MESSAGE, request)])
        if self._dialogue.proven is None:
            raise AuthenticationFailed(self._dialogue.why)
        return Proven(self._dialogue.proven.user)

    @staticmethod
    def _user_of(found: dict[tuple[int, int], bytes]) -> bytes:
        name = found.get(USER_NAME, b"")
        if not 0 < len(name) <= MAX_NAME:
            raise AuthenticationFailed(f"a user name of {len(name)} octets inside EAP-TTLS")
        return name

    async def _pap(self, name: bytes, padded: bytes) -> Proven:
        if not 0 < len(padded) <= MAX_PASSWORD:
            raise AuthenticationFailed(f"a password of {len(padded)} octets; 1 to {MAX_PASSWORD} are right")
        user, password = name.decode(errors="replace"), Secret(padded.rstrip(b"\0"))
        answer = await CheckPassword(XauthBackend.LOCAL, user, password, self.context.address, PromptKind.PASSWORD)
        match answer:
            case Accepted():
                return Proven(identity_of(name))
            case Rejected(why):
                raise AuthenticationFailed(why)
        raise AuthenticationFailed("PAP has no further question, and the backend wants one")

    async def _mschap(self, name: bytes, found: dict[tuple[int, int], bytes]) -> bytes:
        assert self.session is not None
        made = await ExportTls(self.session, _CHALLENGE, None, CHALLENGE_OCTETS + 1)
        challenge, ident = made[:CHALLENGE_OCTETS], made[CHALLENGE_OCTETS]
        said = found[MS_CHAP2_RESPONSE]
        if len(said) != _RESPONSE.size or not compare_digest(found.get(MS_CHAP_CHALLENGE, b""), challenge):
            raise AuthenticationFailed("the client uses another challenge than this tunnel's")
        number, theirs, response = _RESPONSE.unpack(said)
        if number != ident:
            raise AuthenticationFailed("the client uses another ident than this tunnel's")
        user = name.decode(errors="replace")
        answer = await CheckMschap(user, name, challenge, theirs, response, self.context.address)
        if not isinstance(answer, Keyed):
            raise AuthenticationFailed(answer.why)
        self._accepted = identity_of(name)
        proof = bytes((ident,)) + b"S=" + answer.proof.hex().upper().encode()
        return write_avps([Avp(MS_CHAP2_SUCCESS, proof)])
