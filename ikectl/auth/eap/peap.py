"""EAP-PEAP, version 0 (draft-kamath-pppext-peapv0, MS-PEAP): EAP inside TLS, as Windows speaks it.

Inside, packets go without their header, and one of Extensions (type 33) tells
the result under the tunnel's protection. Compound binding is not offered, so
the key is the tunnel's (MS-PEAP §3.1.5.5).
"""

from __future__ import annotations

from dataclasses import replace
from struct import Struct

from ikectl.auth.eap.base import PeerContext, Proven, ServerContext
from ikectl.auth.eap.dialogue import PeerDialogue, ServerDialogue
from ikectl.auth.eap.tls import TlsPeer, TlsServer
from ikectl.errors import AuthenticationFailed, WireError
from ikectl.iana.eap import EapCode, EapType
from ikectl.values.secret import Secret
from ikectl.wire.eap import MAX_PACKET, EapMessage

INNER = (EapType.MSCHAPV2, EapType.GTC)
"""Methods inside. MD5 counts the identifier in, which has no place there."""
_TLV = Struct("!HH")
"""Mandatory bit and type, length of the value (MS-PEAP §2.2.8.1)."""
_RESULT, _TYPE_BITS = 3, 0x3FFF
_SUCCESS, _FAILURE = 1, 2
_HEADER = EapMessage.LAYOUT


class PeapPeer(TlsPeer):
    """EAP-PEAP, the client."""

    type = EapType.PEAP
    certified = False

    def __init__(self, context: PeerContext) -> None:
        super().__init__(context)
        self._dialogue = PeerDialogue(replace(context), INNER)

    async def inside(self, plain: Secret, identifier: int) -> bytes:
        if not plain:
            return b""
        packet = _read(plain, EapCode.REQUEST, identifier)
        if packet.code is not EapCode.REQUEST:
            raise AuthenticationFailed(f"the EAP server ends PEAP by an EAP {packet.code} inside")
        if packet.type != EapType.EXTENSIONS:
            return (await self._dialogue.take(packet.write()))[_HEADER.size :]
        result = _result(packet.data)
        if result == _SUCCESS and not self._dialogue.finish():
            raise AuthenticationFailed("the EAP server says that we succeeded inside PEAP, before we proved anything")
        if result == _SUCCESS:
            self.done = True
        else:
            method = self._dialogue.method
            self.why = (method.why if method is not None else "") or "the EAP server refuses what we said inside PEAP"
        return EapMessage(EapCode.RESPONSE, packet.identifier, EapType.EXTENSIONS, _tlv(result)).write()


class PeapServer(TlsServer):
    """EAP-PEAP, the server."""

    type = EapType.PEAP
    certified = False

    def __init__(self, context: ServerContext) -> None:
        super().__init__(context)
        self._dialogue = ServerDialogue(replace(context), INNER, ask_identity=True)
        self._asked: bytes | None = None
        self._told = 0
        """The result we told."""

    async def inside(self, plain: Secret, identifier: int) -> bytes | Proven:
        if self._asked is None:
            self._asked = await self._dialogue.begin()
            return self._asked[_HEADER.size :]
        packet = _read(plain, EapCode.RESPONSE, self._asked[1])
        if self._told:
            return self._settle(packet)
        self._asked = await self._dialogue.take(packet.write())
        if self._dialogue.verdict is None:
            return self._asked[_HEADER.size :]
        self._told = _SUCCESS if self._dialogue.verdict else _FAILURE
        return EapMessage(EapCode.REQUEST, identifier, EapType.EXTENSIONS, _tlv(self._told)).write()

    def _settle(self, packet: EapMessage) -> Proven:
        proven = self._dialogue.proven
        if proven is None:
            raise AuthenticationFailed(self._dialogue.why)
        if packet.type != EapType.EXTENSIONS or _result(packet.data) != _SUCCESS:
            raise AuthenticationFailed("the client does not acknowledge the end of PEAP")
        return Proven(proven.user)


def _read(plain: bytes, code: EapCode, identifier: int) -> EapMessage:
    """A packet from inside: those of Extensions, and the identity requests of some servers, have their header.

    Raises AuthenticationFailed.
    """
    try:
        whole = EapMessage.read(plain)
        if len(whole.write()) == len(plain) and whole.type in (EapType.EXTENSIONS, None):
            return whole
        if whole.code is code and plain == whole.write() and whole.type == EapType.IDENTITY and not whole.data:
            return whole
    except WireError:
        pass
    if _HEADER.size + len(plain) > MAX_PACKET:
        # Before its length is written into 16 bits.
        raise AuthenticationFailed(f"a packet of {len(plain)} octets inside PEAP; {MAX_PACKET} are the most")
    try:
        return EapMessage.read(_HEADER.pack(code, identifier, _HEADER.size + len(plain)) + plain)
    except WireError as error:
        raise AuthenticationFailed(f"a packet inside PEAP: {error}") from None


def _tlv(result: int) -> bytes:
    return _TLV.pack(0x8000 | _RESULT, 2) + result.to_bytes(2, "big")


def _result(data: bytes) -> int:
    """What a packet of Extensions says of the result; other TLVs in it are left alone. Raises AuthenticationFailed."""
    at = 0
    while at + _TLV.size <= len(data):
        kind, length = _TLV.unpack_from(data, at)
        at += _TLV.size
        if kind & _TYPE_BITS == _RESULT and length == 2 and at + 2 <= len(data):
            return int.from_bytes(data[at : at + 2], "big")
        at += length
    raise AuthenticationFailed("a packet of EAP Extensions inside PEAP that tells no result")
