"""Transport mode through a NAT: the packets' own addresses, right checksums, and hosts behind it told apart by marks.

    one 192.168.1.2 \\
                      nat 192.0.2.1 ---- server 192.0.2.2
    two 192.168.2.2 /

To the server both clients are 192.0.2.1, and both may speak from UDP 1701, as L2TP does.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

import pytest

from ikectl.config.model import Fresh, Mark, Mode
from ikectl.errors import BackendError
from ikectl.kernel.netlink import NetlinkKernel
from ikectl.sa.child_sa import ChildSa, Particulars
from ikectl.sa.marks import Marks
from ikectl.values.path import Endpoint, Path
from ikectl.values.selector import TrafficSelector
from tests.kernel.children import child
from tests.kernel.test_xfrm_traffic import encap_socket
from tests.lab.fixtures import Lab
from tests.lab.namespaces import entered
from tests.lab.topology import Gateway, Host, Link, Nat, Topology
from tests.lab.world import World
from xfrm import Channel, DumpPolicy, SaInfo

TWO_BEHIND_ONE = Topology(
    nodes={"one": Host("nat"), "two": Host("nat"), "nat": Nat("server", ports="20000-30000"), "server": Gateway("nat")},
    links=[
        Link(one="192.168.1.2/24", nat="192.168.1.1/24"),
        Link(two="192.168.2.2/24", nat="192.168.2.1/24"),
        Link(nat="192.0.2.1/24", server="192.0.2.2/24"),
    ],
)
SERVER, OUTSIDE = "192.0.2.2", "192.0.2.1"
INSIDE = {"one": "192.168.1.2", "two": "192.168.2.2"}

L2TP, NATT = 1701, 4500
UDP, TCP = socket.IPPROTO_UDP, socket.IPPROTO_TCP
SO_RCVMARK = 75
"""Linux 5.19: tell the mark of what is received (asm-generic/socket.h)."""
ANY_PORT = (0, 0xFFFF)
UNIQUE: dict[str, Any] = {
    "mark_in": Mark(0, 0xFFFFFFFF, Fresh.CHILD),
    "mark_out": Mark(0, 0xFFFFFFFF, Fresh.CHILD),
    "set_mark_in": Mark(0, 0xFFFFFFFF, Fresh.CHILD),
}
"""mark_in = %unique, mark_out = %unique, set_mark_in = %same"""
WITHIN = 10.0
"""Seconds a datagram may take; far more than any does."""


def selector(address: str, protocol: int = UDP, ports: tuple[int, int] = (L2TP, L2TP)) -> TrafficSelector:
    return TrafficSelector.of_address(ip_address(address).packed, protocol, ports)


@dataclass
class Stage:
    """The four hosts, an adapter on each that does IPsec, and what listens for ESP in UDP."""

    world: World
    kernels: dict[str, NetlinkKernel]
    natt: dict[str, socket.socket]
    marks: Marks

    def open(self, node: str, port: int = 0, kind: int = socket.SOCK_DGRAM) -> socket.socket:
        with entered(self.world.namespace(node)):
            sock = socket.socket(socket.AF_INET, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.settimeout(WITHIN)
        sock.bind((self.world.address(node), port))
        return sock

    def nat_port(self, client: str) -> int:
        """As IKE would learn it: the port that a client's message comes from."""
        self.natt[client].sendto(bytes(4) + b"hello", (SERVER, NATT))
        _, (host, port) = self.natt["server"].recvfrom(100)
        assert host == OUTSIDE
        return int(port)

    def up(
        self,
        client: str,
        seed: int,
        *,
        protocol: int = UDP,
        clients: tuple[int, int] = (L2TP, L2TP),
        servers: tuple[int, int] = (L2TP, L2TP),
        **config: Any,
    ) -> ChildSa:
        """A child between a client and the server in both kernels; the server's facts of it."""
        local, remote = selector(SERVER, protocol, servers), selector(INSIDE[client], protocol, clients)
        facts: dict[str, Any] = {
            "mode": Mode.TRANSPORT,
            "encap": True,
            "seed": seed,
            "reqid": seed,
            "suite": "aes128-sha1",
        }
        inside = Endpoint.parse(INSIDE[client], NATT), Endpoint.parse(SERVER, NATT)
        outside = Endpoint.parse(SERVER, NATT), Endpoint.parse(OUTSIDE, self.nat_port(client))
        theirs = child(Path(*inside), local=(remote,), remote=(local,), **facts)
        ours = child(Path(*outside), initiator=False, local=(local,), remote=(remote,), **facts, **config)
        ours.particulars = Particulars(peer_original=ip_address(INSIDE[client]).packed)
        ours.given_marks = self.marks.take(ours.config)
        ours.spi_in = theirs.spi_out = self.kernels["server"].alloc_spi(ours.protocol, ours.path)
        theirs.spi_in = ours.spi_out = self.kernels[client].alloc_spi(theirs.protocol, theirs.path)
        self.kernels["server"].install(ours)
        self.kernels[client].install(theirs)
        return ours

    def carried(self, one: ChildSa) -> tuple[int, int]:
        usage = self.kernels["server"].query(one)
        return usage.packets_in, usage.packets_out


