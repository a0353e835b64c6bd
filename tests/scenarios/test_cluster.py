"""A peer that is a cluster: a member takes over and says where message IDs go on (RFC 6311)."""

from __future__ import annotations

from typing import Any

import pytest

from ikectl.iana.v2 import NotifyType, Protocol
from ikectl.sa.events import Note
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Delete, Notify, Position, message_id_sync, message_id_sync_notify
from tests.scenarios.stage import (
    CREATE_CHILD_SA,
    IKE_AUTH,
    INFORMATIONAL,
    gateways,
    rewrite,
    sa_of,
    stands,
    tunnel,
    wait,
)
from tests.sim.forge import Impostor
from tests.sim.host import Host
from tests.sim.site import Site
from tests.sim.wiretap import Wiretap, which

SUPPORTED, SYNC = NotifyType.IKEV2_MESSAGE_ID_SYNC_SUPPORTED, NotifyType.IKEV2_MESSAGE_ID_SYNC
SYNCED: dict[str, Any] = {"message_id_sync": True}


def clustered(**more: Any) -> tuple[Site, Wiretap]:
    options = {name: {**SYNCED, **more.pop(name, {})} for name in ("moon", "sun")}
    return tunnel(**options, **more)


class Member(Impostor):
    """One of a cluster that stands behind `host`: it has the keys, and forgot how far its fellow had come."""

    def take_over(self, send: int, receive: int, nonce: bytes = b"once", **odd: Any) -> Message | None:
        """HDR(0), SK {N(IKEV2_MESSAGE_ID_SYNC)} -->; the answer, if one comes."""
        wish = message_id_sync_notify(Position(nonce, send, receive))
        return self.request(INFORMATIONAL, [wish, *odd.pop("more", ())], message_id=0, **odd)

    def go_on(self, at: Position) -> None:
        """The member has its answer, and is the host from now on."""
        window = self.machine.window
        window.next_request, window.expected = at.receive, at.send


def position(answer: Message | None) -> Position:
    assert answer is not None and answer.response and answer.message_id == 0
    (notify,) = answer.payloads
    assert isinstance(notify, Notify) and notify.type is SYNC
    return message_id_sync(notify)


def counters(host: Host) -> tuple[int, int]:
    """Our next number, and the peer's that is due."""
    (machine,) = host.machines
    return machine.window.next_request, machine.window.expected


def pairs(site: Site) -> list[tuple[Host, Host]]:
    return [(site.moon, site.sun), (site.sun, site.moon)]


@pytest.mark.conformance("v2-42")
@pytest.mark.parametrize(("moon", "sun"), [(True, True), (True, False), (False, True), (False, False)])
def test_both_ends_say_in_ike_auth_that_they_can(moon: bool, sun: bool) -> None:
    """The responder only to a peer that said so; without both nothing is synchronised."""
    site, wire = tunnel(moon={"message_id_sync": moon}, sun={"message_id_sync": sun})
    said = [message.notify(SUPPORTED) is not None for message in wire.messages(which(IKE_AUTH))]
    assert said == [moon, moon and sun]
    answer = Member(wire, site.moon).take_over(100, 100)
    assert (answer is not None) == (moon and sun)
    assert (counters(site.sun) == (100, 100)) == (moon and sun)


@pytest.mark.conformance("v2-42")
@pytest.mark.parametrize("receive", [0, 50])
def test_a_member_takes_over(receive: int) -> None:
    """HDR(0), SK {N(SYNC: nonce, M1 70, P1)} --> <-- HDR(0), SK {N(SYNC: nonce, P2, M2 70)}, and both go on there."""
    site, wire = clustered()
    for host, peer in pairs(site):
        member, (ours, _) = Member(wire, host), counters(peer)
        agreed = position(member.take_over(70, receive, b"\x01\x02\x03\x04"))
        assert agreed == (b"\x01\x02\x03\x04", max(receive, ours), 70)
        assert counters(peer) == (agreed.send, 70)
        assert [note for note in peer.saw(Note) if "another member" in note.text()]
        member.go_on(agreed)
        for end in (host, peer):
            end.rekey(site.world.now, "site", "net")
            wait(site, 10)
        assert stands(site) and counters(peer) == (agreed.send + 2, 72)
    site.world.settled()


