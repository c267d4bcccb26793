"""The far end's clock and the lateness of its frames, out of arrival times."""

from __future__ import annotations

import math
import random

import pytest

from iax import JitterBuffer
from iax.arrivals import Arrivals


@pytest.mark.parametrize("ppm", [-200, -50, 0, 50, 200])
@pytest.mark.parametrize(("jitter_ms", "tick_ms", "within"), [(0, 0, 0.5), (40, 0, 5), (20, 20, 70)])
def test_the_clock_difference_is_found(ppm: int, jitter_ms: float, tick_ms: float, within: float) -> None:
    rng = random.Random(ppm + jitter_ms)
    arrivals = Arrivals()
    assert arrivals.clock_ppm is None
    for n in range(15_000):  # five minutes
        now = 1000 + n * 0.02 / (1 + ppm * 1e-6) + rng.uniform(0, jitter_ms / 1000)
        if tick_ms:
            now = math.ceil(now / (tick_ms / 1000)) * tick_ms / 1000
        arrivals.note(now - n * 0.02, now)
    assert arrivals.clock_ppm == pytest.approx(ppm, abs=within)


def test_one_in_twenty_is_later() -> None:
    rng = random.Random(1)
    buffer = JitterBuffer()
    for n in range(10_000):
        buffer.put(n * 20, b"\xff" * 160, 1000 + n * 0.02 + rng.uniform(0, 0.04))
    assert buffer.statistics().jitter_p95_ms == pytest.approx(38, abs=1)
    assert JitterBuffer().statistics().jitter_p95_ms == 0
    assert JitterBuffer().clock_ppm is None


def test_a_new_time_line_does_not_count_as_lateness() -> None:
    arrivals = Arrivals()
    for n in range(4000):
        jump = 5.0 if n >= 2000 else 0.0
        arrivals.note(jump, 1000 + n * 0.02)
    assert arrivals.clock_ppm is not None
    assert abs(arrivals.clock_ppm) < 1
