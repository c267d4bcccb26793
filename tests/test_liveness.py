"""A reader that leaves what is there is noticed; a busy or an idle one is not."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from cusemodem.liveness import Liveness
from cusemodem.worker_children import STALE_S, START_STALE_S, Child


class Pipe:
    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        self.n_reads = 0

    def fileno(self) -> int:
        return self.read


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    os.close(pipe.read)
    os.close(pipe.write)


def test_a_stuck_reader_is_named_at_the_second_look(pipe: Pipe) -> None:
    liveness = Liveness()
    assert liveness.stuck({"ttyIAX0": pipe}) == []
    os.write(pipe.write, b"x")
    assert liveness.stuck({"ttyIAX0": pipe}) == []
    assert liveness.stuck({"ttyIAX0": pipe}) == ["ttyIAX0"]
    assert liveness.stuck({"ttyIAX0": pipe}) == ["ttyIAX0"]
    pipe.n_reads += 1
    assert liveness.stuck({"ttyIAX0": pipe}) == []


def test_a_busy_reader_is_not_stuck(pipe: Pipe) -> None:
    liveness = Liveness()
    os.write(pipe.write, b"xxxx")
    for _ in range(4):
        assert liveness.stuck({"ttyIAX0": pipe}) == []
        os.read(pipe.read, 1)
        pipe.n_reads += 1


def test_the_watchdog_is_fed_only_by_a_worker_that_ticks_reads_and_tells() -> None:
    child = Child({}, pid=1, started=True, status_at=100.0)
    assert child.alive(101.0)
    child.n_stuck = 1
    assert not child.alive(101.0)
    child.n_stuck, child.ticking = 0, False
    assert not child.alive(101.0)
    child.ticking = True
    assert not child.alive(100.0 + STALE_S)
    child.started = False
    assert child.alive(99.0 + START_STALE_S), "a start takes longer"
    assert not child.alive(100.0 + START_STALE_S), "but says something"
