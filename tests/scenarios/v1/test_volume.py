"""Lifetimes in kilobytes: of the ISAKMP SA, which counts what it protects, and of children, which the kernel counts."""

from __future__ import annotations

from tests.scenarios.v1.stage import gateways, sa_of, stands, tunnel, wait
from tests.sim.site import child


def test_an_isakmp_sa_is_renewed_before_its_volume_is_used_up() -> None:
    """Probes use it up: LIFE_TYPE kilobytes, LIFE_DURATION 20 of moon's offer holds at either end."""
    site = tunnel(moon={"life_bytes": 20 * 1024, "dpd_delay": 5}, sun={"dpd_delay": 5})
    first = sa_of(site.moon).cookie_i
    assert sa_of(site.sun).life_bytes == 20 * 1024
    wait(site, 1200)
    newest = [machine.sa for machine in site.moon.machines][-1]
    assert newest.spi_i != first and newest.octets <= 20 * 1024
    assert stands(site)


def test_the_shorter_volume_of_a_child_holds() -> None:
    site = gateways(
        moon_children=(child(life_bytes=50 << 20),), sun_children=(child(mirror=True, life_bytes=80 << 20),)
    )
    site.up()
    assert [host.children[0].life_bytes for host in (site.moon, site.sun)] == [50 << 20, 50 << 20]
