"""MOBIKE: addresses change, the SA and its children stay (RFC 4555)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ikectl.config.model import Action, AddressSpec
from ikectl.iana.v2 import NotifyType
from ikectl.sa.association import IkeState
from ikectl.sa.events import ChildRekeyed, IkeDown, IkeRekeyed, Note
from ikectl.values.path import Endpoint, Path
from ikectl.wire.payload import Payload
from ikectl.wire.v2.notify import Delete, Ends, Notify, no_nats_notify
from tests.scenarios.stage import (
    CREATE_CHILD_SA,
    IKE_AUTH,
    IKE_SA_INIT,
    INFORMATIONAL,
    gateways,
    notifies,
    rewrite,
    sa_of,
    stands,
    tunnel,
    wait,
)
from tests.sim.forge import Impostor
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.nat import Nat
from tests.sim.site import MOON, SUN, Site, child
from tests.sim.wiretap import Wiretap, which

ELSEWHERE, THIRD, SUN_TOO, OUTSIDE = "192.0.2.77", "192.0.2.78", "198.51.100.2", "203.0.113.1"
UPDATE, COOKIE2 = NotifyType.UPDATE_SA_ADDRESSES, NotifyType.COOKIE2
SUPPORTED, ADDITIONAL = NotifyType.MOBIKE_SUPPORTED, NotifyType.ADDITIONAL_IP4_ADDRESS

updates = which(INFORMATIONAL, holds=UPDATE, response=False)
checks = which(INFORMATIONAL, holds=COOKIE2, response=False)


def mobile(**options: Any) -> tuple[Site, Wiretap]:
    """A tunnel from moon to sun, both with MOBIKE; each may be anywhere."""
    options["moon"] = {"mobike": True, "local": "%any", **options.get("moon", {})}
    options["sun"] = {"mobike": True, "local": "%any", "remote": "%any", **options.get("sun", {})}
    return tunnel(**options)


def at(host: Host, address: str, port: int = 4500) -> bool:
    """Whether the SA and the children of `host` talk to that address."""
    there = Endpoint.parse(address, port)
    return sa_of(host).path.remote == there and all(child.path.remote == there for child in host.children)


def meets(site: Site) -> bool:
    """Both ends agree between which addresses everything runs, and a packet passes."""
    ours, theirs = sa_of(site.moon).path, sa_of(site.sun).path
    paths = {child.path for child in site.moon.children} | {ours}
    behind = {child.path for child in site.sun.children} | {theirs}
    encaps = {child.encap for child in (*site.moon.children, *site.sun.children)}
    return stands(site) and paths == {Path(theirs.remote, theirs.local)} and behind == {theirs} and len(encaps) == 1


def said(host: Host, words: str) -> bool:
    return any(words in note.text() for note in host.saw(Note))


# -- support (§3.1 to §3.4) ------------------------------------------------------


@pytest.mark.conformance("v2-107")
def test_both_say_so_and_go_to_port_4500() -> None:
    """MOBIKE_SUPPORTED without data in either IKE_AUTH; from there on 4500, without a NAT and without ESP in UDP."""
    site, wire = mobile()
    for message in wire.messages(which(IKE_AUTH)):
        (notify,) = message.notifies(SUPPORTED)
        assert notify.data == b"" and not message.notifies(ADDITIONAL)
    ports = [(seen.message.exchange, seen.transmit.path.remote.port) for seen in wire.seen]
    assert set(ports) == {(IKE_SA_INIT, 500), (IKE_AUTH, 4500)}
    assert not any(child.encap for child in (*site.moon.children, *site.sun.children))
    assert sa_of(site.moon).caller and not sa_of(site.sun).caller


@pytest.mark.conformance("v2-107")
@pytest.mark.parametrize("silent", ["moon", "sun"])
def test_it_takes_two(silent: str) -> None:
    """Who has mobike = no says nothing; then nobody moves, and a responder does not say it unasked."""
    site, wire = mobile(**{silent: {"mobike": False}})
    assert sa_of(site.moon).mobility is None and sa_of(site.sun).mobility is None
    said_by = {seen.host for seen in wire.all(which(IKE_AUTH, holds=SUPPORTED))}
    assert said_by == ({site.moon} if silent == "sun" else set())


@pytest.mark.conformance("v2-107")
def test_further_addresses_are_told_in_ike_auth() -> None:
    site, wire = gateways(
        moon={"mobike": True, "local": "%any"}, sun={"mobike": True, "local": "%any", "remote": "%any"}
    )
    site.world.move(site.moon, MOON, ELSEWHERE, "2001:db8::1")
    site.world.move(site.sun, SUN, SUN_TOO)
    site.up()
    request, response = wire.messages(which(IKE_AUTH))
    assert [n.data for n in request.notifies(ADDITIONAL)] == [Endpoint.parse(ELSEWHERE, 0).address]
    assert len(request.notifies(NotifyType.ADDITIONAL_IP6_ADDRESS)) == 1
    assert [n.data for n in response.notifies(ADDITIONAL)] == [Endpoint.parse(SUN_TOO, 0).address]
    assert len(sa_of(site.sun).mobility.peer_addresses) == 2
    assert sa_of(site.moon).mobility.peer_addresses == (Endpoint.parse(SUN_TOO, 0).address,)


def test_addresses_that_the_configuration_does_not_allow_are_not_told() -> None:
    site, wire = gateways(moon={"mobike": True}, sun={"mobike": True, "remote": "%any"})
    site.world.move(site.moon, MOON, ELSEWHERE)
    site.up()
    assert not wire.messages(which(IKE_AUTH, by=site.moon))[0].notifies(ADDITIONAL)


# -- moving (§3.5, §3.7) ----------------------------------------------------------


@pytest.mark.conformance("v2-107")
def test_away_and_back_while_the_update_is_in_flight() -> None:
    """Its copy from where moon was in between is heard first, that from home is a repeat: another update follows."""
    site, wire = mobile()
    lost = wire.hold(updates, times=1)
    site.world.move(site.moon, ELSEWHERE)
    site.world.run(site.world.now + 0.001)
    site.world.move(site.moon, "192.0.2.66")
    site.world.run(site.world.now + 0.001)
    site.world.move(site.moon, ELSEWHERE)
    assert len({seen.octets for seen in wire.all(updates)}) == 1 and len(lost.caught) == 1
    wait(site, 30)
    assert len({seen.octets for seen in wire.all(updates)}) == 2
    assert meets(site) and at(site.moon, SUN) and at(site.sun, ELSEWHERE)
    site.world.settled()


@pytest.mark.conformance("v2-107")
def test_the_initiator_moves() -> None:
    """moon: UPDATE_SA_ADDRESSES from its new address; sun: COOKIE2 there, and its children follow once it is back."""
    site, wire = mobile()
    mark = len(wire.seen)
    keys = [child.spi_in for child in site.moon.children]
    site.world.move(site.moon, ELSEWHERE)
    wait(site, 5)
    assert meets(site) and at(site.sun, ELSEWHERE)
    assert [child.spi_in for child in site.moon.children] == keys, "the same SAs"
    assert not wire.all(which(CREATE_CHILD_SA))
    assert wire.story(mark) == [
        "moon> INFORMATIONAL 2: UPDATE_SA_ADDRESSES NAT_DETECTION_SOURCE_IP NAT_DETECTION_DESTINATION_IP "
        "NO_ADDITIONAL_ADDRESSES",
        "sun< INFORMATIONAL 2: NAT_DETECTION_SOURCE_IP NAT_DETECTION_DESTINATION_IP",
        "sun> INFORMATIONAL 0: COOKIE2",
        "moon< INFORMATIONAL 0: COOKIE2",
    ]
    request, response = wire.messages(which(INFORMATIONAL, holds=COOKIE2))
    assert request.notify(COOKIE2).data == response.notify(COOKIE2).data
    assert 8 <= len(request.notify(COOKIE2).data) <= 64
    assert all(seen.transmit.path.local.host == ELSEWHERE for seen in wire.all(which(by=site.moon), mark))


@pytest.mark.conformance("v2-107")
def test_traffic_goes_to_a_new_address_only_when_the_peer_answers_there() -> None:
    site, wire = mobile()
    wire.hold(checks, times=None)
    site.world.move(site.moon, ELSEWHERE)
    wait(site, 10)
    assert sa_of(site.sun).path.remote.host == ELSEWHERE
    assert {child.path.remote.host for child in site.sun.children} == {MOON}
    site.sun.rekey(site.world.now, "site", "net")
    wait(site, 2)
    assert {child.path.remote.host for child in site.sun.children} == {MOON}, "nor do new ones"


@pytest.mark.conformance("v2-107")
@pytest.mark.parametrize("wrong", ["other", "none", "short"])
def test_a_wrong_cookie_ends_the_sa(wrong: str) -> None:
    """§3.7: who cannot give it back may not be there, and the SA is closed."""
    site, wire = mobile()

    def change(payloads: list[Payload]) -> list[Payload]:
        data = {"other": bytes(16), "short": bytes(8)}.get(wrong)
        return [] if data is None else [Notify(COOKIE2, data)]

    rewrite(wire, which(INFORMATIONAL, by=site.moon, response=True, holds=COOKIE2), change)
    site.world.move(site.moon, ELSEWHERE)
    wait(site, 10)
    assert not site.sun.machines and not site.moon.machines
    assert "COOKIE2" in site.sun.saw(IkeDown)[0].text()
    assert wire.messages(which(INFORMATIONAL, by=site.sun, response=False))[-1].all(Delete)


@pytest.mark.conformance("v2-107")
def test_back_to_an_address_that_answered_before_needs_no_check() -> None:
    site, wire = mobile()
    site.world.move(site.moon, ELSEWHERE)
    wait(site, 5)
    mark = len(wire.seen)
    site.world.move(site.moon, MOON)
    wait(site, 5)
    assert meets(site) and at(site.sun, MOON) and not wire.all(checks, mark)


@pytest.mark.conformance("v2-107")
def test_a_flap_of_many_changes_ends_where_it_ends() -> None:
    site, wire = mobile()
    for number in range(20):
        site.world.move(site.moon, (ELSEWHERE, THIRD, MOON)[number % 3])
        wait(site, 0.005)
    site.world.move(site.moon, THIRD)
    wait(site, 30)
    assert meets(site) and at(site.sun, THIRD)
    assert len({seen.message.message_id for seen in wire.all(updates)}) <= 8, "not one for each"


@pytest.mark.conformance("v2-107")
def test_the_preferred_address_is_followed_and_the_list_told() -> None:
    """A second address that routes do not prefer is told; once they do, the SA goes there."""
    site, wire = mobile()
    site.world.move(site.moon, MOON, ELSEWHERE)
    wait(site, 5)
    assert at(site.sun, MOON) and not wire.all(updates)
    assert sa_of(site.sun).mobility.peer_addresses == (Endpoint.parse(ELSEWHERE, 0).address,)
    site.world.move(site.moon, ELSEWHERE, MOON)
    wait(site, 5)
    assert meets(site) and at(site.sun, ELSEWHERE)
    assert sa_of(site.sun).mobility.peer_addresses == (Endpoint.parse(MOON, 0).address,)
    site.world.move(site.moon, ELSEWHERE)
    wait(site, 5)
    assert sa_of(site.sun).mobility.peer_addresses == () and meets(site)
    assert notifies(wire.messages(which(INFORMATIONAL, by=site.moon, response=False))[-1]) == [
        NotifyType.NO_ADDITIONAL_ADDRESSES
    ]


def test_configured_addresses_are_kept_to() -> None:
    """local_addrs names two: another one is never used, and the second takes over from the first."""
    site, _ = mobile(moon={"local": MOON})
    site.world.move(site.moon, ELSEWHERE, MOON)
    wait(site, 5)
    assert at(site.sun, MOON)


# -- everything that is under way meanwhile ---------------------------------------


@pytest.mark.conformance("v2-107")
def test_a_request_in_flight_goes_on_from_the_new_address() -> None:
    """§3.5: the rekeying whose answer never came is repeated, bit by bit, from there; then comes the update."""
    site, wire = mobile()
    wire.hold(which(CREATE_CHILD_SA, response=True), times=1)
    token = site.moon.rekey(site.world.now, "site", "net")
    wait(site, 1)
    site.world.move(site.moon, ELSEWHERE)
    wait(site, 20)
    first, again = wire.all(which(CREATE_CHILD_SA, by=site.moon))[:2]
    assert again.octets == first.octets and again.transmit.path.local.host == ELSEWHERE
    assert site.moon.done[token].error is None and meets(site)


@pytest.mark.conformance("v2-107")
@pytest.mark.parametrize("child", ["", "net"])
@pytest.mark.parametrize("who", ["moon", "sun", "both"])
@pytest.mark.parametrize("gap", [0.0, 0.01, 0.03, 0.05, 0.07])
def test_moving_amid_a_rekeying(child: str, who: str, gap: float) -> None:
    """At every step of it, by either end or both, of a child or the IKE SA: one SA at the new address remains."""
    site, _ = mobile()
    for host in (site.moon, site.sun):
        if who in (host.name, "both"):
            host.rekey(site.world.now, "site", child)
    wait(site, gap)
    site.world.move(site.moon, ELSEWHERE)
    wait(site, 120)
    site.world.settled()
    assert meets(site) and at(site.sun, ELSEWHERE)
    assert site.moon.saw(ChildRekeyed if child else IkeRekeyed)
    assert sa_of(site.moon).caller and not sa_of(site.sun).caller


@pytest.mark.conformance("v2-107")
def test_the_original_initiator_moves_after_the_responder_rekeyed() -> None:
    """Whoever began the newest SA: changing addresses stays with whoever began the first (§2.1)."""
    site, _ = mobile()
    site.sun.rekey(site.world.now, "site")
    wait(site, 10)
    assert not sa_of(site.moon).initiator
    site.world.move(site.moon, ELSEWHERE)
    wait(site, 10)
    assert meets(site) and at(site.sun, ELSEWHERE)


@pytest.mark.conformance("v2-107")
@pytest.mark.parametrize("instant", [0.0, 0.01, 0.03, 0.05, 0.07, 0.09])
def test_moving_amid_the_handshake(instant: float) -> None:
    """Before it stands an SA does not move; once it does, it notices where it is not any more."""
    site, _ = gateways(moon={"mobike": True, "local": "%any"}, sun={"mobike": True, "local": "%any", "remote": "%any"})
    token = site.moon.initiate("site", "net", site.world.now)
    wait(site, instant)
    site.world.move(site.moon, ELSEWHERE, MOON)
    wait(site, 10)
    assert site.moon.done[token].error is None and stands(site)
    site.world.move(site.moon, ELSEWHERE)
    wait(site, 60)
    assert meets(site) and at(site.sun, ELSEWHERE)


@pytest.mark.conformance("v2-107")
@pytest.mark.parametrize("instant", [0.01, 0.03, 0.05, 0.07])
def test_an_address_that_is_gone_amid_the_handshake(instant: float) -> None:
    """The handshake begins again from the new address, and what was wanted comes up."""
    site, _ = gateways(moon={"mobike": True, "local": "%any"}, sun={"mobike": True, "local": "%any", "remote": "%any"})
    token = site.moon.initiate("site", "net", site.world.now)
    wait(site, instant)
    site.world.move(site.moon, ELSEWHERE)
    wait(site, 10)
    assert site.moon.done[token].error is None
    assert sa_of(site.moon).path.local == Endpoint.parse(ELSEWHERE, 4500) and len(site.moon.children) == 1
    assert site.world.carries(site.moon, site.sun)


@pytest.mark.conformance("v2-107")
@pytest.mark.parametrize("seed", range(12))
def test_moving_on_a_bad_link(seed: int) -> None:
    """A third lost, some twice, out of order: three moves and two rekeyings, and in the end both ends agree."""
    site, _ = mobile(seed=seed)
    site.world.link = Link(0.3, 0.2, 0.02, 0.3)
    for address in (ELSEWHERE, THIRD, ELSEWHERE):
        site.world.move(site.moon, address)
        wait(site, 7 * site.world.tape.fraction())
        (site.moon if site.world.tape.chance(0.5) else site.sun).rekey(site.world.now, "site")
    site.world.link = Link()
    wait(site, 300)
    site.world.settled()
    assert meets(site) and at(site.sun, ELSEWHERE)


# -- the peer's addresses, and paths that fall silent (§3.6, §3.10) ---------------


def twofold(**options: Any) -> tuple[Site, Wiretap]:
    """sun has two addresses."""
    site, wire = mobile(**options)
    site.world.move(site.sun, SUN, SUN_TOO)
    wait(site, 5)
    assert sa_of(site.moon).mobility.peer_addresses == (Endpoint.parse(SUN_TOO, 0).address,)
    return site, wire


@pytest.mark.conformance("v2-107")
def test_a_silent_path_is_left_for_one_that_works() -> None:
    """moon asks whether sun lives; nothing comes back from there, but it does from sun's other address."""
    site, _ = twofold(moon={"dpd_delay": 30})
    dead = Endpoint.parse(SUN, 0).address
    site.world.taps.append(
        lambda host, transmit: dead not in (transmit.path.local.address, transmit.path.remote.address)
    )
    wait(site, 60)
    assert meets(site) and at(site.moon, SUN_TOO)
    assert sa_of(site.sun).path.local.host == SUN_TOO
    assert said(site.moon, "moving from")


