"""The test tone of 1004 Hz at 0 dBm0 in the three formats.

1004 Hz has 251 whole periods in 2000 samples, so the tone repeats exactly after 4000 samples, 25 frames of
20 ms.
"""

from __future__ import annotations

import math
from functools import cache
from struct import pack

from iax.formats import FRAME_SAMPLES, SAMPLE_RATE, Format

FREQUENCY_HZ = 1004
N_FRAMES = 25
PEAK_0_DBM0 = 4 * 8159 * 10 ** (-3.17 / 20)
"""Peak of a 0 dBm0 sine, 16-bit samples: µ-law overloads at 8159 of 14 bits, +3.17 dBm0 (G.711 §4)."""


@cache
def frames(format_: Format) -> tuple[bytes, ...]:
    """Return the tone as `N_FRAMES` frames of 160 samples, to be repeated."""
    samples = [
        round(PEAK_0_DBM0 * math.sin(2 * math.pi * FREQUENCY_HZ * n / SAMPLE_RATE))
        for n in range(N_FRAMES * FRAME_SAMPLES)
    ]
    if format_ is Format.SLINEAR:
        audio = pack(f"!{len(samples)}h", *samples)
    else:
        encode = _ulaw if format_ is Format.ULAW else _alaw
        audio = bytes(encode(sample) for sample in samples)
    size = FRAME_SAMPLES * format_.sample_bytes
    return tuple(audio[at : at + size] for at in range(0, len(audio), size))


def _ulaw(sample: int) -> int:
    """Return the µ-law code of a 16-bit sample (G.711 table 2)."""
    magnitude = min(abs(sample), 32635) + 132
    segment = magnitude.bit_length() - 8
    code = segment << 4 | magnitude >> segment + 3 & 0x0F
    return ~(code | (0x80 if sample < 0 else 0)) & 0xFF


def _alaw(sample: int) -> int:
    """Return the A-law code of a 16-bit sample (G.711 table 1)."""
    magnitude = abs(sample) if sample >= 0 else abs(sample) - 1
    magnitude = min(magnitude, 32767) >> 3
    segment = max(0, magnitude.bit_length() - 5)
    code = segment << 4 | magnitude >> max(1, segment) & 0x0F
    return (code | (0x80 if sample >= 0 else 0)) ^ 0x55
