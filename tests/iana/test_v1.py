"""Numbers of IKEv1: those shared with IKEv2, and where vendor ids come from."""

from __future__ import annotations

from hashlib import md5

import pytest

from ikectl.iana import v1, v2
from ikectl.iana.v1 import VENDOR_IDS, VENDOR_OCTETS, NotifyType, VendorId, vendor_id


@pytest.mark.parametrize(
    ("known", "text"),
    [
        (VendorId.FRAGMENTATION, "FRAGMENTATION"),
        (VendorId.MS_NT5_ISAKMPOAKLEY, "MS NT5 ISAKMPOAKLEY"),
        (VendorId.INITIAL_CONTACT, "Vid-Initial-Contact"),
        (VendorId.NAT_T_RFC3947, "RFC 3947"),
        (VendorId.NAT_T_DRAFT_02, "draft-ietf-ipsec-nat-t-ike-02"),
        (VendorId.NAT_T_DRAFT_02N, "draft-ietf-ipsec-nat-t-ike-02\n"),
        (VendorId.NAT_T_DRAFT_03, "draft-ietf-ipsec-nat-t-ike-03"),
    ],
)
def test_vendor_ids_are_the_md5_of_their_text(known: VendorId, text: str) -> None:
    assert VENDOR_OCTETS[known] == md5(text.encode(), usedforsecurity=False).digest()


def test_vendor_ids_are_made_of_an_md5() -> None:
    xauth = md5(b"draft-ietf-ipsra-isakmp-xauth-06.txt", usedforsecurity=False).digest()
    assert VENDOR_OCTETS[VendorId.XAUTH] == xauth[:8]
    unity = md5(b"CISCO-UNITY", usedforsecurity=False).digest()
    assert VENDOR_OCTETS[VendorId.UNITY] == unity[:14] + b"\x01\x00"


def test_vendor_ids_are_known_again() -> None:
    assert set(VENDOR_OCTETS) == set(VendorId)
    for octets, known in VENDOR_IDS.items():
        assert vendor_id(octets) is known


@pytest.mark.parametrize("capabilities", ["80000000", "c0000000", "40000000"])
def test_fragmentation_is_known_with_its_capabilities(capabilities: str) -> None:
    said = VENDOR_OCTETS[VendorId.FRAGMENTATION] + bytes.fromhex(capabilities)
    assert vendor_id(said) is VendorId.FRAGMENTATION


def test_windows_is_known_with_its_version() -> None:
    assert vendor_id(VENDOR_OCTETS[VendorId.MS_NT5_ISAKMPOAKLEY] + bytes.fromhex("00000009")) is (
        VendorId.MS_NT5_ISAKMPOAKLEY
    )


def test_another_version_of_dpd_is_dpd() -> None:
    assert vendor_id(bytes.fromhex("afcad71368a1f1c96b8696fc77570101")) is VendorId.DPD


@pytest.mark.parametrize("said", [b"", bytes(8), b"something else", VENDOR_OCTETS[VendorId.NAT_T_RFC3947] + b"\0"])
def test_other_vendor_ids_are_not_known(said: bytes) -> None:
    assert vendor_id(said) is None


def test_a_beginning_is_not_the_whole_vendor_id() -> None:
    for octets in VENDOR_IDS:
        assert vendor_id(octets[:7]) is None
    assert vendor_id(VENDOR_OCTETS[VendorId.DPD][:14]) is None
    assert vendor_id(VENDOR_OCTETS[VendorId.DPD] + b"\0") is None


def test_identity_types_have_the_numbers_of_ikev2() -> None:
    for kind in ("IPV4_ADDR", "FQDN", "IPV6_ADDR", "DER_ASN1_DN", "DER_ASN1_GN", "KEY_ID"):
        assert int(v1.IdType[kind]) == v2.IdType[kind]
    assert int(v1.IdType.USER_FQDN) == v2.IdType.RFC822_ADDR


def test_configuration_attributes_have_the_numbers_of_ikev2() -> None:
    shared = set(v1.ConfigAttribute.__members__) & set(v2.CfgAttribute.__members__)
    assert len(shared) >= 12
    for name in shared:
        assert int(v1.ConfigAttribute[name]) == v2.CfgAttribute[name]


def test_payload_types_of_both_versions_are_apart() -> None:
    """A ladder may name payloads of both by their number (RFC 7296 §3.2 left out 1 to 32 for that)."""
    assert not set(v1.PayloadType) & set(v2.PayloadType) - {0}
    assert not set(v1.ExchangeType) & set(v2.ExchangeType)


def test_errors_and_statuses() -> None:
    assert NotifyType.AUTHENTICATION_FAILED.is_error
    assert NotifyType(9000).is_error
    for status in (NotifyType.CONNECTED, NotifyType.INITIAL_CONTACT, NotifyType.R_U_THERE, NotifyType(32768)):
        assert not status.is_error


def test_which_configuration_attributes_belong_to_whom() -> None:
    assert v1.ConfigAttribute.XAUTH_TYPE.is_xauth and v1.ConfigAttribute.XAUTH_ANSWER.is_xauth
    assert not v1.ConfigAttribute.INTERNAL_IP4_DNS.is_xauth
    assert v1.ConfigAttribute.UNITY_BANNER.is_unity and v1.ConfigAttribute(28683).is_unity
    assert not v1.ConfigAttribute.XAUTH_TYPE.is_unity


def test_numbers_nobody_assigned_go_through() -> None:
    assert str(v1.payload_type(200)) == "200"
    assert v1.config_attribute(28683) == 28683
    assert not v1.auth_method(65011).assigned
