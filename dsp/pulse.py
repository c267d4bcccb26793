"""Root-raised-cosine pulses, cut into phases for interpolation at any instant.

Both ends of a fast modem shape with the square root of a raised cosine, so that symbols do not disturb
each other after both. The transmitter needs a handful of exact phases (8000 Hz and every symbol rate have
a small common multiple); the receiver has :data:`RX_PHASES` between two samples.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 8000
#: Carriers are multiples of 100 Hz: their phase at a sample has one of this many values.
CARRIER_STEPS = 80
#: Symbols under the transmitter's pulse; its centre is the middle one.
TX_SYMBOLS = 13
#: Instants between two samples at which the receiver's filter can be evaluated.
RX_PHASES = 32
#: Samples under the receive filter at any rate (a multiple of 16, for vector instructions).
RX_TAPS = 48


def root_raised_cosine(t: float, rolloff: float) -> float:
    """The pulse at ``t`` symbols from its centre, of unit energy over a symbol-spaced grid."""
    if abs(t) < 1e-9:
        return 1 - rolloff + 4 * rolloff / math.pi
    if abs(abs(4 * rolloff * t) - 1) < 1e-9:
        angle = math.pi / (4 * rolloff)
        return (
            rolloff
            / math.sqrt(2)
            * ((1 + 2 / math.pi) * math.sin(angle) + (1 - 2 / math.pi) * math.cos(angle))
        )
    top = math.sin(math.pi * t * (1 - rolloff)) + 4 * rolloff * t * math.cos(math.pi * t * (1 + rolloff))
    return top / (math.pi * t * (1 - (4 * rolloff * t) ** 2))


def tx_phases(baud: int, rolloff: float) -> NDArray[np.float32]:
    """``[n_phases, TX_SYMBOLS]``: weight of the last symbols (newest first) in each sample of a cycle.

    Sample ``n`` lies ``n * baud / 8000`` symbols after the first; row ``r`` is the fraction
    ``r / n_phases`` of a symbol after the newest one was pushed.
    """
    n_phases = SAMPLE_RATE_HZ // math.gcd(SAMPLE_RATE_HZ, baud)
    centre = TX_SYMBOLS // 2
    rows = [
        [root_raised_cosine(row / n_phases + k - centre, rolloff) for k in range(TX_SYMBOLS)]
        for row in range(n_phases)
    ]
    return np.array(rows, np.float32)


def rx_half_taps(baud: int) -> int:
    """Samples before the centre of the receive filter: six symbols at 2400 Bd, fewer at the others."""
    return 24 if baud == 1200 else 20


def rx_phases(baud: int, carrier_hz: int, rolloff: float) -> NDArray[np.float32]:
    """``[2, RX_PHASES, RX_TAPS]``: real and imaginary part of the matched filter at ``carrier_hz``.

    Row ``p``, applied to the samples ``n - half … n + half - 1``, gives the filter's output ``p / RX_PHASES``
    of a sample after sample ``n``, mixed down by the carrier relative to sample ``n``.
    """
    half = rx_half_taps(baud)
    symbols_per_sample = baud / SAMPLE_RATE_HZ
    bank = np.zeros((2, RX_PHASES, RX_TAPS), np.float32)
    for p in range(RX_PHASES):
        for m in range(2 * half):
            offset = m - half
            weight = (
                root_raised_cosine((offset - p / RX_PHASES) * symbols_per_sample, rolloff)
                * symbols_per_sample
            )
            angle = -2 * math.pi * carrier_hz * offset / SAMPLE_RATE_HZ
            bank[0, p, m] = weight * math.cos(angle)
            bank[1, p, m] = weight * math.sin(angle)
    return bank
