"""Signal level: the dBm0 scale, the DC-free power meter and the silence counter.

0 dBm0 is an rms of about 16140 on the int16 scale: dBm0 = 20·log10(rms/32768) + 6.15, which makes a
full-scale sine +3.14 dBm0 (the A-law figure of G.711).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dsp.kernel import Record, kernel

SAMPLE_RATE = 8000
BLOCK = 160  # samples in 20 ms
_DBM0_OF_FULL_SCALE_RMS = 6.15
#: Below this T.31 +FRS calls it silence.
SILENCE_DBM0 = -36.0
#: What `level_dbm0` says of digital silence.
FLOOR_DBM0 = -99.0


def dbm0_to_rms(level_dbm0: float) -> float:
    """Rms on the int16 scale of a signal of ``level_dbm0``."""
    return 32768.0 * math.pow(10.0, (level_dbm0 - _DBM0_OF_FULL_SCALE_RMS) / 20.0)


def rms_to_dbm0(rms: float) -> float:
    """Level of a signal with this rms on the int16 scale, not below ``FLOOR_DBM0``."""
    if not rms > 0.0:
        return FLOOR_DBM0
    return max(FLOOR_DBM0, 20.0 * math.log10(rms / 32768.0) + _DBM0_OF_FULL_SCALE_RMS)


def measure_dbm0(samples: NDArray[np.generic]) -> float:
    """Level of a whole array of samples (int16 scale, any shape), DC excluded."""
    return rms_to_dbm0(float(np.std(np.asarray(samples, np.float64)))) if samples.size else FLOOR_DBM0


_SILENCE_POWER = dbm0_to_rms(SILENCE_DBM0) ** 2
_WINDOW = 40  # 5 ms: short enough for the pause between two signals, long enough for a 300 Hz cycle
_N_WINDOWS = BLOCK // _WINDOW

LEVEL = np.dtype(
    [
        ("power", "f4"),  # mean square of the last block without DC
        ("dc", "f4"),  # slow estimate, for those who want samples without it
        ("silence_samples", "i8"),
    ],
    align=True,
)


@kernel
def level_block(rec: Record, x: NDArray[np.float32], lost: bool) -> None:
    """Meter one block of 160 samples. A lost one leaves all as it was: silence goes on, signal too."""
    if lost:
        if rec.silence_samples > 0:
            rec.silence_samples += BLOCK
        return
    silence = rec.silence_samples
    total = np.float32(0.0)
    mean_of_block = np.float32(0.0)
    for w in range(_N_WINDOWS):
        s = np.float32(0.0)
        ss = np.float32(0.0)
        for k in range(w * _WINDOW, (w + 1) * _WINDOW):
            s += x[k]
            ss += x[k] * x[k]
        mean = s / np.float32(_WINDOW)
        power = ss / np.float32(_WINDOW) - mean * mean
        if power < np.float32(_SILENCE_POWER):
            silence += _WINDOW
        else:
            silence = 0
        total += power
        mean_of_block += mean
    rec.silence_samples = silence
    rec.power = max(total / np.float32(_N_WINDOWS), np.float32(0.0))
    rec.dc += (mean_of_block / np.float32(_N_WINDOWS) - rec.dc) * np.float32(0.125)
