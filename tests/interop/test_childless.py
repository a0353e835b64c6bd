"""IKE SAs without a child in IKE_AUTH (RFC 6023), both roles."""

from __future__ import annotations

import pytest

from tests.interop.configurations import MOON, SUN
from tests.interop.conftest import Site
from tests.lab.peers.base import Refused
from tests.lab.peers.ikectl import Ikectl
from tests.lab.world import until

PFS = "aes256gcm16-x25519"
"""A child inside IKE_AUTH has no key exchange of its own, one behind it has."""


@pytest.mark.conformance("v2-75")
def test_the_child_comes_behind(site: Site, initiator: str) -> None:
    site.configure(connection="childless = force", esp=PFS)
    first, second = site.ends(initiator)
    first.up("net")
    assert site.world.ping("alice", "bob", count=2).lost == 0
    assert all(peer.children("net")[0].get("dh-group") for peer in (first, second))


@pytest.mark.conformance("v2-75")
@pytest.mark.parametrize("theirs", ["allow", "never"])
def test_preferred(site: Site, theirs: str) -> None:
    """strongSwan 5.9 does not know the word itself; it takes what it announces."""
    ours = MOON.but(connection="childless = prefer")
    site.configure(moon=ours, sun=SUN.but(connection=f"childless = {theirs}"), esp=PFS)
    site.moon.up("net")
    assert site.world.ping("alice", "bob", count=2).lost == 0
    assert bool(site.moon.children("net")[0].get("dh-group")) is (theirs == "allow")


@pytest.mark.conformance("v2-75")
def test_forced_and_not_taken(site: Site, initiator: str) -> None:
    other = "sun" if initiator == "moon" else "moon"
    policies = {initiator: "force", other: "never"}
    site.configure(
        moon=MOON.but(connection=f"childless = {policies['moon']}"),
        sun=SUN.but(connection=f"childless = {policies['sun']}"),
    )
    first, second = site.ends(initiator)
    with pytest.raises(Refused):
        first.up("net")
    until(lambda: not second.sas(), "nothing is left on the other side")


@pytest.mark.conformance("v2-75")
def test_the_ike_sa_alone(site: Site) -> None:
    site.configure()
    ours, theirs = site.moon, site.sun
    assert isinstance(ours, Ikectl)
    assert "site is up" in ours.cli("up", "site", "--childless")
    (sa,) = theirs.sas()
    assert sa["state"] == "ESTABLISHED" and not sa["children"]
    theirs.up("net")
    assert site.world.ping("alice", "bob").lost == 0
    assert len(ours.sas()) == 1
