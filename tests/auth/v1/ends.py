"""Two ends of one phase 1, whose authentication is run message by message without any mode around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ikectl.auth.v1.base import Authentication, Keying
from ikectl.auth.v1.table import authentication
from ikectl.config.model import Auth, AuthKind, Connection, Local, Remote
from ikectl.crypto import ke, transforms
from ikectl.crypto.suite_v1 import IsakmpSuite
from ikectl.iana.v1 import AuthMethod, ExchangeType
from ikectl.iana.v2 import KeyExchangeMethod, PrfId
from ikectl.pki.store import Store
from ikectl.sa.env import Env
from ikectl.sa.isakmp_sa import IsakmpSa, Phase1
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.values.path import Endpoint, Path
from ikectl.values.secret import Secret
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.payload import Payload
from tests.auth.answers import run
from tests.pki.certs import Authority, Identified
from tests.sim.tape import Tape

COOKIE_I, COOKIE_R = b"cookie-i", b"cookie-r"
ROOT = Authority.root("v1 root", "rsa-2048")
NETWORK = ROOT.authority("v1 network", "rsa-2048")
MOON_ID, SUN_ID = "moon.example.org", "sun.example.org"
HASH = bytes(range(32))
"""What HASH_I and HASH_R are, to methods that sign it or compare it."""


def leaf(name: str, kind: str = "rsa-2048", **options: Any) -> Identified:
    return NETWORK.leaf(name, kind, **{"names": (f"{name}.example.org",), **options})


_made: dict[tuple[bytes, ...], Store] = {}


def store(*own: Identified, known: Sequence[Identified] = (), fresh: bool = False) -> Store:
    """A store that trusts the root and knows the CA below it. One of a kind is kept: loading RSA keys is slow."""
    about = (*(each.der for each in own), b"", *(each.der for each in known))
    if about in _made and not fresh:
        return _made[about]
    made = Store()
    made.add_certificate(ROOT.der, ca=True)
    made.add_certificate(NETWORK.der, ca=True)
    for identified in own:
        made.add_certificate(identified.der)
        made.add_key(identified.key_pem)
    for identified in known:
        made.add_certificate(identified.der)
    if not fresh:
        _made[about] = made
    return made


def connection(
    kind: AuthKind, local: Identity | None, certs: tuple[bytes, ...], remote: Remote | None = None, **more: Any
) -> Connection:
    ours = Local(auth=Auth(kind), id=local, certs=certs)
    return Connection("site", (), version=1, local=(ours,), remote=(remote or Remote(auth=Auth(kind)),), **more)


@dataclass
class End:
    """One end: its facts, its credentials and its half of the method."""

    sa: IsakmpSa
    store: Store
    method: Authentication

    @classmethod
    def of(cls, method: AuthMethod, initiator: bool, store: Store, connection: Connection) -> End:
        us, them = ("192.0.2.1", "198.51.100.1") if initiator else ("198.51.100.1", "192.0.2.1")
        path = Path(Endpoint.parse(us, 500), Endpoint.parse(them, 500))
        tape = Tape(1, "initiator" if initiator else "responder")
        sa = IsakmpSa(Env(lambda _: tape), tape, 1, initiator, COOKIE_I, COOKIE_R, path, connection)
        cipher, prf = transforms.BY_KEYWORD["aes128"], transforms.PRF_BY_ID[PrfId.HMAC_SHA2_256]
        assert isinstance(cipher, transforms.Encryption)
        sa.suite = IsakmpSuite.of(cipher, prf, KeyExchangeMethod.ECP_256)
        sa.method = method
        sa.handshake = Phase1(shared=Secret(bytes(32)), candidates=() if initiator else (connection,))
        sa.remote_id = Identity.parse(SUN_ID if initiator else MOON_ID)
        return cls(sa, store, authentication(method, initiator))

    @property
    def local(self) -> Local:
        assert self.sa.connection is not None
        return self.sa.connection.local[0]

    @property
    def remote(self) -> Remote:
        assert self.sa.connection is not None
        return self.sa.connection.remote[0]

    def prove(self, hash: bytes = HASH) -> list[Payload]:
        return run(self.method.prove(self.sa, self.local, hash), self.store)

    def verify(self, payloads: list[Payload], hash: bytes = HASH) -> str:
        return run(self.method.verify(self.sa, message(payloads), self.remote, hash), self.store)

    def say(self) -> tuple[list[Payload], bytes]:
        """Our key exchange message, and the nonce in it; nonce and public value are facts then."""
        shake = self.sa.handshake
        assert shake is not None
        nonce, pair = self.sa.random(32), ke.generate(KeyExchangeMethod.ECP_256, self.sa.random)
        said = run(self.method.say_keys(self.sa, pair.public, nonce), self.store)
        if self.sa.initiator:
            shake.nonce_i, shake.public_i = nonce, pair.public
        else:
            shake.nonce_r, shake.public_r = nonce, pair.public
        return said, nonce

    def hear(self, payloads: list[Payload]) -> Keying:
        shake = self.sa.handshake
        assert shake is not None
        heard = run(self.method.hear_keys(self.sa, message(payloads)), self.store)
        if self.sa.initiator:
            shake.nonce_r, shake.public_r = heard.nonce, heard.public
        else:
            shake.nonce_i, shake.public_i = heard.nonce, heard.public
        return heard

    def skeyid(self) -> bytes:
        return run(self.method.skeyid(self.sa), self.store)


def message(payloads: list[Payload]) -> Message:
    """As it comes from the wire."""
    written = Message(COOKIE_I, COOKIE_R, ExchangeType.IDENTITY_PROTECTION, 0, payloads).write()
    return Message.read(written)


def pattern(text: str) -> IdentityPattern:
    return IdentityPattern.parse(text)
