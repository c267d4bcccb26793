"""Holding back what makes no sense, so that it can be decided again.

A slip is noticed only when its symbols have been decided, wrongly. Their bits are kept back, from the first
bad batch on; when instant and phase have been found again (qam_relock.py), or sense has come back by itself,
the receiver returns to the first of these symbols, whose samples are still in the ring, and decides them
anew. When neither happens they go out as they are: as many bits as time has passed, always.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.kernel import Record, kernel
from dsp.matched_filter import half_symbols
from dsp.qam_rx_state import EQ_TAPS
from dsp.qam_tables import TRELLIS
from dsp.viterbi import likeliest_state, viterbi_begin, viterbi_cut, viterbi_decide

#: Symbols held at most: enough for a lock to be found, and a small part of the ring.
MOST_HELD = 160
#: Numbers in a note.
NOTE = 7


@kernel
def take_note(rx: Record, n_out: int, note: NDArray[np.int64]) -> None:
    """Note where the bits stand before some symbols are decided."""
    note[0] = n_out
    if TRELLIS[rx.row]:
        note[1] = likeliest_state(rx)
        return
    note[1] = rx.byte
    note[2] = rx.n_bits
    note[3] = rx.n_ones
    note[4] = rx.scrambler_state
    note[5] = rx.phase


@kernel
def take_back(rx: Record, note: NDArray[np.int64], n: int, out: NDArray[np.uint8], n_out: int) -> int:
    """Hold the last ``n`` symbols, decided since ``note`` was taken; returns the bytes in ``out`` without."""
    rx.n_held += n
    if TRELLIS[rx.row]:
        viterbi_cut(rx, n, note[1])
        n_out = viterbi_decide(rx, 0, out, n_out)
        viterbi_begin(rx, -1)
        return n_out
    rx.byte = note[1]
    rx.n_bits = note[2]
    rx.n_ones = note[3]
    rx.scrambler_state = note[4]
    rx.phase = note[5]
    held_from: int = note[0]
    return held_from


@kernel
def decide_again(rx: Record) -> None:
    """Go back to the first symbol held; this time all are put out, whatever they are."""
    n = rx.n_held
    rx.n_held = 0
    rx.n_unheld = n
    rx.angle = (rx.angle - n * rx.turn) % (2 * np.pi)
    for line in range(rx.jitter_lines):
        rx.jitter_angle[line] -= n * rx.jitter_turn[line]
    rx.t_z -= (2 * n + EQ_TAPS) * rx.step
    half_symbols(rx, EQ_TAPS, 0)
    if TRELLIS[rx.row]:
        viterbi_begin(rx, -1)
