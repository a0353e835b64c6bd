"""The relay agent: what passes, what does not, and whose an address is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.dhcp.leases import FOREVER, NotRelayed, Upstream
from ikectl.dhcp.message import DhcpMessage
from ikectl.dhcp.relay import BROADCAST, BURST, MAX_OPEN, OPEN_FOR, Relay, ToClient
from ikectl.errors import WireError
from ikectl.iana.dhcp import MessageType, Option
from tests.dhcp.messages import DISCOVER, RELAY, SERVER, Server, reply, typed

ADDRESS = bytes((10, 1, 0, 100))
UPSTREAM = Upstream(SERVER, RELAY)


def standing(*numbers: int) -> Relay:
    """A relay with circuits; circuit n is of IKE SA n and peer `peer-n`."""
    relay = Relay()
    for number in numbers:
        relay.open(number, number, f"peer-{number}", UPSTREAM, 0.0)
    return relay


def asked(relay: Relay, number: int, message: DhcpMessage = DISCOVER, now: float = 1.0) -> DhcpMessage:
    """What the server gets."""
    return DhcpMessage.read(relay.from_client(number, message.write(), now).octets)


def granted(
    relay: Relay,
    number: int,
    message: DhcpMessage = DISCOVER,
    address: bytes = ADDRESS,
    now: float = 1.0,
    lease: int = 3600,
) -> ToClient:
    """A REQUEST and its ACK."""
    request = asked(relay, number, typed(message, MessageType.REQUEST), now)
    return relay.from_server(reply(request, MessageType.ACK, address, lease).write(), SERVER, now)


def test_a_request_gets_giaddr_a_hop_and_the_circuit() -> None:
    """RFC 1542 §4.1.1, RFC 3046 §2.1, RFC 3456 §4.2."""
    relay = standing(7)
    sent = relay.from_client(7, DISCOVER.write(), 1.0)
    message = DhcpMessage.read(sent.octets)
    assert (sent.server, sent.type) == (UPSTREAM, MessageType.DISCOVER)
    assert (message.giaddr, message.hops) == (RELAY, 1)
    information = b"\x01\x04\x00\x00\x00\x07" + b"\x02\x06peer-7"
    assert message.options == (*DISCOVER.options, (Option.RELAY_AGENT_INFORMATION, information))
    assert replace(message, giaddr=bytes(4), hops=0, options=DISCOVER.options) == DISCOVER


def test_a_reply_goes_to_its_circuit_without_the_option() -> None:
    relay = standing(1, 2)
    other = replace(DISCOVER, options=((53, b"\1"), (Option.CLIENT_ID, b"other")))
    first, second = asked(relay, 1), asked(relay, 2, other)
    for number, request in ((2, second), (1, first)):
        back = relay.from_server(reply(request, MessageType.OFFER, ADDRESS).write(), SERVER, 2.0)
        assert (back.number, back.destination, back.lease) == (number, BROADCAST, None)
        assert DhcpMessage.read(back.octets).option(Option.RELAY_AGENT_INFORMATION) is None
        assert DhcpMessage.read(back.octets).giaddr == RELAY


def test_without_the_echo_xid_and_hardware_address_have_to_do() -> None:
    """RFC 3456 §4.2; where two clients look the same, neither gets the other's."""
    relay = standing(1, 2)
    request = asked(relay, 1)
    assert relay.from_server(reply(request, MessageType.OFFER, ADDRESS, echo=False).write(), SERVER, 2.0).number == 1
    asked(relay, 2, replace(DISCOVER, options=((53, b"\1"), (Option.CLIENT_ID, b"other"))))
    with pytest.raises(NotRelayed, match="several clients"):
        relay.from_server(reply(request, MessageType.OFFER, ADDRESS, echo=False).write(), SERVER, 2.0)


