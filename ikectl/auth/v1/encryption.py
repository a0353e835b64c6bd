"""Phase 1 by public key encryption (RFC 2409 §5.2) and its revised mode (§5.3).

Each end sends nonce and identity under the RSA key of the other, and proves
itself by knowing what only its own key reveals: the nonces make SKEYID. The
peer's certificate therefore has to be known beforehand. In the revised mode
RSA covers the nonce alone; all else is under a symmetric key made of it.

Whoever decrypts must not tell whether the padding was right, or every message
it answers is a step towards reading others (RFC 8017 §7.2). So nothing that
was wrongly encrypted is refused: the exchange goes on with random octets, to
the wrong HASH at its end. The same is done for identities that are not known.
"""

from __future__ import annotations

import struct
from hmac import compare_digest

from ikectl.auth.peer import demand_unrevoked
from ikectl.auth.v1.base import NONCE_LENGTHS, Authentication, Keying
from ikectl.config.match import for_identities
from ikectl.config.model import Connection, Local, Remote, SendCert
from ikectl.crypto.encryption_v1 import EphemeralCipher, certificate_hash, ephemeral_key
from ikectl.crypto.kdf_v1 import skeyid_encryption
from ikectl.crypto.transforms import KE_BY_METHOD
from ikectl.errors import AuthenticationFailed, CredentialError, IntegrityFailure, PeerMisbehaved, WireError
from ikectl.iana.v1 import AuthMethod, CertEncoding, IdType
from ikectl.pki.certificate import Certificate
from ikectl.pki.chain import Peer
from ikectl.pki.signer import Fingerprint, IsakmpSigner
from ikectl.sa.asks import CheckChain, ChooseKeyV1, Decrypt, Encrypt, GenerateKe, KnownCertificate
from ikectl.sa.events import Note
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.values.identity import Identity
from ikectl.values.secret import Secret
from ikectl.wire.v1.identity import CERT, ID
from ikectl.wire.v1.keying import KE, Hash, Nonce
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.payload import Payload

MAX_OWN_KEYS = 16
"""Configurations of ours that are asked for the key a peer encrypted to; a gateway has one or two keys."""

RANDOM_NONCE_OCTETS = 32


