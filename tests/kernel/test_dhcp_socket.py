"""DHCP's sockets between real SAs: two hosts whose DHCP SAs have the same selectors, told apart by marks."""

from __future__ import annotations

import select
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ikectl.daemon.dhcp_socket import Arrival, DhcpSocket, hardware_address
from ikectl.errors import BackendError
from tests.lab.fixtures import Lab
from tests.lab.namespaces import entered
from tests.lab.topology import Gateway, Host, Link, Topology
from tests.lab.world import World

HOSTS = Topology(
    nodes={"one": Host("gateway"), "two": Host("gateway"), "gateway": Gateway("inner"), "inner": Host("gateway")},
    links=[
        Link(one="192.0.2.9/29", gateway="192.0.2.10/29"),
        Link(two="192.0.2.17/29", gateway="192.0.2.18/29"),
        Link(gateway="10.2.0.1/24", inner="10.2.0.10/24"),
    ],
)
ENDS = {"one": ("192.0.2.9", "192.0.2.10", 0x10000), "two": ("192.0.2.17", "192.0.2.18", 0x20000)}
MASK = "0x7fff0000"
AEAD = ["aead", "rfc4106(gcm(aes))", "0x" + "17" * 20, "128"]
BROADCAST = b"\xff" * 4


def packed(address: str) -> bytes:
    return socket.inet_aton(address)


def protect(world: World, host: str) -> None:
    """A DHCP SA as quick mode would make it: the kernel's policies are for own and broadcast addresses (§4.1)."""
    outer, gateway, number = ENDS[host]
    mark = ["mark", hex(number), "mask", MASK]
    for node, ours, theirs, port, other in (
        (host, outer, gateway, "68", "67"),
        ("gateway", gateway, outer, "67", "68"),
    ):
        common = ["proto", "esp", "reqid", str(number), "mode", "tunnel"]
        for source, target, spi, marks in (
            (ours, theirs, number + int(port), mark),
            (theirs, ours, number + int(other), ["output-" + mark[0], *mark[1:]]),
        ):
            ends = ["src", source, "dst", target]
            world.run(
                node, "ip", "xfrm", "state", "add", *ends, *common[:2], "spi", hex(spi), *common[2:],
                "flag", "af-unspec", *AEAD, *marks,
            )  # fmt: skip
        for own in ("255.255.255.255/32", f"{ours}/32"):
            for direction in ("in", "fwd", "out"):
                out = direction == "out"
                selector = ["src", own, "dst", "0.0.0.0/0"] if out else ["src", "0.0.0.0/0", "dst", own]
                ports = ["sport", port, "dport", other] if out else ["sport", other, "dport", port]
                ends = ["src", ours, "dst", theirs] if out else ["src", theirs, "dst", ours]
                world.run(
                    node, "ip", "xfrm", "policy", "add", *selector, "proto", "udp", *ports, "dir", direction,
                    *mark, "tmpl", *ends, *common,
                )  # fmt: skip


class Ends:
    """Both hosts' sockets and the gateway's."""

    def __init__(self, world: World, stack: ExitStack) -> None:
        self.world = world
        self.sockets: dict[str, DhcpSocket] = {}
        for node, port in (("one", 68), ("two", 68), ("gateway", 67), ("inner", 67)):
            with entered(world.namespace(node)):
                self.sockets[node] = DhcpSocket(port)
            stack.callback(self.sockets[node].close)

    def __getitem__(self, node: str) -> DhcpSocket:
        return self.sockets[node]

    def arrived(self, node: str) -> Arrival | None:
        """What comes to a node's socket; None if nothing does."""
        ready, _, _ = select.select([self.sockets[node]], [], [], 1.0)
        return next(self.sockets[node].drain(1), None) if ready else None


@pytest.fixture
def ends(lab: Lab) -> Iterator[Ends]:
    world = lab.lay(HOSTS)
    for host in ENDS:
        protect(world, host)
    with ExitStack() as stack:
        yield Ends(world, stack)


@pytest.mark.parametrize("host", ENDS)
def test_broadcasts_pass_the_sa_and_show_its_mark(ends: Ends, host: str) -> None:
    """RFC 3456 §4.1: the IPsec implementation must be capable of handling the broadcast destination."""
    outer, gateway, mark = ENDS[host]
    ends[host].send(b"discover", BROADCAST, 67, source=packed(outer), mark=mark)
    assert ends.arrived("gateway") == Arrival(b"discover", packed(outer), BROADCAST, mark)
    ends["gateway"].send(b"offer", BROADCAST, 68, source=packed(gateway), mark=mark)
    assert ends.arrived(host) == Arrival(b"offer", packed(gateway), BROADCAST, mark)
    assert all(ends.arrived(other) is None for other in ENDS if other != host)


def test_what_comes_in_clear_has_no_mark(ends: Ends) -> None:
    ends["one"].send(b"clear", packed("192.0.2.10"), 67)
    assert ends.arrived("gateway") == Arrival(b"clear", packed("192.0.2.9"), packed("192.0.2.10"), 0)


def test_nothing_passes_the_relay_agent_by(ends: Ends) -> None:
    """A client that sends to the server itself, through its DHCP SA, reaches nobody."""
    ends["one"].send(b"past you", packed("10.2.0.10"), 67, source=packed("192.0.2.9"), mark=0x10000)
    assert ends.arrived("inner") is None
    ends["gateway"].send(b"relayed", packed("10.2.0.10"), 67, source=packed("10.2.0.1"))
    assert ends.arrived("inner") == Arrival(b"relayed", packed("10.2.0.1"), packed("10.2.0.10"), 0)


def test_a_port_that_somebody_holds(netns: None) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", 67))
        with pytest.raises(BackendError, match="another program has it"):
            DhcpSocket(67)


def test_the_hardware_address_is_that_of_an_active_lan_interface(netns: None) -> None:
    """RFC 3456 §4.1 a; there is none where there is only the loopback interface.

    Dummies, for they are active as soon as they are up: whether a veth has its carrier, the kernel finds out later.
    """
    assert hardware_address() is None
    for octet in (1, 2, 3):
        ip("link", "add", f"lan{octet}", "address", f"02:00:00:00:00:0{octet}", "type", "dummy")
    assert hardware_address() == b"\x02\0\0\0\0\x01"
    for octet in (3, 2):
        ip("link", "set", f"lan{octet}", "up")
        assert hardware_address() == b"\x02\0\0\0\0" + bytes([octet])


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
