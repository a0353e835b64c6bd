"""What every scenario of IKEv1 begins with: two gateways that speak nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ikectl.iana.v1 import NotifyType
from ikectl.sa.association import IkeState
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.wire.header import HEADER, HEADER_OCTETS
from ikectl.wire.v1.identity import ID
from ikectl.wire.v1.keying import Hash
from ikectl.wire.v1.message import FLAG_ENCRYPTION, Message
from ikectl.wire.v1.notify import Notify
from ikectl.wire.v1.payload import Payload
from tests.scenarios.stage import bare, stands, wait
from tests.sim.forge_v1 import Chain, Peer, chain_of, clear
from tests.sim.host import Host
from tests.sim.site import MOON, SUN, Site
from tests.sim.wiretap_v1 import PHASE_1, QUICK, Rule, Seen, Which, Wiretap, quick_hash

IKE = "aes128-sha256-modp2048"
AGGRESSIVE_PSK = {"aggressive": True, "aggressive_psk": True}

__all__ = [
    "AGGRESSIVE_PSK",
    "IKE",
    "bare",
    "caller",
    "calls",
    "gateways",
    "is_up",
    "notifies",
    "rewrite",
    "sa_of",
    "stands",
    "tunnel",
    "wait",
    "watched",
    "watched_tunnel",
]


def gateways(*, ike: str = IKE, both: dict[str, Any] | None = None, **options: Any) -> Site:
    """moon and sun, configured for IKEv1, silent yet. `both` are options of either connection."""
    for name in ("moon", "sun"):
        options[name] = {"version": 1, **(both or {}), **options.get(name, {})}
    return Site(ike=ike, **options)


def tunnel(**options: Any) -> Site:
    """moon and sun with an ISAKMP SA and the child `net`, which moon brought up."""
    site = gateways(**options)
    token = site.up()
    assert site.moon.done[token].error is None, site.moon.done[token].error
    assert stands(site)
    return site


def sa_of(host: Host) -> IsakmpSa:
    """Its only ISAKMP SA."""
    (machine,) = host.machines
    assert isinstance(machine.sa, IsakmpSa)
    return machine.sa


def watched(**options: Any) -> tuple[Site, Wiretap]:
    """As `gateways`, with somebody who reads the wire."""
    site = gateways(**options)
    return site, Wiretap(site.world)


def watched_tunnel(**options: Any) -> tuple[Site, Wiretap]:
    """As `tunnel`, with somebody who has read the wire from the start."""
    site, wire = watched(**options)
    token = site.up()
    assert site.moon.done[token].error is None, site.moon.done[token].error
    assert stands(site)
    return site, wire


def is_up(host: Host) -> bool:
    """It has one ISAKMP SA, and that stands."""
    return [machine.sa.state for machine in host.machines] == [IkeState.ESTABLISHED]


def calls(**options: Any) -> tuple[Site, Wiretap, Peer, Seen]:
    """moon calls sun, at whose address a peer by hand sits; what moon said first."""
    site, wire = watched(**options)
    del site.world.hosts[SUN]
    site.moon.initiate("site", "net", site.world.now)
    site.world.flush()
    peer = Peer(wire, site.moon, SUN, name="sun.example.org", seed=8)
    return site, wire, peer, wire.seen[-1]


def caller(wire: Wiretap, site: Site, **options: Any) -> Peer:
    """A peer by hand at moon's address, who is going to call sun."""
    return Peer(wire, site.sun, MOON, **options)


def notifies(messages: list[Seen] | list[Message] | Message | None) -> list[NotifyType]:
    """The types of all notifies, in order."""
    if messages is None:
        return []
    found = [messages] if isinstance(messages, Message) else [getattr(each, "message", each) for each in messages]
    return [notify.type for message in found for notify in message.all(Notify)]


def rewrite(
    wire: Wiretap,
    choice: Which,
    change: Callable[[list[Payload]], list[Payload] | Chain],
    times: int | None = 1,
    *,
    flags: int = 0,
) -> Rule:
    """Let messages have other payloads, as if their sender had wanted them so: proven and encrypted again.

    `change` gets the payloads without their HASH. `flags` are added.
    """

    def instead(seen: Seen) -> bytes:
        message = seen.message
        cookies = message.cookie_i, message.cookie_r
        payloads = [each for each in message.payloads if not isinstance(each, Hash)]
        changed = change(payloads)
        if not message.encrypted:
            proven = message.all(Hash) and not isinstance(changed, tuple)
            if proven and not any(isinstance(each, Hash) for each in changed):
                named = next(each for each in changed if isinstance(each, ID))
                changed = [*changed, wire.proof(cookies, wire.began(seen), named.body())]
            more = {"exchange": message.exchange, "message_id": message.message_id, "flags": flags}
            return clear(changed, cookie_i=cookies[0], cookie_r=cookies[1], **more)  # type: ignore[arg-type]
        suite, keys = wire.keys_of(cookies)
        first, rest = chain_of(changed)
        if message.exchange in PHASE_1:
            assert not isinstance(changed, tuple)
            (named,) = [each for each in changed if isinstance(each, ID)]
            first, octets = chain_of([*changed, wire.proof(cookies, wire.began(seen), named.body())])
        else:
            nonces = wire.nonces_before(seen) if message.exchange is QUICK else []
            proof = quick_hash(suite, keys, message.message_id, rest, nonces)
            octets = bytes((first, 0)) + (4 + len(proof.data)).to_bytes(2, "big") + proof.data + rest
            first = Hash.TYPE
        octets += bytes(-len(octets) % suite.block_octets)
        flag = FLAG_ENCRYPTION | flags | (2 if message.commit else 0)
        head = (*cookies, first, 0x10, message.exchange, flag, message.message_id, HEADER_OCTETS + len(octets))
        return HEADER.pack(*head) + suite.encrypt(keys.cipher_key, seen.iv, octets)

    return wire.rewrite(choice, instead, times)
