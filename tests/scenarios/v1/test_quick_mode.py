"""Quick mode: identities, message IDs, bundles, the commit bit and lost messages, at either end (RFC 2409 §5.5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ikectl.config.model import Child, Mode
from ikectl.crypto.kdf_v1 import phase2_iv
from ikectl.crypto.proposal import parse_proposal
from ikectl.iana.v1 import IdType, NotifyType
from ikectl.iana.v2 import Protocol
from ikectl.sa.child_sa import ChildState
from ikectl.sa.events import ChildUp, TsMismatch
from ikectl.values.selector import SelectorSpec
from ikectl.wire.header import HEADER_OCTETS
from ikectl.wire.v1.identity import ID
from ikectl.wire.v1.keying import KE, Hash, Nonce
from ikectl.wire.v1.message import FLAG_COMMIT
from ikectl.wire.v1.notify import Delete, Notify
from ikectl.wire.v1.payload import Payload
from ikectl.wire.v1.sa import SA
from tests.scenarios.v1.stage import is_up, notifies, rewrite, sa_of, stands, tunnel, wait, watched, watched_tunnel
from tests.sim.forge_v1 import Impostor, chain_of
from tests.sim.site import MOON, SUN, child
from tests.sim.wiretap_v1 import INFORMATIONAL, QUICK, TRANSACTION, which

CONNECTED = Notify(NotifyType.CONNECTED)


def asked(wire: Any, by: Any) -> list[Payload]:
    """What the host said in the first message of its first quick mode, HASH left out."""
    return [each for each in wire.messages(which(QUICK, by=by, holds=SA))[0].payloads if not isinstance(each, Hash)]


def again(payloads: list[Payload], spi: bytes = b"\xc1\x02\x03\x04", **other: Any) -> list[Payload]:
    """The same request for other SAs; `other` payloads by the names of their classes, None to leave them out."""
    found: list[Payload] = []
    for each in payloads:
        if isinstance(each, SA):
            each = SA(tuple(proposal._replace(spi=spi) for proposal in each.proposals))
        found.append(each)
    return [each for each in found if other.get(type(each).__name__, each) is not None]


# -- message IDs ----------------------------------------------------------------------


@pytest.mark.conformance("v1-21")
@pytest.mark.parametrize("exchange", [QUICK, INFORMATIONAL, TRANSACTION])
def test_message_id_0_is_nobodys_after_phase_1(exchange: Any) -> None:
    site, wire = watched_tunnel()
    impostor = Impostor(wire, site.moon)
    assert impostor.say(asked(wire, site.moon), exchange, 0) == []
    assert stands(site)


@pytest.mark.conformance("v1-21", "v1-30")
def test_a_message_id_serves_once() -> None:
    """Message 1 again, as it was and with other contents: no second child, nothing but the old answer, if that."""
    site, wire = watched_tunnel()
    first = wire.all(which(QUICK, by=site.moon, holds=SA))[0]
    wait(site, 100)
    impostor = Impostor(wire, site.moon)
    assert impostor.deliver(first.octets) == [], "what is over for a minute is forgotten, but its number is not"
    other = impostor.quick(again(asked(wire, site.moon)), first.message.message_id)
    assert other.answer is None
    probe = impostor.say([Notify(NotifyType.REPLAY_STATUS)], message_id=first.message.message_id)
    assert probe == []
    assert stands(site) and not site.sun.kernel.larval


@pytest.mark.conformance("v1-21")
@pytest.mark.parametrize("fault", ["wrong", "none", "second", "short", "clear"])
@pytest.mark.parametrize("speaker", ["moon", "sun"])
def test_message_1_counts_only_with_its_hash(speaker: str, fault: str) -> None:
    site, wire = watched_tunnel()
    host, target = (site.moon, site.sun) if speaker == "moon" else (site.sun, site.moon)
    impostor = Impostor(wire, host)
    payloads = again(asked(wire, site.moon))
    if speaker == "sun":
        payloads = [*payloads[:2], *reversed(payloads[2:])]
    if fault == "clear":
        seen = impostor.deliver(impostor.clear(impostor.hashed(payloads, 77), QUICK, message_id=77))
    else:
        proof = {"wrong": [Hash(bytes(32))], "none": [], "short": [Hash(b"")]}.get(fault)
        behind = [payloads[0], Hash(bytes(32)), *payloads[1:]] if proof is None else [*proof, *payloads]
        seen = impostor.say(behind, QUICK, 77, prove=False)
        impostor.unsay(77)
    assert seen == [] and len(target.children) == 1 and not target.kernel.larval
    assert impostor.quick(payloads, 77).answer is not None, "the number did not serve yet"


@pytest.mark.conformance("v1-21")
@pytest.mark.parametrize("place", [2, 3])
def test_messages_2_and_3_count_only_with_their_hashes(place: int) -> None:
    """A wrong HASH(2) or HASH(3) is not heard; the right message, which is repeated, is."""
    site, wire = watched()
    by = site.sun if place == 2 else site.moon

    def wrong(seen: Any) -> bytes:
        suite, keys = wire.keys_of((seen.message.cookie_i, seen.message.cookie_r))
        octets = chain_of([Hash(bytes(32)), *seen.message.payloads[1:]])[1]
        octets += bytes(-len(octets) % suite.block_octets)
        return bytes(seen.octets[:HEADER_OCTETS]) + suite.encrypt(keys.cipher_key, seen.iv, octets)

    choice = which(QUICK, by=by, place=1 if place == 2 else 3)
    forged: list[bytes] = []

    def inject(seen: Any) -> bool:
        if choice(seen) and not forged:
            forged.append(wrong(seen))
            path = seen.transmit.path
            site.world.at(site.world.now + 0.001, lambda: site.world.deliver(forged[0], path.local, path.remote))
        return False

    wire.hold(inject)
    site.up()
    assert forged and stands(site)


# -- client identities --------------------------------------------------------------------


def hosts(mode: Mode = Mode.TRANSPORT, **more: Any) -> dict[str, Any]:
    """A child between the very ends, at both of them."""
    dynamic = (SelectorSpec.parse("dynamic"),)
    made = replace(child(mode=mode, **more), local_ts=dynamic, remote_ts=dynamic)
    return {"moon_children": (made,), "sun_children": (made,)}


@pytest.mark.conformance("v1-22")
def test_without_client_identities_it_is_the_hosts_themselves() -> None:
    """HASH(1), SA, Ni --> <-- HASH(2), SA, Nr: no IDs either way; the selectors are the addresses of the ends."""
    site, wire = watched_tunnel(**hosts())
    first, second, _ = wire.messages(which(QUICK))
    assert not first.all(ID) and not second.all(ID)
    (ours,) = site.moon.children
    assert str(ours.ts_local[0]) == f"{MOON}/32" and str(ours.ts_remote[0]) == f"{SUN}/32"
    assert site.sun.children[0].ts_local == ours.ts_remote


@pytest.mark.conformance("v1-22")
def test_a_tunnel_without_client_identities_is_answered_too() -> None:
    site, wire = watched_tunnel(**hosts(Mode.TUNNEL))
    impostor = Impostor(wire, site.moon)
    quick = impostor.quick(again(asked(wire, site.moon), ID=None))
    assert quick.answer is not None and not quick.answer.all(ID)
    assert str(site.sun.children[-1].ts_remote[0]) == f"{MOON}/32"


SAME = {
    "subnet": ID(IdType.IPV4_ADDR_SUBNET, 0, 0, bytes((10, 1, 0, 0, 255, 255, 0, 0))),
    "subnet with bits beyond its mask": ID(IdType.IPV4_ADDR_SUBNET, 0, 0, bytes((10, 1, 2, 3, 255, 255, 0, 0))),
    "range": ID(IdType.IPV4_ADDR_RANGE, 0, 0, bytes((10, 1, 0, 0, 10, 1, 255, 255))),
    "smaller range": ID(IdType.IPV4_ADDR_RANGE, 0, 0, bytes((10, 1, 0, 0, 10, 1, 255, 254))),
    "one address": ID(IdType.IPV4_ADDR, 0, 0, bytes((10, 1, 9, 9))),
    "one port": ID(IdType.IPV4_ADDR_SUBNET, 6, 80, bytes((10, 1, 0, 0, 255, 255, 0, 0))),
}


@pytest.mark.conformance("v1-22")
@pytest.mark.parametrize("said", SAME)
def test_identities_come_back_octet_by_octet(said: str) -> None:
    """However the initiator wrote them, IDci and IDcr are echoed (RFC 2409 §5.5)."""
    site, wire = watched_tunnel()
    ids = [SAME[said], asked(wire, site.moon)[-1]]
    quick = Impostor(wire, site.moon).quick([*again(asked(wire, site.moon))[:2], *ids])
    assert quick.answer is not None
    assert [quick.answer.body_of(each) for each in quick.answer.all(ID)] == [each.body() for each in ids]


FOREIGN: dict[str, list[ID]] = {
    "another network": [ID(IdType.IPV4_ADDR_SUBNET, 0, 0, bytes((10, 9, 0, 0, 255, 255, 0, 0)))],
    "more than is ours to give": [ID(IdType.IPV4_ADDR_SUBNET, 0, 0, bytes((10, 0, 0, 0, 255, 0, 0, 0)))],
    "a mask with holes": [ID(IdType.IPV4_ADDR_SUBNET, 0, 0, bytes((10, 1, 0, 0, 255, 0, 255, 0)))],
    "a range backwards": [ID(IdType.IPV4_ADDR_RANGE, 0, 0, bytes((10, 1, 9, 0, 10, 1, 0, 0)))],
    "a name": [ID(IdType.FQDN, 0, 0, b"moon.example.org")],
    "an address cut short": [ID(IdType.IPV4_ADDR, 0, 0, bytes((10, 1, 9)))],
    "only one": [],
    "three": [SAME["subnet"], SAME["subnet"]],
}


@pytest.mark.conformance("v1-22", "v1-27")
@pytest.mark.parametrize("said", FOREIGN)
def test_identities_that_do_not_fit_are_refused(said: str) -> None:
    """<-- HASH, N(INVALID-ID-INFORMATION), or N(PAYLOAD-MALFORMED) for what is none; nothing else changes."""
    site, wire = watched_tunnel()
    ids = [*FOREIGN[said], asked(wire, site.moon)[-1]]
    quick = Impostor(wire, site.moon).quick([*again(asked(wire, site.moon))[:2], *ids])
    assert quick.answer is None and stands(site) and not site.sun.kernel.larval
    fitting = said in ("another network", "more than is ours to give")
    expected = NotifyType.INVALID_ID_INFORMATION if fitting else NotifyType.PAYLOAD_MALFORMED
    assert notifies(quick.seen) == [expected] and quick.seen[0].message.encrypted
    assert bool(site.sun.saw(TsMismatch)) is fitting


@pytest.mark.conformance("v1-22")
@pytest.mark.parametrize(
    "how",
    {
        "swapped": lambda ids: ids[::-1],
        "narrowed": lambda ids: [SAME["one address"], ids[1]],
        "widened": lambda ids: [ID(IdType.IPV4_ADDR_SUBNET, 0, 0, bytes(8)), ids[1]],
        "left out": lambda ids: [],
        "one left out": lambda ids: ids[:1],
        "with a port": lambda ids: [SAME["one port"], ids[1]],
    }.items(),
    ids=lambda each: each[0],
)
def test_other_identities_in_the_answer_make_no_child(how: Any) -> None:
    """moon does not take what it did not ask for, and tells sun so by a delete of the SPIs it had named."""
    site, wire = watched()

    def bent(payloads: list[Payload]) -> list[Payload]:
        ids = [each for each in payloads if isinstance(each, ID)]
        return [*(each for each in payloads if not isinstance(each, ID)), *how[1](ids)]

    rewrite(wire, which(QUICK, by=site.sun, holds=SA), bent)
    token = site.up()
    assert site.moon.done[token].error
    assert not site.moon.children and not site.moon.kernel.larval and is_up(site.moon)
    told = wire.fresh(which(INFORMATIONAL, by=site.moon))
    assert told and told[0].message.all(Delete)
    wait(site, 200)
    assert not site.sun.children


# -- PFS ----------------------------------------------------------------------------------


@pytest.mark.conformance("v1-23")
@pytest.mark.parametrize("fault", ["KE without a group", "group without KE", "KE of another group"])
@pytest.mark.parametrize("role", ["responder", "initiator"])
def test_a_key_exchange_goes_with_its_group_or_not_at_all(role: str, fault: str) -> None:
    words = "aes128gcm16" if fault == "KE without a group" else "aes128gcm16-ecp256"
    children = {"moon_children": (child(esp=words),), "sun_children": (child(esp=words, mirror=True),)}

    def bent(payloads: list[Payload]) -> list[Payload]:
        if fault == "KE without a group":
            return [*payloads[:2], KE(bytes(64)), *payloads[2:]]
        if fault == "group without KE":
            return [each for each in payloads if not isinstance(each, KE)]
        return [KE(bytes(96)) if isinstance(each, KE) else each for each in payloads]

    site, wire = watched(**children)
    by = site.moon if role == "responder" else site.sun
    rewrite(wire, which(QUICK, by=by, holds=SA), bent, times=None)
    site.moon.initiate("site", "net", 0.0)
    wait(site, 1)
    target = site.sun if role == "responder" else site.moon
    assert not target.children and not target.kernel.larval and is_up(target)


# -- bundles --------------------------------------------------------------------------------


def bundled(*, ah: bool = False, ipcomp: bool = False, mirror: bool = False) -> Child:
    return child(
        mirror=mirror,
        esp="aes128-sha256",
        ah_proposals=(parse_proposal("sha256", Protocol.AH),) if ah else (),
        bundle=ah,
        ipcomp=ipcomp,
    )


@pytest.mark.conformance("v1-26")
@pytest.mark.parametrize("parts", [{"ah": True}, {"ipcomp": True}, {"ah": True, "ipcomp": True}], ids=str)
@pytest.mark.parametrize("caller", ["moon", "sun"])
def test_bundles_have_one_number_and_stand_or_fall_together(caller: str, parts: dict[str, bool]) -> None:
    """Proposals of AH, ESP and IPComp under number 1 --> <-- all of them: several SAs each way make one child."""
    site, wire = watched(moon_children=(bundled(**parts),), sun_children=(bundled(mirror=True, **parts),))
    end = site.moon if caller == "moon" else site.sun
    token = end.initiate("site", "net", 0.0)
    site.world.run_until(lambda: token in end.done)
    wait(site, 1)
    assert end.done[token].error is None and stands(site)
    count = 1 + sum(parts.values())
    first, second, _ = wire.messages(which(QUICK))
    for message in (first, second):
        proposals = message.one(SA).proposals
        assert len({each.number for each in proposals[:count]}) == 1
        assert len({each.protocol for each in proposals[:count]}) == count
        assert {len(each.spi) for each in proposals[:count]} <= {2, 4}
    assert len(second.one(SA).proposals) == count
    for host in (site.moon, site.sun):
        assert len(host.kernel.inbound) == len(host.kernel.outbound) == count
        assert not host.kernel.larval
    end.terminate(site.world.now, "site", "net")
    wait(site, 2)
    assert not site.moon.kernel.inbound and not site.sun.kernel.inbound


@pytest.mark.conformance("v1-26")
@pytest.mark.parametrize("role", ["responder", "initiator"])
def test_half_a_bundle_is_not_taken(role: str) -> None:
    """ESP alone where AH and ESP were agreed on: refused at either end."""

    def bent(payloads: list[Payload]) -> list[Payload]:
        return [SA(each.proposals[1:]) if isinstance(each, SA) else each for each in payloads]

    site, wire = watched(moon_children=(bundled(ah=True),), sun_children=(bundled(ah=True, mirror=True),))
    by = site.moon if role == "responder" else site.sun
    rewrite(wire, which(QUICK, by=by, holds=SA), bent, times=None)
    site.moon.initiate("site", "net", 0.0)
    wait(site, 1)
    target = site.sun if role == "responder" else site.moon
    assert not target.children and not target.kernel.larval and is_up(target)


# -- lost messages and the commit bit -----------------------------------------------------------


@pytest.mark.conformance("v1-25", "v1-30")
def test_message_2_is_said_again_when_message_1_comes_again() -> None:
    """Message 2 is lost: moon repeats 1, sun repeats 2 bit by bit; one child, no SPI drawn twice."""
    site, wire = watched()
    wire.hold(which(QUICK, by=site.sun), times=1)
    site.up()
    assert stands(site)
    ones, twos = (wire.all(which(QUICK, by=host, place=1)) for host in (site.moon, site.sun))
    assert len({seen.octets for seen in ones}) == len({seen.octets for seen in twos}) == 1 and len(twos) == 2
    assert not site.sun.kernel.larval


@pytest.mark.conformance("v1-25")
@pytest.mark.parametrize("times", [1, 2, 4])
def test_a_lost_third_message_is_asked_for(times: int) -> None:
    """Message 3 is lost: sun cannot send yet, says 2 again by time, and moon's 3 comes again; nothing is lost twice."""
    site, wire = watched()
    wire.hold(which(QUICK, by=site.moon, place=3), times=times)
    token = site.moon.initiate("site", "net", 0.0)
    wait(site, 1)
    assert site.moon.done[token].error is None and site.world.carries(site.moon, site.sun)
    assert not site.sun.kernel.outbound and not site.sun.saw(ChildUp)
    wait(site, 100)
    assert stands(site)
    threes = wire.all(which(QUICK, by=site.moon, place=3))
    assert len(threes) == times + 1 and len({seen.octets for seen in threes}) == 1


