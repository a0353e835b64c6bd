"""The client: its states by hand, and whole lives through a relay on links that lose packets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.dhcp.client import (
    RESTARTS,
    TRIES,
    Bound,
    ClientIdentity,
    DhcpClient,
    Ended,
    Output,
    Send,
    State,
)
from ikectl.dhcp.leases import FOREVER, NotRelayed, Upstream
from ikectl.dhcp.message import DhcpMessage
from ikectl.dhcp.relay import BROADCAST, Relay, is_unicast
from ikectl.iana.dhcp import MessageType, Option
from tests.dhcp.messages import CHADDR, RELAY, SERVER, Server, reply

ADDRESS = bytes((10, 1, 0, 100))
ME = ClientIdentity.of(CHADDR, bytes((192, 0, 2, 1)), "carol/home")


def client(seed: int = 0, wanted: bytes = b"") -> DhcpClient:
    return DhcpClient(ME, Random(seed).randbytes, wanted)


def sent(outputs: list[Output]) -> DhcpMessage:
    """The single message of the outputs."""
    (output,) = outputs
    assert isinstance(output, Send)
    return DhcpMessage.read(output.octets)


def bound(lease: int = 3600, **options: int) -> tuple[DhcpClient, Bound]:
    """A client that got its address at instant 1."""
    one = client()
    discover = sent(one.start(0.0))
    request = sent(one.receive(reply(discover, MessageType.OFFER, ADDRESS, lease).write(), 1.0))
    more = tuple((int(Option[name]), number.to_bytes(4, "big")) for name, number in options.items())
    ack = reply(request, MessageType.ACK, ADDRESS, lease)
    (output,) = one.receive(replace(ack, options=ack.options + more).write(), 1.0)
    assert isinstance(output, Bound)
    return one, output


def test_who_we_are() -> None:
    """RFC 3456 §4.1: hardware type 31; a LAN interface's address, else one made of the outer address."""
    assert (ME.chaddr, ME.identifier) == (CHADDR, b"\0carol/home")
    assert ClientIdentity.of(None, bytes((192, 0, 2, 1)), "x").chaddr == bytes.fromhex("4000c000020100")
    assert len(ClientIdentity.of(None, bytes(16), "x" * 300).identifier) == 255


def test_from_discover_to_bound() -> None:
    one = client(wanted=ADDRESS)
    (output,) = one.start(0.0)
    assert isinstance(output, Send) and output.to == BROADCAST
    discover = sent([output])
    assert (discover.type, discover.htype, discover.hardware) == (MessageType.DISCOVER, 31, CHADDR)
    assert discover.flags == 0x8000 and discover.ciaddr == bytes(4)
    assert discover.option(Option.CLIENT_ID) == ME.identifier
    assert discover.address(Option.REQUESTED_ADDRESS) == ADDRESS

    request = sent(one.receive(reply(discover, MessageType.OFFER, ADDRESS).write(), 1.0))
    assert (request.type, request.xid, request.hardware) == (MessageType.REQUEST, discover.xid, CHADDR)
    assert request.address(Option.REQUESTED_ADDRESS) == ADDRESS
    assert request.address(Option.SERVER_ID) == SERVER
    assert request.option(Option.CLIENT_ID) == ME.identifier

    ack = reply(request, MessageType.ACK, ADDRESS)
    details = (
        (int(Option.DOMAIN_NAME_SERVER), b"\n\1\0\5"),
        (int(Option.DOMAIN_NAME), b"example.org"),
    )
    (output,) = one.receive(replace(ack, options=ack.options + details).write(), 2.0)
    assert isinstance(output, Bound) and not output.renewed
    lease = output.lease
    assert (lease.address, lease.server) == (ADDRESS, SERVER)
    assert (lease.dns, lease.domain) == ((b"\n\1\0\5",), "example.org")
    assert (lease.renew_at, lease.rebind_at, lease.until) == (1.0 + 1800, 1.0 + 3150, 1.0 + 3600)
    assert one.deadline() == lease.renew_at