@pytest.mark.conformance("v2-42")
def test_what_a_member_said_before_cannot_be_played_back() -> None:
    """M1 must be above all that was seen; the last request alone is answered again, until the member goes on."""
    site, wire = clustered()
    member = Member(wire, site.moon)
    (_, due) = counters(site.sun)
    assert member.take_over(due - 1, 0) is None, "a number that was used"
    first = member.seal(INFORMATIONAL, [message_id_sync_notify(Position(b"1111", 70, 0))], message_id=0)
    second = member.seal(INFORMATIONAL, [message_id_sync_notify(Position(b"2222", 80, 0))], message_id=0)
    (answer,) = member.deliver(first)
    (again,) = member.deliver(first)
    assert again.octets == answer.octets, "its answer was lost"
    (answer,) = member.deliver(second)
    agreed = position(answer.message)
    assert not member.deliver(first) and counters(site.sun) == (agreed.send, 80)
    assert member.take_over(80, 0) is None and member.take_over(79, 0) is None
    assert counters(site.sun) == (agreed.send, 80)
    member.go_on(agreed)
    site.moon.rekey(site.world.now, "site", "net")
    wait(site, 10)
    assert not member.deliver(second) and counters(site.sun)[1] == 82
    assert stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-42")
@pytest.mark.parametrize(
    "way", ["another payload", "too short", "too high", "P1 too high", "another exchange", "forged"]
)
def test_what_is_no_request_to_synchronise(way: str) -> None:
    """§5.1: nothing but the notify, under message ID 0 of INFORMATIONAL, sealed; anything else moves nothing."""
    site, wire = clustered()
    member = Member(wire, site.moon)
    before = counters(site.sun)
    if way == "more payloads":
        assert member.take_over(70, 0, more=[Delete(Protocol.IKE)]) is None
    elif way == "too short":
        assert member.request(INFORMATIONAL, [Notify(SYNC, bytes(11))], message_id=0) is None
    elif way == "too high":
        assert member.take_over(2**31, 0) is None
    elif way == "P1 too high":
        assert member.take_over(70, 2**32 - 1) is None
    elif way == "another exchange":
        wish = message_id_sync_notify(Position(b"once", 70, 0))
        assert member.request(CREATE_CHILD_SA, [wish], message_id=0) is None
    else:
        assert member.take_over(70, 0, change=lambda octets: octets[:-1] + bytes((octets[-1] ^ 1,))) is None
    assert counters(site.sun) == before and stands(site)
    wait(site, 60)
    site.world.settled()


@pytest.mark.conformance("v2-42")
def test_it_is_not_believed_under_another_number() -> None:
    """The next number as ever: a status, answered with nothing."""
    site, wire = clustered()
    member, (ours, due) = Member(wire, site.moon), counters(site.sun)
    answer = member.request(INFORMATIONAL, [message_id_sync_notify(Position(b"once", 70, 0))])
    assert answer is not None and not answer.payloads and counters(site.sun) == (ours, due + 1)


@pytest.mark.conformance("v2-42")
def test_the_first_request_of_a_peer_may_have_the_number_0() -> None:
    """The original responder's requests begin there: answered once, repeated for its repeats, and then out of date."""
    site, wire = clustered()
    member = Member(wire, site.sun)
    octets = member.seal(INFORMATIONAL, [], message_id=0)
    (answer,) = member.deliver(octets)
    (again,) = member.deliver(octets)
    assert again.octets == answer.octets and answer.message.payloads == []
    assert counters(site.moon)[1] == 1
    assert position(member.take_over(9, 0)).receive == 9


@pytest.mark.conformance("v2-42")
@pytest.mark.parametrize("window", [1, 4])
def test_what_is_in_flight_is_asked_again_under_a_new_number(window: int) -> None:
    """sun's rekeying waits when a member takes over, which never saw it: the same payloads once more, and answered."""
    site, wire = clustered(moon={"window": window}, sun={"window": window})
    wait(site, 5)
    lost = wire.hold(which(CREATE_CHILD_SA, by=site.sun, response=False), times=1)
    site.sun.rekey(site.world.now, "site", "net")
    wait(site, 0.5)
    (asked,) = lost.caught
    member = Member(wire, site.moon)
    mark = len(wire.seen)
    agreed = position(member.take_over(40, 0))
    assert agreed.send == asked.message.message_id + 1
    (again,) = wire.messages(which(CREATE_CHILD_SA, by=site.sun, response=False), since=mark)
    assert again.message_id == agreed.send and again.payloads == asked.message.payloads
    member.go_on(agreed)
    wait(site, 30)
    assert stands(site) and len(site.sun.kernel.inbound) == 1
    assert numbers_of(wire, site.sun, mark) == [agreed.send, agreed.send + 1]
    site.world.settled()


