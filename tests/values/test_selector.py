import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.values.selector import SelectorSpec, TrafficSelector, covers, narrow, subtract


def ts(text: str) -> TrafficSelector:
    network = SelectorSpec.parse(text).network
    assert network is not None
    return network


def texts(selectors: tuple[TrafficSelector, ...]) -> list[str]:
    return [str(selector) for selector in selectors]


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("10.0.0.0/24", "10.0.0.0/24"),
        ("10.0.0.7/24", "10.0.0.0/24"),
        ("10.0.0.1", "10.0.0.1/32"),
        ("10.0.0.1-10.0.0.9", "10.0.0.1..10.0.0.9"),
        ("10.0.0.0 - 10.0.0.255", "10.0.0.0/24"),
        ("::/0", "::/0"),
        ("fd00::/64[tcp]", "fd00::/64[tcp]"),
        ("10.0.0.0/24[tcp/80]", "10.0.0.0/24[tcp/http]"),
        ("10.0.0.0/24[6/8080]", "10.0.0.0/24[tcp/8080]"),
        ("10.0.0.0/24[udp/1000-2000]", "10.0.0.0/24[udp/1000-2000]"),
        ("10.0.0.0/24[any/53]", "10.0.0.0/24[0/domain]"),
        ("10.0.0.0/24[any/any]", "10.0.0.0/24"),
        ("10.0.0.0/24[tcp/opaque]", "10.0.0.0/24[tcp/OPAQUE]"),
        ("10.0.0.0/24[icmp/8]", "10.0.0.0/24[icmp/8]"),
        ("10.0.0.0/24[icmp/2048]", "10.0.0.0/24[icmp/8(0)]"),
        ("10.0.0.0/24[icmp/8-10]", "10.0.0.0/24[icmp/8-10]"),
        ("::/0[ipv6-icmp/1(4)]", "::/0[ipv6-icmp/1(4)]"),
        ("dynamic", "dynamic"),
        ("dynamic[gre]", "dynamic[gre]"),
        ("dynamic[tcp/22]", "dynamic[tcp/ssh]"),
    ],
)
def test_text_is_read_and_printed_as_swanctl_does(text: str, printed: str) -> None:
    spec = SelectorSpec.parse(text)
    assert str(spec) == printed
    assert SelectorSpec.parse(printed) == spec


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.0/33",
        "10.0.0.9-10.0.0.1",
        "10.0.0.1-::1",
        "host.example",
        "10.0.0.0/8[",
        "10.0.0.0/8[tcp]x",
        "10.0.0.0/8[nosuch]",
        "10.0.0.0/8[256]",
        "10.0.0.0/8[tcp/65536]",
        "10.0.0.0/8[tcp/9-1]",
        "dynamic[tcp/nosuch]",
        "::/0[icmpv6/1(4]",
    ],
)
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        SelectorSpec.parse(text)


def test_icmp_type_and_code_are_in_the_ports() -> None:
    """RFC 7296 §3.13.1: the type in the upper octet, the code in the lower."""
    assert (ts("0.0.0.0/0[icmp/3(1)]").start_port, ts("0.0.0.0/0[icmp/3(1)]").end_port) == (0x0301, 0x0301)
    assert (ts("0.0.0.0/0[icmp/3]").start_port, ts("0.0.0.0/0[icmp/3]").end_port) == (0x0300, 0x03FF)


def test_dynamic_becomes_the_address_of_the_sa() -> None:
    spec = SelectorSpec.parse("dynamic[udp/4500]")
    assert str(spec.resolve(bytes((192, 0, 2, 1)))) == "192.0.2.1/32[udp/ipsec-nat-t]"
    assert str(spec.resolve(ipaddress.ip_address("2001:db8::1").packed)) == "2001:db8::1/128[udp/ipsec-nat-t]"
    fixed = SelectorSpec.parse("10.0.0.0/8")
    assert fixed.resolve(bytes(4)) is fixed.network


def test_opaque_is_in_any_and_in_nothing_else() -> None:
    opaque, every, some = ts("10.0.0.0/8[tcp/opaque]"), ts("10.0.0.0/8"), ts("10.0.0.0/8[tcp/1-65535]")
    assert opaque.is_opaque
    assert opaque & every == opaque == every & opaque
    assert opaque <= every
    assert (opaque & some) is None
    assert not opaque <= some
    assert not every <= opaque


@pytest.mark.conformance("v2-76")
def test_narrowing_keeps_the_order_of_the_offer() -> None:
    offered = [ts("10.2.0.0/16"), ts("10.1.0.0/16"), ts("fd00::/64")]
    configured = [ts("10.1.0.0/24"), ts("10.2.0.0/24[tcp]"), ts("::/0")]
    assert texts(narrow(offered, configured)) == ["10.2.0.0/24[tcp]", "10.1.0.0/24", "fd00::/64"]


