"""Connect tones of T.30: CNG from the caller, CED from the answerer; sending and hearing them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.kernel import Record, kernel
from dsp.level import BLOCK, SAMPLE_RATE
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