def numbers_of(wire: Wiretap, host: Host, since: int) -> list[int]:
    """Those of its requests, without repeats."""
    return list(dict.fromkeys(each.message_id for each in wire.messages(which(by=host, response=False), since=since)))


@pytest.mark.conformance("v2-42")
def test_an_sa_that_replaces_another_is_followed_as_well() -> None:
    """What IKE_AUTH agreed on holds for the line of SAs; their numbers begin anew, and with them what was seen."""
    site, wire = clustered()
    assert position(Member(wire, site.moon).take_over(500, 500)).receive == 500
    Member(wire, site.moon).go_on(Position(b"", 500, 500))
    site.sun.rekey(site.world.now, "site", "")
    wait(site, 100)
    assert sa_of(site.sun).numbering is not None and stands(site)
    assert position(Member(wire, site.moon).take_over(20, 30)) == (b"once", 30, 20)


def leaving_out(packets: int, octets: int = 4) -> Notify:
    return Notify(NotifyType.IPSEC_REPLAY_COUNTER_SYNC, packets.to_bytes(octets, "big"))


@pytest.mark.conformance("v2-42")
@pytest.mark.parametrize("octets", [4, 8])
def test_packet_numbers_are_left_out_as_a_member_wants(octets: int) -> None:
    """N(SYNC), N(IPSEC_REPLAY_COUNTER_SYNC: 1000) -->: what we send on each child goes on that much higher (§5.2)."""
    site, wire = clustered()
    member = Member(wire, site.moon)
    (child,) = site.sun.children
    agreed = position(member.take_over(70, 0, more=[leaving_out(1000, octets)]))
    assert site.sun.kernel.skipped == {child.spi_out: 1000}
    assert position(member.take_over(80, 0)).receive == 80
    assert site.sun.kernel.skipped == {child.spi_out: 1000}, "nothing more was asked for"
    member.go_on(Position(b"", agreed.send, 80))
    assert stands(site)


@pytest.mark.conformance("v2-42")
def test_a_child_without_so_many_numbers_left_is_rekeyed() -> None:
    site, wire = clustered()
    member = Member(wire, site.moon)
    (child,) = site.sun.children
    agreed = position(member.take_over(70, 0, more=[leaving_out(2**40, 8)]))
    member.go_on(agreed)
    wait(site, 20)
    assert stands(site) and site.sun.children[0].spi_out != child.spi_out
    site.world.settled()


@pytest.mark.conformance("v2-42")
def test_counters_are_left_alone_unless_both_ends_said_so() -> None:
    """A peer that announces IKEV2_MESSAGE_ID_SYNC_SUPPORTED alone gets that alone; the notify is passed over."""
    site, wire = gateways(moon=SYNCED, sun=SYNCED)
    counters_too = NotifyType.IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED
    rewrite(
        wire,
        which(IKE_AUTH, by=site.moon),
        lambda payloads: [each for each in payloads if not (isinstance(each, Notify) and each.type is counters_too)],
    )
    site.up()
    (answer,) = wire.messages(which(IKE_AUTH, by=site.sun))
    assert answer.notify(SUPPORTED) is not None and answer.notify(counters_too) is None
    assert position(Member(wire, site.moon).take_over(70, 0, more=[leaving_out(1000)])).receive == 70
    assert not site.sun.kernel.skipped


@pytest.mark.conformance("v2-42")
def test_a_count_of_odd_length_is_no_count() -> None:
    site, wire = clustered()
    assert Member(wire, site.moon).take_over(70, 0, more=[leaving_out(1, 5)]) is None
    assert counters(site.sun)[1] != 70 and not site.sun.kernel.skipped