class Encryption(Authentication):
    """One phase 1 by public key encryption (RFC 2409 §5.2)."""

    IDENTITY_WITH_KEYS = True

    def __init__(self, method: AuthMethod, initiator: bool) -> None:
        self._method = method
        self._initiator = initiator
        self._peer: ID | None = None
        """Who the initiator says it is, to its responder."""
        self._own: IsakmpSigner | None = None
        """Which key of the responder's the initiator encrypted to."""
        self._sent: bytes = b""
        """The certificate that came along."""
        self._initiating: Peer | None = None
        """The initiator's key, to its responder."""
        self._refusal = ""
        """Why the initiator was answered with random octets."""

    async def own_identity(self, sa: IsakmpSa, local: Local) -> Identity:
        """The configured identity; else the subject of our certificate, which is that the peer encrypted to."""
        return local.id or (self._own or await ChooseKeyV1(local, (), self._method)).identity

    async def say_keys(self, sa: IsakmpSa, public: bytes, nonce: bytes) -> list[Payload]:
        connection = sa.connection if self._initiator else self._fitting(sa)
        assert connection is not None
        local, remote = connection.local[0], connection.remote[0]
        signer = self._own or await ChooseKeyV1(local, (), self._method)
        body = ID.of(await self.own_identity(sa, local)).body()
        spki: bytes | None
        named: list[Payload] = []
        if self._initiator:
            known = await KnownCertificate(remote, remote.id.identity)
            spki = known.spki
            named = self._fingerprint(sa, known.path[0])
        else:
            spki = await self._key_of_initiator(remote)
            if spki is None:
                # What follows will not even decrypt: this is the last place where the reason is known.
                sa.emit(Note(sa, f"our answer is for nobody to read, so that the peer learns nothing: {self._refusal}"))
        return await self._seal(sa, spki, signer, public, nonce, body, named, connection)

    async def hear_keys(self, sa: IsakmpSa, message: Message) -> Keying:
        # An earlier message of nobody in particular may have come to nothing: nothing of it stays.
        self._peer, self._own, self._sent, self._initiating, self._refusal = None, None, b"", None, ""
        signer = await self._addressed(sa, message)
        self._check(sa, message, (signer.bits + 7) // 8)
        keying = await self._open(sa, message, signer.key_id)
        if not self._initiator:
            self._peer, self._own = keying.identity, signer
        return keying

    async def skeyid(self, sa: IsakmpSa) -> Secret:
        shake, suite = sa.handshake, sa.suite
        assert shake is not None and suite is not None
        return skeyid_encryption(suite, shake.nonce_i, shake.nonce_r, sa.spi_i, sa.spi_r)

    async def prove(self, sa: IsakmpSa, local: Local, hash: bytes) -> list[Payload]:
        return [Hash(hash)]

    async def verify(self, sa: IsakmpSa, message: Message, remote: Remote, hash: bytes) -> str:
        identity = sa.remote_id
        assert identity is not None
        if self._refusal:
            raise AuthenticationFailed(self._refusal)
        if not compare_digest(message.one(Hash).data, hash):
            raise AuthenticationFailed(
                f"the HASH of {identity} is wrong: one end does not have the RSA key that the other encrypted to"
            )
        if self._initiator:
            await self._confirm(remote, identity)
        elif self._initiating is not None:
            try:
                await demand_unrevoked(self._initiating, remote)
            except CredentialError as error:
                raise AuthenticationFailed(str(error)) from error
        return str(self._method)

    # -- what the modes do differently

    async def _seal(
        self,
        sa: IsakmpSa,
        spki: bytes | None,
        signer: IsakmpSigner,
        public: bytes,
        nonce: bytes,
        id_body: bytes,
        named: list[Payload],
        connection: Connection,
    ) -> list[Payload]:
        """Our payloads. `spki` None: for nobody to read."""
        sealed_id = await self._encrypt(sa, spki, signer, id_body)
        sealed_nonce = await self._encrypt(sa, spki, signer, nonce)
        return [KE(public), *named, ID.read(sealed_id), Nonce(sealed_nonce)]

    def _check(self, sa: IsakmpSa, message: Message, key_octets: int) -> None:
        """What shows without a key, and what the private key is therefore not used for. Raises PeerMisbehaved."""
        assert sa.suite is not None
        _check_octets("a public value", len(message.one(KE).public), KE_BY_METHOD[sa.suite.ke].initiator_octets)
        _check_octets("an encrypted identity", len(message.body_of(message.one(ID))), key_octets)
        _check_octets("an encrypted nonce", len(message.one(Nonce).value), key_octets)

    async def _open(self, sa: IsakmpSa, message: Message, key_id: str) -> Keying:
        sealed_id = message.body_of(message.one(ID))
        id_body = await Decrypt(key_id, sealed_id, sa.random)
        nonce = await self._nonce(sa, message, key_id)
        return Keying(message.one(KE).public, nonce, _identification(id_body), id_body)

    # -- what they have in common

    async def _encrypt(self, sa: IsakmpSa, spki: bytes | None, signer: IsakmpSigner, data: bytes) -> bytes:
        if spki is not None:
            return await Encrypt(spki, data)
        octets = sa.random((signer.bits + 7) // 8)
        return bytes((octets[0] & 0x7F,)) + octets[1:]  # as a number below any modulus of that size

    async def _nonce(self, sa: IsakmpSa, message: Message, key_id: str) -> bytes:
        nonce = await Decrypt(key_id, message.one(Nonce).value, sa.random)
        return nonce if len(nonce) in NONCE_LENGTHS else sa.random(RANDOM_NONCE_OCTETS)

    def _fingerprint(self, sa: IsakmpSa, der: bytes) -> list[Payload]:
        """HASH(1), which names the certificate we encrypt to, once the hash is settled (§5.2)."""
        return [] if sa.suite is None else [Hash(certificate_hash(sa.suite, der))]

    async def _addressed(self, sa: IsakmpSa, message: Message) -> IsakmpSigner:
        """Which key of ours the peer encrypted to. Raises AuthenticationFailed."""
        shake, suite, connection = sa.handshake, sa.suite, sa.connection
        assert shake is not None and suite is not None
        locals_ = [connection.local[0]] if connection is not None else []
        fingerprint = None
        if not self._initiator:
            locals_ = list(dict.fromkeys([*locals_, *(each.local[0] for each in shake.candidates)]))
            named = message.get(Hash)
            fingerprint = None if named is None else Fingerprint(suite.hash_name, named.data)
        refusal = "no key of ours is configured"
        for local in locals_[:MAX_OWN_KEYS]:
            try:
                return await ChooseKeyV1(local, (), self._method, fingerprint)
            except CredentialError as error:
                refusal = str(error)
        raise AuthenticationFailed(refusal)

    def _fitting(self, sa: IsakmpSa) -> Connection:
        """The responder's connection for the initiator; any, if there is none for that identity."""
        assert sa.handshake is not None and self._peer is not None
        connection, why = for_identities(sa.handshake.candidates, self._peer.identity)
        if connection is None:
            self._refusal = why
            return sa.handshake.candidates[0]
        return connection

    async def _key_of_initiator(self, remote: Remote) -> bytes | None:
        """The initiator's key; None if it has none that is good, which must not show."""
        assert self._peer is not None
        identity = self._peer.identity
        try:
            if self._refusal:
                return None
            if self._sent:
                self._initiating = await CheckChain((self._sent,), remote, identity)
            else:
                self._initiating = await KnownCertificate(remote, identity)
            return self._initiating.spki
        except CredentialError as error:
            self._refusal = str(error)
            return None

    async def _confirm(self, remote: Remote, identity: Identity) -> None:
        """The responder must be who the certificate names that we encrypted to. Raises AuthenticationFailed."""
        try:
            peer = await KnownCertificate(remote, remote.id.identity)
            await demand_unrevoked(peer, remote)
        except CredentialError as error:
            raise AuthenticationFailed(str(error)) from error
        known = Certificate.of_peer(peer.path[0])
        if not known.confirms(identity):
            raise AuthenticationFailed(f"the certificate of {known} does not speak for {identity}")


class Revised(Encryption):
    """One phase 1 by the revised mode of public key encryption (RFC 2409 §5.3)."""

    async def _seal(
        self,
        sa: IsakmpSa,
        spki: bytes | None,
        signer: IsakmpSigner,
        public: bytes,
        nonce: bytes,
        id_body: bytes,
        named: list[Payload],
        connection: Connection,
    ) -> list[Payload]:
        assert sa.suite is not None
        sealed_nonce = await self._encrypt(sa, spki, signer, nonce)
        cookie = sa.spi_i if self._initiator else sa.spi_r
        cipher = EphemeralCipher(sa.suite, ephemeral_key(sa.suite, nonce, cookie))
        payloads = [*named, Nonce(sealed_nonce), KE(cipher.encrypt(public)), ID.read(cipher.encrypt(id_body))]
        if self._initiator and connection.send_cert is SendCert.ALWAYS:
            own = CERT(CertEncoding.X509_SIGNATURE, signer.certificates[0])
            payloads.append(CERT.read(cipher.encrypt(own.body())))
        return payloads

    def _check(self, sa: IsakmpSa, message: Message, key_octets: int) -> None:
        assert sa.suite is not None
        _check_octets("an encrypted nonce", len(message.one(Nonce).value), key_octets)
        public = KE_BY_METHOD[sa.suite.ke].initiator_octets
        for what, sealed, least in (
            ("public value", message.one(KE).public, public),
            ("identity", message.body_of(message.one(ID)), 0),
        ):
            if len(sealed) <= least or len(sealed) % sa.suite.block_octets:
                raise PeerMisbehaved(f"an encrypted {what} of {len(sealed)} octets; whole blocks, and padding, are due")

    async def _open(self, sa: IsakmpSa, message: Message, key_id: str) -> Keying:
        assert sa.suite is not None
        nonce = await self._nonce(sa, message, key_id)
        cookie = message.cookie_r if self._initiator else message.cookie_i
        cipher = EphemeralCipher(sa.suite, ephemeral_key(sa.suite, nonce, cookie))
        public = _opened(cipher, message.one(KE).public)
        id_body = _opened(cipher, message.body_of(message.one(ID)))
        certificate = message.get(CERT)
        if certificate is not None and not self._initiator:
            own = _opened(cipher, message.body_of(certificate)) or b""
            self._sent = own[1:] if own[:1] == bytes((CertEncoding.X509_SIGNATURE,)) else b""
        if public is None or len(public) != KE_BY_METHOD[sa.suite.ke].initiator_octets:
            # Of a wrong nonce nothing else can come. Another value of that kind keeps it from showing.
            public = (await GenerateKe(sa.suite.ke, sa.random)).public
        if id_body is None:
            id_body = sa.random(RANDOM_NONCE_OCTETS)
        return Keying(public, nonce, _identification(id_body), id_body)


def _check_octets(what: str, octets: int, due: int) -> None:
    if octets != due:
        raise PeerMisbehaved(f"{what} of {octets} octets; it has {due}")


def _opened(cipher: EphemeralCipher, data: bytes) -> bytes | None:
    """What was under Ke_i or Ke_r; None for what was not."""
    try:
        return cipher.decrypt(data)
    except (IntegrityFailure, WireError):
        return None


def _identification(body: bytes) -> ID:
    """The ID payload; what is none was wrongly encrypted, and is nobody's."""
    try:
        found = ID.read(body)
        _ = found.identity
    except (PeerMisbehaved, struct.error):
        return ID(IdType.KEY_ID, 0, 0, body)
    return found


__all__ = ["Encryption", "Revised"]
