"""Lost, doubled, late and repeated messages of every exchange (RFC 2408 §5.1)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from ikectl.engine.outside import Transmit
from ikectl.engine.v1.conversation import MAX_REPEATS
from ikectl.sa.association import IkeState
from ikectl.sa.env import Settings
from tests.scenarios.v1.stage import (
    AGGRESSIVE_PSK,
    bare,
    caller,
    calls,
    gateways,
    is_up,
    stands,
    wait,
    watched,
    watched_tunnel,
)
from tests.sim.forge_v1 import Peer
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.site import Site
from tests.sim.wiretap_v1 import AGGRESSIVE, MAIN, QUICK, which

MODES = {"main": {}, "aggressive": AGGRESSIVE_PSK}  # type: dict[str, dict[str, Any]]
IN_MODES = pytest.mark.parametrize("mode", MODES)


# -- repeats -------------------------------------------------------------------------


@pytest.mark.conformance("v1-30")
@IN_MODES
def test_an_unanswered_first_message_is_repeated_and_given_up(mode: str) -> None:
    """SA --> again and again, bit for bit, each wait longer; then nothing is left."""
    site, wire = watched(both=MODES[mode])
    wire.hold(which(by=site.sun))
    token = site.moon.initiate("site", "net", 0.0)
    wait(site, 600)
    sent = wire.all(which(by=site.moon))
    assert len(sent) == 1 + Settings().retransmit_tries and len({seen.octets for seen in sent}) == 1
    gaps = [later.at - earlier.at for earlier, later in pairwise(sent)]
    assert all(1.4 < long / short < 2.2 for short, long in pairwise(gaps)), gaps
    assert "does not answer" in str(site.moon.done[token].error) and bare(site.moon) and bare(site.sun)


@pytest.mark.conformance("v1-30")
def test_the_responder_of_main_mode_says_nothing_twice_by_itself() -> None:
    """Whoever began repeats; an address that may be forged gets one answer to one message."""
    site, wire = watched()
    caller(wire, site).main_1()
    wait(site, 29)
    assert len(wire.seen) == 1
    wait(site, 10)
    assert bare(site.sun)


@pytest.mark.conformance("v1-30")
@pytest.mark.parametrize("step", [1, 3, 5])
def test_a_repeated_message_of_main_mode_gets_the_same_answer(step: int) -> None:
    """1, 3 or 5 comes again, at once and later: 2, 4 or 6 again, bit for bit; no second SA, and not without end."""
    site, wire = watched()
    peer = caller(wire, site)
    octets = dict(zip((1, 3, 5), _main_by_hand(peer, step), strict=False))[step]
    (answer,) = wire.seen[-1:]
    for _ in range(MAX_REPEATS):
        (again,) = peer.deliver(octets)
        assert again.octets == answer.octets
    assert peer.deliver(octets) == [] and len(site.sun.machines) == 1


def _main_by_hand(peer: Peer, last: int) -> list[bytes]:
    """Main mode up to our message `last`; the octets of ours so far."""
    said: list[bytes] = []
    deliver = peer.deliver

    def listen(octets: bytes) -> Any:
        said.append(octets)
        return deliver(octets)

    peer.deliver = listen  # type: ignore[method-assign]
    for step in (peer.main_1, peer.main_3, peer.main_5)[: (last + 1) // 2]:
        step()
    peer.deliver = deliver  # type: ignore[method-assign]
    return said


@pytest.mark.conformance("v1-30")
def test_an_older_message_of_phase_1_gets_no_answer() -> None:
    """1 again after 3, and 3 again after 5: what is behind is behind."""
    site, wire = watched()
    peer = caller(wire, site)
    first, third, _ = _main_by_hand(peer, 5)
    assert is_up(site.sun)
    assert peer.deliver(third) == []
    for seen in peer.deliver(first):
        assert seen.message.cookie_r != peer.cookie_r, "at most another half-open SA"
    assert is_up(site.sun) or len(site.sun.machines) == 2


@pytest.mark.conformance("v1-30")
def test_the_initiator_repeats_its_message_when_the_answer_before_comes_again() -> None:
    """<-- 2 again: 3 again, bit for bit; <-- 4 again: 5 again; no new nonces, no new keys."""
    site, wire, peer, first = calls()
    said: list[bytes] = []
    deliver = peer.deliver

    def listen(octets: bytes) -> Any:
        said.append(octets)
        return deliver(octets)

    peer.deliver = listen  # type: ignore[method-assign]
    (third,) = peer.main_2(first)
    (again,) = deliver(said[-1])
    assert again.octets == third.octets
    (fifth,) = peer.main_4()
    (again,) = deliver(said[-1])
    assert again.octets == fifth.octets
    assert deliver(said[0]) == []
    peer.main_6()
    assert is_up(site.moon) and len({seen.octets for seen in wire.all(which(MAIN))}) == 3


@pytest.mark.conformance("v1-30")
def test_a_repeated_request_is_known_by_its_octets_alone() -> None:
    """The same first message with one bit turned is another one: another responder's cookie, another SA."""
    site, wire = watched(sun={"remote": "%any"})
    peer = caller(wire, site)
    (octets,) = _main_by_hand(peer, 1)
    (other,) = peer.deliver(octets[:7] + bytes((octets[7] ^ 1,)) + octets[8:])
    assert other.message.cookie_r != peer.cookie_r and len(site.sun.machines) == 2