@pytest.mark.parametrize(
    ("flags", "ciaddr", "kind", "expected"),
    [
        (0x8000, bytes(4), MessageType.ACK, BROADCAST),
        (0, bytes(4), MessageType.ACK, ADDRESS),
        (0, bytes(4), MessageType.NAK, BROADCAST),
        (0, bytes((10, 1, 0, 77)), MessageType.ACK, bytes((10, 1, 0, 77))),
    ],
)
def test_where_a_reply_is_sent(flags: int, ciaddr: bytes, kind: MessageType, expected: bytes) -> None:
    """RFC 2131 §4.1."""
    relay = standing(1)
    request = asked(relay, 1, typed(replace(DISCOVER, flags=flags, ciaddr=ciaddr), MessageType.REQUEST))
    address = bytes(4) if kind is MessageType.NAK else ADDRESS
    assert relay.from_server(reply(request, kind, address).write(), SERVER, 1.0).destination == expected


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (replace(DISCOVER, op=2), "nothing that a client sends"),
        (typed(DISCOVER, MessageType.OFFER), "nothing that a client sends"),
        (replace(DISCOVER, options=()), "nothing that a client sends"),
        (replace(DISCOVER, giaddr=RELAY), "another relay agent"),
        (replace(DISCOVER, options=(*DISCOVER.options, (82, b"\1\1\1"))), "another relay agent"),
        (replace(DISCOVER, hops=4), "passed 4 relay agents"),
    ],
)
def test_what_a_client_may_not_send(message: DhcpMessage, why: str) -> None:
    with pytest.raises(NotRelayed, match=why):
        standing(1).from_client(1, message.write(), 1.0)


def test_malformed_octets_go_nowhere() -> None:
    with pytest.raises(WireError):
        standing(1).from_client(1, b"\1" * 300, 1.0)
    with pytest.raises(WireError):
        standing(1).from_server(b"\2" * 300, SERVER, 1.0)


@pytest.mark.parametrize(
    "other",
    [
        replace(DISCOVER, chaddr=b"\2" * 16),
        replace(DISCOVER, htype=1),
        replace(DISCOVER, options=((53, b"\1"), (Option.CLIENT_ID, b"somebody"))),
        replace(DISCOVER, options=((53, b"\1"),)),
    ],
)
def test_one_sa_has_one_client(other: DhcpMessage) -> None:
    """RFC 3456 §4.1."""
    relay = standing(1)
    asked(relay, 1)
    with pytest.raises(NotRelayed, match="another client"):
        relay.from_client(1, other.write(), 2.0)


def test_nothing_passes_without_a_circuit() -> None:
    relay = standing(1)
    with pytest.raises(NotRelayed, match="no DHCP SA"):
        relay.from_client(2, DISCOVER.write(), 1.0)
    request = asked(relay, 1)
    relay.close(1)
    with pytest.raises(NotRelayed, match="no open question"):
        relay.from_server(reply(request, MessageType.OFFER, ADDRESS).write(), SERVER, 1.0)


def test_a_circuit_is_held_to_a_rate() -> None:
    relay = standing(1)
    for _ in range(BURST):
        asked(relay, 1)
    with pytest.raises(NotRelayed, match="too many"):
        asked(relay, 1)
    asked(relay, 1, now=4.0)


def test_open_questions_are_few_and_end() -> None:
    relay = standing(1)
    requests = [asked(relay, 1, replace(DISCOVER, xid=xid)) for xid in range(MAX_OPEN + 1)]
    with pytest.raises(NotRelayed, match="no open question"):
        relay.from_server(reply(requests[0], MessageType.OFFER, ADDRESS).write(), SERVER, 2.0)
    relay.from_server(reply(requests[1], MessageType.OFFER, ADDRESS).write(), SERVER, 2.0)
    with pytest.raises(NotRelayed, match="no open question"):
        relay.from_server(reply(requests[1], MessageType.OFFER, ADDRESS).write(), SERVER, 2.0 + OPEN_FOR)


