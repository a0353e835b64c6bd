"""A life of a road warrior, drawn from one seed: EAP or two proofs, inner addresses, reauthentication, roaming.

Its gateway has address pools, so every life ends with the question whether all
leases are given back. Fragments are needed where the path is narrow.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from ikectl.config.model import Auth, AuthKind, Local, Pool, Remote, Unique
from ikectl.engine.commands import Rekey, Selection
from ikectl.iana.eap import EapType
from ikectl.sa.env import Settings
from ikectl.values.identity import Identity, IdentityPattern
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.mixed import MAX_LOSS, Life
from tests.sim.nat import Nat
from tests.sim.site import MOON, SUN, Site, child
from tests.sim.tape import Tape
from tests.sim.users import user_answers

CAROL = Identity.parse("carol")
METHODS = (EapType.MD5, EapType.MSCHAPV2, EapType.GTC)
POOLS = (("road", "10.3.0.1", "10.3.0.6"), ("six", "2001:db8:3::1", "2001:db8:3::6"))
CHILDREN = ("net", "lab")
PLACES = (MOON, "192.0.2.77", "192.0.2.78")
"""Where moon may be. The first is behind a translator, in some lives."""


class RoadLife(Life):
    """moon comes from anywhere; sun is its gateway."""

    def __init__(self, seed: int) -> None:
        self.tape = Tape(seed, "life on the road")
        draw = self.tape
        loss = MAX_LOSS / 2 * draw.fraction() if draw.chance(0.8) else 0.0
        link = Link(loss, 0.15 * draw.fraction(), 0.01 + 0.1 * draw.fraction(), 0.2 * draw.fraction())
        late: dict[str, Any] = {"late": 0.5} if draw.chance(0.3) else {}
        settings = Settings(make_before_break=draw.chance(0.7))
        users = {"answers": user_answers({"carol": b"of carol alone"}), "settings": settings, **late}
        vips = tuple(bytes(octets) for octets in (4, 16) if draw.chance(0.6)) or (bytes(4),)
        nat = Nat(frozenset({MOON}), "203.0.113.9") if draw.chance(0.4) else None
        self.roams = draw.chance(0.5)
        roaming: dict[str, Any] = {"mobike": True, "local": "%any"} if self.roams else {}
        # A client that roams amid a handshake leaves an SA behind that only the gateway knows of.
        roaming |= {"dpd_delay": 60}
        unique: dict[str, Any] = {"unique": Unique.REPLACE} if draw.chance(0.3) else {}
        esp = "aes128gcm16-x25519" if draw.chance(0.3) else "aes128gcm16"
        nets = {"net": "10.1.0.0/16,2001:db8:1::/64", "lab": "10.2.0.0/16,2001:db8:2::/64"}
        self.site = Site(
            seed,
            link=link,
            moon_children=tuple(child(name, esp=esp, local="dynamic", remote=nets[name]) for name in CHILDREN),
            sun_children=tuple(child(name, esp=esp, local=nets[name], remote="dynamic") for name in CHILDREN),
            moon_host=users,
            sun_host=users,
            moon={"vips": vips, **unique, **roaming},
            sun={"pools": tuple(name for name, _, _ in POOLS), **unique, **roaming, "remote": "%any", "local": SUN},
            nats=(nat,) if nat else (),
        )
        self.world, self.moon, self.sun = self.site.world, self.site.moon, self.site.sun
        self._fill()
        self._prove()

    def _fill(self) -> None:
        for name, low, high in POOLS:
            try:
                self.sun.pools.load(Pool(name, ip_address(low).packed, ip_address(high).packed)).send(None)
            except StopIteration:
                continue

    def _prove(self) -> None:
        """How moon proves itself: by EAP, by two shared keys one after the other, or by one."""
        (ours,), (theirs,) = self.moon.engine.connections.all, self.sun.engine.connections.all
        psk, kind = Auth(AuthKind.PSK), self.tape.fraction()
        if kind < 0.6:
            auth = Auth(AuthKind.EAP, eap=(METHODS[int(self.tape.fraction() * len(METHODS))],))
            anybody = IdentityPattern.parse("%any")
            self.moon.load(replace(ours, local=(Local("local", auth, CAROL),)))
            self.sun.load(replace(theirs, remote=(Remote("remote", auth, anybody, eap_id=anybody),)))
        elif kind < 0.8:
            self.moon.load(replace(ours, local=(*ours.local, Local("again", psk, CAROL))))
            again = Remote("again", psk, IdentityPattern.parse("carol"))
            self.sun.load(replace(theirs, remote=(*theirs.remote, again)))

    def _act(self) -> None:
        draw, start = self.tape, self.world.now
        if self.roams and draw.chance(0.4):
            place = PLACES[int(len(PLACES) * draw.fraction())]
            self.world.at(start + 0.4 * draw.fraction(), lambda: self.world.move(self.moon, place))
        for order in range(1 + int(2 * draw.fraction())):
            host = self.moon if draw.chance(0.5) else self.sun
            name = CHILDREN[int(2 * draw.fraction())]
            kind = draw.fraction()
            self.world.at(start + 0.4 * order * draw.fraction(), lambda act=(kind, host, name): self._do(*act))  # type: ignore[misc]
        self.world.run(start + (30.0 if draw.chance(0.5) else 1.0) * draw.fraction() + 1.0)

    def _do(self, kind: float, host: Host, name: str) -> None:
        now = self.world.now
        if kind < 0.25:
            host.rekey(now, "site", name)
        elif kind < 0.45:
            host.rekey(now, "site")
        elif kind < 0.65:
            # Only the client can begin again: it alone has a password and somewhere to call.
            self.moon.engine.command(Rekey(0, Selection("site"), reauth=True), now)
        elif kind < 0.8:
            host.terminate(now, "site", name)
        else:
            self.moon.initiate("site", name, now)

    def _ends(self) -> None:
        """Once all is taken down no address is held any more, at either end."""
        super()._ends()
        for pool in self.sun.pools.all():
            if any(lease.online for lease in pool.leases()):
                raise self.world.violation(f"an address of pool {pool.name} is still held")
        if self.moon.kernel.addresses:
            raise self.world.violation("an inner address stayed behind")
