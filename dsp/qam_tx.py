"""The transmitter of all fast modulations: bytes to audio, one record and one block of 160 samples a call.

Life of a transmission: :func:`qam_tx_start`; the turn-on sequence; ones until the first byte has been
written; data (zeros when it is late); after ``end`` is set and the ring is empty, scrambled ones, the tail of
the pulse, the silence the Recommendation asks for, then ``done``. A zeroed record is idle and sends silence.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsp.kernel import Record, kernel, records
from dsp.level import BLOCK
from dsp.pulse import TX_SYMBOLS
from dsp.qam_tables import (
    ALTERNATION,
    BITS_PER_SYMBOL,
    CARRIER_COSINE,
    CARRIER_SINE,
    CHANGE,
    DATA_PHASE,
    DATA_SCRAMBLER_STATE,
    DATA_TRELLIS_STATE,
    KNOWN,
    KNOWN_START,
    N_ALTERNATION,
    N_KNOWN,
    N_SILENCE,
    N_TEP,
    N_TURN_OFF,
    N_TURN_OFF_SILENCE,
    POINT,
    PULSE,
    SCRAMBLER,
    TEP_POINT,
    TRELLIS,
    TX_PHASES,
    TX_PULSE,
    TX_REACH,
    TX_STEP,
    row_of,
)
from dsp.scrambler import mask_kernel, push_kernel
from dsp.trellis import label_kernel, next_state_kernel

#: Bytes that wait in the record for their turn.
TX_RING = 8192
#: Transmit level, dBm0 (T.30 fax over IP: -13…-16).
TX_LEVEL_DBM0 = -14.0

_AHEAD = int(TX_REACH.max())

#: Stages of a transmission.
IDLE, TURN_ON, DATA, TURN_OFF, TAIL = range(5)

#: State of one transmitter.
QAM_TX = np.dtype(
    [
        ("stage", "i4"),
        ("row", "i4"),  # of qam_tables
        ("n_left", "i4"),  # symbols left in this stage
        ("gain", "f4"),  # int16 units a unit of the pulse's output
        ("phase_row", "i4"),  # where the sample stands between symbols, in steps of the transmit pulse
        ("ahead_re", "f4", (_AHEAD,)),  # what the symbols up to now add to the samples to come
        ("ahead_im", "f4", (_AHEAD,)),
        ("scrambler_state", "i8"),
        ("phase", "i4"),  # of the last symbol, 45° steps; with a trellis code its Y
        ("trellis_state", "i4"),
        ("byte", "i4"),
        ("bits_left", "i4"),  # of that byte
        ("data_begun", "u1"),  # a byte has been written since the start
        ("tep", "u1"),  # set before the start: talker echo protection
        ("end", "u1"),  # set by the owner: no more bytes will be written
        ("done", "u1"),  # set here: everything is out
        ("level_change_db", "f4"),  # set before the start, relative to TX_LEVEL_DBM0
        ("ring", "u1", (TX_RING,)),
        ("ring_out", "i4"),
        ("ring_count", "i4"),  # bytes waiting
    ],
    align=True,
)


@kernel
def qam_tx_start(tx: Record, code: int) -> bool:
    """Begin a transmission with the turn-on sequence of T.31 ``code``; False if there is no such modulation.

    Whatever was under way is dropped, and the byte ring emptied; if there is none, nothing changes.
    """
    row = row_of(code)
    if row < 0:
        return False
    tx.row = row
    tx.stage = TURN_ON
    tx.n_left = N_SILENCE[row] + N_ALTERNATION[row] + N_KNOWN[row] + (N_TEP[row] if tx.tep else 0)
    rms = 32768.0 * 10.0 ** ((TX_LEVEL_DBM0 + tx.level_change_db - 6.15) / 20.0)
    tx.gain = np.float32(rms * np.sqrt(2.0))
    tx.phase_row = 0
    for k in range(_AHEAD):
        tx.ahead_re[k] = 0.0
        tx.ahead_im[k] = 0.0
    tx.scrambler_state = DATA_SCRAMBLER_STATE[row]
    tx.phase = DATA_PHASE[row]
    tx.trellis_state = DATA_TRELLIS_STATE[row]
    tx.bits_left = 0
    tx.data_begun = 0
    tx.end = 0
    tx.done = 0
    tx.ring_out = 0
    tx.ring_count = 0
    return True


@kernel
def qam_tx_stop(tx: Record) -> None:
    """Drop the carrier at once and forget what was waiting; ``done`` is not set."""
    tx.stage = IDLE
    tx.ring_count = 0


@kernel
def qam_tx_write(tx: Record, data: NDArray[np.uint8], n: int) -> int:
    """Queue the first ``n`` bytes of ``data``; returns how many there was room for."""
    taken: int = min(n, TX_RING - tx.ring_count)
    at = (tx.ring_out + tx.ring_count) % TX_RING
    for k in range(taken):
        tx.ring[at] = data[k]
        at += 1
        if at == TX_RING:
            at = 0
    tx.ring_count += taken
    return taken


@kernel
def _next_byte(tx: Record) -> int:
    """The next byte to send, or -1 when the data has ended."""
    if tx.ring_count > 0:
        byte: int = tx.ring[tx.ring_out]
        tx.ring_out = (tx.ring_out + 1) % TX_RING
        tx.ring_count -= 1
        tx.data_begun = 1
        return byte
    if tx.end:
        return -1
    return 0x00 if tx.data_begun else 0xFF


@kernel
def _data_symbol(tx: Record) -> np.complex64:
    """The point for the next bits; begins the turn-off when the data ends, filling up with ones."""
    row = tx.row
    kind = SCRAMBLER[row]
    state = tx.scrambler_state
    value = 0
    for k in range(BITS_PER_SYMBOL[row]):
        if tx.bits_left == 0 and tx.stage == DATA:
            byte = _next_byte(tx)
            if byte < 0:
                tx.stage = TURN_OFF
                tx.n_left = N_TURN_OFF[row] - (1 if k == 0 else 0)  # this symbol is one of them
            else:
                tx.byte = byte
                tx.bits_left = 8
        bit = 1
        if tx.bits_left > 0:
            bit = tx.byte & 1
            tx.byte >>= 1
            tx.bits_left -= 1
        line_bit = bit ^ mask_kernel(kind, state)
        state = push_kernel(kind, state, line_bit)
        if TRELLIS[row]:
            value |= line_bit << k
        else:
            value = (value << 1) | line_bit
    tx.scrambler_state = state
    if TRELLIS[row]:
        tx.phase = (tx.phase + value) & 3
        label = label_kernel(value, tx.phase, tx.trellis_state)
        tx.trellis_state = next_state_kernel(tx.trellis_state, tx.phase)
        coded: np.complex64 = POINT[row, label]
        return coded
    change = CHANGE[row, value]
    tx.phase = (tx.phase + change) & 7
    point: np.complex64 = POINT[row, tx.phase | (change & 8)]
    return point


@kernel
def _turn_on_symbol(tx: Record) -> np.complex64:
    """The point ``n_left`` symbols before the data."""
    row = tx.row
    left = tx.n_left
    tx.n_left -= 1
    if tx.n_left == 0:
        tx.stage = DATA
    point = np.complex64(0)
    if left <= N_KNOWN[row]:
        point = POINT[row, KNOWN[KNOWN_START[row] + N_KNOWN[row] - left]]
    elif left <= N_KNOWN[row] + N_ALTERNATION[row]:
        point = ALTERNATION[row, (N_KNOWN[row] + N_ALTERNATION[row] - left) & 1]
    elif left > N_KNOWN[row] + N_ALTERNATION[row] + N_SILENCE[row]:
        point = TEP_POINT[row]
    return point


@kernel
def _next_symbol(tx: Record) -> np.complex64:
    point = np.complex64(0)
    if tx.stage == TURN_ON:
        point = _turn_on_symbol(tx)
    elif tx.stage == DATA:
        point = _data_symbol(tx)
    elif tx.n_left > 0:
        tx.n_left -= 1
        if tx.stage == TURN_OFF:
            point = _data_symbol(tx)
    elif tx.stage == TURN_OFF:
        tx.stage = TAIL
        tx.n_left = TX_SYMBOLS + N_TURN_OFF_SILENCE[tx.row]
    elif tx.stage == TAIL:
        tx.stage = IDLE
        tx.done = 1
    return point


@kernel
def qam_tx_block(tx: Record, out: NDArray[np.float32]) -> None:
    """Set ``out`` (int16 units, not clipped) to the next 160 samples of the transmission, or to silence."""
    if tx.stage == IDLE:
        out[:] = np.float32(0)
        return
    row = tx.row
    pulse = PULSE[row]
    n_phases = TX_PHASES[pulse]
    step = TX_STEP[pulse]
    reach = TX_REACH[pulse]
    phase_row = tx.phase_row
    re = np.empty(BLOCK + _AHEAD, np.float32)
    im = np.empty(BLOCK + _AHEAD, np.float32)
    for k in range(_AHEAD):
        re[k], im[k] = tx.ahead_re[k], tx.ahead_im[k]
    for k in range(_AHEAD, BLOCK + _AHEAD):
        re[k] = im[k] = np.float32(0)
    n = 0
    while n < BLOCK:
        if phase_row < step:  # a new symbol begins at or before this sample
            symbol = _next_symbol(tx)
            weights = TX_PULSE[pulse, phase_row]
            s_re, s_im = symbol.real, symbol.imag
            for k in range(reach):
                re[n + k] += weights[k] * s_re
                im[n + k] += weights[k] * s_im
        phase_row += step
        if phase_row >= n_phases:
            phase_row -= n_phases
        n += 1
    tx.phase_row = phase_row
    for k in range(BLOCK):
        out[k] = tx.gain * (re[k] * CARRIER_COSINE[row, k] - im[k] * CARRIER_SINE[row, k])
    for k in range(_AHEAD):
        tx.ahead_re[k], tx.ahead_im[k] = re[BLOCK + k], im[BLOCK + k]


def qam_burst(
    code: int, data: bytes, *, tep: bool = False, level_change_db: float = 0.0
) -> NDArray[np.int16]:
    """A whole transmission (turn-on, ``data``, turn-off) as int16 samples at 8000 Hz, for tests and tools.

    Raises ValueError for a ``code`` that is not a fast modulation of this package.
    """
    tx: Any = records(QAM_TX, 1)[0]
    tx.tep = tep
    tx.level_change_db = level_change_db
    if not qam_tx_start(tx, code):
        raise ValueError(f"code {code}: not a fast modulation")
    pending = np.frombuffer(data, np.uint8)
    out = np.zeros(160, np.float32)
    blocks = []
    while not tx.done:
        pending = pending[
            qam_tx_write(tx, np.ascontiguousarray(pending[:TX_RING]), min(len(pending), TX_RING)) :
        ]
        tx.end = len(pending) == 0
        qam_tx_block(tx, out)
        blocks.append(np.clip(np.rint(out), -32768, 32767).astype(np.int16))
    return np.concatenate(blocks)
