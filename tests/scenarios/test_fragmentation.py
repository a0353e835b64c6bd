"""Long messages in fragments (RFC 7383): agreed on, cut, lost, mixed up, repeated, cut smaller."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ikectl.config.model import Fragmentation
from ikectl.engine.outside import Transmit
from ikectl.engine.v2.fragmentation import REPEATS, SMALLEST
from ikectl.iana.v2 import ExchangeType, NotifyType, PayloadType
from ikectl.sa.env import Settings
from ikectl.sa.events import Dropped, Note
from ikectl.values.identity import Identity
from ikectl.wire.header import Header
from ikectl.wire.payload import Payload
from ikectl.wire.v2.notify import Notify
from ikectl.wire.v2.sealed import SK, SKF
from tests.scenarios.stage import (
    CREATE_CHILD_SA,
    IKE_AUTH,
    IKE_SA_INIT,
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
from tests.sim.site import MOON, Site, child
from tests.sim.wiretap import Seen, Wiretap, which

MANY = ",".join(f"10.3.{number}.0/24" for number in range(0, 200, 2))
WIDE: dict[str, Any] = {
    "moon_children": (child(local=MANY),),
    "sun_children": (child(local=MANY, mirror=True),),
}
"""A hundred networks at one end: IKE_AUTH has some 1700 octets each way."""
HYBRID = "aes128gcm16-prfsha256-x25519-ke1_mlkem768"
SUPPORTED = NotifyType.IKEV2_FRAGMENTATION_SUPPORTED


def fragments(wire: Wiretap, exchange: ExchangeType, *, response: bool) -> list[Seen]:
    return wire.all(which(exchange, response=response, holds=SKF))


def place(seen: Seen) -> tuple[int, int]:
    (skf,) = seen.message.all(SKF)
    return skf.number, skf.total


@pytest.mark.conformance("v2-109")
def test_what_is_too_long_goes_in_fragments_that_fit() -> None:
    """IKE_SA_INIT: N(IKEV2_FRAGMENTATION_SUPPORTED) each way; IKE_AUTH {SKF} {SKF} each way."""
    site, wire = tunnel(**WIDE)
    asked, answered = wire.messages(which(IKE_SA_INIT))
    assert SUPPORTED in notifies(asked) and SUPPORTED in notifies(answered)
    for response in (False, True):
        sent = fragments(wire, IKE_AUTH, response=response)
        assert [place(each) for each in sent] == [(1, 2), (2, 2)]
        assert max(len(each.octets) for each in sent) <= Settings().fragment_size - 28
    assert len(site.sun.children[0].ts_remote) == 100
    site.world.settled()


@pytest.mark.conformance("v2-109")
@pytest.mark.parametrize("size", [0, 576, 900, 65535])
def test_the_size_is_set_by_the_operator(size: int) -> None:
    _, wire = tunnel(**WIDE, moon_host={"settings": Settings(fragment_size=size)})
    sent = fragments(wire, IKE_AUTH, response=False)
    assert bool(sent) is (size < 2000)
    assert all(len(each.octets) + 28 <= (size or 576) for each in sent)
    if sent:
        answered = fragments(wire, IKE_AUTH, response=True)
        assert max(len(each.octets) for each in answered) == len(sent[0].octets), "as small as the peer's"


@pytest.mark.conformance("v2-109")
@pytest.mark.parametrize("silent", ["moon", "sun"])
def test_none_is_sent_where_one_end_does_not_take_them(silent: str) -> None:
    site, wire = tunnel(**WIDE, **{silent: {"fragmentation": Fragmentation.NO}})
    asked, answered = wire.messages(which(IKE_SA_INIT))
    assert (SUPPORTED in notifies(asked)) is (silent == "sun") and SUPPORTED not in notifies(answered)
    assert not wire.all(which(holds=SKF))
    site.world.settled()


@pytest.mark.conformance("v2-109")
@pytest.mark.parametrize("wish", [Fragmentation.ACCEPT, Fragmentation.FORCE])
def test_accept_takes_them_and_sends_none(wish: Fragmentation) -> None:
    _, wire = tunnel(**WIDE, moon={"fragmentation": wish})
    assert bool(fragments(wire, IKE_AUTH, response=False)) is (wish is Fragmentation.FORCE)
    assert fragments(wire, IKE_AUTH, response=True)


@pytest.mark.conformance("v2-109")
def test_a_long_ike_sa_init_goes_whole() -> None:
    """It is not protected, so it cannot be cut (RFC 7383 §2.1)."""
    site, wire = gateways(moon={"fragmentation": Fragmentation.FORCE}, ike="aes128gcm16-prfsha256-mlkem1024")
    site.up()
    (asked, answered) = wire.all(which(IKE_SA_INIT))
    assert len(asked.octets) > 1500 and len(answered.octets) > 1500


@pytest.mark.conformance("v2-109")
def test_a_fragment_that_nobody_agreed_on_is_dropped() -> None:
    """SUPPORTED taken out of the answer by whoever: sun cuts, moon refuses, and the exchange comes to nothing."""
    site, wire = gateways(**WIDE)

    def quietly(payloads: list[Payload]) -> list[Payload]:
        return [each for each in payloads if not (isinstance(each, Notify) and each.type is SUPPORTED)]

    rewrite(wire, which(IKE_SA_INIT, response=True), quietly)
    token = site.up(within=600)
    assert "does not answer" in (site.moon.done[token].error or "")
    assert "was not agreed on" in site.moon.saw(Dropped)[0].text()


@pytest.mark.conformance("v2-108", "v2-110")
def test_ike_intermediate_is_cut_and_covered_by_auth() -> None:
    """RFC 9242 §3.3.2: IntAuth is that of the whole message; a public value of ML-KEM-768 has 1184 octets."""
    site, wire = tunnel(ike=HYBRID, moon_host={"settings": Settings(fragment_size=576)})
    sent = fragments(wire, ExchangeType.IKE_INTERMEDIATE, response=False)
    assert [place(each) for each in sent] == [(1, 3), (2, 3), (3, 3)]
    site.world.settled()


@pytest.mark.conformance("v2-108")
@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("response", [False, True])
def test_all_fragments_are_repeated_bit_by_bit(response: bool, lost: int) -> None:
    """One is lost: the same octets again, request and response; each set is taken once."""
    site, wire = gateways(**WIDE)
    caught: list[int] = []

    def unlucky(seen: Seen) -> bool:
        if not which(IKE_AUTH, response=response, holds=SKF)(seen):
            return False
        caught.append(place(seen)[0])
        return len(caught) == lost + 1

    wire.hold(unlucky, times=1)
    site.up()
    assert stands(site)
    assert len(sa_of(site.sun).children) == 1
    sent = fragments(wire, IKE_AUTH, response=False)
    assert len(sent) == 4 and [each.octets for each in sent[:2]] == [each.octets for each in sent[2:]]
    answers = fragments(wire, IKE_AUTH, response=True)
    assert len(answers) == (4 if response else 2) and len({each.octets for each in answers}) == 2


@pytest.mark.conformance("v2-108")
def test_only_the_first_fragment_fetches_the_reply_again() -> None:
    """RFC 7383 §2.6.1: or a repeated request would be answered as often as it has fragments."""
    _, wire = tunnel(**WIDE)
    first, second = fragments(wire, IKE_AUTH, response=False)
    mark = len(wire.seen)
    wire.arrive(second)
    assert not wire.all(since=mark)
    wire.arrive(first)
    assert [place(each) for each in wire.all(since=mark)] == [(1, 2), (2, 2)]


@pytest.mark.conformance("v2-108")
def test_fragments_arrive_in_any_order_and_more_than_once() -> None:
    site, wire = gateways(**WIDE)
    rule = wire.hold(which(IKE_AUTH, by=site.moon))
    site.moon.initiate("site", "net", 0.0)
    wait(site, 1)
    first, second = rule.caught
    wire.arrive(second)
    wire.arrive(second)
    assert not fragments(wire, IKE_AUTH, response=True)
    wire.arrive(first)
    wait(site, 1)
    assert stands(site)


@pytest.mark.conformance("v2-108")
def test_a_spoilt_fragment_changes_nothing() -> None:
    site, wire = gateways(**WIDE)
    rule = wire.hold(which(IKE_AUTH, by=site.moon))
    site.moon.initiate("site", "net", 0.0)
    wait(site, 1)
    first, second = rule.caught
    for seen in (first, second):
        for at in (33, 35, -1):
            octets = bytearray(seen.transmit.data)
            octets[at] ^= 1
            path = seen.transmit.path
            site.world.deliver(bytes(octets), path.local, path.remote)
            site.world.flush()
    assert not wire.all(which(IKE_AUTH, by=site.sun)) and not site.sun.children
    wire.arrive(first)
    wire.arrive(second)
    wait(site, 1)
    assert stands(site)


@pytest.mark.conformance("v2-108")
def test_a_path_that_takes_less_is_found_out() -> None:
    """Datagrams of more than 800 octets vanish: after some repeats smaller fragments, and more of them (§2.5.2)."""
    site, wire = gateways(**WIDE, link=Link(mtu=800))
    token = site.up()
    assert site.moon.done[token].error is None and stands(site)
    sent = fragments(wire, IKE_AUTH, response=False)
    totals = [place(each)[1] for each in sent if place(each)[0] == 1]
    assert totals == [2] * (1 + REPEATS) + [4]
    assert max(len(each.octets) for each in sent[-4:]) + 28 <= SMALLEST[4]
    assert all(len(each.octets) + 28 <= SMALLEST[4] for each in fragments(wire, IKE_AUTH, response=True))
    mark = len(wire.seen)
    site.moon.rekey(site.world.now, "site", "net")
    wait(site, 5)
    asked = wire.all(which(CREATE_CHILD_SA, response=False), since=mark)
    assert {place(each)[1] for each in asked} == {4} and len(asked) == 4, "the path is known now"
    site.world.settled()


@pytest.mark.conformance("v2-108")
@pytest.mark.parametrize("exchange", [ExchangeType.IKE_INTERMEDIATE, IKE_AUTH])
def test_a_request_cut_anew_fetches_the_reply_of_the_coarser_one(exchange: ExchangeType) -> None:
    """The answers alone are lost: the request was taken already, and is recognised though no octet is the same.

    With IKE_INTERMEDIATE it is sealed with keys that its answer has replaced at the responder.
    """
    site = Site(**WIDE, ike=HYBRID)
    lost: list[bytes] = []

    def answers_get_lost(host: Host, transmit: Transmit) -> bool:
        header = Header.read(transmit.data)
        cut_anew = any("smaller fragments" in note.text() for note in site.moon.saw(Note))
        if host is site.moon or header.exchange is not exchange or cut_anew:
            return True
        lost.append(transmit.data)
        return False

    site.world.taps.append(answers_get_lost)
    token = site.up()
    assert site.moon.done[token].error is None and stands(site)
    assert len(lost) > REPEATS
    site.world.settled()


def test_both_versions_of_ip_and_a_nat_leave_room_for_their_headers() -> None:
    nat = Nat(frozenset({MOON}), "203.0.113.1")
    _, wire = tunnel(**WIDE, nats=(nat,), sun={"remote": "0.0.0.0/0"})
    sent = fragments(wire, IKE_AUTH, response=False)
    assert sent and all(len(each.transmit.data) == len(each.octets) + 4 for each in sent)
    assert max(len(each.transmit.data) for each in sent) + 28 <= 1280


def test_what_was_agreed_on_holds_for_the_next_ike_sa() -> None:
    site, wire = tunnel(**WIDE)
    site.moon.rekey(site.world.now, "site")
    wait(site, 5)
    mark = len(wire.seen)
    site.sun.rekey(site.world.now, "site", "net")
    wait(site, 5)
    assert wire.all(which(CREATE_CHILD_SA, by=site.sun, holds=SKF), since=mark)
    site.world.settled()


def test_an_authentic_fragment_with_senseless_content_ends_the_sa() -> None:
    """Once its integrity holds INVALID_SYNTAX is due, as for a whole message (RFC 7296 §2.21.3)."""
    site, wire = tunnel()
    impostor = Impostor(wire, site.moon)
    seen = impostor.fragments((PayloadType.NOTIFY, bytes.fromhex("2e00ffff") * 60), 200)
    assert any(each.message.notify(NotifyType.INVALID_SYNTAX) for each in seen)
    assert not site.sun.machines


def test_handshakes_and_rekeyings_in_fragments_survive_a_bad_network() -> None:
    """Loss, duplicates, disorder; both ends rekey at once."""
    up = 0
    for seed in range(40):
        site = Site(seed, ike=HYBRID, link=Link(loss=0.2, duplication=0.2, jitter=0.3), **WIDE)
        token = site.up(within=1200.0)
        if site.moon.done[token].error is not None:
            continue
        up += 1
        for host in (site.moon, site.sun):
            host.rekey(site.world.now, "site", "net")
        site.world.link = replace(site.world.link, loss=0.1)
        wait(site, 400)
        site.world.settled()
    assert up > 20


def test_short_messages_stay_whole() -> None:
    _, wire = tunnel()
    assert not wire.all(which(holds=SKF)) and not wire.all(which(holds=SK))


ANSWERS_MUCH: dict[str, Any] = {
    "moon_children": (child(remote="0.0.0.0/0"),),
    "sun_children": (child(local=MANY, mirror=False, remote="10.1.0.0/16"),),
}
"""A short question with a long answer: moon asks for everything, sun has a hundred networks."""
LATE_KEYS: dict[str, Any] = {
    "moon": {"ppk_id": Identity.parse("quantum")},
    "moon_host": {"ppks": {"quantum": b"a key of both"}},
    "sun_host": {"ppks": {"quantum": b"a key of both"}},
}
"""The keys of the IKE SA are others behind IKE_AUTH than those that its answer is sealed with (RFC 8784)."""


def narrow_back(wire: Wiretap) -> None:
    """The way to the responder takes anything, the way back no more than 600 octets."""
    wire.hold(lambda seen: seen.message.response and len(seen.octets) > 600, times=None)


def fresh(wire: Wiretap, by: Host) -> None:
    """No IV came twice with different content under the keys of one end."""
    seen: dict[bytes, bytes] = {}
    for each in wire.all(which(by=by)):
        sealed = each.message.payloads[-1]
        if isinstance(sealed, SK | SKF):
            assert seen.setdefault(sealed.data[:8], each.octets) == each.octets


@pytest.mark.conformance("v2-108")
@pytest.mark.parametrize("late", [{}, LATE_KEYS], ids=["psk", "ppk"])
@pytest.mark.parametrize("shape", [WIDE, ANSWERS_MUCH], ids=["both long", "answer long"])
def test_an_answer_that_does_not_arrive_is_cut_smaller(shape: dict[str, Any], late: dict[str, Any]) -> None:
    """The request comes again, smaller or as it was: <-- HDR, SKF {the same answer} in more fragments (§2.5.2)."""
    site, wire = gateways(**shape, **late)
    narrow_back(wire)
    token = site.up()
    assert site.moon.done[token].error is None and stands(site)
    sent = fragments(wire, IKE_AUTH, response=True)
    totals = [place(each)[1] for each in sent if place(each)[0] == 1]
    assert totals == [2] * (1 + REPEATS) + [4]
    assert max(len(each.octets) for each in sent[-4:]) + 28 <= SMALLEST[4]
    assert [note for note in site.sun.saw(Note) if "smaller fragments" in note.why and "answer" in note.why]
    fresh(wire, site.sun)
    site.world.settled()


@pytest.mark.conformance("v2-108", "v2-110")
def test_so_is_one_of_ike_intermediate() -> None:
    """Its keys are gone when the request comes again; and IntAuth is that of the message, however it was cut."""
    site, wire = gateways(ike=HYBRID)
    narrow_back(wire)
    token = site.up()
    assert site.moon.done[token].error is None and stands(site)
    assert fragments(wire, ExchangeType.IKE_INTERMEDIATE, response=True)
    fresh(wire, site.sun)
    site.world.settled()


@pytest.mark.conformance("v2-108")
def test_who_repeats_a_request_has_it_cut_anew_once() -> None:
    """Anybody who has seen it may: that costs one sealing, and what comes later is cut as ever."""
    site, wire = tunnel(**ANSWERS_MUCH)
    (asked,) = wire.all(which(IKE_AUTH, by=site.moon))
    for _ in range(12):
        wire.arrive(asked)
    wait(site, 1)
    sent = fragments(wire, IKE_AUTH, response=True)
    assert len({each.octets for each in sent}) == 2 + 4
    token = site.moon.rekey(site.world.now, "site", "net")
    wait(site, 5)
    assert site.moon.done[token].error is None
    again = fragments(wire, CREATE_CHILD_SA, response=True)
    assert [place(each) for each in again] == [(1, 2), (2, 2)]
    fresh(wire, site.sun)
