"""TLS for EAP-TLS, EAP-TTLS and EAP-PEAP: OpenSSL in memory, without sockets.

Certificates of peers are only handed on: who holds the session has them judged
like those of IKE (`CheckChain`), before it says or believes anything.
"""

from __future__ import annotations

from weakref import WeakSet

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from ikectl.daemon.answers import Immediate
from ikectl.errors import BackendError, CredentialError
from ikectl.pki.store import Store
from ikectl.sa.asks import BeginTls, ExportTls, StepTls
from ikectl.sa.tls import TlsTurn
from ikectl.values.secret import Secret

CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES:DHE+AES:!aNULL:!PSK"
"""Of TLS 1.2: AES or ChaCha20 with forward secrecy. In TLS 1.3 all are so."""
MAX_RECORDS = 256 * 1024
"""Octets of one flight that OpenSSL may make: long chains and a list of CAs have a tenth of that."""
MAX_PLAIN = 64 * 1024
"""Octets that a peer may say inside in one message; an EAP packet has no more."""
MAX_SESSIONS = 2000
"""Handshakes at once in which we are the server. Anybody may begin one, and each takes some 50 KiB until its IKE SA
stands or is given up."""
_TLS13 = 0x0304
_LEGACY_SERVER_CONNECT = 0x4
"""SSL_OP_LEGACY_SERVER_CONNECT, which pyOpenSSL does not name: a server may lack RFC 5746, as strongSwan's does. What
that protects from, data of one session taken for another's by a renegotiation, does not exist in EAP."""
_ROOM = 16 * 1024 + 512


class Session:
    """One connection, either end."""

    def __init__(self, context: SSL.Context, server: bool) -> None:
        self._connection = SSL.Connection(context, None)
        if server:
            self._connection.set_accept_state()
        else:
            self._connection.set_connect_state()
        self._established = False

    def step(self, received: bytes, plain: bytes) -> TlsTurn:
        """See `sa.tls.TlsSession`."""
        failed, said = "", b""
        try:
            if received:
                self._connection.bio_write(received)
            self._shake()
            if self._established:
                if plain:
                    self._connection.sendall(plain)
                said = self._hear()
        except SSL.ZeroReturnError:
            failed = "the peer closed the TLS session"
        except SSL.Error as error:
            failed = _words(error)
        records, tls13 = self._records(), self._connection.get_protocol_version() == _TLS13
        try:
            peer = self._peer()
        except (ValueError, x509.InvalidVersion) as error:
            # OpenSSL takes more for a certificate than can be judged; whom it names is told nothing further.
            return TlsTurn(b"", Secret(b""), False, tls13, (), f"the peer's certificate cannot be read: {error}")
        return TlsTurn(records, Secret(said), self._established, tls13, peer, failed)

    def export(self, label: bytes, context: bytes | None, octets: int) -> Secret:
        """See `sa.tls.TlsSession`."""
        return Secret(self._connection.export_keying_material(label, octets, context))

    def _shake(self) -> None:
        if self._established:
            return
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return
        self._established = True

    def _hear(self) -> bytes:
        said = b""
        try:
            while len(said) <= MAX_PLAIN:
                said += self._connection.recv(_ROOM)
        except SSL.WantReadError:
            pass
        return said

    def _records(self) -> bytes:
        made = b""
        try:
            while len(made) <= MAX_RECORDS:
                made += self._connection.bio_read(_ROOM)
        except SSL.WantReadError:
            pass
        return made

    def _peer(self) -> tuple[bytes, ...]:
        leaf = self._connection.get_peer_certificate(as_cryptography=True)
        if leaf is None:
            return ()
        chain = self._connection.get_peer_cert_chain(as_cryptography=True) or []
        return tuple(_der(each) for each in (leaf, *(each for each in chain if each != leaf)))


class Tls:
    """Answers the asks about TLS, with the keys of a store."""

    def __init__(self, store: Store, newest: int = SSL.TLS1_3_VERSION) -> None:
        """`newest` is the highest version that is spoken."""
        self._store = store
        self._newest = newest
        self._served: WeakSet[Session] = WeakSet()
        """Those that somebody still holds."""

    @property
    def immediate(self) -> Immediate:
        """What is answered in place."""
        return {
            BeginTls: self.begin,
            StepTls: lambda ask: ask.session.step(ask.received, ask.plain),
            ExportTls: lambda ask: ask.session.export(ask.label, ask.context, ask.octets),
        }

    def begin(self, ask: BeginTls) -> Session:
        """Raises CredentialError: the certificate or its key does not serve, or is gone; BackendError: too many."""
        if ask.server and len(self._served) >= MAX_SESSIONS:
            raise BackendError(f"{MAX_SESSIONS} TLS handshakes are under way already")
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_max_proto_version(self._newest)
        context.set_cipher_list(CIPHERS)
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | _LEGACY_SERVER_CONNECT)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        if ask.wants or not ask.server:
            # Every chain is let through: judging it is not OpenSSL's part here (see above).
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        if ask.certificates:
            self._prove(context, ask)
        made = Session(context, ask.server)
        if ask.server:
            self._served.add(made)
        return made

    def _prove(self, context: SSL.Context, ask: BeginTls) -> None:
        leaf, *others = map(x509.load_der_x509_certificate, ask.certificates)
        key = self._store.key(ask.key_id)
        if isinstance(key, mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey):
            raise CredentialError("this TLS takes no ML-DSA key; give this connection another certificate")
        try:
            context.use_certificate(leaf)
            context.use_privatekey(key)
            for other in others:
                context.add_extra_chain_cert(other)
        except SSL.Error as error:
            raise CredentialError(f"OpenSSL cannot use our certificate in TLS: {_words(error)}") from None


def _words(error: SSL.Error) -> str:
    """What OpenSSL says; alerts of the peer among it (`tlsv1 alert unknown ca`)."""
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else ()
    texts = [str(reason[-1]) for reason in reasons if isinstance(reason, tuple) and reason]
    return f"TLS failed: {', '.join(texts) or 'the session ended'}"


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
