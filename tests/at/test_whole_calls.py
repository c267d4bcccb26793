"""Whole fax calls: two fax programs with the habits of HylaFAX, efax and mgetty, two engines, one line."""

from __future__ import annotations

import random

import numpy as np
import pytest

from cusemodem.at import Engine
from tests.at.pair import Station, run_call
from tests.host.class1 import EFAX, HYLAFAX, MGETTY, Habits
from tests.host.pages import random_page, text_page
from tests.host.t30_receiver import FaxReceiver
from tests.host.t30_sender import FaxSender

PAGES = [text_page("first", 120), random_page(2, 60)]
DROPS_S = (0.5, 2, 4, 6, 8, 9.5, 11, 12.5, 14, 16, 18, 20, 22, 24, 26, 28)
"""After the answer: in the tones, the frames, the training check, the pages, between them and at the end."""


@pytest.mark.parametrize("sender_habits", [HYLAFAX, EFAX, MGETTY], ids=lambda habits: habits.name)
@pytest.mark.parametrize("receiver_habits", [HYLAFAX, EFAX, MGETTY], ids=lambda habits: habits.name)
def test_pages_arrive(sender_habits: Habits, receiver_habits: Habits) -> None:
    sender = FaxSender(PAGES, "5550100", habits=sender_habits)
    receiver = FaxReceiver(habits=receiver_habits)
    stations = run_call(sender, receiver)
    assert not sender.failed, sender.transcript()
    assert not receiver.failed, receiver.transcript()
    assert len(receiver.pages) == len(PAGES)
    for got, sent in zip(receiver.pages, PAGES, strict=True):
        np.testing.assert_array_equal(got, sent)
    for station in stations:
        statistics = station.engine.statistics()
        assert statistics.errors <= 1  # mgetty's +FAE is known here; nothing else may fail
        assert statistics.class1.frames_bad == 0
        assert statistics.calls.events_ignored == 0


@pytest.mark.parametrize("code", [24, 48, 72, 96, 73, 97, 121, 145])
def test_every_modulation_offered(code: int) -> None:
    sender, receiver = FaxSender(PAGES[1:], "1", codes=(code,)), FaxReceiver()
    run_call(sender, receiver)
    assert not sender.failed, sender.transcript()
    assert not receiver.failed, receiver.transcript()
    np.testing.assert_array_equal(receiver.pages[0], PAGES[1])


def test_a_refused_training_falls_back() -> None:
    sender = FaxSender(PAGES[1:], "1")
    receiver = FaxReceiver(refuse_training=("V.17 14400", "V.17 12000"))
    run_call(sender, receiver)
    assert not sender.failed, sender.transcript()
    assert sender.rates_tried == ["V.17 14400", "V.17 12000", "V.17 9600"]
    np.testing.assert_array_equal(receiver.pages[0], PAGES[1])


@pytest.mark.parametrize("habits", [HYLAFAX, EFAX, MGETTY], ids=lambda habits: habits.name)
@pytest.mark.parametrize("drop_at_s", DROPS_S)
def test_a_call_that_the_network_loses_at_any_moment(habits: Habits, drop_at_s: float) -> None:
    """Both programs learn of it and end; the modems are on-hook, in command state; the next fax arrives."""
    stations = run_call(FaxSender(PAGES, "1", habits=habits), FaxReceiver(habits=habits), drop_at_s=drop_at_s)
    for station in stations:
        assert station.engine.statistics().call_state == "ON_HOOK"
        assert station.engine.statistics().class1_state == "COMMAND"
        assert not station.engine.calls.carrier
    sender, receiver = FaxSender(PAGES[1:], "1", habits=habits), FaxReceiver(habits=habits)
    run_call(sender, receiver, stations=stations)
    assert not sender.failed, sender.transcript()
    assert not receiver.failed, receiver.transcript()
    np.testing.assert_array_equal(receiver.pages[0], PAGES[1])


def test_frames_spoilt_on_the_line_are_repeated() -> None:
    """One V.21 frame in ten has a wrong check sequence: ERROR, CRP, CAN, repetition; the pages arrive."""
    n_good = 0
    everyone = [HYLAFAX, EFAX, MGETTY]
    for seed in range(18):
        rng = random.Random(seed)
        stations = (Station(Engine()), Station(Engine()))
        for station in stations:
            station.spoils = lambda rng=rng: rng.random() < 0.1  # type: ignore[misc]
        sender = FaxSender(PAGES, "1", habits=everyone[seed % 3])
        receiver = FaxReceiver(habits=everyone[seed // 3 % 3])
        run_call(sender, receiver, stations=stations)
        for station in stations:
            assert station.engine.statistics().call_state == "ON_HOOK"
            assert station.engine.statistics().class1_state == "COMMAND"
        assert sender.failed in ("", "no answer to DCS and TCF, 3 times"), sender.transcript()
        if not sender.failed and not receiver.failed:
            n_good += 1
            for got, sent in zip(receiver.pages, PAGES, strict=True):
                np.testing.assert_array_equal(got, sent)
    assert n_good >= 16
