"""What established SAs weigh: `python -m benchmarks.memory [--json] [--count N]`.

N clients, each with an identity and an address of its own, shake hands with
one gateway, one child each; the clients are dropped. `rss_per_sa` is what the
process grew by, divided by N; `traced_per_sa` the same as Python's allocator
counts it in a second run, without OpenSSL and without what the allocator
keeps in reserve. `shake_us_empty` and `shake_us_full` are the CPU
microseconds of a gateway for one handshake among few and among N others,
measured in turn: nothing walks all SAs.
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
"""Handshakes with a gateway of few and with one of many SAs, to tell whether the cost grew."""


def measure(count: int, traced: bool) -> dict[str, float]:
    """One run in this process: octets per SA, by RSS or by tracing."""
    bench = Bench(CASES[0], apart=True)
    for _ in range(WARM_UP):
        bench.shake()
    gc.collect()
    if traced:
        tracemalloc.start()
    before = _traced() if traced else _resident()
    for _ in range(count):
        bench.shake()
    gc.collect()
    after = _traced() if traced else _resident()
    if traced:
        return {"traced_per_sa": (after - before) / count}
    empty = Bench(CASES[0], apart=True)
    for _ in range(WARM_UP):
        empty.shake()
    gc.collect()
    gc.freeze()
    costs = [(empty.shake()[1], bench.shake()[1]) for _ in range(SAMPLE)]
    few, many = (statistics.median(column) for column in zip(*costs, strict=True))
    return {"rss_per_sa": (after - before) / count, "shake_us_empty": few, "shake_us_full": many}


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
    print(f"  {row['shake_us_empty']:>8} µs of CPU for a handshake with a gateway of few SAs")
    print(f"  {row['shake_us_full']:>8} µs of CPU for a handshake with this one")


if __name__ == "__main__":
    main()