@pytest.mark.conformance("v2-107")
def test_the_responder_tells_and_the_initiator_moves() -> None:
    """sun loses the address in use, and says so from its other one; moon tries, and goes there."""
    site, wire = twofold()
    site.world.move(site.sun, SUN_TOO)
    wait(site, 60)
    assert meets(site) and at(site.moon, SUN_TOO)
    assert not wire.all(which(INFORMATIONAL, by=site.sun, holds=UPDATE))


@pytest.mark.conformance("v2-107")
def test_one_lost_packet_moves_nobody() -> None:
    site, wire = twofold(moon={"dpd_delay": 30})
    wire.hold(which(INFORMATIONAL, by=site.moon, response=False), times=1)
    wait(site, 60)
    assert meets(site) and at(site.moon, SUN) and not wire.all(updates)


@pytest.mark.conformance("v2-107")
def test_the_responder_does_not_move_the_sa() -> None:
    """§2.1: an UPDATE_SA_ADDRESSES of sun's is refused and changes nothing."""
    site, wire = mobile()
    before = sa_of(site.moon).path
    impostor = Impostor(wire, site.sun)
    octets = impostor.seal(INFORMATIONAL, [Notify(UPDATE)], message_id=impostor.machine.window.next_request)
    site.world.deliver(bytes(4) + octets, Endpoint.parse(SUN_TOO, 4500), Endpoint.parse(MOON, 4500))
    site.world.flush()
    assert notifies(wire.seen[-1].message) == [NotifyType.UNACCEPTABLE_ADDRESSES]
    assert sa_of(site.moon).path == before and site.moon.children[0].path == before


