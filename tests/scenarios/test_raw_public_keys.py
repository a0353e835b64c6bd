"""Raw public keys (RFC 7670): proofs without certificates, in both roles, sent or recognised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ikectl.config.model import Auth, AuthKind, KeyConstraint, Local, Remote, SendCert
from ikectl.errors import CredentialError
from ikectl.iana.v2 import CertEncoding, NotifyType
from ikectl.pki.store import Store
from ikectl.sa import asks
from ikectl.sa.events import AuthFailed
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.wire.payload import Payload
from ikectl.wire.v2.identity import CERT, CERTREQ
from tests.auth.answers import answers
from tests.pki.certs import key
from tests.scenarios.stage import IKE_AUTH, bare, gateways, notifies, rewrite, stands
from tests.sim.site import Site
from tests.sim.wiretap import Wiretap, which

KINDS = {"moon": "ecdsa-256", "sun": "rsa-2048"}
PUBKEY = Auth(AuthKind.PUBKEY)


def spki(name: str, kind: str = "") -> bytes:
    made = key(kind or KINDS[name], f"raw {name}").public_key()
    return made.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def pair(accepted: Sequence[bytes] = (), auth: Auth = PUBKEY, **sun: Any) -> tuple[Site, Wiretap]:
    """moon takes sun for whoever has one of `accepted` (else sun's key); sun knows moon's key."""
    options: dict[str, Any] = {}
    for name, peer in (("moon", "sun"), ("sun", "moon")):
        store = Store()
        store.add_key(key(KINDS[name], f"raw {name}").private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
        options[f"{name}_host"] = {
            "answers": {**answers(store), asks.Authorities: lambda ask, store=store: store.authorities(ask.remotes)}
        }
        taken = tuple(accepted) if accepted and name == "moon" else (spki(peer),)
        options[name] = {
            "ends": (
                Local(auth=PUBKEY, id=Identity.parse(f"{name}.example.org"), pubkeys=(spki(name),)),
                Remote(
                    auth=auth if name == "moon" else PUBKEY,
                    id=IdentityPattern.parse(f"{peer}.example.org"),
                    pubkeys=taken,
                ),
            )
        }
    options["sun"].update(sun)
    return gateways(**options)


@pytest.mark.conformance("v2-62", "v2-66")
def test_keys_are_asked_for_and_sent() -> None:
    """CERTREQ and CERT of encoding 15, both ways, and no certificate anywhere (RFC 7670 §3)."""
    site, wire = pair()
    token = site.up()
    assert site.moon.done[token].error is None, site.moon.done[token].error
    assert stands(site)
    answer, asked, answered = wire.messages()[1:4]
    for message in (answer, asked):
        assert [(each.encoding, each.authorities) for each in message.all(CERTREQ)] == [
            (CertEncoding.RAW_PUBLIC_KEY, ())
        ]
    for message, name in ((asked, "moon"), (answered, "sun")):
        assert [(each.encoding, each.data) for each in message.all(CERT)] == [(CertEncoding.RAW_PUBLIC_KEY, spki(name))]


@pytest.mark.parametrize("word", [SendCert.NEVER, SendCert.IFASKED])
def test_a_key_that_is_not_sent_is_recognised(word: SendCert) -> None:
    """Of several that the peer may have."""
    site, wire = pair(accepted=(spki("venus", "ecdsa-256"), spki("sun"), spki("mars", "rsa-2048")), send_cert=word)
    site.up()
    assert stands(site)
    assert bool(wire.messages()[3].all(CERT)) is (word is SendCert.IFASKED)


def change_certs(wire: Wiretap, *instead: CERT) -> None:
    def change(payloads: list[Payload]) -> list[Payload]:
        kept = [each for each in payloads if not isinstance(each, CERT)]
        return [kept[0], *instead, *kept[1:]]

    rewrite(wire, which(IKE_AUTH, response=True), change)


def test_an_rsa_key_of_the_old_encoding() -> None:
    """CERT of encoding 11, which held RSA keys alone (RFC 5996 §3.6)."""
    site, wire = pair(accepted=(spki("mars", "rsa-2048"), spki("sun")))
    pkcs1 = key("rsa-2048", "raw sun").public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    change_certs(wire, CERT(CertEncoding.RAW_RSA_KEY, pkcs1))
    site.up()
    assert stands(site)


@pytest.mark.parametrize("junk", [b"", b"junk", bytes(10_000)])
def test_what_is_no_key_is_passed_over(junk: bytes) -> None:
    site, wire = pair()
    change_certs(wire, CERT(CertEncoding.RAW_PUBLIC_KEY, junk), CERT(CertEncoding.RAW_RSA_KEY, junk))
    site.up()
    assert stands(site)


@pytest.mark.conformance("v2-68")
def test_a_key_that_is_not_known() -> None:
    """The peer's own key, sent along, is no reason to trust it."""
    site, _ = pair(accepted=(spki("venus", "ecdsa-256"), spki("mars", "rsa-2048")))
    site.up()
    assert not site.moon.machines
    assert "is by none of remote.pubkeys" in site.moon.saw(AuthFailed)[0].text()


def test_constraints_hold_for_raw_keys() -> None:
    site, _ = pair(auth=Auth(AuthKind.PUBKEY, ike=(KeyConstraint("rsa", 3072),)))
    site.up()
    assert not site.moon.machines
    assert "remote.auth does not accept" in site.moon.saw(AuthFailed)[0].text()


def test_an_initiator_whose_key_is_not_known() -> None:
    """<-- HDR, SK {N(AUTHENTICATION_FAILED)}."""
    made = Remote(auth=PUBKEY, id=IdentityPattern.parse("moon.example.org"), pubkeys=(spki("venus", "ecdsa-256"),))
    site, wire = pair()
    (loaded,) = site.sun.engine.connections.all
    site.sun.load(replace(loaded, remote=(made,)))
    site.up()
    assert bare(site.moon) and bare(site.sun)
    assert notifies(wire.messages(which(IKE_AUTH, response=True))[0]) == [NotifyType.AUTHENTICATION_FAILED]


def test_without_its_private_key_nothing_begins() -> None:
    store = Store()
    with pytest.raises(CredentialError, match=r"the private key of local\.pubkeys \([0-9a-f]{40}\) is not loaded"):
        store.choose(Local(pubkeys=(spki("moon"),)), (), None)
