"""Phase 1 with certificates: signatures and public key encryption, in either mode (RFC 2409 §5.1 to §5.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import Any

import pytest

from ikectl.config.model import Auth, AuthKind, Connection, KeyConstraint, Local, Remote, SendCert
from ikectl.iana.v1 import AuthMethod, CertEncoding
from ikectl.pki.certificate import Certificate
from ikectl.pki.store import Store
from ikectl.sa.events import AuthFailed, MessageReceived, Note
from ikectl.values.identity import IdentityPattern
from ikectl.wire.v1.identity import CERT, CERTREQ, ID
from ikectl.wire.v1.keying import KE, Hash, Nonce, Signature
from ikectl.wire.v1.payload import Payload
from tests.auth.answers import answers
from tests.pki.certs import Authority, Identified
from tests.scenarios.v1.stage import bare, gateways, sa_of, stands, wait
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.site import Site

IKE = "aes128-sha256-ecp256,aes256-sha384-ecp384"
CA, OTHER = Authority.root("CA"), Authority.root("other CA", "ecdsa-384")
MODES = pytest.mark.parametrize("aggressive", [False, True], ids=["main", "aggressive"])
PUBKEY, ENCRYPTION, REVISED = AuthKind.PUBKEY, AuthKind.RSA_ENCRYPTION, AuthKind.RSA_ENCRYPTION_REVISED
METHODS = {
    "rsa-2048": AuthMethod.RSA_SIGNATURE,
    "ecdsa-256": AuthMethod.ECDSA_256,
    "ecdsa-384": AuthMethod.ECDSA_384,
    "ecdsa-521": AuthMethod.ECDSA_521,
}


@cache
def leaf(name: str, kind: str = "rsa-2048", strange: bool = False) -> Identified:
    return (OTHER if strange else CA).leaf(f"{name}.example.org", kind, names=(f"{name}.example.org",))


@dataclass
class Party:
    """What one end holds and wants."""

    own: Sequence[Identified] = ()
    knows: Sequence[Identified] = ()
    """Certificates of others that are loaded."""
    trusts: Sequence[Authority] = (CA,)
    auth: Auth = field(default_factory=lambda: Auth(PUBKEY))
    remote_auth: Auth | None = None
    remote_id: str = ""
    more: dict[str, Any] = field(default_factory=dict)
    """Further options of the connection."""

    def store(self) -> Store:
        made = Store()
        for ca in self.trusts:
            made.add_certificate(ca.der, ca=True)
        for each in (*self.own, *self.knows):
            made.add_certificate(each.der)
        for each in self.own:
            made.add_key(each.key_pem)
        return made

    def wants(self, plain: Connection) -> Connection:
        ours, theirs = plain.local[0], plain.remote[0]
        expected = IdentityPattern.parse(self.remote_id) if self.remote_id else theirs.id
        return replace(
            plain,
            local=(Local(auth=self.auth, id=ours.id, certs=tuple(each.der for each in self.own)),),
            remote=(Remote(auth=self.remote_auth or self.auth, id=expected),),
            **self.more,
        )


def between(moon: Party, sun: Party, *, aggressive: bool = False, ike: str = IKE, **options: Any) -> Site:
    hosts = {"moon_host": {"answers": answers(moon.store())}, "sun_host": {"answers": answers(sun.store())}}
    site = gateways(ike=ike, both={"aggressive": aggressive}, **hosts, **options)
    for host, party in ((site.moon, moon), (site.sun, sun)):
        (made,) = host.engine.connections.all
        host.load(party.wants(made))
    return site


def up(site: Site) -> Site:
    token = site.up()
    assert site.moon.done[token].error is None, site.moon.done[token].error
    assert stands(site)
    site.world.settled()
    return site


def refused(site: Site, by: str) -> str:
    """Why phase 1 came to nothing at that end, which is all the other end does not learn."""
    token = site.up()
    assert site.moon.done[token].error is not None
    wait(site, 40)  # an initiator that was shown no proof says nothing, and the other end forgets it in the end
    assert bare(site.moon) and bare(site.sun)
    failures: list[str] = [event.why for event in getattr(site, by).saw(AuthFailed)]
    assert failures, [event.text() for event in getattr(site, by).events]
    return failures[0]


def heard(host: Host, kind: type[Payload]) -> list[Any]:
    """The payloads of that class which came in phase 1."""
    messages = [event for event in host.saw(MessageReceived) if event.message_id == 0]
    return [payload for message in messages for payload in message.payloads if isinstance(payload, kind)]


def ladder(host: Host) -> list[list[type]]:
    """The kinds of payloads of each message of phase 1 that came, of those that matter here."""
    told = (KE, Nonce, ID, CERT, CERTREQ, Hash, Signature)
    messages = [event for event in host.saw(MessageReceived) if event.message_id == 0]
    return [[type(each) for each in message.payloads if isinstance(each, told)] for message in messages]


# -- signatures -----------------------------------------------------------------------


@pytest.mark.conformance("v1-15")
@MODES
@pytest.mark.parametrize(("kind", "method"), METHODS.items())
def test_two_ends_with_signatures(kind: str, method: AuthMethod, aggressive: bool) -> None:
    """The method follows the keys there are; HASH_I and HASH_R are signed."""
    site = up(between(Party([leaf("moon", kind)]), Party([leaf("sun", kind)]), aggressive=aggressive))
    assert sa_of(site.moon).method is sa_of(site.sun).method is method
    assert len(heard(site.moon, Signature)) == len(heard(site.sun, Signature)) == 1
    assert not heard(site.moon, Hash) and not heard(site.sun, Hash)


@pytest.mark.conformance("v1-40")
def test_where_certificates_and_requests_for_them_travel() -> None:
    """RFC 4945 §3.2.5, §3.3.5: CERTREQ in messages 4 and 5 with the CA's name, CERT in 5 and 6."""
    site = up(between(Party([leaf("moon")]), Party([leaf("sun")])))
    assert ladder(site.sun) == [[], [KE, Nonce], [ID, CERT, Signature, CERTREQ]]
    assert ladder(site.moon) == [[], [KE, Nonce, CERTREQ], [ID, CERT, Signature]]
    for host, name in ((site.moon, "sun"), (site.sun, "moon")):
        (request,), (cert,) = heard(host, CERTREQ), heard(host, CERT)
        assert request == CERTREQ(CertEncoding.X509_SIGNATURE, Certificate.read(CA.der).subject.data)
        assert cert == CERT(CertEncoding.X509_SIGNATURE, leaf(name).der)


