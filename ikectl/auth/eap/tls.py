"""EAP-TLS (RFC 5216; with TLS 1.3 RFC 9190), and what EAP-TTLS and EAP-PEAP have of it.

Certificates are judged as those of IKE are, as soon as they came and before
anything that rests on them is said: the server's by the client's `aaa_id`
(else the gateway's identity) and, where EAP alone proves the gateway (RFC
5998), by all else of its `remote` section; the client's by the server's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ikectl.auth.base import ANNOUNCED_HASHES
from ikectl.auth.eap.base import PeerContext, PeerMethod, Proven, ServerContext, ServerMethod, is_anonymous, name_of
from ikectl.auth.eap.tls_frames import ACKNOWLEDGEMENT, START, Frame, Frames
from ikectl.auth.peer import demand_unrevoked
from ikectl.errors import AuthenticationFailed, CredentialError
from ikectl.iana.eap import EapType
from ikectl.pki.certificate import Certificate
from ikectl.pki.chain import MAX_PEER_CERTIFICATES, Peer
from ikectl.sa.asks import BeginTls, CheckChain, ChooseKey, ExportTls, StepTls
from ikectl.sa.tls import TlsSession
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.values.secret import Secret
from ikectl.wire.eap import EapMessage

MSK_OCTETS = 64
COMMITMENT = b"\0"
"""What a server says inside TLS 1.3 once it takes the client's certificate (RFC 9190 §2.1.1)."""
_EXPORTER = b"EXPORTER_EAP_TLS_Key_Material"
"""Of TLS 1.3 (RFC 9190 §2.3, RFC 9427 §2.1)."""


async def export_msk(session: TlsSession, tls13: bool, kind: EapType, label: bytes) -> Secret:
    """The MSK: the first half of 128 octets of key material."""
    if tls13:
        return Secret((await ExportTls(session, _EXPORTER, bytes((kind,)), 2 * MSK_OCTETS))[:MSK_OCTETS])
    return await ExportTls(session, label, None, MSK_OCTETS)


class TlsPeer(PeerMethod):
    """EAP-TLS, the client."""

    type: ClassVar[EapType] = EapType.TLS
    mutual = True
    label: ClassVar[bytes] = b"client EAP encryption"
    certified: ClassVar[bool] = True
    """Whether a certificate of ours proves us."""

    def __init__(self, context: PeerContext) -> None:
        super().__init__(context)
        self.frames = Frames()
        self.session: TlsSession | None = None
        self.tls13 = False
        self._judged = False
        self._shown: Peer | None = None
        """The server's chain, while it is not known whether it was revoked."""

    async def take(self, request: EapMessage) -> bytes:
        frame = Frame.read(request.data)
        if self.session is None:
            if not frame.start:
                raise AuthenticationFailed("the EAP server begins TLS without a start")
            session = await self._open()
            turn = await StepTls(session)
            self.session = session
            return self.frames.say(turn.records)
        if frame.start:
            raise AuthenticationFailed("the EAP server begins TLS a second time")
        if self.frames.sending:
            return self.frames.next(frame)
        message = self.frames.hear(frame)
        if message is None:
            return ACKNOWLEDGEMENT
        return await self._turn(self.session, message, request.identifier)

    async def _open(self) -> TlsSession:
        if not self.certified:
            return await BeginTls(False)
        local, user = self.context.local, self.context.user
        if not local.certs and not is_anonymous(user):
            local = replace(local, id=user)
        signer = await ChooseKey(local, (), ANNOUNCED_HASHES)
        return await BeginTls(False, signer.key_id, signer.certificates)

    async def _turn(self, session: TlsSession, message: bytes, identifier: int) -> bytes:
        if self.why:
            raise AuthenticationFailed(self.why)
        turn = await StepTls(session, message)
        if turn.failed:
            self.why = turn.failed
            if not turn.records:
                raise AuthenticationFailed(turn.failed)
            return self.frames.say(turn.records)  # an alert
        if turn.peer and not self._judged:
            await self._judge(turn.peer)
            self._judged = True
        records = turn.records
        if turn.established:
            if not self._judged:
                raise AuthenticationFailed("the EAP server shows no certificate")
            await self._demand_unrevoked()
            self.tls13 = turn.tls13
            said = await self.inside(turn.plain, identifier)
            if said:
                records += (await StepTls(session, plain=said)).records
            if self.done and self.msk is None:
                self.msk = await export_msk(session, self.tls13, self.type, self.label)
        return self.frames.say(records)

    async def inside(self, plain: Secret, identifier: int) -> bytes:
        """What we say inside, once the tunnel stands; `done` is set when that was all. Raises AuthenticationFailed."""
        if plain not in (b"", COMMITMENT) or (plain and not self.tls13):
            raise AuthenticationFailed("the EAP server says inside EAP-TLS what does not belong there")
        self.done = self.done or not self.tls13 or bool(plain)
        return b""

    async def _judge(self, chain: tuple[bytes, ...]) -> None:
        trusted = self.context.trusted
        try:
            name = _named(Certificate.of_peer(chain[0]), trusted.id)
            self._shown = await CheckChain(chain[:MAX_PEER_CERTIFICATES], trusted, name)
        except CredentialError as error:
            raise AuthenticationFailed(f"the certificate of the EAP server is not good: {error}") from error

    async def _demand_unrevoked(self) -> None:
        """Once the server proved its key, and before it is told anything."""
        shown, self._shown = self._shown, None
        if shown is None:
            return
        try:
            await demand_unrevoked(shown, self.context.trusted)
        except CredentialError as error:
            raise AuthenticationFailed(f"the certificate of the EAP server is not good: {error}") from error


