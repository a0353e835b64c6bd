"""What the attributes of the configuration payload mean, read and written (RFC 7296 §3.15.1 and those that add)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.config.model import PoolAttribute
from ikectl.exchange.configuration import PRODUCT, Configuration
from ikectl.exchange.v2.configuration import NEVER, READERS, answer, push, read, request
from ikectl.iana.v2 import CfgAttribute, cfg_attribute
from ikectl.values.path import Endpoint
from ikectl.wire.v2.cp import Attribute
from ikectl.wire.v2.dns import EncryptedDns

A = CfgAttribute
FOUR, SIX = ip_address("10.3.0.1").packed, ip_address("2001:db8::1").packed
PREFIXED = SIX + bytes((64,))
NET = ip_address("10.1.0.0").packed + ip_address("255.255.0.0").packed
DOT = EncryptedDns(1, (FOUR,), "dns.example", ("dot",))
REMOTE = Endpoint(ip_address("192.0.2.9").packed, 4500)
ASK4 = Attribute(A.INTERNAL_IP4_ADDRESS)


def one(kind: CfgAttribute, value: bytes) -> Configuration:
    return read([Attribute(kind, value)])


@pytest.mark.conformance("v2-82")
@pytest.mark.parametrize(
    ("kind", "value", "place", "found"),
    [
        (A.INTERNAL_IP4_ADDRESS,  FOUR,                 "addresses", FOUR),
        (A.INTERNAL_IP6_ADDRESS,  PREFIXED,             "addresses", SIX),
        (A.INTERNAL_IP6_ADDRESS,  SIX,                  "addresses", SIX),
        (A.INTERNAL_IP4_DNS,      FOUR,                 "servers",   FOUR),
        (A.INTERNAL_IP6_DNS,      SIX,                  "servers",   SIX),
        (A.ENCDNS_IP4,            DOT.write(),          "secure",    DOT),
        (A.APPLICATION_VERSION,   b"sun 1.0",           "version",   "sun 1.0"),
        (A.TIMEOUT_PERIOD_FOR_LIVENESS_CHECK, b"\0\0\0\x1e", "liveness", 30),
        (A.UNITY_DEF_DOMAIN,      b"example.org",       "search",    "example.org"),
        (A.INTERNAL_IP4_NBNS,     FOUR,                 "facts",     "WINS server 10.3.0.1"),
        (A.INTERNAL_IP4_DHCP,     FOUR,                 "facts",     "DHCP server 10.3.0.1"),
        (A.INTERNAL_IP6_DHCP,     SIX,                  "facts",     "DHCP server 2001:db8::1"),
        (A.INTERNAL_IP4_SUBNET,   NET,                  "facts",     "network 10.1.0.0/16"),
        (A.INTERNAL_IP6_SUBNET,   PREFIXED,             "facts",     "network 2001:db8::1/64"),
        (A.MIP6_HOME_PREFIX,      b"\0\0\0\x3c" + PREFIXED, "facts", "home prefix 2001:db8::1/64"),
        (A.INTERNAL_IP6_LINK,     bytes(8) + b"\x07",   "facts",     "link 000000000000000007"),
        (A.INTERNAL_IP6_PREFIX,   PREFIXED,             "facts",     "prefix 2001:db8::1/64"),
        (A.HOME_AGENT_ADDRESS,    bytes(20),            "facts",     "home agent " + "00" * 20),
        (A.P_CSCF_IP4_ADDRESS,    FOUR,                 "facts",     "P-CSCF 10.3.0.1"),
        (A.P_CSCF_IP6_ADDRESS,    SIX,                  "facts",     "P-CSCF 2001:db8::1"),
        (A.FTT_KAT,               b"\x00\x1e",          "facts",     "keep-alive timer 001e"),
        (A.EXTERNAL_SOURCE_IP4_NAT_INFO, FOUR + b"\x11\x94", "facts", "our outer address 10.3.0.1:4500"),
        (A.INTERNAL_DNSSEC_TA,    bytes.fromhex("4f6608 02 e06d"), "facts", "DNSSEC trust anchor 20326 8 2 e06d"),
        (A.ENCDNS_DIGEST_INFO,    bytes(4),             "facts",     "digest of a resolver 00000000"),
        (A.SUPPORTED_ATTRIBUTES,  b"\0\x01\0\x08",      "facts",
         "supported attributes INTERNAL_IP4_ADDRESS INTERNAL_IP6_ADDRESS"),
    ],
)  # fmt: skip
def test_every_attribute_of_the_registry(kind: CfgAttribute, value: bytes, place: str, found: object) -> None:
    assert getattr(one(kind, value), place) == [found]


def test_every_registered_attribute_has_a_reader() -> None:
    ours = {kind for kind in A if kind not in NEVER}
    assert ours == set(READERS)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (A.INTERNAL_IP4_ADDRESS, FOUR + b"\0"),
        (A.INTERNAL_IP4_ADDRESS, bytes(4)),
        (A.INTERNAL_IP6_ADDRESS, SIX + b"\0\0"),
        (A.TIMEOUT_PERIOD_FOR_LIVENESS_CHECK, bytes(4)),
        (A.TIMEOUT_PERIOD_FOR_LIVENESS_CHECK, b"\x1e"),
        (A.INTERNAL_IP4_SUBNET, NET[:5]),
        (A.INTERNAL_IP4_SUBNET, FOUR + b"\xff\x00\xff\x00"),
        (A.INTERNAL_IP6_SUBNET, SIX + bytes((129,))),
        (A.INTERNAL_IP6_LINK, bytes(7)),
        (A.FTT_KAT, bytes(4)),
        (A.EXTERNAL_SOURCE_IP4_NAT_INFO, FOUR),
        (A.SUPPORTED_ATTRIBUTES, b"\0\x01\0"),
        (A.ENCDNS_IP4, DOT._replace(name="bad name").write()),
        (A.INTERNAL_DNS_DOMAIN, b"a\nnameserver 1.2.3.4"),
        (A.INTERNAL_IP4_DNS, ip_address("127.0.0.53").packed),
        (A.INTERNAL_IP4_DNS, ip_address("224.0.0.251").packed),
        (A.INTERNAL_IP4_DNS, ip_address("255.255.255.255").packed),
        (A.INTERNAL_IP4_DNS, ip_address("169.254.169.253").packed),
        (A.INTERNAL_IP6_DNS, ip_address("::1").packed),
        (A.INTERNAL_IP6_DNS, ip_address("fe80::1").packed),
        (A.ENCDNS_IP4, DOT._replace(addresses=(ip_address("127.0.0.1").packed,)).write()),
    ],
)
def test_what_is_malformed_is_left_out_and_told(kind: CfgAttribute, value: bytes) -> None:
    found = one(kind, value)
    assert not found.understood and found.notes[0].startswith(f"ignored {kind}: ")


@pytest.mark.conformance("v2-82")
def test_domains_count_only_beside_a_server() -> None:
    """RFC 8598 §3.2."""
    domain = Attribute(A.INTERNAL_DNS_DOMAIN, b"example.org.")
    assert read([domain]).routes == []
    assert read([Attribute(A.INTERNAL_IP4_DNS, FOUR), domain]).routes == ["example.org"]
    assert read([Attribute(A.ENCDNS_IP4, DOT.write()), domain]).routes == ["example.org"]


@pytest.mark.conformance("v2-82")
def test_domains_that_are_none_are_not_all_domains() -> None:
    """Split DNS for nothing that is a domain: the servers are not asked for everything instead (RFC 8598 §3.2)."""
    server, bad = Attribute(A.INTERNAL_IP4_DNS, FOUR), Attribute(A.INTERNAL_DNS_DOMAIN, b"a b")
    found = read([server, Attribute(A.ENCDNS_IP4, DOT.write()), bad])
    assert not found.servers and not found.secure and not found.understood and len(found.notes) == 2
    assert read([server, bad, Attribute(A.INTERNAL_DNS_DOMAIN, b"example.org")]).routes == ["example.org"]
    assert read([server, Attribute(A.INTERNAL_DNS_DOMAIN)]).servers == [FOUR], "asked, and nothing given"


@given(st.lists(st.tuples(st.one_of(st.sampled_from(list(READERS)), st.integers(0, 0x7FFF)), st.binary(max_size=40))))
def test_anything_reads_and_is_bounded(pairs: list[tuple[int, bytes]]) -> None:
    found = read([Attribute(cfg_attribute(kind), value) for kind, value in pairs])
    for place, most, _ in READERS.values():
        if place != "notes":
            assert len(getattr(found, place)) <= most or place in ("facts", "routes", "search")


# -- asking and answering ----------------------------------------------------------------------


@pytest.mark.conformance("v2-82")
def test_a_request_asks_for_what_goes_with_the_families() -> None:
    assert [str(each.type) for each in request((bytes(4),))] == [
        "INTERNAL_IP4_ADDRESS",
        "INTERNAL_IP4_DNS",
        "ENCDNS_IP4",
        "INTERNAL_DNS_DOMAIN",
        "TIMEOUT_PERIOD_FOR_LIVENESS_CHECK",
    ]
    first, second, *_ = request((bytes(16), SIX))
    assert (first, second) == (
        Attribute(A.INTERNAL_IP6_ADDRESS),
        Attribute(A.INTERNAL_IP6_ADDRESS, SIX + bytes((128,))),
    )


def test_a_reply_names_what_only_those_who_ask_know_if_they_ask() -> None:
    provided = (
        PoolAttribute(A.INTERNAL_IP4_DNS, FOUR),
        PoolAttribute(A.INTERNAL_DNS_DOMAIN, b"example.org"),
        PoolAttribute(28682, b"host"),
        PoolAttribute(A.UNITY_SAVE_PASSWD, 1),
        PoolAttribute(20001, 7),
    )
    given = [Attribute(A.INTERNAL_IP4_ADDRESS, FOUR), Attribute(A.INTERNAL_IP4_DNS, FOUR)]
    private = [Attribute(A.UNITY_DDNS_HOSTNAME, b"host"), Attribute(cfg_attribute(20001), b"\0\x07")]
    assert list(answer([ASK4], [FOUR], provided, REMOTE)) == given + private
    asked = [ASK4, Attribute(A.INTERNAL_DNS_DOMAIN)]
    assert list(answer(asked, [FOUR], provided, REMOTE)) == [
        *given,
        Attribute(A.INTERNAL_DNS_DOMAIN, b"example.org"),
        *private,
    ]
    assert list(push([FOUR], provided)) == given + private


def test_who_asks_for_no_address_hears_what_it_asked_for() -> None:
    provided = (PoolAttribute(A.INTERNAL_IP4_DNS, FOUR), PoolAttribute(A.INTERNAL_IP4_NETMASK, FOUR))
    assert answer([Attribute(A.APPLICATION_VERSION)], [], provided, REMOTE) == (
        Attribute(A.APPLICATION_VERSION, PRODUCT),
    )
    assert answer([Attribute(A.INTERNAL_IP4_NETMASK)], [], provided, REMOTE) == ()


def test_where_a_peer_is_seen() -> None:
    kind = A.EXTERNAL_SOURCE_IP4_NAT_INFO
    assert answer([Attribute(kind)], [], (), REMOTE) == (Attribute(kind, REMOTE.address + b"\x11\x94"),)
    assert answer([Attribute(kind)], [], (), Endpoint(SIX, 500)) == ()


@pytest.mark.conformance("v2-82")
def test_which_attributes_are_supported() -> None:
    (told,) = answer([Attribute(A.SUPPORTED_ATTRIBUTES)], [], (PoolAttribute(20000, b"x"),), REMOTE)
    numbers = [int.from_bytes(told.value[at : at + 2], "big") for at in range(0, len(told.value), 2)]
    assert numbers == sorted(numbers) and {1, 3, 8, 10, 14, 20000} <= set(numbers)