def test_it_repeats_with_longer_waits_and_gives_up() -> None:
    """RFC 2131 §4.1: 4, 8, 16, 32 seconds, each a second longer or shorter at most."""
    one = client()
    one.start(0.0)
    at = 0.0
    for number in range(TRIES):
        due = one.deadline()
        assert due is not None and abs(due - at - 4 * 2**number) <= 1
        assert one.tick(due - 0.01) == []
        at, outputs = due, one.tick(due)
    assert isinstance(outputs[0], Ended) and "no DHCP server" in outputs[0].why
    assert one.state is State.ENDED and one.deadline() is None
    assert one.tick(1e9) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda message: replace(message, xid=message.xid ^ 1),
        lambda message: replace(message, op=1),
        lambda message: replace(message, chaddr=bytes(16)),
        lambda message: replace(message, yiaddr=bytes(4)),
        lambda message: replace(message, options=message.options[:1]),
        lambda message: replace(message, options=((53, bytes((MessageType.ACK,))), *message.options[1:])),
    ],
)
def test_what_is_not_a_good_offer_is_ignored(change: Callable[[DhcpMessage], DhcpMessage]) -> None:
    one = client()
    discover = sent(one.start(0.0))
    assert one.receive(change(reply(discover, MessageType.OFFER, ADDRESS)).write(), 1.0) == []
    assert one.receive(b"\2" * 300, 1.0) == []
    assert one.state is State.SELECTING


@pytest.mark.parametrize(("address", "lease"), [(bytes((10, 1, 0, 101)), 3600), (ADDRESS, 5)])
def test_what_is_not_the_offer_is_not_taken(address: bytes, lease: int) -> None:
    one = client()
    request = sent(one.receive(reply(sent(one.start(0.0)), MessageType.OFFER, ADDRESS).write(), 1.0))
    assert one.receive(reply(request, MessageType.ACK, address, lease).write(), 1.0) == []
    assert one.state is State.REQUESTING


def test_a_nak_starts_over_but_not_for_ever() -> None:
    one = client(wanted=ADDRESS)
    outputs = one.start(0.0)
    for _ in range(RESTARTS + 1):
        request = sent(one.receive(reply(sent(outputs), MessageType.OFFER, ADDRESS).write(), 1.0))
        assert one.receive(reply(request, MessageType.NAK, server=b"\1\2\3\4").write(), 1.0) == []
        outputs = one.receive(reply(request, MessageType.NAK).write(), 1.0)
    assert isinstance(outputs[0], Ended) and "refuses" in outputs[0].why


def test_an_offer_that_is_forgotten_starts_over() -> None:
    one = client()
    one.receive(reply(sent(one.start(0.0)), MessageType.OFFER, ADDRESS).write(), 1.0)
    kinds = []
    for _ in range(TRIES):
        due = one.deadline()
        assert due is not None
        kinds.append(sent(one.tick(due)).type)
    assert kinds == [MessageType.REQUEST] * (TRIES - 1) + [MessageType.DISCOVER]


def test_renewal_asks_the_server_and_rebinding_anybody() -> None:
    """RFC 2131 §4.4.5; the unicast goes by the tunnel (RFC 3456 §4.4)."""
    one, got = bound()
    (output,) = one.tick(got.lease.renew_at)
    assert isinstance(output, Send) and output.to == SERVER
    request = sent([output])
    assert (request.ciaddr, request.flags) == (ADDRESS, 0)
    assert request.address(Option.REQUESTED_ADDRESS) is None and request.address(Option.SERVER_ID) is None
    while (due := one.deadline()) is not None and due < got.lease.rebind_at:
        (output,) = one.tick(due)
        assert isinstance(output, Send) and output.to == SERVER
    (output,) = one.tick(got.lease.rebind_at)
    assert isinstance(output, Send) and output.to == BROADCAST
    request = sent([output])
    assert (request.ciaddr, request.flags) == (ADDRESS, 0x8000)
    at = got.lease.rebind_at + 1
    (renewed,) = one.receive(reply(request, MessageType.ACK, ADDRESS).write(), at)
    assert isinstance(renewed, Bound) and renewed.renewed
    assert renewed.lease.until == got.lease.rebind_at + 3600 and one.state is State.BOUND


def test_where_the_tunnel_does_not_lead_to_the_server_renewals_are_broadcast() -> None:
    one, got = bound()
    one.direct = False
    (output,) = one.tick(got.lease.renew_at)
    assert isinstance(output, Send) and output.to == BROADCAST and sent([output]).flags == 0x8000


def test_a_lease_that_nobody_renews_ends() -> None:
    one, _ = bound()
    messages = 0
    while (due := one.deadline()) is not None:
        (output,) = one.tick(due)
        messages += isinstance(output, Send)
    assert isinstance(output, Ended) and "expired" in output.why and due is None
    assert messages < 20
    assert one.lease is None


def test_the_server_takes_it_back() -> None:
    one, got = bound()
    request = sent(one.tick(got.lease.renew_at))
    (output,) = one.receive(reply(request, MessageType.NAK).write(), got.lease.renew_at)
    assert isinstance(output, Ended) and one.state is State.ENDED


