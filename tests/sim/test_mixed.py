"""Thousands of lives; a failure names its seed, and `python -m tests.sim.replay SEED` shows it again."""

from __future__ import annotations

import os

import pytest

from tests.sim.mixed import Life

SEEDS = int(os.environ.get("IKECTL_SEEDS", "10000"))
"""How many; CI takes the default."""
BATCHES = 20
FOUND: tuple[int, ...] = (54, 162, 724, 2988, 7048, 8325)
"""Seeds that once failed, kept for good."""


@pytest.mark.parametrize("batch", range(BATCHES))
def test_lives_on_bad_links(batch: int) -> None:
    lived = sum(Life(seed).run() for seed in range(batch, SEEDS, BATCHES))
    assert lived > 0.9 * (SEEDS / BATCHES), "most handshakes must succeed even at this loss"


@pytest.mark.parametrize("seed", FOUND)
def test_lives_that_failed_once(seed: int) -> None:
    Life(seed).run()
