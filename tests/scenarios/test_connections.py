"""Several SAs with one peer: first contact, uniqueness, and what is started by itself (RFC 7296 §2.4, §2.8.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ikectl.config.model import Action, Unique
from ikectl.iana.v2 import NotifyType
from ikectl.sa.env import Settings
from ikectl.sa.events import IkeDown
from ikectl.wire.payload import Payload
from ikectl.wire.v2.notify import INITIAL_CONTACT, Delete
from tests.scenarios.stage import IKE_AUTH, IKE_SA_INIT, bare, gateways, rewrite, stands, tunnel, wait
from tests.sim.forge import Stranger
from tests.sim.site import MOON, Site, child
from tests.sim.wiretap import which


def forget(site: Site) -> None:
    """moon crashes: it knows nothing of its SAs any more, and says nothing."""
    for machine in site.moon.machines:
        machine.close("power cut", site.world.now)
    site.world.flush()
    wait(site, 40)


@pytest.mark.conformance("v2-41")
def test_the_first_contact_after_a_crash_ends_what_was_before() -> None:
    """HDR, SK {..., N(INITIAL_CONTACT)} --> the other SAs of that identity go, children and all, without a DELETE."""
    site, wire = tunnel()
    forget(site)
    assert len(site.sun.machines) == 1
    mark = len(wire.seen)
    site.up()
    assert wire.messages(which(IKE_AUTH, by=site.moon), since=mark)[0].notify(NotifyType.INITIAL_CONTACT)
    assert stands(site) and len(site.sun.machines) == 1 and len(site.sun.kernel.inbound) == 1
    assert not wire.all(which(holds=Delete), since=mark)
    assert len(site.sun.saw(IkeDown)) == 1
    site.world.settled()


@pytest.mark.conformance("v2-41")
def test_the_first_contact_in_an_answer_counts_as_well() -> None:
    """<-- HDR, SK {IDr, AUTH, ..., N(INITIAL_CONTACT)}: the responder knows no other SA with us (§2.4)."""
    site, wire = tunnel(moon={"unique": Unique.NEVER}, sun={"unique": Unique.NEVER})
    (old,) = site.moon.machines
    # The responder lost everything, and moon is made to call again beside the SA it still has.
    for machine in site.sun.machines:
        machine.close("power cut", site.world.now)
    wait(site, 40)
    rewrite(wire, which(IKE_AUTH, response=True), lambda payloads: [*payloads, INITIAL_CONTACT])
    (made,) = site.moon.engine.connections.all
    site.moon.load(replace(made, name="again", unique=Unique.NO))
    token = site.moon.initiate("again", "net", site.world.now)
    wait(site, 5)
    assert site.moon.done[token].error is None
    assert old not in site.moon.machines and len(site.moon.machines) == 1
    site.world.settled()


@pytest.mark.conformance("v2-41")
def test_a_contact_by_somebody_else_is_none() -> None:
    """A failed authentication with N(INITIAL_CONTACT) ends no other SA."""
    site, wire = tunnel()
    forget(site)
    site.moon.secret = b"a wrong one"
    site.up()
    assert bare(site.moon) and len(site.sun.machines) == 1 and len(site.sun.children) == 1
    assert wire.messages(which(IKE_AUTH, by=site.moon))[-1].notify(NotifyType.INITIAL_CONTACT)


@pytest.mark.conformance("v2-100")
def test_the_old_sa_is_deleted_when_the_peer_authenticates_anew() -> None:
    """unique = replace: a second SA of the same identity without INITIAL_CONTACT; the first is deleted (§2.8.3)."""
    site, wire = tunnel(sun={"unique": Unique.REPLACE})
    (old,) = site.moon.machines

    def quietly(payloads: list[Payload]) -> list[Payload]:
        return [each for each in payloads if each is not INITIAL_CONTACT]

    (made,) = site.moon.engine.connections.all
    site.moon.load(replace(made, name="again", unique=Unique.NEVER))
    rewrite(wire, which(IKE_AUTH, response=False), quietly)
    mark = len(wire.seen)
    token = site.moon.initiate("again", "net", site.world.now)
    wait(site, 10)
    assert site.moon.done[token].error is None
    deletes = wire.messages(which(by=site.sun, holds=Delete), since=mark)
    assert [message.spi_i for message in deletes] == [old.sa.spi_i]
    assert len(site.moon.machines) == len(site.sun.machines) == 1 and old not in site.moon.machines
    assert stands(site)
    site.world.settled()


def test_a_child_that_is_to_be_up_comes_up_and_back() -> None:
    """start_action = start at loading; close_action = start when the peer deletes it; IKE SA and all."""
    site, _ = gateways(moon_children=(child(start_action=Action.START, close_action=Action.START),))
    wait(site, 5)
    assert stands(site)
    site.sun.terminate(site.world.now, "site", "net")
    wait(site, 20)
    assert stands(site)
    site.sun.terminate(site.world.now)
    wait(site, 60)
    assert stands(site)
    site.world.settled()


def test_both_ends_start_at_once() -> None:
    """start_action = start on both: whatever crosses, packets pass in the end."""
    site, _ = gateways(
        moon_children=(child(start_action=Action.START),),
        sun_children=(child(mirror=True, start_action=Action.START),),
    )
    wait(site, 120)
    assert site.moon.children and site.world.carries(site.moon, site.sun) and site.world.carries(site.sun, site.moon)
    site.world.settled()


def test_only_so_many_half_open_sas_in_all() -> None:
    """The table of half-open SAs is bounded: beyond it nobody gets an answer until some time out."""
    settings = Settings(half_open_limit=10, cookie_threshold=100)
    site, wire = gateways(sun_host={"settings": settings}, sun={"remote": "0.0.0.0/0"})
    answered = 0
    for number in range(20):
        answered += bool(Stranger(wire, site.sun, f"203.0.113.{number + 1}", seed=number).ask())
    assert answered == 10 and site.sun.engine.half_open == 10
    wait(site, 60)
    assert bare(site.sun) and Stranger(wire, site.sun, MOON).ask()
    assert all(message.exchange is IKE_SA_INIT for message in wire.messages())
