"""The receiver of all fast modulations: one record, one block of 160 samples a call.

:func:`qam_rx_start` begins a search for a training of one modulation; from then on each block goes to
:func:`qam_rx_block`, which returns received bytes and leaves events in the record. When the carrier has gone
the receiver searches again by itself. A zeroed record is off.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.interruption import GAP, LOST, SLIP, note_interruption
from dsp.kernel import Record, kernel
from dsp.pulse import SAMPLE_RATE_HZ
from dsp.qam_fit import fit, fit_instant
from dsp.qam_hold import decide_again
from dsp.qam_jitter import find_jitter
from dsp.qam_relock import RELOCK_SYMBOLS, relock
from dsp.qam_rx_state import (
    BLOCK,
    COLLECT,
    DATA,
    EQ_AHEAD,
    EVENT_CARRIER_LOST,
    EVENT_FAILED,
    EVENT_TRAINED,
    EVENT_TRAINING_SEEN,
    OFF,
    QAM_RX,
    RING,
    SEARCH,
    TRAINING,
)
from dsp.qam_search import search_block
from dsp.qam_short import fit_short, fit_short_instant, remember
from dsp.qam_tables import BAUD, IS_SHORT, TRELLIS, row_of
from dsp.qam_track import put_out_all, track

__all__ = [
    "EVENT_CARRIER_LOST",
    "EVENT_FAILED",
    "EVENT_TRAINED",
    "EVENT_TRAINING_SEEN",
    "QAM_RX",
    "qam_rx_block",
    "qam_rx_start",
    "qam_rx_stop",
]

#: Samples whose power is judged together: six symbols at 2400 Bd.
_PIECE = 20
_PIECES = BLOCK // _PIECE
#: Quiet is this much of the signal's power (-12 dB), or three times the noise as the decisions see it, up to
#: -6 dB: noise alone is less than that at any SNR that is of use.
_QUIET_LEAST = 0.06
_QUIET_OF_NOISE = 3.0
_QUIET_MOST = 0.25
#: Quiet samples that mean the carrier has gone: more than a lost packet of 20 ms. When they are digital
#: silence, to the bit, packets filled up on the way are as likely, and three in a row are not yet the end.
_GONE = BLOCK + _PIECE
_GONE_STILL = 3 * BLOCK + _PIECE
#: Samples unlike the one before that digital silence may have, at its ends.
_STILL = 2 * _PIECE
#: Quiet samples that do after turn-off ones, of which this many were seen up to _EDGE samples before the end.
_ENDED = 80
_TURN_OFF_ONES = 12
_EDGE = 30
#: Quiet samples in the middle of a carrier that are a gap in it: a packet, but for its ends.
_GAP = BLOCK - 2 * _PIECE
#: Blocks that may be lost in a row before the carrier is given up.
_LOST_BLOCKS = 10
#: Weight of a block in the signal's power.
_POWER_WEIGHT = 0.1
#: Training with a worse mean squared error than this (8 dB) has failed.
_TRAINED_MSE = 0.16
#: Blocks of hopeless decisions (1 s) after which this is taken for another signal.
_HOPELESS_BLOCKS = 50


@kernel
def qam_rx_start(rx: Record, code: int) -> bool:
    """Search for a training of T.31 ``code`` from now on; False, and no change, if there is no such one."""
    row = row_of(code)
    if row < 0:
        return False
    rx.wanted_row = row
    rx.events = 0
    rx.n_in = 0
    rx.bad_from = 0
    rx.bad_to = 0
    rx.interruptions.n = 0
    for n in range(len(rx.ring)):
        rx.ring[n] = 0.0
    _search(rx)
    return True


@kernel
def qam_rx_stop(rx: Record) -> None:
    """Receive nothing until the next start."""
    rx.state = OFF


@kernel
def _search(rx: Record) -> None:
    rx.state = SEARCH
    rx.row = rx.wanted_row
    rx.line_energy[:] = np.float32(0)
    rx.quiet = 0
    rx.moving = 0
    rx.lost_blocks = 0
    rx.nonsense = 0
    rx.hopeless = 0
    rx.n_held = 0
    rx.n_unheld = 0


@kernel
def _fail(rx: Record) -> None:
    rx.n_failed += 1
    rx.events |= EVENT_FAILED
    _search(rx)


@kernel
def _store(rx: Record, x: NDArray[np.float32]) -> None:
    at = rx.n_in % RING
    for n in range(BLOCK):
        rx.ring[at + n] = x[n]
    if at == 0:
        for n in range(BLOCK):
            rx.ring[RING + n] = x[n]
    rx.n_in += BLOCK


@kernel
def _distrust(rx: Record, start: int, end: int) -> None:
    """Note samples ``start`` to ``end`` as not to be learned from."""
    if start > rx.bad_to + BLOCK:
        rx.bad_from = start
    rx.bad_to = max(rx.bad_to, end)


@kernel
def _note_gap(rx: Record, piece: int, quiet: int) -> None:
    """The carrier is there in this piece after ``quiet`` quiet samples of the block: was that a gap?"""
    at = rx.n_in - BLOCK + piece * _PIECE
    if quiet == piece * _PIECE and rx.lost_blocks == 0:  # it may have begun before the block
        quiet += rx.quiet
    if quiet >= _GAP:
        note_interruption(rx.interruptions, GAP, at - quiet, quiet)


@kernel
def _quiet_tail(rx: Record, x: NDArray[np.float32]) -> int:
    """Quiet samples at the end of the block; follows the signal's power with what is not quiet.

    Powers are without the mean of each piece, so that an offset or hum is not taken for a signal.
    """
    noise = rx.mse * 0.5 * SAMPLE_RATE_HZ / BAUD[rx.row]  # in 0–4 kHz, of the signal
    share = min(max(_QUIET_OF_NOISE * noise, _QUIET_LEAST), _QUIET_MOST)
    quiet = np.float32(share * _PIECE * rx.power)
    tail = 0
    loud = np.float32(0)
    n_loud = 0
    for piece in range(_PIECES):
        total = np.float32(0)
        energy = np.float32(0)
        for n in range(piece * _PIECE, (piece + 1) * _PIECE):
            total += x[n]
            energy += x[n] * x[n]
        energy -= total * total / _PIECE
        if energy < quiet:
            tail += _PIECE
        else:
            if tail >= 2 * _PIECE:
                at = rx.n_in - BLOCK + piece * _PIECE
                _distrust(rx, at - tail, at)
            _note_gap(rx, piece, tail)
            tail = 0
            loud += energy
            n_loud += _PIECE
    moving = 0
    for n in range(max(BLOCK - tail, 1), BLOCK):
        moving += x[n] != x[n - 1]
    rx.moving = rx.moving + moving if tail == BLOCK else moving
    if n_loud == BLOCK:
        rx.power += np.float32(_POWER_WEIGHT) * (loud / n_loud - rx.power)
    return tail


@kernel
def _is_gone(rx: Record, quiet: int) -> bool:
    """Whether the last ``quiet`` samples are too many for a gap in the signal."""
    return quiet >= (_GONE_STILL if rx.moving <= _STILL else _GONE)


@kernel
def _watch_training(rx: Record, x: NDArray[np.float32], lost: bool) -> bool:
    """Note which samples of a training are no good for the fit; False when it has broken off."""
    if lost:
        return True
    if _quiet_tail(rx, x) < BLOCK:
        rx.quiet = 0
        return True
    _distrust(rx, rx.n_in - BLOCK, rx.n_in)
    rx.quiet += BLOCK
    return not _is_gone(rx, rx.quiet)


@kernel
def _measure(rx: Record) -> None:
    baud = BAUD[rx.row]
    rx.snr_db = -10.0 * np.log10(max(rx.mse, np.float32(1e-6)))
    rx.evm = np.sqrt(max(rx.mse, np.float32(0)))
    rx.carrier_offset_hz = rx.turn * baud / (2 * np.pi)
    rx.clock_offset_ppm = (
        SAMPLE_RATE_HZ / (rx.step * 2.0 * baud) - 1.0
    ) * 1e6  # positive: the far clock is fast
    rx.level_dbm0 = 10.0 * np.log10(max(rx.power, np.float32(1e-3)) / 32768.0**2) + 6.15


@kernel
def _put_out_until(rx: Record, until: float, out: NDArray[np.uint8], n_out: int) -> int:
    """Decide everything before instant ``until``, whatever it is; as :func:`track`."""
    n_out = track(rx, until, out, n_out)
    if rx.n_held > 0:
        decide_again(rx)
        n_out = track(rx, until, out, n_out)
    return put_out_all(rx, out, n_out)


@kernel
def _lose_carrier(rx: Record, at: int, out: NDArray[np.uint8], n_out: int) -> int:
    """The carrier went at sample ``at``: give out what came before, and search again."""
    training = rx.state == TRAINING
    n_out = _put_out_until(rx, float(at), out, n_out)
    if training:
        _fail(rx)
        return 0
    if rx.n_bits > 0 and n_out < len(out):
        out[n_out] = rx.byte
        n_out += 1
    rx.events |= EVENT_CARRIER_LOST
    _search(rx)
    return n_out


@kernel
def _receive(rx: Record, x: NDArray[np.float32], lost: bool, out: NDArray[np.uint8]) -> int:
    """One block of training or data: watch the carrier, and track as far as is safe.

    A quiet line is the end of the carrier, or packets lost on the way and filled with silence. Turn-off ones
    before it say the former at once; otherwise it must last longer than one packet, and longer than three
    when it is digital silence.
    """
    if lost:
        rx.n_lost_samples += BLOCK
        note_interruption(rx.interruptions, LOST, rx.n_in - BLOCK, BLOCK)
        rx.lost_blocks += 1
        if rx.lost_blocks > _LOST_BLOCKS:
            return _lose_carrier(rx, rx.n_in - rx.lost_blocks * BLOCK - rx.quiet, out, 0)
        return 0
    tail = _quiet_tail(rx, x)
    waited = rx.lost_blocks * BLOCK + rx.quiet
    quiet = tail + waited if tail == BLOCK else tail
    gone_at = rx.n_in - quiet
    if quiet > 0:
        _distrust(rx, gone_at - _PIECE, rx.n_in)
    if quiet >= _ENDED:
        n_out = _put_out_until(rx, float(gone_at - _EDGE), out, 0)
    else:
        n_out = track(rx, float(gone_at - (_EDGE if quiet > 0 else 0)), out, 0)
    if _is_gone(rx, quiet) or (quiet >= _ENDED and rx.n_ones >= _TURN_OFF_ONES):
        return _lose_carrier(rx, gone_at, out, n_out)
    if tail < BLOCK:
        rx.lost_blocks = 0
        rx.quiet = tail
    else:
        rx.quiet += tail
    return n_out


@kernel
def qam_rx_block(rx: Record, x: NDArray[np.float32], lost: bool, out: NDArray[np.uint8]) -> int:
    """Receive 160 samples (int16 units); returns how many bytes were put into ``out``, first bit lowest.

    ``lost``: the block is a stand-in for audio that never arrived. It yields as many bits as it lasts.
    ``out`` must hold 64 bytes or more; what does not fit comes with the next block. ``rx.events`` tells what
    happened in this block; EVENT_CARRIER_LOST comes after the last of the data.
    """
    rx.events = 0
    if rx.state == OFF:
        return 0
    _store(rx, x)
    if rx.state < COLLECT:
        if lost:
            _distrust(rx, rx.n_in - BLOCK, rx.n_in)
        rx.mse = 0.0
        search_block(rx, x)
    elif lost:
        _distrust(rx, rx.n_in - BLOCK, rx.n_in)
    if rx.state == COLLECT:
        if not _watch_training(rx, x, lost):
            _fail(rx)
            return 0
        if rx.n_in < (fit_short_instant(rx) if IS_SHORT[rx.row] else fit_instant(rx)):
            return 0
        if IS_SHORT[rx.row]:
            fit_short(rx)
        else:
            fit(rx)
        if rx.mse > _TRAINED_MSE:
            _fail(rx)
            return 0
        rx.quiet = 0
    if rx.state < TRAINING:
        return 0
    n_out = _receive(rx, x, lost, out)
    if rx.state == DATA and rx.n_symbols > 0:  # the known sequence has ended in this block
        rx.n_symbols = 0
        if rx.mse > _TRAINED_MSE:
            _fail(rx)
            return 0
        find_jitter(rx)
        if TRELLIS[rx.row] and not IS_SHORT[rx.row]:  # only V.17 has short trainings to remember it for
            remember(rx)
        rx.n_trained += 1
        rx.events |= EVENT_TRAINED
        n_out = track(rx, float(rx.n_in - rx.quiet), out, n_out)
    if rx.state == DATA:
        rx.hopeless = rx.hopeless + 1 if rx.nonsense > 0 else 0
        if rx.nonsense >= RELOCK_SYMBOLS and rx.quiet == 0 and not lost:
            n_out = put_out_all(rx, out, n_out)
            slipped_at = int(rx.t_z - (2 * rx.nonsense + EQ_AHEAD) * rx.step)
            if relock(rx):
                note_interruption(rx.interruptions, SLIP, slipped_at, 0)
                rx.nonsense = 0
                rx.n_relocked += 1
                if rx.n_held > 0:
                    decide_again(rx)
                n_out = track(rx, float(rx.n_in), out, n_out)
        if rx.hopeless > _HOPELESS_BLOCKS:
            rx.events |= EVENT_CARRIER_LOST
            _search(rx)
    if rx.state >= TRAINING:
        _measure(rx)
    return n_out
