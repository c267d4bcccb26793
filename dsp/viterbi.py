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
#: Distances of a symbol of which samples were lost are shifted down by this.
_DOUBT = 3

_RATES = [m for m in MODULATIONS if m.trellis and not m.turn_on.short]
#: Which constellation a row of qam_tables has, of those with a trellis.
_CONSTELLATION = np.array(
    [next((k for k, r in enumerate(_RATES) if r.bit_rate == m.bit_rate), 0) for m in MODULATIONS], np.int32
)
_MOST_LABELS = 128
_POINT = np.zeros((len(_RATES), _MOST_LABELS), np.complex64)
#: Grid units of each constellation's tables in one of unit energy.
_GRID = np.array([1 / m.unit for m in _RATES], np.float32)
#: A squared distance of one grid unit as metric.
_METRIC = np.array([_METRIC_UNIT * m.unit**2 for m in _RATES], np.float32)
#: Label of the nearest point of each subset, by constellation and square; and that point, in grid units.
_NEAREST = np.zeros((len(_RATES), _SQUARES * _SQUARES, 8), np.uint8)
_NEAREST_RE = np.zeros(_NEAREST.shape, np.int8)
_NEAREST_IM = np.zeros(_NEAREST.shape, np.int8)
_CENTRES = (np.arange(_SQUARES) - (_SQUARES - 1) / 2) * _SQUARE
for _k, _m in enumerate(_RATES):
    _points = np.array([_m.points[label] for label in range(len(_m.points))]) * _m.unit
    _POINT[_k, : len(_points)] = _points
    _cells = (_CENTRES + 1j * _CENTRES[:, None]).reshape(-1)
    for _subset in range(8):
        _far = np.abs(_cells[:, None] - _points[_subset::8])
        _NEAREST[_k, :, _subset] = _subset + 8 * np.argmin(_far, axis=1)
    _grid = np.rint(_points / _m.unit)
    _NEAREST_RE[_k] = _grid.real[_NEAREST[_k]]
    _NEAREST_IM[_k] = _grid.imag[_NEAREST[_k]]
#: Those of all subsets in one number.
_PACKED_RE = _NEAREST_RE.view(np.int64)[..., 0].copy()
_PACKED_IM = _NEAREST_IM.view(np.int64)[..., 0].copy()
#: Subset of the branch from one state to another.
_SUBSET = np.zeros((N_STATES, N_STATES), np.int32)
for _state in range(N_STATES):
    for _y in range(4):
        _SUBSET[_state, NEXT_STATE[_state][_y]] = _y << 1 | (_state & 1)


@kernel
def viterbi_begin(rx: Record, state: int) -> None:
    """Forget all paths; the coder is in ``state`` now, or in any if that is negative."""
    for s in range(N_STATES):
        rx.metric[s] = s if state < 0 or s == state else _FAR | s
    rx.least_metric = 0
    rx.n_pending = 0


@kernel
def likeliest_state(rx: Record) -> int:
    """The state in which the likeliest path ends."""
    state = 0
    for s in range(1, N_STATES):
        if rx.metric[s] & ~7 < rx.metric[state] & ~7:
            state = s
    return state


@kernel
def viterbi_cut(rx: Record, n: int, state: int) -> None:
    """Forget the last ``n`` symbols; before them the likeliest path ended in ``state``."""
    n_pending = rx.n_pending - n
    rx.trellis_at = (rx.trellis_at - n) & (TRELLIS_HISTORY - 1)
    viterbi_begin(rx, state)
    rx.n_pending = n_pending


