"""A life of two gateways with many children and wide windows: as `Life`, with several exchanges of each in flight."""

from __future__ import annotations

from typing import Any

from ikectl.config.model import Child
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.mixed import MAX_LOSS, ROUNDS, Life
from tests.sim.site import MOON, Site, child
from tests.sim.tape import Tape

NETS = 4
WINDOWS = (1, 2, 3, 4, 8, 16)
MANY = 6
"""Commands of one end in one act, at most."""


def nets(mirror: bool, esp: str) -> tuple[Child, ...]:
    """`net`, `net1`, `net2` ... between networks of their own."""
    ends = [(f"10.1.{number}.0/24", f"10.2.{number}.0/24") for number in range(NETS)]
    return tuple(
        child(f"net{number or ''}", mirror=mirror, esp=esp, local=local, remote=remote)
        for number, (local, remote) in enumerate(ends)
    )


class WideLife(Life):
    """As `Life`. Jitter is larger than the gaps between datagrams, so that requests and answers overtake each other."""

    def __init__(self, seed: int) -> None:
        self.tape = Tape(seed, "a life of many children")
        draw = self.tape
        loss = MAX_LOSS * draw.fraction() if draw.chance(0.8) else 0.0
        link = Link(loss, 0.2 * draw.fraction(), 0.01 + 0.1 * draw.fraction(), 0.5 * draw.fraction())
        host: dict[str, Any] = {"late": 0.5} if draw.chance(0.3) else {}
        esp = "aes128gcm16"
        if draw.chance(0.3):
            esp += "-x25519" + ROUNDS[int(len(ROUNDS) * draw.fraction())]
        mobile = draw.chance(0.3)
        both: dict[str, Any] = {"mobike": True, "local": "%any", "dpd_delay": 30} if mobile else {}
        self.places = (MOON, "192.0.2.77") if mobile else ()
        self.site = Site(
            seed,
            link=link,
            moon={**both, "window": self._window()},
            sun={**both, "window": self._window(), **({"remote": "%any"} if mobile else {})},
            moon_children=nets(False, esp),
            sun_children=nets(True, esp),
            moon_host=dict(host),
            sun_host=dict(host),
        )
        self.world, self.moon, self.sun = self.site.world, self.site.moon, self.site.sun

    def _window(self) -> int:
        return WINDOWS[int(len(WINDOWS) * self.tape.fraction())]

    def _act(self) -> None:
        draw, start = self.tape, self.world.now
        for host in (self.moon, self.sun):
            gap = 0.3 * draw.fraction()
            for _ in range(int((MANY + 1) * draw.fraction())):
                self._command(host, start + gap * draw.fraction())
        if self.places and draw.chance(0.5):
            where = self.places[int(len(self.places) * draw.fraction())]
            self.world.at(start + draw.fraction(), lambda: self.world.move(self.moon, where))
        self.world.run(start + (30.0 if draw.chance(0.5) else 1.0) * draw.fraction() + 1.0)

    def _command(self, host: Host, instant: float) -> None:
        kind, name = self.tape.fraction(), f"net{int(NETS * self.tape.fraction()) or ''}"
        if kind < 0.45:
            self.world.at(instant, lambda: host.initiate("site", name, self.world.now) and None)
        elif kind < 0.75:
            self.world.at(instant, lambda: self._rekey(host, name))
        elif kind < 0.9:
            self.world.at(instant, lambda: host.terminate(self.world.now, "site", name) and None)
        else:
            self.world.at(instant, lambda: self._rekey(host, ""))
