"""Messages of another implementation: read as it meant them, and written back octet by octet."""

from __future__ import annotations

import pytest

from ikectl.errors import IntegrityFailure
from ikectl.iana.v2 import (
    CfgAttribute,
    CfgType,
    HashAlgorithm,
    IdType,
    KeyExchangeMethod,
    NotifyType,
    Protocol,
    TransformType,
)
from ikectl.values.selector import TrafficSelector
from ikectl.wire.header import Header
from ikectl.wire.v2 import (
    CP,
    KE,
    SA,
    SK,
    Attribute,
    Delete,
    IDi,
    IDr,
    Message,
    Nonce,
    Proposal,
    Transform,
    TSi,
    TSr,
    VendorId,
    open_sealed,
    seal,
)
from ikectl.wire.v2.notify import nat_hash, rekey_spi, signature_hashes
from tests.wire.captured import MESSAGES, cipher

LADDER = """\
<IKE_SA_INIT request 0 {SA, KE, Nonce, N(NAT_DETECTION_SOURCE_IP), N(NAT_DETECTION_DESTINATION_IP), \
N(IKEV2_FRAGMENTATION_SUPPORTED), N(SIGNATURE_HASH_ALGORITHMS), N(REDIRECT_SUPPORTED), VendorId}>
<IKE_SA_INIT response 0 {SA, KE, Nonce, N(NAT_DETECTION_SOURCE_IP), N(NAT_DETECTION_DESTINATION_IP), \
N(IKEV2_FRAGMENTATION_SUPPORTED), N(SIGNATURE_HASH_ALGORITHMS), N(CHILDLESS_IKEV2_SUPPORTED), \
N(MULTIPLE_AUTH_SUPPORTED), VendorId}>
<IKE_AUTH request 1 {IDi, N(INITIAL_CONTACT), IDr, AUTH, CP, SA, TSi, TSr, N(MOBIKE_SUPPORTED), \
N(NO_ADDITIONAL_ADDRESSES), N(MULTIPLE_AUTH_SUPPORTED), N(EAP_ONLY_AUTHENTICATION), \
N(IKEV2_MESSAGE_ID_SYNC_SUPPORTED)}>
<IKE_AUTH response 1 {IDr, AUTH, CP, SA, TSi, TSr, N(MOBIKE_SUPPORTED), N(NO_ADDITIONAL_ADDRESSES)}>
<CREATE_CHILD_SA request 2 {N(REKEY_SA), SA, Nonce, KE, TSi, TSr}>
<CREATE_CHILD_SA response 2 {SA, Nonce, KE, TSi, TSr}>
<INFORMATIONAL request 3 {Delete}>
<INFORMATIONAL response 3 {Delete}>
<INFORMATIONAL request 0 {N(NO_ADDITIONAL_ADDRESSES)}>
<INFORMATIONAL response 0 {}>
<CREATE_CHILD_SA request 4 {SA, Nonce, KE}>
<CREATE_CHILD_SA response 4 {SA, Nonce, KE}>
<INFORMATIONAL request 5 {Delete}>
<INFORMATIONAL response 5 {}>
<INFORMATIONAL request 0 {N(NO_ADDITIONAL_ADDRESSES)}>
<INFORMATIONAL response 0 {}>
<INFORMATIONAL request 1 {Delete}>
<INFORMATIONAL response 1 {}>"""

AES_GCM_256 = Transform(TransformType.ENCR, 20, 256)
AES_CBC_128 = Transform(TransformType.ENCR, 12, 128)
SHA2_256_128 = Transform(TransformType.INTEG, 12)
NO_ESN = Transform(TransformType.ESN, 0)
X25519 = Transform(TransformType.KE, 31)


def opened(datagram: bytes) -> Message:
    message = Message.read(datagram)
    if message.get(SK) is None:
        return message
    return open_sealed(Header.read(datagram), datagram, cipher(datagram))


def test_the_whole_life_of_an_ike_sa_is_read() -> None:
    assert "\n".join(repr(opened(datagram)) for datagram in MESSAGES) == LADDER


@pytest.mark.conformance("v2-6")
@pytest.mark.parametrize("number", range(len(MESSAGES)))
def test_every_message_is_written_back_octet_by_octet(number: int) -> None:
    datagram = MESSAGES[number]
    outer = Message.read(datagram)
    assert outer.write() == datagram
    sk = outer.get(SK)
    if sk is not None:
        inner = open_sealed(Header.read(datagram), datagram, cipher(datagram))
        assert seal(inner, cipher(datagram), sk.data[:8]) == datagram


