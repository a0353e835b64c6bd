"""What putting one child into the kernel costs: `python -m benchmarks.netlink [--json]`.

One child is two ESP SAs (AES-GCM) and three policies (in, fwd, out), sent as one
batch.  Packing is measured alone; then whole rounds of install and remove against
the running kernel, in a network namespace of this process alone, which needs root.
A kernel without ESP takes the policies only, and the result says so.

Microseconds of CPU, user and system together, the best of many short runs: the
kernel works inside our send, so its share is in them.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from ipaddress import ip_address

from xfrm import (
    Aead,
    Channel,
    DelPolicy,
    DelSa,
    Direction,
    HashThreshold,
    NewPolicy,
    NewSa,
    Policy,
    PolicyIndex,
    Replay,
    Request,
    Sa,
    Selector,
    SetHashThresholds,
    Template,
    XfrmError,
)

CLONE_NEWNET = 0x40000000
ROUNDS = 7
RUN_FOR = 0.1
"""Seconds of CPU one run takes at least; some kernels count CPU time in hundredths of a second."""

HERE, THERE = ip_address("192.0.2.1"), ip_address("198.51.100.2")
INNER, OUTER = ip_address("10.1.0.7"), ip_address("10.0.0.0")
KEY = bytes(range(36))
INDEX = 5000 << 3


@dataclass(frozen=True)
class Result:
    """One line: what was done, CPU microseconds for one, and what it leaves out."""

    case: str
    cpu_us: float
    per_second: float
    note: str = ""


def records() -> tuple[list[Sa], list[Policy]]:
    """One child as records, made afresh as a daemon would make them."""
    aead = Aead("rfc4106(gcm(aes))", KEY, 128)
    sas = [
        Sa(THERE, HERE, 0xC0FFEE01, reqid=7, aead=aead, replay=Replay(32)),
        Sa(HERE, THERE, 0xC0FFEE02, reqid=7, aead=aead, replay=Replay(32)),
    ]
    inward, outward = Selector(INNER, 32, OUTER, 8), Selector(OUTER, 8, INNER, 32)
    to_us, to_them = (Template(THERE, HERE, reqid=7),), (Template(HERE, THERE, reqid=7),)
    policies = [
        Policy(inward, Direction.IN, to_us, 1000, INDEX | Direction.IN),
        Policy(inward, Direction.FWD, to_us, 1000, INDEX | Direction.FWD),
        Policy(outward, Direction.OUT, to_them, 1000, INDEX | Direction.OUT),
    ]
    return sas, policies


def installing(sas: list[Sa], policies: list[Policy]) -> list[Request[None]]:
    return [*map(NewSa, sas), *map(NewPolicy, policies)]


def removing(sas: list[Sa], policies: list[Policy]) -> list[Request[None]]:
    return [*(DelPolicy(PolicyIndex(policy.index)) for policy in policies), *(DelSa(sa.id) for sa in sas)]


def best(work: Callable[[], object]) -> float:
    """CPU microseconds of one call: the best of ROUNDS runs, each long enough for the clock."""
    count, spent = 50, 0.0
    while spent < RUN_FOR:
        count *= 2
        spent = _run(work, count)
    return min(spent, *(_run(work, count) for _ in range(ROUNDS))) / count * 1e6


def _run(work: Callable[[], object], count: int) -> float:
    start = time.process_time()
    for _ in range(count):
        work()
    return time.process_time() - start


def result(case: str, cpu_us: float, note: str = "") -> Result:
    return Result(case, round(cpu_us, 2), round(1e6 / cpu_us), note)


def packing() -> list[Result]:
    sas, policies = records()
    one, child = NewSa(sas[0]), installing(sas, policies)

    def pack() -> bytes:
        return b"".join([request.encode(7) for request in child])

    def make_and_pack() -> bytes:
        return b"".join([request.encode(7) for request in installing(*records())])

    return [
        result("pack one NEWSA", best(lambda: one.encode(7))),
        result("pack one child (2 SAs, 3 policies)", best(pack)),
        result("make its records and pack it", best(make_and_pack)),
    ]


def rounds(channel: Channel) -> list[Result]:
    """Install and remove one child again and again."""
    sas, policies = records()
    channel.ask(SetHashThresholds(HashThreshold(0, 32)))
    missing = _missing(channel, sas[0])
    if missing:
        sas = []
    put, take = installing(sas, policies), removing(sas, policies)

    def round_trip() -> None:
        if any(channel.batch(put)) or any(channel.batch(take)):
            raise SystemExit("the kernel refused a round that it took before")

    what = "2 SAs, 3 policies" if sas else "3 policies alone"
    return [result(f"install and remove one child ({what})", best(round_trip), missing)]


def _missing(channel: Channel, sa: Sa) -> str:
    """Why this kernel cannot take the SAs, or ''."""
    (outcome,) = channel.batch([NewSa(sa)])
    if isinstance(outcome, XfrmError):
        return f"no SAs: {outcome.strerror}"
    channel.ask(DelSa(sa.id))
    return ""


def kernel_rounds() -> list[Result]:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        reason = os.strerror(ctypes.get_errno())
        print(f"no network namespace of our own ({reason}): run as root to measure the kernel, too", file=sys.stderr)
        return []
    with Channel() as channel:
        return rounds(channel)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="a list of objects instead of a table")
    arguments = parser.parse_args()
    found = [*packing(), *kernel_rounds()]
    if arguments.json:
        print(json.dumps([asdict(line) for line in found], indent=1))
        return
    for line in found:
        note = f"   ({line.note})" if line.note else ""
        print(f"{line.case:55s} {line.cpu_us:9.2f} us {line.per_second:9.0f}/s{note}")


if __name__ == "__main__":
    main()
