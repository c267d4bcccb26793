"""Searching: recognise the alternation that opens every training, then find where it breaks.

Power alone proves nothing: noise, speech, tones and V.21 have it too. The two alternating points of a
training make a line spectrum, carrier and carrier ± half the symbol rate, which nothing else on a fax line
does; and after it the first symbols of a known sequence must follow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.kernel import Record, kernel
from dsp.matched_filter import half_symbols, n_half_symbols_ready
from dsp.pulse import SAMPLE_RATE_HZ
from dsp.qam_rx_state import (
    ALTERNATION,
    BLOCK,
    COLLECT,
    EVENT_TRAINING_SEEN,
    PREFIX,
    SEARCH,
    WORK,
)
from dsp.qam_tables import BAUD, IS_SHORT, MODULATIONS, TRELLIS

_HALF = BLOCK // 2
#: Quietest training that is looked at, -48 dBm0, as energy of a half block.
_LEAST_ENERGY = _HALF * (32768.0 * 10 ** ((-48 - 6.15) / 20)) ** 2
#: Part of the energy that the three lines must have: a signal at 7 dB SNR has 0.8.
_LINES_SHARE = 0.5
#: Part that each of the outer lines must have, and both together. A line shape may have cut one of them down.
_OUTER_SHARE = 0.015
_OUTER_SHARES = 0.15
#: Squared correlation with the known sequence, of 1: lines with much delay distortion leave a third of it.
_MATCH = 0.3
#: V.17's long training must not be found in a short one, which begins alike and has 0.35 of it.
_MATCH_LONG = 0.45
#: Positions after the best that must be worse.
_MATCH_BEYOND = 8
#: Half symbols kept when the older ones are forgotten: a maximum just found is among them.
_KEPT = 4 * PREFIX
#: The generators of V.27ter and V.29 repeat after so many symbols. If the beginning was lost and a repetition
#: found, it comes at least this much of a period after the alternation.
_REPETITION = 127
_SURELY_REPETITION = 0.9
#: Blocks without alternation after which the break must have been found: PREFIX symbols and some.
_PATIENCE = 6

# Correlators for the three lines: all are multiples of 100 Hz, so half blocks hold whole turns.
_ROWS = len(MODULATIONS)
_LINE_RE = np.zeros((_ROWS, 3, _HALF), np.float32)
_LINE_IM = np.zeros((_ROWS, 3, _HALF), np.float32)
#: First known symbols, less their mean (which the alternation has too) and scaled to PREFIX energy.
_PREFIX_RE = np.zeros((_ROWS, PREFIX), np.float32)
_PREFIX_IM = np.zeros((_ROWS, PREFIX), np.float32)
#: What the mean's energy takes away from a perfect match.
_MATCH_SCALE = np.zeros(_ROWS, np.float32)
for _row, _m in enumerate(MODULATIONS):
    for _line in range(3):
        _hz = _m.carrier_hz + (_line - 1) * _m.baud // 2
        _angles = -2 * np.pi * _hz * np.arange(_HALF) / SAMPLE_RATE_HZ
        _LINE_RE[_row, _line] = np.cos(_angles)
        _LINE_IM[_row, _line] = np.sin(_angles)
    _known = np.array(_m.turn_on.known[:PREFIX]) * _m.unit
    _less = _known - _known.mean()
    _MATCH_SCALE[_row] = np.sum(np.abs(_known) ** 2) / np.sum(np.abs(_less) ** 2)
    _less *= np.sqrt(PREFIX / np.sum(np.abs(_less) ** 2))
    _PREFIX_RE[_row] = _less.real
    _PREFIX_IM[_row] = _less.imag


@kernel
def _half_block_lines(rx: Record, x: NDArray[np.float32], start: int) -> None:
    """Correlate 80 samples with the three lines; the last result moves to place 0."""
    total = np.float32(0)
    energy = np.float32(0)
    for n in range(_HALF):
        total += x[start + n]
        energy += x[start + n] * x[start + n]
    rx.line_energy[0] = rx.line_energy[1]
    rx.line_energy[1] = energy - total * total / _HALF
    for line in range(3):
        re = np.float32(0)
        im = np.float32(0)
        for n in range(_HALF):
            re += x[start + n] * _LINE_RE[rx.row, line, n]
            im += x[start + n] * _LINE_IM[rx.row, line, n]
        rx.line_re[0, line] = rx.line_re[1, line]
        rx.line_im[0, line] = rx.line_im[1, line]
        rx.line_re[1, line] = re
        rx.line_im[1, line] = im


@kernel
def _is_alternation(rx: Record, first: int) -> bool:
    """Whether the last half blocks, from ``first`` (0 or 1) on, consist of the training's line spectrum."""
    energy = np.float32(0)
    for half in range(first, 2):
        if rx.line_energy[half] < _LEAST_ENERGY:
            return False
        energy += rx.line_energy[half]
    whole = np.float32(0.5) * _HALF * energy
    share_0 = np.float32(0)
    outer = np.float32(0)
    least = np.float32(1)
    for line in range(3):
        share = np.float32(0)
        for half in range(first, 2):
            share += rx.line_re[half, line] ** 2 + rx.line_im[half, line] ** 2
        share /= whole
        if line == 1:
            share_0 = share
        else:
            outer += share
            least = min(least, share)
    return bool(least > _OUTER_SHARE and outer > _OUTER_SHARES and outer + share_0 > _LINES_SHARE)


