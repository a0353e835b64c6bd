"""Both ends at once: rekeyings and deletes of the same things, in every order (RFC 7296 §2.8.1, §2.8.2, §2.25)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ikectl.iana.v2 import NotifyType, Protocol
from ikectl.sa.association import IkeState
from ikectl.wire.v2.keying import Nonce
from ikectl.wire.v2.notify import Delete
from ikectl.wire.v2.sa import SA
from tests.scenarios.stage import (
    CREATE_CHILD_SA,
    INFORMATIONAL,
    bare,
    end,
    loses,
    notifies,
    other,
    sa_of,
    stands,
    tunnel,
    wait,
)
from tests.sim.host import Host
from tests.sim.site import Site, child
from tests.sim.wiretap import Wiretap, which

LAN = {"local": "10.7.0.0/16", "remote": "10.8.0.0/16"}
ENDS = ["moon", "sun"]
LOST = ["nothing", "loser's request", "winner's request", "loser's answer", "winner's answer"]


def pair() -> tuple[Site, Wiretap]:
    """A tunnel with a second child configured."""
    return tunnel(
        moon_children=(child(), child("lan", **LAN)),
        sun_children=(child(mirror=True), child("lan", mirror=True, **LAN)),
    )


def spi(number: int) -> bytes:
    return number.to_bytes(4, "big")


def deletes(wire: Wiretap, host: Host, since: int) -> list[Delete]:
    """What the host asked to be deleted, repeats left out."""
    asked = {seen.octets: seen.message for seen in wire.all(which(by=host, response=False, holds=Delete), since=since)}
    return [message.one(Delete) for message in asked.values()]


# -- the same child ----------------------------------------------------------------


@pytest.mark.conformance("v2-89", "v2-88")
@pytest.mark.parametrize("loser", ENDS)
@pytest.mark.parametrize(
    "lost", ["nothing", "loser's request", "winner's request", "loser's answer", "winner's answer"]
)
def test_both_rekey_the_same_child(loser: str, lost: str) -> None:
    """Four nonces; who drew the lowest deletes the child it made, the other one the old child (§2.8.1)."""
    site, wire = tunnel()
    low = end(site, loser)
    high = other(site, low)
    loses(site, low)
    old = low.children[0]
    old_spis = {spi(old.spi_in), spi(old.spi_out)}
    if lost != "nothing":
        by = low if lost.startswith("loser") else high
        wire.hold(which(CREATE_CHILD_SA, by=by, response="answer" in lost), times=1)
    mark = len(wire.seen)
    tokens = [host.rekey(site.world.now, "site", "net") for host in (low, high)]
    wait(site, 60)
    assert [host.done[token].error for host, token in zip((low, high), tokens, strict=True)] == [None, None]
    assert stands(site) and len(low.kernel.inbound) == len(high.kernel.inbound) == 1
    site.world.settled()
    made = {
        message.host: message.message.one(SA).proposals[0].spi
        for message in wire.all(which(CREATE_CHILD_SA, holds=NotifyType.REKEY_SA), since=mark)
    }
    first = wire.all(which(CREATE_CHILD_SA), since=mark)[:2]
    if lost in ("nothing", "loser's answer", "winner's answer"):
        nonces = [seen.message.one(Nonce).value for seen in first]
        assert min(nonces) == next(s.message.one(Nonce).value for s in first if s.host is low), "as the test wants it"
        assert {spi(c.spi_in) for c in high.children} == {made[high]}, "the winner's child is left"
        named = [name for delete in deletes(wire, low, mark) for name in delete.spis]
        assert named == [made[low]]
        assert {name for delete in deletes(wire, high, mark) for name in delete.spis} <= old_spis


@pytest.mark.conformance("v2-89", "v2-91")
@pytest.mark.parametrize("slow", ENDS)
def test_a_rekeying_that_comes_after_the_other_one_is_done(slow: str) -> None:
    """One request is late: the child was rekeyed meanwhile. N(TEMPORARY_FAILURE) or CHILD_SA_NOT_FOUND; no second."""
    for release_after in (0.03, 0.5, 3.0):
        site, wire = tunnel()
        late = end(site, slow)
        held = wire.hold(which(CREATE_CHILD_SA, by=late, response=False), times=1)
        late.rekey(site.world.now, "site", "net")
        site.world.flush()
        other(site, late).rekey(site.world.now, "site", "net")
        wait(site, release_after)
        wire.release(held)
        wait(site, 120)
        assert stands(site)
        site.world.settled()
        answers = wire.messages(which(CREATE_CHILD_SA, by=other(site, late), response=True))
        if release_after > 1:
            assert notifies(answers[0]) in ([NotifyType.TEMPORARY_FAILURE], [NotifyType.CHILD_SA_NOT_FOUND])


@pytest.mark.conformance("v2-91")
@pytest.mark.parametrize("deleter", ENDS)
def test_a_child_is_rekeyed_while_it_is_deleted(deleter: str) -> None:
    """D(ESP) and N(REKEY_SA) cross: the rekeying gets N(TEMPORARY_FAILURE), the delete its pair (§2.25.1)."""
    site, wire = tunnel()
    host = end(site, deleter)
    peer = other(site, host)
    child_sa = host.children[0]
    host.terminate(site.world.now, "site", "net")
    peer.rekey(site.world.now, "site", "net")
    wait(site, 60)
    (refused,) = wire.messages(which(CREATE_CHILD_SA, by=host, response=True))
    assert notifies(refused) == [NotifyType.TEMPORARY_FAILURE]
    (paired,) = wire.messages(which(INFORMATIONAL, by=peer, response=True))
    assert paired.payloads == [Delete(Protocol.ESP, (spi(child_sa.spi_out),))]
    assert not host.children and not peer.children and not host.kernel.inbound and not peer.kernel.inbound
    site.world.settled()


@pytest.mark.conformance("v2-91", "v2-86")
@pytest.mark.parametrize("deleter", ENDS)
def test_a_rekeying_of_a_child_that_is_gone_already(deleter: str) -> None:
    """N(REKEY_SA) is late: D(ESP) was answered. N(CHILD_SA_NOT_FOUND), and it does not come back."""
    site, wire = tunnel()
    host = end(site, deleter)
    peer = other(site, host)
    held = wire.hold(which(CREATE_CHILD_SA, by=peer), times=1)
    peer.rekey(site.world.now, "site", "net")
    site.world.flush()
    host.terminate(site.world.now, "site", "net")
    wait(site, 1)
    wire.release(held)
    wait(site, 60)
    (refused,) = wire.messages(which(CREATE_CHILD_SA, by=host, response=True))
    assert notifies(refused) == [NotifyType.CHILD_SA_NOT_FOUND]
    assert not host.children and not peer.children
    site.world.settled()


@pytest.mark.conformance("v2-91")
@pytest.mark.parametrize("deleter", ENDS)
@pytest.mark.parametrize("lost", [True, False])
def test_a_delete_overtakes_the_answer_to_a_rekeying(deleter: str, lost: bool) -> None:
    """The rekeying is answered, and that answer lost or late; then the answerer deletes."""
    site, wire = tunnel()
    host = end(site, deleter)
    peer = other(site, host)
    held = wire.hold(which(CREATE_CHILD_SA, by=host, response=True), times=1)
    peer.rekey(site.world.now, "site", "net")
    wait(site, 0.1)
    host.terminate(site.world.now, "site", "net")
    wait(site, 0.5)
    if lost:
        held.stop()
    else:
        wire.release(held)
    wait(site, 120)
    assert len(host.children) == len(peer.children) and len(host.kernel.inbound) == len(peer.kernel.inbound)
    site.world.settled()


# -- the IKE SA ------------------------------------------------------------------------


@pytest.mark.conformance("v2-90")
@pytest.mark.parametrize("loser", ENDS)
@pytest.mark.parametrize(
    "lost", ["nothing", "loser's request", "winner's request", "loser's answer", "winner's answer"]
)
def test_both_rekey_the_ike_sa(loser: str, lost: str) -> None:
    """Four nonces again: children end up at the winner's SA, the loser deletes the one it made (§2.8.2)."""
    site, wire = tunnel()
    low = end(site, loser)
    high = other(site, low)
    loses(site, low)
    old = sa_of(low).spi_i, sa_of(low).spi_r
    children = {(c.spi_in, c.spi_out) for c in low.children}
    if lost != "nothing":
        by = low if lost.startswith("loser") else high
        wire.hold(which(CREATE_CHILD_SA, by=by, response="answer" in lost), times=1)
    mark = len(wire.seen)
    for host in (low, high):
        host.rekey(site.world.now, "site")
    wait(site, 400)
    assert stands(site) and {(c.spi_in, c.spi_out) for c in low.children} == children
    site.world.settled()
    new = sa_of(low)
    assert (new.spi_i, new.spi_r) != old and new.spi_r == sa_of(high).spi_r
    if lost == "nothing":
        asked = {s.host: s.message for s in wire.all(which(CREATE_CHILD_SA, response=False), since=mark)}
        assert min(m.one(Nonce).value for m in asked.values()) == asked[low].one(Nonce).value
        assert new.spi_i == asked[high].one(SA).proposals[0].spi, "the winner's SA is left"
        gone = {(seen.host, seen.message.spi_i) for seen in wire.all(which(holds=Delete, response=False), since=mark)}
        assert gone == {(high, old[0]), (low, asked[low].one(SA).proposals[0].spi)}


