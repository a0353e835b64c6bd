"""ID, CERT, CERTREQ and AUTH (RFC 7296 §3.5 to §3.8)."""

from __future__ import annotations

import pytest

from ikectl.errors import WireError
from ikectl.iana.v2 import AuthMethod, CertEncoding, IdType, id_type
from ikectl.values.identity import Identity
from ikectl.wire.v2.identity import AUTH, CERT, CERTREQ, IDi, IDr


@pytest.mark.conformance("v2-5")
@pytest.mark.parametrize("cls", [IDi, IDr])
def test_an_identity_octet_by_octet_and_its_reserved_octets(cls: type[IDi] | type[IDr]) -> None:
    payload = cls(IdType.FQDN, b"gw")
    assert payload.body() == bytes.fromhex("02 000000 6777")
    strange = cls.read(bytes.fromhex("02 ffffff 6777"))
    assert strange.identity == payload.identity and strange.body() == bytes.fromhex("02 ffffff 6777")


@pytest.mark.conformance("v2-64")
@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (IdType.IPV4_ADDR, bytes((192, 0, 2, 1))),
        (IdType.FQDN, b"gw.example.org"),
        (IdType.RFC822_ADDR, b"joe@example.org"),
        (IdType.IPV6_ADDR, bytes(16)),
        (IdType.DER_ASN1_DN, bytes.fromhex("3000")),
        (IdType.DER_ASN1_GN, b"\x82\x02gw"),
        (IdType.KEY_ID, b"\0\xff"),
        (IdType.NULL, b""),
        (id_type(201), b"?"),
    ],
)
def test_every_kind_of_identity_goes_there_and_back(kind: IdType, data: bytes) -> None:
    identity = Identity(kind, data)
    assert IDi.of(identity) == IDi(kind, data)
    assert IDr.read(IDr.of(identity).body()).identity == identity


@pytest.mark.parametrize(("kind", "octets"), [(IdType.IPV4_ADDR, 4), (IdType.IPV6_ADDR, 16)])
def test_an_address_of_another_length_is_refused(kind: IdType, octets: int) -> None:
    for wrong in {0, 4, 16, octets - 1, octets + 1} - {octets}:
        with pytest.raises(WireError, match=f"{kind} with {wrong} octets"):
            IDi.read(bytes((kind, 0, 0, 0)) + bytes(wrong))


def test_a_certificate_octet_by_octet() -> None:
    cert = CERT(CertEncoding.X509_SIGNATURE, b"\x30\x00")
    assert cert.body() == bytes.fromhex("04 3000")
    assert CERT.read(cert.body()) == cert


@pytest.mark.conformance("v2-66")
def test_a_certificate_request_lists_hashes_of_20_octets() -> None:
    first, second = bytes(range(20)), bytes(range(20, 40))
    request = CERTREQ(CertEncoding.X509_SIGNATURE, (first, second))
    assert request.body() == b"\x04" + first + second
    assert CERTREQ.read(request.body()) == request
    assert CERTREQ.read(b"\x04") == CERTREQ(CertEncoding.X509_SIGNATURE, ())
    for encoding in (4, 12, 13, 14):
        for octets in (1, 19, 21, 39):
            with pytest.raises(WireError, match=f"{octets} octets of authorities"):
                CERTREQ.read(bytes((encoding,)) + bytes(octets))


def test_a_request_for_another_encoding_keeps_its_authority_as_it_is() -> None:
    request = CERTREQ.read(b"\x0b" + bytes(7))
    assert request == CERTREQ(CertEncoding.RAW_RSA_KEY, (bytes(7),))
    assert request.body() == b"\x0b" + bytes(7)
    assert CERTREQ.read(b"\x0b") == CERTREQ(CertEncoding.RAW_RSA_KEY, ())


@pytest.mark.conformance("v2-5")
def test_auth_octet_by_octet_and_its_reserved_octets() -> None:
    auth = AUTH(AuthMethod.DIGITAL_SIGNATURE, b"\x01\x02")
    assert auth.body() == bytes.fromhex("0e 000000 0102")
    assert AUTH.read(bytes.fromhex("0e ffffff 0102")) == auth
