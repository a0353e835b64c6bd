"""Main and aggressive mode between two of us: what is exchanged and what stands then."""

from __future__ import annotations

from typing import Any

import pytest

from ikectl.sa.association import IkeState
from ikectl.sa.events import MessageSent
from tests.scenarios.v1.stage import bare, sa_of, tunnel, wait

AGGRESSIVE = {"aggressive": True, "aggressive_psk": True}


@pytest.mark.parametrize("mode", [{}, AGGRESSIVE], ids=["main", "aggressive"])
def test_a_tunnel_comes_up_and_goes(mode: dict[str, Any]) -> None:
    site = tunnel(both=mode)
    site.world.settled()
    assert sa_of(site.moon).state is sa_of(site.sun).state is IkeState.ESTABLISHED
    site.sun.terminate(site.world.now, ike="site")
    wait(site, 1.0)
    assert bare(site.moon) and bare(site.sun)


@pytest.mark.conformance("v1-1")
def test_main_mode_is_six_messages() -> None:
    """SA -> <- SA; KE, Ni -> <- KE, Nr; IDii, HASH_I * -> <- IDir, HASH_R *."""
    site = tunnel()
    ladder = [
        (host.name, event.payloads[0].short)
        for host, event in sorted(
            ((host, event) for host in (site.moon, site.sun) for event in host.saw(MessageSent)),
            key=lambda pair: pair[0].name,
        )
        if event.message_id == 0
    ]
    assert ladder == [("moon", "SA"), ("moon", "KE"), ("moon", "ID"), ("sun", "SA"), ("sun", "KE"), ("sun", "ID")]
    datagrams = [transmit.data for _, transmit in site.world.sent][:6]
    assert [datagram[19] for datagram in datagrams] == [0, 0, 0, 0, 1, 1]  # the E flag from message 5 on
    assert {datagram[20:24] for datagram in datagrams} == {bytes(4)}
    assert {datagram[:8] for datagram in datagrams} == {sa_of(site.moon).cookie_i}
    assert {datagram[8:16] for datagram in datagrams[1:]} - {bytes(8)} == {sa_of(site.moon).cookie_r}