@pytest.mark.parametrize(
    "change",
    [
        lambda message: replace(message, xid=1),
        lambda message: replace(message, giaddr=SERVER),
        lambda message: replace(message, chaddr=b"\2" * 16),
        lambda message: replace(message, options=(*message.options[:-1], (82, b"\1\4\0\0\0\2\2\6peer-2"))),
    ],
)
def test_replies_to_nothing_asked(change) -> None:  # type: ignore[no-untyped-def]
    relay = standing(1, 2)
    answer = reply(asked(relay, 1), MessageType.OFFER, ADDRESS)
    with pytest.raises(NotRelayed, match="no open question"):
        relay.from_server(change(answer).write(), SERVER, 1.0)


def test_only_the_server_answers() -> None:
    relay = standing(1)
    request = asked(relay, 1)
    answer = reply(request, MessageType.OFFER, ADDRESS)
    with pytest.raises(NotRelayed, match="no open question"):
        relay.from_server(answer.write(), bytes((10, 1, 0, 66)), 1.0)
    for kind in (MessageType.DISCOVER, MessageType.FORCERENEW):
        with pytest.raises(NotRelayed, match="nothing that a server sends"):
            relay.from_server(reply(request, kind, ADDRESS).write(), SERVER, 1.0)


# -- leases ------------------------------------------------------------------


def test_an_ack_ties_the_address_to_the_ike_sa() -> None:
    relay = standing(1)
    back = granted(relay, 1)
    assert back.lease is relay.leases.of(1) is relay.leases.at(ADDRESS)
    assert back.lease is not None
    assert (back.lease.identity, back.lease.until, back.lease.ikes) == ("peer-1", 3601.0, [1])


def test_a_lease_that_does_not_end() -> None:
    back = granted(standing(1), 1, lease=FOREVER)
    assert back.lease is not None and back.lease.until == float("inf")


@pytest.mark.parametrize("address", [bytes((0, 0, 0, 1)), bytes((127, 0, 0, 1)), bytes((224, 0, 0, 1)), BROADCAST])
def test_no_address_that_is_none(address: bytes) -> None:
    with pytest.raises(NotRelayed, match="no address that a host can have"):
        granted(standing(1), 1, address=address)


def test_an_answer_to_inform_is_no_lease() -> None:
    relay = standing(1)
    request = asked(relay, 1, typed(replace(DISCOVER, ciaddr=ADDRESS), MessageType.INFORM))
    back = relay.from_server(reply(request, MessageType.ACK).write(), SERVER, 1.0)
    assert back.lease is None and len(relay.leases) == 0


def test_nobody_takes_another_peers_client_identifier() -> None:
    """RFC 3456 §5."""
    relay = standing(1, 2)
    granted(relay, 1)
    with pytest.raises(NotRelayed, match=r"belongs to the client of peer-1"):
        asked(relay, 2)


def test_an_address_that_is_leased_is_not_granted_to_another_peer() -> None:
    other = replace(DISCOVER, options=((53, b"\1"), (Option.CLIENT_ID, b"other")))
    relay = standing(1, 2)
    granted(relay, 1, lease=100)
    with pytest.raises(NotRelayed, match=r"leased to another client, of peer-1"):
        granted(relay, 2, other, now=50.0)
    back = granted(relay, 2, other, now=102.0)
    assert [lease.identity for lease in back.ended] == ["peer-1"]
    assert relay.leases.of(1) is None and relay.leases.of(2) is back.lease


def test_a_peer_that_comes_back_gets_its_address_again() -> None:
    relay = standing(1)
    first = granted(relay, 1).lease
    relay.open(2, 2, "peer-1", UPSTREAM, 5.0)
    again = granted(relay, 2, now=5.0).lease
    assert again is not None and again.ikes == [1, 2] and relay.leases.at(ADDRESS) is again is first
    assert relay.leases.ike_gone(1) is None
    assert relay.leases.ike_gone(2) is again


