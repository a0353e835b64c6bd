"""Certificate revocation lists (RFC 5280 §5): which we use, whose they are, whom they are about."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ikectl.errors import CredentialError
from ikectl.pki.certificate import Certificate
from ikectl.pki.crl import MAX_CRL_OCTETS, Crl, look_up
from ikectl.pki.finding import Status
from tests.pki.certs import CERT_SIGN, NOW, Authority, Listed, key, points, scope, with_sha1

HOLD, COMPROMISE, BACK = (
    x509.ReasonFlags.certificate_hold,
    x509.ReasonFlags.key_compromise,
    x509.ReasonFlags.remove_from_crl,
)
URI = "http://ca.example.org/ca.crl"
ROOT = Authority.root("root")
MOON, SUN = ROOT.leaf("moon"), ROOT.leaf("sun")


def read(octets: bytes) -> Crl:
    return Crl.read(octets, URI)


def cert(of: object) -> Certificate:
    return Certificate.read(of.der)  # type: ignore[attr-defined]


def test_who_is_listed_was_revoked() -> None:
    crl = read(ROOT.crl(Listed(SUN, COMPROMISE)))
    found = look_up(cert(SUN), crl, (), NOW)
    assert (found.status, found.reason, found.revoked_at) == (
        Status.REVOKED,
        "key compromise",
        NOW - timedelta(hours=2),
    )
    good = look_up(cert(MOON), crl, (), NOW)
    assert good.status is Status.GOOD and good.fresh(NOW) and not good.fresh(NOW + timedelta(days=2))
    assert str(crl) == f"the CRL from {URI} of 2026-03-01 11:00 UTC" == good.source


def test_pem_is_read_as_well() -> None:
    der = ROOT.crl()
    assert read(x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)).der == der


def test_junk_is_no_crl() -> None:
    for octets, error in (
        (b"0\x82junk", "cannot be read"),
        (b"junk", "cannot be read"),
        (bytes(MAX_CRL_OCTETS + 1), "larger than we read"),
        (ROOT.crl(extensions=[(scope(indirect=True), True)]), "indirect, of some reasons only"),
        (
            ROOT.crl(extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)]),
            r"critical extension we do not know \(1\.2\.3\.4\)",
        ),
    ):
        with pytest.raises(CredentialError, match=error):
            read(octets)


@pytest.mark.parametrize("kind", ["rsa-2048", "ecdsa-384", "ed25519"])
def test_it_is_genuine_by_the_key_of_its_ca(kind: str) -> None:
    ca = Authority.root("of a kind", kind)
    read(ca.crl()).demand_signed_by(cert(ca))


def test_it_is_not_genuine() -> None:
    silent = Authority.root(
        "no crls", usage=x509.KeyUsage(False, False, False, False, False, True, False, False, False)
    )
    for crl, ca, error in (
        (ROOT.crl(by=key("ecdsa-256", "somebody")), ROOT, "is wrong, or by another key"),
        (ROOT.crl(), Authority.root("other"), "is not by C=CH, O=ikectl, CN=other"),
        (silent.crl(), silent, "allows it to sign no CRLs"),
    ):
        with pytest.raises(CredentialError, match=error):
            read(crl).demand_signed_by(cert(ca))
    assert CERT_SIGN.crl_sign


def test_a_broken_hash_is_refused() -> None:
    rsa = Authority.root("rsa", "rsa-2048")
    der = rsa.crl()
    with pytest.raises(CredentialError, match="signed with SHA1"):
        read(with_sha1(der, x509.load_der_x509_crl(der).tbs_certlist_bytes, rsa.key)).demand_signed_by(cert(rsa))


@pytest.mark.parametrize(
    ("of", "user", "ca", "pointed", "elsewhere"),
    [
        (None, True, True, True, True),
        (scope(users=True), True, False, True, True),
        (scope(cas=True), False, True, False, False),
        (scope(URI), False, False, True, False),
    ],
)
def test_whom_it_is_about(
    of: x509.IssuingDistributionPoint | None, user: bool, ca: bool, pointed: bool, elsewhere: bool
) -> None:
    """A list of other certificates says nothing good of this one (RFC 5280 §6.3.3 (b) (2))."""
    crl = read(ROOT.crl(extensions=[(of, True)] if of else ()))
    there = ROOT.leaf("there", extensions=points(crl=URI))
    away = ROOT.leaf("away", extensions=points(crl="http://ca.example.org/other.crl"))
    covered = [crl.covers(cert(each)) for each in (MOON, ROOT.authority("mid"), there, away)]
    assert covered == [user, ca, pointed, elsewhere]


# -- delta CRLs -------------------------------------------------------------------


def test_a_delta_makes_a_base_younger() -> None:
    base = read(ROOT.crl(Listed(SUN, HOLD), number=5, starts=timedelta(days=-3), ends=timedelta(days=-1)))
    delta = read(ROOT.crl(Listed(MOON), number=7, base=5))
    assert look_up(cert(MOON), base, (), NOW).status is Status.GOOD
    found = look_up(cert(MOON), base, (delta,), NOW)
    assert found.status is Status.REVOKED and "delta CRL" in found.source and ", with the CRL" in found.source
    still = look_up(cert(SUN), base, (delta,), NOW)
    assert still.status is Status.REVOKED
    other = look_up(cert(ROOT.leaf("venus")), base, (delta,), NOW)
    assert other.status is Status.GOOD and other.fresh(NOW)


def test_a_delta_takes_off_the_list() -> None:
    base = read(ROOT.crl(Listed(SUN, HOLD), number=5))
    delta = read(ROOT.crl(Listed(SUN, BACK), number=6, base=4))
    assert look_up(cert(SUN), base, (), NOW).status is Status.REVOKED
    assert look_up(cert(SUN), base, (delta,), NOW).status is Status.GOOD


def test_the_newest_delta_counts() -> None:
    base = read(ROOT.crl(number=5))
    older, newer = read(ROOT.crl(number=6, base=5)), read(ROOT.crl(Listed(MOON), number=7, base=5))
    for deltas in ((older, newer), (newer, older)):
        assert look_up(cert(MOON), base, deltas, NOW).status is Status.REVOKED


@pytest.mark.parametrize(
    "delta",
    [
        {"number": 9, "base": 6},
        {"number": 4, "base": 3},
        {"number": 6, "base": 5, "extensions": [(scope(users=True), True)]},
        {"number": 6, "base": 5, "starts": timedelta(days=-3), "ends": timedelta(days=-2)},
    ],
    ids=["of a later base", "older than the base", "of another scope", "stale"],
)
def test_a_delta_that_does_not_fit(delta: dict[str, object]) -> None:
    base = read(ROOT.crl(number=5))
    assert look_up(cert(MOON), base, (read(ROOT.crl(Listed(MOON), **delta)),), NOW).status is Status.GOOD
