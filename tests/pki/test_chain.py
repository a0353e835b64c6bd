"""Verdicts on chains: what leads to a trusted CA, and every reason why one does not."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from ikectl.config.model import Auth, KeyConstraint, Remote
from ikectl.errors import CredentialError, Expired, NoTrustPath
from ikectl.iana.v2 import HashAlgorithm
from ikectl.pki.certificate import ANY_POLICY, Certificate
from ikectl.pki.chain import MAX_PATH, MAX_PEER_CERTIFICATES, Verdict, check
from ikectl.values.identity import Identity
from tests.pki import vectors
from tests.pki.certs import NOW, SIGNING, Authority, Identified, name, self_signed

ROOT = Authority.root()
NETWORK = ROOT.authority("network")
MOON = Identity.parse("moon.example.org")
DAY = timedelta(days=1)
ANYBODY = Remote()

_EDWARDS = Authority.root("edwards root", "ed25519")
_EDWARDS_LEAF = _EDWARDS.authority("edwards network", "ed25519").leaf("moon", "ed25519", names=("moon.example.org",))
FIXED_ROOT = Certificate.read(_EDWARDS.der)
FIXED = (_EDWARDS_LEAF.der, *_EDWARDS_LEAF.chain)
"""Signatures of Ed25519 have one length, so damage finds the same octets in every run."""


def expected(certs: Sequence[bytes] = (), cacerts: Sequence[bytes] = (), chain: Sequence[KeyConstraint] = ()) -> Remote:
    return Remote(auth=Auth(chain=tuple(chain)), certs=tuple(certs), cacerts=tuple(cacerts))


def judge(
    leaf: Identified,
    *,
    sent: Sequence[bytes] | None = None,
    anchors: Sequence[Identified] = (ROOT,),
    known: Sequence[Identified] = (),
    trust: Remote = ANYBODY,
    identity: Identity = MOON,
    at: timedelta = timedelta(),
) -> Verdict:
    return check(
        (leaf.der, *(leaf.chain if sent is None else sent)),
        trust,
        identity,
        NOW + at,
        anchors=[Certificate.read(anchor.der) for anchor in anchors],
        intermediates=[Certificate.read(ca.der) for ca in known],
    )


def moon(ca: Authority, **options: object) -> Identified:
    return ca.leaf("moon", names=("moon.example.org",), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", SIGNING)
def test_a_leaf_of_a_trusted_root_is_good_whatever_the_kind_of_its_keys(kind: str) -> None:
    root = Authority.root("root of its kind", kind)
    leaf = root.leaf("moon", kind, names=("moon.example.org",))

    verdict = judge(leaf, anchors=[root])

    assert verdict.spki == Certificate.read(leaf.der).spki
    assert (verdict.valid_from, verdict.valid_until) == (NOW - 30 * DAY, NOW + 30 * DAY)


def test_an_rsa_ca_may_sign_with_pss() -> None:
    root = Authority.root("pss", "rsa-2048", pss=True)

    assert judge(moon(root, pss=True), anchors=[root])


def test_a_leaf_with_nothing_but_a_cn_is_good() -> None:
    root = Authority.root("bare", key_identifiers=False)
    leaf = root.leaf("moon", usage=None, key_identifiers=False)

    assert judge(leaf, anchors=[root], identity=Identity.parse("C=CH, O=ikectl, CN=moon"))


def test_intermediates_come_from_the_peer_or_from_here() -> None:
    leaf = moon(NETWORK)

    assert judge(leaf)
    assert judge(leaf, sent=(), known=[NETWORK])
    with pytest.raises(NoTrustPath, match=r"no trusted CA issued .*CN=moon .issuer .*CN=network"):
        judge(leaf, sent=())


def test_order_and_junk_among_the_intermediates_do_not_matter() -> None:
    deep = NETWORK.authority("deep")
    leaf = moon(deep)

    assert judge(leaf, sent=(b"junk", self_signed("other").der, *reversed(leaf.chain), leaf.der))


def test_the_verdict_holds_no_longer_than_the_whole_path() -> None:
    short = ROOT.authority("short", ends=2 * DAY)

    assert judge(moon(short)).valid_until == NOW + 2 * DAY


@pytest.mark.conformance("v2-66")
def test_the_first_certificate_is_the_peers_own() -> None:
    leaf = moon(NETWORK)

    with pytest.raises(CredentialError, match=r"CN=network does not speak for moon.example.org"):
        check((NETWORK.der, leaf.der), expected(), MOON, NOW, anchors=[Certificate.read(ROOT.der)])


@pytest.mark.conformance("v2-64")
def test_the_identity_must_stand_in_the_certificate() -> None:
    with pytest.raises(CredentialError, match=r"does not speak for sun.example.org, only for .*moon.example.org"):
        judge(moon(ROOT), identity=Identity.parse("sun.example.org"))


@pytest.mark.conformance("v2-68")
def test_an_expired_leaf() -> None:
    with pytest.raises(Expired, match="certificate of C=CH, O=ikectl, CN=moon expired 3 days ago"):
        judge(moon(ROOT, ends=-3 * DAY))


@pytest.mark.conformance("v2-68")
def test_an_expired_intermediate_or_root() -> None:
    with pytest.raises(Expired, match="CN=old expired 1 hour ago"):
        judge(moon(ROOT.authority("old", ends=timedelta(hours=-1))))
    with pytest.raises(Expired, match="CN=root expired 5 days ago"):
        judge(moon(ROOT, ends=60 * DAY), at=35 * DAY)


@pytest.mark.conformance("v2-68")
def test_a_certificate_of_the_future() -> None:
    with pytest.raises(Expired, match="CN=moon becomes valid in 2 minutes"):
        judge(moon(ROOT, starts=timedelta(minutes=2)))


@pytest.mark.conformance("v2-68")
def test_an_unknown_ca() -> None:
    stranger = Authority.root("stranger")

    with pytest.raises(NoTrustPath, match=r"no trusted CA issued the certificate of .*CN=moon"):
        judge(moon(stranger))
    with pytest.raises(NoTrustPath, match=r"root .*CN=stranger is not a CA we trust"):
        judge(moon(stranger), sent=(stranger.der,))
    with pytest.raises(NoTrustPath):
        judge(moon(ROOT), anchors=())


@pytest.mark.conformance("v2-68")
def test_a_ca_of_the_same_name_with_another_key() -> None:
    for identifiers in (True, False):
        forged = Authority(ROOT.certificate, Authority.root("forger").key)

        with pytest.raises(NoTrustPath):
            judge(moon(forged, key_identifiers=identifiers))


@pytest.mark.conformance("v2-68")
def test_path_length() -> None:
    narrow = Authority.root("narrow", path_length=0)

    assert judge(moon(narrow), anchors=[narrow])
    with pytest.raises(NoTrustPath, match="CN=narrow allows no path of this length"):
        judge(moon(narrow.authority("below")), anchors=[narrow])


@pytest.mark.conformance("v2-68")
def test_only_cas_issue_certificates() -> None:
    leaf = ROOT.leaf("host")
    pretender = Authority(leaf.certificate, leaf.key, (leaf.der,))

    with pytest.raises(NoTrustPath, match="CN=host is no CA"):
        judge(moon(pretender))


@pytest.mark.conformance("v2-68")
def test_a_ca_whose_key_usage_lacks_certificate_signing() -> None:
    signs = x509.KeyUsage(True, False, False, False, False, False, True, False, False)

    with pytest.raises(NoTrustPath, match="CN=crl only"):
        judge(moon(ROOT.authority("crl only", usage=signs)))


@pytest.mark.conformance("v2-68")
def test_a_leaf_whose_key_may_not_sign() -> None:
    enciphers = x509.KeyUsage(False, False, True, False, False, False, False, False, False)
    commits = x509.KeyUsage(False, True, False, False, False, False, False, False, False)

    with pytest.raises(CredentialError, match="not for IKE: its key usage allows no signatures"):
        judge(moon(ROOT, usage=enciphers))
    assert judge(moon(ROOT, usage=commits))


def test_extended_key_usages_of_tls_and_ike_are_good_others_not() -> None:
    def with_usage(oid: x509.ObjectIdentifier) -> Identified:
        return moon(ROOT, extensions=[(x509.ExtendedKeyUsage([oid]), True)])

    for oid in (
        ExtendedKeyUsageOID.IPSEC_IKE,
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    ):
        assert judge(with_usage(oid))
    with pytest.raises(CredentialError, match="extended key usage is for something else"):
        judge(with_usage(ExtendedKeyUsageOID.CODE_SIGNING))


@pytest.mark.conformance("v2-68")
@pytest.mark.parametrize("where", ["leaf", "intermediate"])
def test_an_unknown_critical_extension(where: str) -> None:
    unknown = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00"), True)
    ca = ROOT.authority("odd", extensions=[unknown] if where == "intermediate" else [])
    leaf = moon(ca, extensions=[unknown] if where == "leaf" else [])

    with pytest.raises(NoTrustPath, match="critical extension we do not know"):
        judge(leaf)


def test_an_unknown_extension_that_is_not_critical_is_ignored() -> None:
    unknown = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00"), False)

    assert judge(moon(ROOT, extensions=[unknown]))


def test_name_constraints_bind_host_and_directory_names() -> None:
    hosts = x509.NameConstraints([x509.DNSName("example.org")], None)
    people = x509.NameConstraints(None, [x509.DirectoryName(name("moon"))])

    assert judge(moon(ROOT.authority("hosts", extensions=[(hosts, True)])))
    with pytest.raises(NoTrustPath, match="outside what its CA may name"):
        other = ROOT.authority("hosts", extensions=[(hosts, True)]).leaf("sun", names=("sun.example.com",))
        judge(other, identity=Identity.parse("sun.example.com"))
    with pytest.raises(NoTrustPath, match="must not name"):
        judge(moon(ROOT.authority("people", extensions=[(people, True)])))


def test_a_self_signed_leaf_is_trusted_only_where_the_configuration_names_it() -> None:
    leaf = self_signed("moon", names=("moon.example.org",))

    with pytest.raises(NoTrustPath, match=r"self-signed, and no remote.certs names it"):
        judge(leaf)
    assert judge(leaf, trust=expected(certs=(leaf.der,)))
    with pytest.raises(NoTrustPath, match=r"none of remote.certs"):
        judge(leaf, trust=expected(certs=(moon(ROOT).der,)))


def test_a_named_leaf_needs_no_ca_but_must_be_valid_and_for_this_identity() -> None:
    stranger = Authority.root("stranger")
    leaf = moon(stranger)
    trust = expected(certs=(leaf.der,))

    assert judge(leaf, trust=trust)
    with pytest.raises(Expired):
        judge(leaf, trust=trust, at=31 * DAY)
    with pytest.raises(CredentialError, match="does not speak for"):
        judge(leaf, trust=trust, identity=Identity.parse("sun.example.org"))


def test_a_named_leaf_and_a_named_ca_must_both_hold() -> None:
    leaf, stranger = moon(ROOT), Authority.root("stranger")

    assert judge(leaf, trust=expected((leaf.der,), (ROOT.der,)))
    with pytest.raises(NoTrustPath):
        judge(leaf, trust=expected((leaf.der,), (stranger.der,)))
    with pytest.raises(NoTrustPath):
        judge(leaf, trust=expected((moon(ROOT).der,), (ROOT.der,)))


def test_named_cas_replace_the_others_and_may_be_intermediates() -> None:
    other = ROOT.authority("other")

    assert judge(moon(NETWORK), trust=expected(cacerts=(NETWORK.der,)), anchors=())
    assert judge(moon(NETWORK), trust=expected(cacerts=(other.der, ROOT.der)), anchors=())
    with pytest.raises(NoTrustPath):
        judge(moon(NETWORK), trust=expected(cacerts=(other.der,)))


def test_short_rsa_keys_are_refused_unless_the_configuration_takes_them() -> None:
    short = Certificate.read(vectors.RSA_1024)

    def judge_short(*chain: KeyConstraint) -> Verdict:
        trust = expected(certs=(short.der,), chain=chain)
        return check([short.der], trust, short.subject, short.not_before + DAY)

    for refused in (
        (),
        (KeyConstraint("rsa"),),
        (KeyConstraint("ecdsa", 1024),),
        (KeyConstraint("rsa", 1025),),
    ):
        with pytest.raises(CredentialError, match="RSA key of CN=short with 1024 bits"):
            judge_short(*refused)
    assert judge_short(KeyConstraint("ecdsa"), KeyConstraint("rsa", 1024))


def test_broken_hashes_are_refused_unless_the_configuration_takes_them() -> None:
    root, leaf = Certificate.read(vectors.SHA1_ROOT), Certificate.read(vectors.SHA1_LEAF)

    def judge_old(*chain: KeyConstraint) -> Verdict:
        return check([leaf.der], expected(chain=chain), leaf.subject, leaf.not_before + DAY, anchors=[root])

    for refused in ((), (KeyConstraint("rsa"),), (KeyConstraint(hashes=(HashAlgorithm.SHA2_256,)),)):
        with pytest.raises(CredentialError, match="CN=old is signed with SHA1"):
            judge_old(*refused)
    assert judge_old(KeyConstraint(hashes=(HashAlgorithm.SHA1,)))


def test_constraints_on_keys_and_signatures_bind_the_whole_path() -> None:
    leaf = moon(NETWORK)
    sha256, sha384 = (HashAlgorithm.SHA2_256,), (HashAlgorithm.SHA2_384,)

    assert judge(leaf, trust=expected(chain=[KeyConstraint("ecdsa", 256, hashes=sha256)]))
    assert judge(leaf, trust=expected(chain=[KeyConstraint("rsa"), KeyConstraint("ecdsa", hashes=sha256)]))
    for rule in (KeyConstraint("ecdsa", 384), KeyConstraint("rsa"), KeyConstraint("ecdsa", hashes=sha384)):
        with pytest.raises(CredentialError, match="not accepted"):
            judge(leaf, trust=expected(chain=[rule]))


def test_rsa_pss_may_be_demanded_of_a_chain() -> None:
    plain, pss = Authority.root("plain", "rsa-2048"), Authority.root("pss", "rsa-2048")
    trust = expected(chain=[KeyConstraint("rsa", pss=True)])

    assert judge(pss.leaf("moon", "rsa-2048", names=("moon.example.org",), pss=True), anchors=[pss], trust=trust)
    with pytest.raises(CredentialError, match="CN=moon is signed with SHA256, which is not accepted"):
        judge(plain.leaf("moon", "rsa-2048", names=("moon.example.org",)), anchors=[plain], trust=trust)


def test_edwards_signatures_have_no_hash_to_constrain() -> None:
    root = Authority.root("edwards", "ed25519")
    leaf = root.leaf("moon", "ed25519", names=("moon.example.org",))
    rule = KeyConstraint("ed25519", hashes=(HashAlgorithm.SHA2_256,))

    assert judge(leaf, anchors=[root], trust=expected(chain=[rule]))


def test_a_path_has_an_end() -> None:
    ca = ROOT
    for depth in range(MAX_PATH - 2):
        ca = ca.authority(f"ca {depth}")

    assert judge(moon(ca))
    with pytest.raises(NoTrustPath, match="longer than"):
        judge(moon(ca.authority("one more")))


def test_certificates_beyond_the_limit_are_not_looked_at() -> None:
    leaf = moon(NETWORK)
    ballast = (self_signed("ballast").der,) * (MAX_PEER_CERTIFICATES - 2)

    assert judge(leaf, sent=(*ballast, NETWORK.der))
    with pytest.raises(NoTrustPath):
        judge(leaf, sent=(*ballast, ballast[0], NETWORK.der))


def test_no_certificate_at_all() -> None:
    with pytest.raises(CredentialError, match=r"moon.example.org sent no certificate"):
        check((), expected(), MOON, NOW)


def test_a_leaf_that_cannot_be_read() -> None:
    with pytest.raises(CredentialError, match="cannot be read"):
        check((b"junk",), expected(), MOON, NOW)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_damage_to_a_chain_gives_a_credential_error_or_the_same_key(data: st.DataObject) -> None:
    chain = [bytearray(der) for der in FIXED]
    for _ in range(data.draw(st.integers(1, 3))):
        damaged = data.draw(st.sampled_from(chain))
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cryptography remarks on what it will refuse one day
        try:
            verdict = check([bytes(der) for der in chain], ANYBODY, MOON, NOW, anchors=[FIXED_ROOT])
        except CredentialError:
            return
    assert verdict.spki == Certificate.read(FIXED[0]).spki


# -- what the configuration pins besides keys ---------------------------------------------

WEST, EAST = "1.3.6.1.4.1.99999.1.1", "1.3.6.1.4.1.99999.1.2"


def policies(*oids: str) -> list[tuple[x509.ExtensionType, bool]]:
    informations = [x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in oids]
    return [(x509.CertificatePolicies(informations), False)]


def judged(leaf: Identified, **pins: Any) -> Verdict:
    anchors = [Certificate.read(Authority.root().der)]
    identity = Identity.parse("C=CH, O=ikectl, CN=moon")
    return check((leaf.der, *leaf.chain), Remote(**pins), identity, NOW, anchors=anchors)


@pytest.mark.conformance("v2-68")
def test_a_ca_of_the_path_has_the_name() -> None:
    leaf = Authority.root().authority("mid", names=("mid.example.org",)).leaf("moon")
    for ca in ("C=CH, O=ikectl, CN=mid", "mid.example.org", "C=CH, O=ikectl, CN=root"):
        assert len(judged(leaf, ca_id=Identity.parse(ca)).path) == 3
    for ca in ("C=CH, O=ikectl, CN=moon", "C=CH, O=ikectl, CN=other"):
        with pytest.raises(NoTrustPath, match=r"remote\.ca_id wants .* and found C=CH, O=ikectl, CN=mid, C=CH"):
            judged(leaf, ca_id=Identity.parse(ca))


@pytest.mark.parametrize(
    ("ca", "leaf", "wanted", "good"),
    [
        ((WEST,), (WEST,), (WEST,), True),
        ((WEST, EAST), (EAST, WEST), (WEST, EAST), True),
        ((ANY_POLICY,), (WEST,), (WEST,), True),
        ((WEST,), (WEST,), (WEST, EAST), False),
        ((), (WEST,), (WEST,), False),
        ((EAST,), (WEST,), (WEST,), False),
        ((WEST,), (), (WEST,), False),
        ((ANY_POLICY,), (ANY_POLICY,), (WEST,), False),
    ],
)
def test_policies_hold_through_the_path(
    ca: tuple[str, ...], leaf: tuple[str, ...], wanted: tuple[str, ...], good: bool
) -> None:
    """RFC 5280 §6.1: a policy is the leaf's only if every CA below the anchor vouches for it."""
    mid = Authority.root().authority("mid", extensions=policies(*ca) if ca else ())
    made = mid.leaf("moon", extensions=policies(*leaf) if leaf else ())
    if good:
        assert judged(made, cert_policy=wanted)
    else:
        with pytest.raises(CredentialError, match="does not assert the policy"):
            judged(made, cert_policy=wanted)


def test_any_policy_may_be_forbidden() -> None:
    inhibit = [*policies(ANY_POLICY), (x509.InhibitAnyPolicy(0), True)]
    low = Authority.root().authority("mid", extensions=inhibit).authority("low", extensions=policies(ANY_POLICY))
    with pytest.raises(CredentialError, match="does not assert the policy"):
        judged(low.leaf("moon", extensions=policies(WEST)), cert_policy=(WEST,))


def test_a_ca_may_demand_policies_of_all_below() -> None:
    """policyConstraints (RFC 5280 §4.2.1.11) holds whether the configuration wants policies or not."""
    demanding = [*policies(WEST), (x509.PolicyConstraints(0, None), True)]
    mid = Authority.root().authority("mid", extensions=demanding)
    assert judged(mid.leaf("moon", extensions=policies(WEST)))
    with pytest.raises(NoTrustPath, match="wants a certificate policy"):
        judged(mid.leaf("moon"))
    later = Authority.root().authority("mid", extensions=[(x509.PolicyConstraints(2, None), True)])
    assert judged(later.leaf("moon"))
    with pytest.raises(NoTrustPath, match="wants a certificate policy"):
        judged(later.authority("low").leaf("moon"))
