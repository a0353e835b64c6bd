"""The heap of a daemon that is ready: no garbage is looked for in it, and it lies on huge pages where that can be.

A handshake touches code and tables on a thousand pages and more. The processor
remembers where fewer than that are, and looks up the rest in memory; pages of
2 MiB spare it that, which is some 6 percent of a handshake's time.
"""

from __future__ import annotations

import ctypes
import gc
import re
from collections.abc import Iterator
from pathlib import Path

COLLECT_AFTER = 10_000, 20, 20
"""How many new objects have garbage looked for. What a handshake makes stays, and is hardly ever a cycle: looking
after every 700 of them, as Python does by itself, finds nothing, and costs nearly twice as much."""

KERNEL = Path("/sys/kernel/mm/transparent_hugepage")
MAPPINGS = Path("/proc/self/smaps")
MADV_COLLAPSE = 25
"""madvise(2), Linux 6.1: put what is there on huge pages, now. Older kernels do not know it, and nothing happens."""

_MAPPING = re.compile(
    r"^(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) rw-p \S+ \S+ 0 *(?:\[heap\])?\n(?:\w+:.*\n)*?Rss: +(?P<rss>\d+) kB",
    re.MULTILINE,
)


def settle() -> int:
    """What is there now stays: spare it what memory that comes and goes needs. Returns how many huge pages it got."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        if "[never]" in (KERNEL / "enabled").read_text():
            return 0  # whoever runs this host wants none
        octets = int((KERNEL / "hpage_pmd_size").read_text())
        blocks = list(dense_blocks(MAPPINGS.read_text(), octets))
    except (OSError, ValueError):
        return 0  # a kernel without them
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    return sum(madvise(start, octets, MADV_COLLAPSE) == 0 for start in blocks)


def dense_blocks(smaps: str, octets: int) -> Iterator[int]:
    """Where aligned blocks of so many octets begin in anonymous memory that is in use for the most part.

    What is hardly touched, as the stacks of threads are, would take up memory that it does not need.
    `smaps` is the content of /proc/PID/smaps (proc(5)).
    """
    for found in _MAPPING.finditer(smaps):
        start, end = int(found["start"], 16), int(found["end"], 16)
        if 2 * 1024 * int(found["rss"]) >= end - start:
            yield from range(-(-start // octets) * octets, end - octets + 1, octets)
