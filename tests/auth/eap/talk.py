"""Whole conversations of EAP in one process: a client, a server, and what answers their asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from OpenSSL import SSL

from ikectl.auth.eap.peer import EapPeer
from ikectl.auth.eap.server import EapServer
from ikectl.config.model import Auth, AuthKind, Local, Remote
from ikectl.daemon.tls import Tls
from ikectl.iana.eap import EapType
from ikectl.pki.store import Store
from ikectl.sa.asks import Authorities
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.wire.eap import EapMessage
from tests.auth.answers import answers as store_answers
from tests.auth.answers import drive
from tests.pki.certs import Authority, Identified
from tests.sim.tape import Tape
from tests.sim.users import user_answers

T = TypeVar("T")
Answers = Mapping[type[Any], Callable[[Any], Any]]

CAROL = Identity.parse("carol@example.org")
SUN = Identity.parse("sun.example.org")
PASSWORDS = {"carol@example.org": b"Ar3etTnp", "dave": b"UgaM65Va"}
ADDRESS = bytes((192, 0, 2, 7))


ROOT = Authority.root("eap root")
NETWORK = ROOT.authority("eap network")
"""Above the certificates of both ends."""


def leaf(cn: str, *names: str, kind: str = "ecdsa-256") -> Identified:
    return NETWORK.leaf(cn, kind, names=names or (f"{cn}.example.org",))


def store_of(*own: Identified, root: Authority = ROOT) -> Store:
    """A store with these keys, which trusts `root`."""
    made = Store()
    made.add_certificate(root.der, ca=True)
    for identified in own:
        made.add_certificate(identified.der)
        made.add_key(identified.key_pem)
        for der in identified.chain:
            made.add_certificate(der, ca=True)
    return made


def answers_of(store: Store, passwords: Mapping[str, bytes], newest: int = SSL.TLS1_3_VERSION) -> Answers:
    """What a host with this store and these passwords answers."""
    certificates = {Authorities: lambda ask: store.authorities(ask.remotes)}
    return {**store_answers(store), **certificates, **Tls(store, newest).immediate, **user_answers(passwords)}


SUN_STORE = store_of(leaf("sun"))
CAROL_STORE = store_of(leaf("carol", "carol@example.org"))


def eap(*methods: EapType) -> Auth:
    return Auth(AuthKind.EAP, eap=methods)


@dataclass
class Talk:
    """One conversation. `packets` are those that went over, the server's first."""

    client: EapPeer
    server: EapServer
    of_client: Answers
    of_server: Answers
    packets: list[bytes] = field(default_factory=list)

    def run(self) -> Talk:
        """To the server's last word, which the client takes too. Raises what the client raises."""
        request = drive(self.server.begin(), self.of_server)
        while True:
            self.packets.append(request)
            response = drive(self.client.take(request), self.of_client)
            if self.server.verdict is not None:
                assert response == b""
                return self
            self.packets.append(response)
            request = drive(self.server.take(response), self.of_server)

    @property
    def read(self) -> list[EapMessage]:
        return [EapMessage.read(packet) for packet in self.packets]

    @property
    def shape(self) -> list[str]:
        """`REQUEST IDENTITY`, ..., `SUCCESS`."""
        return [f"{each.code} {each.type}" if each.type is not None else str(each.code) for each in self.read]


def talk(
    *methods: EapType,
    offered: tuple[EapType, ...] = (),
    identity: Identity = CAROL,
    ike: Identity = CAROL,
    eap_id: str = "",
    known: Mapping[str, bytes] = PASSWORDS,
    given: Mapping[str, bytes] = PASSWORDS,
    seed: int = 1,
    only_mutual: bool = False,
    demands: Remote | None = None,
    of_client: Answers | None = None,
    of_server: Answers | None = None,
    local: Local | None = None,
    remote: Remote | None = None,
    gateway: Local | None = None,
) -> Talk:
    """A client that takes `methods` and a server that offers `offered` (the same), `eap_id` being whom it wants.

    `known` are the passwords the server knows, `given` those of the client. `demands` is what the client
    wants of a server that EAP proves.
    """
    local = local or Local(auth=eap(*methods), eap_id=identity)
    pattern = IdentityPattern.parse(eap_id) if eap_id else None
    remote = remote or Remote(auth=eap(*(offered or methods)), eap_id=pattern)
    gateway = gateway or Local(id=SUN)
    return Talk(
        EapPeer(local, ike, Tape(seed, "client"), SUN, only_mutual, demands),
        EapServer(remote, ike, ADDRESS, gateway, Tape(seed, "server")),
        {**answers_of(CAROL_STORE, given), **(of_client or {})},
        {**answers_of(SUN_STORE, known), **(of_server or {})},
    )
