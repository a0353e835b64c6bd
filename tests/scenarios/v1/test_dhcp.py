"""DHCP over IPsec as the engine sees it (RFC 3456): first the DHCP SA, then an address, then the tunnel.

moon                                                    sun
quick mode [ 0.0.0.0/udp/68 === sun/udp/67 ]  <-->
(DHCP in that SA, which both shells see to)
quick mode [ 10.3.0.100 === 10.2.0.0/16 ]     <-->
"""

from __future__ import annotations

import pytest

from ikectl.config.model import Dhcp
from ikectl.engine.commands import InnerAddress
from ikectl.exchange.v1.dhcp import is_dhcp
from ikectl.sa.events import ChildUp, IkeRekeyed
from tests.scenarios.v1.stage import bare, gateways, sa_of, wait
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.site import Site, child

ADDRESS = bytes((10, 3, 0, 100))
RELAY = Dhcp(server=bytes((10, 2, 0, 10)))


def road_warrior(seed: int = 1, link: Link | None = None, *more: str) -> Site:
    """moon gets its address by DHCP, sun relays; `more` are further children of both."""
    return gateways(
        seed=seed,
        link=link,
        moon={"dhcp": Dhcp(client=True)},
        sun={"dhcp": RELAY},
        moon_children=tuple(child(name, local="dynamic") for name in ("net", *more)),
        sun_children=tuple(child(name, local="dynamic", mirror=True) for name in ("net", *more)),
    )


def dhcp_stands(site: Site) -> bool:
    """The DHCP SA stands at both ends, and nothing else."""
    return all([is_dhcp(one.config) for one in host.children] == [True] for host in (site.moon, site.sun))


def give(site: Site, host: Host, address: bytes = ADDRESS, why: str = "") -> None:
    """What a shell says when DHCP is done."""
    host.engine.command(InnerAddress(sa_of(host).uniqueid, address, why), site.world.now)


def asked(site: Site, name: str = "net") -> int:
    """moon wants a child and has the DHCP SA; the token of its command, which has not ended."""
    token = site.moon.initiate("site", name, site.world.now)
    site.world.run_until(lambda: dhcp_stands(site))
    wait(site, 10.0)
    assert token not in site.moon.done
    return token


def tunnels(host: Host) -> list[str]:
    """The children for traffic, with the ends as the host sees them."""
    return [f"{one.name}: {one.ts_local[0]} === {one.ts_remote[0]}" for one in host.children if not is_dhcp(one.config)]


def test_first_the_dhcp_sa_then_an_address_then_the_tunnel() -> None:
    site = road_warrior()
    token = asked(site)
    for host in (site.moon, site.sun):
        (dhcp,) = host.children
        assert dhcp.name == "site-dhcp" and dhcp.marks.set_into.value and 0 < dhcp.expire_at <= site.world.now + 600
    give(site, site.sun)
    give(site, site.moon)
    site.world.run_until(lambda: token in site.moon.done)
    wait(site, 1.0)
    assert site.moon.done[token].error is None
    assert tunnels(site.moon) == ["net: 10.3.0.100/32 === 10.2.0.0/16"]
    assert tunnels(site.sun) == ["net: 10.2.0.0/16 === 10.3.0.100/32"]
    site.moon.terminate(site.world.now, "site")
    wait(site, 60.0)
    assert bare(site.moon) and bare(site.sun)


@pytest.mark.parametrize("seed", range(8))
def test_on_a_bad_line(seed: int) -> None:
    site = road_warrior(seed, Link(loss=0.2, duplication=0.1))
    token = site.moon.initiate("site", "net", site.world.now)
    site.world.run_until(lambda: bool(site.sun.saw(ChildUp) and site.moon.saw(ChildUp)))
    give(site, site.sun)
    give(site, site.moon)
    site.world.run_until(lambda: token in site.moon.done)
    wait(site, 60.0)
    assert site.moon.done[token].error is None
    assert tunnels(site.sun) == ["net: 10.2.0.0/16 === 10.3.0.100/32"]


