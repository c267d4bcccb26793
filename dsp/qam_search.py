"""Searching: recognise the alternation that opens every training.

Power alone proves nothing: noise, speech, tones and V.21 have it too. The two alternating points of a
training make a line spectrum, carrier and carrier ± half the symbol rate, which nothing else on a fax line
does; and after it the first symbols of a known sequence must follow (qam_match.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.kernel import Record, kernel
from dsp.pulse import SAMPLE_RATE_HZ
from dsp.qam_match import match_block
from dsp.qam_rx_state import ALTERNATION, BLOCK, SEARCH
from dsp.qam_tables import BAUD, MODULATIONS

_HALF = BLOCK // 2
#: Quietest training that is looked at, -48 dBm0, as energy of a half block.
_LEAST_ENERGY = _HALF * (32768.0 * 10 ** ((-48 - 6.15) / 20)) ** 2
#: Part of the energy that the three lines must have: a signal at 7 dB SNR has 0.8.
_LINES_SHARE = 0.5
#: Part that each of the outer lines must have, and both together. A line shape may have cut one of them down.
_OUTER_SHARE = 0.015
_OUTER_SHARES = 0.15
#: Blocks without alternation after which the break must have been found: PREFIX symbols and some.
_PATIENCE = 6

# Correlators for the three lines: all are multiples of 100 Hz, so half blocks hold whole turns.
_ROWS = len(MODULATIONS)
_LINE_RE = np.zeros((_ROWS, 3, _HALF), np.float32)
_LINE_IM = np.zeros((_ROWS, 3, _HALF), np.float32)
for _row, _m in enumerate(MODULATIONS):
    for _line in range(3):
        _hz = _m.carrier_hz + (_line - 1) * _m.baud // 2
        _angles = -2 * np.pi * _hz * np.arange(_HALF) / SAMPLE_RATE_HZ
        _LINE_RE[_row, _line] = np.cos(_angles)
        _LINE_IM[_row, _line] = np.sin(_angles)


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
        match_block(rx)
        if rx.state == ALTERNATION:
            rx.patience -= 1
            if rx.patience < 0:
                rx.state = SEARCH