@pytest.mark.conformance("v1-25")
def test_without_any_third_message_the_responder_lets_go() -> None:
    site, wire = watched()
    lost = wire.hold(which(QUICK, by=site.moon, place=3))
    site.moon.initiate("site", "net", 0.0)
    wait(site, 400)
    assert lost.caught and not site.sun.children and not site.sun.kernel.inbound and is_up(site.sun)


@pytest.mark.conformance("v1-25")
def test_an_initiator_with_the_commit_bit_hears_connected() -> None:
    """HASH(1), SA with the commit bit --> <-- 2; 3 --> <-- HASH, N(CONNECTED) under the same message ID."""
    site, wire = watched_tunnel()
    quick = Impostor(wire, site.moon).quick(again(asked(wire, site.moon)), flags=FLAG_COMMIT)
    assert quick.answer is not None
    (fourth,) = quick.confirm(flags=FLAG_COMMIT)
    assert fourth.message.message_id == quick.message_id and fourth.message.exchange is QUICK
    assert notifies(fourth.message) == [NotifyType.CONNECTED]
    third = next(seen for seen in wire.seen if seen is fourth)
    assert third.message.payloads[0] and isinstance(third.message.payloads[0], Hash)


@pytest.mark.conformance("v1-25")
def test_connected_is_said_again_when_message_3_comes_again() -> None:
    site, wire = watched_tunnel()
    impostor = Impostor(wire, site.moon)
    quick = impostor.quick(again(asked(wire, site.moon)), flags=FLAG_COMMIT)
    assert quick.answer is not None
    start = wire.iv(impostor.cookies, quick.message_id)
    nonces = quick.nonce, quick.answer.one(Nonce).value
    octets = impostor.seal(impostor.hashed((0, b""), quick.message_id, nonces), QUICK, quick.message_id, iv=start)
    impostor.spoke(quick.message_id, octets)
    (fourth,) = impostor.deliver(octets)
    (repeat,) = impostor.deliver(octets)
    assert repeat.octets == fourth.octets and repeat.repeated