@pytest.mark.conformance("v2-107", "v2-103")
def test_without_an_update_nothing_moves() -> None:
    """§3.8: authentic messages from elsewhere are answered there, NAT or not; forgeries and replays not even that."""
    nat = Nat(frozenset({MOON}), OUTSIDE)
    site, wire = mobile(nats=(nat,))
    before = sa_of(site.sun).path
    attacker, target = Endpoint.parse("203.0.113.66", 4500), Endpoint.parse(SUN, 4500)
    impostor = Impostor(wire, site.moon)
    octets = impostor.seal(INFORMATIONAL, [], message_id=impostor.machine.window.next_request)
    old = wire.all(which(IKE_AUTH, by=site.moon))[0].octets
    mark = len(wire.seen)
    for datagram in (octets[:-1] + bytes((octets[-1] ^ 1,)), old, octets):
        site.world.deliver(bytes(4) + datagram, attacker, target)
        site.world.flush()
        assert sa_of(site.sun).path == before and site.sun.children[0].path == before
    assert {seen.transmit.path.remote for seen in wire.seen[mark:]} == {attacker}, "what is authentic is answered"


@pytest.mark.conformance("v2-107")
def test_a_hijacked_update_moves_no_traffic() -> None:
    """Somebody on the way sends moon's update on from his own address, and cannot answer the cookie there."""
    site, wire = mobile()
    attacker, target = Endpoint.parse("203.0.113.66", 4500), Endpoint.parse(SUN, 4500)
    wire.hold(updates, times=1)
    site.world.move(site.moon, ELSEWHERE)
    stolen = wire.all(updates)[0].octets
    site.world.deliver(bytes(4) + stolen, attacker, target)
    wait(site, 2)
    assert {child.path.remote.host for child in site.sun.children} == {MOON}
    wait(site, 400)
    assert not site.sun.machines or at(site.sun, ELSEWHERE), "the SA ends, or moon had it its own way"


