"""Which of several ISAKMP SAs between the same ends goes on, and what it takes over."""

from __future__ import annotations

import pytest

from ikectl.engine.v1.machine import IsakmpMachine
from ikectl.exchange.v1.informational import TellDelete
from ikectl.sa.association import IkeState
from ikectl.sa.isakmp_sa import IsakmpSa
from tests.scenarios.v1.stage import IKE, bare, sa_of, stands, tunnel, wait
from tests.scenarios.v1.test_mode_config import comes_up, held, packed, site
from tests.sim.site import Site


def gateways_up(seed: int) -> Site:
    """moon and sun with a child; `seed` decides the cookies."""
    mode = {"version": 1}
    made = Site(seed, ike=IKE, moon=mode, sun=mode)
    made.up()
    assert stands(made)
    return made


@pytest.mark.conformance("v1-38")
@pytest.mark.parametrize("seed", range(6))
def test_a_phase_1_soon_after_the_first_is_the_newer_one(seed: int) -> None:
    """Whatever the cookies: both ends knew of the first when the second was begun."""
    made = gateways_up(seed)
    before = sa_of(made.moon).spi_i

    made.sun.rekey(made.world.now, "site")
    wait(made, 200.0)

    assert sa_of(made.moon).spi_i == sa_of(made.sun).spi_i != before
    assert sa_of(made.sun).initiator
    assert stands(made)


@pytest.mark.conformance("v1-38")
def test_an_sa_that_is_being_renewed_is_not_renewed_twice() -> None:
    made = tunnel()
    tokens = [made.moon.rekey(made.world.now, "site") for _ in range(3)]
    wait(made, 200.0)

    assert all(token in made.moon.done for token in tokens)
    assert sa_of(made.moon).uniqueid == 2
    assert stands(made)


@pytest.mark.conformance("v1-38")
@pytest.mark.parametrize("seed", range(6))
def test_both_ends_renew_at_once(seed: int) -> None:
    made = gateways_up(seed)
    tokens = [(host, host.rekey(made.world.now, "site")) for host in (made.moon, made.sun)]
    wait(made, 200.0)

    assert [host.done[token].error for host, token in tokens] == [None, None]
    assert sa_of(made.moon).spi_i == sa_of(made.sun).spi_i
    assert stands(made)


@pytest.mark.conformance("v1-28", "v1-38")
def test_the_peer_keeps_the_older_one() -> None:
    """It deletes the newer one, which had replaced that here: children and inner address live on the older."""
    made = site()
    comes_up(made)
    made.moon.rekey(made.world.now, "site")
    wait(made, 5.0)
    newer = made.sun.machines[-1]
    assert isinstance(newer.sa, IsakmpSa)
    (older,) = newer.sa.forerunners
    assert older.state.name == "REKEYED"

    (peer,) = [one for one in made.moon.machines if one.sa.spi_i == newer.sa.spi_i]
    assert isinstance(peer, IsakmpMachine)
    peer.begin(TellDelete((), True, "the other one stays", alone=True), now=made.world.now)
    wait(made, 1.0)

    assert older.state is IkeState.ESTABLISHED
    assert made.sun.machines == [made.sun.engine.machine_of(older)]
    assert [one.ike for one in made.sun.children] == [older]
    assert older.peer_vips == packed("10.3.0.1")
    assert held(made.sun) == [("10.3.0.1", "moon.example.org")]


@pytest.mark.conformance("v1-28")
@pytest.mark.parametrize("who", ["moon", "sun"])
def test_what_was_replaced_ends_with_its_successor(who: str) -> None:
    """Soon after a renewal both are there; whoever ends it all ends both."""
    made = tunnel()
    made.moon.rekey(made.world.now, "site")
    wait(made, 5.0)
    assert len(made.moon.machines) == len(made.sun.machines) == 2

    getattr(made, who).terminate(made.world.now, "site")
    wait(made, 2.0)

    assert bare(made.moon)
    assert bare(made.sun)
