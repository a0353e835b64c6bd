"""Redirection with strongSwan, as its gateway and as its client (RFC 5685).

A gateway's second address stands for another gateway.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.configurations import MOON, SUN
from tests.interop.conftest import Site
from tests.lab.peers.base import ViciPeer
from tests.lab.world import until

OTHERS = {"moon": "192.0.2.2", "sun": "198.51.100.2"}


@pytest.fixture
def wide(site: Site) -> Iterator[Site]:
    """Each gateway has a second address."""
    for node, address in OTHERS.items():
        site.world.run(node, "ip", "address", "add", f"{address}/24", "dev", "to-router")
    yield site
    site.clear()
    for node, address in OTHERS.items():
        site.world.run(node, "ip", "address", "del", f"{address}/24", "dev", "to-router")


def peer_of(site: Site, node: str) -> list[str]:
    """Where the IKE SAs of a gateway lead."""
    peer = site.moon if node == "moon" else site.sun
    return [sa["remote-host"] for sa in peer.sas()]


@pytest.mark.conformance("v2-52")
def test_we_send_strongswan_away_before_anything_is_negotiated(wide: Site) -> None:
    served = MOON.but(local_addrs=OTHERS["moon"]).conf().partition("secrets {")[0]
    other = served.replace("connections {", "", 1).replace("site {", "other {", 1).strip().removesuffix("}")
    wide.configure(moon=MOON.but(connection=f"redirect_to = {OTHERS['moon']}", connections=other))
    wide.sun.up("net")
    assert peer_of(wide, "sun") == [OTHERS["moon"]]
    assert wide.world.ping("alice", "bob", count=3).lost == 0
    wide.moon.down(ike="other")


@pytest.mark.conformance("v2-52")
def test_we_send_strongswan_away_amid_a_session(wide: Site) -> None:
    wide.configure(moon=MOON.but(local_addrs=f"{MOON.local_addrs}, {OTHERS['moon']}"))
    wide.sun.up("net")
    assert isinstance(wide.moon, ViciPeer)
    wide.moon.vici().request("redirect", {"peer-id": "*.example.org", "gateway": OTHERS["moon"]})
    until(lambda: peer_of(wide, "sun") == [OTHERS["moon"]], "strongSwan went to the other address")
    until(lambda: len(wide.moon.sas()) == 1, "one IKE SA is left")
    assert wide.world.ping("alice", "bob", count=3).lost == 0


@pytest.mark.conformance("v2-52")
def test_strongswan_sends_us_away_amid_a_session(wide: Site) -> None:
    wide.configure(
        moon=MOON.but(connection="follow_redirects = yes"),
        sun=SUN.but(local_addrs=f"{SUN.local_addrs}, {OTHERS['sun']}"),
    )
    wide.moon.up("net")
    assert isinstance(wide.sun, ViciPeer)
    wide.sun.vici().request("redirect", {"ike": "site", "gateway": OTHERS["sun"]})
    until(lambda: peer_of(wide, "moon") == [OTHERS["sun"]], "we went to the other address")
    until(lambda: len(wide.sun.sas()) == 1, "one IKE SA is left")
    assert wide.world.ping("alice", "bob", count=3).lost == 0