def test_times_of_the_server_count_if_they_make_sense() -> None:
    _, got = bound(RENEWAL_TIME=100, REBINDING_TIME=200)
    assert (got.lease.renew_at, got.lease.rebind_at) == (101.0, 201.0)
    _, got = bound(RENEWAL_TIME=300, REBINDING_TIME=200)
    assert (got.lease.renew_at, got.lease.rebind_at) == (1801.0, 3151.0)


def test_a_lease_for_ever_needs_no_renewal() -> None:
    one, got = bound(FOREVER)
    assert got.lease.until == float("inf") and one.deadline() is None


# -- whole lives ---------------------------------------------------------------


@dataclass
class Life:
    """One client, the relay and a server, with links that lose and repeat packets; simulated time."""

    seed: int
    loss: float
    echo: bool
    server: Server = field(init=False)
    relay: Relay = field(default_factory=Relay)
    now: float = 0.0
    bounds: list[Bound] = field(default_factory=list)
    ends: list[Ended] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.server = Server(lease=600, echo=self.echo)
        self.client = client(self.seed)
        self.relay.open(9, 9, "carol", Upstream(SERVER, RELAY), 0.0)
        self.under_way: list[tuple[float, int, str, bytes]] = []
        self.sent = 0

    def fly(self, where: str, octets: bytes) -> None:
        for _ in range(1 + (self.random.random() < 0.1)):
            if self.random.random() >= self.loss:
                self.sent += 1
                self.under_way.append((self.now + self.random.uniform(0.01, 3.0), self.sent, where, octets))

    def did(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Send(octets, to, _):
                    self.fly("relay" if to == BROADCAST else "server by tunnel", octets)
                case Bound():
                    self.bounds.append(output)
                    lease = self.relay.leases.of(9)
                    assert lease is not None and lease.address == output.lease.address
                case Ended():
                    self.ends.append(output)

    def arrive(self, where: str, octets: bytes) -> None:
        if where == "relay":
            try:
                self.fly("server", self.relay.from_client(9, octets, self.now).octets)
            except NotRelayed as why:
                assert "too many" in str(why)
        elif where in ("server", "server by tunnel"):
            if (answer := self.server.answer(octets)) is not None:
                self.fly("back" if where == "server" else "client", answer)
        elif where == "back":
            try:
                self.fly("client", self.relay.from_server(octets, SERVER, self.now).octets)
            except NotRelayed as why:
                assert "no open question" in str(why)
        else:
            self.did(self.client.receive(octets, self.now))

    def live(self, until: float) -> None:
        self.did(self.client.start(0.0))
        while not self.ends:
            due = self.client.deadline()
            arrival = min(self.under_way, default=None)
            at = min(x for x in (due, arrival[0] if arrival else None, until) if x is not None)
            self.now = at
            if at >= until:
                break
            if arrival is not None and at == arrival[0]:
                self.under_way.remove(arrival)
                self.arrive(*arrival[2:])
            else:
                self.did(self.client.tick(at))


@pytest.mark.parametrize("echo", [True, False])
def test_lives_on_lossy_links(echo: bool) -> None:
    """Bound and renewed for an hour at 10 % loss; whatever happens, client, relay and server never disagree."""
    lasted = 0
    for seed in range(60):
        life = Life(seed, 0.1, echo)
        life.live(3600.0)
        lasted += not life.ends
        assert not life.bounds or life.server.held == {b"i" + ME.identifier: life.bounds[-1].lease.address}
        assert all(bound.lease.address == life.bounds[0].lease.address for bound in life.bounds), seed
    assert lasted >= 57


def test_lives_where_nothing_is_lost() -> None:
    for seed in range(10):
        life = Life(seed, 0.0, True)
        life.live(3600.0)
        assert not life.ends and len(life.bounds) >= 11


@given(st.lists(st.tuples(st.binary(max_size=4), st.integers(0, 290)), max_size=8))
def test_no_reply_upsets_the_client(changes: list[tuple[bytes, int]]) -> None:
    """Whatever is changed in what the server says, the client has an address that a host can have, or none."""
    one = client()
    outputs = one.start(0.0)
    for now, (octets, at) in enumerate(changes, 1):
        kind = MessageType.OFFER if one.state is State.SELECTING else MessageType.ACK
        request = next((DhcpMessage.read(each.octets) for each in outputs if isinstance(each, Send)), None)
        if request is None:
            break
        original = reply(request, kind, ADDRESS).write()
        for answer in (original[:at] + octets + original[at + len(octets) :], original):
            outputs = one.receive(answer, float(now)) or outputs
    assert one.lease is None or is_unicast(one.lease.address)
