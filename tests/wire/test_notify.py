"""Notify and Delete octet by octet, and the exact lengths of notify data (RFC 7296 §3.10, §3.11)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ikectl.errors import WireError
from ikectl.iana.v2 import (
    CompressionTransform,
    HashAlgorithm,
    KeyExchangeMethod,
    NotifyType,
    PayloadType,
    Protocol,
    key_exchange_method,
    notify_type,
    protocol,
)
from ikectl.wire.v2 import notify as views
from ikectl.wire.v2.notify import Delete, Notify

SPI = bytes.fromhex("c0ffee01")


@pytest.mark.conformance("v2-107")
@pytest.mark.parametrize("octets", [4, 16])
def test_what_mobike_says_of_addresses(octets: int) -> None:
    """RFC 4555 §4.2.2, §4.2.6: the address alone; source, destination, and their ports."""
    here, there = bytes(range(octets)), bytes(range(100, 100 + octets))
    told = views.additional_address_notify(here)
    kinds = {4: NotifyType.ADDITIONAL_IP4_ADDRESS, 16: NotifyType.ADDITIONAL_IP6_ADDRESS}
    assert (told.type, told.data) == (kinds[octets], here)
    assert views.additional_address(told) == here
    ends = views.Ends(here, there, 4500, 500)
    notify = views.no_nats_notify(ends)
    assert notify.data == here + there + bytes.fromhex("1194 01f4") and views.no_nats(notify) == ends
    for wrong in (notify.data[:-1], notify.data + b"\0", b"", bytes(20)):
        with pytest.raises(WireError):
            views.no_nats(Notify(NotifyType.NO_NATS_ALLOWED, wrong))


@pytest.mark.conformance("v2-73")
def test_a_post_quantum_key_is_named_with_its_confirmation() -> None:
    """RFC 9867 §3.1: PPK_ID, of one octet of identity at least, then eight octets."""
    notify = views.ppk_identity_key_notify(views.NamedPpk(b"\x02a", b"confirms"))
    assert notify.type is NotifyType.PPK_IDENTITY_KEY and notify.data == b"\x02aconfirms"
    assert views.ppk_identity_key(notify) == (b"\x02a", b"confirms")
    for wrong in (b"", b"\x02", b"\x02confirms"):
        with pytest.raises(WireError):
            views.ppk_identity_key(Notify(NotifyType.PPK_IDENTITY_KEY, wrong))


@pytest.mark.parametrize(
    ("notify", "octets"),
    [
        (Notify(NotifyType.INITIAL_CONTACT), "00 00 4000"),
        (Notify(NotifyType.COOKIE, b"\xaa\xbb"), "00 00 4006 aabb"),
        (Notify(NotifyType.REKEY_SA, b"", Protocol.ESP, SPI), "03 04 4009 c0ffee01"),
        (Notify(notify_type(65535), b"\x01", protocol(200), b"\x02"), "c8 01 ffff 02 01"),
        (Notify(NotifyType.NO_PROPOSAL_CHOSEN, b"", Protocol.IKE), "01 00 000e"),
    ],
)
def test_a_notify_octet_by_octet(notify: Notify, octets: str) -> None:
    assert notify.body() == bytes.fromhex(octets)
    assert Notify.read(bytes.fromhex(octets)) == notify


@pytest.mark.parametrize("octets", ["03 04 4009 c0ffee", "03 01 4009", "03 ff 4009 c0ffee01"])
def test_an_spi_that_is_not_there_is_refused(octets: str) -> None:
    with pytest.raises(WireError, match="cannot hold its SPI"):
        Notify.read(bytes.fromhex(octets))


@pytest.mark.conformance("v2-98")
@pytest.mark.parametrize(
    ("delete", "octets"),
    [
        (Delete(Protocol.IKE), "01 00 0000"),
        (Delete(Protocol.ESP, (SPI, bytes(4))), "03 04 0002 c0ffee01 00000000"),
        (Delete(Protocol.AH, (SPI,)), "02 04 0001 c0ffee01"),
        (Delete(Protocol.ESP, ()), "03 04 0000"),
        (Delete(protocol(4), (b"\x12\x34",)), "04 02 0001 1234"),
    ],
)
def test_a_delete_octet_by_octet(delete: Delete, octets: str) -> None:
    assert delete.body() == bytes.fromhex(octets)
    assert Delete.read(bytes.fromhex(octets)) == delete


@pytest.mark.parametrize(
    "octets",
    [
        "01 08 0001 0102030405060708",  # the IKE SA is not named by an SPI
        "01 00 0001",
        "03 00 0000",
        "03 00 0001",
        "03 08 0001 0102030405060708",
        "03 04 0002 c0ffee01",
        "03 04 0001 c0ffee01 00",
        "03 04 0000 c0ffee01",
        "03 04 ffff c0ffee01",
        "04 00 0001",
        "04 00 0000 00",
    ],
)
def test_a_delete_that_contradicts_itself_is_refused(octets: str) -> None:
    with pytest.raises(WireError):
        Delete.read(bytes.fromhex(octets))


EXACT: list[tuple[Callable[[Notify], object], NotifyType, str, object]] = [
    (views.invalid_ke_group, NotifyType.INVALID_KE_PAYLOAD, "001f", KeyExchangeMethod.CURVE_25519),
    (views.window_size, NotifyType.SET_WINDOW_SIZE, "00000005", 5),
    (views.auth_lifetime, NotifyType.AUTH_LIFETIME, "00000e10", 3600),
    (views.message_id, NotifyType.INVALID_MESSAGE_ID, "00000007", 7),
    (
        views.message_id_sync,
        NotifyType.IKEV2_MESSAGE_ID_SYNC,
        "0102030400000007000001ff",
        views.Position(b"\1\2\3\4", 7, 511),
    ),
    (views.invalid_spi, NotifyType.INVALID_SPI, "c0ffee01", SPI),
    (views.critical_payload, NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, "2e", PayloadType.SK),
    (views.nat_hash, NotifyType.NAT_DETECTION_SOURCE_IP, "00" * 20, bytes(20)),
    (views.additional_address, NotifyType.ADDITIONAL_IP4_ADDRESS, "c0000201", bytes((192, 0, 2, 1))),
    (views.additional_address, NotifyType.ADDITIONAL_IP6_ADDRESS, "00" * 16, bytes(16)),
]


@pytest.mark.conformance("v2-48")
@pytest.mark.parametrize(("view", "kind", "data", "meaning"), EXACT)
def test_a_view_takes_the_exact_length_and_no_other(
    view: Callable[[Notify], object], kind: NotifyType, data: str, meaning: object
) -> None:
    octets = bytes.fromhex(data)
    assert view(Notify(kind, octets)) == meaning
    for wrong in (b"", octets[:-1], octets + b"\0", octets * 2):
        with pytest.raises(WireError, match=f"{kind} with {len(wrong)} octets"):
            view(Notify(kind, wrong))


def test_what_we_write_is_what_a_view_reads() -> None:
    hashes = (HashAlgorithm.SHA2_256, HashAlgorithm.IDENTITY)
    assert views.signature_hashes_notify(hashes) == Notify(
        NotifyType.SIGNATURE_HASH_ALGORITHMS, bytes.fromhex("0002 0005")
    )
    assert views.signature_hashes(views.signature_hashes_notify(hashes)) == hashes
    assert views.invalid_ke_notify(KeyExchangeMethod.ECP_256).data == b"\x00\x13"
    assert views.window_size(views.window_size_notify(1)) == 1
    assert views.rekey_spi(views.rekey_notify(Protocol.AH, SPI)) == (Protocol.AH, SPI)


@pytest.mark.conformance("v2-81")
def test_compression_may_have_attributes_behind_it() -> None:
    wanted = views.Compression(0x1234, CompressionTransform.DEFLATE)
    assert views.compression_notify(wanted) == Notify(NotifyType.IPCOMP_SUPPORTED, bytes.fromhex("1234 02"))
    for octets in ("1234 02", "1234 02 8001 0002"):
        assert views.compression(Notify(NotifyType.IPCOMP_SUPPORTED, bytes.fromhex(octets))) == wanted
    assert views.compression(Notify(NotifyType.IPCOMP_SUPPORTED, b"\0\0\xc8")).transform == 200
    for wrong in (b"", b"\x12\x34"):
        with pytest.raises(WireError, match=f"IPCOMP_SUPPORTED with {len(wrong)} octets"):
            views.compression(Notify(NotifyType.IPCOMP_SUPPORTED, wrong))


def test_numbers_nobody_assigned_come_through_a_view() -> None:
    notify = Notify(NotifyType.INVALID_KE_PAYLOAD, b"\xff\xff")
    assert views.invalid_ke_group(notify) == key_exchange_method(65535)
    assert views.signature_hashes(Notify(NotifyType.SIGNATURE_HASH_ALGORITHMS, b"\x03\xe8")) == (1000,)
    assert views.signature_hashes(Notify(NotifyType.SIGNATURE_HASH_ALGORITHMS)) == ()


def test_half_a_hash_algorithm_is_refused() -> None:
    with pytest.raises(WireError, match="3 octets"):
        views.signature_hashes(Notify(NotifyType.SIGNATURE_HASH_ALGORITHMS, bytes(3)))


@pytest.mark.conformance("v2-35")
def test_a_window_of_nothing_is_refused() -> None:
    with pytest.raises(WireError, match="no messages"):
        views.window_size(views.window_size_notify(0))


@pytest.mark.conformance("v2-85")
@pytest.mark.parametrize(
    ("kind", "spi"),
    [(Protocol.IKE, SPI), (Protocol.NONE, SPI), (Protocol.ESP, b""), (Protocol.ESP, SPI + b"\0")],
)
def test_a_rekeying_of_no_child_is_refused(kind: Protocol, spi: bytes) -> None:
    with pytest.raises(WireError, match="without the SPI"):
        views.rekey_spi(Notify(NotifyType.REKEY_SA, b"", kind, spi))


def test_cookies_have_their_limits() -> None:
    for octets in (1, 64):
        assert views.cookie(Notify(NotifyType.COOKIE, bytes(octets))) == bytes(octets)
    for octets in (0, 65):
        with pytest.raises(WireError):
            views.cookie(Notify(NotifyType.COOKIE, bytes(octets)))
    for octets in (8, 64):
        assert views.cookie2(Notify(NotifyType.COOKIE2, bytes(octets))) == bytes(octets)
    for octets in (0, 7, 65):
        with pytest.raises(WireError):
            views.cookie2(Notify(NotifyType.COOKIE2, bytes(octets)))
