"""Connect tones of T.30: CNG from the caller, CED from the answerer; sending and hearing them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.events import CED_DETECTED, CNG_DETECTED, push
from dsp.kernel import Record, kernel
from dsp.level import BLOCK, SAMPLE_RATE, dbm0_to_rms
from dsp.oscillator import PHASE_MASK, SINE, SINE_MASK, SINE_SHIFT, phase_step, sine_amplitude

CNG_HZ = 1100.0
CED_HZ = 2100.0
LEVEL_DBM0 = -11.0

# T.30 §4.2: on and off, each ±15 %.
_CNG_ON = SAMPLE_RATE // 2
_CNG_PERIOD = _CNG_ON + 3 * SAMPLE_RATE
# T.30 §4.1: tone 2.6-4.0 s, then 75 ± 20 ms of silence; the silence before is the modem's to choose.
_CED_BEGIN = SAMPLE_RATE // 5
_CED_END = _CED_BEGIN + 3 * SAMPLE_RATE
_CED_DONE = _CED_END + SAMPLE_RATE * 75 // 1000

TONE_TX = np.dtype([("phase", "i8"), ("time", "i8"), ("done", "u1")], align=True)

_CNG_STEP = phase_step(CNG_HZ)
_CED_STEP = phase_step(CED_HZ)
_AMPLITUDE = sine_amplitude(LEVEL_DBM0)


@kernel
def tone_tx_start(rec: Record) -> None:
    """Begin the cadence anew."""
    rec.phase = 0
    rec.time = 0
    rec.done = 0


@kernel
def _tone(rec: Record, out: NDArray[np.float32], step: int, cadence: tuple[int, int, int]) -> None:
    """One block of a tone that is on from ``cadence[0]`` to ``[1]`` of each ``[2]`` samples."""
    begin, end, period = cadence
    phase = rec.phase
    time = rec.time
    for k in range(BLOCK):
        if begin <= time < end:
            out[k] = np.float32(_AMPLITUDE) * SINE[(phase >> SINE_SHIFT) & SINE_MASK]
            phase = (phase + step) & PHASE_MASK
        else:
            out[k] = np.float32(0.0)
        time += 1
        if time == period:
            time = 0
    rec.phase = phase
    rec.time = time


@kernel
def cng_tx_block(rec: Record, out: NDArray[np.float32]) -> None:
    """Set ``out`` to the next 160 samples of CNG: 0.5 s on, 3 s off, for ever."""
    _tone(rec, out, _CNG_STEP, (0, _CNG_ON, _CNG_PERIOD))


@kernel
def ced_tx_block(rec: Record, out: NDArray[np.float32]) -> None:
    """Set ``out`` to the next 160 samples of CED; ``done`` after the silence that follows the tone."""
    _tone(rec, out, _CED_STEP, (_CED_BEGIN, _CED_END, 1 << 60))
    if rec.time >= _CED_DONE:
        rec.done = 1


# --- hearing them ----------------------------------------------------------------------------------

_WINDOW = 40  # 5 ms: a tone 38 Hz away still gives 0.89 of its power, and 100 Hz is told from -100 Hz
_MIN_POWER = dbm0_to_rms(-43.0) ** 2
_MIN_SHARE = 0.78  # of all power; speech and modems are far below
_CNG_TOLERANCE_HZ = 40.0
_CED_TOLERANCE_HZ = 20.0
_CNG_BLOCKS = 20  # 400 ms of the 500
_CED_BLOCKS = 25  # 500 ms
_PENALTY = 4  # for a block that is not the tone; small enough for the phase reversals of V.8 and V.25

TONE_RX = np.dtype(
    [
        ("last", "c8", (2,)),  # correlation over the last 5 ms, CNG and CED
        ("n_blocks", "i4", (2,)),  # how much of the tone has been heard
        ("reported", "u1", (2,)),
    ],
    align=True,
)

_T = np.arange(BLOCK) / SAMPLE_RATE
_CNG_REFERENCE = np.exp(-2j * np.pi * CNG_HZ * _T).astype(np.complex64)  # a block is 22 periods
_CED_REFERENCE = np.exp(-2j * np.pi * CED_HZ * _T).astype(np.complex64)  # 42 periods


@kernel
def _is_tone(
    rec: Record, which: int, x: NDArray[np.float32], reference: NDArray[np.complex64], power: float
) -> float:
    """How far off the tone is, in Hz, or 1000 if the block is something else."""
    last = rec.last[which]
    energy = np.float32(0.0)
    turn = np.complex64(0.0)
    for w in range(BLOCK // _WINDOW):
        re = np.float32(0.0)
        im = np.float32(0.0)
        for k in range(w * _WINDOW, (w + 1) * _WINDOW):
            re += x[k] * reference[k].real
            im += x[k] * reference[k].imag
        now = np.complex64(complex(re, im))
        turn += now * np.conj(last)
        energy += re * re + im * im
        last = now
    rec.last[which] = last
    share = energy * np.float32(2.0) / (np.float32(_WINDOW * BLOCK) * np.float32(power))
    if share < _MIN_SHARE:
        return 1000.0
    return float(np.arctan2(turn.imag, turn.real)) * (SAMPLE_RATE / _WINDOW / (2 * np.pi))


@kernel
def tone_rx_block(rec: Record, x: NDArray[np.float32], power: float, events: Record) -> None:
    """Listen to one block whose mean square, DC excluded, is ``power``."""
    loud = power > _MIN_POWER
    for which in range(2):
        off = 1000.0
        if loud:
            off = _is_tone(rec, which, x, _CED_REFERENCE if which else _CNG_REFERENCE, power)
        needed = _CED_BLOCKS if which else _CNG_BLOCKS
        if abs(off) < (_CED_TOLERANCE_HZ if which else _CNG_TOLERANCE_HZ):
            rec.n_blocks[which] = min(rec.n_blocks[which] + 1, needed)
            if rec.n_blocks[which] == needed and rec.reported[which] == 0:
                rec.reported[which] = 1
                push(events, CED_DETECTED if which else CNG_DETECTED)
        else:
            rec.n_blocks[which] = max(rec.n_blocks[which] - _PENALTY, 0)
            if rec.n_blocks[which] == 0:
                rec.reported[which] = 0
