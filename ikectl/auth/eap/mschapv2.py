"""EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2-02; RFC 2759, RFC 3079), which most clients know for passwords.

Both ends show that they know the password, but who sees the exchange can look
for it offline. So it proves no server by itself: it wants one that is proven
already, by IKE or by a tunnel of TLS.
"""

from __future__ import annotations

import re
from hmac import compare_digest
from struct import Struct

from ikectl.auth.eap.base import MAX_NAME, PeerContext, PeerMethod, Proven, ServerContext, ServerMethod, judged, name_of
from ikectl.crypto.mschapv2 import (
    CHALLENGE_OCTETS,
    RESPONSE_OCTETS,
    authenticator_response,
    bare_user,
    nt_response,
    session_key,
)
from ikectl.errors import AuthenticationFailed
from ikectl.iana.eap import EapType, MschapError, MschapOpcode, mschap_error, mschap_opcode
from ikectl.sa.asks import CheckMschap, UserHash
from ikectl.sa.logins import Rejected
from ikectl.values.record import record
from ikectl.wire.eap import EapMessage

_HEADER = Struct("!BBH")
"""Opcode, MS-CHAPv2-ID, length of all this (§2)."""
_RESPONSE = Struct(f"!{CHALLENGE_OCTETS}s8x{RESPONSE_OCTETS}sB")
"""The peer's challenge, reserved octets, the NT response, flags (§2.2)."""
MAX_MESSAGE = 256
"""Octets of a success or failure message that are looked at."""
SERVER_NAME = b"ikectl"
OUR_MESSAGE = b"M=Welcome"

_PROOF = re.compile(rb"S=([0-9A-Fa-f]{40})(?: |$)")
_ERROR = re.compile(rb"(?:^| )E=([0-9]{1,9})(?: |$)")
_MEANING = {
    MschapError.RESTRICTED_LOGON_HOURS: "the user may not log in at this hour",
    MschapError.ACCT_DISABLED: "the account is disabled",
    MschapError.PASSWD_EXPIRED: "the password has expired; change it by the means of the server's owner",
    MschapError.NO_DIALIN_PERMISSION: "the user has no permission to connect from outside",
    MschapError.AUTHENTICATION_FAILURE: "it does not know the user, or the password is wrong",
}


@record
class Packet:
    """One packet of MS-CHAPv2. The short ones have an opcode alone."""

    opcode: MschapOpcode
    id: int = 0
    value: bytes = b""
    """Of a challenge or response."""
    text: bytes = b""
    """The name behind it, or the message of a success or failure."""

    @classmethod
    def read(cls, data: bytes) -> Packet:
        """Raises AuthenticationFailed."""
        if not data:
            raise AuthenticationFailed("an empty packet of EAP-MSCHAPv2")
        opcode = mschap_opcode(data[0])
        if len(data) == 1 and opcode in (MschapOpcode.SUCCESS, MschapOpcode.FAILURE):
            return cls(opcode)
        if len(data) < _HEADER.size:
            raise AuthenticationFailed(f"a packet of EAP-MSCHAPv2 of {len(data)} octets")
        _, number, length = _HEADER.unpack_from(data)
        if length != len(data):
            raise AuthenticationFailed(f"a packet of EAP-MSCHAPv2 says {length} octets and has {len(data)}")
        rest = data[_HEADER.size :]
        if opcode not in (MschapOpcode.CHALLENGE, MschapOpcode.RESPONSE):
            return cls(opcode, number, text=rest[:MAX_MESSAGE])
        size = rest[0] if rest else 0
        if len(rest) <= size or len(rest) - size - 1 > MAX_NAME:
            raise AuthenticationFailed(f"the {opcode.name.lower()} of EAP-MSCHAPv2 has a wrong length")
        return cls(opcode, number, rest[1 : 1 + size], rest[1 + size :])

    def write(self) -> bytes:
        value = bytes((len(self.value),)) + self.value if self.value else b""
        return _HEADER.pack(self.opcode, self.id, _HEADER.size + len(value) + len(self.text)) + value + self.text


