"""Worker processes as the supervisor sees them: whether one is alive."""

from __future__ import annotations

import pytest

from cusemodem.worker_children import STALE_S, START_STALE_S, Child


@pytest.mark.parametrize(("started", "limit_s"), [(False, START_STALE_S), (True, STALE_S)])
def test_a_silent_worker_is_dead_after_a_while(started: bool, limit_s: float) -> None:
    """Also one that hangs before it has said that it has started."""
    child = Child({}, pid=1, started=started, status_at=1000.0)
    assert child.alive(1000.0 + limit_s - 0.1)
    assert not child.alive(1000.0 + limit_s + 0.1)


def test_one_that_waits_for_its_next_life_is_no_reason_to_end_the_service() -> None:
    assert Child({}, pid=0, started=True, status_at=0.0).alive(1000.0)