@kernel
def _begin_alternation(rx: Record) -> None:
    rx.state = ALTERNATION
    rx.turn_re = 0.0
    rx.turn_im = 0.0
    rx.step = SAMPLE_RATE_HZ / (2.0 * BAUD[rx.row])
    rx.gain = 1.0
    rx.t_z = float(rx.n_in - BLOCK - _HALF)
    rx.n_z = 0
    rx.n_matched = 0


@kernel
def search_block(rx: Record, x: NDArray[np.float32]) -> None:
    """Look for the line spectrum in a block; from the first on that has it, look for the known sequence."""
    for half in range(2):
        _half_block_lines(rx, x, half * _HALF)
        alone = _is_alternation(rx, 1)
        before = rx.alone
        rx.alone = alone
        if not _is_alternation(rx, 0) and not (alone and rx.state == SEARCH):
            continue
        if rx.state == SEARCH:
            _begin_alternation(rx)
        rx.patience = _PATIENCE
        rx.alternation_end = rx.n_in - BLOCK + half * _HALF
        if alone and before:
            for line in range(3):
                a_re, a_im = rx.line_re[0, line], rx.line_im[0, line]
                b_re, b_im = rx.line_re[1, line], rx.line_im[1, line]
                rx.turn_re += a_re * b_re + a_im * b_im
                rx.turn_im += a_re * b_im - a_im * b_re
    if rx.state == ALTERNATION:
        rx.turn = np.arctan2(rx.turn_im, rx.turn_re) / _HALF * 2.0 * rx.step  # radians a symbol
        _match_block(rx)
        if rx.state == ALTERNATION:
            rx.patience -= 1
            if rx.patience < 0:
                rx.state = SEARCH


@kernel
def _match_block(rx: Record) -> None:
    """Correlate all new positions with the known sequence; on a clear maximum go on to COLLECT."""
    if rx.n_z > WORK - 2 * BLOCK:  # forget the older half symbols
        drop = rx.n_z - _KEPT
        for k in range(_KEPT):
            rx.z_re[k] = rx.z_re[k + drop]
            rx.z_im[k] = rx.z_im[k + drop]
        for k in range(max(rx.n_matched - drop, 0)):
            rx.match[k] = rx.match[k + drop]
        rx.n_matched = max(rx.n_matched - drop, 0)
        rx.n_z -= drop
    n_new = n_half_symbols_ready(rx)
    half_symbols(rx, n_new, rx.n_z)
    rx.n_z += n_new

    ref_re = np.empty(PREFIX, np.float32)
    ref_im = np.empty(PREFIX, np.float32)
    for k in range(PREFIX):
        cosine, sine = np.cos(rx.turn * k), np.sin(rx.turn * k)
        ref_re[k] = _PREFIX_RE[rx.row, k] * cosine - _PREFIX_IM[rx.row, k] * sine
        ref_im[k] = _PREFIX_RE[rx.row, k] * sine + _PREFIX_IM[rx.row, k] * cosine
    while rx.n_matched + 2 * PREFIX - 1 <= rx.n_z:
        at = rx.n_matched
        re = np.float32(0)
        im = np.float32(0)
        energy = np.float32(1e-9)
        for k in range(PREFIX):
            z_re, z_im = rx.z_re[at + 2 * k], rx.z_im[at + 2 * k]
            re += z_re * ref_re[k] + z_im * ref_im[k]
            im += z_im * ref_re[k] - z_re * ref_im[k]
            energy += z_re * z_re + z_im * z_im
        rx.match[at] = (re * re + im * im) / (energy * PREFIX) * _MATCH_SCALE[rx.row]
        rx.n_matched += 1

    best = 1
    for k in range(2, rx.n_matched - 1):
        if rx.match[k] > rx.match[best]:
            best = k
    if rx.n_matched > best + _MATCH_BEYOND and rx.match[best] > (
        _MATCH_LONG if TRELLIS[rx.row] and not IS_SHORT[rx.row] else _MATCH
    ):
        _begin_collecting(rx, best)


@kernel
def _begin_collecting(rx: Record, best: int) -> None:
    """The known sequence begins about half symbol ``best``: leave its first symbol's instant in ``t_z``."""
    left, middle, right = np.sqrt(rx.match[best - 1]), np.sqrt(rx.match[best]), np.sqrt(rx.match[best + 1])
    bend = left - 2 * middle + right
    between = 0.5 * (left - right) / bend if bend < 0 else 0.0
    rx.t_z += (best - rx.n_z + min(max(between, -0.5), 0.5)) * rx.step
    while (
        not TRELLIS[rx.row] and rx.t_z - rx.alternation_end > _REPETITION * 2 * rx.step * _SURELY_REPETITION
    ):
        rx.t_z -= _REPETITION * 2 * rx.step
    rx.power = rx.line_energy[1] / _HALF
    rx.state = COLLECT
    rx.events |= EVENT_TRAINING_SEEN
