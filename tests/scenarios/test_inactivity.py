"""Children that nobody uses are closed (`inactivity`), and looking costs one question in all that time."""

from __future__ import annotations

from typing import Any

import pytest

from ikectl.config.model import Action
from ikectl.errors import BackendError
from ikectl.sa.asks import QueryUse, Usage
from ikectl.sa.events import ChildDown
from tests.scenarios.stage import stands, tunnel, wait
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.site import Site, child

HOUR = 3600


class Traffic:
    """When packets last went in and out on any child of a host, for its kernel to tell."""

    def __init__(self, site: Site, host: Host) -> None:
        self.last_in: float | None = None
        self.last_out: float | None = None
        self.asked = 0
        self.fails = False
        self._site = site
        host.answers[QueryUse] = self._answer

    def _answer(self, ask: QueryUse) -> Usage:
        self.asked += 1
        if self.fails:
            raise BackendError("the kernel does not say")
        now = self._site.world.now
        since = ask.child.installed_at  # the kernel counts for each SA
        idle = [None if at is None or at < since else now - at for at in (self.last_in, self.last_out)]
        return Usage(idle_in_for=idle[0], idle_out_for=idle[1])


def idling(inactivity: int = HOUR, **options: Any) -> tuple[Site, Traffic]:
    """A tunnel; moon wants to see packets."""
    more = options.pop("child", {})
    site, _ = tunnel(
        moon_children=(child(inactivity=inactivity, **more),), sun_children=(child(mirror=True),), **options
    )
    return site, Traffic(site, site.moon)


def closed(site: Site) -> bool:
    """The child is gone at both ends, and the IKE SA is not."""
    return not site.moon.children and not site.sun.children and len(site.moon.machines) == len(site.sun.machines) == 1


def test_a_child_that_nobody_ever_used() -> None:
    site, traffic = idling()
    wait(site, HOUR - 60)
    assert stands(site) and not traffic.asked
    wait(site, 120)
    assert closed(site) and traffic.asked == 1
    (told,) = site.moon.saw(ChildDown)
    assert told.why == "no packet for 3600 s"
    site.world.settled()


@pytest.mark.parametrize("way", ["in", "out"])
def test_a_packet_either_way_counts(way: str) -> None:
    site, traffic = idling()
    wait(site, HOUR / 2)
    setattr(traffic, f"last_{way}", site.world.now)
    wait(site, HOUR - 60)
    assert stands(site) and traffic.asked == 1
    wait(site, 120)
    assert closed(site) and traffic.asked == 2


def test_a_busy_child_is_asked_about_rarely() -> None:
    site, traffic = idling()
    for _ in range(48 * 60):
        traffic.last_in = site.world.now
        wait(site, 60)
    assert stands(site) and 47 <= traffic.asked <= 49


@pytest.mark.parametrize("who", ["moon", "sun"])
def test_a_rekeying_is_no_use(who: str) -> None:
    """Rekeyed every ten minutes by either end, and closed when the hour is over all the same."""
    ten = {"rekey_time": 600, "life_time": 700}
    site, _ = tunnel(
        moon_children=(child(inactivity=HOUR, **(ten if who == "moon" else {})),),
        sun_children=(child(mirror=True, **(ten if who == "sun" else {})),),
        link=Link(delay=0.05),
    )
    traffic = Traffic(site, site.moon)
    wait(site, 900)
    traffic.last_in = traffic.last_out = site.world.now
    wait(site, HOUR - 60)
    assert stands(site)
    wait(site, 180)
    assert closed(site)
    assert traffic.asked < 20


def test_what_was_idle_too_long_is_not_rekeyed() -> None:
    site, _ = idling(600, child={"rekey_time": 600, "life_time": 700})
    wait(site, 630)
    assert closed(site)


def test_a_kernel_that_does_not_say_closes_nothing() -> None:
    site, traffic = idling()
    traffic.fails = True
    wait(site, 3 * HOUR)
    assert stands(site) and traffic.asked <= 3
    traffic.fails = False
    wait(site, 2 * HOUR)
    assert closed(site)


def test_what_was_closed_so_is_not_started_again() -> None:
    """close_action is for what the peer closes."""
    site, _ = idling(child={"close_action": Action.START, "start_action": Action.START})
    wait(site, 2 * HOUR)
    assert closed(site)


def test_it_outlives_the_ike_sa() -> None:
    """The IKE SA is rekeyed meanwhile: the hour goes on."""
    site, _ = idling()
    for _ in range(3):
        wait(site, HOUR / 4)
        site.moon.rekey(site.world.now, "site")
    wait(site, HOUR / 4 + 60)
    assert closed(site)
