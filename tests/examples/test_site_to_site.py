"""examples/site-to-site: the files as they are."""

from __future__ import annotations

import pytest

from tests.lab.fixtures import Lab
from tests.lab.guest import ROOT
from tests.lab.peers.base import Peer
from tests.lab.peers.ikectl import Ikectl
from tests.lab.peers.strongswan import StrongSwan
from tests.lab.topology import SITE_TO_SITE

EXAMPLE = ROOT / "examples" / "site-to-site"


@pytest.mark.parametrize(("on_moon", "on_sun"), [(Ikectl, Ikectl), (Ikectl, StrongSwan), (StrongSwan, Ikectl)])
def test_the_two_files_make_a_tunnel(lab: Lab, on_moon: type[Peer], on_sun: type[Peer]) -> None:
    world = lab.lay(SITE_TO_SITE)
    moon = world.peer(on_moon, "moon", conf=(EXAMPLE / "moon.conf").read_text())
    sun = world.peer(on_sun, "sun", conf=(EXAMPLE / "sun.conf").read_text())

    moon.up("net")
    assert world.ping("alice", "bob", count=3).lost == 0
    assert len(world.wire("router").packets("esp")) == 6
    moon.down(ike="site")
    assert sun.sas() == []
