"""A life of a wanderer and its gateway, drawn from one seed: as `Life`, with MOBIKE and addresses that change."""

from __future__ import annotations

from typing import Any

from tests.sim.link import Link
from tests.sim.mixed import MAX_LOSS, Life
from tests.sim.nat import Nat
from tests.sim.site import MOON, SUN, Site
from tests.sim.tape import Tape

ADDRESSES = (MOON, "192.0.2.77", "192.0.2.78")
"""Where moon may be; the second is behind a NAT where there is one."""
SUN_TOO = "198.51.100.2"
TOGETHER = 0.7
"""How often addresses change in one act of a life."""


class MobileLife(Life):
    """As `Life`; in the end both ends agree between which addresses everything runs, or neither has anything left."""

    def __init__(self, seed: int) -> None:
        self.tape = Tape(seed, "life of a wanderer")
        draw = self.tape
        loss = MAX_LOSS * draw.fraction() if draw.chance(0.8) else 0.0
        link = Link(loss, 0.15 * draw.fraction(), 0.01 + 0.1 * draw.fraction(), 0.3 * draw.fraction())
        host: dict[str, Any] = {"late": 0.5} if draw.chance(0.3) else {}
        nat = Nat(frozenset({ADDRESSES[1]}), "203.0.113.9") if draw.chance(0.4) else None
        both = {"mobike": True, "local": "%any", "dpd_delay": 30}
        self.site = Site(
            seed,
            link=link,
            moon_host=dict(host),
            sun_host=dict(host),
            moon=both,
            sun={**both, "remote": "%any"},
            nats=(nat,) if nat else (),
        )
        self.world, self.moon, self.sun = self.site.world, self.site.moon, self.site.sun
        if draw.chance(0.5):
            self.world.move(self.sun, SUN, SUN_TOO)

    def _act(self) -> None:
        while self.tape.chance(TOGETHER):
            where = ADDRESSES[int(len(ADDRESSES) * self.tape.fraction())]
            instant = self.world.now + 3.0 * self.tape.fraction()
            self.world.at(instant, lambda where=where: self.world.move(self.moon, where))  # type: ignore[misc]
        super()._act()

    def _ends(self) -> None:
        for machine in self.moon.machines:
            path, mobility = machine.sa.path, machine.sa.mobility
            strays = [child for child in machine.sa.living_children if child.path != path]
            if strays or path.local.address not in self.moon.addresses or mobility.held is not None:
                raise self.world.violation(f"moon is at {self.moon.addresses}, its SA on {path}, children: {strays}")
        for machine in self.sun.machines:
            sa = machine.sa
            strays = [child for child in sa.living_children if (child.path, child.encap) != (sa.path, sa.nat.found)]
            if strays or sa.mobility.held is not None:
                raise self.world.violation(f"children of sun's {sa} stayed behind: {strays}")
        super()._ends()