@pytest.mark.conformance("v1-25")
def test_an_initiator_waits_for_connected_where_the_responder_set_the_commit_bit() -> None:
    """<-- 2 with the commit bit; 3 -->: moon receives already and does not send until <-- N(CONNECTED)."""
    site, wire = watched()
    rewrite(wire, which(QUICK, by=site.sun, holds=SA), lambda payloads: payloads, flags=FLAG_COMMIT, times=None)
    token = site.moon.initiate("site", "net", 0.0)
    wait(site, 1)
    assert site.moon.kernel.inbound and not site.moon.kernel.outbound and token not in site.moon.done
    number = wire.seen[-1].message.message_id
    sun = Impostor(wire, site.sun)
    sun.say([Notify(NotifyType.REPLAY_STATUS)], QUICK, number, flags=FLAG_COMMIT)
    assert not site.moon.kernel.outbound, "that is not it"
    sun.unsay(number)
    sun.say([CONNECTED], QUICK, number, flags=FLAG_COMMIT)
    wait(site, 1)
    assert site.moon.done[token].error is None and stands(site)


@pytest.mark.conformance("v1-25")
def test_connected_may_come_in_an_informational_exchange() -> None:
    """RFC 2408 §3.1 wants it there, under quick mode's message ID: with the first IV of that ID, and its HASH."""
    site, wire = watched()
    rewrite(wire, which(QUICK, by=site.sun, holds=SA), lambda payloads: payloads, flags=FLAG_COMMIT, times=None)
    site.moon.initiate("site", "net", 0.0)
    wait(site, 1)
    number = wire.seen[-1].message.message_id
    sun = Impostor(wire, site.sun)
    assert sun.suite is not None
    first = phase2_iv(sun.suite, sa_of(site.sun).last_block, number)
    sun.say([CONNECTED], INFORMATIONAL, number, iv=b"\1" * 16)
    sun.say([Hash(bytes(32)), CONNECTED], INFORMATIONAL, number, iv=first, prove=False)
    assert not site.moon.kernel.outbound
    sun.say([CONNECTED], INFORMATIONAL, number, iv=first)
    wait(site, 1)
    assert stands(site)


