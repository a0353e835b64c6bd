"""Revocation inside IKE_AUTH: answers that come at once, late or never, under each policy and in both roles."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from ikectl.config.model import Auth, AuthKind, Local, Ocsp, Remote, Revocation
from ikectl.errors import BackendError
from ikectl.iana.v2 import CertEncoding, NotifyType
from ikectl.pki.certificate import Certificate
from ikectl.pki.store import Store
from ikectl.sa import asks
from ikectl.sa.events import AuthFailed
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.wire.v2.identity import AUTH, CERT, CERTREQ
from ikectl.wire.v2.message import Message
from tests.auth.answers import answers
from tests.pki.certs import NOW, Authority, Identified, Listed, points
from tests.scenarios.stage import IKE_AUTH, INFORMATIONAL, bare, gateways, notifies, rewrite, stands
from tests.sim.link import Link
from tests.sim.site import Site
from tests.sim.wiretap import Wiretap, which

CA = Authority.root("CA")
URI = "http://ca.example.org/ca.crl"
Server = Callable[[], bytes]
"""What the CA's server answers; raises BackendError where it does not."""


def silent() -> bytes:
    raise BackendError("no answer within 8 seconds")


def _answers(store: Store, server: Server) -> dict[type[Any], Callable[[Any], object]]:
    def check(ask: asks.CheckRevocation) -> None:
        path = [Certificate.of_peer(der) for der in ask.path]
        tried: set[tuple[object, ...]] = set()
        while query := store.revocations.next_query(path, tried, NOW, bytes):
            try:
                octets = server()
            except BackendError as error:
                store.revocations.give_up(query, str(error), NOW)
            else:
                store.revocations.learn(query, octets, NOW)
        store.revocations.demand(path, ask.remote.revocation, NOW)

    return {
        **answers(store),
        asks.CheckRevocation: check,
        asks.Authorities: lambda ask: store.authorities(ask.remotes),
    }


def site_with(
    server: Server,
    revocation: Revocation,
    checks: str = "sun",
    slow: float | None = None,
    leaves: dict[str, Identified] | None = None,
    own: Callable[[Identified], bytes] = lambda leaf: b"",
    **world: Any,
) -> tuple[Site, Wiretap]:
    """Both ends prove themselves by certificates that name a CRL; `checks` looks at it, the other end is relaxed."""
    made = leaves or certificates()
    options: dict[str, Any] = {}
    for name, peer in (("moon", "sun"), ("sun", "moon")):
        store = Store()
        store.add_certificate(CA.der, ca=True)
        store.add_certificate(made[name].der)
        store.add_key(made[name].key_pem)
        judge = name == checks
        options[f"{name}_host"] = {
            "answers": {
                **_answers(store, server if judge else CA.crl),
                asks.OwnResponse: lambda ask, leaf=made[name]: own(leaf),
            },
            "slow": {asks.CheckRevocation: slow} if judge and slow is not None else {},
        }
        policy = revocation if judge else Revocation.RELAXED
        pubkey = Auth(AuthKind.PUBKEY)
        options[name] = {
            "ends": (
                Local(auth=pubkey, id=Identity.parse(f"{name}.example.org")),
                Remote(auth=pubkey, id=IdentityPattern.parse(f"{peer}.example.org"), revocation=policy),
            )
        }
    return gateways(**options, **world)


def certificates() -> dict[str, Identified]:
    return {
        name: CA.leaf(f"{name}.example.org", names=(f"{name}.example.org",), extensions=points(crl=URI))
        for name in ("moon", "sun")
    }


BOTH = pytest.mark.parametrize("checks", ["sun", "moon"], ids=["responder", "initiator"])


