"""Finding where the known sequence begins, after an alternation: correlation at every half symbol.

A short training is also looked for through the equaliser that the long one before it left: what a distorted
line has smeared is sharp again then. A long training that comes where a short one is expected begins alike;
whichever of the two fits better is received.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.kernel import Record, kernel
from dsp.matched_filter import half_symbols, n_half_symbols_ready
from dsp.qam_rx_state import BLOCK, COLLECT, EQ_CENTRE, EQ_TAPS, EVENT_TRAINING_SEEN, PREFIX, WORK
from dsp.qam_tables import IS_SHORT, LONG_ROW, MODULATIONS, TRELLIS

#: Squared correlation with the known sequence, of 1: lines with much delay distortion leave a third of it.
_MATCH = 0.3
#: V.17's long training must not be found in a short one, which begins alike and has 0.35 of it.
_MATCH_LONG = 0.45
#: Positions after the best that must be worse; more of them while it is so small that it may be a side lobe.
_MATCH_BEYOND = 8
_MATCH_SURE = 0.6
_MATCH_BEYOND_UNSURE = PREFIX
#: Half symbols kept when the older ones are forgotten: a maximum just found is among them.
_KEPT = 4 * PREFIX
#: The generators of V.27ter and V.29 repeat after so many symbols. If the beginning was lost and a repetition
#: found, it comes at least this much of a period after the alternation.
_REPETITION = 127
_SURELY_REPETITION = 0.9
#: Half symbols from the first to the last of the known sequence's beginning, both included.
_SPAN = 2 * PREFIX - 1

# First known symbols, less their mean (which the alternation has too) and scaled to PREFIX energy.
_PREFIX_RE = np.zeros((len(MODULATIONS), PREFIX), np.float32)
_PREFIX_IM = np.zeros((len(MODULATIONS), PREFIX), np.float32)
#: What the mean's energy takes away from a perfect match.
_MATCH_SCALE = np.zeros(len(MODULATIONS), np.float32)
for _row, _m in enumerate(MODULATIONS):
    _known = np.array(_m.turn_on.known[:PREFIX]) * _m.unit
    _less = _known - _known.mean()
    _MATCH_SCALE[_row] = np.sum(np.abs(_known) ** 2) / np.sum(np.abs(_less) ** 2)
    _less *= np.sqrt(PREFIX / np.sum(np.abs(_less) ** 2))
    _PREFIX_RE[_row] = _less.real
    _PREFIX_IM[_row] = _less.imag


@kernel
def _turned_prefix(rx: Record, row: int, re: NDArray[np.float32], im: NDArray[np.float32]) -> None:
    """The first known symbols of ``row`` with the carrier offset that was heard."""
    for k in range(PREFIX):
        cosine, sine = np.float32(np.cos(rx.turn * k)), np.float32(np.sin(rx.turn * k))
        re[k] = _PREFIX_RE[row, k] * cosine - _PREFIX_IM[row, k] * sine
        im[k] = _PREFIX_RE[row, k] * sine + _PREFIX_IM[row, k] * cosine


@kernel
def _equalised(rx: Record, first: int, re: NDArray[np.float32], im: NDArray[np.float32]) -> None:
    """The half symbols from ``first`` on, as the remembered equaliser gives them."""
    start = first - EQ_CENTRE
    for k in range(len(re)):
        re[k] = np.float32(0)
        im[k] = np.float32(0)
    for i in range(EQ_TAPS):
        t_re, t_im = rx.kept_tap_re[i], rx.kept_tap_im[i]
        for k in range(max(-start - i, 0), len(re)):
            re[k] += t_re * rx.z_re[start + k + i] - t_im * rx.z_im[start + k + i]
            im[k] += t_re * rx.z_im[start + k + i] + t_im * rx.z_re[start + k + i]


@kernel
def _match_row(
    rx: Record, row: int, re: NDArray[np.float32], im: NDArray[np.float32], match: NDArray[np.float32]
) -> None:
    """Raise each of ``match`` to how well the sequence of ``row`` fits when it begins there in ``re, im``."""
    ref_re = np.empty(PREFIX, np.float32)
    ref_im = np.empty(PREFIX, np.float32)
    _turned_prefix(rx, row, ref_re, ref_im)
    for at in range(len(match)):
        c_re = np.float32(0)
        c_im = np.float32(0)
        energy = np.float32(1e-9)
        for k in range(PREFIX):
            z_re, z_im = re[at + 2 * k], im[at + 2 * k]
            c_re += z_re * ref_re[k] + z_im * ref_im[k]
            c_im += z_im * ref_re[k] - z_re * ref_im[k]
            energy += z_re * z_re + z_im * z_im
        value = (c_re * c_re + c_im * c_im) / (energy * PREFIX) * _MATCH_SCALE[row]
        match[at] = max(match[at], value)


@kernel
def _match_everyhow(rx: Record, row: int, first: int, match: NDArray[np.float32]) -> None:
    """As :func:`_match_row` for positions from ``first`` on, also through a remembered equaliser."""
    n = len(match) + _SPAN - 1
    _match_row(rx, row, rx.z_re[first : first + n], rx.z_im[first : first + n], match)
    if IS_SHORT[rx.row] and rx.kept:
        re = np.empty(n, np.float32)
        im = np.empty(n, np.float32)
        _equalised(rx, first, re, im)
        _match_row(rx, row, re, im, match)


@kernel
def match_block(rx: Record) -> None:
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

    short = IS_SHORT[rx.row]
    ahead = EQ_TAPS - EQ_CENTRE - 1 if short else 0
    n = rx.n_z - ahead - _SPAN + 1 - rx.n_matched
    if n > 0:
        match = rx.match[rx.n_matched : rx.n_matched + n]
        match[:] = np.float32(0)
        _match_everyhow(rx, rx.row, rx.n_matched, match)
        if short:
            _match_everyhow(rx, LONG_ROW[rx.row], rx.n_matched, match)
        rx.n_matched += n

    best = 1
    for k in range(2, rx.n_matched - 1):
        if rx.match[k] > rx.match[best]:
            best = k
    beyond = _MATCH_BEYOND_UNSURE if short and rx.match[best] < _MATCH_SURE else _MATCH_BEYOND
    if rx.n_matched > best + beyond and rx.match[best] > (
        _MATCH_LONG if TRELLIS[rx.row] and not short else _MATCH
    ):
        if short:
            _choose_length(rx, best)
        _begin_collecting(rx, best)


@kernel
def _choose_length(rx: Record, best: int) -> None:
    """Receive the long training if that fits better at ``best``."""
    fits = np.zeros((2, 1), np.float32)
    _match_everyhow(rx, rx.row, best, fits[0])
    _match_everyhow(rx, LONG_ROW[rx.row], best, fits[1])
    if fits[1, 0] > fits[0, 0]:
        rx.row = LONG_ROW[rx.row]


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
    rx.power = rx.line_energy[1] / (BLOCK // 2)
    rx.state = COLLECT
    rx.events |= EVENT_TRAINING_SEEN
