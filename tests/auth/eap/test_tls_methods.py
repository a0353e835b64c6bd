"""EAP-TLS, EAP-TTLS and EAP-PEAP, client against server, with TLS 1.2 and 1.3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from OpenSSL import SSL

from ikectl.auth.eap.tls_frames import PART
from ikectl.config.model import Auth, AuthKind, Inner, Local, Remote, Revocation
from ikectl.errors import AuthenticationFailed, Revoked
from ikectl.iana.eap import EapType
from ikectl.pki.store import Store
from ikectl.sa.asks import CheckRevocation, ExportTls, StepTls
from ikectl.sa.tls import TlsTurn
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.values.secret import Secret
from tests.auth.eap.talk import (
    CAROL,
    CAROL_STORE,
    NETWORK,
    PASSWORDS,
    SUN_STORE,
    answers_of,
    eap,
    leaf,
    store_of,
    talk,
)
from tests.pki.certs import SIGNING, Authority, points

TLS, TTLS, PEAP, MSCHAPV2 = EapType.TLS, EapType.TTLS, EapType.PEAP, EapType.MSCHAPV2
EACH = pytest.mark.parametrize("method", [TLS, TTLS, PEAP])
VERSIONS = pytest.mark.parametrize("newest", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["tls12", "tls13"])
TUNNELS = pytest.mark.parametrize("method", [TTLS, PEAP])


def versioned(newest: int, known: Mapping[str, bytes] = PASSWORDS, **more: Any) -> dict[str, Any]:
    return {
        "of_client": answers_of(CAROL_STORE, PASSWORDS, newest),
        "of_server": answers_of(SUN_STORE, known),
        **more,
    }


@EACH
@VERSIONS
def test_both_ends_are_proven_and_have_one_key(method: EapType, newest: int) -> None:
    made = talk(method, **versioned(newest)).run()

    assert made.server.verdict is True, made.server.why
    assert made.server.identity == CAROL
    assert made.client.msk == made.server.msk
    assert made.client.msk is not None and len(made.client.msk) == 64
    assert made.client.mutual and made.server.mutual
    assert made.shape[-1] == "SUCCESS"


@EACH
@VERSIONS
def test_the_key_is_the_one_of_the_standards(method: EapType, newest: int) -> None:
    """RFC 5216 §2.3, RFC 5281 §8; with TLS 1.3 RFC 9190 §2.3 and RFC 9427 §2.1."""
    asked: list[ExportTls] = []
    answers = dict(answers_of(CAROL_STORE, PASSWORDS, newest))
    export = answers[ExportTls]
    answers[ExportTls] = lambda ask: (asked.append(ask), export(ask))[1]

    talk(method, of_client=answers).run()

    ask = asked[-1]
    if newest == SSL.TLS1_3_VERSION:
        assert (ask.label, ask.context) == (b"EXPORTER_EAP_TLS_Key_Material", bytes((method,)))
    else:
        label = b"ttls keying material" if method is TTLS else b"client EAP encryption"
        assert (ask.label, ask.context, ask.octets) == (label, None, 64)


@pytest.mark.parametrize("kind", [kind for kind in SIGNING if not kind.startswith(("brainpool", "mldsa"))])
def test_keys_of_every_kind(kind: str) -> None:
    made = talk(
        TLS,
        of_client=answers_of(store_of(leaf("carol", "carol@example.org", kind=kind)), {}),
        of_server=answers_of(store_of(leaf("sun", kind=kind)), {}),
    ).run()
    assert made.server.verdict is True


@EACH
@VERSIONS
def test_long_chains_go_in_parts(method: EapType, newest: int) -> None:
    names = [f"host-{number}.example.org" for number in range(150)]
    sun = store_of(leaf("sun", "sun.example.org", *names))
    carol = store_of(leaf("carol", "carol@example.org", *names))
    made = talk(method, of_client=answers_of(carol, PASSWORDS, newest), of_server=answers_of(sun, PASSWORDS)).run()

    assert made.client.msk == made.server.msk
    assert max(map(len, made.packets)) <= PART + 10
    assert len(made.packets) > 12
    long = [packet for packet in made.read if packet.data and packet.data[0] & 0xC0 == 0xC0]
    assert len(long) >= (2 if method is TLS else 1), "one flight of each end that shows a certificate, perhaps a hello"


# -- the server must be the right one --------------------------------------------------


@EACH
@VERSIONS
@pytest.mark.parametrize(
    ("local", "why"),
    [
        ({"aaa_id": "aaa.example.org"}, r"does not speak for aaa\.example\.org"),
        ({"aaa_id": "*.example.com"}, r"aaa_id wants \*\.example\.com"),
    ],
    ids=["exact", "pattern"],
)
def test_a_server_of_another_name(method: EapType, newest: int, local: dict[str, str], why: str) -> None:
    aaa = IdentityPattern.parse(local["aaa_id"])
    made = talk(method, local=Local(auth=eap(method), eap_id=CAROL, aaa_id=aaa), remote=Remote(auth=eap(method)),
                **versioned(newest))  # fmt: skip

    with pytest.raises(AuthenticationFailed, match=why):
        made.run()

    assert not made.client.succeeded and made.server.verdict is None
    assert b"Ar3etTnp" not in b"".join(made.packets)


@EACH
@pytest.mark.parametrize("aaa", ["%any", "*.example.org", "sun.example.org", "C=CH, O=ikectl, CN=sun"])
def test_the_right_server_by_aaa_id(method: EapType, aaa: str) -> None:
    local = Local(auth=eap(method), eap_id=CAROL, aaa_id=IdentityPattern.parse(aaa))
    made = talk(method, local=local, remote=Remote(auth=eap(method))).run()
    assert made.client.succeeded


@EACH
def test_a_server_that_no_ca_of_ours_vouches_for(method: EapType) -> None:
    other = Authority.root("other root")
    sun = store_of(other.leaf("sun", names=("sun.example.org",)), root=other)
    made = talk(method, of_server=answers_of(sun, PASSWORDS))
    with pytest.raises(AuthenticationFailed, match="the certificate of the EAP server is not good: no trusted CA"):
        made.run()


@EACH
def test_nobody_said_which_server(method: EapType) -> None:
    made = talk(method)
    made.client.context.server = None
    with pytest.raises(AuthenticationFailed, match="set aaa_id"):
        made.run()


# -- and the client ---------------------------------------------------------------------


@VERSIONS
def test_a_client_that_no_ca_of_ours_vouches_for(newest: int) -> None:
    other = Authority.root("other root")
    carol = store_of(other.leaf("carol", names=("carol@example.org",)), root=other)
    carol.add_certificate(SUN_ROOT, ca=True)
    made = talk(TLS, of_client=answers_of(carol, {}, newest))

    with pytest.raises(AuthenticationFailed, match=r"refuses 'carol@example\.org' by EAP-TLS"):
        made.run()

    assert made.server.verdict is False and "no trusted CA" in made.server.why
    assert made.server.msk is None


SUN_ROOT = next(certificate.der for certificate, ca, _ in SUN_STORE.certificates() if ca)


@VERSIONS
def test_a_certificate_of_somebody_else(newest: int) -> None:
    local = Local(auth=eap(TLS), eap_id=Identity.parse("dave@example.org"), certs=(leaf_of_carol(),))
    made = talk(TLS, eap_id="%any", local=local, of_client=answers_of(CAROL_STORE, {}, newest))
    with pytest.raises(AuthenticationFailed):
        made.run()
    assert "does not speak for 'dave@example.org'" in made.server.why


def leaf_of_carol() -> bytes:
    return next(certificate.der for certificate, _, key in CAROL_STORE.certificates() if key)


@VERSIONS
def test_an_anonymous_client_is_who_its_certificate_says(newest: int) -> None:
    """RFC 9190 §2.1.7."""
    local = Local(auth=eap(TLS), id=CAROL, eap_id=Identity.parse("email:@example.org"))
    made = talk(
        TLS, eap_id="*@example.org", local=local, remote=None, of_client=answers_of(CAROL_STORE, {}, newest)
    ).run()
    assert made.read[1].data == b"@example.org"
    assert made.server.identity == CAROL


def test_an_anonymous_client_that_may_not_come() -> None:
    local = Local(auth=eap(TLS), id=CAROL, eap_id=Identity.parse("email:@example.org"))
    made = talk(TLS, eap_id="*@example.com", local=local)
    with pytest.raises(AuthenticationFailed):
        made.run()
    assert "remote.eap_id wants *@example.com" in made.server.why


def test_a_client_without_certificate_takes_another_method() -> None:
    made = talk(TLS, MSCHAPV2, of_client=answers_of(store_of(), PASSWORDS)).run()
    assert made.shape[:3] == ["REQUEST TLS", "RESPONSE NAK", "REQUEST MSCHAPV2"]
    assert made.server.verdict is True


def test_a_server_without_certificate_offers_other_methods() -> None:
    made = talk(TLS, PEAP, MSCHAPV2, of_server=answers_of(store_of(), PASSWORDS)).run()
    assert made.shape[0] == "REQUEST MSCHAPV2"


# -- inside -----------------------------------------------------------------------------


@TUNNELS
@VERSIONS
@pytest.mark.parametrize("known", [{"carol@example.org": b"wrong"}, {}], ids=["wrong password", "unknown user"])
def test_a_wrong_password_inside(method: EapType, newest: int, known: dict[str, bytes]) -> None:
    made = talk(method, **versioned(newest, known))

    with pytest.raises(AuthenticationFailed, match=r"refuses 'carol@example\.org' by EAP-"):
        made.run()

    assert made.server.verdict is False
    assert ("wrong password" if known else "no user") in made.server.why
    assert made.server.msk is None and made.client.msk is None


def test_peap_tells_why_inside() -> None:
    made = talk(PEAP, known={})
    with pytest.raises(AuthenticationFailed, match="error 691: it does not know the user, or the password is wrong"):
        made.run()


def test_a_packet_inside_peap_that_is_longer_than_any_may_be() -> None:
    """One TLS message may complete what another began, so more comes at once than 16 bits have room for."""
    made = talk(PEAP)
    step = made.of_server[StepTls]

    def lengthened(ask: StepTls) -> TlsTurn:
        turn: TlsTurn = step(ask)
        return replace(turn, plain=Secret(turn.plain + b"x" * 65_600)) if turn.plain else turn

    made.of_server = {**made.of_server, StepTls: lengthened}
    with pytest.raises(AuthenticationFailed):
        made.run()
    assert "octets inside PEAP; 16384 are the most" in made.server.why


def inner(which: Inner) -> Auth:
    return Auth(AuthKind.EAP, eap=(TTLS,), inner=which)


@VERSIONS
@pytest.mark.parametrize("which", [Inner.PAP, Inner.MSCHAPV2])
@pytest.mark.parametrize("strict", [True, False], ids=["named by the server", "taken by the server"])
def test_passwords_inside_ttls_without_eap(newest: int, which: Inner, strict: bool) -> None:
    local = Local(auth=inner(which), eap_id=CAROL)
    remote = Remote(auth=inner(which if strict else Inner.ANY))
    made = talk(local=local, remote=remote, **versioned(newest)).run()
    assert made.server.verdict is True and made.server.identity == CAROL
    assert made.client.msk == made.server.msk
    assert b"Ar3etTnp" not in b"".join(made.packets)


@pytest.mark.parametrize("which", [Inner.PAP, Inner.MSCHAPV2])
def test_wrong_passwords_inside_ttls_without_eap(which: Inner) -> None:
    local, remote = Local(auth=inner(which), eap_id=CAROL), Remote(auth=inner(which))
    made = talk(local=local, remote=remote, known={"carol@example.org": b"x"})
    with pytest.raises(AuthenticationFailed):
        made.run()
    assert "wrong password" in made.server.why


@pytest.mark.parametrize("which", [Inner.PAP, Inner.MSCHAPV2])
def test_a_way_inside_ttls_that_is_not_accepted(which: Inner) -> None:
    other = Inner.MSCHAPV2 if which is Inner.PAP else Inner.PAP
    made = talk(local=Local(auth=inner(which), eap_id=CAROL), remote=Remote(auth=inner(other)))
    with pytest.raises(AuthenticationFailed):
        made.run()
    assert f"remote.auth wants {other}" in made.server.why


@TUNNELS
def test_whose_password_it_was_inside_counts(method: EapType) -> None:
    """Outside it says carol, inside it is dave."""
    made = talk(method, local=Local(auth=eap(method), eap_id=Identity.parse("dave")), remote=Remote(auth=eap(method)))
    with pytest.raises(AuthenticationFailed):
        made.run()
    assert "user 'dave' is proven, but the peer is carol@example.org" in made.server.why


@EACH
def test_a_client_that_wants_a_proven_server_takes_these(method: EapType) -> None:
    assert talk(method, only_mutual=True).run().client.succeeded


DEMANDS = {
    "cacerts": (Remote(cacerts=(Authority.root("another root").der,)), "no trusted CA"),
    "certs": (Remote(certs=(leaf("another").der,)), "none of remote.certs"),
    "ca_id": (Remote(ca_id=Identity.parse("C=CH, O=ikectl, CN=another")), "remote.ca_id wants"),
    "cert_policy": (Remote(cert_policy=("1.2.3.4",)), "does not assert the policy"),
}


@EACH
@pytest.mark.parametrize("demand", DEMANDS)
@pytest.mark.parametrize("aaa", [None, "%any"], ids=["", "aaa_id"])
def test_a_server_that_eap_alone_proves_is_what_remote_wants(method: EapType, demand: str, aaa: str | None) -> None:
    """RFC 5998: there is no other certificate that these could be about."""
    demands, why = DEMANDS[demand]
    local = Local(auth=eap(method), eap_id=CAROL, aaa_id=IdentityPattern.parse(aaa) if aaa else None)
    made = talk(local=local, remote=Remote(auth=eap(method)), demands=demands)

    with pytest.raises(AuthenticationFailed, match=why):
        made.run()

    assert not made.client.succeeded and b"Ar3etTnp" not in b"".join(made.packets)


# -- revocation -----------------------------------------------------------------------------


@VERSIONS
@pytest.mark.parametrize("who", ["client", "server"])
@pytest.mark.parametrize("method", [TLS, TTLS])
def test_a_revoked_certificate_ends_it(method: EapType, who: str, newest: int) -> None:
    """Asked once the other end proved its key; the server of a client with a password looks at no certificate."""
    if who == "client" and method is TTLS:
        method = PEAP
    asked: list[CheckRevocation] = []

    def revoked(ask: CheckRevocation) -> None:
        asked.append(ask)
        raise Revoked("the certificate was revoked")

    def with_crl(cn: str, *names: str) -> Store:
        crl = points(crl="http://ca.example.org/ca.crl")
        return store_of(NETWORK.leaf(cn, names=names or (f"{cn}.example.org",), extensions=crl))

    client, server = with_crl("carol", "carol@example.org"), with_crl("sun")
    checks = {CheckRevocation: revoked}
    made = talk(
        method,
        of_client={**answers_of(client, PASSWORDS, newest), **(checks if who == "server" else {CheckRevocation: none})},
        of_server={**answers_of(server, PASSWORDS), **(checks if who == "client" else {CheckRevocation: none})},
    )
    if who == "client" and method is PEAP:
        assert made.run().server.verdict is True and not asked
        return
    with pytest.raises(AuthenticationFailed) as caught:
        made.run()
    assert "was revoked" in (str(caught.value) if who == "server" else made.server.why)
    assert len(asked) == 1 and made.client.msk is None


@EACH
@pytest.mark.parametrize("demands", [None, Remote(revocation=Revocation.STRICT)])
def test_how_strict_a_server_is_judged(method: EapType, demands: Remote | None) -> None:
    asked: list[CheckRevocation] = []
    crl = points(crl="http://ca.example.org/ca.crl")
    server = store_of(NETWORK.leaf("sun", names=("sun.example.org",), extensions=crl))
    made = talk(
        method,
        demands=demands,
        of_client={CheckRevocation: asked.append},
        of_server={**answers_of(server, PASSWORDS), CheckRevocation: none},
    ).run()
    assert made.client.succeeded
    assert [ask.remote.revocation for ask in asked] == [Revocation.STRICT if demands else Revocation.RELAXED]


def none(ask: CheckRevocation) -> None:
    """Nothing was revoked."""
