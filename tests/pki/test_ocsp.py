"""OCSP responses (RFC 6960): what they say, and who may say it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as library
from cryptography.x509.oid import ExtendedKeyUsageOID

from ikectl.errors import CredentialError
from ikectl.pki import ocsp
from ikectl.pki.certificate import Certificate
from ikectl.pki.finding import Finding, Status
from tests.pki.certs import NOW, Authority, Identified, with_sha1

ROOT, OTHER = Authority.root("root"), Authority.root("other")
MOON, SUN = ROOT.leaf("moon"), ROOT.leaf("sun")
FOR_OCSP = [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False)]
RESPONDER = ROOT.leaf("responder", extensions=FOR_OCSP)
NONCE = bytes(range(32))
HOUR = timedelta(hours=1)


def cert(of: Identified) -> Certificate:
    return Certificate.read(of.der)


def judge(response: bytes, of: Identified = MOON, ca: Authority = ROOT, **more: object) -> Finding:
    return ocsp.judge(response, cert(of), cert(ca), NOW, origin="http://ocsp", **more)  # type: ignore[arg-type]


def test_a_request_names_the_certificate() -> None:
    asked = library.load_der_ocsp_request(ocsp.request(cert(MOON), cert(ROOT), NONCE))
    built = library.OCSPRequestBuilder().add_certificate(MOON.certificate, ROOT.certificate, hashes.SHA1()).build()
    assert asked.serial_number == MOON.certificate.serial_number
    assert (asked.issuer_name_hash, asked.issuer_key_hash) == (built.issuer_name_hash, built.issuer_key_hash)
    assert [each.value.nonce for each in asked.extensions if isinstance(each.value, x509.OCSPNonce)] == [NONCE]
    assert not library.load_der_ocsp_request(ocsp.request(cert(MOON), cert(ROOT), b"")).extensions


def test_good_and_revoked() -> None:
    good = judge(ROOT.ocsp(MOON))
    assert good.status is Status.GOOD and good.fresh(NOW) and not good.fresh(NOW + timedelta(days=2))
    assert good.source == "the OCSP response from http://ocsp of 2026-03-01 11:00 UTC"
    bad = judge(ROOT.ocsp(MOON, revoked=x509.ReasonFlags.ca_compromise))
    assert (bad.status, bad.reason, bad.revoked_at) == (Status.REVOKED, "CA compromise", NOW - 2 * HOUR)


@pytest.mark.parametrize("kind", ["rsa-2048", "ecdsa-384", "ecdsa-521", "ed25519", "ed448"])
def test_every_kind_of_key_may_sign(kind: str) -> None:
    ca = Authority.root("of a kind", kind)
    leaf = ca.leaf("moon")
    assert judge(ca.ocsp(leaf), leaf, ca).status is Status.GOOD


def test_a_responder_of_the_ca() -> None:
    for by_hash in (False, True):
        assert judge(ROOT.ocsp(MOON, responder=RESPONDER, by_hash=by_hash)).status is Status.GOOD
    assert judge(ROOT.ocsp(MOON, name_hash=hashes.SHA256())).status is Status.GOOD


@pytest.mark.parametrize(
    ("responder", "error"),
    [
        (ROOT.leaf("no purpose"), "its certificate is not for OCSP signing"),
        (OTHER.leaf("stranger", extensions=FOR_OCSP), "is not issued by C=CH, O=ikectl, CN=root"),
        (ROOT.leaf("old", extensions=FOR_OCSP, ends=timedelta(days=-1)), "is not valid now"),
        (ROOT.authority("mid").leaf("below", extensions=FOR_OCSP), "is not issued by C=CH, O=ikectl, CN=root"),
    ],
    ids=["no purpose", "of another CA", "expired", "of a CA below"],
)
def test_who_may_not_sign(responder: Identified, error: str) -> None:
    """RFC 6960 §4.2.2.2: the CA itself must have issued the responder's certificate, for this purpose."""
    with pytest.raises(CredentialError, match=error):
        judge(ROOT.ocsp(MOON, responder=responder))


def test_a_responder_that_was_revoked_or_is_unknown() -> None:
    response = ROOT.ocsp(MOON, responder=RESPONDER)
    with pytest.raises(CredentialError, match="its certificate was revoked"):
        judge(response, revoked=lambda signer: signer == cert(RESPONDER))
    with pytest.raises(CredentialError, match="signed by nobody who may"):
        judge(ROOT.ocsp(MOON, responder=RESPONDER, certificates=False))
    with pytest.raises(CredentialError, match="signed by nobody who may"):
        judge(OTHER.ocsp(OTHER.leaf("moon")))


def test_a_responder_that_the_operator_trusts() -> None:
    stranger = OTHER.leaf("stranger", extensions=FOR_OCSP)
    response = ROOT.ocsp(MOON, responder=stranger)
    assert judge(response, trusted=[cert(stranger)]).status is Status.GOOD


def test_what_was_changed_under_way_is_refused() -> None:
    response = bytearray(ROOT.ocsp(MOON))
    response[-5] ^= 1
    with pytest.raises(CredentialError, match="signed by nobody who may"):
        judge(bytes(response))


def test_a_broken_hash_is_refused() -> None:
    rsa = Authority.root("rsa", "rsa-2048")
    leaf = rsa.leaf("moon")
    der = rsa.ocsp(leaf)
    changed = with_sha1(der, library.load_der_ocsp_response(der).tbs_response_bytes, rsa.key)
    with pytest.raises(CredentialError, match="signed by nobody who may"):
        judge(changed, leaf, rsa)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"starts": HOUR}, "is not valid yet: compare the clocks"),
        ({"starts": -3 * HOUR, "ends": -HOUR}, "is stale since 2026-03-01 11:00 UTC"),
        ({"starts": -HOUR, "ends": None}, "is stale since"),
        ({"unknown": True}, "does not know the certificate"),
        ({"nonce": bytes(32)}, "its nonce differs"),
    ],
)
def test_what_is_of_no_use(options: dict[str, object], error: str) -> None:
    with pytest.raises(CredentialError, match=error):
        judge(ROOT.ocsp(MOON, **options), nonce=NONCE)


def test_without_an_end_it_is_good_for_minutes() -> None:
    fresh = judge(ROOT.ocsp(MOON, starts=timedelta(minutes=-1), ends=None))
    assert fresh.until == NOW + timedelta(minutes=4)
    answered = judge(ROOT.ocsp(MOON, starts=timedelta(days=-2), ends=None, nonce=NONCE), nonce=NONCE)
    assert answered.until == NOW + timedelta(minutes=5)


def test_it_is_about_another() -> None:
    below = ROOT.authority("mid")
    for response, of, ca in (
        (ROOT.ocsp(SUN), MOON, ROOT),
        (ROOT.ocsp(MOON, responder=RESPONDER), below.leaf("moon"), ROOT),
    ):
        with pytest.raises(CredentialError, match="not about this certificate"):
            judge(response, of, ca)


@pytest.mark.parametrize(
    ("octets", "error"),
    [
        (b"", "cannot be read"),
        (b"0\x03\n\x01\x02", "internal error|cannot be read"),
        (bytes(ocsp.MAX_RESPONSE_OCTETS + 1), "larger than we read"),
        (
            library.OCSPResponseBuilder.build_unsuccessful(library.OCSPResponseStatus.TRY_LATER).public_bytes(
                Encoding.DER
            ),
            "the OCSP responder answered: try later",
        ),
    ],
)
def test_what_is_no_response(octets: bytes, error: str) -> None:
    with pytest.raises(CredentialError, match=error):
        judge(octets)
