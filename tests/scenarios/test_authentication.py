"""IKE_AUTH: proofs, identities, certificates, and children that fail in it (RFC 7296 §1.2, §2.15, §2.21.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ikectl.auth.psk import psk_auth
from ikectl.config.auth import read_auth
from ikectl.config.model import Auth, AuthKind, Local, Remote
from ikectl.crypto.signature import SCHEMES
from ikectl.iana.v2 import AuthMethod, NotifyType, Protocol
from ikectl.pki.store import Store
from ikectl.sa import asks
from ikectl.sa.events import AuthFailed
from ikectl.values.identity import Identity
from ikectl.values.secret import Secret
from ikectl.wire.payload import Payload
from ikectl.wire.v2.identity import AUTH, CERT, CERTREQ, IDi, IDr
from ikectl.wire.v2.keying import Nonce
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Delete, Notify
from ikectl.wire.v2.sa import SA
from ikectl.wire.v2.ts import TSi, TSr
from tests.auth.answers import answers
from tests.pki.certs import Authority
from tests.scenarios.stage import (
    CREATE_CHILD_SA,
    IKE_AUTH,
    INFORMATIONAL,
    bare,
    gateways,
    notifies,
    rewrite,
    stands,
    tunnel,
    wait,
)
from tests.sim.host import Host
from tests.sim.site import MOON, SUN, Site, child, connection
from tests.sim.wiretap import Wiretap, which

# -- pre-shared keys -------------------------------------------------------------------


@pytest.mark.conformance("v2-61")
def test_the_proofs_are_those_of_the_rfc() -> None:
    """AUTH = prf(prf(secret, "Key Pad for IKEv2"), message | nonce | prf(SK_p, ID)), both ways, computed by hand."""
    site, wire = tunnel()
    (suite, keys) = next(iter(wire.keys.values()))
    prf = suite.prf
    init, answer, asked, answered = wire.seen[:4]
    pad = prf.compute(site.moon.secret, b"Key Pad for IKEv2")
    for said, nonce, sk_p, seen, identity in (
        (init, answer, keys.sk_pi, asked, asked.message.one(IDi)),
        (answer, init, keys.sk_pr, answered, answered.message.one(IDr)),
    ):
        octets = said.octets + nonce.message.one(Nonce).value + prf.compute(sk_p, identity.body())
        proof = seen.message.one(AUTH)
        assert proof.method is AuthMethod.SHARED_KEY_MIC and proof.data == prf.compute(pad, octets)
        assert proof.data == psk_auth(prf, Secret(site.moon.secret), octets)


@pytest.mark.conformance("v2-61")
def test_an_initiator_with_a_wrong_secret() -> None:
    """HDR, SK {IDi, AUTH, ...} -->  <-- HDR, SK {N(AUTHENTICATION_FAILED)} and nothing else; no SA on either side."""
    site, wire = gateways(moon_host={"secret": b"something else"})
    token = site.up()
    (answer,) = wire.messages(which(IKE_AUTH, response=True))
    assert notifies(answer) == [NotifyType.AUTHENTICATION_FAILED] and len(answer.payloads) == 1
    assert "AUTHENTICATION_FAILED" in (site.moon.done[token].error or "")
    assert bare(site.moon) and bare(site.sun) and site.sun.saw(AuthFailed)


@pytest.mark.conformance("v2-61")
def test_a_responder_with_a_wrong_proof() -> None:
    """<-- HDR, SK {IDr, AUTH wrong, ...};  HDR, SK {N(AUTHENTICATION_FAILED)} --> in INFORMATIONAL; no SA is left."""
    site, wire = gateways()

    def spoil(payloads: list[Payload]) -> list[Payload]:
        return [AUTH(each.method, bytes(len(each.data))) if isinstance(each, AUTH) else each for each in payloads]

    rewrite(wire, which(IKE_AUTH, response=True), spoil)
    token = site.up()
    (told,) = wire.messages(which(INFORMATIONAL, by=site.moon))
    assert notifies(told) == [NotifyType.AUTHENTICATION_FAILED]
    assert site.moon.done[token].error is not None and bare(site.moon) and bare(site.sun)


@pytest.mark.conformance("v2-61")
@pytest.mark.parametrize("missing", ["AUTH", "IDi", "two AUTH"])
def test_a_peer_that_does_not_prove_itself(missing: str) -> None:
    """IKE_AUTH without AUTH (EAP is not configured) or identity, or with two proofs: an error, and no SA."""
    site, wire = gateways()

    def drop(payloads: list[Payload]) -> list[Payload]:
        if missing == "two AUTH":
            return [*payloads, *(p for p in payloads if isinstance(p, AUTH))]
        return [p for p in payloads if type(p).__name__ != missing]

    rewrite(wire, which(IKE_AUTH, response=False), drop)
    site.up()
    (answer,) = wire.messages(which(IKE_AUTH, response=True))
    assert answer.errors and answer.get(AUTH) is None and bare(site.sun) and bare(site.moon)
    if missing == "AUTH":
        # §2.16: it asks for EAP. That is refused, and is no error of syntax.
        assert notifies(answer) == [NotifyType.AUTHENTICATION_FAILED]
        assert any("proves itself by eap, but" in event.text() for event in site.sun.saw(AuthFailed))


@pytest.mark.conformance("v2-61")
def test_a_responder_that_does_not_prove_itself() -> None:
    site, wire = gateways()
    rewrite(wire, which(IKE_AUTH, response=True), lambda payloads: [p for p in payloads if not isinstance(p, AUTH)])
    token = site.up()
    assert site.moon.done[token].error is not None and bare(site.moon)


# -- identities ----------------------------------------------------------------------------


@pytest.mark.conformance("v2-64")
@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("192.0.2.1", 1),
        ("moon.example.org", 2),
        ("admin@example.org", 3),
        ("2001:db8::1", 5),
        ("C=CH, O=example, CN=moon", 9),
        ("keyid:0a0b0c", 11),
    ],
)
def test_identities_of_every_type(words: str, number: int) -> None:
    site, wire = tunnel(moon={"local_id": words}, sun={"remote_id": words})
    assert wire.messages(which(IKE_AUTH, by=site.moon))[0].one(IDi).identity == Identity.parse(words)
    assert int(Identity.parse(words).kind) == number and stands(site)


@pytest.mark.conformance("v2-64")
def test_an_identity_that_is_not_the_configured_one() -> None:
    """The right secret under another name: refused by either end."""
    site, _ = gateways(moon={"local_id": "mallory.example.org"})
    site.up()
    assert bare(site.moon) and bare(site.sun)
    site, wire = gateways(sun={"local_id": "mallory.example.org"}, moon={"remote_id": "*.example.com"})
    site.up()
    assert bare(site.moon) and bare(site.sun)
    assert notifies(wire.messages(which(INFORMATIONAL, by=site.moon))[0]) == [NotifyType.AUTHENTICATION_FAILED]


@pytest.mark.conformance("v2-65")
def test_the_wanted_identity_picks_the_connection() -> None:
    """Two connections for one peer: IDr says which. An unknown one: AUTHENTICATION_FAILED."""
    for wanted, name in (("sun.example.org", "site"), ("mail.example.org", "other"), ("nobody.example.org", None)):
        site, wire = gateways(moon={"remote_id": wanted})
        site.sun.load(
            connection(
                "other",
                local=SUN,
                remote=MOON,
                local_id="mail.example.org",
                remote_id="moon.example.org",
                children=(child("letters", mirror=True),),
            )
        )
        token = site.up()
        if name is None:
            (answer,) = wire.messages(which(IKE_AUTH, response=True))
            assert notifies(answer) == [NotifyType.AUTHENTICATION_FAILED] and bare(site.sun)
            assert site.moon.done[token].error is not None
            continue
        assert [machine.sa.name for machine in site.sun.machines] == [name]
        assert wire.messages(which(IKE_AUTH, by=site.sun))[0].one(IDr).identity == Identity.parse(wanted)
        assert [c.name for c in site.sun.children] == ["net" if name == "site" else "letters"]


# -- certificates ---------------------------------------------------------------------------------


def with_certificates(kind: str = "ecdsa-256", stranger: bool = False) -> tuple[Site, Wiretap]:
    """Both ends prove themselves by certificates of one CA; sun's may be of another CA that moon does not know."""
    ca, other = Authority.root("CA"), Authority.root("other CA", "ed25519")
    hosts: dict[str, dict[str, Any]] = {}
    for name in ("moon", "sun"):
        signer = other if stranger and name == "sun" else ca
        leaf = signer.leaf(f"{name}.example.org", kind, names=(f"{name}.example.org",))
        store = Store()
        store.add_certificate(ca.der, ca=True)
        store.add_certificate(leaf.der)
        store.add_key(leaf.key_pem)
        hosts[name] = {"answers": {**answers(store), asks.Authorities: lambda ask, store=store: store.authorities()}}
    site, wire = gateways(moon_host=hosts["moon"], sun_host=hosts["sun"])
    return site, wire


