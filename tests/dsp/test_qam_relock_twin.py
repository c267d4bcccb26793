"""Finding instant and phase again, against trying them all in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.line_model import CarrierOffset, Line, Noise, Shape
from dsp.modulation import Modulation
from dsp.qam_relock import relock
from dsp.qam_rx_state import EQ_TAPS
from dsp.qam_tx import qam_burst
from dsp.trellis import NEXT_STATE
from tests.dsp.twins.receiver import Complexes, Receiver, in_data, windows

_SYMBOLS = 64
_N_Z = 2 * _SYMBOLS + EQ_TAPS


def symbols_at(receiver: Receiver, tenth: int) -> tuple[Complexes, float]:
    """The last 64 symbols, turned to the next one's phase and at their level, when they stand elsewhere.

    ``tenth``: of a symbol, -5 to 4. A level that is off by less than 12 % is left alone.
    """
    rx = receiver.state
    parity, later = divmod(tenth + 5, 5)
    z = receiver.z(rx.t_z + later / 5 * rx.step - _N_Z * rx.step, _N_Z)
    y = windows(z, _SYMBOLS, parity) @ receiver.taps
    y *= np.exp(1j * rx.turn * (_SYMBOLS - np.arange(_SYMBOLS)))
    factor = 1 / np.sqrt(np.mean(np.abs(y) ** 2))
    factor = factor if abs(factor - 1) >= 0.12 else 1.0
    return y * factor, float(factor)


def off_amplitudes(m: Modulation, y: Complexes) -> float:
    radii = np.array(sorted({round(abs(point) * m.unit, 6) for point in m.points.values()}))
    return float(np.sum(np.min((np.abs(y)[:, np.newaxis] - radii) ** 2, axis=1)))


def errors_by_phase(m: Modulation, y: Complexes) -> NDArray[np.float64]:
    """Mean squared error of the decisions, or of the likeliest path, at each phase of the symmetry."""
    points = np.array([m.points[label] for label in m.points]) * m.unit
    n = 24 if m.trellis else 12
    symmetry = np.pi / 4 if len(points) == 8 and np.allclose(abs(points), abs(points[0])) else np.pi / 2
    turned = y * np.exp(-1j * np.arange(n)[:, np.newaxis] * symmetry / n)
    distance = np.abs(turned[:, :, np.newaxis] - points) ** 2
    if not m.trellis:
        return distance.min(axis=2).mean(axis=1)
    subset = np.array([distance[:, :, y::8].min(axis=2) for y in range(8)])  # [8, n, symbols]
    metric = np.zeros((n, 8))
    for k in range(_SYMBOLS):
        new = np.full((n, 8), np.inf)
        for state in range(8):
            for y2y1 in range(4):
                to = NEXT_STATE[state][y2y1]
                new[:, to] = np.minimum(new[:, to], metric[:, state] + subset[y2y1 << 1 | state & 1, :, k])
        metric = new
    return metric.min(axis=1) / _SYMBOLS


@pytest.mark.parametrize("code", [24, 48, 72, 96, 73, 97, 121, 145])
@pytest.mark.parametrize(("slip", "gain"), [(0, 1.0), (1, 1.0), (3, 0.7), (77, 1.3), (160, 1.0)])
@pytest.mark.parametrize("rough", [False, True])
def test_relock(code: int, slip: int, gain: float, rough: bool) -> None:
    """A jump of the signal by ``slip`` samples, and of its level: the best of all trials is taken."""
    stages = [Shape("loop-long"), CarrierOffset(6), Noise(-46)] if rough else [Noise(-54)]
    audio = Line(stages, seed=code).run(qam_burst(code, bytes(range(256)) * 4))
    receiver, later = in_data(code, audio, 0.3)
    rx, m = receiver.state, receiver.modulation
    end = len(audio) - len(later)
    receiver.hear(audio[slip : end + slip] * gain)
    assert rx.n_in == end
    t_z, old_gain, step = float(rx.t_z), float(rx.gain), float(rx.step)

    trials = {tenth: symbols_at(receiver, tenth) for tenth in range(-5, 5)}
    phases = {tenth: errors_by_phase(m, y) for tenth, (y, _) in trials.items()}
    if m.trellis:
        off = {tenth: float(errors.min()) for tenth, errors in phases.items()}
    else:
        off = {tenth: off_amplitudes(m, y) for tenth, (y, _) in trials.items()}
    assert relock(receiver.rec)
    tenth = round((rx.t_z - t_z) / step * 5)
    assert (rx.t_z - t_z) / step * 5 == pytest.approx(tenth, abs=1e-6)
    assert off[tenth] < 1.01 * min(off.values()) + 1e-4
    errors = phases[tenth]
    symmetry = np.pi / 4 if code == 48 else np.pi / 2
    phase = round(rx.angle / symmetry * len(errors))
    assert rx.angle == pytest.approx(phase * symmetry / len(errors))
    assert errors[phase] < 1.01 * errors.min() + 1e-4
    assert rx.mse == pytest.approx(errors[phase], rel=0.01, abs=2e-4)
    assert rx.gain == pytest.approx(old_gain * trials[tenth][1], rel=1e-4)
    # And it is right: a whole number of symbols, to a twentieth of one, from where it was.
    moved = (rx.t_z - t_z + slip) * m.baud / 8000
    assert abs(moved - round(moved)) < 0.12


@pytest.mark.parametrize("code", [24, 48, 96, 145])
def test_noise_is_no_lock(code: int) -> None:
    audio = Line([Noise(-54)], seed=code).run(qam_burst(code, bytes(900)))
    receiver, later = in_data(code, audio, 0.3)
    rx = receiver.state
    noise = np.random.default_rng(code).normal(0, 3000, len(audio) - len(later))
    receiver.hear(noise)
    before = (float(rx.t_z), float(rx.gain), float(rx.angle))
    assert not relock(receiver.rec)
    assert (rx.t_z, rx.gain, rx.angle) == pytest.approx(before, abs=1e-9)
    z = receiver.z(rx.t_z - EQ_TAPS * rx.step, EQ_TAPS)
    assert np.max(np.abs((rx.z_re + 1j * rx.z_im)[:EQ_TAPS] - z)) < 1e-6


def test_lost_samples_are_not_tried() -> None:
    audio = Line([Noise(-54)], seed=1).run(qam_burst(96, bytes(900)))
    receiver, _ = in_data(96, audio, 0.3)
    rx = receiver.state
    first = rx.t_z - _N_Z * rx.step - 20
    rx.bad_to = int(first) + 2
    assert not relock(receiver.rec)
    rx.bad_to = int(first) - 2
    assert relock(receiver.rec)
