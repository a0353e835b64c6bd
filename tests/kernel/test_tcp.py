"""IKE inside TCP between two of our daemons: what the wire carries, and what becomes of children (RFC 9329)."""

from __future__ import annotations

import pytest

from ikectl.kernel.features import has_esp_in_tcp
from ikectl.wire.stream import PREFIX, Unframer
from tests.interop.configurations import MOON, SUN
from tests.lab.fixtures import Lab
from tests.lab.peers.base import Refused
from tests.lab.peers.ikectl import Ikectl
from tests.lab.topology import BEHIND_NAT, SITE_TO_SITE, Topology
from tests.lab.world import World, until

NON_ESP = bytes(4)
OURS, THEIRS = "192.0.2.1", "198.51.100.1"
"""As the router in the middle sees both ends, be there a NAT or not."""


class Gateway(Ikectl):
    """It listens."""

    def command(self) -> list[str]:
        return [*super().command(), "--tcp-port", "4500"]


def called(lab: Lab, tcp: str = "yes", topology: Topology = SITE_TO_SITE, **sun: str) -> tuple[World, Ikectl, Ikectl]:
    """moon calls sun by TCP, each with MOBIKE as is the default."""
    world = lab.lay(topology)
    moon = world.ikectl("moon", conf=MOON.but(local_addrs="%any", connection=f"tcp = {tcp}").conf())
    return world, moon, world.peer(Gateway, "sun", conf=SUN.but(**sun).conf())


def ike_alone(moon: Ikectl) -> None:
    list(moon.vici().initiate({"ike": "site"}))


def said(world: World, source: str) -> list[bytes]:
    """The octets of each TCP segment from an address that arrived at the router."""
    segments = [packet.body for packet in world.wire("router").packets("tcp", source=source)]
    return [segment[(segment[12] >> 4) * 4 :] for segment in segments]


@pytest.mark.parametrize("topology", [SITE_TO_SITE, BEHIND_NAT], ids=["plain", "behind a NAT"])
def test_all_of_ike_in_one_connection(lab: Lab, topology: Topology) -> None:
    world, moon, sun = called(lab, topology=topology, remote_addrs="%any")
    ike_alone(moon)
    (sa,) = moon.sas()
    assert (sa["state"], sa["transport"], sa["remote-port"]) == ("ESTABLISHED", "tcp", "4500")
    moon.rekey(ike="site")
    until(lambda: [each["uniqueid"] for each in sun.sas()] == ["2"], "a new IKE SA")
    moon.down(ike="site")
    assert sun.sas() == []
    assert world.wire("router").packets("udp", "ike", "esp", "esp-in-udp", "keepalive") == []
    stream, back = (b"".join(said(world, address)) for address in (OURS, THEIRS))
    assert stream.startswith(PREFIX)
    messages, answers = Unframer().feed(stream.removeprefix(PREFIX)), Unframer().feed(back)
    assert len(messages) == len(answers) == 5  # IKE_SA_INIT, IKE_AUTH, CREATE_CHILD_SA, two deletes
    assert all(message.startswith(NON_ESP) for message in messages + answers)


def test_when_udp_does_not_pass(lab: Lab) -> None:
    world, moon, sun = called(lab, "fallback")
    world.run("router", "iptables-legacy", "-I", "FORWARD", "-p", "udp", "-j", "DROP")
    ike_alone(moon)
    (sa,) = sun.sas()
    assert (sa["state"], sa["transport"]) == ("ESTABLISHED", "tcp")
    assert "by TCP" in moon.log()


def test_children_go_inside_as_the_kernel_can(lab: Lab) -> None:
    """Where it cannot, none comes up and no packet of it goes any other way."""
    world, moon, sun = called(lab)
    if has_esp_in_tcp():
        moon.up("net")
        assert world.ping("alice", "bob", count=3).lost == 0
        (child,) = sun.children()
        assert (child["transport"], child["packets-in"]) == ("tcp", "3")
    else:
        with pytest.raises(Refused, match="cannot carry ESP inside TCP"):
            moon.up("net")
        assert moon.sas() == []
        ike_alone(moon)
        with pytest.raises(Refused, match="cannot carry ESP inside TCP"):
            moon.up("net")
        assert len(sun.sas()) == 1 and sun.children() == []
    assert world.wire("router").packets("udp", "ike", "esp", "esp-in-udp") == []
