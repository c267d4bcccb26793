"""Fitting: carrier offset, clock offset and equaliser from the known training, all at once.

Least squares over :data:`~dsp.qam_rx_state.FIT_SYMBOLS` symbols costs little once a page and leaves less
noise in the taps than any adaptation by steps could in that time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.kernel import Record, kernel
from dsp.matched_filter import half_symbols
from dsp.pulse import SAMPLE_RATE_HZ
from dsp.qam_echo import echo_begin, find_echo
from dsp.qam_jitter import jitter_begin
from dsp.qam_rx_state import CHUNK, ECHO_PAST, EQ_CENTRE, EQ_TAPS, FIT_SYMBOLS, TRAINING
from dsp.qam_tables import BAUD, KNOWN, KNOWN_START, POINT, PULSE, RX_HALF

#: Position in ``z`` of the first known symbol while fitting: one half symbol more than the equaliser
#: needs, for the slope of its output.
_FIRST = EQ_CENTRE + 1
_N_Z = 2 * FIT_SYMBOLS + EQ_TAPS
#: Symbols whose correlations are compared to find the carrier offset.
_PIECE = 64
#: Diagonal loading, of the mean diagonal: keeps taps for frequencies without signal at rest.
_LOADING = 0.002
#: Symbols that must be left when lost blocks are left out.
_LEAST_USABLE = FIT_SYMBOLS // 2
#: Symbols before the end of the fit at which tracking begins, to settle its loops on known symbols.
_OVERLAP = 2 * CHUNK


@kernel
def fit_instant(rx: Record) -> float:
    """The sample instant up to which a fit needs samples; ``t_z`` is the first known symbol's."""
    last: float = rx.t_z + (_N_Z + 4) * rx.step + RX_HALF[PULSE[rx.row]] + 1
    return last


@kernel
def _turn_by(rx: Record, turn: float) -> None:
    """Turn the half symbols back by ``turn`` radians a symbol, relative to the first known symbol."""
    for k in range(_N_Z):
        angle = -0.5 * turn * (k - _FIRST)
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        re, im = rx.z_re[k], rx.z_im[k]
        rx.z_re[k] = re * cosine - im * sine
        rx.z_im[k] = im * cosine + re * sine


@kernel
def _equalised(rx: Record, k: int) -> tuple[np.float32, np.float32]:
    """Equaliser output at the known symbol ``k``."""
    y_re, y_im = np.float32(0), np.float32(0)
    at = 2 * k + 1
    for i in range(EQ_TAPS):
        y_re += rx.tap_re[i] * rx.z_re[at + i] - rx.tap_im[i] * rx.z_im[at + i]
        y_im += rx.tap_re[i] * rx.z_im[at + i] + rx.tap_im[i] * rx.z_re[at + i]
    return y_re, y_im


