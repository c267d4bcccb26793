"""One channel's record, what it does with 20 ms of audio, and the orders that change what that is.

A channel sends one thing (silence, a tone, digits, V.21 frames, a fast modem's data) and listens for one
modem (none, V.21, or a fast one and V.21 flags in parallel) and, if asked, for DTMF and call progress; level
and silence are metered and CNG and CED heard all the time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.call_progress import (
    PROGRESS_RX,
    PROGRESS_TX,
    progress_rx_block,
    progress_tx_block,
    progress_tx_start,
)
from dsp.dtmf import (
    DTMF_RX,
    DTMF_TX,
    QUIET_POWER,
    dtmf_rx_block,
    dtmf_rx_quiet,
    dtmf_tx_block,
    dtmf_tx_put,
    dtmf_tx_start,
)
from dsp.events import (
    DATA_RECEIVED,
    EVENTS,
    FAST_CARRIER_LOST,
    FLAGS_DETECTED,
    FRAME_SENT,
    TRAINED,
    TRAINING_FAILED,
    TRANSMIT_DONE,
    V21_CARRIER_LOST,
    push,
    push_data,
)
from dsp.fate import Fate
from dsp.hdlc import hdlc_tx_put
from dsp.kernel import Record, kernel
from dsp.level import BLOCK, LEVEL, level_block
from dsp.qam_rx import qam_rx_block, qam_rx_start, qam_rx_stop
from dsp.qam_rx_state import (
    DATA,
    EVENT_CARRIER_LOST,
    EVENT_FAILED,
    EVENT_TRAINED,
    QAM_RX,
    TRAINING,
)
from dsp.qam_tx import QAM_TX, qam_tx_block, qam_tx_start, qam_tx_write
from dsp.tones import TONE_RX, TONE_TX, ced_tx_block, cng_tx_block, tone_rx_block, tone_tx_start
from dsp.v21 import V21_RX, V21_TX, v21_rx_block, v21_rx_reset, v21_tx_block, v21_tx_start

_LOST = int(Fate.LOST)
_HELD = int(Fate.HELD)
# What a channel sends.
TX_SILENCE = 0
TX_CNG = 1
TX_CED = 2
TX_V21 = 3
TX_FAST = 4
TX_DTMF = 5
TX_PROGRESS = 6
# What it listens for.
RX_OFF = 0
RX_V21 = 1
RX_FAST = 2
# What else: bits.
LISTEN_DTMF = 1
LISTEN_PROGRESS = 2

#: A run of lost blocks longer than this is no gap in a signal: the channel then hears silence.
_MAX_LOST_RUN = 10

#: Room for the data of several blocks: the fast receiver waits after a gap to see what it was.
_MAX_OCTETS_A_BLOCK = 256

CHANNEL = np.dtype(
    [
        ("tx_mode", "u1"),
        ("rx_mode", "u1"),
        ("listening", "u1"),  # bits LISTEN_…
        ("tx_gain", "f4"),  # 1: every signal at its own standard level
        ("say_flags", "u1"),  # report flags of a carrier that was there before it was asked for
        ("measured", "u1"),  # the kind of receiver that had a carrier last
        ("lost_run", "i4"),
        ("n_lost", "i8"),
        ("n_clipped", "i8"),
        ("level", LEVEL),
        ("tone_tx", TONE_TX),
        ("tone_rx", TONE_RX),
        ("dtmf_tx", DTMF_TX),
        ("dtmf_rx", DTMF_RX),
        ("progress_tx", PROGRESS_TX),
        ("progress_rx", PROGRESS_RX),
        ("v21_tx", V21_TX),
        ("qam_tx", QAM_TX),
        ("qam_rx", QAM_RX),
        ("v21_rx", V21_RX),
        ("events", EVENTS),
    ],
    align=True,
)


@kernel
def _transmit(rec: Record, out: NDArray[np.float32]) -> None:
    """Set ``out`` to the next 160 samples, on the int16 scale."""
    if rec.tx_mode == TX_CNG:
        cng_tx_block(rec.tone_tx, out)
    elif rec.tx_mode == TX_CED:
        ced_tx_block(rec.tone_tx, out)
        if rec.tone_tx.done:
            rec.tx_mode = TX_SILENCE
            push(rec.events, TRANSMIT_DONE)
    elif rec.tx_mode == TX_V21:
        v21_tx_block(rec.v21_tx, out)
        for _ in range(rec.v21_tx.hdlc.n_sent):
            push(rec.events, FRAME_SENT)
        rec.v21_tx.hdlc.n_sent = 0
        if rec.v21_tx.done:
            rec.tx_mode = TX_SILENCE
            push(rec.events, TRANSMIT_DONE)
    elif rec.tx_mode == TX_FAST:
        qam_tx_block(rec.qam_tx, out)
        if rec.qam_tx.done:
            rec.tx_mode = TX_SILENCE
            push(rec.events, TRANSMIT_DONE)
    elif rec.tx_mode == TX_DTMF:
        dtmf_tx_block(rec.dtmf_tx, out)
        if rec.dtmf_tx.done:
            rec.tx_mode = TX_SILENCE
            push(rec.events, TRANSMIT_DONE)
    elif rec.tx_mode == TX_PROGRESS:
        progress_tx_block(rec.progress_tx, out)


@kernel
def _receive_fast(rec: Record, x: NDArray[np.float32], lost: bool) -> None:
    octets = np.empty(_MAX_OCTETS_A_BLOCK, np.uint8)
    n = qam_rx_block(rec.qam_rx, x, lost, octets)
    happened = rec.qam_rx.events
    if happened & EVENT_FAILED:
        push(rec.events, TRAINING_FAILED)
    if happened & EVENT_TRAINED:
        if rec.v21_rx.carrier:
            push(rec.events, V21_CARRIER_LOST)
        v21_rx_reset(rec.v21_rx)
        push(rec.events, TRAINED)
    if n > 0:
        push_data(rec.events, DATA_RECEIVED, octets, n)
    if happened & EVENT_CARRIER_LOST:
        push(rec.events, FAST_CARRIER_LOST)


@kernel
def _receive(rec: Record, x: NDArray[np.float32], lost: bool) -> None:
    """Take 160 samples; ``lost``: they are only a stand-in for what never arrived."""
    level_block(rec.level, x, lost)
    if not lost:
        tone_rx_block(rec.tone_rx, x, rec.level.power, rec.events)
        if rec.listening & LISTEN_DTMF:
            if rec.level.power > np.float32(QUIET_POWER):
                dtmf_rx_block(rec.dtmf_rx, x, rec.level.dc, rec.events)
            else:
                dtmf_rx_quiet(rec.dtmf_rx)
        if rec.listening & LISTEN_PROGRESS:
            progress_rx_block(rec.progress_rx, x, rec.level.dc, rec.level.power, rec.events)
    if rec.rx_mode == RX_OFF:
        return
    if rec.say_flags:
        rec.say_flags = 0
        if rec.v21_rx.carrier:
            push(rec.events, FLAGS_DETECTED)
    if rec.rx_mode == RX_FAST:
        _receive_fast(rec, x, lost)
        if rec.qam_rx.state >= TRAINING:
            rec.measured = RX_FAST
        if rec.qam_rx.state == DATA:  # its data must not be mistaken for flags
            return
    if not lost:
        v21_rx_block(rec.v21_rx, x, rec.level.dc, rec.events)
        if rec.v21_rx.carrier:
            rec.measured = RX_V21


@kernel
def channel_block(
    rec: Record, rx: NDArray[np.int16], fate: int, tx: NDArray[np.int16], work: NDArray[np.float32]
) -> None:
    """20 ms of one channel: ``rx`` in, ``tx`` out, events into ``rec.events``; ``work`` (2, 160): scratch."""
    x = work[0]
    out = work[1]
    rec.events.n = 0
    rec.events.n_data = 0
    if fate != _HELD:
        lost = fate == _LOST
        if lost:
            rec.n_lost += 1
            rec.lost_run += 1
        else:
            rec.lost_run = 0
        silent = rec.lost_run > _MAX_LOST_RUN
        for k in range(BLOCK):
            x[k] = np.float32(0.0) if silent else np.float32(rx[k])
        _receive(rec, x, lost and not silent)

    if rec.tx_mode == TX_SILENCE:
        for k in range(BLOCK):
            tx[k] = 0
        return
    _transmit(rec, out)
    gain = rec.tx_gain
    for k in range(BLOCK):
        sample = np.rint(out[k] * gain)
        if sample > np.float32(32767.0):
            sample = np.float32(32767.0)
            rec.n_clipped += 1
        elif sample < np.float32(-32768.0):
            sample = np.float32(-32768.0)
            rec.n_clipped += 1
        tx[k] = np.int16(sample)


# --- orders ----------------------------------------------------------------------------------------
# One kernel for all of them, so that there is only one to load before the first call.

ORDER_SEND_SILENCE = 0
ORDER_SEND_CNG = 1
ORDER_SEND_CED = 2
ORDER_SEND_FLAGS = 3
ORDER_SEND_FRAME = 4
ORDER_SEND_FAST = 5
ORDER_WRITE = 6
ORDER_END = 7
ORDER_RECEIVE_OFF = 8
ORDER_RECEIVE_V21 = 9
ORDER_RECEIVE_FAST = 10
ORDER_SEND_DTMF = 11
ORDER_SEND_PROGRESS = 12
ORDER_LISTEN = 13


@kernel
def order(state: Record, i: int, what: int, n: int, octets: NDArray[np.uint8]) -> int:
    """Change what channel ``i`` does; ``n`` is a modulation code, or says how many ``octets`` to take.

    Returns how many octets were taken, or for a modulation code whether there is such a modulation; if not,
    nothing changes.
    """
    rec = state[i]
    if what == ORDER_SEND_SILENCE:
        rec.tx_mode = TX_SILENCE
    elif what == ORDER_SEND_CNG:
        tone_tx_start(rec.tone_tx)
        rec.tx_mode = TX_CNG
    elif what == ORDER_SEND_CED:
        tone_tx_start(rec.tone_tx)
        rec.tx_mode = TX_CED
    elif what == ORDER_SEND_FLAGS:
        if rec.tx_mode == TX_V21:
            rec.v21_tx.hdlc.end = 0
        else:
            v21_tx_start(rec.v21_tx)
            rec.tx_mode = TX_V21
    elif what == ORDER_SEND_FRAME:
        return n if hdlc_tx_put(rec.v21_tx.hdlc, octets, n) else 0
    elif what == ORDER_SEND_FAST:
        if not qam_tx_start(rec.qam_tx, n):
            return 0
        rec.tx_mode = TX_FAST
        return 1
    elif what == ORDER_WRITE:
        return qam_tx_write(rec.qam_tx, octets, n) if rec.tx_mode == TX_FAST else 0
    elif what == ORDER_SEND_DTMF:
        if rec.tx_mode != TX_DTMF:
            dtmf_tx_start(rec.dtmf_tx)
        if not dtmf_tx_put(rec.dtmf_tx, octets, n):
            return 0
        rec.tx_mode = TX_DTMF
    elif what == ORDER_SEND_PROGRESS:
        progress_tx_start(rec.progress_tx, n)
        rec.tx_mode = TX_PROGRESS
    elif what == ORDER_LISTEN:
        rec.listening = n
    elif what == ORDER_END:
        rec.v21_tx.hdlc.end = 1
        rec.qam_tx.end = 1
    elif what == ORDER_RECEIVE_OFF:
        rec.rx_mode = RX_OFF
        qam_rx_stop(rec.qam_rx)
    else:
        mode = RX_V21
        if what == ORDER_RECEIVE_FAST:
            if not qam_rx_start(rec.qam_rx, n):
                return 0
            mode = RX_FAST
        else:
            qam_rx_stop(rec.qam_rx)
        if rec.rx_mode == RX_OFF:
            v21_rx_reset(rec.v21_rx)
        rec.say_flags = rec.v21_rx.carrier
        rec.rx_mode = mode
    return 1
