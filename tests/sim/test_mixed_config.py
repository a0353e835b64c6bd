"""Lives of a client with an inner address; a failure names its seed."""

from __future__ import annotations

import pytest

from tests.sim.mixed_config import ConfigLife

LIVES, BATCH = 400, 50


@pytest.mark.conformance("v1-35", "v1-38")
@pytest.mark.parametrize("first", range(0, LIVES, BATCH))
def test_an_inner_address_outlives_what_a_bad_link_does(first: int) -> None:
    lived = sum(ConfigLife(seed).run() for seed in range(first, first + BATCH))
    assert lived > 0.85 * BATCH, "most handshakes must succeed even at this loss"


@pytest.mark.parametrize("seed", [69, 190, 198, 225, 228, 257, 344, 416, 575])
def test_lives_that_once_failed(seed: int) -> None:
    assert ConfigLife(seed).run()
