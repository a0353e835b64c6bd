"""Revocation inside IKE_AUTH: answers that come at once, late or never, under each policy and in both roles."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from ikectl.config.model import Auth, AuthKind, Local, Remote, Revocation
from ikectl.errors import BackendError
from ikectl.iana.v2 import NotifyType
from ikectl.pki.certificate import Certificate
from ikectl.pki.store import Store
from ikectl.sa import asks
from ikectl.sa.events import AuthFailed
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.wire.v2.identity import AUTH
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
            "answers": _answers(store, server if judge else CA.crl),
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
