"""What a complete handshake costs each side: `python -m benchmarks.handshake [--json] [--case NAME] [--count N]`.

Two engines in one process, IKE_SA_INIT and IKE_AUTH with one child, or main or
aggressive mode of IKEv1 and a quick mode; the kernel left out. `cpu_us` is the
CPU time of one side for one handshake, the median of many; `primitives_us` the
same for its cryptographic primitives alone, called without any protocol around
them, in turn with the handshakes so that a busy machine slows both alike;
`per_second` handshakes per second of CPU.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import replace
from itertools import count
from time import process_time_ns

from benchmarks.peers import CASES, GATEWAY, Case, Credentials, connection, engine
from benchmarks.primitives import Work, primitives
from ikectl.daemon import heap
from ikectl.engine.commands import Initiate, LoadConnection
from ikectl.engine.engine import Engine
from ikectl.engine.outside import Transmit
from ikectl.engine.v1.machine import SETTLE
from ikectl.sa.events import ChildUp, IkeUp
from ikectl.values.path import Path

WARM_UP = 100
NOW = 1.0
"""When all that happens; 0 would mean never."""
ROLES = ("initiator", "responder")


class Bench:
    """One gateway, and one engine for all its clients, which differ by address.

    `apart` gives each client an engine and an identity of its own instead,
    so that the gateway's SAs are the only ones that stay.
    """

    def __init__(self, case: Case, apart: bool = False) -> None:
        self.case = case
        self.apart = apart
        self.credentials = Credentials(case.key)
        self.gateway = engine("gateway", self.credentials)
        self.gateway.command(
            LoadConnection(
                connection(case, self.credentials, "gateway", "%any", "*.example.org", "%any", "gateway.example.org")
            ),
            NOW,
        )
        self._client = engine("client", self.credentials)
        self._clients = count(1)

    def shake(self) -> tuple[float, float]:
        """One handshake; CPU microseconds of initiator and responder."""
        number = next(self._clients)
        address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        name = f"client-{number}.example.org" if self.apart else "client.example.org"
        client = engine("client", self.credentials) if self.apart else self._client
        loaded = connection(self.case, self.credentials, "client", address, "gateway.example.org", GATEWAY.host, name)
        client.command(LoadConnection(replace(loaded, name=f"bench-{number}")), NOW)
        ends = {client: 0, self.gateway: 0}
        start = process_time_ns()
        client.command(Initiate(1, f"bench-{number}", "net"), NOW)
        out = client.drain()
        ends[client] += process_time_ns() - start
        up = 0
        sender: Engine = client
        while out:
            receiver = self.gateway if sender is client else client
            datagrams = [output for output in out if isinstance(output, Transmit)]
            up += sum(isinstance(output, IkeUp | ChildUp) for output in out)
            if not datagrams:
                # Aggressive mode's initiator waits a moment before it goes on.
                start = process_time_ns()
                client.tick(NOW + SETTLE)
                out = client.drain()
                ends[client] += process_time_ns() - start
                sender = client
                if not out:
                    break
                continue
            start = process_time_ns()
            for datagram in datagrams:
                receiver.receive(datagram.data, Path(datagram.path.remote, datagram.path.local), NOW)
            out = receiver.drain()
            ends[receiver] += process_time_ns() - start
            sender = receiver
        if up != 4:
            raise RuntimeError(f"{self.case.name}: the handshake did not come about")
        return ends[client] / 1000, ends[self.gateway] / 1000


def measure(case: Case, rounds: int) -> list[dict[str, object]]:
    """Both roles of one case."""
    bench = Bench(case)
    for _ in range(WARM_UP):
        bench.shake()
    heap.settle()  # as the daemon runs
    bare = [primitives(case, bench.credentials, role) for role in ROLES]
    samples = [(*bench.shake(), *map(_timed, bare)) for _ in range(rounds)]
    medians = [statistics.median(column) for column in zip(*samples, strict=True)]
    return [
        {
            "case": case.name,
            "role": role,
            "cpu_us": round(cpu, 1),
            "primitives_us": round(alone, 1),
            "per_second": round(1e6 / cpu),
        }
        for role, cpu, alone in zip(ROLES, medians[:2], medians[2:], strict=True)
    ]


def _timed(work: Work) -> float:
    start = process_time_ns()
    work()
    return (process_time_ns() - start) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--case", choices=[case.name for case in CASES])
    parser.add_argument("--count", type=int, default=1000)
    arguments = parser.parse_args()
    rows = [row for case in CASES if arguments.case in (None, case.name) for row in measure(case, arguments.count)]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'case':<26}{'role':<11}{'CPU µs':>9}{'primitives µs':>15}{'own µs':>8}{'per second':>12}")
    for row in rows:
        own = float(str(row["cpu_us"])) - float(str(row["primitives_us"]))
        print(
            f"{row['case']:<26}{row['role']:<11}{row['cpu_us']:>9}{row['primitives_us']:>15}{own:>8.0f}"
            f"{row['per_second']:>12}"
        )


if __name__ == "__main__":
    main()
