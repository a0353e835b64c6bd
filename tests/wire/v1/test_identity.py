"""ID, CERT and CERTREQ payloads octet by octet (RFC 2407 §4.6.2, RFC 2408 §3.9, §3.10)."""

from __future__ import annotations

import pytest

from ikectl.errors import PeerMisbehaved, WireError
from ikectl.iana.v1 import CertEncoding, PayloadType, id_type
from ikectl.values.identity import Identity
from ikectl.values.selector import TrafficSelector
from ikectl.wire.v1 import CERT, CERTREQ, ID
from ikectl.wire.v1.payload import Payload, read_chain


def read(kind: PayloadType, body: bytes) -> Payload:
    ((payload,), _, _) = read_chain(kind, b"\0\0" + (len(body) + 4).to_bytes(2, "big") + body)
    return payload


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("192.0.2.1", "01 11 01f4 c0000201"),
        ("gate.example.org", "02 11 01f4" + b"gate.example.org".hex()),
        ("road@example.org", "03 11 01f4" + b"road@example.org".hex()),
        ("2001:db8::1", "05 11 01f4 20010db8000000000000000000000001"),
        ("CN=a", "09 11 01f4 300c310a30080603550403130161"),
        ("keyid:group", "0b 11 01f4" + b"group".hex()),
    ],
)
def test_identities_of_phase_1(text: str, octets: str) -> None:
    identity = Identity.parse(text)
    payload = ID.of(identity, 17, 500)
    assert payload.body() == bytes.fromhex(octets)
    found = read(PayloadType.ID, bytes.fromhex(octets))
    assert found == payload
    assert isinstance(found, ID) and found.identity == identity


def test_protocol_and_port_are_any_unless_said() -> None:
    assert ID.of(Identity.parse("192.0.2.1")).body() == bytes.fromhex("01 00 0000 c0000201")


SELECTORS = [
    ("10.1.2.3", 0, (0, 65535), "01 00 0000 0a010203"),
    ("10.1.2.0/24", 0, (0, 65535), "04 00 0000 0a010200 ffffff00"),
    ("10.1.2.0/31", 6, (443, 443), "04 06 01bb 0a010200 fffffffe"),
    ("0.0.0.0/0", 17, (1701, 1701), "04 11 06a5 00000000 00000000"),
    ("0.0.0.0/0", 0, (0, 65535), "04 00 0000 00000000 00000000"),
    ("10.0.0.1-10.0.0.9", 1, (0, 65535), "07 01 0000 0a000001 0a000009"),
    ("255.255.255.255", 17, (67, 67), "01 11 0043 ffffffff"),
    ("2001:db8::1", 0, (0, 65535), "05 00 0000 20010db8000000000000000000000001"),
    (
        "2001:db8::/32",
        58,
        (0, 65535),
        "06 3a 0000 20010db8000000000000000000000000 ffffffff000000000000000000000000",
    ),
    ("::/0", 0, (0, 65535), "06 00 0000" + "00" * 32),
    (
        "2001:db8::1-2001:db8::3",
        0,
        (0, 65535),
        "08 00 0000 20010db8000000000000000000000001 20010db8000000000000000000000003",
    ),
]


@pytest.mark.parametrize(("network", "protocol", "ports", "octets"), SELECTORS)
def test_traffic_of_phase_2(network: str, protocol: int, ports: tuple[int, int], octets: str) -> None:
    selector = TrafficSelector.of_network(network, protocol, ports)
    payload = ID.of_selector(selector)
    assert payload.body() == bytes.fromhex(octets)
    found = read(PayloadType.ID, bytes.fromhex(octets))
    assert found == payload
    assert isinstance(found, ID) and found.selector() == selector


@pytest.mark.parametrize(
    ("octets", "network"),
    [
        ("04 00 0000 0a010203 ffffff00", "10.1.2.0/24"),  # an address inside the subnet
        ("04 00 0000 0a010203 ffffffff", "10.1.2.3"),
        ("07 00 0000 0a010200 0a0102ff", "10.1.2.0/24"),
        ("07 00 0000 0a010203 0a010203", "10.1.2.3"),
    ],
)
def test_other_words_for_the_same_traffic(octets: str, network: str) -> None:
    found = read(PayloadType.ID, bytes.fromhex(octets))
    assert isinstance(found, ID) and found.selector() == TrafficSelector.of_network(network)


@pytest.mark.parametrize("ports", [(0, 1023), (1, 65535), (5000, 5010), (0, 0), (65535, 0)])
def test_ports_that_cannot_be_said(ports: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="one port or any port"):
        ID.of_selector(TrafficSelector.of_network("10.0.0.0/8", 6, ports))


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        ("02 00 0000 61", "traffic"),
        ("0b 00 0000 0a010203", "traffic"),
        ("09 00 0000", "traffic"),
        ("63 00 0000 0a010203", "traffic"),
        ("04 00 0000 0a010200 ff00ff00", "holes"),
        ("04 00 0000 0a010200 000000ff", "holes"),
        ("06 00 0000" + "00" * 16 + "00" * 15 + "01", "holes"),
        ("07 00 0000 0a010204 0a010203", "backwards"),
    ],
)
def test_what_is_no_traffic(octets: str, why: str) -> None:
    found = read(PayloadType.ID, bytes.fromhex(octets))
    assert isinstance(found, ID)
    with pytest.raises(PeerMisbehaved, match=why):
        found.selector()


@pytest.mark.parametrize(
    ("kind", "octets"), [(1, 3), (1, 5), (1, 0), (4, 4), (4, 9), (5, 4), (5, 17), (6, 17), (7, 4), (8, 33)]
)
def test_addresses_of_the_wrong_length(kind: int, octets: int) -> None:
    found = read(PayloadType.ID, bytes((kind, 0, 0, 0)) + bytes(octets))
    assert isinstance(found, ID)
    for meaning in (lambda: found.identity, found.selector):
        with pytest.raises(PeerMisbehaved, match="identity"):
            meaning()


def test_an_identity_of_a_kind_nobody_knows_is_kept() -> None:
    found = read(PayloadType.ID, b"\xfa\0\0\0abc")
    assert found == ID(id_type(250), 0, 0, b"abc")
    assert isinstance(found, ID) and int(found.identity.kind) == 250


def test_an_identity_cut_short() -> None:
    with pytest.raises(WireError):
        read(PayloadType.ID, b"\1\0\0")


@pytest.mark.parametrize("encoding", [CertEncoding.X509_SIGNATURE, CertEncoding.CRL, CertEncoding.PKCS7_X509])
def test_certificates_octet_by_octet(encoding: CertEncoding) -> None:
    found = read(PayloadType.CERT, bytes((encoding,)) + b"\x30\x03abc")
    assert found == CERT(encoding, b"\x30\x03abc")
    assert found.body() == bytes((encoding,)) + b"\x30\x03abc"


def test_certificate_requests_name_an_authority_or_none() -> None:
    assert read(PayloadType.CERTREQ, b"\4") == CERTREQ(CertEncoding.X509_SIGNATURE)
    name = bytes.fromhex("300c310a300806035504030c0161")
    found = read(PayloadType.CERTREQ, b"\4" + name)
    assert found == CERTREQ(CertEncoding.X509_SIGNATURE, name)
    assert found.body() == b"\4" + name
    with pytest.raises(WireError):
        read(PayloadType.CERTREQ, b"")
