"""The tick's schedule: exact, catching up, bounded, and following the far end's clock."""

from __future__ import annotations

import itertools

import pytest

from cusemodem.tick import BLOCK_S, CATCH_UP_SPACING_S, MAX_BEHIND_S, TickClock


def test_blocks_are_due_on_an_absolute_schedule() -> None:
    clock = TickClock(100.0)
    assert clock.due(100.0) == 0
    total = sum(clock.due(100.0 + 0.001 * i + 0.0005) for i in range(10_000))
    assert total == pytest.approx(500, abs=1)


def test_a_stall_is_caught_up_block_by_block() -> None:
    """Half a second of stall: 25 blocks are made up for, 10 ms apart, and then the schedule is kept again."""
    clock = TickClock(0.0)
    now, starts = 0.51, []
    while clock.next_due <= now + CATCH_UP_SPACING_S + 1e-9:
        now = max(now, clock.next_due)
        assert clock.due(now) == 1
        assert clock.due(now) == 0
        starts.append(now)
    assert min(b - a for a, b in itertools.pairwise(starts)) >= CATCH_UP_SPACING_S - 1e-9
    assert len(starts) == pytest.approx(25 * 2, abs=2)
    assert clock.next_due > now
    assert clock.statistics().n_skipped == 0


def test_idle_lines_take_all_at_once() -> None:
    clock = TickClock(0.0)
    assert clock.due(0.51, at_once=True) == 25
    assert clock.due(0.51, at_once=True) == 0


def test_a_long_stall_is_skipped() -> None:
    clock = TickClock(0.0)
    assert clock.due(60.01) == 1
    assert clock.statistics().n_skipped == pytest.approx(59.0 / BLOCK_S, abs=3)
    assert clock.due(60.01, at_once=True) == pytest.approx(MAX_BEHIND_S / BLOCK_S, abs=2)


@pytest.mark.parametrize("far_ppm", [-100.0, -30.0, 0.0, 50.0, 100.0])
def test_the_buffer_stays_near_its_target_for_an_hour(far_ppm: float) -> None:
    """A buffer fed by a clock off by `far_ppm` neither runs dry nor overflows (±20 ms), for an hour."""
    clock = TickClock(0.0)
    now, fill, worst = 0.0, 0.0, 0.0
    for _ in range(int(3600 / BLOCK_S)):
        step = clock.next_due - now
        now = clock.next_due
        assert clock.due(now) == 1
        fill += step * 8000.0 * (1.0 + far_ppm * 1e-6) - 160.0
        worst = max(worst, abs(fill))
        clock.steer(fill)
    assert worst < 160.0
    assert clock.statistics().correction_ppm == pytest.approx(far_ppm, abs=3.0)


def test_without_a_call_the_correction_decays() -> None:
    clock = TickClock(0.0)
    for _ in range(50_000):
        clock.steer(80.0)
    assert clock.statistics().correction_ppm == 200.0
    for _ in range(1000):
        clock.steer(None)
    assert clock.statistics().correction_ppm == pytest.approx(0.0, abs=0.1)
