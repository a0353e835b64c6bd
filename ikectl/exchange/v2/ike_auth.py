"""IKE_AUTH: both ends prove who they are, and the first child comes up (RFC 7296 §1.2, §2.15, §2.16)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ikectl.auth.octets import signed_octets
from ikectl.auth.table import AuthContext, prove, verify
from ikectl.config.match import for_identities
from ikectl.config.model import AuthKind, Child, Connection, Local, SendCert, Unique
from ikectl.errors import (
    AuthenticationFailed,
    BackendError,
    CredentialError,
    PeerMisbehaved,
    Refused,
)
from ikectl.exchange import children
from ikectl.exchange.v2 import child as agreement
from ikectl.exchange.v2.base import Answer, Case, Done, Exchange, Next, Reply, first_error
from ikectl.exchange.v2.certreq import authorities, request_certificates
from ikectl.exchange.v2.child import ChildOffer, Keying
from ikectl.exchange.v2.delete import DeleteChildren, Farewell
from ikectl.exchange.v2.refusal import mismatch, refusal_text
from ikectl.iana.v2 import AuthMethod, ExchangeType, IdType, NotifyType
from ikectl.sa.asks import ChooseKey
from ikectl.sa.association import IkeState
from ikectl.sa.events import AuthFailed, ChildFailed, IkeUp, Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.values.identity import Identity
from ikectl.values.secret import NO_SECRET
from ikectl.wire.payload import Payload
from ikectl.wire.v2.identity import AUTH, CERT, CERTREQ, IDi, IDr
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import AUTHENTICATION_FAILED, INITIAL_CONTACT, Notify
from ikectl.wire.v2.sa import SA
from ikectl.wire.v2.ts import TSi, TSr

ANYBODY = Identity(IdType.ANY, b"")
"""Whom we expect while the configuration names nobody and the peer has not spoken."""


def covered(sa: IkeSa, by_initiator: bool, id_body: bytes) -> bytes:
    """What the AUTH of one end covers, given the body of its ID payload (RFC 7296 §2.15)."""
    shake, keys, suite = sa.handshake, sa.keys, sa.suite
    assert shake is not None and keys is not None and suite is not None
    if by_initiator:
        octets = signed_octets(shake.request, shake.nonce_r, suite.prf, keys.sk_pi, id_body)
    else:
        octets = signed_octets(shake.response, shake.nonce_i, suite.prf, keys.sk_pr, id_body)
    if suite.additional:
        # RFC 9242 §3.3.1: IntAuth of both ends and the message ID of the (first) IKE_AUTH request.
        octets += shake.int_auth_i + shake.int_auth_r + (1 + len(suite.additional)).to_bytes(4, "big")
    return octets


def context(sa: IkeSa, connection: Connection) -> AuthContext:
    """What proving ourselves needs, from the facts once identities are known; `heard` adds the peer's side."""
    shake, suite = sa.handshake, sa.suite
    assert shake is not None and suite is not None
    assert sa.local_id is not None and sa.remote_id is not None
    return AuthContext(
        prf=suite.prf,
        octets_local=covered(sa, sa.initiator, IDi.of(sa.local_id).body()),  # IDi and IDr are laid out alike
        octets_remote=b"",
        local_id=sa.local_id,
        remote_id=sa.remote_id,
        path=sa.path,
        peer_hashes=shake.hashes,
        authorities=shake.authorities,
        send_certs=connection.send_cert is SendCert.ALWAYS
        or (connection.send_cert is SendCert.IFASKED and shake.asked),
    )


def heard(about: AuthContext, sa: IkeSa, peer: IDi | IDr) -> AuthContext:
    """The same once the peer's ID payload came, whose reserved octets AUTH covers too."""
    identity = peer.identity
    if identity != about.remote_id:
        about.remote_id, about.shared_key = identity, None
    about.octets_remote = covered(sa, not sa.initiator, peer.body())
    return about


async def own_identity(sa: IkeSa, local: Local) -> Identity:
    """The configured identity; else the certificate's subject, else our address (swanctl's rule).

    Raises CredentialError when there is no key to take the subject from.
    """
    assert sa.handshake is not None
    if local.id is not None:
        return local.id
    if local.auth.kind is AuthKind.PSK:
        return Identity.of_address(sa.path.local.address)
    signer = await ChooseKey(local, sa.handshake.authorities, sa.handshake.hashes)
    return signer.identity