@pytest.mark.conformance("v2-90", "v2-91")
@pytest.mark.parametrize("slow", ENDS)
def test_an_ike_rekeying_that_comes_after_the_other_one_is_done(slow: str) -> None:
    """The old SA is replaced already: N(TEMPORARY_FAILURE), or silence once it is gone; one SA in the end."""
    for release_after in (0.03, 0.5, 3.0):
        site, wire = tunnel()
        late = end(site, slow)
        held = wire.hold(which(CREATE_CHILD_SA, by=late, response=False), times=1)
        late.rekey(site.world.now, "site")
        site.world.flush()
        other(site, late).rekey(site.world.now, "site")
        wait(site, release_after)
        wire.release(held)
        wait(site, 600)
        assert stands(site)
        site.world.settled()


ACTS: dict[str, Callable[[Host, float], int]] = {
    "creates a child": lambda host, now: host.initiate("site", "lan", now),
    "rekeys a child": lambda host, now: host.rekey(now, "site", "net"),
    "deletes a child": lambda host, now: host.terminate(now, "site", "net"),
}


@pytest.mark.conformance("v2-91", "v2-92")
@pytest.mark.parametrize("rekeyer", ENDS)
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("late", ["neither", "rekeying", "act"])
def test_the_ike_sa_is_rekeyed_while_the_other_end_is_at_work(rekeyer: str, act: str, late: str) -> None:
    """Each gets N(TEMPORARY_FAILURE) from the other, but deletes are obeyed; both succeed later (§2.25.2)."""
    site, wire = pair()
    host = end(site, rekeyer)
    peer = other(site, host)
    before = sa_of(host).spi_i
    by = {"neither": None, "rekeying": host, "act": peer}[late]
    held = None if by is None else wire.hold(which(by=by, response=False), times=1)
    tokens = {host: host.rekey(site.world.now, "site"), peer: ACTS[act](peer, site.world.now)}
    wait(site, 0.5)
    if held is not None:
        wire.release(held)
    wait(site, 300)
    for one, token in tokens.items():
        assert one.done[token].error is None, one.done[token].error
    assert sa_of(host).spi_i != before
    names = {"creates a child": ["lan", "net"], "rekeys a child": ["net"], "deletes a child": []}[act]
    assert sorted(c.name for c in host.children) == sorted(c.name for c in peer.children) == names
    site.world.settled()
    if late == "neither":
        refused = wire.messages(which(response=True, holds=NotifyType.TEMPORARY_FAILURE))
        assert len(refused) == 1 if act == "deletes a child" else len(refused) >= 2
        if act == "deletes a child":
            (answer,) = [m for m in wire.messages(which(INFORMATIONAL, by=host, response=True)) if m.payloads]
            assert answer.one(Delete).protocol is Protocol.ESP


