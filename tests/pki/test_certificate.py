"""Reading certificates: names, keys, digests, and what is not a certificate."""

from __future__ import annotations

import hashlib
import warnings

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from ikectl.errors import CredentialError
from ikectl.iana.v2 import IdType
from ikectl.pki.certificate import MAX_CERTIFICATE_OCTETS, Certificate
from ikectl.values.identity import Identity
from tests.pki import vectors
from tests.pki.certs import NOW, SIGNING, Authority, name, self_signed

ROOT = Authority.root()
MOON = ROOT.leaf("moon", "ed25519", names=("moon.example.org", "10.1.0.1"))


@pytest.mark.parametrize("kind", SIGNING)
def test_every_kind_of_key_is_read(kind: str) -> None:
    leaf = ROOT.leaf("moon", kind)

    certificate = Certificate.read(leaf.der)

    assert certificate.kind == kind.split("-")[0].replace("brainpool", "ecdsa")
    assert load(certificate.spki) == leaf.key.public_key()
    assert certificate.not_before < NOW < certificate.not_after
    assert not certificate.is_ca


def load(spki: bytes) -> object:
    return serialization.load_der_public_key(spki)


def test_pem_and_der_are_one_certificate() -> None:
    leaf = ROOT.leaf("moon")

    assert Certificate.read(leaf.pem) == Certificate.read(leaf.der)
    assert hash(Certificate.read(leaf.pem)) == hash(Certificate.read(leaf.der))


@pytest.mark.conformance("v2-66")
def test_a_ca_is_named_by_the_sha1_of_its_whole_spki_and_a_key_by_that_of_its_bits() -> None:
    public = ROOT.key.public_key()
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    certificate = Certificate.read(ROOT.der)

    assert certificate.is_ca and certificate.self_issued
    assert certificate.authority == hashlib.sha1(spki).digest()
    point = public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    assert certificate.key_id == hashlib.sha1(point).digest()


def test_an_rsassa_pss_key_keeps_its_own_spki() -> None:
    certificate = Certificate.read(vectors.RSASSA_PSS_KEY)

    assert certificate.kind == "rsa"
    assert certificate.signed_with == "sha256"
    assert certificate.spki == vectors.RSASSA_PSS_SPKI
    assert certificate.authority == hashlib.sha1(vectors.RSASSA_PSS_SPKI).digest()


@pytest.mark.conformance("v2-64")
@pytest.mark.parametrize(
    "text",
    [
        "10.1.0.1",
        "2001:db8::1",
        "moon.example.org",
        "MOON.example.ORG",
        "admin@moon.example.org",
        "C=CH, O=ikectl, CN=moon",
        "c=CH, O=IKEctl, CN=Moon",
    ],
)
def test_names_confirm_identities_of_their_own_kind(text: str) -> None:
    names = ("10.1.0.1", "2001:db8::1", "moon.example.org", "admin@moon.example.org")
    certificate = Certificate.read(ROOT.leaf("moon", names=names).der)

    assert certificate.confirms(Identity.parse(text))


@pytest.mark.conformance("v2-64")
@pytest.mark.parametrize(
    "text",
    [
        "10.1.0.2",
        "moon",  # a CN is no host name
        "sun.example.org",
        "rfc822:moon.example.org",
        "fqdn:10.1.0.1",
        "a.wild.example.org",  # a wildcard in a certificate is only a character
        "CN=moon",
        "C=CH, O=ikectl, CN=moon, CN=moon",
        "keyid:moon.example.org",
        "%any",
    ],
)
def test_other_names_do_not(text: str) -> None:
    names = ("10.1.0.1", "moon.example.org", "*.wild.example.org")
    certificate = Certificate.read(ROOT.leaf("moon", names=names).der)

    assert not certificate.confirms(Identity.parse(text))


@pytest.mark.conformance("v2-64")
def test_a_key_id_is_a_digest_of_the_key_or_the_certificate() -> None:
    leaf = ROOT.leaf("moon")
    certificate = Certificate.read(leaf.der)

    for digest in (certificate.key_id, certificate.authority, hashlib.sha1(leaf.der).digest()):
        assert certificate.confirms(Identity(IdType.KEY_ID, digest))
    assert not certificate.confirms(Identity(IdType.KEY_ID, bytes(20)))
    assert not certificate.confirms(Identity(IdType.KEY_ID, b""))


def test_directory_names_are_identities_too() -> None:
    san = x509.SubjectAlternativeName([x509.DirectoryName(name("other"))])
    certificate = Certificate.read(ROOT.leaf("moon", extensions=[(san, False)]).der)

    assert certificate.confirms(Identity.parse("C=CH, O=ikectl, CN=other"))


def test_unknown_kinds_of_names_are_passed_over() -> None:
    san = x509.SubjectAlternativeName(
        [x509.UniformResourceIdentifier("https://moon.example.org/"), x509.DNSName("moon.example.org")]
    )
    certificate = Certificate.read(ROOT.leaf("moon", extensions=[(san, False)]).der)

    assert [str(identity) for identity in certificate.names] == [
        "C=CH, O=ikectl, CN=moon",
        "moon.example.org",
    ]


def test_text_shows_the_subject() -> None:
    certificate = Certificate.read(self_signed("moon").der)

    assert str(certificate) == "C=CH, O=ikectl, CN=moon"
    assert repr(certificate) == "<Certificate C=CH, O=ikectl, CN=moon>"


def test_peers_send_der_alone() -> None:
    leaf = ROOT.leaf("moon")
    hidden = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x04\x00" + leaf.pem)
    outer = ROOT.leaf("outer", extensions=[(hidden, False)])

    assert str(Certificate.read(outer.der)) == "C=CH, O=ikectl, CN=outer"
    assert Certificate.read(b"Certificate:\n" + leaf.pem) == Certificate.of_peer(leaf.der)
    with pytest.raises(CredentialError, match="cannot be read"):
        Certificate.of_peer(leaf.pem)


@pytest.mark.parametrize("octets", [b"", b"\x30\x00", b"-----BEGIN CERTIFICATE-----", b"x" * 100])
def test_junk_is_a_credential_error(octets: bytes) -> None:
    with pytest.raises(CredentialError, match="cannot be read"):
        Certificate.read(octets)


def test_a_huge_certificate_is_not_read() -> None:
    with pytest.raises(CredentialError, match="larger"):
        Certificate.read(bytes(MAX_CERTIFICATE_OCTETS + 1))


def test_a_key_that_does_not_sign_in_ike_is_refused() -> None:
    with pytest.raises(CredentialError, match="X25519"):
        Certificate.read(ROOT.leaf("moon", "x25519").der)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_octets_give_a_certificate_or_a_credential_error(data: st.DataObject) -> None:
    octets = bytearray(MOON.der)
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cryptography remarks on what it will refuse one day
        try:
            Certificate.read(bytes(octets))
        except CredentialError:
            pass