def update_from(site: Site, impostor: Impostor, address: str) -> None:
    """moon, or who has its keys, says from `address` that it moved there."""
    octets = impostor.seal(INFORMATIONAL, [Notify(UPDATE)], message_id=impostor.machine.window.next_request)
    impostor.machine.window.next_request += 1
    site.world.deliver(bytes(4) + octets, Endpoint.parse(address, 4500), Endpoint.parse(SUN, 4500))
    site.world.flush()


@pytest.mark.conformance("v2-107")
def test_a_cookie_that_was_seen_elsewhere_proves_no_address() -> None:
    """§3.7: from a victim's address, from home, where the same COOKIE2 comes again, and from the victim's: the cookie

    known from home proves nothing of the victim, who gets no traffic and the question anew.
    """
    site, wire = mobile()
    wire.hold(which(INFORMATIONAL, by=site.moon, response=True), times=None)
    impostor = Impostor(wire, site.moon)
    for address in (OUTSIDE, MOON, OUTSIDE):
        update_from(site, impostor, address)
    asked = wire.all(checks)
    assert {seen.transmit.path.remote.host for seen in asked} == {OUTSIDE, MOON}, "sent to both"
    (cookie,) = {seen.message.notify(COOKIE2).data for seen in asked}
    octets = impostor.seal(
        INFORMATIONAL, [Notify(COOKIE2, cookie)], message_id=asked[0].message.message_id, response=True
    )
    mark = len(wire.seen)
    site.world.deliver(bytes(4) + octets, Endpoint.parse(MOON, 4500), Endpoint.parse(SUN, 4500))
    site.world.flush()
    assert {child.path.remote.host for child in site.sun.children} == {MOON}
    assert Endpoint.parse(OUTSIDE, 0).address not in sa_of(site.sun).mobility.verified
    (again,) = wire.all(checks, mark)
    assert again.transmit.path.remote.host == OUTSIDE and again.message.notify(COOKIE2).data != cookie