@pytest.fixture
def stage(lab: Lab) -> Iterator[Stage]:
    world = lab.lay(TWO_BEHIND_ONE)
    with ExitStack() as stack:
        kernels, natt = {}, {}
        for node in ("one", "two", "server"):
            kernels[node] = NetlinkKernel.open(world.namespace(node))
            stack.callback(kernels[node].close)
            with entered(world.namespace(node)):
                natt[node] = stack.enter_context(encap_socket(ip_address(world.address(node)), NATT))
            natt[node].settimeout(WITHIN)
        yield Stage(world, kernels, natt, Marks())


def rules(world: World, *lines: str) -> None:
    """Add rules of the packet filter on the server."""
    for line in lines:
        world.run("server", "iptables-legacy", "-w", *line.split())


def receive_marked(sock: socket.socket) -> tuple[bytes, tuple[str, int], int]:
    """A datagram, whence it came, and its mark."""
    data, ancillary, _, source = sock.recvmsg(100, socket.CMSG_SPACE(4))
    ((level, kind, value),) = ancillary
    assert (level, kind) == (socket.SOL_SOCKET, socket.SO_MARK)
    return data, source, struct.unpack("I", value)[0]


def test_two_clients_with_the_same_ports_are_told_apart_by_marks(stage: Stage) -> None:
    """Equal selectors, equal ports, one address: only the mark says whose packet it is, and where the answer goes."""
    first, second = stage.up("one", 1, **UNIQUE), stage.up("two", 2, **UNIQUE)
    with (
        stage.open("server", L2TP) as server,
        stage.open("one", L2TP) as one,
        stage.open("two", L2TP) as two,
    ):
        server.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
        for client, name in ((one, b"one"), (two, b"two"), (one, b"one"), (two, b"two")):
            client.sendto(name, (SERVER, L2TP))
            data, source, mark = receive_marked(server)
            assert (data, source) == (name, (OUTSIDE, L2TP))
            assert mark == (first if name == b"one" else second).marks.into.value
            server.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            server.sendto(b"to " + data, source)
            assert client.recvfrom(100) == (b"to " + name, (SERVER, L2TP))
    assert stage.carried(first) == stage.carried(second) == (2, 2)