@MODES
def test_keys_of_several_kinds(aggressive: bool) -> None:
    """Moon has two keys, sun one: what both have is what is offered and chosen."""
    both = Party([leaf("moon"), leaf("moon", "ecdsa-384")])
    for kind in ("rsa-2048", "ecdsa-384"):
        site = up(between(both, Party([leaf("sun", kind)]), aggressive=aggressive))
        assert sa_of(site.sun).method is METHODS[kind]


def test_keys_of_kinds_that_do_not_meet() -> None:
    """IKEv1 has one method for both ends: an RSA key and an ECDSA key cannot be used together."""
    site = between(Party([leaf("moon")]), Party([leaf("sun", "ecdsa-256")]))
    token = site.up()
    wait(site, 40)
    assert site.moon.done[token].error is not None and bare(site.moon) and bare(site.sun)


@MODES
def test_constraints_choose_the_method(aggressive: bool) -> None:
    """auth = ecdsa on one side: RSA is neither offered nor chosen though there is a key for it."""
    ecdsa = Auth(PUBKEY, ike=(KeyConstraint("ecdsa", 256),))
    keys = [leaf("moon"), leaf("moon", "ecdsa-256")], [leaf("sun"), leaf("sun", "ecdsa-256")]
    site = up(between(Party(keys[0]), Party(keys[1], auth=ecdsa), aggressive=aggressive))
    assert sa_of(site.moon).method is AuthMethod.ECDSA_256


@MODES
def test_a_wrong_ca_at_either_end(aggressive: bool) -> None:
    strange = Party([leaf("moon", "rsa-2048", True)], trusts=(CA, OTHER))
    why = refused(between(strange, Party([leaf("sun")]), aggressive=aggressive), "sun")
    assert "no trusted CA issued" in why
    strange = Party([leaf("sun", "rsa-2048", True)], trusts=(CA, OTHER))
    why = refused(between(Party([leaf("moon")]), strange, aggressive=aggressive), "moon")
    assert "no trusted CA issued" in why


