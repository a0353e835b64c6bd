"""Every method of EAP inside IKE_AUTH, from one engine to another, with and without a bad line (RFC 7296 §2.16)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from ikectl.config.model import Auth, AuthKind, Inner, Local, Remote
from ikectl.errors import BackendError, CredentialError, IkectlError
from ikectl.iana.eap import EapType
from ikectl.iana.v2 import AuthMethod, NotifyType
from ikectl.sa.asks import BeginTls
from ikectl.sa.events import AuthFailed, Note
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.wire.payload import Payload
from ikectl.wire.v2.eap import EAP
from ikectl.wire.v2.identity import AUTH
from tests.auth.eap.talk import PASSWORDS, ROOT, answers_of, leaf, store_of
from tests.pki.certs import Authority
from tests.scenarios.stage import IKE_AUTH, bare, gateways, notifies, rewrite, sa_of, stands, wait
from tests.sim.link import Link
from tests.sim.site import Site
from tests.sim.wiretap import Wiretap, which

CAROL, SUN = "carol@example.org", "sun.example.org"
STORES = {"moon": store_of(leaf("carol", CAROL)), "sun": store_of(leaf("sun"))}
TUNNELS = [EapType.TLS, EapType.TTLS, EapType.PEAP]
ALL = [*TUNNELS, EapType.MSCHAPV2, EapType.MD5, EapType.GTC]
PUBKEY = Auth(AuthKind.PUBKEY)


def road(
    *methods: EapType,
    alone: bool = False,
    inner: Inner = Inner.ANY,
    known: Mapping[str, bytes] = PASSWORDS,
    aaa_id: str = "",
    eap_id: str = "%any",
    expected: str = SUN,
    **options: Any,
) -> tuple[Site, Wiretap]:
    """moon proves itself by EAP, sun by its certificate; `alone`: by EAP as well (RFC 5998)."""
    site, wire = gateways(
        moon_host={"answers": answers_of(STORES["moon"], PASSWORDS)},
        sun_host={"answers": answers_of(STORES["sun"], known)},
        **options,
    )
    auth = Auth(AuthKind.EAP, eap=methods, inner=inner)
    proof = auth if alone else PUBKEY
    (ours,) = site.moon.engine.connections.all
    (theirs,) = site.sun.engine.connections.all
    aaa = IdentityPattern.parse(aaa_id) if aaa_id else None
    local = Local("local", auth, Identity.parse(CAROL), aaa_id=aaa)
    site.moon.load(replace(ours, local=(local,), remote=(Remote("remote", proof, IdentityPattern.parse(expected)),)))
    users = Remote("remote", auth, IdentityPattern.parse("%any"), eap_id=IdentityPattern.parse(eap_id))
    site.sun.load(replace(theirs, local=(Local("local", proof, Identity.parse(SUN)),), remote=(users,)))
    return site, wire


def error(site: Site, token: int) -> str:
    return site.moon.done[token].error or ""


@pytest.mark.conformance("v2-69")
@pytest.mark.parametrize("method", ALL)
def test_every_method_brings_a_tunnel_up(method: EapType) -> None:
    site, wire = road(method)
    assert not error(site, site.up()) and stands(site)
    assert sa_of(site.sun).user == CAROL
    answers = wire.messages(which(IKE_AUTH, by=site.sun))
    proofs = [message.one(AUTH).method for message in answers if message.get(AUTH)]
    assert len(proofs) == 2 and proofs[1] is AuthMethod.SHARED_KEY_MIC, "the certificate's, then the method's key"


@pytest.mark.conformance("v2-69")
@pytest.mark.parametrize("method", TUNNELS)
@pytest.mark.parametrize("seed", range(3))
def test_methods_of_many_messages_over_a_bad_line(method: EapType, seed: int) -> None:
    site, _ = road(method, link=Link(loss=0.15, duplication=0.25, jitter=0.3), seed=seed)
    assert not error(site, site.up())
    site.world.settled()
    assert len(site.moon.children) == len(site.sun.children) == 1


@pytest.mark.conformance("v2-69")
@pytest.mark.parametrize("inner", [Inner.PAP, Inner.MSCHAPV2])
def test_passwords_inside_ttls(inner: Inner) -> None:
    site, _ = road(EapType.TTLS, inner=inner)
    assert not error(site, site.up()) and stands(site)


@pytest.mark.conformance("v2-71")
@pytest.mark.parametrize("method", TUNNELS)
@pytest.mark.parametrize("expected", [SUN, "*.example.org"])
def test_eap_alone_proves_both(method: EapType, expected: str) -> None:
    """RFC 5998: the first response has no AUTH; the gateway is proven inside TLS, by the name it has in IKE."""
    site, wire = road(method, alone=True, expected=expected)
    assert not error(site, site.up()) and stands(site)
    first, *_ = wire.messages(which(IKE_AUTH, by=site.sun))
    assert first.get(AUTH) is None and first.get(EAP) is not None
    assert NotifyType.EAP_ONLY_AUTHENTICATION in notifies(wire.messages(which(IKE_AUTH, by=site.moon))[0])
    assert sa_of(site.moon).remote_id == Identity.parse(SUN)


@pytest.mark.conformance("v2-71")
@pytest.mark.parametrize("method", TUNNELS)
@pytest.mark.parametrize("alone", [True, False])
def test_an_eap_server_of_another_name(method: EapType, alone: bool) -> None:
    site, wire = road(method, alone=alone, aaa_id="aaa.example.org")
    assert "the certificate of the EAP server is not good" in error(site, site.up())
    assert bare(site.moon) and not any(b"Ar3etTnp" in seen.octets for seen in wire.seen)
    wait(site, 60)
    assert bare(site.sun)


@pytest.mark.conformance("v2-71")
@pytest.mark.parametrize("method", TUNNELS)
@pytest.mark.parametrize("before", [0, 1], ids=["alone", "behind a certificate"])
def test_what_remote_wants_of_a_gateway_counts_inside_eap(method: EapType, before: int) -> None:
    """Its certificate is of a CA that we know and this connection does not take: it hears no password."""
    site, wire = road(method, alone=True)
    (ours,) = site.moon.engine.connections.all
    (theirs,) = site.sun.engine.connections.all
    wanted = replace(ours.remote[0], name="eap", cacerts=(Authority.root("another").der,))
    proven = Remote("remote", PUBKEY, IdentityPattern.parse(SUN))
    site.moon.load(replace(ours, remote=(*[proven] * before, wanted)))
    site.sun.load(replace(theirs, local=(*[Local("first", PUBKEY, Identity.parse(SUN))] * before, *theirs.local)))
    assert "the certificate of the EAP server is not good: no trusted CA" in error(site, site.up())
    assert bare(site.moon) and not any(b"Ar3etTnp" in seen.octets for seen in wire.seen)

    site.moon.load(replace(ours, remote=(*[proven] * before, replace(wanted, cacerts=(ROOT.der,)))))
    assert not error(site, site.up()) and stands(site)


@pytest.mark.conformance("v2-70")
@pytest.mark.parametrize("method", [EapType.TTLS, EapType.PEAP, EapType.GTC])
def test_a_wrong_password(method: EapType) -> None:
    site, _ = road(method, known={CAROL: b"another"})
    assert f"refuses '{CAROL}'" in error(site, site.up())
    assert "wrong password" in site.sun.saw(AuthFailed)[0].text()
    wait(site, 60)
    assert bare(site.moon) and bare(site.sun)


def test_a_user_who_may_not_come() -> None:
    site, _ = road(EapType.TLS, eap_id="*@example.com")
    assert error(site, site.up())
    assert "remote.eap_id wants *@example.com" in site.sun.saw(AuthFailed)[0].text()


@pytest.mark.conformance("v2-69")
def test_a_client_chooses_among_what_the_gateway_offers() -> None:
    """The gateway begins with EAP-TLS, the client takes EAP-MSCHAPv2 alone, and says so by a Nak."""
    site, wire = road(*ALL)
    (ours,) = site.moon.engine.connections.all
    only = replace(ours.local[0], auth=Auth(AuthKind.EAP, eap=(EapType.MSCHAPV2,)))
    site.moon.load(replace(ours, local=(only,)))
    assert not error(site, site.up()) and stands(site)
    said = [message.one(EAP).data[:2] for message in wire.messages(which(IKE_AUTH, by=site.moon)) if message.get(EAP)]
    assert bytes((EapType.NAK, EapType.MSCHAPV2)) in said


@pytest.mark.parametrize("failure", [CredentialError("no certificate serves"), BackendError("2000 are under way")])
def test_a_gateway_that_cannot_begin_says_so_and_ends(failure: IkectlError) -> None:
    """It learns the IKE identity alone, so the method comes first, and its first step fails."""
    site, wire = road(EapType.TLS, expected=SUN)

    def full(ask: BeginTls) -> NoReturn:
        raise failure

    site.sun.answers[BeginTls] = full
    (theirs,) = site.sun.engine.connections.all
    site.sun.load(replace(theirs, remote=(replace(theirs.remote[0], eap_id=None),)))
    assert "AUTHENTICATION_FAILED" in error(site, site.up())
    (told,) = site.sun.saw(AuthFailed)
    assert f"EAP cannot begin: {failure}" in told.text()
    (answer,) = wire.messages(which(IKE_AUTH, by=site.sun))
    assert notifies(answer) == [NotifyType.AUTHENTICATION_FAILED] and bare(site.sun) and bare(site.moon)


def test_what_the_eap_server_wants_the_user_to_know_is_told() -> None:
    site, wire = road(EapType.MSCHAPV2)
    told: list[int] = []

    def notify(payloads: list[Payload]) -> list[Payload]:
        if told or not any(isinstance(each, EAP) and each.code == 1 for each in payloads):
            return payloads
        told.append(1)
        note = bytes((EapType.NOTIFICATION,)) + b"your password expires in 3 days"
        return [EAP(1, each.identifier, note) if isinstance(each, EAP) else each for each in payloads]

    rewrite(wire, which(IKE_AUTH, response=True), notify, times=None)
    site.up()
    assert any("your password expires in 3 days" in event.text() for event in site.moon.saw(Note))