def test_another_address_replaces_the_former() -> None:
    relay = standing(1)
    first = granted(relay, 1).lease
    back = granted(relay, 1, address=bytes((10, 1, 0, 101)))
    assert back.ended == (first,) and len(relay.leases) == 1


def test_a_lease_lives_while_the_sas_do() -> None:
    relay = standing(1)
    lease = granted(relay, 1).lease
    assert relay.leases.child_up(ADDRESS, 11)
    assert not relay.leases.child_up(bytes((10, 1, 0, 101)), 12)
    relay.leases.child_up(ADDRESS, 13)
    assert relay.ike_moved(1, 2) is lease
    circuit = relay.circuit(1)
    assert circuit is not None and circuit.ike == 2
    assert relay.leases.child_gone(11) is None
    assert relay.leases.ike_gone(2) is None
    assert relay.leases.ike_gone(2) is None
    assert relay.leases.child_gone(13) is lease
    assert relay.leases.child_gone(13) is None and len(relay.leases) == 0


@pytest.mark.parametrize("kind", [MessageType.RELEASE, MessageType.DECLINE])
def test_the_client_itself_gives_it_back(kind: MessageType) -> None:
    relay = standing(1)
    lease = granted(relay, 1).lease
    back = typed(replace(DISCOVER, ciaddr=ADDRESS), kind, (Option.REQUESTED_ADDRESS, ADDRESS))
    assert relay.from_client(1, back.write(), 9.0).ended is lease
    assert len(relay.leases) == 0


def test_nobody_gives_back_what_is_not_his() -> None:
    other = replace(DISCOVER, ciaddr=ADDRESS, options=((53, b"\7"), (Option.CLIENT_ID, b"other")))
    relay = standing(1, 2)
    granted(relay, 1)
    assert relay.from_client(2, other.write(), 9.0).ended is None
    assert len(relay.leases) == 1


def test_the_gateway_gives_it_back_in_the_clients_name() -> None:
    """RFC 2131 §4.4.6: ciaddr, server identifier and client identifier as they were."""
    relay, server = standing(1), Server()
    offer = server.answer(relay.from_client(1, DISCOVER.write(), 1.0).octets)
    assert offer is not None
    asked_for = (Option.REQUESTED_ADDRESS, DhcpMessage.read(offer).yiaddr)
    ack = server.answer(relay.from_client(1, typed(DISCOVER, MessageType.REQUEST, asked_for).write(), 1.0).octets)
    assert ack is not None
    lease = relay.from_server(ack, SERVER, 1.0).lease
    assert lease is not None and relay.leases.ike_gone(1) is lease
    message = lease.release(0x55)
    assert server.answer(message.write()) is None and server.released == [lease.address]
    assert (message.xid, message.giaddr, message.address(Option.SERVER_ID)) == (0x55, RELAY, SERVER)


# -- hostile octets ------------------------------------------------------------


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=4), st.integers(0, 290)), max_size=30))
def test_no_message_upsets_the_relay(changes: list[tuple[bool, bytes, int]]) -> None:
    """Whatever either side changes in a message: it passes, or is refused; and what passes is well formed."""
    relay = standing(1, 2)
    server = Server()
    for now, (from_server, octets, at) in enumerate(changes, 1):
        request = relay.from_client(1, replace(DISCOVER, xid=now).write(), 40.0 * now).octets
        answer = server.answer(request)
        assert answer is not None
        original = answer if from_server else replace(DISCOVER, xid=now).write()
        changed = original[:at] + octets + original[at + len(octets) :]
        try:
            if from_server:
                DhcpMessage.read(relay.from_server(changed, SERVER, 40.0 * now).octets)
            else:
                DhcpMessage.read(relay.from_client(2, changed, 40.0 * now).octets)
        except (NotRelayed, WireError):
            pass