@MODES
def test_a_wrong_identity_at_either_end(aggressive: bool) -> None:
    """The certificate is venus's; or it is right, and the other end expects somebody else."""
    venus = leaf("venus")
    why = refused(between(Party([venus]), Party([leaf("sun")]), aggressive=aggressive), "sun")
    assert "does not speak for moon.example.org" in why
    why = refused(between(Party([leaf("moon")]), Party([venus]), aggressive=aggressive), "moon")
    assert "does not speak for sun.example.org" in why
    expects = Party([leaf("moon")], remote_id="venus.example.org")
    assert "remote.id is venus" in refused(between(expects, Party([leaf("sun")]), aggressive=aggressive), "moon")


@MODES
def test_an_expired_certificate(aggressive: bool) -> None:
    old = CA.leaf("moon.old", "rsa-2048", names=("moon.example.org",), ends=timedelta(days=-3))
    why = refused(between(Party([old]), Party([leaf("sun")]), aggressive=aggressive), "sun")
    assert "expired 3 days ago" in why


@MODES
def test_a_certificate_that_is_not_sent(aggressive: bool) -> None:
    """send_cert = never: well where it is known, and not otherwise. Without a CERTREQ, none is sent either."""
    silent = Party([leaf("moon")], more={"send_cert": SendCert.NEVER})
    why = refused(between(silent, Party([leaf("sun")]), aggressive=aggressive), "sun")
    assert "sent no certificate, and none is known here" in why
    site = up(between(silent, Party([leaf("sun")], knows=[leaf("moon")]), aggressive=aggressive))
    assert not heard(site.sun, CERT) and heard(site.moon, CERT)
    mute = {"send_certreq": False}
    parties = (
        Party([leaf("moon")], knows=[leaf("sun")], more=mute),
        Party([leaf("sun")], knows=[leaf("moon")], more=mute),
    )
    site = up(between(*parties, aggressive=aggressive))
    assert not heard(site.sun, CERT) + heard(site.moon, CERT) + heard(site.sun, CERTREQ)


def test_no_key_at_all() -> None:
    """The operator learns which certificate lacks its key; nothing is sent."""
    party = Party([leaf("moon")])
    site = between(party, Party([leaf("sun")]))
    site.moon.answers.update(answers(Store()))
    token = site.up()
    assert "private key" in (site.moon.done[token].error or "")
    assert bare(site.moon) and not site.sun.saw(MessageReceived)


def test_many_authorities_are_asked_for_as_any() -> None:
    """RFC 4945 §3.2.7.2: an empty name rather than a message full of them."""
    many = [Authority.root(f"CA {number}", "ecdsa-256") for number in range(21)]
    site = up(between(Party([leaf("moon")], trusts=(CA, *many)), Party([leaf("sun")])))
    assert heard(site.sun, CERTREQ) == [CERTREQ(CertEncoding.X509_SIGNATURE, b"")]
    assert heard(site.moon, CERT)


# -- public key encryption -----------------------------------------------------------------


def encrypting(kind: AuthKind, **more: Any) -> tuple[Party, Party]:
    moon, sun, auth = leaf("moon"), leaf("sun"), Auth(kind)
    return Party([moon], [sun], auth=auth, **more), Party([sun], [moon], auth=auth)


@MODES
@pytest.mark.parametrize("kind", [ENCRYPTION, REVISED])
def test_two_ends_with_public_key_encryption(kind: AuthKind, aggressive: bool) -> None:
    """Identities travel encrypted, in aggressive mode too; both ends prove themselves by the HASH alone."""
    site = up(between(*encrypting(kind), aggressive=aggressive))
    method = AuthMethod.RSA_ENCRYPTION if kind is ENCRYPTION else AuthMethod.RSA_ENCRYPTION_REVISED
    assert sa_of(site.moon).method is sa_of(site.sun).method is method
    assert str(sa_of(site.moon).remote_id) == "sun.example.org"
    assert str(sa_of(site.sun).remote_id) == "moon.example.org"
    for _, transmit in site.world.sent:
        assert b"example.org" not in transmit.data
    if not aggressive:
        keys = [KE, ID, Nonce] if kind is ENCRYPTION else [Nonce, KE, ID]
        assert [[each for each in message if each is not Hash] for message in ladder(site.moon)] == [[], keys, []]
        assert ladder(site.moon)[-1] == [Hash] and len(heard(site.sun, Hash)) == 2


