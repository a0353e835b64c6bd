"""What strangers may cost: memory, work, and places among the half-open SAs."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace

import pytest

from ikectl.crypto import proposal as proposals
from ikectl.engine.router import MAX_INITIAL_OCTETS
from ikectl.iana.v2 import NotifyType, Protocol, TransformType
from ikectl.sa.events import Dropped
from ikectl.wire.payload import Payload
from ikectl.wire.v2.notify import Notify
from ikectl.wire.v2.sa import SA, Proposal, Transform
from tests.scenarios.stage import bare, gateways, notifies, sa_of
from tests.sim.forge import Stranger, chain_of, clear
from tests.sim.host import Host
from tests.sim.site import IKE, MOON, SUN, child, connection
from tests.sim.wiretap import Wiretap
from tests.sim.world import World


def endless(seed: int, octets: int = MAX_INITIAL_OCTETS - 200) -> SA:
    """An offer of about so many octets that fits nothing, and is like no other."""
    each = 200  # too long to be remembered by its octets
    transforms = [Transform(TransformType.ENCR, 1024 + (seed * 1000 + n) % 60000) for n in range(octets // 8)]
    parts = [tuple(transforms[start : start + each]) for start in range(0, len(transforms) - each, each)]
    return SA(tuple(Proposal(number, Protocol.IKE, b"", part) for number, part in enumerate(parts, 1)))


# -- memory ---------------------------------------------------------------------


def test_a_long_offer_leaves_nothing_behind() -> None:
    """HDR, SA(2000 transforms), KE, Ni -->  <-- HDR, N(NO_PROPOSAL_CHOSEN): and it is forgotten."""
    site, wire = gateways()
    stranger = Stranger(wire, site.sun, MOON)
    _, ke, nonce = stranger.initial()
    requests = [clear(chain_of([endless(seed), ke, nonce]), spi_i=stranger.spi) for seed in range(4)]
    proposals._select.cache_clear()
    tracemalloc.start()
    left = []
    try:
        for request in requests:
            (answer,) = stranger.send(request)
            assert notifies(answer.message) == [NotifyType.NO_PROPOSAL_CHOSEN]
            del answer
            wire.seen.clear()
            site.sun.events.clear()
            gc.collect()
            left.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert bare(site.sun) and proposals._select.cache_info().currsize == 0
    assert left[-1] - left[0] < 64 * 1024


def test_a_datagram_that_no_honest_initiator_sends_is_not_read() -> None:
    """An IKE_SA_INIT of more than 16 KiB is dropped, whole or broken; one octet less is read."""
    site, wire = gateways()
    stranger = Stranger(wire, site.sun, MOON)
    initial = stranger.initial()
    room = MAX_INITIAL_OCTETS - 28 - len(chain_of(initial)[1]) - 8
    padded: list[Payload] = [*initial, Notify(NotifyType(40960), bytes(room))]
    assert not stranger.ask([*initial, Notify(NotifyType(40960), bytes(room + 1))]) and bare(site.sun)
    (dropped,) = site.sun.saw(Dropped)
    assert "16385 octets" in dropped.text()
    (answer,) = stranger.ask(padded)
    assert answer.message.get(SA) is not None


@pytest.mark.parametrize("listed", ["0002 0002 0002 0003", "0003 0002 7777 8888 0002", "0002 0003 0000"])
def test_of_the_hashes_a_peer_names_the_known_are_kept_once(listed: str) -> None:
    """N(SIGNATURE_HASH_ALGORITHMS) of any length comes to a small set in one order."""
    site, wire = gateways()
    stranger = Stranger(wire, site.sun, MOON)
    named = Notify(NotifyType.SIGNATURE_HASH_ALGORITHMS, bytes.fromhex(listed))
    assert stranger.ask([*stranger.initial(), named])
    shake = sa_of(site.sun).handshake
    assert shake is not None and shake.hashes == (2, 3)


# -- work -------------------------------------------------------------------------


def looks() -> int:
    """How often an offer was compared with configured proposals."""
    info = proposals._select.cache_info()
    return info.hits + info.misses


@pytest.mark.parametrize(("offered", "fits"), [("aes256-sha512-modp2048", False), (IKE, True)])
def test_an_offer_is_compared_once_with_what_many_connections_share(offered: str, fits: bool) -> None:
    """A hundred connections for anybody, of two kinds: two looks, whether it is refused or accepted."""
    gateway = Host("gateway", SUN, 1)
    two = [connection(remote="%any", ike=ike).proposals for ike in (IKE, f"aes128-sha256-x25519,{IKE}")]
    for number in range(100):
        similar = connection(f"c{number}", local=SUN, remote="%any", remote_id=f"p{number}")
        gateway.load(replace(similar, proposals=two[number % 2]))
    stranger = Stranger(Wiretap(World(1, gateway)), gateway, MOON)
    before = looks()
    (answer,) = stranger.ask(stranger.initial(offered))
    assert looks() - before == 2
    if not fits:
        assert notifies(answer.message) == [NotifyType.NO_PROPOSAL_CHOSEN]
        return
    shake = sa_of(gateway).handshake
    assert shake is not None and [each.name for each in shake.candidates] == [f"c{number}" for number in range(100)]


# -- places ----------------------------------------------------------------------


def knock(wire: Wiretap, host: Host, address: str, seed: int) -> str:
    """Begin with an IKE_SA_INIT and show the cookie if one is wanted: open, cookie (and open) or blocked."""
    stranger = Stranger(wire, host, address, seed=seed)
    payloads = stranger.initial()
    answers = stranger.ask(payloads)
    if not answers or answers[0].message.get(SA) is not None:
        return "open" if answers else "blocked"
    return "cookie" if stranger.ask([answers[0].message.payloads[0], *payloads]) else "blocked"


def test_one_network_of_ipv6_counts_as_one_address() -> None:
    """Eight addresses of one /64 get what eight requests of one address get; the next /64 is nobody's hostage."""
    gateway = Host("gateway", "2001:db8::1", 1)
    anybody = {"local_id": "sun.example.org", "remote_id": "%any"}
    gateway.load(connection(local="2001:db8::1", remote="%any", children=(child(mirror=True),), **anybody))
    wire = Wiretap(World(1, gateway))
    kinds = [knock(wire, gateway, f"2001:db8:66::{number:x}:1", number) for number in range(1, 9)]
    assert kinds == ["open"] * 3 + ["cookie"] * 2 + ["blocked"] * 3
    assert knock(wire, gateway, "2001:db8:66:1::1", 9) == "open"
    assert gateway.engine.half_open == 6
    wire.world.run(40)
    assert bare(gateway) and gateway.engine.half_open == 0
    assert knock(wire, gateway, "2001:db8:66::1", 10) == "open"
