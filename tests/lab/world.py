"""A topology that stands: namespaces, links, daemons, pings, packets.

Tests get one from the `lab` fixture and never start a program themselves.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.lab.capture import Wire
from tests.lab.certificates import Credential
from tests.lab.namespaces import entered
from tests.lab.peers.base import Peer, Program
from tests.lab.peers.ikectl import Ikectl
from tests.lab.peers.strongswan import StrongSwan
from tests.lab.topology import Nat, Router, Topology
from xfrm import Channel, DumpSa, SaInfo

P = TypeVar("P", bound=Peer)
G = TypeVar("G", bound=Program)

SYSCTLS = {
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/ping_group_range": "0 0",
}
FORWARDING = {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}

STATE = ("address", "route", "-6 route", "-s xfrm state list nokeys", "-s xfrm policy")
"""Arguments of `ip` that show what a node's kernel knows."""


@dataclass(frozen=True, slots=True)
class Pinged:
    """What ping counted."""

    sent: int
    received: int
    output: str

    @property
    def lost(self) -> int:
        return self.sent - self.received


def until(true: Callable[[], object], what: str, within: float = 30.0) -> None:
    """Wait until `true()` is; look often.

    Raises:
        AssertionError: not `within` seconds; names `what`.
    """
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:.0f} s: {what}")
        time.sleep(0.03)


class World:
    """A laid topology.

    Routers record what arrives there from the beginning (`wire`). Everything
    goes away with `close()`.

    Args:
        topology: what to lay.
        prefix: of the namespaces' names, so that several worlds can stand at once.
    """

    def __init__(self, topology: Topology, prefix: str = "") -> None:
        self.topology = topology
        self.peers: dict[str, Peer] = {}
        self.programs: list[Program] = []
        self._prefix = prefix
        self._directory = Path(tempfile.mkdtemp(prefix="world-"))
        self._wires: dict[str, Wire] = {}
        self._lay()

    def ikectl(self, node: str, *, conf: str, credentials: Iterable[Credential] = ()) -> Ikectl:
        """Start ikectld on a node with this swanctl.conf; ready when this returns."""
        return self.peer(Ikectl, node, conf=conf, credentials=credentials)

    def strongswan(self, node: str, *, conf: str, credentials: Iterable[Credential] = ()) -> StrongSwan:
        """Start Debian's strongSwan on a node with this swanctl.conf; ready when this returns."""
        return self.peer(StrongSwan, node, conf=conf, credentials=credentials)

    def peer(self, kind: type[P], node: str, *, conf: str, credentials: Iterable[Credential] = ()) -> P:
        """Start a daemon of some kind on a node; ready when this returns."""
        peer = kind(node, self.namespace(node), self._directory / node)
        self.peers[node] = peer
        peer.start(conf, list(credentials))
        return peer

    def program(self, kind: Callable[[str, str, Path], G], node: str) -> G:
        """Start something that is no IKE daemon on a node; ready when this returns.

        Args:
            kind: a Program's class, or what makes one from node, namespace and directory.
        """
        program = kind(node, self.namespace(node), self._directory / f"{node}-{len(self.programs)}")
        self.programs.append(program)
        program.launch()
        return program

    def namespace(self, node: str) -> str:
        """The name `ip netns` knows a node by."""
        return self._prefix + node

    def address(self, node: str, version: int = 4) -> str:
        """A node's first address."""
        return self.topology.address(node, version)

    def run(self, node: str, *command: str) -> str:
        """A command's standard output, run on a node.

        Raises:
            subprocess.CalledProcessError: it failed; the exception's text has its output.
        """
        with entered(self.namespace(node)):
            done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} on {node}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def ping(
        self, source: str, target: str, count: int = 1, *, size: int = 56, version: int = 4, within: int = 5
    ) -> Pinged:
        """Ping from one node another (or an address), a few times in quick succession.

        Args:
            size: octets of ICMP data.
            within: seconds to wait for the last answer.
        """
        ping = self._ping(source, target, version, f"-c{count}", f"-s{size}", f"-W{within}", "-i0.01")
        output, _ = ping.communicate()
        return _count(output)

    @contextmanager
    def pinging(
        self, source: str, target: str, *, interval: float = 0.02, version: int = 4, through: bool = True
    ) -> Iterator[Ping]:
        """Ping all the while, from the first answer on; afterwards the yielded Ping has the result.

        Args:
            through: False where the pings themselves are to open the way: then nothing is waited for.
        """
        with tempfile.NamedTemporaryFile(dir=self._directory, suffix=".ping", delete=False) as output:
            process = self._ping(source, target, version, f"-i{interval}", output=output.fileno())
        ping = Ping(process, Path(output.name))
        try:
            if through:
                until(ping.answered, f"{source} reaches {target}")
            yield ping
        finally:
            ping.stop()

    def wire(self, node: str) -> Wire:
        """What arrives at a node: from the beginning at routers, from the first call on elsewhere."""
        if node not in self._wires:
            self._wires[node] = Wire(self.namespace(node))
        return self._wires[node]

    def xfrm(self, node: str) -> str:
        """The kernel's states and policies on a node, as `ip -s xfrm` prints them (no keys)."""
        return "".join(
            self.run(node, "ip", "-s", "xfrm", table, "list", *keys)
            for table, keys in (("state", ("nokeys",)), ("policy", ()))
        )

    def states(self, node: str) -> list[SaInfo]:
        """The kernel's SAs on a node, with their counters."""
        with Channel(self.namespace(node)) as channel:
            return [info for part in channel.dump(DumpSa()) for info in part]

    def collect(self, directory: Path) -> str:
        """Lay logs, pcaps and kernel state of all nodes into a directory; returns the logs' tails.

        Runs when something failed already: what cannot be had any more is left out.
        """
        directory.mkdir(parents=True, exist_ok=True)
        tails = []
        for program in (*self.peers.values(), *self.programs):
            if program.log_path.exists():
                shutil.copy(program.log_path, directory)
            name = f"{program.node} ({type(program).__name__})"
            tails += [f"--- {name}, the last lines of its log", program.log(40)]
        for node, wire in self._wires.items():
            wire.save(directory / f"{node}.pcap")
            packets = "".join(f"{packet.at:.3f} {packet}\n" for packet in wire.packets())
            (directory / f"{node}.packets").write_text(packets)
        for node in self.topology.nodes:
            with (directory / f"{node}.state").open("w") as file, entered(self.namespace(node)):
                for command in STATE:
                    print(f"# ip {command}", file=file, flush=True)
                    subprocess.run(["ip", *command.split()], stdout=file, stderr=file)
                print("# /proc/net/xfrm_stat", Path("/proc/thread-self/net/xfrm_stat").read_text(), file=file)
        return "\n".join(tails)

    def close(self) -> None:
        """End the daemons, take the network down."""
        for program in (*self.programs, *self.peers.values()):
            program.stop()
        for wire in self._wires.values():
            wire.close()
        names = "".join(f"netns delete {self.namespace(node)}\n" for node in self.topology.nodes)
        subprocess.run(["ip", "-force", "-batch", "-"], input=names, text=True, capture_output=True)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _lay(self) -> None:
        _batch("ip", self.topology.batch(self._prefix))
        for name, node in self.topology.nodes.items():
            with entered(self.namespace(name)):
                for key, value in (SYSCTLS | (FORWARDING if node.forwards else {})).items():
                    Path("/proc/sys", key).write_text(value)
                _batch("ip", self.topology.node_batch(name))
                if netem := self.topology.netem_batch(name):
                    _batch("tc", netem)
                if isinstance(node, Nat):
                    _masquerade(node)
                    if node.serves:
                        _pass_on(node, self.topology.neighbour_address(node.serves, name))
            if isinstance(node, Router):
                self.wire(name)

    def _ping(
        self, source: str, target: str, version: int, *options: str, output: int = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        address = self.address(target, version) if target in self.topology.nodes else target
        command = ["ping", "-n", f"-{version}", *options, address]
        with entered(self.namespace(source)):
            return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, text=True)