@kernel
def _remaining_turn(rx: Record, usable: NDArray[np.uint8], equalised: bool) -> float:
    """Carrier offset left in ``z``, radians a symbol, from the phase between pieces of the known sequence.

    ``equalised``: through the present taps; what a line smears from symbol to symbol turns the pieces, too.
    """
    known = KNOWN_START[rx.row]
    sum_re, sum_im = 0.0, 0.0
    last_re, last_im = 0.0, 0.0
    for piece in range(FIT_SYMBOLS // _PIECE):
        re, im = 0.0, 0.0
        for k in range(piece * _PIECE, (piece + 1) * _PIECE):
            if usable[k]:
                c = POINT[rx.row, KNOWN[known + k]]
                y_re, y_im = rx.z_re[_FIRST + 2 * k], rx.z_im[_FIRST + 2 * k]
                if equalised:
                    y_re, y_im = _equalised(rx, k)
                re += y_re * c.real + y_im * c.imag
                im += y_im * c.real - y_re * c.imag
        sum_re += re * last_re + im * last_im
        sum_im += im * last_re - re * last_im
        last_re, last_im = re, im
    turn: float = np.arctan2(sum_im, sum_re) / _PIECE
    return turn


@kernel
def _solve(rx: Record, usable: NDArray[np.uint8]) -> None:
    """Least-squares taps for the half symbols in ``z`` (turned back) and the known symbols."""
    known = KNOWN_START[rx.row]
    wanted = np.empty(FIT_SYMBOLS, np.complex64)
    for k in range(FIT_SYMBOLS):
        wanted[k] = POINT[rx.row, KNOWN[known + k]]
    _least_squares(rx, wanted, usable, 0.0)


@kernel
def solve_near(rx: Record, n: int, usable: NDArray[np.uint8], angle: float, prior: float) -> None:
    """Taps for the first ``n`` known symbols, near the present ones, which weigh as ``prior`` symbols.

    ``z`` is not turned back: the symbols are wanted at ``angle``, and turning by ``turn`` a symbol.
    """
    known = KNOWN_START[rx.row]
    wanted = np.empty(n, np.complex64)
    for k in range(n):
        turned = angle + rx.turn * k
        wanted[k] = POINT[rx.row, KNOWN[known + k]] * np.complex64(complex(np.cos(turned), np.sin(turned)))
    _least_squares(rx, wanted, usable, prior)


@kernel
def _least_squares(
    rx: Record, wanted: NDArray[np.complex64], usable: NDArray[np.uint8], prior: float
) -> None:
    a_re = np.zeros((EQ_TAPS, EQ_TAPS), np.float32)
    a_im = np.zeros((EQ_TAPS, EQ_TAPS), np.float32)
    b = np.zeros(EQ_TAPS, np.complex64)
    for k in range(len(wanted)):
        if not usable[k]:
            continue
        at = 2 * k + 1
        c = wanted[k]
        for i in range(EQ_TAPS):
            i_re, i_im = rx.z_re[at + i], rx.z_im[at + i]
            b[i] += c * np.complex64(complex(i_re, -i_im))
            for j in range(EQ_TAPS):
                a_re[i, j] += i_re * rx.z_re[at + j] + i_im * rx.z_im[at + j]
                a_im[i, j] += i_re * rx.z_im[at + j] - i_im * rx.z_re[at + j]
    a = np.zeros((EQ_TAPS, EQ_TAPS), np.complex64)
    trace = np.float32(1e-9)
    for i in range(EQ_TAPS):
        trace += a_re[i, i]
    loading = np.float32(_LOADING / EQ_TAPS) * trace + np.float32(prior)
    for i in range(EQ_TAPS):
        for j in range(EQ_TAPS):
            a[i, j] = complex(a_re[i, j], a_im[i, j])
        a[i, i] += loading
        b[i] += np.float32(prior) * np.complex64(complex(rx.tap_re[i], rx.tap_im[i]))
    _cholesky_solve(a, b)
    for i in range(EQ_TAPS):
        rx.tap_re[i] = b[i].real
        rx.tap_im[i] = b[i].imag


@kernel
def _cholesky_solve(a: NDArray[np.complex64], b: NDArray[np.complex64]) -> None:
    """Solve ``a x = b`` for a positive definite Hermitian ``a``, in place: ``b`` becomes ``x``."""
    n = len(b)
    for j in range(n):
        diagonal = a[j, j].real
        for k in range(j):
            diagonal -= a[j, k].real ** 2 + a[j, k].imag ** 2
        root = np.sqrt(max(diagonal, np.float32(1e-12)))
        a[j, j] = root
        for i in range(j + 1, n):
            s = a[i, j]
            for k in range(j):
                s -= a[i, k] * np.conj(a[j, k])
            a[i, j] = s / root
    for i in range(n):
        s = b[i]
        for k in range(i):
            s -= a[i, k] * b[k]
        b[i] = s / a[i, i].real
    for i in range(n - 1, -1, -1):
        s = b[i]
        for k in range(i + 1, n):
            s -= np.conj(a[k, i]) * b[k]
        b[i] = s / a[i, i].real


@kernel
def _judge(rx: Record, usable: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean squared error of the equalised training (into ``mse``); lateness at its start, and drift a symbol.

    Both in symbols. A symbol equalised too late is off by its slope times the lateness.
    """
    known = KNOWN_START[rx.row]
    error, n_usable = 0.0, 0
    # line through the lateness of each chunk
    s0, s1, s2, r0, r1 = 1e-9, 0.0, 0.0, 0.0, 0.0
    for chunk in range(FIT_SYMBOLS // CHUNK):
        top, weight = 0.0, 0.0
        for k in range(chunk * CHUNK, (chunk + 1) * CHUNK):
            if not usable[k]:
                continue
            y_re, y_im = np.float32(0), np.float32(0)
            slope_re, slope_im = np.float32(0), np.float32(0)
            at = 2 * k + 1
            for i in range(EQ_TAPS):
                t_re, t_im = rx.tap_re[i], rx.tap_im[i]
                z_re, z_im = rx.z_re[at + i], rx.z_im[at + i]
                y_re += t_re * z_re - t_im * z_im
                y_im += t_re * z_im + t_im * z_re
                d_re = rx.z_re[at + i + 1] - rx.z_re[at + i - 1]
                d_im = rx.z_im[at + i + 1] - rx.z_im[at + i - 1]
                slope_re += t_re * d_re - t_im * d_im
                slope_im += t_re * d_im + t_im * d_re
            c = POINT[rx.row, KNOWN[known + k]]
            e_re, e_im = y_re - c.real, y_im - c.imag
            error += float(e_re * e_re + e_im * e_im)
            n_usable += 1
            top += float(e_re * slope_re + e_im * slope_im)
            weight += float(slope_re * slope_re + slope_im * slope_im)
        if weight > 0:
            middle = (chunk + 0.5) * CHUNK
            s0 += weight
            s1 += weight * middle
            s2 += weight * middle * middle
            r0 += top
            r1 += top * middle
    rx.mse = error / n_usable if n_usable >= _LEAST_USABLE else 1.0
    determinant = s0 * s2 - s1 * s1
    drift = (s0 * r1 - s1 * r0) / determinant if determinant > 0 else 0.0
    return (r0 - drift * s1) / s0, drift


@kernel
def fit(rx: Record) -> None:
    """Fit everything to the known sequence that begins at instant ``t_z``; leaves the receiver in TRAINING.

    ``mse`` tells how well it went. ``z`` and ``t_z`` are then as tracking wants them.
    """
    first = rx.t_z
    half = RX_HALF[PULSE[rx.row]]
    rx.step = SAMPLE_RATE_HZ / (2.0 * BAUD[rx.row])
    usable = np.ones(FIT_SYMBOLS, np.uint8)
    turn = rx.turn
    for again in range(2):
        reach = (EQ_CENTRE + 2) * rx.step + half
        for k in range(FIT_SYMBOLS):
            instant = first + 2 * k * rx.step
            usable[k] = instant + reach < rx.bad_from or instant - reach > rx.bad_to
        rx.t_z = first - _FIRST * rx.step
        half_symbols(rx, _N_Z, 0)
        energy = 1e-9
        for k in range(_N_Z):
            energy += rx.z_re[k] ** 2 + rx.z_im[k] ** 2
        rx.gain *= np.sqrt(_N_Z / energy)
        scale = np.float32(np.sqrt(_N_Z / energy))
        for k in range(_N_Z):
            rx.z_re[k] *= scale
            rx.z_im[k] *= scale
        _turn_by(rx, turn)
        more = _remaining_turn(rx, usable, again == 1)
        _turn_by(rx, more)
        turn += more
        _solve(rx, usable)
        late, drift = _judge(rx, usable)
        if again == 0:
            # late by drift more each symbol: our symbols are too long
            first -= late * 2 * rx.step
            rx.step *= 1.0 - min(max(drift, -6e-4), 6e-4)
    rx.turn = turn
    find_echo(rx, usable)
    _begin_tracking(rx, first, turn)


@kernel
def _begin_tracking(rx: Record, first: float, turn: float) -> None:
    """Prepare ``z``, taps and carrier for the symbol _OVERLAP before the end of the fit."""
    start = FIT_SYMBOLS - _OVERLAP
    for i in range(EQ_TAPS):
        angle = -0.5 * turn * (i - EQ_CENTRE)
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        re, im = rx.tap_re[i], rx.tap_im[i]
        rx.tap_re[i] = re * cosine - im * sine
        rx.tap_im[i] = im * cosine + re * sine
    rx.angle = turn * start
    past = np.empty(ECHO_PAST, np.complex64)
    for k in range(ECHO_PAST):
        past[k] = POINT[rx.row, KNOWN[KNOWN_START[rx.row] + start - ECHO_PAST + k]]
    echo_begin(rx, past, rx.angle)
    jitter_begin(rx)
    rx.n_symbols = start
    rx.t_z = first + (2 * start - _FIRST) * rx.step
    half_symbols(rx, EQ_TAPS, 0)
    rx.timing_sum = 0.0
    rx.timing_weight = 0.0
    rx.timing_symbols = 0
    rx.state = TRAINING
