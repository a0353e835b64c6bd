"""A life of two gateways drawn from one seed: handshake, rekeyings by either end or both, deletes, on a bad link."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ikectl.config.model import Childless, Mode
from ikectl.sa.env import Settings
from ikectl.sa.events import IkeUp
from ikectl.values.identity import Identity
from tests.sim.link import Link
from tests.sim.nat import Nat
from tests.sim.site import MOON, Site, child
from tests.sim.tape import Tape

QUIET = Link(delay=0.01)
MAX_LOSS = 0.3
ROUNDS = ("", "-ke1_mlkem768", "-ke1_ecp384", "-ke1_ecp384-ke1_none-ke2_x448", "-ke3_ecp384-ke4_mlkem768")
"""Additional key exchanges (RFC 9370) that some lives have, in the IKE SA or in children."""


def _child_of(draw: Tape) -> dict[str, Any]:
    """Transport mode, IPComp, several selectors, or a bit of each."""
    found: dict[str, Any] = {"ipcomp": draw.chance(0.6)}
    if draw.chance(0.5):
        found |= {"mode": Mode.TRANSPORT, "local": "dynamic", "remote": "dynamic"}
    elif draw.chance(0.5):
        found |= {"local": "10.1.0.0/16,10.3.0.0/24[tcp]", "remote": "10.2.0.0/16,10.4.0.1-10.4.0.9[tcp/80]"}
    return found


class Life:
    """`run()` lives it and raises Violation where an invariant breaks."""

    def __init__(self, seed: int) -> None:
        self.tape = Tape(seed, "life")
        draw = self.tape
        loss = MAX_LOSS * draw.fraction() if draw.chance(0.8) else 0.0
        link = Link(loss, 0.15 * draw.fraction(), 0.01 + 0.1 * draw.fraction(), 0.3 * draw.fraction())
        late: dict[str, Any] = {"late": 0.5} if draw.chance(0.3) else {}
        busy = Settings(cookie_threshold=0 if draw.chance(0.3) else 30)
        if seed % 8 == 2:  # in these nobody gets in without work, and half of them want more before IKE_AUTH
            asked = {"puzzle_threshold": 0, "puzzle_difficulty": 4, "puzzle_auth": 3 if seed % 16 == 2 else 0}
            busy = replace(busy, **asked, puzzle_legacy=0.0)
        groups = "aes128gcm16-prfsha256-x25519-ecp256"
        nat = Nat(frozenset({MOON}), "203.0.113.9") if draw.chance(0.2) else None
        esp = "aes128gcm16-x25519" if draw.chance(0.3) else "aes128gcm16"
        sun_groups = "aes128gcm16-prfsha256-ecp256" if draw.chance(0.2) else groups
        about: dict[str, Any] = {}
        if seed % 4 == 3:  # of a tape of their own: the other lives stay as they were
            rounds = Tape(seed, "additional key exchanges")
            esp = "aes128gcm16-x25519" + ROUNDS[int(len(ROUNDS) * rounds.fraction())]
            more = ROUNDS[int(len(ROUNDS) * rounds.fraction())]
            groups, sun_groups = groups + more, sun_groups + more
            if rounds.chance(0.5):
                about = {"ppk_id": Identity.parse("quantum"), "ppk_intermediate": rounds.chance(0.5)}
                late["ppks"] = {"quantum": b"a key of both"}
        shape: dict[str, Any] = {}
        if seed % 4 == 1:
            kinds = Tape(seed, "kinds of children")
            shape = _child_of(kinds)
            about = {"childless": Childless.PREFER} if kinds.chance(0.5) else {}
        self.site = Site(
            seed,
            link=link,
            ike=groups,
            sun_ike=sun_groups,
            moon_children=(child(esp=esp, **shape),),
            sun_children=(child(esp=esp, mirror=True, **shape),),
            moon=about,
            moon_host=dict(late),
            sun_host={**late, "settings": busy},
            sun={"remote": "%any"} if nat else None,
            nats=(nat,) if nat else (),
        )
        self.world, self.moon, self.sun = self.site.world, self.site.moon, self.site.sun

    def run(self) -> bool:
        """Whether the handshake came about; on a bad link it may rightly fail."""
        token = self.moon.initiate("site", "net", 0.0)
        self.world.run_until(lambda: token in self.moon.done, within=1200.0)
        if self.moon.done[token].error is not None:
            return False
        for _ in range(1 + int(3 * self.tape.fraction())):
            self._act()
        self._rest()
        self.world.settled()
        self._ends()
        return True

    def _act(self) -> None:
        """One or both ends do something, at almost the same time or not."""
        draw, start = self.tape, self.world.now
        both = draw.chance(0.6)
        gap = 0.4 * draw.fraction()
        for order, host in enumerate((self.moon, self.sun) if draw.chance(0.5) else (self.sun, self.moon)):
            if order and not both:
                break
            kind = draw.fraction()
            instant = start + order * gap
            if kind < 0.45:
                self.world.at(instant, lambda host=host: self._rekey(host, "net"))  # type: ignore[misc]
            elif kind < 0.85:
                self.world.at(instant, lambda host=host: self._rekey(host, ""))  # type: ignore[misc]
            elif kind < 0.95:
                self.world.at(instant, lambda host=host: self._remake(host))  # type: ignore[misc]
            else:
                self.world.at(instant, lambda host=host: host.initiate("site", "net", self.world.now))  # type: ignore[misc]
        self.world.run(start + (30.0 if draw.chance(0.5) else 1.0) * draw.fraction() + 1.0)

    def _rekey(self, host: object, name: str) -> None:
        assert host is self.moon or host is self.sun
        end = self.moon if host is self.moon else self.sun
        end.rekey(self.world.now, "site", name)

    def _remake(self, host: object) -> None:
        """Delete the child; it comes back in the end."""
        end = self.moon if host is self.moon else self.sun
        end.terminate(self.world.now, "site", "net")

    def _rest(self) -> None:
        """A good link again, and time for every retry."""
        self.world.link = QUIET
        self.world.run(self.world.now + 900.0)

    def _ends(self) -> None:
        """Traffic passes if there are children; then everything goes."""
        if self.moon.children and not (
            self.world.carries(self.moon, self.sun) and self.world.carries(self.sun, self.moon)
        ):
            raise self.world.violation("a packet would be lost")
        ender = self.moon if self.tape.chance(0.5) else self.sun
        ender.terminate(self.world.now)
        self.world.run(self.world.now + 400.0)
        for host in (self.moon, self.sun):
            if host.machines or host.kernel.inbound or host.kernel.outbound or host.kernel.larval:
                raise self.world.violation(f"{host.name} kept something after the end")
            if len(host.saw(IkeUp)) < 1:
                raise self.world.violation(f"{host.name} never saw the SA up")