# -- peers that give us much to do and answer nothing ------------------------------


def waiting(host: Host) -> tuple[str, ...]:
    """What is under way or waits there."""
    (machine,) = host.machines
    return (*machine.tasks.active, *machine.tasks.queued)


def test_many_updates_without_an_answer_make_one_check() -> None:
    """moon moves and moves, and answers nothing: sun owes a check, not one for each move."""
    site, wire = mobile()
    wire.hold(which(INFORMATIONAL, by=site.moon, response=True), times=None)
    impostor = Impostor(wire, site.moon)
    for number in range(50):
        update_from(site, impostor, (ELSEWHERE, OUTSIDE, MOON)[number % 3])
    update_from(site, impostor, ELSEWHERE)
    assert waiting(site.sun) == ("CheckRoute",)
    assert {child.path.remote.host for child in site.sun.children} == {MOON}


def test_many_lists_of_addresses_make_one_check_of_the_path() -> None:
    site, wire = mobile()
    wire.hold(which(INFORMATIONAL, by=site.sun, response=True), times=None)
    impostor = Impostor(wire, site.sun)
    for number in range(50):
        further = Notify(ADDITIONAL, Endpoint.parse(f"198.51.100.{100 + number}", 0).address)
        impostor.deliver(impostor.seal(INFORMATIONAL, [further], message_id=number))
    assert sa_of(site.moon).mobility.peer_addresses, "they were heard"
    assert waiting(site.moon) == ("Liveness",)


