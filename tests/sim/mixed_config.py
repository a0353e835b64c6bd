"""A life of a client and its gateway, drawn from one seed: mode config, then renewals by either end, on a bad link."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from ikectl.config.model import Pool, PoolAttribute
from ikectl.iana.v1 import ConfigAttribute
from tests.sim.link import Link
from tests.sim.mixed import MAX_LOSS
from tests.sim.mixed_v1 import LifeV1
from tests.sim.nat import Nat
from tests.sim.site import MOON, Site, child
from tests.sim.tape import Tape

FIRST, LAST, DNS = (ip_address(text).packed for text in ("10.3.0.1", "10.3.0.6", "10.2.0.10"))


class ConfigLife(LifeV1):
    """As `LifeV1`; moon has an inner address of sun's pool, and keeps it whatever happens."""

    def __init__(self, seed: int) -> None:
        self.tape = Tape(seed, "life with mode config")
        draw = self.tape
        loss = MAX_LOSS * draw.fraction() if draw.chance(0.8) else 0.0
        link = Link(loss, 0.15 * draw.fraction(), 0.01 + 0.1 * draw.fraction(), 0.3 * draw.fraction())
        host: dict[str, Any] = {"late": 0.5} if draw.chance(0.5) else {}
        both = {"version": 1, "pull": draw.chance(0.6)}
        nat = Nat(frozenset({MOON}), "203.0.113.9") if draw.chance(0.3) else None
        expiry = PoolAttribute(ConfigAttribute.INTERNAL_ADDRESS_EXPIRY, (300).to_bytes(4, "big"))
        names = PoolAttribute(ConfigAttribute.INTERNAL_IP4_DNS, DNS)
        self.site = Site(
            seed,
            link=link,
            ike="aes128-sha256-ecp256",
            moon_children=(child(local="dynamic", remote="10.2.0.0/16"),),
            sun_children=(child(local="10.2.0.0/16", remote="dynamic"),),
            moon_host=dict(host),
            sun_host=dict(host),
            moon={**both, "vips": (bytes(4),)},
            sun={**both, "pools": ("road",), **({"remote": "%any"} if nat else {})},
            nats=(nat,) if nat else (),
        )
        self.world, self.moon, self.sun = self.site.world, self.site.moon, self.site.sun
        try:
            pool = Pool("road", FIRST, LAST, (names, expiry) if draw.chance(0.3) else (names,))
            self.sun.pools.load(pool).send(None)
        except StopIteration:
            pass

    @property
    def leased(self) -> list[bytes]:
        (pool,) = self.sun.pools.all()
        return [lease.address for lease in pool.leases() if lease.online]

    def _ends(self) -> None:
        """One address, known alike to everybody; then none."""
        ours = [machine.sa.own_vips for machine in self.moon.machines]
        theirs = [machine.sa.peer_vips for machine in self.sun.machines]
        if not ours == theirs == [tuple(self.leased)] or self.moon.kernel.addresses != {self.leased[0]: 1}:
            why = f"moon has {ours} and {self.moon.kernel.addresses}, sun {theirs} and {self.leased}"
            raise self.world.violation(f"the inner addresses differ: {why}")
        super()._ends()
        if self.leased or self.moon.kernel.addresses or self.moon.kernel.dns:
            raise self.world.violation("an inner address was left behind")
