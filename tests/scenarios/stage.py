"""What every scenario begins with: two gateways, and somebody who reads the wire between them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from ikectl.iana.v2 import ExchangeType, NotifyType
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify
from tests.sim.forge import Chain, chain_of, clear, seal
from tests.sim.host import Host
from tests.sim.site import Site
from tests.sim.wiretap import Rule, Seen, Which, Wiretap

IKE_SA_INIT, IKE_AUTH = ExchangeType.IKE_SA_INIT, ExchangeType.IKE_AUTH
CREATE_CHILD_SA, INFORMATIONAL = ExchangeType.CREATE_CHILD_SA, ExchangeType.INFORMATIONAL


def gateways(**options: Any) -> tuple[Site, Wiretap]:
    """moon and sun, configured, silent yet."""
    site = Site(**options)
    return site, Wiretap(site.world)


def tunnel(**options: Any) -> tuple[Site, Wiretap]:
    """moon and sun with an IKE SA and the child `net`, which moon brought up."""
    site, wire = gateways(**options)
    token = site.up()
    assert site.moon.done[token].error is None, site.moon.done[token].error
    assert stands(site)
    return site, wire


def stands(site: Site) -> bool:
    """Both ends have one child and a packet passes either way."""
    return (
        len(site.moon.children) == len(site.sun.children) == 1
        and site.world.carries(site.moon, site.sun)
        and site.world.carries(site.sun, site.moon)
    )


def bare(host: Host) -> bool:
    """The host has no SA, and nothing in its kernel."""
    return not (host.machines or host.kernel.inbound or host.kernel.outbound or host.kernel.larval)


def sa_of(host: Host) -> IkeSa:
    """Its only IKE SA."""
    (machine,) = host.machines
    return machine.sa


def notifies(message: Message | None) -> list[NotifyType]:
    """The types of all notifies of a message; there must be one."""
    assert message is not None, "no message came"
    return [notify.type for notify in message.all(Notify)]


def wait(site: Site, seconds: float) -> None:
    """Let time pass."""
    site.world.run(site.world.now + seconds)


def rewrite(
    wire: Wiretap,
    choice: Which,
    change: Callable[[list[Payload]], list[Payload] | Chain],
    times: int | None = 1,
    **odd: Any,
) -> Rule:
    """Let messages have other payloads, as if their sender had wanted them so."""

    def instead(seen: Seen) -> bytes:
        message = seen.message
        changed = change(list(message.payloads))
        chain = changed if isinstance(changed, tuple) else chain_of(changed)
        if message.exchange is not IKE_SA_INIT:
            return seal(message, wire.cipher(message.spi_i, message.spi_r, message.initiator), chain, **odd)
        return clear(
            chain,
            spi_i=message.spi_i,
            spi_r=message.spi_r,
            response=message.response,
            initiator=message.initiator,
            **odd,
        )

    return wire.rewrite(choice, instead, times)


def end(site: Site, name: str) -> Host:
    return site.moon if name == "moon" else site.sun


def other(site: Site, host: Host) -> Host:
    return site.sun if host is site.moon else site.moon


def loses(site: Site, loser: Host) -> None:
    """Let the nonce that `loser` draws next be the lowest of all (§2.8.1)."""
    for host in (site.moon, site.sun):
        (machine,) = host.machines
        _lead(machine.sa, b"\x00" if host is loser else b"\xff")


def _lead(sa: IkeSa, first: bytes) -> None:
    random, drawn = sa.random, count()

    def draw(octets: int) -> bytes:
        fresh = random(octets)
        if octets != 32:
            return fresh
        return (first if next(drawn) == 0 else b"\x80") + fresh[1:]

    sa.random = draw
