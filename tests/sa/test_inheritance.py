"""What an IKE SA takes over from the one it replaces (RFC 7296 §2.18, RFC 4555 §3.5)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ikectl.sa.env import Env
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.mobility import Held, Mobility
from ikectl.values.path import Endpoint, Path

FIRST = Path(Endpoint.parse("192.0.2.1", 4500), Endpoint.parse("198.51.100.1", 4500))
MOVED = Path(Endpoint.parse("192.0.2.77", 4500), Endpoint.parse("198.51.100.1", 4500))


def sa(path: Path, mobility: Mobility | None) -> IkeSa:
    env = Env(lambda number: lambda octets: bytes(octets))
    number = env.next_ike()
    return IkeSa(env, env.random_for(number), number, True, bytes(8), bytes(8), path, mobility=mobility)


def test_one_that_was_made_before_its_peer_moved_is_where_the_old_one_is() -> None:
    """Both ends rekey at once: what the loser's exchange made waits, and the end that wanders moves meanwhile."""
    old = sa(MOVED, Mobility(True, peer_addresses=(b"addr",), told=(b"told",), verified=(b"seen",), moves=2))
    old.nat = replace(old.nat, local=True)
    assert old.mobility is not None
    old.mobility.held = Held(FIRST, False)
    old.mobility.probed, old.mobility.seen_as = (FIRST,), b"hash"
    new = sa(FIRST, Mobility(True))
    assert new.mobility is not None
    new.mobility.heard = MOVED
    new.inherit(old)
    assert (new.path, new.nat) == (MOVED, old.nat)
    assert (new.way, new.encap) == (FIRST, False), "children stay where they are until the peer proved to be there"
    assert new.mobility.moves == 2 and new.mobility.peer_addresses == (b"addr",) and new.mobility.told == (b"told",)
    assert new.mobility.verified == (b"seen",)
    assert new.mobility.heard == MOVED, "that of the message which made it take over"
    assert (new.mobility.probed, new.mobility.seen_as) == ((), b""), "these were about the old one's requests"


@pytest.mark.parametrize("mobility", [None, Mobility(True)])
def test_one_that_does_not_move_stays_where_it_was_made(mobility: Mobility | None) -> None:
    new = sa(FIRST, mobility)
    new.inherit(sa(MOVED, None))
    assert new.path == FIRST