@pytest.mark.conformance("v1-30", "v1-25")
def test_a_repeated_quick_mode_makes_no_second_child() -> None:
    """1 and 3 come again, twice each: 2 again, nothing more; one pair of SAs, no SPI drawn."""
    site, wire = watched_tunnel()
    ones = wire.all(which(QUICK, by=site.moon))
    kernel = dict(site.sun.kernel.inbound)
    for seen in (*ones, *ones):
        wire.arrive(seen)
    wait(site, 5)
    assert site.sun.kernel.inbound == kernel and not site.sun.kernel.larval and stands(site)


# -- each datagram lost, doubled, late ---------------------------------------------------


def story(site: Site) -> None:
    """A tunnel comes up; either end renews the child, then phase 1, and the ends look after one another."""
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run_until(lambda: token in site.moon.done)
    assert site.moon.done[token].error is None
    for host, name in ((site.moon, "net"), (site.sun, "net"), (site.moon, ""), (site.sun, "")):
        host.rekey(site.world.now, "site", name)
        wait(site, 45)
    wait(site, 900)


LIVELY = {"dpd_delay": 60}


@IN_MODES
@pytest.mark.parametrize("at", range(24))
def test_any_datagram_may_be_lost(mode: str, at: int) -> None:
    """The `at`-th datagram, whatever it is, never arrives: in the end both ends agree all the same."""
    site = gateways(ike="aes128-sha256-ecp256", both={**MODES[mode], **LIVELY})
    count = 0

    def lose(host: Host, transmit: Transmit) -> bool:
        nonlocal count
        count += 1
        return count != at + 1

    site.world.taps.append(lose)
    story(site)
    assert count > at
    site.world.settled()
    assert site.world.carries(site.moon, site.sun) and site.world.carries(site.sun, site.moon)
    assert len(site.moon.machines) == len(site.sun.machines) == 1
    site.moon.terminate(site.world.now, "site")
    wait(site, 400)
    assert bare(site.moon) and bare(site.sun)


@IN_MODES
@pytest.mark.parametrize("later", [0.0, 0.5, 7.0, 70.0])
def test_every_datagram_may_come_twice(mode: str, later: float) -> None:
    """Each comes once more, after a while: nothing is done twice."""
    site = gateways(ike="aes128-sha256-ecp256", both={**MODES[mode], **LIVELY})

    def double(host: Host, transmit: Transmit) -> bool:
        path = transmit.path
        at = site.world.now + site.world.link.delay + later
        site.world.at(at, lambda: site.world.deliver(transmit.data, path.local, path.remote))
        return True

    site.world.taps.append(double)
    story(site)
    site.world.settled()
    assert site.world.carries(site.moon, site.sun) and len(site.sun.children) == len(site.moon.children) == 1
    site.sun.terminate(site.world.now, "site")
    wait(site, 400)
    assert bare(site.moon) and bare(site.sun)


