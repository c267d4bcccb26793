"""The line itself: what a chain of impairments promises whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.line_model import (
    BlockLoss,
    CarrierOffset,
    ClockOffset,
    Codec,
    DirectCurrent,
    FractionalDelay,
    Gain,
    Idle,
    Impairment,
    Line,
    ListenerEcho,
    Noise,
    PhaseHits,
    PhaseJitter,
    Shape,
    Slip,
    codecs,
    signal_level_dbm0,
)
from dsp.qam_tx import qam_burst

BURST = qam_burst(96, bytes(range(256)))  # V.29, half a second

EVERYTHING: dict[str, Callable[[], list[Impairment]]] = {
    "nothing": lambda: [],
    "idle": lambda: [Idle(0.0123, 0.0456)],
    "gain": lambda: [Gain(-3)],
    "dc": lambda: [DirectCurrent(100)],
    "noise": lambda: [Noise(-40)],
    "noise with signal": lambda: [Noise(-40, idle_dbm0=None)],
    "echo": lambda: [ListenerEcho(0.01, 20)],
    "carrier": lambda: [CarrierOffset(-7)],
    "jitter": lambda: [PhaseJitter(10)],
    "hits": lambda: [PhaseHits([(0.1, 30), (0.2, -60)])],
    "clock": lambda: [ClockOffset(200)],
    "fraction": lambda: [FractionalDelay(0.3)],
    "shape": lambda: [Shape("loop-loaded")],
    "codecs": lambda: codecs(["ulaw", "alaw"]),
    "more": lambda: [Slip(0.1234, 7)],
    "less": lambda: [Slip(0.1234, -77)],
    "loss": lambda: [BlockLoss(share=0.2)],
    "all": lambda: [
        Idle(0.1, 0.1),
        Gain(-6),
        ClockOffset(-150),
        CarrierOffset(3),
        Shape("m1020"),
        ListenerEcho(0.0101, 20),
        Noise(-45, idle_dbm0=-60),
        Codec("alaw"),
        Slip(0.3, 5),
        BlockLoss(every_s=0.2, fill="repeat"),
    ],
}


@pytest.mark.parametrize("name", EVERYTHING)
@settings(derandomize=True, max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, len(BURST)), max_size=12))
def test_the_whole_is_the_same_however_it_is_cut(name: str, cuts: list[int]) -> None:
    whole = Line(EVERYTHING[name](), seed=3)
    expected = whole.run(BURST)
    line = Line(EVERYTHING[name](), seed=3)
    edges = [0, *sorted(cuts), len(BURST)]
    parts = [line.process(BURST[a:b]) for a, b in pairwise(edges)]
    assert np.array_equal(np.concatenate([*parts, line.flush()]), expected)
    assert np.array_equal(line.lost, whole.lost)
    assert len(line.lost) == -(-len(expected) // 160)


@pytest.mark.parametrize("name", EVERYTHING)
def test_reset_returns_to_the_beginning(name: str) -> None:
    line = Line(EVERYTHING[name](), seed=5)
    once = line.run(BURST)
    assert np.array_equal(line.run(BURST), once)
    line.process(BURST[:1000])
    assert np.array_equal(line.run(BURST), once)
    assert np.array_equal(Line(EVERYTHING[name](), seed=5).run(BURST), once)


def test_another_seed_is_another_line_but_one_impairment_more_is_not() -> None:
    noise = Line([Noise(-40)], seed=1).run(BURST).astype(int)
    assert not np.array_equal(noise, Line([Noise(-40)], seed=2).run(BURST))
    with_loss = Line([Noise(-40), BlockLoss(share=0.1)], seed=1)
    heard = with_loss.run(BURST).astype(int)
    same = np.repeat(~with_loss.lost, 160)[: len(heard)]
    assert with_loss.lost.any()
    assert np.array_equal(heard[same], noise[same])


def test_nothing_in_is_nothing_out() -> None:
    for make in EVERYTHING.values():
        line = Line(make())
        assert len(line.process(np.zeros(0, np.int16))) <= 8000
    assert len(Line([ClockOffset(100), Shape("g712")]).run(np.zeros(0, np.int16))) == 0


def test_loud_signals_are_clipped_not_wrapped() -> None:
    loud = Line([Gain(40)]).run(BURST)
    assert loud.max() == 32767
    assert loud.min() == -32768
    assert np.all(np.sign(loud) == np.sign(BURST))


def test_loss_must_be_last() -> None:
    with pytest.raises(ValueError, match="BlockLoss must be a line's last impairment"):
        Line([BlockLoss(share=0.1), Noise(-40)])


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Idle(-1), r"silence before -1 is not from 0 to 86400 s"),
        (lambda: Gain(float("nan")), r"gain nan is not from -80 to 40 dB"),
        (lambda: DirectCurrent(1e9), r"DC offset 1000000000.0 is not from -16384 to 16384"),
        (lambda: Noise(30), r"noise 30 is not from -99 to 3 dBm0"),
        (lambda: ListenerEcho(0.01, -1), r"echo loss -1 is not from 0 to 99 dB"),
        (lambda: CarrierOffset(1800), r"carrier offset 1800 is not from -200 to 200 Hz"),
        (lambda: PhaseJitter(10, 1000), r"jitter rate 1000 is not from 0 to 400 Hz"),
        (lambda: PhaseHits([(0, 999)]), r"phase hit 999 is not from -360 to 360 degrees"),
        (lambda: ClockOffset(1e6), r"clock offset 1000000.0 is not from -10000 to 10000 ppm"),
        (lambda: FractionalDelay(2), r"fractional delay 2 is not from 0 to 0.99 samples"),
        (lambda: Shape("eia-9"), r"line shape 'eia-9' is none of g712, loop-short"),
        (lambda: Codec("g729"), r"codec 'g729' is none of ulaw, alaw"),
        (lambda: Slip(0, 10000), r"slip 10000 is not from -8000 to 8000 samples"),
        (lambda: Slip(0, 1, fill="noise"), r"fill 'noise' is none of silence, repeat"),
        (lambda: BlockLoss(share=1.5), r"loss 1.5 is not from 0 to 1$"),
        (lambda: BlockLoss(every_s=0.01), r"loss every 0.01 s is less than one packet"),
        (lambda: BlockLoss(fill="x"), r"fill 'x' is none of"),
    ],
)
def test_bad_arguments_are_named(make: Callable[[], Impairment], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        make()


def test_level_of_a_signal_with_pauses() -> None:
    assert signal_level_dbm0(BURST) == pytest.approx(-14.0, abs=0.3)
    pauses = np.zeros(16000, np.int16)
    assert signal_level_dbm0(np.concatenate([pauses[:4000], BURST, pauses[:4000]])) == pytest.approx(
        -14.0, abs=0.3
    )
    assert signal_level_dbm0(pauses) == -99.0
    assert signal_level_dbm0(pauses[:10]) == -99.0


def test_what_is_no_audio_is_refused() -> None:
    with pytest.raises(TypeError, match="samples: expected int16"):
        Line([Gain(-3)]).run(np.zeros(160))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="samples: expected int16"):
        Line([]).process(np.zeros((2, 160), np.int16))
