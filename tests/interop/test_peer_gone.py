"""Either end dies and comes back: dpd_action = restart brings the tunnel up again, without anybody's help."""

from __future__ import annotations

import pytest

from tests.interop.configurations import MOON, SUN
from tests.interop.conftest import Site
from tests.lab.fixtures import Lab
from tests.lab.peers.strongswan import StrongSwan
from tests.lab.topology import SITE_TO_SITE
from tests.lab.world import until

GIVEN_UP_WITHIN = 240.0
"""Seconds: a check after a second of silence, and its repeats, which take 165 seconds in all."""


class HastyStrongSwan(StrongSwan):
    """A charon that gives up after seven seconds."""

    options = "retransmit_tries = 2\n    retransmit_timeout = 1.0"


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


@pytest.mark.conformance("v2-40")
def test_strongswan_finds_us_dead_and_calls_us_when_we_are_back(lab: Lab) -> None:
    """We are killed and know nothing of the SA any more: nothing that strongSwan says about it is answered."""
    site = Site(lab, SITE_TO_SITE, theirs=HastyStrongSwan)
    site.configure(moon=MOON, sun=SUN.but(connection="dpd_delay = 1s\nkeyingtries = 0", child="dpd_action = restart"))
    site.sun.up("net")
    (before,) = site.sun.sas()
    site.moon.kill()
    site.moon.start(MOON.conf())
    until(lambda: site.moon.children(), "strongSwan calls", within=60)
    until(lambda: site.world.ping("alice", "bob", within=1).lost == 0, "the tunnel is back", within=60)
    assert len(site.moon.children()) == len(site.sun.children()) == 1
    assert all(sa["uniqueid"] != before["uniqueid"] for sa in site.sun.sas())
