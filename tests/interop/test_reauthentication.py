"""Reauthentication with strongSwan, begun by either side and asked for by either side, under traffic."""

from __future__ import annotations

import pytest

from tests.interop.configurations import MOON, SUN
from tests.interop.conftest import Site
from tests.lab.peers.base import ViciPeer
from tests.lab.world import until

SOON = "reauth_time = 10s\nover_time = 4s\nrand_time = 0s\nrekey_time = 1h"
LATE = "over_time = 4s\nrand_time = 0s\nrekey_time = 1h"


def ike_spis(site: Site) -> list[str]:
    return [sa["initiator-spi"] for sa in site.moon.sas()]


def anew(site: Site, before: list[str]) -> None:
    """One other IKE SA at both ends, with its child."""
    until(lambda: len(ike_spis(site)) == 1 and ike_spis(site) != before, "another IKE SA", within=40)
    for peer in (site.moon, site.sun):
        until(
            lambda peer=peer: (
                [sa["state"] for sa in peer.sas()] == ["ESTABLISHED"]
                and [child["state"] for child in peer.children()] == ["INSTALLED"]
            ),
            f"one IKE SA with one child at {peer.node}",
        )


@pytest.mark.conformance("v2-100")
@pytest.mark.parametrize("asks", ["initiator", "responder"])
def test_authenticated_anew(site: Site, initiator: str, asks: str) -> None:
    """By the initiator's own time, or because the responder gave it one (AUTH_LIFETIME)."""
    first, second = site.ends(initiator)
    hurried = first if asks == "initiator" else second
    lines = {peer.node: SOON if peer is hurried else LATE for peer in (first, second)}
    site.configure(MOON.but(connection=lines["moon"]), SUN.but(connection=lines["sun"]))
    first.up("net")
    before = ike_spis(site)
    with site.world.pinging("alice", "bob"):
        anew(site, before)
    assert site.world.ping("alice", "bob").lost == 0


@pytest.mark.conformance("v2-100")
def test_authenticated_anew_on_command(site: Site) -> None:
    site.configure()
    site.moon.up("net")
    before = ike_spis(site)
    wire = site.world.wire("router")
    wire.forget()
    assert isinstance(site.moon, ViciPeer)
    site.moon.vici().rekey({"ike": "site", "reauth": "yes"})
    anew(site, before)
    assert site.world.ping("alice", "bob").lost == 0
    (after,) = ike_spis(site)
    said = [(packet.body[:8].hex(), packet.exchange.rsplit(" ", 1)[0]) for packet in wire.packets("ike")]
    made = [place for place, (spi, exchange) in enumerate(said) if (spi, exchange) == (after, "IKE_AUTH response")]
    ended = [place for place, (spi, _) in enumerate(said) if [spi] == before]
    assert made and ended and max(made) < min(ended), f"the new SA stands before the old one goes: {said}"