def establish(sa: IkeSa) -> None:
    """Both ends are proven: the SA stands, and what only the handshake needed is forgotten."""
    assert sa.keys is not None
    sa.move(IkeState.ESTABLISHED)
    sa.proven = sa.path
    sa.handshake = None
    sa.keys.sk_pi = sa.keys.sk_pr = NO_SECRET
    sa.emit(IkeUp(sa))


@dataclass(slots=True, eq=False)
class IkeAuth(Exchange):
    """IKE_AUTH, initiator's half, with the first child unless `child` is None (RFC 7296 §1.2)."""

    type: ClassVar[ExchangeType] = ExchangeType.IKE_AUTH

    child: Child | None
    token: int = 0
    offer: ChildOffer | None = None
    about: AuthContext | None = None

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        """Raises CredentialError, BackendError."""
        shake, connection = sa.handshake, sa.connection
        assert shake is not None and connection is not None
        local, remote = connection.local[0], connection.remote[0]
        sa.local_id = await own_identity(sa, local)
        expected = remote.id.identity
        sa.remote_id = expected or ANYBODY
        self.about = context(sa, connection)
        proof = await prove(local, self.about)
        payloads: list[Payload] = [IDi.of(sa.local_id), *proof.certs]
        certreq = await request_certificates((connection,))
        if certreq is not None:
            payloads.append(certreq)
        if expected is not None:
            payloads.append(IDr.of(expected))
        payloads.append(proof.auth)
        if self.child is not None:
            self.offer = await agreement.offer(sa, self.child, without_ke=True)
            payloads.append(self.offer.sa_payload())
            payloads += self.offer.selectors()
        if connection.unique is not Unique.NEVER and expected is not None and sa.env.is_first_contact(sa):
            payloads.append(INITIAL_CONTACT)
        return payloads

    async def on_proven(self, sa: IkeSa, reply: Message) -> Next:
        """The responder's AUTH came: check it, then see what became of the child."""
        connection = sa.connection
        assert connection is not None and sa.handshake is not None and self.about is not None
        named = reply.one(IDr)
        claimed = named.identity
        remote = connection.remote[0]
        try:
            if not remote.id.match(claimed):
                raise AuthenticationFailed(f"the peer is {claimed}; remote.id wants {remote.id}")
            sa.remote_id = claimed
            await verify(remote, heard(self.about, sa, named), reply.one(AUTH), reply.all(CERT))
        except (AuthenticationFailed, CredentialError) as failure:
            why = str(failure)
            sa.emit(AuthFailed(sa, True, why))
            await self.abandon(sa, why)
            # RFC 7296 §2.21.2: the responder believes in this SA; tell it, in an exchange of its own.
            return Done(follow=(Farewell(AUTHENTICATION_FAILED, f"peer authentication failed: {why}"),), failed=why)
        keying = Keying(sa.handshake.nonce_i, sa.handshake.nonce_r)
        sa.contacted = reply.notify(NotifyType.INITIAL_CONTACT) is not None
        establish(sa)
        if self.offer is None:
            return Done()
        return await self._settle_child(sa, self.offer, keying, reply)

    async def _settle_child(self, sa: IkeSa, offer: ChildOffer, keying: Keying, reply: Message) -> Next:
        """A failure here leaves the IKE SA standing (RFC 7296 §1.2, §2.21.2)."""
        error = first_error(reply)
        if error is not None or not reply.all(SA):
            await offer.withdraw()
            why = refusal_text(error)
            sa.emit(ChildFailed(sa, offer.config.name, why))
            return Done(failed=f"child {offer.config.name} not established: {why}")
        try:
            child = await agreement.accept(sa, offer, reply, keying)
        except (Refused, BackendError, PeerMisbehaved) as failure:
            # The peer believes in this child: delete it there by the SPI it knows of ours.
            sa.emit(ChildFailed(sa, offer.config.name, str(failure)))
            undo = DeleteChildren.of_offer(offer)
            return Done(follow=(undo,), failed=f"child {offer.config.name} not established: {failure}")
        children.announce(sa, child)
        return Done()

    async def on_refused(self, sa: IkeSa, reply: Message) -> Next:
        """An error and no AUTH: the responder did not accept us, and keeps nothing."""
        error = first_error(reply)
        assert error is not None
        why = f"the peer answered {error.type}"
        if error.type is NotifyType.AUTHENTICATION_FAILED:
            why += (
                f": it does not accept our identity {sa.local_id} or our proof; "
                "compare both ends' id, secret or certificates, and read the peer's log"
            )
        sa.emit(AuthFailed(sa, False, why))
        await self.abandon(sa, why)
        return Done(close=why)

    async def abandon(self, sa: IkeSa, why: str) -> None:
        if self.offer is not None:
            await self.offer.withdraw()

    cases = (
        Case(on_proven, required=(IDr, AUTH)),
        Case(on_refused, error=True),
    )


