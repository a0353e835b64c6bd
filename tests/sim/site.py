"""Ready-made connections and pairs of hosts for scenarios."""

from __future__ import annotations

from typing import Any

from ikectl.config.model import AddressSpec, Auth, AuthKind, Child, Connection, Local, Remote
from ikectl.crypto.proposal import parse_proposal
from ikectl.iana.v2 import Protocol
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.values.selector import SelectorSpec
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.world import World

MOON, SUN = "192.0.2.1", "198.51.100.1"
IKE = "aes128gcm16-prfsha256-x25519"
ESP = "aes128gcm16"


def child(
    name: str = "net",
    *,
    mirror: bool = False,
    esp: str = ESP,
    local: str = "10.1.0.0/16",
    remote: str = "10.2.0.0/16",
    **more: Any,
) -> Child:
    """A child between two networks; `mirror` swaps the ends."""
    ends = (local, remote) if not mirror else (remote, local)
    more.setdefault("rekey_time", 0)
    more.setdefault("life_time", 0)
    more.setdefault("rand_time", 0)
    return Child(
        name,
        tuple(parse_proposal(word, Protocol.ESP) for word in esp.split(",")),
        local_ts=tuple(SelectorSpec.parse(word) for word in ends[0].split(",")),
        remote_ts=tuple(SelectorSpec.parse(word) for word in ends[1].split(",")),
        **more,
    )


def connection(
    name: str = "site",
    *,
    local: str = MOON,
    remote: str = SUN,
    local_id: str = "moon.example.org",
    remote_id: str = "sun.example.org",
    ike: str = IKE,
    children: tuple[Child, ...] = (),
    ends: tuple[Local, Remote] | None = None,
    **more: Any,
) -> Connection:
    """A PSK connection; `ends` instead say how either side proves itself.

    Without MOBIKE unless a test wants it, so that messages stay on port 500 where no NAT is.
    """
    more.setdefault("mobike", False)
    more.setdefault("rekey_time", 0)
    more.setdefault("rand_time", 0)
    return Connection(
        name,
        tuple(parse_proposal(word, Protocol.IKE) for word in ike.split(",")),
        version=more.pop("version", 2),
        local_addrs=(AddressSpec.parse(local),),
        remote_addrs=(AddressSpec.parse(remote),),
        local=(ends[0],) if ends else (Local(auth=Auth(AuthKind.PSK), id=Identity.parse(local_id)),),
        remote=(ends[1],) if ends else (Remote(auth=Auth(AuthKind.PSK), id=IdentityPattern.parse(remote_id)),),
        children=children,
        **more,
    )


class Site:
    """moon and sun, each with one connection `site` and one child `net`, and the world around them."""

    def __init__(
        self,
        seed: int = 1,
        *,
        link: Link | None = None,
        moon: dict[str, Any] | None = None,
        sun: dict[str, Any] | None = None,
        ike: str = IKE,
        sun_ike: str | None = None,
        moon_children: tuple[Child, ...] | None = None,
        sun_children: tuple[Child, ...] | None = None,
        moon_host: dict[str, Any] | None = None,
        sun_host: dict[str, Any] | None = None,
        nats: tuple[Any, ...] = (),
    ) -> None:
        self.moon = Host("moon", MOON, seed, **(moon_host or {}))
        self.sun = Host("sun", SUN, seed, **(sun_host or {}))
        self.moon.load(connection(ike=ike, children=moon_children or (child(),), **(moon or {})))
        self.sun.load(
            connection(
                ike=sun_ike or ike,
                children=sun_children or (child(mirror=True),),
                **{
                    "local": SUN,
                    "remote": MOON,
                    "local_id": "sun.example.org",
                    "remote_id": "moon.example.org",
                    **(sun or {}),
                },
            )
        )
        self.world = World(seed, self.moon, self.sun, link=link, nats=nats)

    def up(self, within: float = 600.0) -> int:
        """Bring the child up from moon; the token of the command, which has ended."""
        token = self.moon.initiate("site", "net", self.world.now)
        self.world.run_until(lambda: token in self.moon.done, within)
        self.world.run(self.world.now + 1.0)
        return token
