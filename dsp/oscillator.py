"""Sine generation for kernels: a 32-bit phase and a table (spurs at -72 dBc, far below G.711's noise)."""

from __future__ import annotations

import math

import numpy as np

from dsp.level import SAMPLE_RATE, dbm0_to_rms

_TABLE_BITS = 12
SINE = np.sin(2 * np.pi * np.arange(1 << _TABLE_BITS) / (1 << _TABLE_BITS)).astype(np.float32)
#: Index into SINE: ``(phase >> SINE_SHIFT) & SINE_MASK``; a phase of 2^32 is one turn.
SINE_SHIFT = 32 - _TABLE_BITS
SINE_MASK = (1 << _TABLE_BITS) - 1
PHASE_MASK = (1 << 32) - 1


def phase_step(frequency_hz: float) -> int:
    """Phase increment a sample, 2^32 a turn."""
    return round(frequency_hz / SAMPLE_RATE * (1 << 32))


def sine_amplitude(level_dbm0: float) -> float:
    """Peak on the int16 scale of a sine of this level."""
    return dbm0_to_rms(level_dbm0) * math.sqrt(2.0)