class Ping:
    """A ping that runs until it is told to stop.

    Args:
        output: the file it writes to. No pipe: nobody reads along, and a full one would stop it.
    """

    def __init__(self, process: subprocess.Popen[str], output: Path) -> None:
        self._process = process
        self._output = output
        self.result: Pinged | None = None

    def answered(self) -> bool:
        """Whether an answer has come."""
        return " ttl=" in self._output.read_text()

    def stop(self) -> Pinged:
        """Stop, and count. An echo request younger than its answer can be does not count as lost."""
        if self.result is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()
            self.result = _count(self._output.read_text(), still_flying=1)
        return self.result


def _count(output: str, still_flying: int = 0) -> Pinged:
    """Read ping's own statistics; forgive the last `still_flying` requests if they were not answered yet."""
    statistics = re.search(r"(\d+) packets transmitted, (\d+) received", output)
    if statistics is None:
        return Pinged(0, 0, output)
    sent, received = map(int, statistics.groups())
    answered = {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl=", output)}
    flying = sum(number not in answered for number in range(sent - still_flying + 1, sent + 1))
    return Pinged(sent - flying, received, output)


def _batch(program: str, lines: Sequence[str]) -> None:
    done = subprocess.run(
        [program, "-batch", "-"], input="\n".join(lines), text=True, capture_output=True, env=os.environ
    )
    if done.returncode != 0:
        raise RuntimeError(f"{program} -batch: {done.stderr}")


def _masquerade(nat: Nat) -> None:
    rule = ["iptables-legacy", "-w", "-t", "nat", "-A", "POSTROUTING", "-o", f"to-{nat.via}"]
    if nat.ports:
        subprocess.run([*rule, "-p", "udp", "-j", "MASQUERADE", "--to-ports", nat.ports], check=True)
    subprocess.run([*rule, "-j", "MASQUERADE"], check=True)


def _pass_on(nat: Nat, address: str) -> None:
    rule = ["iptables-legacy", "-w", "-t", "nat", "-A", "PREROUTING", "-i", f"to-{nat.via}", "-p", "udp"]
    for port in ("500", "4500"):
        subprocess.run([*rule, "--dport", port, "-j", "DNAT", "--to-destination", address], check=True)