def test_two_clients_with_equal_selectors_and_a_server_that_knows_nothing_of_marks(stage: Stage) -> None:
    """Any port of the clients is allowed: connection tracking carries the mark from what comes to the answer."""
    rules(
        stage.world,
        "-t mangle -A INPUT -p udp --dport 1701 -m mark ! --mark 0 -j CONNMARK --save-mark",
        "-t mangle -A OUTPUT -p udp --sport 1701 -j CONNMARK --restore-mark",
    )
    first = stage.up("one", 1, clients=ANY_PORT, **UNIQUE)
    second = stage.up("two", 2, clients=ANY_PORT, **UNIQUE)
    with stage.open("server", L2TP) as server, stage.open("one", L2TP) as one, stage.open("two", 40001) as two:
        for client, name in ((one, b"one"), (two, b"two"), (one, b"one"), (two, b"two")):
            client.sendto(name, (SERVER, L2TP))
            data, source = server.recvfrom(100)
            server.sendto(b"to " + data, source)
            assert client.recvfrom(100) == (b"to " + name, (SERVER, L2TP))
    assert stage.carried(first) == stage.carried(second) == (2, 2)


def test_a_successor_takes_over_with_the_same_marks(stage: Stage) -> None:
    first = stage.up("one", 1, **UNIQUE)
    stage.up("two", 2, **UNIQUE)
    heir = child(
        first.path, initiator=False, mode=Mode.TRANSPORT, encap=True, local=first.ts_local, remote=first.ts_remote,
        reqid=first.reqid, **UNIQUE,
    )  # fmt: skip
    heir.given_marks = stage.marks.take(heir.config, first.given_marks)
    server = stage.kernels["server"]
    heir.spi_in, heir.spi_out = server.alloc_spi(heir.protocol, heir.path), 0xC1234567
    server.install(heir)
    server.remove(first)
    assert len(marked_policies(stage)) == 4
    server.remove(heir)
    assert len(marked_policies(stage)) == 2


def marked_policies(stage: Stage) -> list[int]:
    with Channel(stage.world.namespace("server")) as channel:
        found = [info.policy for part in channel.dump(DumpPolicy()) for info in part]
    return [policy.mark.value for policy in found if policy.mark is not None]


def test_the_kernel_sees_the_addresses_of_the_path_and_knows_the_peers_own(stage: Stage) -> None:
    ours = stage.up("one", 1)
    with Channel(stage.world.namespace("server")) as channel:
        found = [info.policy.selector for part in channel.dump(DumpPolicy()) for info in part]
    assert {(str(each.src), each.src_port, str(each.dst), each.dst_port) for each in found if each.proto == UDP} == {
        (SERVER, L2TP, OUTSIDE, L2TP),
        (OUTSIDE, L2TP, SERVER, L2TP),
    }
    assert ours.ts_remote == (selector(INSIDE["one"]),)  # what was agreed on stays as it is
    states: list[SaInfo] = stage.world.states("server")
    assert {str(info.sa.encap.original) for info in states if info.sa.encap} == {INSIDE["one"]}


def test_a_stream_with_checksums_that_a_nat_made_wrong(stage: Stage) -> None:
    """TCP's checksum covers the addresses, which the NAT changed and could not correct (RFC 3948 §3.1.2)."""
    ours = stage.up("one", 1, protocol=TCP, clients=ANY_PORT, servers=(7, 7))
    with stage.open("server", 7, socket.SOCK_STREAM) as listening:
        listening.listen()
        with stage.open("one", 0, socket.SOCK_STREAM) as client:
            client.connect((SERVER, 7))
            serving, _ = listening.accept()
            with serving:
                client.sendall(b"x" * 5000)
                assert serving.recv(5000, socket.MSG_WAITALL) == b"x" * 5000
                serving.sendall(b"y" * 5000)
                assert client.recv(5000, socket.MSG_WAITALL) == b"y" * 5000
    into, out = stage.carried(ours)
    assert into > 2 and out > 2


def test_a_mark_that_nobody_chose_is_refused(stage: Stage) -> None:
    ours = child(Path(Endpoint.parse(SERVER, NATT), Endpoint.parse(OUTSIDE, 5)), mode=Mode.TRANSPORT, **UNIQUE)
    ours.spi_in = stage.kernels["server"].alloc_spi(ours.protocol, ours.path)
    with pytest.raises(BackendError, match="no number was given to the mark %unique"):
        stage.kernels["server"].install(replace(ours))
    assert stage.world.states("server") == []
