"""Thousands of lives; a failure names its seed, and `python -m tests.sim.replay SEED [v1|road|wide]` shows it again."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import pytest

from tests.sim.mixed import Life
from tests.sim.mixed_road import RoadLife
from tests.sim.mixed_v1 import LifeV1
from tests.sim.mixed_wide import WideLife

SEEDS = int(os.environ.get("IKECTL_SEEDS", "10000"))
"""How many; CI takes the default."""
SEEDS_V1 = SEEDS // 4
"""Of IKEv1, which has fewer exchanges."""
SEEDS_ROAD = SEEDS // 16
"""Of road warriors, who do more in one life."""
SEEDS_WIDE = SEEDS // 16
"""Of gateways with many children and wide windows."""
BATCH = 250
FOUND = (1, 54, 162, 724, 896, 2988, 7048, 8325)
"""Seeds that once failed, kept for good."""


FOUND_V1 = (26, 40, 47, 92, 114, 146, 281, 303, 320, 594, 648, 661, 735)


def live(kind: type[Life], seeds: int, first: int) -> int:
    """A batch of lives; how many had an SA. Raises Violation."""
    return sum(kind(seed).run() for seed in range(first, min(first + BATCH, seeds)))


FOUND_ROAD = (1, 76)
FOUND_WIDE = (223, 100481, 100648)


@pytest.mark.parametrize(
    ("kind", "seeds"),
    [(Life, SEEDS), (LifeV1, SEEDS_V1), (RoadLife, SEEDS_ROAD), (WideLife, SEEDS_WIDE)],
    ids=["v2", "v1", "road", "wide"],
)
def test_lives_on_bad_links(kind: type[Life], seeds: int) -> None:
    """On all cores, because each life is a world of its own."""
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        lived = sum(pool.map(partial(live, kind, seeds), range(0, seeds, BATCH)))
    assert lived > 0.96 * seeds, "most handshakes must succeed even at this loss"


@pytest.mark.parametrize("seed", FOUND)
def test_lives_that_failed_once(seed: int) -> None:
    Life(seed).run()


@pytest.mark.parametrize("seed", FOUND_V1)
def test_lives_of_ikev1_that_failed_once(seed: int) -> None:
    LifeV1(seed).run()


@pytest.mark.parametrize("seed", FOUND_ROAD)
def test_lives_on_the_road_that_failed_once(seed: int) -> None:
    RoadLife(seed).run()


@pytest.mark.parametrize("seed", FOUND_WIDE)
def test_lives_of_many_children_that_failed_once(seed: int) -> None:
    WideLife(seed).run()