# -- in parallel ------------------------------------------------------------------------------------


def test_several_quick_modes_go_on_at_once() -> None:
    """Six children asked for at one instant: their messages cross under message IDs of their own."""
    names = [f"c{number}" for number in range(6)]
    ours = tuple(child(name, local=f"10.{number + 10}.0.0/16") for number, name in enumerate(names))
    theirs = tuple(child(name, mirror=True, local=f"10.{number + 10}.0.0/16") for number, name in enumerate(names))
    site = tunnel(moon_children=(child(), *ours), sun_children=(child(mirror=True), *theirs))
    tokens = [site.moon.initiate("site", name, site.world.now) for name in names]
    wait(site, 2)
    assert [site.moon.done[token].error for token in tokens] == [None] * 6
    assert len(site.moon.children) == len(site.sun.children) == 7
    assert site.world.carries(site.moon, site.sun) and site.world.carries(site.sun, site.moon)
    site.world.settled()


def test_both_ends_ask_for_the_same_child_at_once() -> None:
    """Two quick modes cross: two pairs of SAs, packets pass either way, and one of them is renewed in the end."""
    site, _ = watched_tunnel()
    for host in (site.moon, site.sun):
        host.rekey(site.world.now, "site", "net")
    wait(site, 300)
    assert site.world.carries(site.moon, site.sun) and site.world.carries(site.sun, site.moon)
    assert {c.state for c in (*site.moon.children, *site.sun.children)} == {ChildState.INSTALLED}
    assert {(c.spi_in, c.spi_out) for c in site.moon.children} == {(c.spi_out, c.spi_in) for c in site.sun.children}
    assert sa_of(site.moon).spi_i == sa_of(site.sun).spi_i
