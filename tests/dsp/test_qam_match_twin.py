"""Where the known sequence begins: normalised correlation, by numpy, at every half symbol."""

from __future__ import annotations

import numpy as np
import pytest

from dsp.line_model import CarrierOffset, ClockOffset, Impairment, Line, Noise, Shape
from dsp.modulation import Modulation
from dsp.qam_match import match_block
from dsp.qam_rx_state import ALTERNATION, COLLECT, EQ_CENTRE, EQ_TAPS
from dsp.qam_tx import qam_burst
from tests.dsp.twins.receiver import Complexes, Receiver, known_begins, known_symbols, modulation_of

_PREFIX = 64
#: The last half symbol of the prefix, counted from the first.
_REACH = 2 * _PREFIX - 2


def fit_of(m: Modulation, z: Complexes, turn: float) -> float:
    """Squared correlation of ``z`` with the first known symbols, of 1.

    Their mean is left out, since the alternation has it too; what that takes away from a perfect match is
    given back.
    """
    known = known_symbols(m)[:_PREFIX]
    varying = (known - known.mean()) * np.exp(1j * turn * np.arange(_PREFIX))
    heard = z[: _REACH + 1 : 2]
    top = abs(np.vdot(varying, heard)) ** 2
    share = np.sum(np.abs(varying) ** 2) / np.sum(np.abs(known) ** 2)
    return float(top / np.sum(np.abs(varying) ** 2) / np.sum(np.abs(heard) ** 2) / share)


def fits(receiver: Receiver, z: Complexes) -> dict[bool, list[float]]:
    """How well the wanted training fits at each half symbol, and (True) the long one instead of a short."""
    rx, m = receiver.state, receiver.modulation
    ways = [z]
    if m.turn_on.short:
        if rx.kept:  # also as the remembered equaliser gives it, from 15 half symbols before to 16 after
            taps = (rx.kept_tap_re + 1j * rx.kept_tap_im).astype(np.complex128)
            before = np.concatenate([np.zeros(EQ_CENTRE), z])
            ways.append(np.array([taps @ before[k : k + EQ_TAPS] for k in range(len(z) - EQ_TAPS // 2)]))
        n = len(z) - EQ_TAPS // 2 - _REACH
    else:
        n = len(z) - _REACH
    lengths = {False: m}
    if m.turn_on.short:
        lengths[True] = modulation_of(m.code - 1)[1]
    return {
        length: [max(fit_of(which, way[k:], rx.turn) for way in ways) for k in range(n)]
        for length, which in lengths.items()
    }


def before_known(receiver: Receiver, sent: int, stages: list[Impairment], ppm: float) -> float:
    """Let it hear a burst to 140 symbols after the known sequence's beginning, whose instant is returned.

    The receiver has seen an alternation and matches from 60 symbols before that instant on.
    """
    rx, m = receiver.state, receiver.modulation
    audio = Line([*stages, ClockOffset(ppm)], seed=sent).run(qam_burst(sent, bytes(300)))
    begins = known_begins(modulation_of(sent)[1], ppm)
    symbol = 8000 / m.baud
    receiver.hear(audio[: int(begins + 140 * symbol)])
    rx.state = ALTERNATION
    rx.t_z = begins - 60.3 * symbol
    rx.alternation_end = int(begins - 3 * symbol)
    return begins


def assert_matched(receiver: Receiver, begins: float) -> None:
    """The correlations are the twin's, and so is the instant that comes of them; and it is right."""
    rx, m = receiver.state, receiver.modulation
    start, step = float(rx.t_z), float(rx.step)
    z = receiver.z(start, int((rx.n_in - (24 if m.baud == 1200 else 20) - 1 - start) / step) + 1)
    expected = fits(receiver, z)
    wanted = np.max(list(expected.values()), axis=0)
    match_block(receiver.rec)
    assert rx.n_matched == len(wanted)
    assert np.max(np.abs(rx.match[: rx.n_matched] - wanted)) < 1e-4
    assert rx.state == COLLECT
    best = 1 + int(np.argmax(wanted[1:-1]))
    left, middle, right = np.sqrt(wanted[best - 1 : best + 2])
    top = best + 0.5 * (left - right) / (left - 2 * middle + right)
    assert rx.t_z == pytest.approx(start + top * step, abs=0.01 * step)
    assert rx.t_z == pytest.approx(begins, abs=4 * step)  # a line shape has a delay
    if m.turn_on.short:
        longer = expected[True][best] > expected[False][best]
        assert rx.row == modulation_of(m.code - longer)[0]


@pytest.mark.parametrize("code", [24, 48, 72, 96, 73, 145])
@pytest.mark.parametrize(
    ("stages", "hz", "ppm"),
    [
        ([Noise(-60)], 0.0, 0.0),
        ([Shape("loop-long"), CarrierOffset(12), Noise(-36)], 12.0, 200.0),
        ([Shape("m1020"), CarrierOffset(-15), Noise(-30)], -15.0, -200.0),
    ],
    ids=["clean", "loop", "m1020"],
)
def test_long(code: int, stages: list[Impairment], hz: float, ppm: float) -> None:
    receiver = Receiver(code)
    receiver.state.turn = 2 * np.pi * (hz + 0.7) / receiver.modulation.baud  # not quite
    assert_matched(receiver, before_known(receiver, code, stages, ppm))


@pytest.mark.parametrize("code", [74, 146])
@pytest.mark.parametrize("sent_long", [False, True])
@pytest.mark.parametrize("kept", [False, True])
def test_short(code: int, sent_long: bool, kept: bool) -> None:
    """With and without a remembered equaliser; a long one may come instead."""
    receiver = Receiver(code)
    rx = receiver.state
    rx.turn = 0.01
    if kept:
        rng = np.random.default_rng(code)
        rx.kept = 1
        rx.kept_tap_re, rx.kept_tap_im = 0.05 * rng.normal(size=(2, EQ_TAPS))
        rx.kept_tap_re[EQ_CENTRE] += 1
    sent = code - sent_long
    assert_matched(receiver, before_known(receiver, sent, [CarrierOffset(4), Noise(-34)], 50))
    assert rx.row == modulation_of(sent)[0]


@pytest.mark.parametrize("code", [24, 48, 96])
def test_a_repetition_is_no_beginning(code: int) -> None:
    """V.27ter's and V.29's sequence repeats after 127 symbols: what is found so late is taken back by it."""
    receiver = Receiver(code)
    rx, symbol = receiver.state, 8000 / receiver.modulation.baud
    begins = known_begins(receiver.modulation)
    audio = qam_burst(code, bytes(300)).astype(np.float64)
    audio[int(begins) : int(begins + 30 * symbol)] = 0  # the beginning was lost
    receiver.hear(audio[: int(begins + 240 * symbol)])
    rx.state = ALTERNATION
    rx.alternation_end = int(begins - 3 * symbol)
    rx.t_z = begins + 60.3 * symbol
    match_block(receiver.rec)
    assert rx.state == COLLECT
    assert rx.t_z == pytest.approx(begins, abs=symbol / 2)


def test_noise_is_not_matched() -> None:
    """What is too little, and the correlations are the twin's none the less."""
    receiver = Receiver(145)
    rx = receiver.state
    receiver.hear(np.random.default_rng(7).normal(0, 1000, 4000))
    rx.state, rx.t_z = ALTERNATION, 3000.0
    z = receiver.z(3000.0, int((4000 - 21 - 3000) / rx.step) + 1)
    match_block(receiver.rec)
    assert rx.state == ALTERNATION
    assert np.max(np.abs(rx.match[: rx.n_matched] - fits(receiver, z)[False])) < 1e-5