def _sign_instead(host: Host) -> None:
    (made,) = host.engine.connections.all
    pubkey = Auth(AuthKind.PUBKEY)
    host.load(
        replace(
            made,
            local=(Local(auth=pubkey, id=made.local[0].id),),
            remote=(Remote(auth=pubkey, id=made.remote[0].id),),
        )
    )


# -- children that fail -------------------------------------------------------------------------------


@pytest.mark.conformance("v2-74")
@pytest.mark.parametrize(
    "kind",
    [
        NotifyType.NO_PROPOSAL_CHOSEN,
        NotifyType.TS_UNACCEPTABLE,
        NotifyType.SINGLE_PAIR_REQUIRED,
        NotifyType.INTERNAL_ADDRESS_FAILURE,
        NotifyType.FAILED_CP_REQUIRED,
        NotifyType.TEMPORARY_FAILURE,
    ],
)
def test_a_refused_child_does_not_hurt_the_ike_sa(kind: NotifyType) -> None:
    """<-- HDR, SK {IDr, AUTH, N(error)}: the IKE SA stands without a child; another one may be asked for."""
    site, wire = gateways()

    def refuse(payloads: list[Payload]) -> list[Payload]:
        return [p for p in payloads if not isinstance(p, SA | TSi | TSr)] + [Notify(kind)]

    rewrite(wire, which(IKE_AUTH, response=True), refuse)
    token = site.up()
    assert str(kind) in (site.moon.done[token].error or "")
    assert len(site.moon.machines) == 1 and not site.moon.kernel.larval and not site.moon.kernel.inbound


