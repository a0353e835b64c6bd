"""strongSwan dies and comes back: dpd_action = restart brings the tunnel up again, without anybody's help."""

from __future__ import annotations

import pytest

from tests.interop.configurations import MOON, SUN
from tests.interop.conftest import Site
from tests.lab.fixtures import Lab
from tests.lab.topology import SITE_TO_SITE
from tests.lab.world import until

GIVEN_UP_WITHIN = 240.0
"""Seconds: a check after a second of silence, and its repeats, which take 165 seconds in all."""


@pytest.mark.conformance("v2-40")
def test_a_dead_peer_is_called_until_it_is_back(lab: Lab) -> None:
    site = Site(lab, SITE_TO_SITE)
    site.configure(moon=MOON.but(connection="dpd_delay = 1s", child="dpd_action = restart"), sun=SUN)
    site.moon.up("net")
    (before,) = site.moon.sas()
    site.sun.kill()
    until(
        lambda: all(sa["uniqueid"] != before["uniqueid"] for sa in site.moon.sas()),
        "moon finds the peer dead",
        within=GIVEN_UP_WITHIN,
    )
    site.sun.start(SUN.conf())
    until(lambda: site.world.ping("alice", "bob", within=1).lost == 0, "the tunnel is back", within=120)
    assert len(site.moon.children()) == len(site.sun.children()) == 1