@dataclass(slots=True, eq=False)
class AnswerIkeAuth(Answer):
    """IKE_AUTH, responder's half (RFC 7296 §1.2)."""

    async def respond(self, sa: IkeSa, request: Message) -> Reply:
        shake, suite = sa.handshake, sa.suite
        assert shake is not None and suite is not None
        if shake.rounds != len(suite.additional):
            raise PeerMisbehaved("IKE_AUTH before all negotiated key exchanges were done (RFC 9370 §2.2.2)")
        try:
            auth = await self._authenticate(sa, request)
        except (AuthenticationFailed, CredentialError) as failure:
            sa.emit(AuthFailed(sa, True, str(failure)))
            # Every failure looks alike on the wire (§2.21.2).
            return Reply([AUTHENTICATION_FAILED], close=f"authentication failed: {failure}")
        keying = Keying(shake.nonce_i, shake.nonce_r)
        sa.contacted = request.notify(NotifyType.INITIAL_CONTACT) is not None
        establish(sa)
        return Reply(auth + await self._child(sa, request, keying))

    async def _authenticate(self, sa: IkeSa, request: Message) -> list[Payload]:
        """Choose the connection, check the peer, prove ourselves: IDr, CERTs, AUTH."""
        shake = sa.handshake
        assert shake is not None
        named, wanted = request.one(IDi), request.get(IDr)
        claimed = named.identity
        proof = request.get(AUTH)
        if proof is None:
            # RFC 7296 §2.16: so an initiator asks for EAP, which no configuration here wants of a peer.
            raise AuthenticationFailed(f"{claimed} sends no AUTH: it wants to prove itself with EAP")
        shake.asked = bool(request.all(CERTREQ))
        shake.authorities = authorities(request)
        kind = AuthKind.PSK if proof.method is AuthMethod.SHARED_KEY_MIC else AuthKind.PUBKEY
        connection, why = for_identities(shake.candidates, claimed, None if wanted is None else wanted.identity, kind)
        if connection is None:
            raise AuthenticationFailed(why)
        local, remote = connection.local[0], connection.remote[0]
        sa.remote_id = claimed
        sa.local_id = await own_identity(sa, local)
        about = heard(context(sa, connection), sa, named)
        await verify(remote, about, proof, request.all(CERT))
        if (
            connection.unique is Unique.KEEP
            and request.notify(NotifyType.INITIAL_CONTACT) is None
            and sa.env.is_connected(sa.local_id, sa.remote_id)
        ):
            raise AuthenticationFailed(f"{claimed} is connected already, and unique = keep keeps the older SA")
        own = await prove(local, about)
        sa.connection = connection
        return [IDr.of(sa.local_id), *own.certs, own.auth]

    async def _child(self, sa: IkeSa, request: Message, keying: Keying) -> list[Payload]:
        """SA, TSi, TSr, or the notify that says why not; the IKE SA stands either way."""
        connection = sa.connection
        assert connection is not None
        if request.get(SA) is None or request.get(TSi) is None or request.get(TSr) is None:
            sa.emit(Note(sa, "the peer asked for no child with IKE_AUTH"))
            return []
        try:
            choice = agreement.choose(sa, request, connection.children, without_ke=True)
            child, answer, selectors = await agreement.answer(sa, choice, keying)
        except Refused as refusal:
            sa.emit(mismatch(sa, refusal))
            return [Notify(refusal.notify, refusal.data)]
        except BackendError as failure:
            sa.emit(ChildFailed(sa, "", str(failure)))
            return [Notify(NotifyType.TEMPORARY_FAILURE)]
        children.announce(sa, child)
        return [answer, *selectors]
