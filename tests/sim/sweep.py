"""`python -m tests.sim.sweep FIRST LAST [KIND]`: live many lives; tell which break an invariant, by kind."""

from __future__ import annotations

import re
import sys
from collections import Counter

from tests.sim.mixed import Life
from tests.sim.mixed_mobile import MobileLife
from tests.sim.mixed_road import RoadLife
from tests.sim.mixed_v1 import LifeV1
from tests.sim.mixed_wide import WideLife
from tests.sim.world import Violation

SHOWN = 6


def kind_of_life(word: str) -> type[Life]:
    """That of a command line's last word."""
    return {"v1": LifeV1, "road": RoadLife, "mobile": MobileLife, "wide": WideLife}.get(word, Life)


def main() -> None:
    first, last = int(sys.argv[1]), int(sys.argv[2])
    life = kind_of_life(sys.argv[-1])
    kinds: Counter[str] = Counter()
    seeds: dict[str, list[int]] = {}
    for seed in range(first, last):
        try:
            kind = "established and ended" if life(seed).run() else "handshake failed, as it may at this loss"
        except Violation as violation:
            kind = re.sub(r"[0-9a-f]*\d[0-9a-f]*", "N", str(violation).split("\n")[0].split(" s: ", 1)[-1])[:70]
            seeds.setdefault(kind, []).append(seed)
        kinds[kind] += 1
    for kind, times in kinds.most_common() or [("nothing", 0)]:
        print(f"{times:7} {kind} {seeds.get(kind, [])[:SHOWN] or ''}")
    sys.exit(bool(seeds))


if __name__ == "__main__":
    main()
