"""Deletes of children and of IKE SAs (RFC 7296 §1.4.1, §2.25, §3.11)."""

from __future__ import annotations

import pytest

from ikectl.iana.v2 import NotifyType, Protocol
from ikectl.wire.v2.keying import Nonce
from ikectl.wire.v2.notify import Delete
from tests.scenarios.stage import (
    CREATE_CHILD_SA,
    IKE_AUTH,
    INFORMATIONAL,
    bare,
    notifies,
    stands,
    tunnel,
    wait,
)
from tests.sim.forge import Impostor
from tests.sim.site import child
from tests.sim.wiretap import which


def spi(number: int) -> bytes:
    return number.to_bytes(4, "big")


@pytest.mark.conformance("v2-95")
@pytest.mark.parametrize("who", ["moon", "sun"])
def test_a_child_is_deleted_in_both_directions(who: str) -> None:
    """HDR, SK {D(ESP, our inbound SPI)} -->  <-- HDR, SK {D(ESP, its inbound SPI)}; the IKE SA stays."""
    site, wire = tunnel()
    host, peer = (site.moon, site.sun) if who == "moon" else (site.sun, site.moon)
    child_sa = host.children[0]
    token = host.terminate(site.world.now, "site", "net")
    wait(site, 5)
    asked, answered = wire.messages()[-2:]
    assert asked.payloads == [Delete(Protocol.ESP, (spi(child_sa.spi_in),))]
    assert answered.payloads == [Delete(Protocol.ESP, (spi(child_sa.spi_out),))]
    assert host.done[token].error is None
    for end in (host, peer):
        assert not end.kernel.inbound and not end.kernel.outbound and len(end.machines) == 1
    site.world.settled()


@pytest.mark.conformance("v2-95")
@pytest.mark.parametrize(
    "payloads", [[], [Delete(Protocol.ESP, (b"\1\2\3\4",))], [Delete(Protocol.AH, (b"\1\2\3\4",))]]
)
def test_a_half_closed_pair_is_never_kept(payloads: list[Delete]) -> None:
    """<-- HDR, SK {} or with other SPIs: both directions go nevertheless."""
    site, wire = tunnel()
    wire.hold(which(by=site.moon))
    impostor = Impostor(wire, site.sun)
    site.moon.terminate(site.world.now, "site", "net")
    site.world.flush()
    impostor.respond(wire.seen[-1], payloads)
    assert not site.moon.kernel.inbound and not site.moon.kernel.outbound and not site.moon.children


@pytest.mark.conformance("v2-96")
@pytest.mark.parametrize("victim", ["moon", "sun"])
def test_a_delete_of_what_is_not_there(victim: str) -> None:
    """HDR, SK {D(ESP, unknown)}, D(AH, known as ESP), D of our own inbound SPI -->  <-- HDR, SK {}"""
    site, wire = tunnel()
    peer = site.sun if victim == "moon" else site.moon
    impostor = Impostor(wire, peer)
    known, reverse = spi(peer.children[0].spi_in), spi(peer.children[0].spi_out)
    for delete in (
        Delete(Protocol.ESP, (b"\xde\xad\xbe\xef",)),
        Delete(Protocol.AH, (known,)),
        Delete(Protocol.ESP, (reverse,)),
        Delete(Protocol.ESP, ()),
    ):
        answer = impostor.request(INFORMATIONAL, [delete])
        assert answer is not None and answer.payloads == []
    assert stands(site)
    answer = impostor.request(INFORMATIONAL, [Delete(Protocol.ESP, (b"\xde\xad\xbe\xef", known, known))])
    assert answer is not None and answer.payloads == [Delete(Protocol.ESP, (reverse,))], "once, and the known one alone"


@pytest.mark.conformance("v2-97")
def test_both_delete_the_same_child_at_once() -> None:
    """Crossing D(ESP): both answers are empty; outbound goes with the request, inbound with the answer (§1.4.1)."""
    site, wire = tunnel()
    mark = len(wire.seen)
    tokens = [host.terminate(site.world.now, "site", "net") for host in (site.moon, site.sun)]
    answers = wire.hold(which(INFORMATIONAL, response=True))
    site.world.run(site.world.now + 0.1)
    for host in (site.moon, site.sun):
        assert not host.kernel.outbound and len(host.kernel.inbound) == 1
    assert [seen.message.payloads for seen in answers.caught] == [[], []]
    wire.release(answers)
    wait(site, 5)
    assert len(wire.seen) == mark + 4
    assert [host.done[token].error for host, token in zip((site.moon, site.sun), tokens, strict=True)] == [None, None]
    for host in (site.moon, site.sun):
        assert not host.kernel.inbound and len(host.machines) == 1
    site.world.settled()


