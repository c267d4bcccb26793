"""Phase jitter: the spectrum against numpy's FFT, what is expected of it, and least squares."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.qam_jitter import find_jitter, fit_jitter, steer_jitter, turn_by_jitter, watch_jitter
from dsp.qam_rx_state import BATCH, JITTER_MEAN, JITTER_PAST
from tests.dsp.twins.receiver import Receiver, known_symbols

Signal = NDArray[np.float64]


def jittering(lines: list[tuple[float, complex, float]], code: int = 145) -> Receiver:
    """(Hz, cosine's less i times sine's swing in radians, angle now) of each line."""
    receiver = Receiver(code)
    rx = receiver.state
    rx.jitter_lines = len(lines)
    for k, (hz, swing, angle) in enumerate(lines):
        rx.jitter_turn[k] = 2 * np.pi * hz / receiver.modulation.baud
        rx.jitter_angle[k] = angle
        rx.jitter_re[k], rx.jitter_im[k] = swing.real, -swing.imag
    return receiver


def swing_at(receiver: Receiver, k: NDArray[np.int64]) -> Signal:
    """Phase expected ``k`` symbols from now, radians."""
    rx = receiver.state
    total = np.zeros(len(k))
    for line in range(rx.jitter_lines):
        angle = rx.jitter_angle[line] + k * rx.jitter_turn[line]
        total += np.real((rx.jitter_re[line] - 1j * rx.jitter_im[line]) * np.exp(1j * angle))
    return total


@pytest.mark.parametrize(
    "lines", [[], [(60.0, 0.1 - 0.05j, 1.0)], [(50.0, 0.2j, 5.0), (100.0, -0.1 + 0j, 2.0)]]
)
@pytest.mark.parametrize("n", [BATCH, 3])
def test_turned_by_what_is_expected(lines: list[tuple[float, complex, float]], n: int) -> None:
    receiver = jittering(lines)
    phases = np.random.default_rng(n).uniform(-3, 3, BATCH)
    cosines, sines = np.cos(phases).astype(np.float32), np.sin(phases).astype(np.float32)
    turn_by_jitter(receiver.rec, n, cosines, sines)
    expected = np.exp(1j * (phases + np.where(np.arange(BATCH) < n, swing_at(receiver, np.arange(BATCH)), 0)))
    assert np.max(np.abs(cosines + 1j * sines - expected)) < 1e-6


def past_errors(baud: int, hz: float, peak: float, noise: float, n: int) -> Signal:
    """Means of phase errors: a line, white noise, and a carrier that is a little off."""
    seed = int(hz) + baud
    t = np.arange(n * JITTER_MEAN) / baud
    errors = 0.01 + peak * np.sin(2 * np.pi * hz * t + seed)
    errors += np.random.default_rng(seed).normal(0, noise, len(t))
    means: Signal = errors.reshape(-1, JITTER_MEAN).mean(axis=1)
    return means


@pytest.mark.parametrize("code", [24, 48, 145])
@pytest.mark.parametrize("hz", [25.0, 50.0, 60.0, 100.0, 131.3])
@pytest.mark.parametrize("n", [JITTER_PAST, 200])
@pytest.mark.parametrize("peak", [0.09, 0.03, 0.025, 0.024, 0.023, 0.022, 0.018, 0.015, 0.0])
def test_a_line_is_found_where_the_fft_shows_one(code: int, hz: float, n: int, peak: float) -> None:
    """The strongest bin of 18 to 300 Hz, if it has 16 times their mean and 5 % of the error's power."""
    noise = 0.05
    receiver = Receiver(code)
    rx = receiver.state
    past = past_errors(receiver.modulation.baud, hz, peak, noise, n).astype(np.float32)
    rx.jitter_past[:n] = past
    rx.n_jitter_past = n
    rx.mse = 2 * noise**2  # of which half turns
    find_jitter(receiver.rec)
    assert rx.n_jitter_past == 0

    centred = past.astype(np.float64) - np.mean(past, dtype=np.float64)
    rate_hz = receiver.modulation.baud / JITTER_MEAN
    power = np.abs(np.fft.fft(centred * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)))) ** 2
    first, end = int(np.ceil(18 / (rate_hz / n))), int(min(300, 0.48 * rate_hz) / (rate_hz / n))
    inside = np.arange(first, end)
    best = int(inside[1:-1][np.argmax(power[inside[1:-1]])])
    tests = [
        np.var(past, dtype=np.float64) / (1.2 * rx.mse / (2 * JITTER_MEAN)),
        power[best] / (16 * power[inside].mean()),
        0.5 * power[best] * 16 / n**2 / (0.05 * rx.mse),
    ]
    if min(abs(test - 1) for test in tests) > 1e-3:
        assert rx.jitter_lines == (min(tests) > 1)
    assert rx.jitter_lines == 1 or peak < 0.05
    assert rx.jitter_lines == 0 or peak > 0
    if rx.jitter_lines:
        found_hz = rx.jitter_turn[0] * receiver.modulation.baud / (2 * np.pi)
        assert abs(found_hz - best * rate_hz / n) <= 0.5 * rate_hz / n + 1e-6  # between that bin and the next
        if peak > 0.05:
            assert found_hz == pytest.approx(hz, abs=0.15 * rate_hz / n)


