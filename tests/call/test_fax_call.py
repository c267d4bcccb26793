"""Whole faxes between two modems, in one process, faster than real time; pages compared dot for dot."""

from __future__ import annotations

import time

import numpy as np
import pytest

import iax
from tests.call.world import World
from tests.host.class1 import EFAX, HYLAFAX, MGETTY, Habits
from tests.host.pages import random_page, text_page
from tests.host.t4 import Page
from tests.host.t30_receiver import FaxReceiver
from tests.host.t30_sender import FaxSender

PAGES = (random_page(1), random_page(2, 120))


def fax(world: World, sender: FaxSender, receiver: FaxReceiver, *, backwards: bool = False) -> None:
    """One call; both programs must be content."""
    world.run(1.0)
    a, b = world.stations[::-1] if backwards else world.stations
    world.attach(a, sender)
    world.attach(b, receiver)
    world.run(300.0, lambda: sender.done and receiver.done)
    assert not sender.failed, f"{sender.failed}\n{sender.transcript()}"
    assert not receiver.failed, f"{receiver.failed}\n{receiver.transcript()}"


def same(sent: tuple[Page, ...], received: list[Page]) -> bool:
    return len(sent) == len(received) and all(map(np.array_equal, sent, received))


@pytest.mark.parametrize("habits", [HYLAFAX, EFAX, MGETTY], ids=lambda h: h.name)
@pytest.mark.parametrize("code", [96, 72, 48, 24])
def test_two_pages_at_each_rate(code: int, habits: Habits) -> None:
    world = World(2)
    sender = FaxSender(PAGES, "200", codes=(code,), habits=habits)
    receiver = FaxReceiver(habits=habits)
    fax(world, sender, receiver)
    assert same(PAGES, receiver.pages)


def test_refused_trainings_fall_back_rate_by_rate() -> None:
    world = World(2)
    sender = FaxSender(PAGES, "100")
    receiver = FaxReceiver(refuse_training=("V.29 9600", "V.29 7200", "V.27ter 4800"))
    fax(world, sender, receiver, backwards=True)
    assert sender.rate == "V.27ter 2400"
    assert same(PAGES, receiver.pages)


@pytest.mark.parametrize("format_", iax.ALL_FORMATS)
def test_every_voice_format_carries_a_page(format_: iax.Format) -> None:
    world = World(2, formats=(format_,))
    receiver = FaxReceiver()
    fax(world, FaxSender(PAGES[:1], "200"), receiver)
    assert same(PAGES[:1], receiver.pages)


def test_jitter_within_the_buffer_costs_nothing() -> None:
    world = World(2, seed=5, delay_s=lambda rng: rng.uniform(0.0, 0.045))
    receiver = FaxReceiver()
    fax(world, FaxSender(PAGES, "200"), receiver)
    assert same(PAGES, receiver.pages)


def test_the_report_tells_what_happened() -> None:
    world = World(2)
    fax(world, FaxSender(PAGES, "200"), FaxReceiver())
    out, into = (station.line.last_report for station in world.stations)
    assert out is not None
    assert into is not None
    assert [b.code for b in out.bursts] == [96] * 3
    assert [(b.code, b.trained) for b in into.bursts] == [(96, True)] * 3
    assert into.frames_bad == out.frames_bad == 0
    assert into.frames_received == out.frames_sent, "DCN, the last frame before the hang-up, was heard"
    assert out.frames_received == into.frames_sent
    assert into.duration_s == pytest.approx(out.duration_s, abs=0.3)
    assert into.sentence().startswith("call report: incoming call from 100, ")


def test_a_call_is_simulated_much_faster_than_it_lasts(capsys: pytest.CaptureFixture[str]) -> None:
    """The base of every later test; the ratio is printed, and even a busy machine makes it above 10."""
    pages = (text_page("speed"),)
    world = World(2)
    fax(world, FaxSender(PAGES[:1], "200"), FaxReceiver())  # compiled and warm from here on
    world = World(2)
    start_s, start = world.now, time.perf_counter()
    fax(world, FaxSender(pages, "200"), FaxReceiver())
    ratio = (world.now - start_s) / (time.perf_counter() - start)
    with capsys.disabled():
        print(f"\nvirtual clock: a fax call between two lines runs {ratio:.0f} times faster than real time")
    assert ratio > 10.0
