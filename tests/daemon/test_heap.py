"""The heap of a daemon that is ready."""

from __future__ import annotations

import subprocess
import sys

from ikectl.daemon.heap import dense_blocks

HUGE = 0x200000
SMAPS = """\
555500000000-555500a00000 rw-p 00000000 00:00 0                          [heap]
Size:              10240 kB
KernelPageSize:        4 kB
Rss:                9000 kB
VmFlags: rd wr mr mw me ac
7f0000100000-7f0000700000 rw-p 00000000 00:00 0
Size:               6144 kB
Rss:                6144 kB
VmFlags: rd wr mr mw me ac
7f1000000000-7f1000800000 rw-p 00000000 00:00 0
Size:               8192 kB
Rss:                 100 kB
VmFlags: rd wr mr mw me ac
7f2000000000-7f2000800000 r-xp 00000000 fd:00 1234                       /usr/lib/libpython3.11.so.1.0
Size:               8192 kB
Rss:                8192 kB
VmFlags: rd ex mr mw me
7f3000000000-7f3000800000 rw-p 00000000 fd:00 1234                       /usr/lib/libpython3.11.so.1.0
Size:               8192 kB
Rss:                8192 kB
VmFlags: rd wr mr mw me ac
7f4000000000-7f4000100000 rw-p 00000000 00:00 0
Size:               1024 kB
Rss:                1024 kB
VmFlags: rd wr mr mw me ac
"""


def test_blocks_are_aligned_and_full() -> None:
    """Neither the stack of a thread nor what belongs to a file, nor what is smaller than a huge page."""
    heap = [0x555500000000 + number * HUGE for number in range(5)]
    assert list(dense_blocks(SMAPS, HUGE)) == [*heap, 0x7F0000200000, 0x7F0000400000]


def test_nothing_is_lost_and_memory_does_not_grow() -> None:
    """In a process of its own: what was there is there, and takes no more room than before."""
    program = """
import gc, re
from ikectl.daemon import heap
def rss():
    return int(re.search(r"Rss: +(\\d+)", open("/proc/self/smaps_rollup").read())[1])
held = [bytes([number % 251]) * 300 for number in range(100_000)]
before = rss()
got = heap.settle()
assert all(each == bytes([number % 251]) * 300 for number, each in enumerate(held))
assert rss() < 1.1 * before + 4096, (before, rss())
huge = int(re.search(r"AnonHugePages: +(\\d+)", open("/proc/self/smaps_rollup").read())[1])
assert not got or huge > 0, (got, huge)
assert gc.get_freeze_count() > 1000 and gc.get_threshold() == heap.COLLECT_AFTER
print(got)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert int(done.stdout) >= 0