def test_a_line_that_is_known_is_not_found_again() -> None:
    receiver = jittering([(60.0, 0j, 0.0)])
    rx = receiver.state
    for hz, lines in ((60.5, 1), (90.0, 2)):
        rx.jitter_past[:] = past_errors(2400, hz, 0.1, 0.02, JITTER_PAST)
        rx.n_jitter_past, rx.mse = JITTER_PAST, 0.001
        find_jitter(receiver.rec)
        assert rx.jitter_lines == lines


def test_phase_errors_are_noted_in_means() -> None:
    receiver = Receiver(145)
    rx = receiver.state
    errors = np.random.default_rng(3).normal(0, 0.1, 803).astype(np.float32)
    for at in range(0, len(errors), 7):
        watch_jitter(receiver.rec, len(errors[at : at + 7]), errors[at : at + 7].copy())
    n = len(errors) // JITTER_MEAN
    assert rx.n_jitter_past == n
    means = errors[: n * JITTER_MEAN].reshape(-1, JITTER_MEAN).mean(axis=1)
    assert np.max(np.abs(rx.jitter_past[:n] - means)) < 1e-6
    assert rx.jitter_sum == pytest.approx(errors[n * JITTER_MEAN :].sum(), abs=1e-6)


@pytest.mark.parametrize("n_lines", [1, 2])
def test_steps_down_the_gradient(n_lines: int) -> None:
    """Of the squared phase error, by amplitude and frequency; the gain falls as 2/(symbols + 40) to 0.004."""
    rng = np.random.default_rng(n_lines)
    receiver = jittering([(60.0, 0.1 - 0.05j, 1.0), (100.0, 0.06 + 0.02j, 4.0)][:n_lines])
    rx = receiver.state
    for _ in range(80):
        errors = rng.normal(0, 0.05, BATCH).astype(np.float32)
        before = [
            (
                complex(rx.jitter_re[i], -rx.jitter_im[i]),
                rx.jitter_turn[i],
                rx.jitter_angle[i],
                rx.jitter_age[i],
            )
            for i in range(n_lines)
        ]
        steer_jitter(receiver.rec, BATCH, errors)
        for i, (swing, turn, angle, age) in enumerate(before[:n_lines]):
            wave = np.exp(1j * (angle + turn * np.arange(BATCH)))
            gain = max(0.004, 2 / (age + 40))
            new = complex(rx.jitter_re[i], -rx.jitter_im[i])
            assert new == pytest.approx(swing + gain * np.sum(errors * wave.conj()), abs=1e-6)
            assert np.exp(1j * rx.jitter_angle[i]) == pytest.approx(
                np.exp(1j * (angle + BATCH * turn)), abs=1e-9
            )
            slope = np.sum(errors * np.real(1j * swing * wave))  # of the phase by the angle
            more = 2 * 0.001**2 * slope / max(abs(swing) ** 2, 1e-3) if age > 400 else 0
            assert rx.jitter_turn[i] - turn == pytest.approx(more, rel=1e-3, abs=1e-12)
            assert rx.jitter_age[i] == age + BATCH