@pytest.mark.conformance("v2-74", "v2-77")
@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"esp": "aes256-sha512"}, NotifyType.NO_PROPOSAL_CHOSEN),
        ({"remote": "10.99.0.0/16"}, NotifyType.TS_UNACCEPTABLE),
    ],
)
def test_a_child_we_refuse_does_not_hurt_the_ike_sa(options: dict[str, str], kind: NotifyType) -> None:
    site, wire = gateways(sun_children=(child(mirror=True, **options),))
    token = site.up()
    answer = wire.messages(which(IKE_AUTH, response=True))[0]
    assert notifies(answer) == [kind] and answer.get(AUTH) is not None and answer.get(SA) is None
    assert site.moon.done[token].error is not None
    assert len(site.moon.machines) == len(site.sun.machines) == 1
    site.world.settled()


@pytest.mark.conformance("v2-74")
@pytest.mark.parametrize("who", ["moon", "sun"])
def test_a_kernel_that_refuses_a_child(who: str) -> None:
    """Our own kernel lacks the cipher: told to the peer, or deleted at the peer; the IKE SA stands."""
    site, wire = gateways()
    (site.moon if who == "moon" else site.sun).kernel.refuse = 1
    token = site.up()
    assert site.moon.done[token].error is not None
    if who == "moon":
        assert wire.messages(which(INFORMATIONAL, by=site.moon))[0].one(Delete).protocol is Protocol.ESP
    for host in (site.moon, site.sun):
        assert len(host.machines) == 1 and not host.kernel.inbound and not host.kernel.larval
    site.moon.initiate("site", "net", site.world.now)
    wait(site, 5)
    assert stands(site)
    assert wire.all(which(CREATE_CHILD_SA))


@pytest.mark.conformance("v2-62", "v2-66")
@pytest.mark.parametrize("kind", ["ecdsa-256", "ed25519", "rsa-2048"])
def test_two_ends_with_certificates(kind: str) -> None:
    """N(SIGNATURE_HASH_ALGORITHMS) both ways, CERTREQ with the hash of the CA key, CERT, and AUTH by method 14."""
    site, wire = with_certificates(kind)
    for host in (site.moon, site.sun):
        _sign_instead(host)
    token = site.up()
    assert site.moon.done[token].error is None, site.moon.done[token].error
    assert stands(site)
    init, answer, asked, answered = wire.messages()[:4]
    assert init.notify(NotifyType.SIGNATURE_HASH_ALGORITHMS) and answer.notify(NotifyType.SIGNATURE_HASH_ALGORITHMS)
    assert [len(hash_) for hash_ in answer.one(CERTREQ).authorities] == [20]
    for message in (asked, answered):
        assert message.all(CERT) and message.one(AUTH).method is AuthMethod.DIGITAL_SIGNATURE