def test_addresses_of_no_host_are_none_to_try() -> None:
    """A peer that lists ours (loopback), or everybody's, is not obeyed: requests would be tried there."""
    site, wire = mobile()
    impostor = Impostor(wire, site.sun)
    listed = [Notify(ADDITIONAL, Endpoint.parse(one, 0).address) for one in ("127.0.0.1", "224.0.0.1", SUN_TOO)]
    impostor.deliver(impostor.seal(INFORMATIONAL, listed, message_id=0))
    assert sa_of(site.moon).mobility.peer_addresses == (Endpoint.parse(SUN_TOO, 0).address,)


def test_moves_that_the_kernel_refuses_make_one_rekeying_of_a_child() -> None:
    """To and fro between addresses that both answered, while the first rekeying waits for its answer."""
    site, wire = mobile()
    site.world.move(site.moon, ELSEWHERE)
    wait(site, 5)
    site.sun.kernel.fixed = True
    wire.hold(which(CREATE_CHILD_SA, by=site.moon, response=True), times=None)
    impostor = Impostor(wire, site.moon)
    for number in range(20):
        update_from(site, impostor, (MOON, ELSEWHERE)[number % 2])
    assert waiting(site.sun) == ("RekeyChild",)


def test_a_child_made_and_deleted_often_is_wanted_back_once() -> None:
    """close_action = start at sun: moon makes the child and deletes it, and answers no request of sun's."""
    site, wire = mobile(sun_children=(child(mirror=True, close_action=Action.START),))
    wire.hold(which(by=site.moon, response=True), times=None)
    for _ in range(10):
        site.moon.terminate(site.world.now, child="net")
        wait(site, 1)
        site.moon.initiate("site", "net", site.world.now)
        wait(site, 1)
    assert set(waiting(site.sun)) == {"CreateChild"} and len(waiting(site.sun)) <= 2


