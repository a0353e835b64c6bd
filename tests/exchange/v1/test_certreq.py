"""CERTREQ of IKEv1: what we ask for, and what a peer's requests mean (RFC 2408 §3.10, RFC 4945 §3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ikectl.config.model import Auth, AuthKind, Connection, Local, Remote
from ikectl.exchange.v1.certreq import MAX_REQUESTS, authorities, request_certificates
from ikectl.iana.v1 import CertEncoding, ExchangeType, cert_encoding
from ikectl.pki.certificate import Certificate
from ikectl.pki.store import Store
from ikectl.wire.v1.identity import CERTREQ
from ikectl.wire.v1.message import Message
from tests.auth.answers import run
from tests.pki.certs import Authority

X509, PKCS7, CRL = CertEncoding.X509_SIGNATURE, CertEncoding.PKCS7_X509, CertEncoding.CRL
CAS = [Authority.root(f"certreq {number}") for number in range(3)]
NAMES = [Certificate.read(ca.der).subject.data for ca in CAS]


def connection(kind: AuthKind = AuthKind.PUBKEY, asks: bool = True, cacerts: Sequence[bytes] = ()) -> Connection:
    remote = Remote(auth=Auth(kind), cacerts=tuple(cacerts))
    return Connection("site", (), send_certreq=asks, local=(Local(),), remote=(remote,))


def store(cas: Sequence[Authority]) -> Store:
    made = Store()
    for ca in cas:
        made.add_certificate(ca.der, ca=True)
    return made


def asked(*connections: Connection, cas: Sequence[Authority] = CAS) -> list[CERTREQ]:
    return run(request_certificates(connections), store(cas))


@pytest.mark.conformance("v1-40")
def test_one_request_for_each_authority() -> None:
    assert asked(connection()) == [CERTREQ(X509, name) for name in NAMES]
    assert asked(connection(cacerts=[CAS[1].der])) == [CERTREQ(X509, NAMES[1])]


def test_nothing_is_asked_for_where_no_certificate_is_wanted() -> None:
    for kind in (AuthKind.PSK, AuthKind.XAUTH, AuthKind.RSA_ENCRYPTION, AuthKind.RSA_ENCRYPTION_REVISED):
        assert not asked(connection(kind))
    assert not asked(connection(asks=False)) and not asked() and not asked(connection(), cas=())
    assert len(asked(connection(AuthKind.PSK), connection(cacerts=[CAS[1].der]))) == 1


@pytest.mark.conformance("v1-40")
def test_too_many_become_any() -> None:
    many = [Authority.root(f"certreq {number}", "ed25519") for number in range(MAX_REQUESTS + 1)]
    assert len(asked(connection(), cas=many[1:])) == MAX_REQUESTS
    assert asked(connection(), cas=many) == [CERTREQ(X509, b"")]


@pytest.mark.conformance("v1-40")
@pytest.mark.parametrize(
    ("requests", "wanted"),
    [
        ([], ()),
        ([CERTREQ(X509, b"a"), CERTREQ(X509, b"b"), CERTREQ(X509, b"a")], (b"a", b"b")),
        ([CERTREQ(PKCS7, b"a")], (b"a",)),
        ([CERTREQ(X509, b"a"), CERTREQ(X509, b"")], ()),
        ([CERTREQ(CRL, b""), CERTREQ(X509, b"a"), CERTREQ(cert_encoding(99), b"b")], (b"a",)),
        ([CERTREQ(CRL, b"a")], ()),
    ],
)
def test_what_a_peer_wants(requests: list[CERTREQ], wanted: tuple[bytes, ...]) -> None:
    """An empty name stands for any CA; requests for something else than certificates are not for us."""
    message = Message(bytes(8), bytes(8), ExchangeType.IDENTITY_PROTECTION, 0, list(requests))
    assert authorities(Message.read(message.write())) == wanted
