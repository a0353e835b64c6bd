"""What the attributes of mode config mean, read and written (draft-dukes-ike-mode-cfg-02 §3.4)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.config.model import PoolAttribute
from ikectl.exchange.configuration import MAX_ADDRESSES, MAX_NETWORKS, MAX_SERVERS, MAX_TEXT, PRODUCT, Configuration
from ikectl.exchange.v1 import configuration
from ikectl.exchange.v1.configuration import READERS, read
from ikectl.iana.v1 import ConfigAttribute
from ikectl.values.selector import TrafficSelector
from ikectl.wire.v1.attributes import Attribute, octets_of

A = ConfigAttribute
FOUR, SIX = ip_address("10.3.0.1").packed, ip_address("2001:db8::1").packed
DNS = PoolAttribute(A.INTERNAL_IP4_DNS, ip_address("10.2.0.10").packed)
BANNER = PoolAttribute(A.UNITY_BANNER, b"hello")
EXPIRY = PoolAttribute(A.INTERNAL_ADDRESS_EXPIRY, (3600).to_bytes(4, "big"))
VERSION = PoolAttribute(A.APPLICATION_VERSION, b"sun 1.0")
SAVE = PoolAttribute(A.UNITY_SAVE_PASSWD, 1)


def network(text: str, mask: str, more: bytes = bytes(6)) -> bytes:
    return ip_address(text).packed + ip_address(mask).packed + more


def one(kind: int, value: int | bytes) -> Configuration:
    return read([Attribute(kind, value)])


# -- reading ---------------------------------------------------------------------------------


def test_addresses_of_both_families() -> None:
    found = read([Attribute(A.INTERNAL_IP4_ADDRESS, FOUR), Attribute(A.INTERNAL_IP6_ADDRESS, SIX)])
    assert found.addresses == [FOUR, SIX]
    assert found.understood == [A.INTERNAL_IP4_ADDRESS, A.INTERNAL_IP6_ADDRESS]


def test_an_ipv6_address_with_the_prefix_length_of_ikev2() -> None:
    assert one(A.INTERNAL_IP6_ADDRESS, SIX + bytes((64,))).addresses == [SIX]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (A.INTERNAL_IP4_ADDRESS, FOUR[:3]),
        (A.INTERNAL_IP4_ADDRESS, bytes(4)),
        (A.INTERNAL_IP4_ADDRESS, 10),
        (A.INTERNAL_IP6_ADDRESS, SIX[:15]),
        (A.INTERNAL_IP4_DNS, SIX),
        (A.INTERNAL_ADDRESS_EXPIRY, b"\x01" * 9),
        (A.UNITY_BANNER, b"x" * (MAX_TEXT + 1)),
        (A.UNITY_SPLIT_DNS, b"a\nb"),
        (A.UNITY_SPLIT_DNS, b"x" * 254),
        (A.UNITY_SPLIT_DNS, b",".join([b"x"] * 65)),
        (A.UNITY_SPLIT_INCLUDE, bytes(13)),
        (A.UNITY_SPLIT_INCLUDE, network("10.0.0.0", "255.0.255.0")),
        (A.UNITY_SPLIT_INCLUDE, network("10.0.0.0", "255.0.0.0") * (MAX_NETWORKS + 1)),
        (A.UNITY_LOCAL_LAN, network("0.0.0.0", "0.0.0.0")),
    ],
)
def test_a_value_that_is_not_of_its_form_is_left_out_and_told(kind: int, value: int | bytes) -> None:
    found = one(kind, value)
    assert found.understood == []
    assert len(found.notes) == 1
    assert not (
        found.addresses
        or found.servers
        or found.search
        or found.routes
        or found.include
        or found.exclude
        or found.banner
    )


def test_what_is_unknown_or_empty_is_left_out_without_a_word() -> None:
    found = read([Attribute(16389, b"Microsoft's own"), Attribute(A.INTERNAL_IP4_DNS, b""), Attribute(25, 7)])
    assert found == Configuration()


def test_networks_of_unity() -> None:
    """14 octets each, or 8 of some peers; host bits do not count."""
    net = TrafficSelector.of_network
    two = network("10.2.3.4", "255.255.0.0") + network("192.168.1.1", "255.255.255.255", b"\0\x11\0\0\0\x35")
    assert one(A.UNITY_SPLIT_INCLUDE, two).include == [net("10.2.0.0/16"), net("192.168.1.1/32")]
    assert one(A.UNITY_SPLIT_INCLUDE, network("10.2.0.0", "255.255.0.0", b"")).include == [net("10.2.0.0/16")]
    assert one(A.UNITY_SPLIT_INCLUDE, network("0.0.0.0", "0.0.0.0")).include == [TrafficSelector.ANY4]


def test_local_lan() -> None:
    value = network("0.0.0.0", "255.255.255.255") + network("192.168.0.0", "255.255.0.0")
    assert one(A.UNITY_LOCAL_LAN, value).exclude == [TrafficSelector.of_network("192.168.0.0/16")]


def test_names_and_texts() -> None:
    assert one(A.UNITY_SPLIT_DNS, b"a.example,b.example").routes == ["a.example", "b.example"]
    assert one(A.UNITY_DEF_DOMAIN, b"a.example\0").search == ["a.example"]
    assert one(A.UNITY_BACKUP_SERVERS, b"192.0.2.7,gate.example").backup == ["192.0.2.7", "gate.example"]
    assert one(A.UNITY_BANNER, b"\x1b[31mhi\r\n\nthere\xff").banner == ["?[31mhi / there\ufffd"]
    assert one(A.UNITY_SAVE_PASSWD, 1).save_password == one(A.UNITY_PFS, b"\0\1").pfs == [1]
    assert one(A.INTERNAL_ADDRESS_EXPIRY, b"\0\0\x0e\x10").expires_in == [3600]
    assert one(A.APPLICATION_VERSION, b"sun 1.0").version == ["sun 1.0"]


def test_the_same_twice_is_once() -> None:
    found = read([Attribute(A.INTERNAL_IP4_DNS, FOUR)] * 20)
    assert found.servers == [FOUR]


def test_as_many_as_are_of_use() -> None:
    servers = [Attribute(A.INTERNAL_IP4_DNS, bytes((10, 0, 0, last))) for last in range(1, 30)]
    found = read(servers)
    assert len(found.servers) == MAX_SERVERS
    assert len(found.notes) == 13


attributes = st.lists(
    st.builds(
        Attribute,
        st.one_of(st.sampled_from([int(kind) for kind in READERS]), st.integers(0, 0x7FFF)),
        st.one_of(st.integers(0, 0xFFFF), st.binary(max_size=64)),
    ),
    max_size=40,
)


@given(attributes)
def test_whatever_comes_is_read(offered: list[Attribute]) -> None:
    found = read(offered)
    for kind, (place, most, _) in READERS.items():
        if place != "notes":
            assert len(getattr(found, place)) <= most, kind
    wishes, _ = configuration.suggested(offered)
    assert all(len(wish) in (0, octets) for octets, wanted in wishes.items() for wish in wanted)


# -- asking ------------------------------------------------------------------------------------


def test_a_request_asks_for_what_the_addresses_need() -> None:
    assert configuration.request([bytes(4)], unity=False) == (
        Attribute(A.INTERNAL_IP4_ADDRESS, b""),
        Attribute(A.INTERNAL_IP4_DNS, b""),
        Attribute(A.INTERNAL_IP4_NETMASK, b""),
        Attribute(A.INTERNAL_ADDRESS_EXPIRY, b""),
    )
    both = configuration.request([FOUR, SIX], unity=True)
    less = {each.type for each in both} - {each.type for each in configuration.request([FOUR, SIX], True, False)}
    assert less == {A.INTERNAL_IP4_DNS, A.INTERNAL_IP6_DNS, A.UNITY_DEF_DOMAIN, A.UNITY_SPLIT_DNS}
    assert both[:2] == (Attribute(A.INTERNAL_IP4_ADDRESS, FOUR), Attribute(A.INTERNAL_IP6_ADDRESS, SIX))
    assert {A.INTERNAL_IP6_DNS, A.UNITY_SPLIT_INCLUDE, A.UNITY_BANNER} <= {each.type for each in both}


def test_what_a_client_suggests() -> None:
    """Unspecified, empty and malformed ones are any."""
    values: list[int | bytes] = [FOUR, b"", bytes(4)]
    asked = [Attribute(A.INTERNAL_IP4_ADDRESS, value) for value in values]
    wishes, notes = configuration.suggested([*asked, Attribute(A.INTERNAL_IP6_ADDRESS, SIX + b"\x40")])
    assert wishes == {4: [FOUR, b"", b""], 16: [SIX]}
    assert notes == []
    assert configuration.suggested([Attribute(A.INTERNAL_IP4_ADDRESS, 7)])[0][4] == [b""]


def test_who_asks_for_many_addresses_gets_a_few() -> None:
    wishes, notes = configuration.suggested([Attribute(A.INTERNAL_IP4_ADDRESS, b"")] * 100)
    assert len(wishes[4]) == MAX_ADDRESSES
    assert len(notes) == 1


# -- answering -----------------------------------------------------------------------------------

PROVIDED = (DNS, BANNER, EXPIRY, SAVE, PoolAttribute(20, FOUR), PoolAttribute(A.UNITY_DEF_DOMAIN, b""))


def types(found: tuple[Attribute, ...]) -> list[int]:
    return [each.type for each in found]


def asking(*kinds: int) -> list[Attribute]:
    return [Attribute(kind, b"") for kind in kinds]


def test_only_what_is_asked_for_is_answered() -> None:
    asked = asking(A.INTERNAL_IP4_ADDRESS, A.INTERNAL_IP4_DNS, A.INTERNAL_IP4_NBNS)
    found = configuration.answer(asked, [FOUR], PROVIDED, unity=False)
    assert found == (Attribute(A.INTERNAL_IP4_ADDRESS, FOUR), Attribute(*DNS))


def test_who_knows_unity_gets_its_attributes_unasked() -> None:
    found = configuration.answer(asking(A.INTERNAL_IP4_ADDRESS), [FOUR], PROVIDED, unity=True)
    assert types(found) == [A.INTERNAL_IP4_ADDRESS, A.UNITY_BANNER, A.UNITY_SAVE_PASSWD]


def test_without_an_address_there_is_no_end_of_it() -> None:
    asked = asking(A.INTERNAL_ADDRESS_EXPIRY, A.INTERNAL_IP4_DNS)
    assert types(configuration.answer(asked, [], PROVIDED, unity=False)) == [A.INTERNAL_IP4_DNS]


def test_about_ourselves() -> None:
    asked = asking(A.APPLICATION_VERSION, A.SUPPORTED_ATTRIBUTES)
    version, supported = configuration.answer(asked, [], PROVIDED, unity=False)
    assert version == Attribute(A.APPLICATION_VERSION, PRODUCT)
    octets = octets_of(supported)
    numbers = [int.from_bytes(octets[at : at + 2], "big") for at in range(0, len(octets), 2)]
    assert set(range(1, 16)) | {20, A.UNITY_BANNER} <= set(numbers)
    (configured,) = configuration.answer(asking(A.APPLICATION_VERSION), [], [VERSION], unity=False)
    assert configured == Attribute(*VERSION)


def test_a_push_says_everything_but_what_the_peer_does_not_know() -> None:
    assert types(configuration.push([FOUR], PROVIDED, unity=False)) == [1, 3, 5, 20]
    assert types(configuration.push([SIX], [BANNER], unity=True)) == [A.INTERNAL_IP6_ADDRESS, A.UNITY_BANNER]
    assert configuration.push([], [BANNER], unity=False) == ()


@given(attributes)
def test_what_is_answered_is_understood(offered: list[Attribute]) -> None:
    """No value of a reply is empty."""
    provided = [PoolAttribute(each.type, each.value) for each in offered]
    assert all(octets_of(each) for each in configuration.answer(offered, [FOUR], provided, unity=True))