@kernel
def _distances(
    rx: Record, re: NDArray[np.float32], im: NDArray[np.float32], trusted: NDArray[np.uint8], n: int
) -> None:
    """Distances of ``n`` symbols from the nearest points of all subsets, as metrics."""
    c = _CONSTELLATION[rx.row]
    grid = _GRID[c]
    at = rx.trellis_at
    at_re, at_im = rx.at_re, rx.at_im
    for k in range(n):
        x_re = min(max(re[k], -_FURTHEST), _FURTHEST)
        x_im = min(max(im[k], -_FURTHEST), _FURTHEST)
        column = min(max(int(x_re * np.float32(1 / _SQUARE) + np.float32(_SQUARES / 2)), 0), _SQUARES - 1)
        line = min(max(int(x_im * np.float32(1 / _SQUARE) + np.float32(_SQUARES / 2)), 0), _SQUARES - 1)
        cell = line * _SQUARES + column
        rx.cell[(at + k) & (TRELLIS_HISTORY - 1)] = cell
        rx.near_re[k] = _PACKED_RE[c, cell]
        rx.near_im[k] = _PACKED_IM[c, cell]
        x_re *= grid
        x_im *= grid
        for subset in range(8):
            at_re[8 * k + subset] = x_re
        for subset in range(8):
            at_im[8 * k + subset] = x_im
    near_re, near_im = rx.near_re.view(np.int8), rx.near_im.view(np.int8)
    distance = rx.distance
    scale = _METRIC[c]
    for k in range(8 * n):
        d_re = at_re[k] - np.float32(near_re[k])
        d_im = at_im[k] - np.float32(near_im[k])
        distance[k] = np.int32((d_re * d_re + d_im * d_im) * scale) << _STATE_BITS
    for k in range(n):
        if not trusted[k]:
            for subset in range(8 * k, 8 * k + 8):
                distance[subset] = distance[subset] >> (_STATE_BITS + _DOUBT) << _STATE_BITS


@kernel
def _least(a: int, b: int, c: int, d: int) -> int:
    return min(a, b, c, d)


