"""What established SAs weigh: `python -m benchmarks.memory [--json] [--count N]`.

N clients, each with an identity and an address of its own, shake hands with
one gateway, one child each; the clients are dropped. `rss_per_sa` is what the
process grew by, divided by N; `traced_per_sa` the same as Python's allocator
counts it in a second run, without OpenSSL and without what the allocator
keeps in reserve. `shake_us_first` and `shake_us_last` are the CPU
microseconds of the gateway for one handshake among none and among N others:
they differ by noise only, because nothing walks all SAs.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tracemalloc
from pathlib import Path

from benchmarks.handshake import Bench
from benchmarks.peers import CASES

WARM_UP = 100
SAMPLE = 500
"""Handshakes at either end that tell whether the cost grew."""


def measure(count: int, traced: bool) -> dict[str, float]:
    """One run in this process: octets per SA, by RSS or by tracing."""
    bench = Bench(CASES[0], apart=True)
    for _ in range(WARM_UP):
        bench.shake()
    gc.collect()
    if traced:
        tracemalloc.start()
    before = _traced() if traced else _resident()
    costs = [bench.shake()[1] for _ in range(count)]
    gc.collect()
    after = _traced() if traced else _resident()
    if traced:
        return {"traced_per_sa": (after - before) / count}
    sample = min(SAMPLE, count // 2)
    return {
        "rss_per_sa": (after - before) / count,
        "shake_us_first": statistics.median(costs[:sample]),
        "shake_us_last": statistics.median(costs[-sample:]),
    }


def _traced() -> int:
    return tracemalloc.get_traced_memory()[0]


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _in_fresh_process(count: int, traced: bool) -> dict[str, float]:
    """Memory is measured where nothing was freed before that could be used again."""
    command = [sys.executable, "-m", "benchmarks.memory", "--run", "traced" if traced else "rss", "--count", str(count)]
    result: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--run", choices=("rss", "traced"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(measure(arguments.count, arguments.run == "traced")))
        return
    found = {**_in_fresh_process(arguments.count, False), **_in_fresh_process(arguments.count, True)}
    row = {"sas": arguments.count, **{name: round(value, 1) for name, value in found.items()}}
    if arguments.json:
        print(json.dumps([row], indent=2))
        return
    print(f"{row['sas']} established SAs with one child each, on a gateway without a kernel")
    print(f"  {row['rss_per_sa']:>8} octets per SA by the process's resident size")
    print(f"  {row['traced_per_sa']:>8} octets per SA by Python's allocator")
    print(f"  {row['shake_us_first']:>8} µs of CPU for a handshake among the first")
    print(f"  {row['shake_us_last']:>8} µs of CPU for a handshake among the last")


if __name__ == "__main__":
    main()