@BOTH
@pytest.mark.conformance("v2-68")
@pytest.mark.parametrize("slow", [None, 3.0, 15.0])
def test_a_good_certificate_is_accepted_however_late(checks: str, slow: float | None) -> None:
    """The CRL takes up to 15 s; requests that are repeated meanwhile change nothing."""
    site, wire = site_with(CA.crl, Revocation.STRICT, checks, slow)
    token = site.up()
    assert site.moon.done[token].error is None, site.moon.done[token].error
    assert stands(site)
    if slow == 15.0 and checks == "sun":
        assert len(wire.all(which(IKE_AUTH, response=False))) > 1, "moon repeats its request"


@BOTH
@pytest.mark.conformance("v2-68")
@pytest.mark.parametrize("policy", list(Revocation))
@pytest.mark.parametrize("slow", [None, 5.0])
def test_a_revoked_certificate_is_refused(checks: str, policy: Revocation, slow: float | None) -> None:
    """<-- HDR, SK {N(AUTHENTICATION_FAILED)}, or the initiator says so in INFORMATIONAL (§2.21.2); no SA is left."""
    leaves = certificates()
    listed = Listed(leaves["moon" if checks == "sun" else "sun"])
    site, wire = site_with(lambda: CA.crl(listed), policy, checks, slow, leaves)
    site.up()
    site.world.run(site.world.now + 60)
    assert bare(site.moon) and bare(site.sun)
    judge = site.sun if checks == "sun" else site.moon
    assert "was revoked by" in judge.saw(AuthFailed)[0].text()
    told = wire.messages(which(IKE_AUTH, by=site.sun) if checks == "sun" else which(INFORMATIONAL, by=site.moon))
    assert NotifyType.AUTHENTICATION_FAILED in notifies(told[-1])


@BOTH
@pytest.mark.conformance("v2-68")
@pytest.mark.parametrize(("policy", "accepted"), list(zip(Revocation, [False, False, True], strict=True)))
def test_a_server_that_does_not_answer(checks: str, policy: Revocation, accepted: bool) -> None:
    site, _ = site_with(silent, policy, checks, 8.0)
    site.up()
    site.world.run(site.world.now + 60)
    judge = site.sun if checks == "sun" else site.moon
    if accepted:
        assert stands(site)
    else:
        assert bare(site.moon) and bare(site.sun)
        text = judge.saw(AuthFailed)[0].text()
        assert f"remote.revocation = {policy}" in text and f"CRL at {URI}: no answer within 8 seconds" in text


@BOTH
@pytest.mark.parametrize("policy", [Revocation.STRICT, Revocation.IFURI])
def test_an_answer_that_never_comes(checks: str, policy: Revocation) -> None:
    """Even if the shell forgets the question, nothing is left of the SA in the end, and nobody is let in."""
    site, _ = site_with(CA.crl, policy, checks, math.inf)
    site.up()
    site.world.run(site.world.now + 600)
    assert bare(site.moon) and bare(site.sun)


@pytest.mark.parametrize("policy", [Revocation.STRICT, Revocation.RELAXED])
def test_nobody_is_asked_before_the_peer_has_proven_its_key(policy: Revocation) -> None:
    """A stranger with somebody's certificate must not have us call the servers it names."""
    asked: list[None] = []

    def server() -> bytes:
        asked.append(None)
        return CA.crl()

    site, wire = site_with(server, policy)

    def spoil(payloads: list[Any]) -> list[Any]:
        return [AUTH(p.method, p.data[:-1] + bytes((p.data[-1] ^ 1,))) if isinstance(p, AUTH) else p for p in payloads]

    rewrite(wire, which(IKE_AUTH, response=False), spoil)
    site.up()
    assert not asked and bare(site.sun)


@pytest.mark.parametrize("seed", range(8))
def test_on_a_bad_link_with_late_answers(seed: int) -> None:
    """Loss, duplication and reordering while the CRL is on its way: both ends agree in the end."""
    link = Link(loss=0.2, duplication=0.2, jitter=0.5)
    site, _ = site_with(CA.crl, Revocation.STRICT, "sun" if seed % 2 else "moon", 2.0, seed=seed, link=link)
    token = site.up()
    site.world.run(site.world.now + 120)
    if site.moon.done[token].error is None:
        assert stands(site)
    site.world.settled()