# -- refusals (§3.5, §3.9) ----------------------------------------------------------


@pytest.mark.conformance("v2-107")
def test_unacceptable_addresses() -> None:
    """sun takes peers from one network alone: moon, outside of it, is refused and goes back where it was."""
    site, wire = mobile(sun={"remote": "192.0.2.0/26"})
    site.world.move(site.moon, ELSEWHERE, MOON)
    wait(site, 10)
    reply = wire.messages(which(INFORMATIONAL, by=site.sun, response=True))[0]
    assert NotifyType.UNACCEPTABLE_ADDRESSES in notifies(reply)
    assert meets(site) and at(site.sun, MOON) and said(site.moon, "UNACCEPTABLE_ADDRESSES")


@pytest.mark.conformance("v2-107")
def test_unacceptable_and_no_way_back_ends_the_sa() -> None:
    site, _ = mobile(sun={"remote": "192.0.2.0/26"})
    site.world.move(site.moon, ELSEWHERE)
    wait(site, 10)
    assert not site.moon.machines and not site.sun.machines
    assert "UNACCEPTABLE_ADDRESSES" in site.moon.saw(IkeDown)[0].text()


@pytest.mark.conformance("v2-107")
@pytest.mark.parametrize("changed", [False, True])
def test_a_nat_where_none_may_be(changed: bool) -> None:
    """NO_NATS_ALLOWED has the ends as the sender knows them; others in the IP header: UNEXPECTED_NAT_DETECTED."""
    site, wire = mobile()
    source, target = Endpoint.parse(ELSEWHERE, 4500), Endpoint.parse(SUN, 4500)
    ends = Ends(source.address, target.address, 4500, 4501 if changed else 4500)
    impostor = Impostor(wire, site.moon)
    payloads: list[Payload] = [Notify(UPDATE), no_nats_notify(ends)]
    octets = impostor.seal(INFORMATIONAL, payloads, message_id=impostor.machine.window.next_request)
    site.world.deliver(bytes(4) + octets, source, target)
    site.world.flush()
    reply = wire.messages(which(INFORMATIONAL, by=site.sun, response=True))[-1]
    assert (NotifyType.UNEXPECTED_NAT_DETECTED in notifies(reply)) is changed
    assert sa_of(site.sun).path.remote.host == (MOON if changed else ELSEWHERE)


@pytest.mark.conformance("v2-107")
@pytest.mark.parametrize("translated", [False, True])
def test_a_peer_without_nat_traversal_can_be_left_and_followed(translated: bool) -> None:
    """Nobody sends NAT detection: port 500 stays, updates say NO_NATS_ALLOWED, and a NAT on the new path ends it."""
    moved = Nat(frozenset({ELSEWHERE}), OUTSIDE)
    site, wire = gateways(
        moon={"mobike": True, "local": "%any"},
        sun={"mobike": True, "local": "%any", "remote": "%any"},
        nats=(moved,) if translated else (),
    )
    kinds = (NotifyType.NAT_DETECTION_SOURCE_IP, NotifyType.NAT_DETECTION_DESTINATION_IP)
    rewrite(
        wire,
        which(IKE_SA_INIT),
        lambda payloads: [p for p in payloads if not (isinstance(p, Notify) and p.type in kinds)],
        times=None,
    )
    site.up()
    assert sa_of(site.moon).path.remote.port == 500
    site.world.move(site.moon, ELSEWHERE)
    wait(site, 30)
    assert all(message.notify(NotifyType.NO_NATS_ALLOWED) for message in wire.messages(updates))
    if translated:
        assert len({message.message_id for message in wire.messages(updates)}) == 4
        assert not site.moon.machines and not site.sun.machines
    else:
        assert meets(site) and at(site.sun, ELSEWHERE, 500)


# -- NATs that come and go (§3.5, §3.8) ---------------------------------------------


