"""NAT detection, the change to port 4500, keepalives and moving peers (RFC 7296 §2.23, RFC 3948)."""

from __future__ import annotations

from hashlib import sha1

import pytest

from ikectl.engine.commands import Remapped
from ikectl.iana.v2 import NotifyType
from ikectl.values.path import Endpoint
from ikectl.wire.header import NON_ESP_MARKER
from ikectl.wire.payload import Payload
from ikectl.wire.v2.notify import Notify
from tests.scenarios.stage import IKE_AUTH, IKE_SA_INIT, INFORMATIONAL, gateways, rewrite, sa_of, stands, tunnel, wait
from tests.sim.forge import Impostor
from tests.sim.nat import Nat
from tests.sim.site import MOON, SUN, Site
from tests.sim.wiretap import Wiretap, which

OUTSIDE = "203.0.113.1"
SOURCE, DESTINATION = NotifyType.NAT_DETECTION_SOURCE_IP, NotifyType.NAT_DETECTION_DESTINATION_IP


def translated() -> tuple[Site, Wiretap, Nat]:
    """moon sits behind a masquerading router; sun takes anybody."""
    nat = Nat(frozenset({MOON}), OUTSIDE)
    site, wire = gateways(nats=(nat,), sun={"remote": "0.0.0.0/0"})
    site.up()
    assert len(site.moon.children) == len(site.sun.children) == 1
    return site, wire, nat


@pytest.mark.conformance("v2-101")
def test_the_hashes_are_those_of_the_rfc() -> None:
    """SHA-1(SPIi | SPIr | address | port): SPIr zero in the request; without a NAT everybody stays on port 500."""
    site, wire = tunnel()
    request, response = wire.messages(which(IKE_SA_INIT))
    moon = bytes((192, 0, 2, 1, 1, 244))
    sun = bytes((198, 51, 100, 1, 1, 244))
    for message, source, destination in ((request, moon, sun), (response, sun, moon)):
        spis = message.spi_i + message.spi_r
        assert [notify.data for notify in message.notifies(SOURCE)] == [sha1(spis + source).digest()]
        assert [notify.data for notify in message.notifies(DESTINATION)] == [sha1(spis + destination).digest()]
    assert request.spi_r == bytes(8)
    assert {seen.transmit.path.local.port for seen in wire.seen} == {500}
    assert not any(c.encap for c in (*site.moon.children, *site.sun.children)) and not sa_of(site.moon).nat.found


@pytest.mark.conformance("v2-101")
@pytest.mark.parametrize("right", [0, 1, 2])
def test_one_right_source_of_several_is_enough(right: int) -> None:
    """N(NAT_DETECTION_SOURCE_IP) three times, one of them true: nobody is behind a NAT."""
    site, wire = gateways()

    def more(payloads: list[Payload]) -> list[Payload]:
        true = next(p for p in payloads if isinstance(p, Notify) and p.type is SOURCE)
        lies: list[Payload] = [Notify(SOURCE, bytes((number,)) * 20) for number in range(2)]
        lies.insert(right, true)
        return [p for p in payloads if p is not true] + lies

    rewrite(wire, which(IKE_SA_INIT), more, times=None)
    site.up()
    assert stands(site) and not sa_of(site.moon).nat.found and not sa_of(site.sun).nat.found


@pytest.mark.conformance("v2-102", "v2-105")
def test_behind_a_nat_everything_goes_on_at_port_4500() -> None:
    """IKE_SA_INIT from 500; IKE_AUTH and all after it from and to 4500 behind four zero octets; ESP in UDP."""
    site, wire, _ = translated()
    for host in (site.moon, site.sun):
        host.rekey(site.world.now, "site", "net")
        wait(site, 10)
        host.rekey(site.world.now, "site")
        wait(site, 10)
    for seen in wire.all(which(by=site.moon)):
        initial = seen.message.exchange is IKE_SA_INIT
        assert seen.transmit.path.local.port == seen.transmit.path.remote.port == (500 if initial else 4500)
        assert (seen.transmit.data[:4] == NON_ESP_MARKER) is not initial
    for seen in wire.all(which(by=site.sun)):
        assert seen.transmit.path.remote.host == OUTSIDE and seen.transmit.path.remote.port >= 20000
    assert sa_of(site.moon).nat.local and not sa_of(site.moon).nat.remote
    assert sa_of(site.sun).nat.remote and not sa_of(site.sun).nat.local
    assert site.moon.children[0].encap and site.sun.children[0].encap
    assert site.sun.children[0].path.remote == sa_of(site.sun).path.remote


@pytest.mark.conformance("v2-102", "v2-101")
def test_encapsulation_can_be_had_by_a_lie() -> None:
    """encap = yes: our source hash is false on purpose, both ends see a NAT, and ESP goes in UDP."""
    site, wire = tunnel(moon={"encap": True})
    assert site.moon.children[0].encap and site.sun.children[0].encap
    assert {seen.transmit.path.remote.port for seen in wire.all(which(IKE_AUTH))} == {4500}


