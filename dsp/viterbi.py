"""The receiver's side of V.17's code: the likeliest path through the trellis, a symbol at a time.

Of all points with the same Y2 Y1 Y0 (a *subset*) only the one nearest to the received symbol matters; which
one that is comes from a table of small squares. Metrics are integers: squared distances times 2^16, shifted
by the three bits that name a state, so that one minimum finds both the least metric and where it came from.
Nothing leaks from them: a path's metric is the sum of all its distances.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.kernel import Record, kernel
from dsp.qam_rx_state import TRELLIS_HISTORY
from dsp.qam_tables import BITS_PER_SYMBOL, MODULATIONS
from dsp.trellis import N_STATES, NEXT_STATE

#: Symbols after which a decision is final.
DEPTH = 32
#: The table's squares: this many a side, and their size (points have unit mean energy).
_SQUARES = 32
_SQUARE = 0.1
#: Symbols are cut to this, so that metrics cannot overflow.
_FURTHEST = np.float32(3)
_METRIC_UNIT = np.float32(1 << 16)
_STATE_BITS = 3
#: Metric that is as good as impossible.
_FAR = 1 << 26
#: Reliability of a symbol of which samples were lost: its distances are shifted down by this.
DOUBTFUL = 3

_RATES = [m for m in MODULATIONS if m.trellis and not m.turn_on.short]
#: Which constellation a row of qam_tables has, of those with a trellis.
_CONSTELLATION = np.array(
    [next((k for k, r in enumerate(_RATES) if r.bit_rate == m.bit_rate), 0) for m in MODULATIONS], np.int32
)
_MOST_LABELS = 128
_POINT_RE = np.zeros((len(_RATES), _MOST_LABELS), np.float32)
_POINT_IM = np.zeros((len(_RATES), _MOST_LABELS), np.float32)
#: Label of the nearest point of each subset, by constellation and square.
_NEAREST = np.zeros((len(_RATES), _SQUARES * _SQUARES, 8), np.uint8)
_CENTRES = (np.arange(_SQUARES) - (_SQUARES - 1) / 2) * _SQUARE
for _k, _m in enumerate(_RATES):
    _points = np.array([_m.points[label] for label in range(len(_m.points))]) * _m.unit
    _POINT_RE[_k, : len(_points)] = _points.real
    _POINT_IM[_k, : len(_points)] = _points.imag
    _cells = (_CENTRES + 1j * _CENTRES[:, None]).reshape(-1)
    for _subset in range(8):
        _far = np.abs(_cells[:, None] - _points[_subset::8])
        _NEAREST[_k, :, _subset] = _subset + 8 * np.argmin(_far, axis=1)
#: Subset of the branch from one state to another.
_SUBSET = np.zeros((N_STATES, N_STATES), np.int32)
for _state in range(N_STATES):
    for _y in range(4):
        _SUBSET[_state, NEXT_STATE[_state][_y]] = _y << 1 | (_state & 1)


@kernel
def viterbi_begin(rx: Record, state: int) -> None:
    """Forget all paths; the coder is in ``state`` now, or in any if that is negative."""
    for s in range(N_STATES):
        rx.metric[s] = 0 if state < 0 or s == state else _FAR
    rx.least_metric = 0
    rx.n_pending = 0


@kernel
def _distance(constellation: int, label: int, re: np.float32, im: np.float32) -> np.int32:
    d_re = re - _POINT_RE[constellation, label]
    d_im = im - _POINT_IM[constellation, label]
    return np.int32((d_re * d_re + d_im * d_im) * _METRIC_UNIT) << _STATE_BITS


@kernel
def _least(a: np.int32, b: np.int32, c: np.int32, d: np.int32) -> np.int32:
    return min(a, b, c, d)


@kernel
def viterbi_symbol(rx: Record, re: np.float32, im: np.float32, doubt: int) -> np.complex64:
    """Extend the paths by a received symbol; returns the last point of the likeliest one.

    ``doubt``: 0, or how far to shift down the symbol's weight. ``least_metric`` grows by the likeliest path's
    growth.
    """
    row = rx.row
    c = _CONSTELLATION[row]
    re = min(max(re, -_FURTHEST), _FURTHEST)
    im = min(max(im, -_FURTHEST), _FURTHEST)
    x = min(max(int(re * np.float32(1 / _SQUARE) + np.float32(_SQUARES / 2)), 0), _SQUARES - 1)
    y = min(max(int(im * np.float32(1 / _SQUARE) + np.float32(_SQUARES / 2)), 0), _SQUARES - 1)
    nearest = _NEAREST[c, y * _SQUARES + x]
    at = rx.trellis_at
    candidate = rx.candidate[at]
    for subset in range(8):
        candidate[subset] = nearest[subset]
    d0 = _distance(c, nearest[0], re, im) >> doubt & ~7
    d1 = _distance(c, nearest[1], re, im) >> doubt & ~7
    d2 = _distance(c, nearest[2], re, im) >> doubt & ~7
    d3 = _distance(c, nearest[3], re, im) >> doubt & ~7
    d4 = _distance(c, nearest[4], re, im) >> doubt & ~7
    d5 = _distance(c, nearest[5], re, im) >> doubt & ~7
    d6 = _distance(c, nearest[6], re, im) >> doubt & ~7
    d7 = _distance(c, nearest[7], re, im) >> doubt & ~7
    metric = rx.metric
    m0, m1, m2, m3 = metric[0], metric[1] | 1, metric[2] | 2, metric[3] | 3
    m4, m5, m6, m7 = metric[4] | 4, metric[5] | 5, metric[6] | 6, metric[7] | 7
    n0 = _least(m0 + d0, m2 + d6, m4 + d2, m6 + d4)
    n1 = _least(m0 + d6, m2 + d0, m4 + d4, m6 + d2)
    n2 = _least(m0 + d2, m2 + d4, m4 + d0, m6 + d6)
    n3 = _least(m0 + d4, m2 + d2, m4 + d6, m6 + d0)
    n4 = _least(m1 + d1, m3 + d3, m5 + d7, m7 + d5)
    n5 = _least(m1 + d5, m3 + d7, m5 + d3, m7 + d1)
    n6 = _least(m1 + d7, m3 + d5, m5 + d1, m7 + d3)
    n7 = _least(m1 + d3, m3 + d1, m5 + d5, m7 + d7)
    survivor = rx.survivor[at]
    survivor[0], survivor[1], survivor[2], survivor[3] = n0 & 7, n1 & 7, n2 & 7, n3 & 7
    survivor[4], survivor[5], survivor[6], survivor[7] = n4 & 7, n5 & 7, n6 & 7, n7 & 7
    n0, n1, n2, n3 = n0 & ~7, (n1 & ~7) | 1, (n2 & ~7) | 2, (n3 & ~7) | 3
    n4, n5, n6, n7 = (n4 & ~7) | 4, (n5 & ~7) | 5, (n6 & ~7) | 6, (n7 & ~7) | 7
    best = min(_least(n0, n1, n2, n3), _least(n4, n5, n6, n7))
    metric[0], metric[1], metric[2], metric[3] = n0, n1 & ~7, n2 & ~7, n3 & ~7
    metric[4], metric[5], metric[6], metric[7] = n4 & ~7, n5 & ~7, n6 & ~7, n7 & ~7
    rx.least_metric = best & ~7
    state = best & 7
    rx.trellis_at = (at + 1) & (TRELLIS_HISTORY - 1)
    rx.n_pending += 1
    label = candidate[_SUBSET[survivor[state], state]]
    return np.complex64(complex(_POINT_RE[c, label], _POINT_IM[c, label]))


@kernel
def path_growth(metric: int) -> np.float32:
    """A difference of ``least_metric`` as a squared distance."""
    return np.float32(metric >> _STATE_BITS) / _METRIC_UNIT


@kernel
def viterbi_normalise(rx: Record) -> None:
    """Take the least metric off all of them, so that they stay small."""
    least = rx.least_metric
    for s in range(N_STATES):
        rx.metric[s] -= least
    rx.least_metric = 0


@kernel
def n_final(rx: Record) -> int:
    """Symbols that :func:`viterbi_decide` would now put out."""
    n: int = max(rx.n_pending - DEPTH, 0)
    return n


@kernel
def _put_bits(rx: Record, label: int, n_bits: int, out: NDArray[np.uint8], n_out: int) -> int:
    """Differential decoding, descrambling (all bits of a symbol at once: the taps are further back), packing.

    ``scrambler_state`` holds the last 23 bits here with the oldest lowest.
    """
    y = (label >> 1) & 3
    value = (label >> 3) << 2 | ((y - rx.phase) & 3)
    rx.phase = y
    ones = (1 << n_bits) - 1
    state = rx.scrambler_state
    bits = (value ^ state ^ (state >> 5)) & ones
    rx.scrambler_state = (state | value << 23) >> n_bits
    rx.n_ones = rx.n_ones + n_bits if bits == ones else 0
    rx.byte |= bits << rx.n_bits
    rx.n_bits += n_bits
    if rx.n_bits >= 8:
        out[n_out] = rx.byte & 0xFF
        n_out += 1
        rx.byte >>= 8
        rx.n_bits -= 8
    return n_out


@kernel
def viterbi_decide(rx: Record, depth: int, out: NDArray[np.uint8], n_out: int) -> int:
    """Trace the likeliest path back and put out all but its last ``depth`` symbols; the new number of bytes.

    What does not fit into ``out`` stays pending.
    """
    n_bits = BITS_PER_SYMBOL[rx.row]
    n = rx.n_pending
    n_now = min(n - depth, ((len(out) - n_out) * 8 - rx.n_bits) // n_bits)
    if n_now <= 0:
        return n_out
    state = 0
    for s in range(1, N_STATES):
        if rx.metric[s] < rx.metric[state]:
            state = s
    labels = np.empty(TRELLIS_HISTORY, np.uint8)
    at = rx.trellis_at
    for k in range(n - 1, -1, -1):
        at = (at - 1) & (TRELLIS_HISTORY - 1)
        before = rx.survivor[at, state]
        labels[k] = rx.candidate[at, _SUBSET[before, state]]
        state = before
    for k in range(n_now):
        n_out = _put_bits(rx, labels[k], n_bits, out, n_out)
    rx.n_pending = n - n_now
    return n_out


@kernel
def oldest_lowest(state: int) -> int:
    """A scrambler state (newest bit lowest) as :func:`viterbi_decide` wants it."""
    reversed_ = 0
    for k in range(23):
        reversed_ |= ((state >> k) & 1) << (22 - k)
    return reversed_
