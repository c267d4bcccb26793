"""Holding back and deciding again, against a receiver that never decided what was held."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.line_model import CarrierOffset, ClockOffset, Line, Noise
from dsp.qam_hold import NOTE, decide_again, take_back, take_note
from dsp.qam_rx_state import EQ_TAPS
from dsp.qam_track import put_out_all, track
from dsp.qam_tx import qam_burst
from tests.dsp.twins.receiver import Receiver, in_data

CODES = pytest.mark.parametrize("code", [24, 48, 72, 96, 73, 121, 145])
#: Symbols held: fewer than the trellis decoder keeps pending.
_HELD = 20


def prepared(code: int) -> tuple[Receiver, float]:
    """In data, with _HELD symbols more at hand until the instant that is returned."""
    data = np.random.default_rng(code).integers(0, 256, 900, np.uint8).tobytes()
    audio = Line([CarrierOffset(5), ClockOffset(120), Noise(-50)], seed=code).run(qam_burst(code, data))
    receiver, later = in_data(code, audio, 0.2)
    receiver.hear_more(later[:160])
    rx = receiver.state
    return receiver, rx.t_z - EQ_TAPS / 2 * rx.step + (2 * _HELD - 1) * rx.step


def held_back(receiver: Receiver, until: float, out: NDArray[np.uint8]) -> int:
    """Decide what is at hand, and take it back; the new number of bytes."""
    rx = receiver.state
    note = np.zeros(NOTE, np.int64)
    take_note(receiver.rec, 0, note)
    rx.watched, rx.n_watched = 1, 0
    n_out = track(receiver.rec, until, out, 0)
    assert rx.n_watched == _HELD
    return int(take_back(receiver.rec, note, _HELD, out, n_out))


@CODES
def test_taken_back_is_as_never_decided(code: int) -> None:
    """A trellis decoder has put out all that came before, and nothing of what was held."""
    receiver, until = prepared(code)
    never = receiver.clone()
    out, expected = np.zeros(64, np.uint8), np.zeros(64, np.uint8)
    n_out = held_back(receiver, until, out)
    assert n_out == put_out_all(never.rec, expected, 0)
    assert out[:n_out].tobytes() == expected[:n_out].tobytes()
    for name in ("byte", "n_bits", "n_ones", "scrambler_state", "phase"):
        assert receiver.state[name] == never.state[name], name
    assert receiver.state.n_held == _HELD
    assert receiver.state.n_pending == 0


@CODES
def test_back_to_the_first_symbol_held(code: int) -> None:
    receiver, _ = prepared(code)
    rx = receiver.state
    rx.jitter_lines = 1
    rx.jitter_turn[0], rx.jitter_angle[0] = 0.15, 1.0
    rx.n_held = 37
    before = receiver.clone().state
    decide_again(receiver.rec)
    assert (rx.n_held, rx.n_unheld) == (0, 37)
    assert rx.t_z == pytest.approx(before.t_z - 2 * 37 * before.step, abs=1e-6)
    assert np.exp(1j * rx.angle) == pytest.approx(np.exp(1j * (before.angle - 37 * before.turn)), abs=1e-9)
    assert rx.jitter_angle[0] == pytest.approx(1.0 - 37 * 0.15)
    z = receiver.z(rx.t_z - EQ_TAPS * rx.step, EQ_TAPS)
    assert np.max(np.abs((rx.z_re + 1j * rx.z_im)[:EQ_TAPS] - z)) < 1e-6
    if receiver.modulation.trellis:
        assert np.array_equal(rx.metric >> 3, np.zeros(8))


@CODES
def test_decided_again_is_the_same(code: int) -> None:
    """Sense taken for nonsense: after all its bits are those of a receiver that let them go at once."""
    receiver, until = prepared(code)
    straight = receiver.clone()
    out, expected = np.zeros(64, np.uint8), np.zeros(64, np.uint8)
    n_expected = put_out_all(straight.rec, expected, track(straight.rec, until, expected, 0))
    n_out = held_back(receiver, until, out)
    decide_again(receiver.rec)
    n_out = put_out_all(receiver.rec, out, track(receiver.rec, until, out, n_out))
    assert n_out == n_expected > 0
    assert out[:n_out].tobytes() == expected[:n_out].tobytes()
    assert receiver.state.n_unheld == 0