@pytest.mark.conformance("v2-21")
@pytest.mark.parametrize("number", range(2, 10))
def test_any_changed_octet_of_a_protected_message_is_seen(number: int) -> None:
    datagram = MESSAGES[number]
    for place in (0, 8, 19, 23, 29, 32, 40, len(datagram) - 17, len(datagram) - 1):
        changed = bytearray(datagram)
        changed[place] ^= 0x01
        header = Header.read(bytes(changed))
        with pytest.raises(IntegrityFailure):
            open_sealed(header, bytes(changed), cipher(datagram))


@pytest.mark.conformance("v2-54")
def test_ike_sa_init() -> None:
    request, response = opened(MESSAGES[0]), opened(MESSAGES[1])
    first = Proposal(1, Protocol.IKE, b"", (AES_GCM_256, Transform(TransformType.PRF, 6), X25519))
    second = Proposal(
        2,
        Protocol.IKE,
        b"",
        (AES_CBC_128, SHA2_256_128, Transform(TransformType.PRF, 5), Transform(TransformType.KE, 14)),
    )
    assert request.one(SA) == SA((first, second))
    assert response.one(SA) == SA((first,))
    assert request.spi_r == bytes(8)
    assert response.spi_i == request.spi_i
    assert (request.initiator, request.response) == (True, False)
    assert (response.initiator, response.response) == (False, True)
    assert request.one(KE).method == KeyExchangeMethod.CURVE_25519
    assert len(request.one(KE).public) == 32
    assert len(response.one(Nonce).value) == 32
    assert request.one(VendorId).data.hex() == "882fe56d6fd20dbc2251613b2ebe5beb"
    hashes = request.notify(NotifyType.SIGNATURE_HASH_ALGORITHMS)
    assert hashes is not None
    assert signature_hashes(hashes) == (
        HashAlgorithm.SHA2_256,
        HashAlgorithm.SHA2_384,
        HashAlgorithm.SHA2_512,
        HashAlgorithm.IDENTITY,
    )
    source = request.notify(NotifyType.NAT_DETECTION_SOURCE_IP)
    assert source is not None
    assert nat_hash(source).hex() == "1b216b15414fc261c0877c6e1ce4e49521c6de02"


def test_ike_auth() -> None:
    request, response = opened(MESSAGES[2]), opened(MESSAGES[3])
    assert request.one(IDi) == IDi(IdType.FQDN, b"a.example.org")
    assert str(response.one(IDr).identity) == "b.example.org"
    assert request.one(SA) == SA(
        (
            Proposal(1, Protocol.ESP, bytes.fromhex("be1fe09c"), (AES_GCM_256, NO_ESN)),
            Proposal(2, Protocol.ESP, bytes.fromhex("be1fe09c"), (AES_CBC_128, SHA2_256_128, NO_ESN)),
        )
    )
    web = TrafficSelector.of_network("10.2.0.0/16", protocol=6, ports=(80, 443))
    assert request.one(TSi) == TSi((TrafficSelector.ANY4, TrafficSelector.ANY6))
    assert request.one(TSr) == TSr((web, TrafficSelector.of_network("2001:db8::/32")))
    assert response.one(TSr) == TSr((web,))
    assert response.one(CP) == CP(
        CfgType.REPLY,
        (
            Attribute(CfgAttribute.INTERNAL_IP4_ADDRESS, bytes((10, 3, 0, 1))),
            Attribute(CfgAttribute.INTERNAL_IP6_ADDRESS, bytes.fromhex("20010db80001") + bytes(9) + b"\x01\x40"),
            Attribute(CfgAttribute.INTERNAL_IP4_DNS, bytes((10, 3, 0, 53))),
            Attribute(CfgAttribute.INTERNAL_IP6_DNS, bytes.fromhex("20010db8") + bytes(11) + b"\x53"),
        ),
    )


@pytest.mark.conformance("v2-59")
def test_rekeying_of_the_child_and_of_the_ike_sa() -> None:
    child, ike = opened(MESSAGES[4]), opened(MESSAGES[10])
    rekeyed = child.notify(NotifyType.REKEY_SA)
    assert rekeyed is not None
    assert rekey_spi(rekeyed) == (Protocol.ESP, bytes.fromhex("be1fe09c"))
    assert [len(proposal.spi) for proposal in child.one(SA).proposals] == [4, 4]
    assert [len(proposal.spi) for proposal in ike.one(SA).proposals] == [8, 8]
    assert ike.one(SA).proposals[0].spi == opened(MESSAGES[14]).spi_i


def test_deletes_of_the_child_and_of_the_ike_sa() -> None:
    assert opened(MESSAGES[6]).one(Delete) == Delete(Protocol.ESP, (bytes.fromhex("be1fe09c"),))
    assert opened(MESSAGES[7]).one(Delete) == Delete(Protocol.ESP, (bytes.fromhex("cc552faf"),))
    assert opened(MESSAGES[12]).one(Delete) == Delete(Protocol.IKE)