def test_several_children_wait_for_one_address() -> None:
    site = road_warrior(1, None, "more")
    tokens = [asked(site), asked(site, "more")]
    give(site, site.sun)
    give(site, site.moon)
    site.world.run_until(lambda: all(token in site.moon.done for token in tokens))
    assert [site.moon.done[token].error for token in tokens] == [None, None]
    assert len(tunnels(site.moon)) == 2


def test_two_commands_before_anything_is_under_way() -> None:
    site = road_warrior(1, None, "more")
    tokens = [site.moon.initiate("site", name, site.world.now) for name in ("net", "more")]
    site.world.run_until(lambda: dhcp_stands(site))
    give(site, site.sun)
    give(site, site.moon)
    site.world.run_until(lambda: all(token in site.moon.done for token in tokens))
    assert len(tunnels(site.moon)) == 2


def test_a_further_child_needs_no_dhcp() -> None:
    site = road_warrior(1, None, "more")
    asked(site)
    give(site, site.sun)
    give(site, site.moon)
    wait(site, 5.0)
    before = len(site.moon.saw(ChildUp))
    token = site.moon.initiate("site", "more", site.world.now)
    site.world.run_until(lambda: token in site.moon.done)
    assert len(site.moon.saw(ChildUp)) == before + 1 and len(tunnels(site.moon)) == 2


def test_no_address_no_tunnel() -> None:
    site = road_warrior()
    token = asked(site)
    give(site, site.moon, b"", "no DHCP server answered")
    site.world.run_until(lambda: token in site.moon.done)
    assert "no DHCP server answered" in (site.moon.done[token].error or "")
    token = site.moon.initiate("site", "net", site.world.now)
    wait(site, 10.0)
    assert not tunnels(site.moon) and token not in site.moon.done, "it is tried again from the DHCP SA on"


def test_the_gateway_takes_no_address_that_it_did_not_see_leased() -> None:
    site = road_warrior()
    token = asked(site)
    give(site, site.moon)
    site.world.run_until(lambda: token in site.moon.done)
    assert site.moon.done[token].error is not None
    assert not tunnels(site.sun)


def test_an_address_that_was_taken_back_serves_no_more() -> None:
    site = road_warrior(1, None, "more")
    asked(site)
    give(site, site.sun)
    give(site, site.moon)
    wait(site, 5.0)
    give(site, site.sun, b"")
    token = site.moon.initiate("site", "more", site.world.now)
    site.world.run_until(lambda: token in site.moon.done)
    assert site.moon.done[token].error is not None and len(tunnels(site.sun)) == 1


def test_a_gateway_that_does_not_relay() -> None:
    site = gateways(
        moon={"dhcp": Dhcp(client=True)},
        moon_children=(child(local="dynamic"),),
        sun_children=(child(local="dynamic", mirror=True),),
    )
    token = site.up()
    assert "has no inner address" in (site.moon.done[token].error or "")


def test_the_end_of_the_ike_sa_ends_the_waiting() -> None:
    site = road_warrior()
    token = asked(site)
    site.moon.terminate(site.world.now, "site", force=True)
    site.world.run_until(lambda: token in site.moon.done)
    assert site.moon.done[token].error == "terminated by command"


def test_a_new_phase_1_says_who_took_over() -> None:
    """The shells move leases along with that."""
    site = road_warrior()
    asked(site)
    give(site, site.sun)
    give(site, site.moon)
    wait(site, 5.0)
    site.moon.rekey(site.world.now, "site")
    wait(site, 5.0)
    for host in (site.moon, site.sun):
        (moved,) = host.saw(IkeRekeyed)
        assert moved.new.children and all(one.ike is moved.new for one in moved.new.children.values())


def test_nobody_waits_for_an_unknown_sa() -> None:
    site = road_warrior()
    asked(site)
    site.moon.engine.command(InnerAddress(999, ADDRESS), site.world.now)
    wait(site, 5.0)
    assert not tunnels(site.moon)