@pytest.mark.parametrize("kind", [ENCRYPTION, REVISED])
@pytest.mark.parametrize("seed", range(3))
def test_public_key_encryption_over_a_bad_network(kind: AuthKind, seed: int) -> None:
    link = Link(loss=0.2, duplication=0.1, jitter=0.2)
    up(between(*encrypting(kind), seed=seed, link=link))


@pytest.mark.parametrize("kind", [ENCRYPTION, REVISED])
def test_an_initiator_whose_certificate_the_responder_does_not_know(kind: AuthKind) -> None:
    """It gets message 4 as ever, and cannot read it; the responder's log has the reason."""
    moon, sun = encrypting(kind)
    site = between(moon, replace(sun, knows=()))
    token = site.up()
    wait(site, 40)
    assert site.moon.done[token].error is not None and bare(site.moon) and bare(site.sun)
    assert ladder(site.moon)[1] and not heard(site.moon, Hash)
    assert any("no certificate of moon.example.org is known here" in event.text() for event in site.sun.saw(Note))


def test_the_revised_mode_may_bring_the_certificate() -> None:
    moon, sun = encrypting(REVISED, more={"send_cert": SendCert.ALWAYS})
    site = up(between(moon, replace(sun, knows=())))
    assert len(heard(site.sun, CERT)) == 1


def test_a_responder_whose_certificate_we_do_not_know() -> None:
    """Nothing can be encrypted to it: the operator is told what is missing."""
    moon, sun = encrypting(ENCRYPTION)
    site = between(replace(moon, knows=()), sun)
    token = site.up()
    assert "no certificate of sun.example.org is known" in (site.moon.done[token].error or "")
    assert bare(site.moon)


def test_a_responder_with_another_key_than_we_think() -> None:
    impostor = CA.leaf("impostor", "rsa-2048", names=("sun.example.org",))
    moon, sun = encrypting(ENCRYPTION)
    site = between(moon, replace(sun, own=[impostor]))
    token = site.up()
    wait(site, 40)
    assert site.moon.done[token].error is not None and bare(site.moon) and bare(site.sun)


def test_one_end_signs_and_the_other_encrypts() -> None:
    moon, _ = encrypting(ENCRYPTION)
    site = between(moon, Party([leaf("sun")]))
    token = site.up()
    assert "NO_PROPOSAL_CHOSEN" in (site.moon.done[token].error or "").upper().replace("-", "_")
    assert bare(site.moon) and bare(site.sun)


def test_identities_are_parsed_from_certificates_where_none_is_configured() -> None:
    """Neither end names itself: the subjects of the certificates are the identities."""
    moon, sun = Party([leaf("moon")], remote_id="%any"), Party([leaf("sun")], remote_id="%any")
    site = between(moon, sun)
    for host in (site.moon, site.sun):
        (made,) = host.engine.connections.all
        host.load(replace(made, local=(replace(made.local[0], id=None),)))
    up(site)
    assert str(sa_of(site.moon).remote_id) == "C=CH, O=ikectl, CN=sun.example.org"
    assert str(sa_of(site.sun).remote_id) == "C=CH, O=ikectl, CN=moon.example.org"


@MODES
def test_the_identity_is_that_of_the_certificate_that_goes_out(aggressive: bool) -> None:
    """Moon has certificates of two CAs; sun asks for the second, in aggressive mode after moon has named itself."""
    first, second = OTHER.leaf("moon first", "rsa-2048"), CA.leaf("moon second", "rsa-2048")
    moon = Party([first, second], trusts=(CA, OTHER))
    site = between(
        moon,
        Party([leaf("sun")], trusts=(CA, OTHER) if aggressive else (CA,), remote_id="%any"),
        aggressive=aggressive,
    )
    (made,) = site.moon.engine.connections.all
    site.moon.load(replace(made, local=(replace(made.local[0], id=None),)))
    up(site)
    named = sa_of(site.sun).remote_id
    assert str(named) == f"C=CH, O=ikectl, CN=moon {'first' if aggressive else 'second'}"