# -- OCSP inside IKE (RFC 4806) --------------------------------------------------------------


def stapling(moon: Ocsp, sun: Ocsp, answer: Callable[[Identified], bytes]) -> tuple[Site, Wiretap]:
    """moon is strict and can fetch nothing; sun passes on what `answer` makes of its certificate."""
    site, wire = site_with(silent, Revocation.STRICT, "moon", own=answer)
    for host, word in ((site.moon, moon), (site.sun, sun)):
        (made,) = host.engine.connections.all
        host.load(replace(made, ocsp=word))
    return site, wire


def encodings(message: Message) -> list[CertEncoding]:
    return [each.encoding for each in (*message.all(CERTREQ), *message.all(CERT))]


@pytest.mark.conformance("v2-66")
def test_a_response_of_the_peer_settles_it() -> None:
    """HDR, SK {..., CERTREQ(OCSP)} -->  <-- HDR, SK {IDr, CERT, CERT(OCSP), AUTH, ...} (RFC 4806 §4.1)."""
    site, wire = stapling(Ocsp.REQUEST, Ocsp.REPLY, CA.ocsp)
    token = site.up()
    assert site.moon.done[token].error is None, site.moon.done[token].error
    assert stands(site)
    asked, answered = wire.messages()[2:4]
    assert CertEncoding.OCSP_CONTENT in encodings(asked)
    assert encodings(answered) == [CertEncoding.X509_SIGNATURE, CertEncoding.OCSP_CONTENT]


@pytest.mark.parametrize(
    ("moon", "sun"), [(Ocsp.REPLY, Ocsp.REPLY), (Ocsp.REQUEST, Ocsp.NEVER), (Ocsp.REQUEST, Ocsp.REQUEST)]
)
def test_nothing_is_sent_unasked_or_unwanted(moon: Ocsp, sun: Ocsp) -> None:
    site, wire = stapling(moon, sun, CA.ocsp)
    site.up()
    assert not site.moon.machines, "nothing tells that sun is good"
    answered = wire.messages(which(IKE_AUTH, response=True))[0]
    assert CertEncoding.OCSP_CONTENT not in encodings(answered)


@pytest.mark.parametrize("kind", ["revoked", "junk", "of another", "stale", "none"])
def test_responses_of_the_peer_that_do_not_help_it(kind: str) -> None:
    made: dict[str, Callable[[Identified], bytes]] = {
        "revoked": lambda leaf: CA.ocsp(leaf, revoked=x509.ReasonFlags.key_compromise),
        "junk": lambda leaf: b"junk",
        "of another": lambda leaf: CA.ocsp(CA.leaf("venus")),
        "stale": lambda leaf: CA.ocsp(leaf, starts=timedelta(days=-3), ends=timedelta(days=-1)),
        "none": lambda leaf: b"",
    }
    site, _ = stapling(Ocsp.REQUEST, Ocsp.BOTH, made[kind])
    site.up()
    assert not site.moon.machines
    text = site.moon.saw(AuthFailed)[0].text()
    assert ("key compromise" if kind == "revoked" else "no answer within 8 seconds") in text


def test_the_responder_asks_as_well() -> None:
    """<-- HDR, SAr1, KEr, Nr, CERTREQ, CERTREQ(OCSP);  HDR, SK {IDi, CERT, CERT(OCSP), ...} --> (RFC 4806 §4.1)."""
    site, wire = site_with(silent, Revocation.STRICT, "sun", own=CA.ocsp)
    (made,) = site.sun.engine.connections.all
    site.sun.load(replace(made, ocsp=Ocsp.REQUEST))
    site.up()
    assert stands(site)
    init, asked = wire.messages()[1:3]
    assert CertEncoding.OCSP_CONTENT in encodings(init) and encodings(asked).count(CertEncoding.OCSP_CONTENT) == 1
