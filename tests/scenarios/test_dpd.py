"""Liveness (RFC 7296 §1.4, §2.4)."""

from __future__ import annotations

import pytest

from ikectl.config.model import Action
from ikectl.iana.v2 import NotifyType
from ikectl.sa.asks import Usage
from ikectl.wire.v2.notify import Notify
from tests.scenarios.stage import INFORMATIONAL, bare, sa_of, stands, tunnel, wait
from tests.sim.forge import Impostor, Stranger, chain_of, clear
from tests.sim.site import SUN, child
from tests.sim.wiretap import which


@pytest.mark.conformance("v2-39")
@pytest.mark.parametrize("victim", ["moon", "sun"])
def test_an_empty_request_gets_an_empty_answer(victim: str) -> None:
    """HDR, SK {} -->  <-- HDR, SK {}"""
    site, wire = tunnel()
    impostor = Impostor(wire, site.sun if victim == "moon" else site.moon)
    for _ in range(10):
        answer = impostor.request(INFORMATIONAL, [])
        assert answer is not None and answer.payloads == [] and answer.exchange is INFORMATIONAL
    assert stands(site)


@pytest.mark.conformance("v2-39")
def test_silence_is_probed_and_an_answer_ends_the_doubt() -> None:
    site, wire = tunnel(moon={"dpd_delay": 30})
    mark = len(wire.seen)
    wait(site, 200)
    probes = wire.messages(which(INFORMATIONAL, by=site.moon), since=mark)
    assert 4 <= len(probes) <= 7 and all(not message.payloads for message in wire.messages(since=mark))
    assert not wire.all(which(by=site.sun, response=False), since=mark), "the peer was not told to"
    assert stands(site)


@pytest.mark.conformance("v2-40")
def test_a_dead_peer_is_found_and_everything_of_it_removed() -> None:
    """HDR, SK {} --> again and again; nothing comes: IKE SA and children go, without a DELETE."""
    site, wire = tunnel(moon={"dpd_delay": 10})
    wire.hold(which(by=site.sun))
    mark = len(wire.seen)
    wait(site, 300)
    assert bare(site.moon)
    assert len({seen.octets for seen in wire.all(which(by=site.moon), since=mark)}) == 1


@pytest.mark.conformance("v2-40")
def test_traffic_of_the_peer_is_proof_enough() -> None:
    """While the kernel counts what comes in, nobody asks; when that stops, somebody does."""
    site, wire = tunnel(moon={"dpd_delay": 30})
    mark = len(wire.seen)
    for turn in range(20):
        site.moon.kernel.usage = Usage(bytes_in=1000 * (turn + 1), packets_in=turn + 1)
        wait(site, 15)
    assert len(wire.seen) == mark
    wait(site, 70)
    assert len(wire.seen) > mark


@pytest.mark.conformance("v2-40")
def test_a_dead_peer_is_called_again_where_that_is_wanted() -> None:
    """dpd_action = restart: a new IKE_SA_INIT, again and again, until the peer is back."""
    site, wire = tunnel(moon={"dpd_delay": 10, "keyingtries": 0}, moon_children=(child(dpd_action=Action.START),))
    away = wire.hold(which(by=site.sun))
    wait(site, 900)
    assert not site.moon.children
    away.stop()
    wait(site, 400)
    assert stands(site) and len(site.sun.machines) == 1, "and the peer's old SA went with the first contact"
    site.world.settled()


@pytest.mark.conformance("v2-18", "v2-40")
def test_doubtful_news_of_the_peers_death_are_no_proof() -> None:
    """N(INVALID_IKE_SPI) in clear a hundred times: the SA stands, and the peer is not flooded with probes."""
    site, wire = tunnel(moon={"dpd_delay": 30})
    sa = sa_of(site.moon)
    stranger = Stranger(wire, site.moon, SUN)
    mark = len(wire.seen)
    for number in range(100):
        octets = clear(
            chain_of([Notify(NotifyType.INVALID_IKE_SPI)]),
            spi_i=sa.spi_i,
            spi_r=sa.spi_r,
            exchange=INFORMATIONAL,
            message_id=number % 4,
            response=True,
            initiator=False,
        )
        stranger.send(octets)
    assert len(wire.seen) - mark <= 1
    wait(site, 100)
    assert stands(site)