class TlsServer(ServerMethod):
    """EAP-TLS, the server."""

    type: ClassVar[EapType] = EapType.TLS
    mutual = True
    label: ClassVar[bytes] = b"client EAP encryption"
    certified: ClassVar[bool] = True
    """Whether a certificate proves the client."""

    def __init__(self, context: ServerContext) -> None:
        super().__init__(context)
        self.frames = Frames()
        self.session: TlsSession | None = None
        self.established = False
        self.tls13 = False
        self._over = ""
        self._user: Identity | None = None
        self._shown: Peer | None = None
        """The client's chain, while it is not known whether it was revoked."""
        self._committed = False

    async def begin(self, identifier: int) -> bytes:
        signer = await ChooseKey(self.context.local, (), ANNOUNCED_HASHES)
        self.session = await BeginTls(True, signer.key_id, signer.certificates, self.certified)
        return bytes((START,))

    async def take(self, response: EapMessage, identifier: int) -> bytes | Proven:
        frame = Frame.read(response.data)
        if self.frames.sending:
            return self.frames.next(frame)
        message = self.frames.hear(frame)
        if message is None:
            return ACKNOWLEDGEMENT
        if self._over:
            raise AuthenticationFailed(self._over)
        assert self.session is not None
        return await self._turn(self.session, message, identifier)

    async def _turn(self, session: TlsSession, message: bytes, identifier: int) -> bytes | Proven:
        turn = await StepTls(session, message)
        if turn.failed:
            self._over = turn.failed
            if not turn.records:
                raise AuthenticationFailed(turn.failed)
            return self.frames.say(turn.records)  # an alert
        if self.certified and turn.peer and self._user is None:
            self._user = await self._judge(turn.peer)
        if not turn.established:
            if not turn.records:
                raise AuthenticationFailed("the client does not go on with TLS")
            return self.frames.say(turn.records)
        if self.certified and self._user is None:
            raise AuthenticationFailed("the client shows no certificate")
        if self._shown is not None:
            # Only now the client has proved its key: who it is decides which servers are asked.
            shown, self._shown = self._shown, None
            await demand_unrevoked(shown, self.context.remote)
        first, self.established, self.tls13 = not self.established, True, turn.tls13
        if first and not turn.tls13 and not turn.plain:
            return self.frames.say(turn.records)  # the end of the handshake, which the client waits for
        step = await self.inside(turn.plain, identifier)
        if isinstance(step, Proven):
            return Proven(step.user, await export_msk(session, self.tls13, self.type, self.label))
        records = turn.records
        if step:
            records += (await StepTls(session, plain=step)).records
        return self.frames.say(records)

    async def inside(self, plain: Secret, identifier: int) -> bytes | Proven:
        """What we say inside, perhaps nothing, or who is proven. `plain` is empty when the client only goes on.

        Raises AuthenticationFailed.
        """
        assert self._user is not None
        if plain:
            raise AuthenticationFailed("the client says something inside EAP-TLS")
        if self.tls13 and not self._committed:
            self._committed = True
            return COMMITMENT
        return Proven(self._user)

    async def _judge(self, chain: tuple[bytes, ...]) -> Identity:
        """Whom the client's certificate proves."""
        leaf, remote = Certificate.of_peer(chain[0]), self.context.remote
        identity = _of_certificate(leaf, self.context.claimed, remote.eap_id)
        self._shown = await CheckChain(chain[:MAX_PEER_CERTIFICATES], remote, identity)
        return identity


def _named(certificate: Certificate, expected: IdentityPattern) -> Identity:
    """The name of the certificate that fits best. Raises CredentialError."""
    exact = expected.identity
    if exact is not None:
        return exact
    best = max(certificate.names, key=expected.match, default=None)
    if best is None or not expected.match(best):
        raise CredentialError(f"it is of {certificate}, and aaa_id wants {expected}")
    return best


def _of_certificate(certificate: Certificate, claimed: Identity, wanted: IdentityPattern | None) -> Identity:
    """The name of the certificate that the client said, or where it said none, the one that may log in best.

    Raises AuthenticationFailed.
    """
    for name in certificate.names:
        if name.same(claimed) or name_of(name) == name_of(claimed):
            return name
    if is_anonymous(claimed) and certificate.names:
        return certificate.names[-1] if wanted is None else max(certificate.names, key=wanted.match)
    raise AuthenticationFailed(f"the certificate of {certificate} does not speak for {name_of(claimed)!r}")
