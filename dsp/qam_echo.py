"""An echo that is later than the equaliser reaches: found in the training, taken off by past decisions.

A listener's echo comes 10 ms and more after the signal (two hybrids and the way between them). Symbols that
old have been decided, so what they still do to the present one can be computed and subtracted. Most lines
have no such echo: then nothing is spent on it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.kernel import Record, kernel
from dsp.qam_rx_state import BATCH, ECHO_PAST, ECHO_TAPS, EQ_TAPS, FIT_SYMBOLS
from dsp.qam_tables import KNOWN, KNOWN_START, POINT

#: Symbols from the one that is late to the first it disturbs: a whole batch, and what the equaliser covers.
_FIRST_LAG = BATCH
assert _FIRST_LAG + ECHO_TAPS <= ECHO_PAST
#: A tap is taken for real when its energy is this many times that of the noise in its estimate.
_SURE = 14.0
#: Energy of an echo that is worth the trouble (-32 dB).
_WORTH = 6e-4
#: Step, of the one that would be unstable.
_STEP = 0.02


@kernel
def find_echo(rx: Record, usable: NDArray[np.uint8]) -> None:
    """After a fit (``z`` turned back, window 1 the first known symbol): is a late echo in what is left?"""
    known = KNOWN_START[rx.row]
    mean = np.complex64(0)
    for k in range(FIT_SYMBOLS):
        mean += POINT[rx.row, KNOWN[known + k]]
    mean /= np.float32(FIT_SYMBOLS)
    left = np.zeros(FIT_SYMBOLS, np.complex64)
    varying = np.zeros(FIT_SYMBOLS, np.complex64)  # their mean says nothing about lags
    for k in range(FIT_SYMBOLS):
        c = POINT[rx.row, KNOWN[known + k]]
        varying[k] = c - mean
        if usable[k]:
            re, im = np.float32(0), np.float32(0)
            at = 2 * k + 1
            for i in range(EQ_TAPS):
                re += rx.tap_re[i] * rx.z_re[at + i] - rx.tap_im[i] * rx.z_im[at + i]
                im += rx.tap_re[i] * rx.z_im[at + i] + rx.tap_im[i] * rx.z_re[at + i]
            left[k] = np.complex64(complex(re, im)) - c
    found = 0.0
    for i in range(ECHO_TAPS):
        lag = _FIRST_LAG + i
        total = np.complex64(0)
        energy = np.float32(1e-9)
        for k in range(lag, FIT_SYMBOLS):
            total += left[k] * np.conj(varying[k - lag])
            energy += varying[k - lag].real ** 2 + varying[k - lag].imag ** 2
        tap = total / energy
        power = tap.real**2 + tap.imag**2
        rx.echo_re[i], rx.echo_im[i] = 0.0, 0.0
        if power > _SURE * rx.mse / energy:
            found += float(power)
            cosine, sine = np.float32(np.cos(rx.turn * lag)), np.float32(np.sin(rx.turn * lag))
            rx.echo_re[i] = tap.real * cosine - tap.imag * sine
            rx.echo_im[i] = tap.real * sine + tap.imag * cosine
    rx.echo = found > _WORTH


@kernel
def echo_begin(rx: Record, symbols: NDArray[np.complex64], angle: float) -> None:
    """Say what the last ECHO_PAST symbols were; ``angle`` is the carrier's phase at the next one."""
    for k in range(ECHO_PAST):
        turned = angle - rx.turn * (ECHO_PAST - k)
        cosine, sine = np.float32(np.cos(turned)), np.float32(np.sin(turned))
        rx.past_re[k] = symbols[k].real * cosine - symbols[k].imag * sine
        rx.past_im[k] = symbols[k].real * sine + symbols[k].imag * cosine


@kernel
def take_echo_off(rx: Record, first: int, n: int, re: NDArray[np.float32], im: NDArray[np.float32]) -> None:
    """Subtract the echo from ``n`` symbols of a batch, the first number ``first`` in its chunk."""
    past_re, past_im = rx.past_re, rx.past_im
    for i in range(ECHO_TAPS):
        b_re, b_im = rx.echo_re[i], rx.echo_im[i]
        at = ECHO_PAST + first - _FIRST_LAG - i
        for k in range(n):
            re[k] -= b_re * past_re[at + k] - b_im * past_im[at + k]
            im[k] -= b_re * past_im[at + k] + b_im * past_re[at + k]


@kernel
def adapt_echo(rx: Record, n: int, e_re: NDArray[np.float32], e_im: NDArray[np.float32]) -> None:
    """One step for the errors (wanted less received) of ``n`` symbols of a chunk."""
    step = np.float32(_STEP / ECHO_TAPS)
    past_re, past_im = rx.past_re, rx.past_im
    for i in range(ECHO_TAPS):
        at = ECHO_PAST - _FIRST_LAG - i
        g_re, g_im = np.float32(0), np.float32(0)
        for k in range(n):
            g_re += e_re[k] * past_re[at + k] + e_im[k] * past_im[at + k]
            g_im += e_im[k] * past_re[at + k] - e_re[k] * past_im[at + k]
        rx.echo_re[i] -= step * g_re
        rx.echo_im[i] -= step * g_im


@kernel
def move_past(rx: Record, n: int) -> None:
    """``n`` symbols of a chunk have become past ones."""
    for k in range(ECHO_PAST):
        rx.past_re[k] = rx.past_re[k + n]
        rx.past_im[k] = rx.past_im[k + n]
