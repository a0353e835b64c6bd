"""A life of two gateways that speak IKEv1, drawn from one seed: phase 1, renewals by either end or both, on a bad link.

Nobody acknowledges a delete in IKEv1, so none is drawn while the link loses
datagrams: the ends could rightly differ for as long as a lifetime.
"""

from __future__ import annotations

from typing import Any

from ikectl.sa.env import Settings
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.mixed import MAX_LOSS, Life
from tests.sim.nat import Nat
from tests.sim.site import MOON, Site, child
from tests.sim.tape import Tape

AGGRESSIVE = {"aggressive": True, "aggressive_psk": True}


class LifeV1(Life):
    """As `Life`, with the exchanges of IKEv1."""

    def __init__(self, seed: int) -> None:
        self.tape = Tape(seed, "life of IKEv1")
        draw = self.tape
        loss = MAX_LOSS * draw.fraction() if draw.chance(0.8) else 0.0
        link = Link(loss, 0.15 * draw.fraction(), 0.01 + 0.1 * draw.fraction(), 0.3 * draw.fraction())
        late: dict[str, Any] = {"late": 0.5} if draw.chance(0.3) else {}
        mode: dict[str, Any] = {"version": 1, **(AGGRESSIVE if draw.chance(0.5) else {})}
        nat = Nat(frozenset({MOON}), "203.0.113.9") if draw.chance(0.3) else None
        # Who comes through a translator cannot be told by its address in main mode, but for a key that is anybody's.
        esp = "aes128-sha256-ecp256" if draw.chance(0.3) else "aes128gcm16"
        pairs = "10.1.0.0/16,10.3.0.0/16" if draw.chance(0.3) else "10.1.0.0/16"
        self.site = Site(
            seed,
            link=link,
            ike="aes128-sha256-ecp256",
            moon_children=(child(esp=esp, local=pairs),),
            sun_children=(child(esp=esp, local=pairs, mirror=True),),
            moon_host=dict(late),
            sun_host={**late, "settings": Settings()},
            moon=mode,
            sun={**mode, "remote": "%any"} if nat else mode,
            nats=(nat,) if nat else (),
        )
        self.world, self.moon, self.sun = self.site.world, self.site.moon, self.site.sun

    def _act(self) -> None:
        draw, start = self.tape, self.world.now
        both = draw.chance(0.6)
        gap = 0.4 * draw.fraction()
        for order, host in enumerate((self.moon, self.sun) if draw.chance(0.5) else (self.sun, self.moon)):
            if order and not both:
                break
            name = "net" if draw.chance(0.7) else ""
            self.world.at(start + order * gap, lambda host=host, name=name: self._renew(host, name))  # type: ignore[misc]
        self.world.run(start + (30.0 if draw.chance(0.5) else 1.0) * draw.fraction() + 1.0)

    def _renew(self, host: Host, name: str) -> None:
        host.rekey(self.world.now, "site", name)