@IN_MODES
@pytest.mark.parametrize("seed", range(12))
def test_a_bad_network(mode: str, seed: int) -> None:
    """A fifth is lost, a tenth doubled, and what was sent later may come sooner."""
    site = gateways(seed=seed, ike="aes128-sha256-ecp256", both={**MODES[mode], "dpd_delay": 60},
                    link=Link(loss=0.2, duplication=0.1, jitter=0.6))  # fmt: skip
    site.moon.initiate("site", "net", 0.0)
    wait(site, 120)
    for host in (site.moon, site.sun, site.moon):
        for name in ("net", ""):
            host.rekey(site.world.now, "site", name)
            wait(site, 60)
    wait(site, 200)
    site.world.link = Link()
    wait(site, 1500)
    if not site.moon.machines:  # its attempt came to nothing, as it may
        site.up()
    site.world.settled()
    assert site.world.carries(site.moon, site.sun) and site.world.carries(site.sun, site.moon)
    site.moon.terminate(site.world.now, "site")
    wait(site, 400)
    assert bare(site.moon) and bare(site.sun)


# -- what was recorded and is played again --------------------------------------------------


def facts(host: Host) -> list[Any]:
    """All that an SA is and remembers, as far as it could be changed from outside."""
    found: list[Any] = []
    for machine in host.machines:
        sa = machine.sa
        children = [(c.spi_in, c.spi_out, c.state, c.outbound, c.expire_at, c.path) for c in sa.children.values()]
        known = (sa.spi_i, sa.spi_r, sa.state, sa.keys, sa.last_block, sa.life_time, sa.path, sa.local_id, sa.remote_id)
        found.append((*known, sa.dpd_heard, dict(sa.message_ids), sa.expire_at, sa.rekey_at, children))
    return [found, dict(host.kernel.inbound), dict(host.kernel.outbound), set(host.kernel.larval)]


@pytest.mark.conformance("v1-30", "v1-28")
@IN_MODES
@pytest.mark.parametrize("pause", [0.0, 100.0])
def test_a_recorded_life_played_again_changes_nothing(mode: str, pause: float) -> None:
    """Every datagram of either end, in order and backwards: the SAs are as they were, and few answers go out."""
    site, wire = watched_tunnel(ike="aes128-sha256-ecp256", both=MODES[mode])
    for host in (site.moon, site.sun):
        host.rekey(site.world.now, "site", "net")
        wait(site, 30)
    wait(site, pause)
    recorded = list(wire.seen)
    before = [facts(host) for host in (site.moon, site.sun)]
    for seen in (*recorded, *reversed(recorded)):
        if (seen.message.exchange, seen.host) in ((MAIN, site.moon), (AGGRESSIVE, site.moon)) and not (
            seen.message.cookie_r.strip(b"\0")
        ):
            continue  # a first message may make a half-open SA, which ends by itself
        wire.arrive(seen)
    wait(site, 5)
    assert [facts(host) for host in (site.moon, site.sun)] == before
    assert all(seen.repeated for seen in wire.seen[len(recorded) :]) and stands(site)


def test_a_first_message_played_again_leaves_nothing_behind() -> None:
    """Recorded message 1, again and again after its SA stands: one half-open SA at most, and it ends by itself."""
    site, wire = watched_tunnel()
    first = wire.seen[0]
    for _ in range(20):
        wire.arrive(first)
    assert len(site.sun.machines) == 2 and site.sun.engine.half_open == 1
    assert [machine.sa.state for machine in site.sun.machines] == [IkeState.ESTABLISHED, IkeState.CONNECTING]
    wait(site, 40)
    assert len(site.sun.machines) == 1 and site.sun.engine.half_open == 0 and stands(site)
