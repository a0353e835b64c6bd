"""Certificates by hash and URL (RFC 7296 §3.6): sent to who announced that it fetches, fetched from where we may."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ikectl.config.model import Auth, AuthKind, Connection, Local, Remote
from ikectl.errors import BackendError
from ikectl.iana.v2 import CertEncoding, NotifyType
from ikectl.pki.certificate import Certificate
from ikectl.pki.store import Store
from ikectl.sa import asks
from ikectl.sa.events import AuthFailed
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.wire.payload import Payload
from ikectl.wire.v2.identity import CERT
from tests.auth.answers import answers
from tests.pki.certs import Authority
from tests.scenarios.stage import IKE_AUTH, gateways, rewrite, stands
from tests.sim.site import Site
from tests.sim.wiretap import Wiretap, which

BASE = "http://certs.example.org/"
CA = Authority.root("CA")
LEAVES = {name: CA.leaf(name, names=(f"{name}.example.org",)) for name in ("moon", "sun")}
BY_DIGEST = {hashlib.sha1(leaf.der).hexdigest(): leaf.der for leaf in LEAVES.values()}
Fetch = Callable[[asks.FetchCertificates], tuple[bytes, ...]]


def published(ask: asks.FetchCertificates) -> tuple[bytes, ...]:
    assert ask.uri == BASE + ask.digest.hex()
    return (BY_DIGEST[ask.digest.hex()],)


def pair(
    fetch: Fetch = published, moon: tuple[str, ...] = (BASE,), sun: tuple[str, ...] = (BASE,)
) -> tuple[Site, Wiretap]:
    options: dict[str, Any] = {}
    for name, peer, cert_uris in (("moon", "sun", moon), ("sun", "moon", sun)):
        store = Store()
        store.add_certificate(CA.der, ca=True)
        store.add_certificate(LEAVES[name].der)
        store.add_key(LEAVES[name].key_pem)
        store.set_cert_uri_base("CA", Certificate.read(CA.der), BASE)
        options[f"{name}_host"] = {
            "answers": {
                **answers(store),
                asks.Authorities: lambda ask, store=store: store.authorities(ask.remotes),
                asks.FetchCertificates: fetch,
            },
            "slow": {asks.FetchCertificates: 1.0},
        }
        pubkey = Auth(AuthKind.PUBKEY)
        options[name] = {
            "cert_uris": cert_uris,
            "ends": (
                Local(auth=pubkey, id=Identity.parse(f"{name}.example.org")),
                Remote(auth=pubkey, id=IdentityPattern.parse(f"{peer}.example.org")),
            ),
        }
    return gateways(**options)


@pytest.mark.conformance("v2-67")
def test_both_ends_fetch() -> None:
    """N(HTTP_CERT_LOOKUP_SUPPORTED) in the second message and the third; CERT of encoding 12 either way."""
    site, wire = pair()
    token = site.up()
    assert site.moon.done[token].error is None, site.moon.done[token].error
    assert stands(site)
    init, asked, answered = wire.messages()[1:4]
    assert init.notify(NotifyType.HTTP_CERT_LOOKUP_SUPPORTED) and asked.notify(NotifyType.HTTP_CERT_LOOKUP_SUPPORTED)
    for message, name in ((asked, "moon"), (answered, "sun")):
        digest = hashlib.sha1(LEAVES[name].der).digest()
        assert [(each.encoding, each.data) for each in message.all(CERT)] == [
            (CertEncoding.HASH_AND_URL_X509, digest + (BASE + digest.hex()).encode())
        ]


@pytest.mark.conformance("v2-67")
@pytest.mark.parametrize(("moon", "sun"), [((), ()), ((BASE,), ()), ((), (BASE,))])
def test_only_to_who_announced_it(moon: tuple[str, ...], sun: tuple[str, ...]) -> None:
    site, wire = pair(moon=moon, sun=sun)
    site.up()
    assert stands(site)
    asked, answered = wire.messages()[2:4]
    for message, peer_fetches in ((asked, sun), (answered, moon)):
        (cert,) = message.all(CERT)
        assert cert.encoding is (CertEncoding.HASH_AND_URL_X509 if peer_fetches else CertEncoding.X509_SIGNATURE)


def unreachable(ask: asks.FetchCertificates) -> tuple[bytes, ...]:
    raise BackendError("no answer within 8 seconds")


@pytest.mark.conformance("v2-67")
def test_a_certificate_that_cannot_be_fetched() -> None:
    site, _ = pair(unreachable)
    site.up()
    assert not site.sun.machines
    assert "was not fetched: no answer within 8 seconds" in site.sun.saw(AuthFailed)[0].text()


@pytest.mark.parametrize(
    "uri",
    [
        "http://other.example.org/x",
        "http://certs.example.org.evil.org/x",
        "http://certs.example.org/../x",
        "http://certs.example.org/a/..",
        "http://certs.example.org/x?y",
        "http://certs.example.org/x#y",
        "http://certs.example.org/%2e%2e/x",
        "http://certs.example.org/@evil.org",
        "http://certs.example.org/",
        "file:///etc/passwd",
        "",
        "\r\n",
    ],
)
@pytest.mark.parametrize("encoding", [CertEncoding.HASH_AND_URL_X509, CertEncoding.HASH_AND_URL_BUNDLE])
def test_places_that_are_not_allowed(uri: str, encoding: CertEncoding) -> None:
    """Whoever sent it has proven nothing: nobody is called because of it."""
    asked: list[asks.FetchCertificates] = []

    def fetch(ask: asks.FetchCertificates) -> tuple[bytes, ...]:
        asked.append(ask)
        return (LEAVES["moon"].der,)

    site, wire = pair(fetch)
    swap(wire, CERT(encoding, bytes(20) + uri.encode()))
    site.up()
    assert not asked and not site.sun.machines
    assert "cert_uris of this connection does not allow" in site.sun.saw(AuthFailed)[0].text()


def test_many_places() -> None:
    site, wire = pair(lambda ask: (LEAVES["sun"].der,))
    swap(wire, *[CERT(CertEncoding.HASH_AND_URL_X509, bytes(20) + (BASE + "x").encode())] * 5)
    site.up()
    assert not site.sun.machines
    assert "more than 4 certificates by URL" in site.sun.saw(AuthFailed)[0].text()


def test_without_cert_uris_nothing_is_fetched() -> None:
    site, wire = pair(unreachable, sun=())
    swap(wire, CERT(CertEncoding.HASH_AND_URL_X509, bytes(20) + (BASE + "x").encode()))
    site.up()
    assert "cert_uris of this connection does not allow" in site.sun.saw(AuthFailed)[0].text()


def swap(wire: Wiretap, *instead: CERT) -> None:
    def change(payloads: list[Payload]) -> list[Payload]:
        kept = [each for each in payloads if not isinstance(each, CERT)]
        return [kept[0], *instead, *kept[1:]]

    rewrite(wire, which(IKE_AUTH, response=False), change)


def test_it_is_off_by_default() -> None:
    assert replace(Connection("x", ())).cert_uris == ()