@pytest.mark.conformance("v2-98")
@pytest.mark.parametrize("who", ["moon", "sun"])
def test_an_ike_sa_goes_with_all_its_children(who: str) -> None:
    """HDR, SK {D(IKE, SPI size 0, none)} -->  <-- HDR, SK {}; no deletes of children."""
    lan = {"local": "10.7.0.0/16", "remote": "10.8.0.0/16"}
    site, wire = tunnel(
        moon_children=(child(), child("lan", **lan)),
        sun_children=(child(mirror=True), child("lan", mirror=True, **lan)),
    )
    site.moon.initiate("site", "lan", site.world.now)
    wait(site, 5)
    host = site.moon if who == "moon" else site.sun
    mark = len(wire.seen)
    token = host.terminate(site.world.now)
    wait(site, 5)
    asked, answered = wire.messages(since=mark)
    assert asked.one(Delete).body() == b"\x01\x00\x00\x00" and len(asked.payloads) == 1 and answered.payloads == []
    assert host.done[token].error is None and bare(site.moon) and bare(site.sun)


@pytest.mark.conformance("v2-98")
def test_the_answer_to_the_last_delete_is_repeated() -> None:
    """The answer to D(IKE) is lost: the request comes again, and gets the same answer, though the SA is gone."""
    site, wire = tunnel()
    wire.hold(which(INFORMATIONAL, response=True), times=1)
    token = site.moon.terminate(site.world.now)
    wait(site, 20)
    answers = wire.all(which(INFORMATIONAL, by=site.sun))
    assert len(answers) == 2 and answers[0].octets == answers[1].octets
    assert site.moon.done[token].error is None and bare(site.moon) and bare(site.sun)


@pytest.mark.conformance("v2-98", "v2-91")
def test_both_delete_the_ike_sa_at_once() -> None:
    """Crossing D(IKE): both answer as usual, forget their own, and both commands succeeded (§2.25.2)."""
    site, wire = tunnel()
    mark = len(wire.seen)
    tokens = [host.terminate(site.world.now) for host in (site.moon, site.sun)]
    wait(site, 60)
    assert [host.done[token].error for host, token in zip((site.moon, site.sun), tokens, strict=True)] == [None, None]
    assert all(not message.payloads for message in wire.messages(which(response=True), since=mark))
    assert bare(site.moon) and bare(site.sun)


@pytest.mark.conformance("v2-99", "v2-91")
@pytest.mark.parametrize("who", ["moon", "sun"])
def test_after_a_delete_of_the_ike_sa_nothing_new_is_made(who: str) -> None:
    """D(IKE) is under way; a late CREATE_CHILD_SA of the peer gets N(TEMPORARY_FAILURE), liveness an answer."""
    site, wire = tunnel()
    host, peer = (site.moon, site.sun) if who == "moon" else (site.sun, site.moon)
    first = wire.messages(which(IKE_AUTH, by=site.moon))[0].payloads[-4:-1]
    wire.hold(which(by=host, response=False))
    impostor = Impostor(wire, peer)
    host.terminate(site.world.now)
    site.world.flush()
    answer = impostor.request(CREATE_CHILD_SA, [first[0], Nonce(bytes(32)), *first[1:]])
    assert notifies(answer) == [NotifyType.TEMPORARY_FAILURE]
    assert len(host.children) == 1
    assert impostor.request(INFORMATIONAL, []) is not None
    wait(site, 600)
    assert bare(host)


@pytest.mark.conformance("v2-98")
def test_a_deleted_sa_does_not_come_back() -> None:
    """A replay of every message of its life to both ends: silence, or "not here"."""
    site, wire = tunnel()
    site.moon.rekey(site.world.now, "site", "net")
    wait(site, 5)
    site.moon.terminate(site.world.now)
    wait(site, 100)
    assert bare(site.moon) and bare(site.sun)
    for seen in [seen for seen in wire.seen if seen.message.message_id]:
        wire.arrive(seen)
        wait(site, 2)
    assert bare(site.moon) and bare(site.sun)
