"""Phase jitter: the carrier's phase swinging with the mains, faster than the carrier loop may follow.

A loop quick enough for 60 Hz would take noise for phase. But jitter is a line or two in the spectrum of the
phase errors: once such a line has been found there, its frequency is known, and an amplitude and phase that
are learned slowly foretell what it does to each symbol. Where no line stands out nothing is done.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.kernel import Record, kernel
from dsp.qam_rx_state import JITTER_LINES, JITTER_MEAN, JITTER_PAST
from dsp.qam_tables import BAUD, KNOWN, KNOWN_START, POINT

#: Means of phase errors that a spectrum is computed from at least.
_LEAST_PAST = JITTER_PAST // 4
#: Where jitter is looked for, up to half the rate of the means.
_LOWEST_HZ, _HIGHEST_HZ = 18.0, 300.0
_MOST_BINS = 512
#: Of the variance that noise alone would give the means: less than this needs no spectrum.
_SUSPICIOUS = 1.2
#: Power of a line, of the spectrum's mean: noise comes no nearer than 1e-4 of the times it is asked.
_STANDS_OUT = 16.0
#: Power of a line that is worth the trouble, of the decisions' squared error.
_WORTH = 0.05
#: Gain in steady state, for each symbol; greater for the first symbols, as if so many had gone before.
_GAIN = 0.004
_HEAD_START = 40
#: Of the phase a line is found to be off, this much goes to its frequency.
_FREQUENCY_GAIN = (_GAIN / 4) ** 2
#: Squared amplitude below which a line has gone (0.4°), and symbols that it is given before.
_GONE = 5e-5
_PATIENCE = 4096
#: Carrier offset and phase are known this well, in symbols' worth, when a short training tells the jitter.
_TURN_PRIOR = 2.0


@kernel
def jitter_begin(rx: Record) -> None:
    """A new carrier: forget the lines and the past."""
    rx.jitter_lines = 0
    jitter_forget_past(rx)


@kernel
def jitter_forget_past(rx: Record) -> None:
    """Phase errors from before say nothing about those to come."""
    rx.n_jitter_past = 0
    rx.jitter_sum = 0.0
    rx.jitter_symbols = 0


@kernel
def jitter_slipped(rx: Record) -> None:
    """Time has jumped: the frequencies stay, their phases have to be learned again."""
    for line in range(rx.jitter_lines):
        rx.jitter_re[line] = 0.0
        rx.jitter_im[line] = 0.0
        rx.jitter_age[line] = 0
    jitter_forget_past(rx)


@kernel
def turn_by_jitter(rx: Record, n: int, cosines: NDArray[np.float32], sines: NDArray[np.float32]) -> None:
    """Turn the carrier's phases at ``n`` symbols by the jitter that is expected."""
    for k in range(n):
        jitter = 0.0
        for line in range(rx.jitter_lines):
            angle = rx.jitter_angle[line] + k * rx.jitter_turn[line]
            jitter += rx.jitter_re[line] * np.cos(angle) + rx.jitter_im[line] * np.sin(angle)
        cosine, sine = np.float32(np.cos(jitter)), np.float32(np.sin(jitter))
        cosines[k], sines[k] = (
            cosines[k] * cosine - sines[k] * sine,
            sines[k] * cosine + cosines[k] * sine,
        )


@kernel
def steer_jitter(rx: Record, n: int, errors: NDArray[np.float32]) -> None:
    """Learn from the phase errors of ``n`` symbols (0: not to be trusted), and go on to the next ones."""
    for line in range(rx.jitter_lines):
        gain = max(_GAIN, 2.0 / (rx.jitter_age[line] + _HEAD_START))
        re, im = rx.jitter_re[line], rx.jitter_im[line]
        more_re, more_im, slope = 0.0, 0.0, 0.0
        for k in range(n):
            angle = rx.jitter_angle[line] + k * rx.jitter_turn[line]
            cosine, sine = np.cos(angle), np.sin(angle)
            more_re += errors[k] * cosine
            more_im += errors[k] * sine
            slope += errors[k] * (im * cosine - re * sine)
        rx.jitter_re[line] = re + gain * more_re
        rx.jitter_im[line] = im + gain * more_im
        rx.jitter_angle[line] = (rx.jitter_angle[line] + n * rx.jitter_turn[line]) % (2 * np.pi)
        power = re * re + im * im
        if rx.jitter_age[line] > _HEAD_START * 10:
            rx.jitter_turn[line] += _FREQUENCY_GAIN * 2 * slope / max(power, 1e-3)
        rx.jitter_age[line] += n
        if rx.jitter_age[line] > _PATIENCE and power < _GONE:
            last = rx.jitter_lines - 1
            rx.jitter_re[line], rx.jitter_im[line] = rx.jitter_re[last], rx.jitter_im[last]
            rx.jitter_turn[line], rx.jitter_angle[line] = rx.jitter_turn[last], rx.jitter_angle[last]
            rx.jitter_age[line] = rx.jitter_age[last]
            rx.jitter_lines = last
            break  # the other line's turn comes with the next batch