class MschapPeer(PeerMethod):
    """Answers a challenge, and checks the server's proof before it believes a success."""

    type = EapType.MSCHAPV2

    def __init__(self, context: PeerContext) -> None:
        super().__init__(context)
        self.proof = b""
        """What shows that the server knows the password."""

    async def take(self, request: EapMessage) -> bytes:
        packet = Packet.read(request.data)
        match packet.opcode:
            case MschapOpcode.CHALLENGE if not self.proof:
                return await self._respond(packet)
            case MschapOpcode.SUCCESS if self.proof and not self.why:
                self._check(packet.text)
                return bytes((MschapOpcode.SUCCESS,))
            case MschapOpcode.FAILURE if self.proof and not self.done:
                self.why = _failure(packet.text)
                return bytes((MschapOpcode.FAILURE,))
        raise AuthenticationFailed(f"{packet.opcode} of EAP-MSCHAPv2 out of its turn")

    async def _respond(self, packet: Packet) -> bytes:
        if len(packet.value) != CHALLENGE_OCTETS:
            raise AuthenticationFailed(f"a challenge of EAP-MSCHAPv2 of {len(packet.value)} octets")
        full = name_of(self.context.user)
        hashed = await UserHash(full)
        name, ours = full.encode()[:MAX_NAME], self.context.random(CHALLENGE_OCTETS)
        user = bare_user(name)
        response = nt_response(packet.value, ours, user, hashed)
        self.proof = authenticator_response(packet.value, ours, user, hashed, response)
        self.key = session_key(hashed, response)
        return Packet(MschapOpcode.RESPONSE, packet.id, _RESPONSE.pack(ours, response, 0), name).write()

    def _check(self, text: bytes) -> None:
        found = _PROOF.match(text)
        if found is None or not compare_digest(bytes.fromhex(found[1].decode()), self.proof):
            raise AuthenticationFailed(
                "the EAP server does not know our password, and says that it was right: this is not the right server"
            )
        self.done = True
        self.msk = self.key


class MschapServer(ServerMethod):
    """Challenges, has the response judged, and shows that we know the password too."""

    type = EapType.MSCHAPV2

    def __init__(self, context: ServerContext) -> None:
        super().__init__(context)
        self.proven: Proven | None = None
        self.refused = ""

    async def begin(self, identifier: int) -> bytes:
        self.id, self.challenge = identifier, self.context.random(CHALLENGE_OCTETS)
        return Packet(MschapOpcode.CHALLENGE, identifier, self.challenge, SERVER_NAME).write()

    async def take(self, response: EapMessage, identifier: int) -> bytes | Proven:
        packet = Packet.read(response.data)
        if self.refused:
            raise AuthenticationFailed(self.refused)
        if self.proven is None:
            return await self._judge(packet)
        if packet.opcode is not MschapOpcode.SUCCESS:
            raise AuthenticationFailed("the peer does not accept our proof that we know its password")
        return self.proven

    async def _judge(self, packet: Packet) -> bytes:
        if packet.opcode is not MschapOpcode.RESPONSE or packet.id != self.id:
            raise AuthenticationFailed(f"{packet.opcode} of EAP-MSCHAPv2 in the place of a response to our challenge")
        if len(packet.value) != _RESPONSE.size:
            raise AuthenticationFailed(f"a response of EAP-MSCHAPv2 of {len(packet.value)} octets")
        theirs, response, _ = _RESPONSE.unpack(packet.value)
        user = packet.text.decode(errors="replace")
        identity = judged(self.context.claimed, user)
        answer = await CheckMschap(user, packet.text, self.challenge, theirs, response, self.context.address)
        if isinstance(answer, Rejected):
            self.refused = answer.why
            challenge = self.context.random(CHALLENGE_OCTETS).hex().upper().encode()
            return self._end(MschapOpcode.FAILURE, b"E=%d R=0 C=%s V=3 M=Login incorrect" % (_WRONG, challenge))
        self.proven = Proven(identity, answer.msk)
        return self._end(MschapOpcode.SUCCESS, b"S=%s %s" % (answer.proof.hex().upper().encode(), OUR_MESSAGE))

    def _end(self, opcode: MschapOpcode, text: bytes) -> bytes:
        return Packet(opcode, self.id, text=text).write()


_WRONG = int(MschapError.AUTHENTICATION_FAILURE)


def _failure(text: bytes) -> str:
    """What a failure packet tells (RFC 2759 §6)."""
    found = _ERROR.search(text)
    error = mschap_error(int(found[1])) if found else None
    if error is None:
        return "the server gave no reason"
    return f"the server says error {int(error)}: {_MEANING.get(error, error.name)}"