@pytest.mark.conformance("v2-91", "v2-98", "v2-99")
@pytest.mark.parametrize("ender", ENDS)
@pytest.mark.parametrize("act", [*ACTS, "rekeys the IKE SA"])
@pytest.mark.parametrize("late", ["neither", "delete", "act", "answer"])
def test_the_ike_sa_is_deleted_while_the_other_end_is_at_work(ender: str, act: str, late: str) -> None:
    """D(IKE) wins over everything: the other end answers it and forgets its own request (§2.25.2)."""
    site, wire = pair()
    host = end(site, ender)
    peer = other(site, host)
    choice = {
        "delete": which(by=host, response=False),
        "act": which(by=peer, response=False),
        "answer": which(by=host, response=True),
    }.get(late)
    held = None if choice is None else wire.hold(choice, times=1)
    do = ACTS.get(act, lambda one, now: one.rekey(now, "site"))
    token = host.terminate(site.world.now)
    do(peer, site.world.now)
    wait(site, 0.5)
    if held is not None:
        wire.release(held)
    wait(site, 600)
    assert host.done[token].error is None
    if late != "delete":
        assert bare(host) and bare(peer)
    states = [machine.sa.state for machine in (*host.machines, *peer.machines)]
    assert all(state is IkeState.ESTABLISHED for state in states)
    site.world.settled()