@kernel
def watch_jitter(rx: Record, n: int, errors: NDArray[np.float32]) -> None:
    """Note ``n`` symbols' phase errors; from time to time, look whether there is a line in them."""
    for k in range(n):
        rx.jitter_sum += errors[k]
        rx.jitter_symbols += 1
        if rx.jitter_symbols == JITTER_MEAN:
            rx.jitter_past[rx.n_jitter_past] = rx.jitter_sum * np.float32(1 / JITTER_MEAN)
            rx.n_jitter_past += 1
            rx.jitter_sum = 0.0
            rx.jitter_symbols = 0
            if rx.n_jitter_past == JITTER_PAST:
                find_jitter(rx)


@kernel
def find_jitter(rx: Record) -> None:
    """Add a line to those known if one stands out of the past phase errors; then forget these."""
    n = rx.n_jitter_past
    rx.n_jitter_past = 0
    if n < _LEAST_PAST or rx.jitter_lines == JITTER_LINES:
        return
    mean, power = 0.0, 0.0
    for k in range(n):
        mean += rx.jitter_past[k]
        power += rx.jitter_past[k] * rx.jitter_past[k]
    mean /= n
    if power / n - mean * mean < _SUSPICIOUS * rx.mse / (2 * JITTER_MEAN):
        return
    rate_hz = BAUD[rx.row] / JITTER_MEAN
    bin_hz = rate_hz / n
    first = int(np.ceil(_LOWEST_HZ / bin_hz))
    n_bins = min(int(min(_HIGHEST_HZ, 0.48 * rate_hz) / bin_hz) - first, _MOST_BINS)
    spectrum = np.zeros(n_bins, np.float32)
    _spectrum(rx, n, mean, first, spectrum)
    best = 1
    total = 0.0
    for k in range(n_bins):
        total += spectrum[k]
        if 1 <= k < n_bins - 1 and spectrum[k] > spectrum[best]:
            best = k
    # A Hann window passes half a line's amplitude, and 3/8 of the power of what is no line.
    amplitude_squared = spectrum[best] * 16.0 / (n * n)
    if spectrum[best] < _STANDS_OUT * total / n_bins or 0.5 * amplitude_squared < _WORTH * rx.mse:
        return
    side = 1 if spectrum[best + 1] > spectrum[best - 1] else -1
    ratio = np.sqrt(spectrum[best + side] / spectrum[best])
    place = first + best + side * (2 * ratio - 1) / (ratio + 1)
    turn = 2 * np.pi * place * bin_hz / BAUD[rx.row]
    for line in range(rx.jitter_lines):
        if abs(turn - rx.jitter_turn[line]) < 2 * np.pi * 3 * bin_hz / BAUD[rx.row]:
            return  # it is known: what is left of it will be learned
    line = rx.jitter_lines
    rx.jitter_turn[line] = turn
    rx.jitter_angle[line] = 0.0
    rx.jitter_re[line] = 0.0
    rx.jitter_im[line] = 0.0
    rx.jitter_age[line] = 0
    rx.jitter_lines = line + 1


@kernel
def _spectrum(rx: Record, n: int, mean: float, first: int, spectrum: NDArray[np.float32]) -> None:
    """Squared magnitudes of the past phase errors' spectrum under a Hann window, from bin ``first`` on."""
    n_bins = len(spectrum)
    wave = np.empty((6, n_bins), np.float32)
    cosine, sine, step_re, step_im, re, im = wave[0], wave[1], wave[2], wave[3], wave[4], wave[5]
    for b in range(n_bins):
        angle = 2 * np.pi * (first + b) / n
        cosine[b], sine[b] = 1.0, 0.0
        step_re[b], step_im[b] = np.cos(angle), np.sin(angle)
        re[b], im[b] = 0.0, 0.0
    for k in range(n):
        x = np.float32((rx.jitter_past[k] - mean) * (0.5 - 0.5 * np.cos(2 * np.pi * k / n)))
        for b in range(n_bins):
            c, s = cosine[b], sine[b]
            re[b] += x * c
            im[b] += x * s
            cosine[b] = c * step_re[b] - s * step_im[b]
            sine[b] = c * step_im[b] + s * step_re[b]
    for b in range(n_bins):
        spectrum[b] = re[b] * re[b] + im[b] * im[b]


