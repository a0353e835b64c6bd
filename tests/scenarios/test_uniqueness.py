"""Several IKE SAs of one peer: INITIAL_CONTACT (RFC 7296 §2.4) and the `unique` option."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from ikectl.config.model import Unique
from ikectl.engine.engine import Engine
from ikectl.sa.env import Env, Settings
from ikectl.sa.events import AuthFailed, Note
from ikectl.values.identity import Identity
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.site import Site, child, connection
from tests.sim.tape import Tape


def amnesia(host: Host) -> None:
    """The host starts anew and remembers nothing, as after a crash; its kernel too."""
    host.kernel.inbound.clear()
    host.kernel.outbound.clear()
    host.engine = Engine(Env(lambda number: Tape(99, f"again/{number}")), host.answers)
    host.load(connection(children=(child(),)))


def again(site: Site) -> str | None:
    amnesia(site.moon)
    site.moon.done.clear()
    token = site.moon.initiate("site", "net", site.world.now)
    site.world.run_until(lambda: token in site.moon.done)
    site.world.run(site.world.now + 5)
    return site.moon.done[token].error


@pytest.mark.conformance("v2-41")
def test_after_a_crash_initial_contact_removes_the_dead_sa_without_a_delete() -> None:
    site = Site()
    site.up()
    sent = len(site.world.sent)
    assert again(site) is None
    assert len(site.sun.machines) == 1 and len(site.sun.children) == 1
    assert len(site.world.sent) - sent == 4, "two exchanges and no DELETE"
    site.world.settled()


@pytest.mark.conformance("v2-41")
def test_never_ignores_initial_contact() -> None:
    site = Site(sun={"unique": Unique.NEVER})
    site.up()
    assert again(site) is None
    assert len(site.sun.machines) == 2


def second(site: Site) -> str | None:
    """A second SA of the same peer that does not claim a first contact."""
    site.moon.load(connection("other", children=(child("net"),), unique=Unique.NEVER))
    token = site.moon.initiate("other", "net", site.world.now)
    site.world.run_until(lambda: token in site.moon.done)
    site.world.run(site.world.now + 30)
    return site.moon.done[token].error


def test_no_lets_both_live() -> None:
    site = Site()
    site.up()
    assert second(site) is None
    assert len(site.sun.machines) == 2


def test_replace_deletes_the_older() -> None:
    site = Site(sun={"unique": Unique.REPLACE})
    site.up()
    (older,) = site.sun.machines
    assert second(site) is None
    (left,) = site.sun.machines
    assert left is not older
    site.world.settled()


def test_keep_refuses_the_newer() -> None:
    site = Site(sun={"unique": Unique.KEEP})
    site.up()
    (older,) = site.sun.machines
    assert second(site) is not None
    assert site.sun.machines == [older]


def test_keep_believes_a_first_contact() -> None:
    site = Site(sun={"unique": Unique.KEEP})
    site.up()
    assert again(site) is None
    assert len(site.sun.machines) == 1


@pytest.mark.parametrize("unique", [Unique.NO, Unique.NEVER])
def test_one_peer_has_only_so_many(unique: Unique) -> None:
    """Who may log in may not fill the memory: beyond the limit AUTHENTICATION_FAILED, and all that stood stands."""
    most = Settings(max_sas_of_peer=3)
    site = Site(sun={"unique": unique}, moon={"unique": Unique.NEVER}, sun_host={"settings": most})
    (made,) = site.moon.engine.connections.all
    outcomes = []
    for number in range(5):
        site.moon.load(replace(made, name=f"site-{number}"))
        token = site.moon.initiate(f"site-{number}", "net", site.world.now)
        site.world.run(site.world.now + 5)
        outcomes.append(site.moon.done[token].error)
    assert outcomes[:3] == [None] * 3 and all(outcomes[3:]) and len(site.sun.machines) == 3
    assert "all that one peer may have" in site.sun.saw(AuthFailed)[-1].why
    site.moon.terminate(site.world.now, "site-1")
    site.world.run(site.world.now + 60)
    token = site.moon.initiate("site-4", "net", site.world.now)
    site.world.run(site.world.now + 5)
    assert site.moon.done[token].error is None and len(site.sun.machines) == 3
    site.world.settled()


def test_first_contact_is_let_in_beyond_it() -> None:
    """The others are dead, and go: a crashed peer is not kept out by its own past."""
    site = Site(sun_host={"settings": Settings(max_sas_of_peer=1)})
    site.up()
    for _ in range(3):
        assert again(site) is None and len(site.sun.machines) == 1


def test_a_key_for_whoever_answers_is_warned_of() -> None:
    site = Site(moon={"remote_id": "%any"}, sun={"remote_id": "%any"})
    site.world.run(1)
    for host in (site.moon, site.sun):
        (warning,) = [note.why for note in host.saw(Note) if "whoever answers" in note.why]
        assert "connection site" in warning and "set remote.id" in warning
    site = Site()
    site.world.run(1)
    assert not [note for note in site.moon.saw(Note) if "whoever" in note.why]


@pytest.mark.parametrize("unique", [Unique.KEEP, Unique.NO])
def test_a_peer_is_one_however_it_spells_its_name(unique: Unique) -> None:
    """Names compare without case where a connection and a key are looked for, so they are counted so, too."""
    most = Settings(max_sas_of_peer=1)
    site = Site(sun={"unique": unique}, moon={"unique": Unique.NEVER}, sun_host={"settings": most})
    (made,) = site.moon.engine.connections.all
    outcomes = []
    for number, name in enumerate(("moon.example.org", "MOON.EXAMPLE.ORG", "Moon.Example.org")):
        local = (replace(made.local[0], id=Identity.parse(name)),)
        site.moon.load(replace(made, name=f"site-{number}", local=local))
        token = site.moon.initiate(f"site-{number}", "net", site.world.now)
        site.world.run(site.world.now + 5)
        outcomes.append(site.moon.done[token].error)
    assert outcomes[0] is None and all(outcomes[1:]) and len(site.sun.machines) == 1
    site.world.settled()


POLICIES = list(Unique)


@pytest.mark.conformance("v2-41")
@pytest.mark.parametrize("loss", [0.0, 0.15])
@pytest.mark.parametrize("ours", POLICIES)
@pytest.mark.parametrize("theirs", POLICIES)
def test_both_call_at_once(ours: Unique, theirs: Unique, loss: float) -> None:
    """Whatever either end does about older SAs: no end is left with one that the other has not, nor both with none."""
    for seed in range(8):
        draw = Tape(seed, "both").fraction
        link = Link(loss=loss, duplication=loss / 3, delay=0.005 + draw() / 10, jitter=draw() / 20)
        site = Site(seed, link=link, moon={"unique": ours}, sun={"unique": theirs})
        within = 0.05 if seed % 2 else 0.4
        for host in (site.moon, site.sun):
            at = draw() * within
            site.world.at(at, partial(host.initiate, "site", "net", at))
        site.world.run(400)
        site.world.settled()
        assert site.world.carries(site.moon, site.sun), f"seed {seed}: {site.world.violation('nothing is left')}"
        if Unique.REPLACE in (ours, theirs):
            assert len(site.moon.machines) == 1, f"seed {seed}: {site.world.violation('there are several')}"
