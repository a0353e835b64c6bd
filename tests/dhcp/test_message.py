"""DHCP messages: round trips, long and overloaded options, hostile octets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.dhcp.message import COOKIE, FIXED, MAX_OCTETS, MIN_OCTETS, DhcpMessage
from ikectl.errors import WireError
from ikectl.iana.dhcp import MessageType, Option
from tests.dhcp.messages import DISCOVER

addresses = st.binary(min_size=4, max_size=4)
options = st.lists(
    st.tuples(st.integers(1, 254).filter(lambda code: code != Option.OVERLOAD), st.binary(max_size=60)), max_size=12
)
messages = st.builds(
    DhcpMessage,
    op=st.sampled_from((1, 2)),
    xid=st.integers(0, 0xFFFFFFFF),
    options=options.map(tuple),
    htype=st.integers(0, 255),
    hlen=st.integers(0, 16),
    chaddr=st.binary(min_size=16, max_size=16),
    hops=st.integers(0, 255),
    secs=st.integers(0, 0xFFFF),
    flags=st.integers(0, 0xFFFF),
    ciaddr=addresses,
    yiaddr=addresses,
    siaddr=addresses,
    giaddr=addresses,
    sname=st.binary(min_size=64, max_size=64),
    file=st.binary(min_size=128, max_size=128),
)


@given(messages)
def test_what_is_written_is_read(message: DhcpMessage) -> None:
    octets = message.write()
    assert len(octets) >= MIN_OCTETS
    assert DhcpMessage.read(octets) == message


@given(st.binary(max_size=700))
def test_any_octets_behind_a_header_are_read_or_refused(tail: bytes) -> None:
    octets = DISCOVER.write()[: FIXED.size] + COOKIE + tail
    try:
        message = DhcpMessage.read(octets)
    except WireError:
        return
    assert DhcpMessage.read(message.write()) == message


@given(st.binary(max_size=MAX_OCTETS + 10))
def test_any_octets_at_all_are_read_or_refused(octets: bytes) -> None:
    try:
        DhcpMessage.read(octets)
    except WireError:
        pass


def test_a_discover_by_hand() -> None:
    octets = DISCOVER.write()
    assert octets[:12].hex() == "011f0600" + "11223344" + "00008000"
    assert octets[28:44] == DISCOVER.chaddr
    assert octets[236:251].hex() == "63825363" + "350101" + "3d06006361726f6c"
    assert octets[251] == 255
    message = DhcpMessage.read(octets)
    assert message.type is MessageType.DISCOVER
    assert message.hardware == DISCOVER.chaddr[:6]
    assert str(message) == "DHCPDISCOVER 11223344"


def test_parts_of_a_long_option_are_one() -> None:
    """RFC 3396 §7."""
    message = replace(DISCOVER, options=((Option.CLIENT_ID, b"a" * 255), (12, b"x"), (Option.CLIENT_ID, b"b")))
    assert message.option(Option.CLIENT_ID) == b"a" * 255 + b"b"
    assert DhcpMessage.read(message.write()) == message


def test_options_in_file_and_sname_count_where_the_message_says_so() -> None:
    """RFC 2132 §9.3; the file comes before the name (RFC 3396 §5)."""
    file = bytes((53, 1, 5, Option.ROUTER, 4, 1, 1, 1, 1, 255)).ljust(128, b"\0")
    sname = bytes((Option.ROUTER, 4, 2, 2, 2, 2, 255)).ljust(64, b"\0")
    message = replace(DISCOVER, options=((Option.OVERLOAD, b"\3"),), file=file, sname=sname)
    assert DhcpMessage.read(message.write()).type is MessageType.ACK
    assert message.addresses(Option.ROUTER) == (b"\1\1\1\1", b"\2\2\2\2")
    assert replace(message, options=()).type is None


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (DISCOVER.write()[:239], "octets"),
        (DISCOVER.write() + bytes(MAX_OCTETS), "octets"),
        (DISCOVER.write().replace(COOKIE, b"abcd"), "cookie"),
        (b"\3" + DISCOVER.write()[1:], "neither request nor reply"),
        (replace(DISCOVER, hlen=17).write(), "hardware address"),
        (DISCOVER.write()[:250], "longer than its field"),
        (DISCOVER.write()[:251], "without an end"),
        (replace(DISCOVER, options=((Option.OVERLOAD, b"\1"),), file=b"\5" * 128).write(), "longer than its field"),
    ],
)
def test_malformed(octets: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        DhcpMessage.read(octets)


def test_options_of_the_wrong_size_are_not_there() -> None:
    message = replace(DISCOVER, options=((Option.LEASE_TIME, b"\1"), (Option.SERVER_ID, b"\1"), (53, b"\1\1")))
    assert (message.number(Option.LEASE_TIME), message.address(Option.SERVER_ID), message.type) == (None, None, None)
    assert replace(DISCOVER, options=((Option.ROUTER, b"\1" * 7),)).addresses(Option.ROUTER) == (b"\1" * 4,)


def test_what_a_server_knows_a_client_by() -> None:
    """RFC 2131 §4.2: the identifier, where there is one."""
    assert DISCOVER.client == b"i\0carol"
    assert replace(DISCOVER, options=()).client == b"h\x1f" + DISCOVER.hardware
