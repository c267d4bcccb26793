"""Finding symbol instant and carrier phase again after a slip, without a training.

A jitter buffer that inserts or drops samples moves the signal by any amount, but the channel, the carrier
frequency and the clock stay. So the taps still fit: what is missing is one instant (modulo a symbol) and
one phase (modulo the constellation's symmetry), and both can be tried out on the last symbols. A sudden
change of level is made good on the way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.kernel import Record, kernel
from dsp.matched_filter import half_symbols
from dsp.qam_jitter import jitter_slipped
from dsp.qam_rx_state import BATCH, EQ_CENTRE, EQ_TAPS
from dsp.qam_tables import HOPELESS_MSE, MODULATIONS, N_LABELS, POINT_IM, POINT_RE, PULSE, RX_HALF, TRELLIS
from dsp.viterbi import path_growth, viterbi_begin, viterbi_symbols

#: Symbols on which instants and phases are tried.
_SYMBOLS = 64
#: Nonsense symbols after which a lock is looked for: those before the slip must be over.
RELOCK_SYMBOLS = _SYMBOLS + 8
_N_Z = 2 * _SYMBOLS + EQ_TAPS
#: Instants tried in a symbol: a slip of whole samples at 2400 Bd or 1600 Bd is a multiple of a tenth.
_INSTANTS = 10
#: Phases tried in the constellation's symmetry; with a trellis points are closer.
_PHASES = 12
_PHASES_TRELLIS = 24
#: A lock must be this much better than nonsense.
_LOCKED = 0.6
_LOCKED_TRELLIS = 0.75
#: Random symbols' level is as much off by itself: leave such small differences to the equaliser.
_LEVEL_TOLERANCE = 0.12

# Amplitudes of each constellation (unused places repeat the first), and its symmetry in radians.
_N_RINGS = 4
_RINGS = np.zeros((len(MODULATIONS), _N_RINGS), np.float32)
_SYMMETRY = np.zeros(len(MODULATIONS), np.float64)
for _row, _m in enumerate(MODULATIONS):
    _radii = sorted({round(abs(point) * _m.unit, 6) for point in _m.points.values()})
    _RINGS[_row] = (_radii * _N_RINGS)[:_N_RINGS]
    _SYMMETRY[_row] = np.pi / 4 if len(_m.points) == 8 and len(_radii) == 1 else np.pi / 2


@kernel
def _equalise(
    rx: Record, parity: int, re: NDArray[np.float32], im: NDArray[np.float32]
) -> tuple[float, float]:
    """Equalise the symbols of one instant, turned by the carrier offset and brought to their proper level.

    Returns how far they are off the constellation's amplitudes, and the factor that brought them there.
    """
    energy = np.float32(1e-9)
    for k in range(_SYMBOLS):
        at = 2 * k + parity
        y_re = np.float32(0)
        y_im = np.float32(0)
        for i in range(EQ_TAPS):
            y_re += rx.tap_re[i] * rx.z_re[at + i] - rx.tap_im[i] * rx.z_im[at + i]
            y_im += rx.tap_re[i] * rx.z_im[at + i] + rx.tap_im[i] * rx.z_re[at + i]
        energy += y_re * y_re + y_im * y_im
        angle = rx.turn * (_SYMBOLS - k)
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        re[k] = y_re * cosine - y_im * sine
        im[k] = y_im * cosine + y_re * sine
    factor = np.sqrt(_SYMBOLS / energy)
    if abs(factor - 1) < _LEVEL_TOLERANCE:
        factor = np.float32(1)
    off = np.float32(0)
    for k in range(_SYMBOLS):
        re[k] *= factor
        im[k] *= factor
        radius = np.sqrt(re[k] * re[k] + im[k] * im[k])
        least = np.float32(1e9)
        for ring in range(_N_RINGS):
            least = min(least, (radius - _RINGS[rx.row, ring]) ** 2)
        off += least
    return float(off), float(factor)


@kernel
def _error_at_phase(rx: Record, angle: float, re: NDArray[np.float32], im: NDArray[np.float32]) -> float:
    """Mean squared error of decisions when the symbols are turned back by ``angle``."""
    row = rx.row
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    total = np.float32(0)
    if TRELLIS[row]:
        viterbi_begin(rx, -1)
        u_re = np.empty(BATCH, np.float32)
        u_im = np.empty(BATCH, np.float32)
        trusted = np.ones(BATCH, np.uint8)
        for first in range(0, _SYMBOLS, BATCH):
            for k in range(BATCH):
                u_re[k] = re[first + k] * cosine + im[first + k] * sine
                u_im[k] = im[first + k] * cosine - re[first + k] * sine
            viterbi_symbols(rx, u_re, u_im, trusted, BATCH)
        return float(path_growth(rx.least_metric) / np.float32(_SYMBOLS))
    for k in range(_SYMBOLS):
        y_re = re[k] * cosine + im[k] * sine
        y_im = im[k] * cosine - re[k] * sine
        least = np.float32(1e9)
        for i in range(N_LABELS[row]):
            least = min(least, (y_re - POINT_RE[row, i]) ** 2 + (y_im - POINT_IM[row, i]) ** 2)
        total += least
    return float(total / _SYMBOLS)


@kernel
def _best_phase(rx: Record, re: NDArray[np.float32], im: NDArray[np.float32]) -> tuple[float, float]:
    """The least error of decisions at any phase, and that phase."""
    n_phases = _PHASES_TRELLIS if TRELLIS[rx.row] else _PHASES
    least = 1e9
    angle = 0.0
    for trial in range(n_phases):
        candidate = trial * _SYMMETRY[rx.row] / n_phases
        error = _error_at_phase(rx, candidate, re, im)
        if error < least:
            least = error
            angle = candidate
    return least, angle


@kernel
def relock(rx: Record) -> bool:
    """Try to find instant and phase from the last symbols; True, and all set for tracking, if they are found.

    ``z`` is used for the trials and left as tracking wants it either way. A trellis decoder must have put out
    all it had.
    """
    t_z = rx.t_z
    trellis = TRELLIS[rx.row]
    if t_z - _N_Z * rx.step - RX_HALF[PULSE[rx.row]] < rx.bad_to:
        return False
    re = np.empty(_SYMBOLS, np.float32)
    im = np.empty(_SYMBOLS, np.float32)
    best_re = np.empty(_SYMBOLS, np.float32)
    best_im = np.empty(_SYMBOLS, np.float32)
    least = 1e9
    best_t_z = t_z
    best_factor = 1.0
    angle = 0.0
    for trial in range(_INSTANTS // 2):
        later = rx.step * trial / (_INSTANTS // 2)
        rx.t_z = t_z + later - _N_Z * rx.step
        half_symbols(rx, _N_Z, 0)
        for parity in range(2):  # 1: this instant; 0: half a symbol before
            off, factor = _equalise(rx, parity, re, im)
            if trellis:  # its amplitudes are too many to tell anything
                off = _best_phase(rx, re, im)[0]
            if off < least:
                least = off
                best_factor = factor
                best_t_z = t_z + later - (1 - parity) * rx.step
                best_re[:] = re
                best_im[:] = im
    least, angle = _best_phase(rx, best_re, best_im)
    locked = least < (_LOCKED_TRELLIS if trellis else _LOCKED) * HOPELESS_MSE[rx.row]
    if trellis:
        if locked:  # leaves the decoder in the state after these symbols, which have been put out before
            _error_at_phase(rx, angle, best_re, best_im)
        else:
            viterbi_begin(rx, -1)
        rx.n_pending = 0
    if locked:
        t_z = best_t_z
        rx.angle = angle
        rx.gain *= best_factor
        rx.mse = least
        rx.timing_sum = 0.0
        rx.timing_weight = 0.0
        rx.timing_symbols = 0
        jitter_slipped(rx)
    rx.t_z = t_z - EQ_TAPS * rx.step
    half_symbols(rx, EQ_TAPS, 0)
    return bool(locked)


assert EQ_CENTRE == EQ_TAPS // 2 - 1  # window 1 of a chunk is its first symbol