@kernel
def fit_jitter(
    rx: Record, usable: NDArray[np.uint8], re: NDArray[np.float32], im: NDArray[np.float32], angle: float
) -> tuple[float, float, float]:
    """Learn the known lines' amplitudes and phases from a short training's equalised symbols ``re, im``.

    These are about ``angle`` from the known ones, the carrier offset ``turn`` taken off. Returns what remains
    of carrier phase and offset (radians, radians a symbol), and the symbols' mean squared error without
    jitter.
    """
    n = len(re)
    n_unknown = 2 + 2 * rx.jitter_lines
    known = KNOWN_START[rx.row]
    a = np.zeros((n_unknown, n_unknown), np.float64)
    b = np.zeros(n_unknown, np.float64)
    x = np.empty(n_unknown, np.float64)
    cosine, sine = np.cos(angle), np.sin(angle)
    for k in range(n):
        if not usable[k]:
            continue
        c = POINT[rx.row, KNOWN[known + k]]
        u_re, u_im = re[k] * cosine + im[k] * sine, im[k] * cosine - re[k] * sine
        weight = c.real * c.real + c.imag * c.imag
        error = np.arctan2(u_im * c.real - u_re * c.imag, u_re * c.real + u_im * c.imag)
        _unknowns(rx, k, n, x)
        for i in range(n_unknown):
            b[i] += weight * error * x[i]
            for j in range(n_unknown):
                a[i, j] += weight * x[i] * x[j]
    for i in range(n_unknown):
        a[i, i] += 1e-3
    a[1, 1] += _TURN_PRIOR
    _solve(a, b)
    for line in range(rx.jitter_lines):
        rx.jitter_re[line], rx.jitter_im[line] = b[2 + 2 * line], b[3 + 2 * line]
        rx.jitter_angle[line] = 0.0
        rx.jitter_age[line] = n
    jitter_forget_past(rx)
    # What is left
    top_re, top_im, wanted, energy = 0.0, 0.0, 1e-9, 1e-9
    for k in range(n):
        if not usable[k]:
            continue
        c = POINT[rx.row, KNOWN[known + k]]
        _unknowns(rx, k, n, x)
        turned = angle
        for i in range(n_unknown):
            turned += b[i] * x[i]
        cosine, sine = np.cos(turned), np.sin(turned)
        u_re, u_im = re[k] * cosine + im[k] * sine, im[k] * cosine - re[k] * sine
        top_re += u_re * c.real + u_im * c.imag
        top_im += u_im * c.real - u_re * c.imag
        wanted += c.real * c.real + c.imag * c.imag
        energy += u_re * u_re + u_im * u_im
    power = (top_re * top_re + top_im * top_im) / wanted
    slope = b[1] / n
    return b[0] - b[1] * 0.5 + 0.5 * slope, slope, (energy - power) / max(power, 1e-9)


@kernel
def _unknowns(rx: Record, k: int, n: int, x: NDArray[np.float64]) -> None:
    """What each unknown of :func:`fit_jitter` does to symbol ``k``'s phase: offset, drift, then the lines."""
    x[0] = 1.0
    x[1] = (k + 0.5) / n - 0.5
    for line in range(rx.jitter_lines):
        x[2 + 2 * line] = np.cos(k * rx.jitter_turn[line])
        x[3 + 2 * line] = np.sin(k * rx.jitter_turn[line])


@kernel
def _solve(a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    """Solve ``a x = b`` for a positive definite ``a``, in place: ``b`` becomes ``x``."""
    n = len(b)
    for i in range(n):
        for row in range(i + 1, n):
            factor = a[row, i] / a[i, i]
            for column in range(i, n):
                a[row, column] -= factor * a[i, column]
            b[row] -= factor * b[i]
    for i in range(n - 1, -1, -1):
        for column in range(i + 1, n):
            b[i] -= a[i, column] * b[column]
        b[i] /= a[i, i]


assert _MOST_BINS >= _HIGHEST_HZ * JITTER_PAST * JITTER_MEAN / 1200
