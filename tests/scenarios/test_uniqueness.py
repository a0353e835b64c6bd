"""Several IKE SAs of one peer: INITIAL_CONTACT (RFC 7296 §2.4) and the `unique` option."""

from __future__ import annotations

import pytest

from ikectl.config.model import Unique
from ikectl.engine.engine import Engine
from ikectl.sa.env import Env
from tests.sim.host import Host
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