@pytest.mark.conformance("v2-107")
def test_behind_a_nat_and_out_again() -> None:
    """moon goes behind a NAT: ESP goes in UDP, keepalives begin. Out again: neither."""
    nat = Nat(frozenset({ELSEWHERE}), OUTSIDE)
    site, wire = mobile(nats=(nat,))
    site.world.move(site.moon, ELSEWHERE)
    wait(site, 5)
    assert sa_of(site.moon).nat.local and sa_of(site.sun).nat.remote
    assert all(child.encap for child in (*site.moon.children, *site.sun.children))
    assert {child.path.remote.host for child in site.sun.children} == {OUTSIDE} and stands(site)
    wait(site, 100)
    assert len(wire.keepalives) >= 4
    site.world.move(site.moon, MOON)
    wait(site, 5)
    assert meets(site) and not any(child.encap for child in (*site.moon.children, *site.sun.children))
    mark = len(wire.keepalives)
    wait(site, 100)
    assert len(wire.keepalives) == mark


@pytest.mark.conformance("v2-107", "v2-103")
def test_a_rebound_nat_is_noticed_by_the_one_behind_it() -> None:
    """§3.8: NAT detection in moon's liveness checks; the answer shows another address, and moon updates."""
    nat = Nat(frozenset({MOON}), OUTSIDE)
    site, _ = mobile(nats=(nat,), moon={"dpd_delay": 30})
    wait(site, 40)
    before = sa_of(site.sun).path.remote
    nat.rebind()
    wait(site, 60)
    after = sa_of(site.sun).path.remote
    assert after != before and {child.path.remote for child in site.sun.children} == {after}
    assert stands(site) and said(site.moon, "our NAT has another address")


# -- without MOBIKE -------------------------------------------------------------------


def test_without_mobike_a_lost_address_means_a_new_sa() -> None:
    """The SA cannot follow and the peer cannot be told: moon calls again from where it is now."""
    site, _ = mobile(moon={"mobike": False})
    spi = sa_of(site.moon).spi_i
    site.world.move(site.moon, ELSEWHERE)
    wait(site, 30)
    assert sa_of(site.moon).spi_i != spi and stands(site)
    assert sa_of(site.sun).path.remote.host == ELSEWHERE
    assert "is gone" in site.moon.saw(IkeDown)[0].text()


def test_without_mobike_another_address_changes_nothing() -> None:
    site, wire = mobile(moon={"mobike": False})
    mark = len(wire.seen)
    site.world.move(site.moon, ELSEWHERE, MOON)
    wait(site, 30)
    assert len(wire.seen) == mark and stands(site)


@pytest.mark.parametrize("second", [False, True])
def test_without_mobike_configured_addresses_are_kept_to(second: bool) -> None:
    """local_addrs allows one address, or two: only another one of these is a reason to call anew."""
    site, _ = mobile(moon={"mobike": False, "local": MOON})
    connection = sa_of(site.moon).connection
    if second:
        more = (*connection.local_addrs, AddressSpec.parse(ELSEWHERE))
        site.moon.load(replace(connection, local_addrs=more), site.world.now)
        sa_of(site.moon).connection = replace(connection, local_addrs=more)
    spi = sa_of(site.moon).spi_i
    site.world.move(site.moon, ELSEWHERE)
    wait(site, 1)
    assert (not site.moon.machines or sa_of(site.moon).spi_i != spi) is second


@pytest.mark.parametrize("local", ["moon.example.org", "198.51.100.0/24"])
def test_a_responder_named_otherwise_than_by_an_address_follows_as_well(local: str) -> None:
    site, _ = mobile()
    sun = sa_of(site.sun)
    sun.connection = replace(sun.connection, local_addrs=(AddressSpec.parse(local),))
    site.world.move(site.moon, ELSEWHERE)
    wait(site, 5)
    assert meets(site) and at(site.sun, ELSEWHERE)


@pytest.mark.parametrize("mobike", [False, True])
def test_without_any_way_an_sa_waits(mobike: bool) -> None:
    """The network is gone for a moment, all of it: what comes back finds the SA where it was."""
    site, wire = mobile(moon={"mobike": mobike})
    mark = len(wire.seen)
    site.world.move(site.moon)
    wait(site, 30)
    site.world.move(site.moon, MOON)
    wait(site, 30)
    assert len(wire.seen) == mark and stands(site)
    assert all(machine.sa.state is IkeState.ESTABLISHED for machine in site.moon.machines)
