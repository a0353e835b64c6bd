"""Informational exchanges: deletes, INITIAL-CONTACT, R-U-THERE; nothing counts without its hash (RFC 2409 §5.7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ikectl.config.model import Action, Unique
from ikectl.iana.v1 import NotifyType, ProtocolId, VendorId
from ikectl.sa.association import IkeState
from ikectl.sa.events import IkeDown
from ikectl.wire.v1.keying import Hash
from ikectl.wire.v1.keying import VendorId as Vendor
from ikectl.wire.v1.notify import (
    Delete,
    Notify,
    dpd_notify,
    dpd_sequence,
    initial_contact_notify,
    isakmp_delete,
)
from ikectl.wire.v1.payload import Payload
from ikectl.wire.v1.sa import SA
from tests.scenarios.v1.stage import (
    AGGRESSIVE_PSK,
    bare,
    caller,
    is_up,
    notifies,
    rewrite,
    sa_of,
    stands,
    wait,
    watched,
    watched_tunnel,
)
from tests.sim.forge_v1 import Impostor, chain_of
from tests.sim.host import Host
from tests.sim.site import Site, child
from tests.sim.wiretap_v1 import INFORMATIONAL, MAIN, which

U_THERE, ACK = NotifyType.R_U_THERE, NotifyType.R_U_THERE_ACK
BOTH = pytest.mark.parametrize("speaker", ["moon", "sun"])


def ends(site: Site, speaker: str) -> tuple[Host, Host]:
    """Who speaks, and who hears."""
    return (site.moon, site.sun) if speaker == "moon" else (site.sun, site.moon)


def esp(host: Host) -> bytes:
    """The SPI of its only child, as it would name it in a delete."""
    return host.children[0].spi_in.to_bytes(4, "big")


# -- deletes -------------------------------------------------------------------------


def deliver_unproven(impostor: Impostor, payloads: list[Payload], how: str) -> None:
    """Says something in a way that proves nothing."""
    if how == "in clear":
        impostor.deliver(impostor.clear(payloads, INFORMATIONAL, message_id=9))
        impostor.deliver(impostor.clear(payloads, INFORMATIONAL))
    elif how == "in clear with its HASH":
        impostor.deliver(impostor.clear(impostor.hashed(payloads, 9), INFORMATIONAL, message_id=9))
    elif how == "without HASH":
        impostor.say(payloads, prove=False)
    elif how == "with a wrong HASH":
        impostor.say([Hash(bytes(32)), *payloads], prove=False)
    elif how == "with the HASH of another message ID":
        impostor.say(impostor.hashed(payloads, 9), message_id=10, prove=False)
    elif how == "changed on its way":
        impostor.say(payloads, change=lambda octets: octets[:-1] + bytes((octets[-1] ^ 1,)))
    elif how == "from phase 1":
        impostor.say([*payloads], MAIN, 0)
    else:
        first, octets = impostor.hashed(payloads, 9)
        impostor.say((first, octets[:-1] + b"\xff"), message_id=9, prove=False)


UNPROVEN = (
    "in clear",
    "in clear with its HASH",
    "without HASH",
    "with a wrong HASH",
    "with the HASH of another message ID",
    "changed on its way",
    "from phase 1",
    "its last octet another one",
)


@pytest.mark.conformance("v1-28")
@BOTH
@pytest.mark.parametrize("how", UNPROVEN)
@pytest.mark.parametrize("what", ["child", "whole"])
def test_a_delete_that_is_not_proven_deletes_nothing(what: str, how: str, speaker: str) -> None:
    site, wire = watched_tunnel()
    says, hears = ends(site, speaker)
    impostor = Impostor(wire, says)
    delete = isakmp_delete(*impostor.cookies) if what == "whole" else Delete(ProtocolId.ESP, (esp(says),))
    deliver_unproven(impostor, [delete], how)
    wait(site, 5)
    assert stands(site) and is_up(hears)


@pytest.mark.conformance("v1-28")
@BOTH
def test_a_proven_delete_of_a_child(speaker: str) -> None:
    """HASH(1), D(ESP, the speaker's inbound SPI) -->: that child goes, the ISAKMP SA stays."""
    site, wire = watched_tunnel()
    says, hears = ends(site, speaker)
    Impostor(wire, says).say([Delete(ProtocolId.ESP, (esp(says),))])
    wait(site, 1)
    assert not hears.children and is_up(hears) and not hears.kernel.outbound


@pytest.mark.conformance("v1-28")
@BOTH
@pytest.mark.parametrize("other", ["our own SPI", "an unknown SPI", "AH", "cookies swapped", "other cookies"])
def test_a_delete_of_something_else_deletes_nothing(other: str, speaker: str) -> None:
    site, wire = watched_tunnel()
    says, hears = ends(site, speaker)
    impostor = Impostor(wire, says)
    cookies = impostor.cookies
    delete = {
        "our own SPI": Delete(ProtocolId.ESP, (esp(hears),)),
        "an unknown SPI": Delete(ProtocolId.ESP, (b"none",)),
        "AH": Delete(ProtocolId.AH, (esp(says),)),
        "cookies swapped": isakmp_delete(*cookies[::-1]),
        "other cookies": isakmp_delete(b"stranger", b"wrong it"),
    }[other]
    impostor.say([delete])
    wait(site, 5)
    assert stands(site)


@pytest.mark.conformance("v1-28")
@BOTH
def test_a_delete_of_the_isakmp_sa_has_an_spi_of_16_octets(speaker: str) -> None:
    """Ours has both cookies in it; one with 8 octets, or 0, is malformed and deletes nothing; a right one does."""
    site, wire = watched_tunnel()
    says, hears = ends(site, speaker)
    impostor = Impostor(wire, says)
    for octets in (0, 8, 20):
        spi = (impostor.cookie_i + impostor.cookie_r + bytes(4))[:octets]
        body = b"\0\0\0\1\1" + bytes((octets,)) + b"\0\1" + spi
        chain = 12, b"\0\0" + (4 + len(body)).to_bytes(2, "big") + body
        impostor.say(chain)
    wait(site, 1)
    assert stands(site)
    impostor.say([isakmp_delete(*impostor.cookies)])
    wait(site, 1)
    assert bare(hears)


@pytest.mark.conformance("v1-28")
@BOTH
def test_our_own_deletes(speaker: str) -> None:
    """HASH, D(ESP) --> for a child; for the SA D(ESP) --> and HASH, D(ISAKMP, both cookies) -->."""
    site, wire = watched_tunnel()
    says, hears = ends(site, speaker)
    spi, cookies = esp(says), sa_of(says).cookie_i + sa_of(says).cookie_r
    mark = len(wire.seen)
    says.terminate(site.world.now, "site")
    wait(site, 1)
    deletes = [
        delete for message in wire.messages(which(INFORMATIONAL, by=says), mark) for delete in message.all(Delete)
    ]
    assert [(each.protocol, each.spis) for each in deletes] == [
        (ProtocolId.ESP, (spi,)),
        (ProtocolId.ISAKMP, (cookies,)),
    ]
    for message in wire.messages(which(INFORMATIONAL, by=says), mark):
        assert message.encrypted and isinstance(message.payloads[0], Hash)
    assert bare(says) and bare(hears)


def test_a_child_comes_back_where_close_action_says_so() -> None:
    site, wire = watched_tunnel(moon_children=(child(close_action=Action.START),))
    gone = esp(site.moon)
    Impostor(wire, site.sun).say([Delete(ProtocolId.ESP, (esp(site.sun),))])
    wait(site, 5)
    assert len(site.moon.children) == 1 and esp(site.moon) != gone


# -- INITIAL-CONTACT --------------------------------------------------------------------


def second_sa(site: Site, wire: Any) -> tuple[Any, Any]:
    """A second ISAKMP SA of the same peer, made by hand beside the first; the old and the new one at sun."""
    old = sa_of(site.sun)
    peer = caller(wire, site)
    peer.main()
    assert [machine.sa.spi_i for machine in site.sun.machines][-1] == peer.cookie_i
    return old, peer


@pytest.mark.conformance("v1-29")
def test_initial_contact_in_message_5_ends_older_sas() -> None:
    """IDii, HASH_I, N(INITIAL-CONTACT) *: encrypted under the key that HASH_I proves; sun forgets what was before."""
    site, wire = watched_tunnel(sun={"unique": Unique.NO})
    old = sa_of(site.sun)
    peer = caller(wire, site)
    peer.main_1()
    peer.main_3()
    peer.main_5(lambda payloads: [*payloads, initial_contact_notify(*peer.cookies)])
    assert [machine.sa.spi_i for machine in site.sun.machines] == [peer.cookie_i]
    assert old.state is IkeState.CLOSED and not site.sun.children and not site.sun.kernel.inbound
    assert site.sun.saw(IkeDown)


@pytest.mark.conformance("v1-29")
def test_initial_contact_behind_phase_1_counts_with_its_hash() -> None:
    site, wire = watched_tunnel(sun={"unique": Unique.NO})
    _, peer = second_sa(site, wire)
    assert site.sun.children, "the newer SA took it over"
    wait(site, 1)
    peer.say([initial_contact_notify(*peer.cookies)])
    wait(site, 130)
    assert [machine.sa.spi_i for machine in site.sun.machines] == [peer.cookie_i]
    assert not site.sun.children and not site.sun.kernel.inbound


@pytest.mark.conformance("v1-29")
@pytest.mark.parametrize("how", UNPROVEN)
def test_initial_contact_that_is_not_proven_ends_nothing(how: str) -> None:
    site, wire = watched_tunnel(sun={"unique": Unique.NO})
    old, peer = second_sa(site, wire)
    deliver_unproven(peer, [initial_contact_notify(*peer.cookies)], how)
    wait(site, 5)
    assert old.spi_i in [machine.sa.spi_i for machine in site.sun.machines] and site.sun.children


@pytest.mark.conformance("v1-29")
@pytest.mark.parametrize("place", [1, 3])
def test_initial_contact_in_clear_in_phase_1_ends_nothing(place: int) -> None:
    site, wire = watched_tunnel(sun={"unique": Unique.NO})
    old = sa_of(site.sun)
    peer = caller(wire, site)
    notify = initial_contact_notify(bytes(8), bytes(8))
    peer.main_1(lambda payloads: [*payloads, notify] if place == 1 else payloads)
    peer.main_3(lambda payloads: [*payloads, notify] if place == 3 else payloads)
    peer.main_5()
    assert old.state is not IkeState.CLOSED and site.sun.children


@pytest.mark.conformance("v1-29")
@pytest.mark.parametrize("mode", [{}, AGGRESSIVE_PSK], ids=["main", "aggressive"])
def test_we_say_initial_contact_once_and_encrypted(mode: dict[str, Any]) -> None:
    site, wire = watched_tunnel(both=mode)
    site.moon.rekey(site.world.now, "site")
    wait(site, 20)
    said = wire.fresh(which(holds=NotifyType.INITIAL_CONTACT))
    assert len(said) == 1 and said[0].message.encrypted and said[0].host is site.moon
    notify = said[0].message.notify(NotifyType.INITIAL_CONTACT)
    assert notify is not None and notify.spi == said[0].message.cookie_i + said[0].message.cookie_r
    assert stands(site)


# -- refusals ------------------------------------------------------------------------------


@pytest.mark.conformance("v1-27")
@pytest.mark.parametrize("how", UNPROVEN)
def test_a_refusal_that_is_not_proven_ends_no_quick_mode(how: str) -> None:
    """moon's quick mode waits; NO-PROPOSAL-CHOSEN without a good HASH is not heard, and sun's answer counts."""
    site, wire = watched_tunnel()
    held = wire.hold(which(by=site.sun))
    token = site.moon.rekey(site.world.now, "site", "net")
    wait(site, 1)
    assert held.caught
    deliver_unproven(Impostor(wire, site.sun), [Notify(NotifyType.NO_PROPOSAL_CHOSEN)], how)
    assert token not in site.moon.done
    wire.release(held)
    wait(site, 20)
    assert site.moon.done[token].error is None and stands(site)


@pytest.mark.conformance("v1-27")
def test_a_refusal_in_clear_does_not_end_phase_1_at_once() -> None:
    """N(NO-PROPOSAL-CHOSEN) of anybody comes first, sun's answer second: the tunnel comes up."""
    site, wire = watched()
    site.moon.initiate("site", "net", 0.0)
    site.world.flush()
    (first,) = wire.seen
    peer = caller(wire, site)
    peer.target, peer.here, peer.there = site.moon, first.transmit.path.remote, first.transmit.path.local
    for cookie_r in (bytes(8), b"whatever"):
        refusal = peer.clear(
            [Notify(NotifyType.NO_PROPOSAL_CHOSEN)], INFORMATIONAL, cookie_i=first.octets[:8], cookie_r=cookie_r
        )
        peer.deliver(refusal)
    wait(site, 3)
    assert stands(site)


@pytest.mark.conformance("v1-27")
def test_a_proven_refusal_is_about_the_quick_mode_whose_spi_it_names() -> None:
    """Two quick modes wait; the refusal names the SPI of the second, and only that one fails."""
    more = {"moon_children": (child(), child("b", local="10.7.0.0/16"), child("c", local="10.8.0.0/16"))}
    site, wire = watched_tunnel(**more)
    held = wire.hold(which(by=site.sun))
    tokens = [site.moon.initiate("site", name, site.world.now) for name in ("b", "c")]
    wait(site, 1)
    asked = wire.messages(which(by=site.moon, holds=SA))[-1]
    spi = asked.one(SA).proposals[0].spi
    Impostor(wire, site.sun).say([Notify(NotifyType.NO_PROPOSAL_CHOSEN, b"", ProtocolId.ESP, spi)])
    assert tokens[1] in site.moon.done and "NO_PROPOSAL_CHOSEN" in str(site.moon.done[tokens[1]].error)
    assert tokens[0] not in site.moon.done
    held.stop()


@pytest.mark.conformance("v1-27")
@pytest.mark.parametrize("kind", [NotifyType.INVALID_SPI, NotifyType.NO_PROPOSAL_CHOSEN])
def test_a_refusal_that_names_a_foreign_spi_ends_no_quick_mode(kind: NotifyType) -> None:
    """Cisco reports ESP of an SA that is gone by INVALID-SPI: that says nothing about what is under way."""
    site, wire = watched_tunnel(moon_children=(child(), child("b", local="10.7.0.0/16")))
    held = wire.hold(which(by=site.sun))
    token = site.moon.initiate("site", "b", site.world.now)
    wait(site, 1)
    Impostor(wire, site.sun).say([Notify(kind, b"", ProtocolId.ESP, b"gone")])
    assert token not in site.moon.done
    held.stop()


@pytest.mark.conformance("v1-27")
@BOTH
def test_what_cannot_be_read_in_an_informational_exchange_is_not_answered(speaker: str) -> None:
    """R-U-THERE with a number of three octets: two ends that answered such a thing would go on for ever."""
    site, wire = watched_tunnel()
    host = site.moon if speaker == "moon" else site.sun
    spi = sa_of(host).spi_i + sa_of(host).spi_r
    assert Impostor(wire, host).say([Notify(NotifyType.R_U_THERE, b"odd", ProtocolId.ISAKMP, spi)]) == []
    wait(site, 2)
    assert stands(site)


# -- R-U-THERE --------------------------------------------------------------------------------


@pytest.mark.conformance("v1-33")
def test_the_vendor_id_of_dpd_is_said_by_both() -> None:
    """afcad71368a1f1c96b8696fc77570100 in the first two messages (RFC 3706 §5.1)."""
    _, wire = watched_tunnel()
    for seen in wire.fresh(which(MAIN))[:2]:
        assert bytes.fromhex("afcad71368a1f1c96b8696fc77570100") in [each.data for each in seen.message.all(Vendor)]


@pytest.mark.conformance("v1-33")
@BOTH
def test_a_silent_while_is_asked_about_and_answered(speaker: str) -> None:
    """R-U-THERE, n --> <-- R-U-THERE-ACK, n; the next is n + 1; SPI are both cookies; numbers begin below 2^31."""
    asks, answers = ("moon", "sun") if speaker == "moon" else ("sun", "moon")
    site, wire = watched_tunnel(**{asks: {"dpd_delay": 30}})
    wait(site, 100)
    probes = wire.fresh(which(INFORMATIONAL, by=getattr(site, asks), holds=U_THERE))
    acks = wire.fresh(which(INFORMATIONAL, by=getattr(site, answers), holds=ACK))
    numbers = [dpd_sequence(seen.message.notify(U_THERE)) for seen in probes]  # type: ignore[arg-type]
    assert len(numbers) == 3 and numbers == list(range(numbers[0], numbers[0] + 3)) and 0 < numbers[0] < 2**31
    assert [dpd_sequence(seen.message.notify(ACK)) for seen in acks] == numbers  # type: ignore[arg-type]
    for seen in (*probes, *acks):
        (notify,) = seen.message.all(Notify)
        assert notify.spi == seen.message.cookie_i + seen.message.cookie_r and seen.message.encrypted
        assert notify.protocol is ProtocolId.ISAKMP
    assert len({seen.message.message_id for seen in (*probes, *acks)}) == 6
    assert stands(site)


@pytest.mark.conformance("v1-33")
@BOTH
def test_old_sequence_numbers_are_not_answered(speaker: str) -> None:
    site, wire = watched_tunnel()
    says, _ = ends(site, speaker)
    impostor = Impostor(wire, says)

    def probe(number: int, spi: bytes = b"".join(impostor.cookies)) -> list[NotifyType]:
        return notifies(impostor.say([Notify(U_THERE, number.to_bytes(4, "big"), ProtocolId.ISAKMP, spi)]))

    assert probe(1000) == [ACK]
    assert probe(1001) == [ACK]
    assert probe(999) == [] and probe(0) == []
    assert probe(1002, b"of other cookies") == []
    assert probe(5000) == [ACK], "a peer may lose some"
    short = notifies(impostor.say([Notify(U_THERE, b"\0\0", ProtocolId.ISAKMP, b"".join(impostor.cookies))]))
    assert ACK not in short
    assert stands(site)


@pytest.mark.conformance("v1-33")
def test_an_ack_of_another_number_is_no_sign_of_life_by_itself() -> None:
    """An unproven ACK, and nothing else: moon goes on asking, and gives up in the end."""
    site, wire = watched_tunnel(moon={"dpd_delay": 10})
    impostor = Impostor(wire, site.sun)
    site.world.taps.append(lambda host, transmit: False)
    for _ in range(40):
        wait(site, 10)
        for number in (1, 2**30):
            ack = dpd_notify(ACK, *impostor.cookies, number)
            impostor.deliver(impostor.clear([ack], INFORMATIONAL, message_id=3))
            impostor.deliver(impostor.seal([ack], INFORMATIONAL, impostor.new_id()))
    assert bare(site.moon)


@pytest.mark.conformance("v1-33")
@pytest.mark.parametrize("action", [Action.NONE, Action.START])
@BOTH
def test_a_dead_peer_is_noticed_and_what_was_up_comes_back_if_wanted(speaker: str, action: Action) -> None:
    """R-U-THERE without an answer, again and again; then the SA and its children go."""
    site, wire = watched_tunnel(
        **{speaker: {"dpd_delay": 10, "keyingtries": 0}},
        moon_children=(child(dpd_action=action),),
        sun_children=(child(mirror=True, dpd_action=action),),
    )
    says, _ = ends(site, speaker)
    away = wire.hold(lambda seen: True)
    wait(site, 400)
    assert len(wire.fresh(which(INFORMATIONAL, by=says, holds=U_THERE))) >= 3
    assert not any(machine.sa.state is IkeState.ESTABLISHED for machine in says.machines) and not says.children
    away.stop()
    wait(site, 600)
    assert bool(says.children) is (action is Action.START)


@pytest.mark.conformance("v1-33")
def test_who_does_not_know_dpd_is_not_asked() -> None:
    """RFC 3706 §5.1: without the peer's vendor id nobody sends R-U-THERE."""
    site, wire = watched(moon={"dpd_delay": 10})

    def without(payloads: list[Payload]) -> list[Payload]:
        return [each for each in payloads if not (isinstance(each, Vendor) and each.vendor is VendorId.DPD)]

    rewrite(wire, lambda seen: seen.host is site.sun and bool(seen.message.all(Vendor)), without, times=None)
    site.up()
    wait(site, 300)
    assert not wire.all(which(INFORMATIONAL, holds=U_THERE)) and stands(site)


@pytest.mark.conformance("v1-33")
def test_traffic_is_proof_enough() -> None:
    """Packets come in: nobody asks (RFC 3706 §5.5)."""
    site, wire = watched_tunnel(moon={"dpd_delay": 10})
    for number in range(30):
        site.moon.kernel.usage = replace(site.moon.kernel.usage, bytes_in=number + 1)
        wait(site, 10)
    assert not wire.all(which(INFORMATIONAL))


def test_a_notify_of_no_meaning_is_nobodys_business() -> None:
    """Status and error notifies of any number, with any data, behind a good HASH."""
    site, wire = watched_tunnel()
    for speaker in ("moon", "sun"):
        impostor = Impostor(wire, ends(site, speaker)[0])
        for number in (0, 1, 14, 31, 8192, 16383, 16385, 24577, 32768, 40501, 65535):
            impostor.say(
                [Notify(NotifyType(number), b"data"), Notify(NotifyType(number), b"", ProtocolId.ESP, b"abcd")]
            )
    assert chain_of([])[0] == 0 and stands(site)