@pytest.mark.conformance("v2-76")
def test_narrowing_drops_what_another_contains() -> None:
    """The selector of the packet that woke the initiator comes first (RFC 7296 §2.9)."""
    offered = [ts("10.1.0.5[icmp/8]"), ts("10.1.0.0/24")]
    assert texts(narrow(offered, [ts("10.1.0.0/16")])) == ["10.1.0.0/24"]
    assert texts(narrow(offered, [ts("10.1.0.0/16"), ts("10.0.0.0/8")])) == ["10.1.0.0/24"]


def test_nothing_in_common_narrows_to_nothing() -> None:
    assert narrow([ts("10.0.0.0/8")], [ts("192.168.0.0/16")]) == ()
    assert narrow([ts("10.0.0.0/8[tcp]")], [ts("10.0.0.0/8[udp]"), ts("::/0")]) == ()
    assert narrow([], [TrafficSelector.ANY4]) == ()


def test_several_selectors_together_cover_one() -> None:
    halves = [ts("10.0.0.0/25"), ts("10.0.0.128/25")]
    assert covers(halves, [ts("10.0.0.0/24")])
    assert not covers(halves[:1], [ts("10.0.0.0/24")])
    assert covers([ts("0.0.0.0/0[tcp/1-99]"), ts("0.0.0.0/0[tcp/100-65535]")], [ts("10.0.0.0/8[tcp/80-200]")])
    assert covers([], [])
    assert not covers([], [ts("10.0.0.0/8")])


def test_networks_cover_exactly() -> None:
    assert [f"{ipaddress.ip_address(a)}/{n}" for a, n in ts("10.0.0.1-10.0.0.4").networks()] == [
        "10.0.0.1/32",
        "10.0.0.2/31",
        "10.0.0.4/32",
    ]
    assert TrafficSelector.ANY4.networks() == ((bytes(4), 0),)
    assert TrafficSelector.ANY6.networks() == ((bytes(16), 0),)
    assert ts("10.0.0.1-10.0.0.4").prefix() == (bytes((10, 0, 0, 0)), 29)
    assert ts("10.0.0.1").prefix() == (bytes((10, 0, 0, 1)), 32)


# A small universe, so that sets of packets can be counted one by one.
small = st.builds(
    lambda protocol, ports, addresses: TrafficSelector(protocol, *sorted(ports), *sorted(addresses), v6=False),
    st.sampled_from([0, 6, 17]),
    st.one_of(st.just((0, 65535)), st.tuples(st.integers(0, 3), st.integers(0, 3))),
    st.tuples(st.integers(0, 15), st.integers(0, 15)),
)


def packets(selector: TrafficSelector | None) -> set[tuple[int, int, int]]:
    if selector is None:
        return set()
    return {
        (protocol, port, address)
        for protocol in ([selector.protocol] if selector.protocol else [1, 6, 17])
        for port in range(selector.start_port, min(selector.end_port, 4) + 1)
        for address in range(selector.start, selector.end + 1)
    }


@given(small, small)
def test_intersection_and_containment_are_those_of_sets(a: TrafficSelector, b: TrafficSelector) -> None:
    assert packets(a & b) == packets(a) & packets(b)
    assert (a & b) == (b & a)
    if a <= b:
        assert packets(a) <= packets(b)
        assert (a & b) == a
    left = set().union(*map(packets, subtract(a, b)))
    assert packets(a) - packets(b) <= left <= packets(a)


@given(st.lists(small, max_size=4), st.lists(small, max_size=4))
def test_narrowing_is_the_intersection_of_unions(offered: list[TrafficSelector], ours: list[TrafficSelector]) -> None:
    result = narrow(offered, ours)
    wanted = set().union(*map(packets, offered)) & set().union(*map(packets, ours))
    assert set().union(*map(packets, result)) == wanted
    assert not any(a.within(b) for a in result for b in result if a is not b)
    assert covers(offered, result)
    assert covers(ours, result)


@given(st.lists(small, max_size=4), st.lists(small, max_size=4))
def test_covers_never_claims_too_much(outer: list[TrafficSelector], inner: list[TrafficSelector]) -> None:
    if covers(outer, inner):
        assert set().union(*map(packets, inner)) <= set().union(*map(packets, outer))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_networks_and_prefix_agree_with_the_library(a: int, b: int) -> None:
    start, end = sorted((a, b))
    selector = TrafficSelector(0, 0, 65535, start, end, v6=False)
    library = ipaddress.summarize_address_range(ipaddress.IPv4Address(start), ipaddress.IPv4Address(end))
    assert selector.networks() == tuple((n.network_address.packed, n.prefixlen) for n in library)
    address, length = selector.prefix()
    cover = ipaddress.ip_network((address, length))
    assert ipaddress.IPv4Address(start) in cover
    assert ipaddress.IPv4Address(end) in cover
    assert TrafficSelector.of_network(str(selector).replace("..", "-")) == selector


@given(st.text(max_size=40))
def test_any_text_is_a_selector_or_a_value_error(text: str) -> None:
    for candidate in (text, f"10.0.0.0/8[{text}]", f"dynamic[tcp/{text}]"):
        try:
            SelectorSpec.parse(candidate)
        except ValueError:
            pass
