"""A clock that is 200 ppm off for half an hour: no bit is wrong, and the loops rest where they should.

In that time the far clock gains or loses 2880 samples. The audio goes through transmitter, line simulator and
receiver a little at a time; none of it is kept. Each case takes ten seconds, so two of four are in the suite;
``python -m tests.dsp.test_clock_half_hour`` runs all four and prints the figures of docs/dsp-figures.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.kernel import argument, records
from dsp.line_model import ClockOffset, Line, Noise
from dsp.qam_rx import EVENT_CARRIER_LOST, EVENT_FAILED, EVENT_TRAINED, QAM_RX, qam_rx_block, qam_rx_start
from dsp.qam_tx import QAM_TX, TX_RING, qam_tx_block, qam_tx_start, qam_tx_write
from tests.dsp.qam_bench import CODES, GOAL_DB

MINUTES = 30
#: Samples sent at a time: the line simulator is quickest so.
_PIECE = 800


@dataclass
class HalfHour:
    """What the receiver made of it. The measures are of the data, once a second."""

    bits: int
    bit_errors: int
    trained: int
    lost_or_failed: int
    clock_ppm: NDArray[np.float64]
    snr_db: NDArray[np.float64]


def transmission(code: int, data: NDArray[np.uint8]) -> Iterator[NDArray[np.int16]]:
    """A whole transmission, ``_PIECE`` samples at a time, and a little silence after it."""
    state = argument(records(QAM_TX, 1))
    tx = state[0]
    assert qam_tx_start(tx, code)
    block = np.zeros(160, np.float32)
    at = 0
    while not state["done"][0]:
        samples = []
        for _ in range(_PIECE // 160):
            waiting = data[at : at + TX_RING]
            at += qam_tx_write(tx, waiting, len(waiting))
            state["end"][0] = at == len(data)
            qam_tx_block(tx, block)
            samples.append(np.rint(block).astype(np.int16))
        yield np.concatenate(samples)
    yield np.zeros(_PIECE, np.int16)


def half_hour(code: int, ppm: float, minutes: float = MINUTES) -> HalfHour:
    """Send data for ``minutes`` at 3 dB above the goal's SNR, by a clock that is ``ppm`` fast."""
    data = np.random.default_rng(code).integers(0, 256, int(CODES[code] * minutes * 60 / 8), np.uint8)
    line = Line([ClockOffset(ppm), Noise(-14 - GOAL_DB[code] - 3)], seed=code)
    state = argument(records(QAM_RX, 1))
    rx = state[0]
    assert qam_rx_start(rx, code)
    events, clock_ppm, snr_db = (state[name] for name in ("events", "clock_offset_ppm", "snr_db"))
    received = np.zeros(len(data) + 1000, np.uint8)
    at = trained = lost_or_failed = n_blocks = 0
    waiting = np.zeros(0, np.float32)
    measured = []
    for piece in transmission(code, data):
        waiting = np.concatenate([waiting, line.process(piece).astype(np.float32)])
        blocks, waiting = np.split(waiting, [len(waiting) // 160 * 160])
        for block in blocks.reshape(-1, 160):
            at += qam_rx_block(rx, block, False, received[at : at + 64])
            n_blocks += 1
            trained += bool(events[0] & EVENT_TRAINED)
            if at < len(data):  # turn-off ones may follow
                lost_or_failed += bool(events[0] & (EVENT_CARRIER_LOST | EVENT_FAILED))
                if n_blocks % 50 == 0 and at > 0:
                    measured.append((clock_ppm[0], snr_db[0]))
    bit_errors = int(np.unpackbits(data ^ received[: len(data)]).sum()) + 8 * max(len(data) - at, 0)
    clock, snr = np.array(measured).T
    return HalfHour(8 * len(data), bit_errors, trained, lost_or_failed, clock, snr)


@pytest.mark.slow
@pytest.mark.parametrize(("code", "ppm"), [(145, 200), (48, -200)])  # V.17 14400, V.27ter 4800
def test_half_an_hour(code: int, ppm: float) -> None:
    heard = half_hour(code, ppm)
    assert heard.bits == CODES[code] * 60 * MINUTES
    assert (heard.trained, heard.lost_or_failed, heard.bit_errors) == (1, 0, 0)
    assert len(heard.clock_ppm) >= 60 * MINUTES - 1
    assert heard.clock_ppm.mean() == pytest.approx(ppm, abs=0.5)
    assert np.max(np.abs(heard.clock_ppm[10:] - ppm)) < 6
    assert np.min(heard.snr_db) > np.median(heard.snr_db) - 1.5


if __name__ == "__main__":
    for _code in (145, 48):
        for _ppm in (200, -200):
            _start = time.process_time()
            _heard = half_hour(_code, _ppm)
            _took = time.process_time() - _start
            _clock, _snr = _heard.clock_ppm, _heard.snr_db
            print(
                f"code {_code}, {_ppm:+d} ppm: {_heard.bit_errors} of {_heard.bits} bits wrong;"
                f" clock {_clock.min():.1f} to {_clock.max():.1f} ppm, mean {_clock.mean():.2f};"
                f" SNR {_snr.min():.2f} to {_snr.max():.2f} dB, mean {_snr.mean():.2f}; {_took:.1f} s"
            )
