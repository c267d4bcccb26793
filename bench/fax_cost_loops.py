"""The loops that a line's cost is measured with: every kernel over every line, block by block, compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.dtmf import dtmf_rx_block
from dsp.hdlc import hdlc_tx_put
from dsp.kernel import Record, kernel
from dsp.qam_rx import qam_rx_block
from dsp.qam_tx import TX_RING, qam_tx_block, qam_tx_write
from dsp.tones import tone_rx_block
from dsp.v21 import v21_rx_block, v21_tx_block

BLOCK = 160


@kernel
def _to_float(audio: NDArray[np.int16], k: int, x: NDArray[np.float32]) -> None:
    for n in range(BLOCK):
        x[n] = np.float32(audio[k * BLOCK + n])


@kernel
def fast_receive(state: Record, audio: NDArray[np.int16], n_blocks: int) -> int:
    x = np.empty(BLOCK, np.float32)
    out = np.empty(256, np.uint8)
    n = 0
    for k in range(n_blocks):
        for i in range(state.shape[0]):
            _to_float(audio, k, x)
            n += qam_rx_block(state[i], x, False, out)
    return n


@kernel
def v21_receive(state: Record, events: Record, audio: NDArray[np.int16], n_blocks: int) -> int:
    x = np.empty(BLOCK, np.float32)
    n = 0
    for k in range(n_blocks):
        for i in range(state.shape[0]):
            _to_float(audio, k, x)
            events[0].n = 0
            events[0].n_data = 0
            v21_rx_block(state[i], x, 0.0, events[0])
            n += events[0].n
    return n


@kernel
def tones_receive(state: Record, events: Record, audio: NDArray[np.int16], n_blocks: int) -> int:
    x = np.empty(BLOCK, np.float32)
    n = 0
    for k in range(n_blocks):
        for i in range(state.shape[0]):
            _to_float(audio, k, x)
            power = np.float32(0)
            for m in range(BLOCK):
                power += x[m] * x[m]
            events[0].n = 0
            tone_rx_block(state[i], x, power / np.float32(BLOCK), events[0])
            n += events[0].n
    return n


@kernel
def dtmf_receive(state: Record, events: Record, audio: NDArray[np.int16], n_blocks: int) -> int:
    x = np.empty(BLOCK, np.float32)
    n = 0
    for k in range(n_blocks):
        for i in range(state.shape[0]):
            _to_float(audio, k, x)
            events[0].n = 0
            events[0].n_data = 0
            dtmf_rx_block(state[i], x, 0.0, events[0])
            n += events[0].n
    return n


@kernel
def fast_send(state: Record, data: NDArray[np.uint8], n_blocks: int) -> np.float32:
    out = np.empty(BLOCK, np.float32)
    total = np.float32(0)
    for _ in range(n_blocks):
        for i in range(state.shape[0]):
            if state[i].ring_count < 64:
                qam_tx_write(state[i], data, TX_RING // 2)
            qam_tx_block(state[i], out)
            total += out[0]
    return total


@kernel
def v21_send(state: Record, frame: NDArray[np.uint8], n_blocks: int) -> np.float32:
    out = np.empty(BLOCK, np.float32)
    total = np.float32(0)
    for _ in range(n_blocks):
        for i in range(state.shape[0]):
            if state[i].hdlc.count == 0:
                hdlc_tx_put(state[i].hdlc, frame, len(frame))
            v21_tx_block(state[i], out)
            total += out[0]
    return total
