"""Who looks around after a change of addresses, and when: a few at a time, each once, and nobody who is gone."""

from __future__ import annotations

from ikectl.engine.commands import AddressesChanged
from ikectl.engine.roaming import AT_ONCE, PAUSE
from ikectl.sa import asks
from tests.sim.host import Host
from tests.sim.site import child, connection
from tests.sim.world import World

PEERS = 2 * AT_ONCE + 1


def crowded() -> tuple[World, Host, list[bytes]]:
    """A caller with many SAs that wait for their peer, and the addresses it asked routes to."""
    looked: list[bytes] = []

    def own(ask: asks.OwnAddresses) -> tuple[bytes, ...]:
        looked.append(b"")
        return tuple(host.addresses)

    host = Host("moon", "192.0.2.1", 1, answers={asks.OwnAddresses: own})
    world = World(1, host)

    for number in range(PEERS):
        host.load(connection(f"c{number}", remote=f"198.51.100.{number + 1}", children=(child(),)))
        host.initiate(f"c{number}", "net", 0.0)
    world.flush()
    looked.clear()
    return world, host, looked


def test_a_few_at_a_time() -> None:
    world, host, looked = crowded()
    host.engine.command(AddressesChanged(), world.now)
    assert len(looked) == AT_ONCE
    assert host.engine.deadline() == world.now + PAUSE
    world.run(world.now + PAUSE)
    assert len(looked) == 2 * AT_ONCE
    world.run(world.now + PAUSE)
    assert len(looked) == PEERS
    world.run(world.now + 1.0)
    assert len(looked) == PEERS, "each once"


def test_a_change_amid_it_begins_anew_and_does_not_pile_up() -> None:
    world, host, looked = crowded()
    for _ in range(50):
        host.engine.command(AddressesChanged(), world.now)
    assert len(looked) == 50 * AT_ONCE
    looked.clear()
    world.run(world.now + 1.0)
    assert len(looked) == PEERS - AT_ONCE


def test_who_is_gone_meanwhile_is_not_asked() -> None:
    world, host, looked = crowded()
    host.engine.command(AddressesChanged(), world.now)
    host.terminate(world.now, force=True)
    looked.clear()
    world.run(world.now + 1.0)
    assert not looked
