"""Pools: which addresses they hold, and the attributes as they go out."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.config.attributes import ROWS
from ikectl.config.build import pool_from_vici
from ikectl.config.model import Pool, PoolAttribute
from ikectl.config.schema import NUMBER, POOL
from ikectl.errors import ConfigErrors
from ikectl.iana.v1 import ConfigAttribute
from ikectl.iana.v2 import CfgAttribute
from ikectl.wire.v2.dns import EncryptedDns

from .trees import load_text, mistakes


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def pool(options: str) -> Pool:
    return load_text(f"pools {{ road {{ {options}\n }} }}").loaded.pools[0]


def attributes(options: str) -> list[tuple[int, int | bytes]]:
    return list(pool(f"addrs = 10.9.0.0/24\n{options}").attributes)


@pytest.mark.parametrize(
    ("addrs", "low", "high"),
    [
        ("10.9.0.0/24",             "10.9.0.1",      "10.9.0.254"),
        ("10.9.0.100/24",           "10.9.0.100",    "10.9.0.254"),
        ("10.9.0.0/30",             "10.9.0.1",      "10.9.0.2"),
        ("10.9.0.255/24",           "10.9.0.254",    "10.9.0.254"),
        ("10.9.0.4/31",             "10.9.0.4",      "10.9.0.5"),
        ("10.9.0.4/32",             "10.9.0.4",      "10.9.0.4"),
        ("10.9.0.4",                "10.9.0.4",      "10.9.0.4"),
        ("10.9.0.0-10.9.0.255",     "10.9.0.0",      "10.9.0.255"),
        (" 10.9.0.5 - 10.9.0.5 ",   "10.9.0.5",      "10.9.0.5"),
        ("2001:db8::/64",           "2001:db8::1",   "2001:db8::ffff:ffff:ffff:fffe"),
        ("2001:db8::10-2001:db8::1f", "2001:db8::10", "2001:db8::1f"),
    ],
)  # fmt: skip
def test_addresses_of_a_pool(addrs: str, low: str, high: str) -> None:
    found = pool(f"addrs = {addrs}")
    assert (found.low, found.high) == (packed(low), packed(high))


@pytest.mark.parametrize("addrs", ["10.9.0.0/33", "10.9.0.9-10.9.0.1", "10.9.0.1-2001:db8::1", "here", "10.9.0.1-", ""])
def test_addresses_that_are_none(addrs: str) -> None:
    with pytest.raises(ConfigErrors, match=r"neither a network nor a range|set addrs"):
        pool_from_vici("road", {"addrs": addrs.encode()})


def test_addresses_go_by_family() -> None:
    dns = [(3, packed("10.0.0.1")), (10, packed("2001:db8::1")), (3, packed("10.0.0.2"))]
    assert attributes("dns = 10.0.0.1, 2001:db8::1, 10.0.0.2") == dns
    assert attributes("nbns = 10.0.0.1\ndhcp = 10.0.0.2\nnetmask = 255.255.255.0") == [
        (2, packed("255.255.255.0")),
        (4, packed("10.0.0.1")),
        (6, packed("10.0.0.2")),
    ]
    assert attributes("server = 10.0.0.1\np_cscf = 2001:db8::5") == [
        (21, packed("2001:db8::5")),
        (23456, packed("10.0.0.1")),
    ]


def test_subnets_have_a_mask_or_a_prefix() -> None:
    assert attributes("subnet = 10.1.2.3/16, 2001:db8::/48") == [
        (13, packed("10.1.0.0") + packed("255.255.0.0")),
        (15, packed("2001:db8::") + bytes((48,))),
    ]


def test_unity_lists_its_networks_in_one_attribute() -> None:
    entry = struct.Struct("!4s4s6x")
    ((number, value),) = attributes("split_include = 10.1.0.0/16, 10.2.3.0/24")
    assert number == ConfigAttribute.UNITY_SPLIT_INCLUDE
    assert isinstance(value, bytes)
    assert list(entry.iter_unpack(value)) == [
        (packed("10.1.0.0"), packed("255.255.0.0")),
        (packed("10.2.3.0"), packed("255.255.255.0")),
    ]
    assert attributes("split_exclude = 192.168.0.0/16")[0][0] == ConfigAttribute.UNITY_LOCAL_LAN


def test_words_of_unity_that_swanctl_does_not_have() -> None:
    assert attributes(
        """banner = "Welcome, friends,\nand behave."
        default_domain = example.org
        split_dns = example.org, example.net
        save_password = no
        pfs = yes
        backup_servers = gw-b.example.org, 192.0.2.9
        address_expiry = 1h"""
    ) == [
        (ConfigAttribute.INTERNAL_ADDRESS_EXPIRY, (3600).to_bytes(4, "big")),
        (ConfigAttribute.UNITY_BANNER, b"Welcome, friends,\nand behave."),
        (ConfigAttribute.UNITY_SAVE_PASSWD, 0),
        (ConfigAttribute.UNITY_DEF_DOMAIN, b"example.org"),
        (ConfigAttribute.UNITY_SPLIT_DNS, b"example.org,example.net"),
        (ConfigAttribute.UNITY_PFS, 1),
        (ConfigAttribute.UNITY_BACKUP_SERVERS, b"gw-b.example.org,192.0.2.9"),
        (CfgAttribute.INTERNAL_DNS_DOMAIN, b"example.org"),
        (CfgAttribute.INTERNAL_DNS_DOMAIN, b"example.net"),
    ]


def test_a_trust_anchor_stands_behind_its_domain() -> None:
    assert attributes("split_dns = example.org, example.net.\ndnssec_ta = example.net 20326 8 2 e06d") == [
        (ConfigAttribute.UNITY_SPLIT_DNS, b"example.org,example.net"),
        (CfgAttribute.INTERNAL_DNS_DOMAIN, b"example.org"),
        (CfgAttribute.INTERNAL_DNS_DOMAIN, b"example.net"),
        (CfgAttribute.INTERNAL_DNSSEC_TA, bytes.fromhex("4f66 08 02 e06d")),
    ]


def test_encrypted_resolvers_are_ranked_as_they_are_written() -> None:
    found = attributes(
        'encrypted_dns = "10.0.0.53#dns.example.org, [2001:db8::53]:8853#dns.example.net."\nliveness = 30s'
    )
    assert found == [
        (CfgAttribute.TIMEOUT_PERIOD_FOR_LIVENESS_CHECK, (30).to_bytes(4, "big")),
        (CfgAttribute.ENCDNS_IP4, EncryptedDns(1, (packed("10.0.0.53"),), "dns.example.org", ("dot",)).write()),
        (
            CfgAttribute.ENCDNS_IP6,
            EncryptedDns(2, (packed("2001:db8::53"),), "dns.example.net", ("dot",), 8853).write(),
        ),
    ]


def test_any_attribute_by_its_number() -> None:
    found = attributes("28682 = host.example.org\n28677 = 0x1194\n5000 = 10.0.0.1, 2001:db8::1")
    assert found == [
        (28682, b"host.example.org"),
        (28677, b"\x11\x94"),
        (5000, packed("10.0.0.1")),
        (5000, packed("2001:db8::1")),
    ]


def test_every_word_has_its_attribute() -> None:
    words = {option.key for option in POOL.options} - {"addrs", NUMBER}
    assert {row.key for row in ROWS} == words - {"dnssec_ta"}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("dns = ns.example.org", "pools.road.dns: 'ns.example.org' is not an address"),
        (
            "split_include = 2001:db8::/48",
            "pools.road.split_include: '2001:db8::/48' is not an IPv4 network; this attribute knows no other",
        ),
        ("32768 = x", "pools.road.32768: attributes have numbers up to 32767"),
        ("0 = x", "pools.road.0: attributes have numbers up to 32767"),
        ("dnss = 10.0.0.1", "pools.road: unknown option 'dnss'; did you mean 'dns'?"),
        ("-1 = x", "pools.road: unknown option '-1'"),
        ("<number> = x", "pools.road: unknown option '<number>'"),
        ("dnssec_ta = a.example 1 8 2 00", "pools.road.dnssec_ta: a.example is not in split_dns; add it there"),
        (
            "split_dns = a\ndnssec_ta = a 1 8 2",
            "pools.road.dnssec_ta: write domain, key tag, algorithm, digest type and digest, as a DS record has them",
        ),
        ("split_dns = .", "pools.road.split_dns: '.' is no domain"),
        (
            "encrypted_dns = 10.0.0.53",
            "pools.road.encrypted_dns: '10.0.0.53' names no server; write \"address#name\", in quotes, with the name "
            "its certificate has",
        ),
        ("28682 = 0xzz", "pools.road.28682: the digits after 0x or 0s are not valid"),
        (f"banner = {'x' * 9000}", "pools.road: the attributes are more than 8192 octets together"),
    ],
)
def test_attributes_with_mistakes(options: str, error: str) -> None:
    assert [
        line.partition(": ")[2] for line in mistakes(f"pools {{ road {{ addrs = 10.9.0.0/24\n{options}\n }} }}")
    ] == [error]


def test_pools_that_overlap() -> None:
    text = "pools {\n a { addrs = 10.9.0.0/24 }\n b { addrs = 10.9.0.200-10.9.1.9 }\n c { addrs = 10.9.2.0/24 }\n }"
    assert mistakes(text) == ["swanctl.conf:3: pools.b: overlaps a; give each its own addresses"]


def test_what_goes_to_the_daemon_builds_the_same() -> None:
    options = "addrs = 10.9.0.0/24\ndns = 10.0.0.1, 10.0.0.2\nbanner = one, two\nsplit_dns = a, b\n28682 = x"
    configuration = load_text(f"pools {{ road {{ {options}\n }} }}")
    (request,) = configuration.requests
    assert request.command == "load-pool"
    assert request.message["road"]["dns"] == [b"10.0.0.1", b"10.0.0.2"]
    assert pool_from_vici("road", request.message["road"]) == configuration.loaded.pools[0]


def test_an_attribute_is_a_value() -> None:
    assert PoolAttribute(3, b"\x0a\x00\x00\x01") in pool("addrs = 10.9.0.0/24\ndns = 10.0.0.1").attributes


OCTETS = st.one_of(
    st.binary(max_size=40), st.sampled_from([b"10.9.0.0/24", b"10.0.0.1", b"::1/64", b"yes", b"1h", b"0x00"])
)
KEYS = st.one_of(
    st.sampled_from([option.key for option in POOL.options]), st.integers(0, 70000).map(str), st.text(max_size=9)
)
TREES = st.dictionaries(KEYS, st.one_of(OCTETS, st.lists(OCTETS, max_size=4)), max_size=6)


@given(st.text(max_size=20), TREES)
def test_any_message_is_a_pool_or_mistakes(name: str, tree: dict[str, bytes | list[bytes]]) -> None:
    try:
        found = pool_from_vici(name, {"addrs": b"10.9.0.0/24", **tree})
    except ConfigErrors as errors:
        assert errors.errors
        return
    assert len(found.low) == len(found.high) in (4, 16) and found.low <= found.high
    for number, value in found.attributes:
        assert 0 < number < 0x8000
        assert 0 <= value <= 0xFFFF if isinstance(value, int) else len(value) <= 8192