@pytest.mark.conformance("v2-62")
@pytest.mark.parametrize("kind", ["mldsa44", "mldsa65", "mldsa87"])
def test_two_ends_with_post_quantum_certificates(kind: str) -> None:
    """As above with ML-DSA keys; certificate and AUTH have up to 12 KiB, and go in fragments (RFC 7383)."""
    site, wire = with_certificates(kind)
    for host in (site.moon, site.sun):
        _sign_instead(host)
    token = site.up()
    assert site.moon.done[token].error is None, site.moon.done[token].error
    assert stands(site)
    assert len(wire.all(which(IKE_AUTH, by=site.moon))) > 3 < len(wire.all(which(IKE_AUTH, by=site.sun)))


def constrained(*words: str, kinds: tuple[str, ...] = ("rsa-2048", "ecdsa-256")) -> tuple[Site, Wiretap]:
    """Both ends have a key of each kind, and take from the other what its word of `auth` says."""
    ca = Authority.root("CA")
    hosts: dict[str, dict[str, Any]] = {}
    for name in ("moon", "sun"):
        store = Store()
        store.add_certificate(ca.der, ca=True)
        for kind in kinds:
            leaf = ca.leaf(f"{name}.example.org", kind, names=(f"{name}.example.org",))
            store.add_certificate(leaf.der)
            store.add_key(leaf.key_pem)
        hosts[name] = {"answers": {**answers(store), asks.Authorities: lambda ask, store=store: store.authorities()}}
    site, wire = gateways(moon_host=hosts["moon"], sun_host=hosts["sun"])
    for host, word in zip((site.moon, site.sun), words, strict=True):
        (made,) = host.engine.connections.all
        ours = Local(auth=Auth(AuthKind.PUBKEY), id=made.local[0].id)
        host.load(replace(made, local=(ours,), remote=(Remote(auth=read_auth(word), id=made.remote[0].id),)))
    return site, wire


@pytest.mark.parametrize(
    ("moon", "sun", "signed"),
    [
        # what moon takes, what sun takes; with what they then sign, and who said so
        ("pubkey", "ike:ecdsa", ["RSA_EMSA_PSS_SHA2_256", "ECDSA_WITH_SHA2_256"]),
        ("ike:ecdsa", "ike:ecdsa", ["ECDSA_WITH_SHA2_256", "ECDSA_WITH_SHA2_256"]),
        ("ike:rsa/pss-sha384", "ike:ecdsa", ["RSA_EMSA_PSS_SHA2_384", "ECDSA_WITH_SHA2_256"]),
    ],
)
def test_each_end_proves_itself_by_what_the_other_takes(moon: str, sun: str, signed: list[str]) -> None:
    """<-- N(SUPPORTED_AUTH_METHODS) in IKE_SA_INIT; HDR, SK {..., N(SUPPORTED_AUTH_METHODS)} --> (RFC 9593 §3.1)."""
    site, wire = constrained(moon, sun)
    token = site.up()
    assert site.moon.done[token].error is None, site.moon.done[token].error
    init, answer, asked, answered = wire.messages()[:4]
    kind = NotifyType.SUPPORTED_AUTH_METHODS
    assert init.notify(kind) is None and answer.notify(kind) and answered.notify(kind) is None
    assert (asked.notify(kind) is not None) is (moon != "pubkey")
    assert [scheme_of(message) for message in (answered, asked)] == signed


def scheme_of(message: Message) -> str:
    """The signature scheme of an AUTH payload by method 14: its AlgorithmIdentifier comes first."""
    data = message.one(AUTH).data
    return next(scheme.name for scheme in SCHEMES if data[1 : 1 + data[0]] == scheme.identifier)


def test_a_peer_that_takes_nothing_of_ours_is_asked_all_the_same() -> None:
    """It may take more than it says; if not, it says so."""
    site, _ = constrained("pubkey", "ike:ed25519")
    token = site.up()
    assert "AUTHENTICATION_FAILED" in (site.moon.done[token].error or "")


@pytest.mark.conformance("v2-62", "v2-68")
def test_a_certificate_of_an_unknown_ca() -> None:
    """The responder's chain ends nowhere: N(AUTHENTICATION_FAILED) goes out, no SA is left."""
    site, wire = with_certificates(stranger=True)
    for host in (site.moon, site.sun):
        _sign_instead(host)
    site.up()
    assert bare(site.moon) and bare(site.sun)
    sent = [*wire.messages(which(INFORMATIONAL, by=site.moon)), *wire.messages(which(IKE_AUTH, by=site.sun))]
    assert any(message.notify(NotifyType.AUTHENTICATION_FAILED) for message in sent)