@kernel
def viterbi_symbols(
    rx: Record, re: NDArray[np.float32], im: NDArray[np.float32], trusted: NDArray[np.uint8], n: int
) -> None:
    """Extend the paths by ``n`` received symbols (BATCH at most); those not ``trusted`` weigh little.

    The likeliest path's last point and its growth by each symbol go to ``d_re``, ``d_im`` and ``growth``.
    """
    _distances(rx, re, im, trusted, n)
    distance, metric, survivor, growth = rx.distance, rx.metric, rx.survivor, rx.growth
    m0, m1, m2, m3 = metric[0], metric[1], metric[2], metric[3]
    m4, m5, m6, m7 = metric[4], metric[5], metric[6], metric[7]
    least = rx.least_metric
    start = rx.trellis_at
    for k in range(n):
        d = distance[8 * k : 8 * k + 8]
        d0, d1, d2, d3 = np.int64(d[0]), np.int64(d[1]), np.int64(d[2]), np.int64(d[3])
        d4, d5, d6, d7 = np.int64(d[4]), np.int64(d[5]), np.int64(d[6]), np.int64(d[7])
        n0 = _least(m0 + d0, m2 + d6, m4 + d2, m6 + d4)
        n1 = _least(m0 + d6, m2 + d0, m4 + d4, m6 + d2)
        n2 = _least(m0 + d2, m2 + d4, m4 + d0, m6 + d6)
        n3 = _least(m0 + d4, m2 + d2, m4 + d6, m6 + d0)
        n4 = _least(m1 + d1, m3 + d3, m5 + d7, m7 + d5)
        n5 = _least(m1 + d5, m3 + d7, m5 + d3, m7 + d1)
        n6 = _least(m1 + d7, m3 + d5, m5 + d1, m7 + d3)
        n7 = _least(m1 + d3, m3 + d1, m5 + d5, m7 + d7)
        before = survivor[(start + k) & (TRELLIS_HISTORY - 1)]
        before[0], before[1], before[2], before[3] = n0 & 7, n1 & 7, n2 & 7, n3 & 7
        before[4], before[5], before[6], before[7] = n4 & 7, n5 & 7, n6 & 7, n7 & 7
        m0, m1, m2, m3 = n0 & ~7, (n1 & ~7) | 1, (n2 & ~7) | 2, (n3 & ~7) | 3
        m4, m5, m6, m7 = (n4 & ~7) | 4, (n5 & ~7) | 5, (n6 & ~7) | 6, n7 | 7
        best = min(_least(m0, m1, m2, m3), _least(m4, m5, m6, m7))
        growth[k] = np.float32(((best & ~7) - least) >> _STATE_BITS) * np.float32(1 / _METRIC_UNIT)
        rx.best_state[k] = best & 7
        least = best & ~7
    metric[0], metric[1], metric[2], metric[3] = m0, m1, m2, m3
    metric[4], metric[5], metric[6], metric[7] = m4, m5, m6, m7
    rx.least_metric = least
    c = _CONSTELLATION[rx.row]
    for k in range(n):
        at = (start + k) & (TRELLIS_HISTORY - 1)
        state = rx.best_state[k] & 7
        point = _POINT[c, _NEAREST[c, rx.cell[at], _SUBSET[survivor[at, state], state]]]
        rx.d_re[k] = point.real
        rx.d_im[k] = point.imag
    rx.trellis_at = (start + n) & (TRELLIS_HISTORY - 1)
    rx.n_pending += n


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
def viterbi_decide(rx: Record, depth: int, out: NDArray[np.uint8], n_out: int) -> int:
    """Trace the likeliest path back and put out all but its last ``depth`` symbols; the new number of bytes.

    Differential decoding and descrambling take all bits of a symbol at once: the scrambler's taps are further
    back. ``scrambler_state`` holds the last 23 bits here with the oldest lowest. What does not fit into
    ``out`` stays pending.
    """
    n_bits = BITS_PER_SYMBOL[rx.row]
    c = _CONSTELLATION[rx.row]
    n = rx.n_pending
    n_now = min(n - depth, ((len(out) - n_out) * 8 - rx.n_bits) // n_bits)
    if n_now <= 0:
        return n_out
    state = likeliest_state(rx)
    labels = np.empty(TRELLIS_HISTORY, np.uint8)
    survivor, cell = rx.survivor, rx.cell
    at = rx.trellis_at
    for k in range(n - 1, -1, -1):
        at = (at - 1) & (TRELLIS_HISTORY - 1)
        before = survivor[at, state]
        labels[k] = _NEAREST[c, cell[at], _SUBSET[before, state]]
        state = before
    ones = np.int64((1 << n_bits) - 1)
    scrambler = np.int64(rx.scrambler_state)
    waiting, n_waiting = np.int64(rx.byte), np.int64(rx.n_bits)
    phase = np.int64(rx.phase)
    n_ones = np.int64(rx.n_ones)
    for k in range(n_now):
        label = np.int64(labels[k])
        y = (label >> 1) & 3
        value = ((label >> 3) << 2) | ((y - phase) & 3)
        phase = y
        bits = (value ^ scrambler ^ (scrambler >> 5)) & ones
        scrambler = (scrambler | (value << 23)) >> n_bits
        n_ones = n_ones + n_bits if bits == ones else np.int64(0)
        waiting |= bits << n_waiting
        n_waiting += n_bits
        if n_waiting >= 8:
            out[n_out] = waiting & 0xFF
            n_out += 1
            waiting >>= 8
            n_waiting -= 8
    rx.scrambler_state = scrambler
    rx.byte, rx.n_bits = waiting, n_waiting
    rx.phase, rx.n_ones = phase, n_ones
    rx.n_pending = n - n_now
    return n_out


@kernel
def oldest_lowest(state: int) -> int:
    """A scrambler state (newest bit lowest) as :func:`viterbi_decide` wants it."""
    reversed_ = 0
    for k in range(23):
        reversed_ |= ((state >> k) & 1) << (22 - k)
    return reversed_
