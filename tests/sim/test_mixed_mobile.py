"""Lives of wanderers."""

from __future__ import annotations

import pytest

from tests.sim.mixed_mobile import MobileLife

SEEDS = 60


@pytest.mark.conformance("v2-107")
def test_lives_of_wanderers() -> None:
    lived = sum(MobileLife(seed).run() for seed in range(SEEDS))
    assert lived > 0.9 * SEEDS, "most handshakes must succeed even at this loss"