def test_a_line_that_has_gone_is_forgotten() -> None:
    receiver = jittering([(60.0, 0.005 + 0j, 1.0), (100.0, 0.1 + 0j, 2.0)])
    rx = receiver.state
    rx.jitter_age[:] = 4090
    steer_jitter(receiver.rec, BATCH, np.zeros(BATCH, np.float32))
    assert rx.jitter_lines == 1
    assert rx.jitter_turn[0] * 2400 / (2 * np.pi) == pytest.approx(100)
    assert rx.jitter_re[0] == np.float32(0.1)


@pytest.mark.parametrize("lines", [[60.0], [50.0, 100.0]])
@pytest.mark.parametrize("seed", range(3))
def test_fit_to_a_short_training(lines: list[float], seed: int) -> None:
    """Weighted least squares of the phase: offset, drift (known to two symbols' worth), and each line."""
    rng = np.random.default_rng(seed)
    receiver = jittering([(hz, 0j, 0.0) for hz in lines], 146)
    known = known_symbols(receiver.modulation)
    n = len(known)
    k = np.arange(n)
    phase = 0.3 + 0.05 + 0.0004 * k
    for hz in lines:
        phase = phase + 0.1 * np.sin(2 * np.pi * hz * k / 2400 + rng.uniform(0, 6))
    u = known * np.exp(1j * phase) + 0.03 * (rng.normal(size=(2, n)) * [[1], [1j]]).sum(axis=0)
    u = u.astype(np.complex64)
    usable = (rng.random(n) < 0.95).astype(np.uint8)
    offset, drift, mse = fit_jitter(receiver.rec, usable, u.real.copy(), u.imag.copy(), 0.3)

    unknown = [np.ones(n), (k + 0.5) / n - 0.5]
    for hz in lines:
        unknown += [np.cos(2 * np.pi * hz * k / 2400), np.sin(2 * np.pi * hz * k / 2400)]
    a = np.array(unknown).T
    error = np.angle(u.astype(np.complex128) * np.exp(-0.3j) * known.conj())
    weight = np.abs(known) * (usable == 1)
    prior = np.diag(np.sqrt([1e-3, 1e-3 + 2.0, *[1e-3] * (2 * len(lines))]))
    rows = np.vstack([a * weight[:, np.newaxis], prior])
    x = np.linalg.lstsq(rows, np.concatenate([weight * error, np.zeros(len(prior))]), rcond=None)[0]
    swings = np.array([receiver.state.jitter_re, receiver.state.jitter_im]).T[: len(lines)].reshape(-1)
    assert np.max(np.abs(swings - x[2:])) < 1e-5
    assert drift == pytest.approx(x[1] / n, abs=1e-7)
    assert offset == pytest.approx(x[0] + x[1] * (0.5 / n - 0.5), abs=1e-6)  # at the first symbol
    # What is left is judged at the level and phase that suit it best.
    y = (u * np.exp(-1j * (0.3 + a @ x)))[usable == 1]
    c = known[usable == 1]
    factor = np.vdot(c, y) / np.vdot(c, c).real
    expected = np.sum(np.abs(y - factor * c) ** 2) / np.sum(np.abs(factor * c) ** 2)
    assert mse == pytest.approx(expected, rel=1e-3)