@pytest.mark.conformance("v2-103")
def test_a_peer_behind_a_nat_may_move() -> None:
    """The router forgets its mappings: the next authentic message of moon tells sun the new port."""
    site, wire, nat = translated()
    before = sa_of(site.sun).path.remote
    nat.rebind()
    site.moon.rekey(site.world.now, "site", "net")
    wait(site, 20)
    after = sa_of(site.sun).path.remote
    assert after != before and after.host == OUTSIDE
    assert {key[2] for key in site.sun.kernel.outbound} == {Endpoint.parse(OUTSIDE, 0).address}
    assert all(c.path.remote == after for c in site.sun.children)
    answered = wire.all(which(by=site.sun))[-1]
    assert answered.transmit.path.remote == after


@pytest.mark.conformance("v2-103")
def test_a_packet_in_esp_tells_the_new_port_as_well() -> None:
    """The kernel reports from where a packet came that proved itself: nobody waits for the next IKE message."""
    site, _, _ = translated()
    sun = sa_of(site.sun)
    after = Endpoint(sun.path.remote.address, sun.path.remote.port + 1)
    site.sun.engine.command(Remapped(site.sun.children[0], after), site.world.now)
    wait(site, 1)
    assert sun.path.remote == site.sun.children[0].path.remote == after
    # We stand where we are: whoever is behind no NAT does not move so.
    moon = sa_of(site.moon)
    before = moon.path.remote
    site.moon.engine.command(Remapped(site.moon.children[0], after), site.world.now)
    wait(site, 1)
    assert moon.path.remote == site.moon.children[0].path.remote == before


@pytest.mark.conformance("v2-103")
def test_what_does_not_verify_moves_nobody() -> None:
    """A forgery, a replay and a repeat from elsewhere: the SA stays where it is."""
    site, wire, _ = translated()
    impostor = Impostor(wire, site.moon)
    before = sa_of(site.sun).path.remote
    attacker, target = Endpoint.parse("203.0.113.66", 4500), Endpoint.parse(SUN, 4500)
    octets = impostor.seal(INFORMATIONAL, [], message_id=impostor.machine.window.next_request)
    forged = octets[:-1] + bytes((octets[-1] ^ 1,))
    old = wire.all(which(IKE_AUTH, by=site.moon))[0].octets
    for datagram in (forged, old):
        site.world.deliver(NON_ESP_MARKER + datagram, attacker, target)
        site.world.flush()
        assert sa_of(site.sun).path.remote == before
    site.world.deliver(NON_ESP_MARKER + octets, attacker, target)
    site.world.flush()
    assert sa_of(site.sun).path.remote == attacker, "the authentic one does"


@pytest.mark.conformance("v2-103")
def test_nobody_moves_without_a_nat() -> None:
    """An authentic message from elsewhere is answered there, and that is all (§2.23)."""
    site, wire = tunnel()
    for host, peer in ((site.moon, site.sun), (site.sun, site.moon)):
        impostor = Impostor(wire, host)
        before = sa_of(peer).path
        octets = impostor.seal(INFORMATIONAL, [], message_id=impostor.machine.window.next_request)
        site.world.deliver(octets, Endpoint.parse("203.0.113.66", 500), Endpoint.parse(peer.address, 500))
        site.world.flush()
        assert wire.seen[-1].transmit.path.remote == Endpoint.parse("203.0.113.66", 500)
        assert sa_of(peer).path == before and peer.children[0].path == before


@pytest.mark.conformance("v2-104")
def test_keepalives_are_sent_from_behind_the_nat_and_ignored() -> None:
    """0xFF every twenty seconds of silence, from moon alone, without a marker; sun pays no heed."""
    site, wire, _ = translated()
    mark = len(wire.seen)
    wait(site, 200)
    assert len(wire.seen) == mark, "nobody says anything else"
    assert {host for host, _ in wire.keepalives} == {site.moon}
    assert 9 <= len(wire.keepalives) <= 11
    assert all(t.path.local.port == t.path.remote.port == 4500 for _, t in wire.keepalives)
    site.moon.terminate(site.world.now)
    wait(site, 60)
    count = len(wire.keepalives)
    wait(site, 300)
    assert len(wire.keepalives) == count, "none for an SA that is gone"


@pytest.mark.conformance("v2-104")
def test_nobody_sends_keepalives_without_a_nat() -> None:
    site, wire = tunnel()
    wait(site, 300)
    assert not wire.keepalives


@pytest.mark.conformance("v2-105")
@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"\xff\xff", b"\0\0\0", b"\xc1\x02\x03\x04" + bytes(60), bytes(4), bytes(40)]
)
def test_what_has_no_marker_on_port_4500_is_not_ike(data: bytes) -> None:
    """ESP, keepalives and fragments of nothing on 4500: no answer, no harm; IKE without its marker is ESP there."""
    site, wire, _ = translated()
    mark = len(wire.seen)
    path = sa_of(site.sun).path
    site.world.deliver(data, path.remote, path.local)
    impostor = Impostor(wire, site.moon)
    octets = impostor.seal(INFORMATIONAL, [], message_id=impostor.machine.window.next_request)
    site.world.deliver(octets, path.remote, path.local)
    site.world.flush()
    assert len(wire.seen) == mark and len(site.sun.children) == 1
