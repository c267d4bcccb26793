"""The fast modulations as constant arrays, one row each, for the transmitter's and receiver's kernels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dsp.kernel import kernel
from dsp.level import BLOCK
from dsp.modulation import Modulation
from dsp.pulse import CARRIER_STEPS, SAMPLE_RATE_HZ, TX_SYMBOLS, rx_half_taps, rx_phases, tx_phases
from dsp.v17 import V17
from dsp.v27ter import V27TER_2400, V27TER_4800
from dsp.v29 import V29_4800, V29_7200, V29_9600

#: Row order of every table below.
MODULATIONS: tuple[Modulation, ...] = (V27TER_2400, V27TER_4800, V29_4800, V29_7200, V29_9600, *V17)


def _ints(values: list[int]) -> NDArray[np.int32]:
    return np.array(values, np.int32)


CODE = _ints([m.code for m in MODULATIONS])
BAUD = _ints([m.baud for m in MODULATIONS])
BITS_PER_SYMBOL = _ints([m.bits_per_symbol for m in MODULATIONS])
SCRAMBLER = _ints([m.scrambler for m in MODULATIONS])
#: Carrier phase advance a sample, in 1/80 of a turn.
CARRIER_STEP = _ints([m.carrier_hz * CARRIER_STEPS // SAMPLE_RATE_HZ for m in MODULATIONS])
_TURN = np.exp(2j * np.pi * np.arange(CARRIER_STEPS) / CARRIER_STEPS)
COSINE = _TURN.real.astype(np.float32)
SINE = _TURN.imag.astype(np.float32)
#: Carriers over a block, which is a whole number of their cycles.
_STEPS = CARRIER_STEP[:, None] * np.arange(BLOCK) % CARRIER_STEPS
CARRIER_COSINE = COSINE[_STEPS]
CARRIER_SINE = SINE[_STEPS]
assert BLOCK % CARRIER_STEPS == 0

# --- points and bits

#: Labels of a constellation, and further points that only a training uses.
_MOST_LABELS = 128
_MOST_POINTS = 132
#: Points of unit mean energy by label; labels that a modulation lacks are 0.
POINT = np.zeros((len(MODULATIONS), _MOST_POINTS), np.complex64)
#: V.17: the label comes from the trellis coder. The others: from the last symbol's, by a change.
TRELLIS = np.array([m.trellis for m in MODULATIONS])
#: The labels that exist where there is no trellis, and how many.
LABELS = np.zeros((len(MODULATIONS), 16), np.int32)
N_LABELS = _ints([0 if m.trellis else len(m.points) for m in MODULATIONS])
#: Phase change (45° steps, plus 8 for the outer amplitude) by value, and back.
CHANGE = np.zeros((len(MODULATIONS), 16), np.int32)
VALUE = np.zeros((len(MODULATIONS), 16), np.int32)
for _row, _m in enumerate(MODULATIONS):
    for _label, _point in _m.points.items():
        POINT[_row, _label] = _point * _m.unit
    if _m.trellis:
        continue
    LABELS[_row, : len(_m.points)] = list(_m.points)
    for _value, _change in enumerate(_m.changes):
        CHANGE[_row, _value] = _change
        VALUE[_row, _change] = _value
#: The same points in the order of LABELS, real and imaginary parts apart.
POINT_RE = np.take_along_axis(POINT, LABELS, 1).real.copy()
POINT_IM = np.take_along_axis(POINT, LABELS, 1).imag.copy()
HOPELESS_MSE = np.array([m.hopeless_mse for m in MODULATIONS], np.float32)

# --- turn-on, turn-off

N_TEP = _ints([m.turn_on.n_tep for m in MODULATIONS])
N_SILENCE = _ints([m.turn_on.n_silence for m in MODULATIONS])
N_ALTERNATION = _ints([m.turn_on.n_alternation for m in MODULATIONS])
N_KNOWN = _ints([len(m.turn_on.known) for m in MODULATIONS])
KNOWN_START = _ints([sum(len(m.turn_on.known) for m in MODULATIONS[:row]) for row in range(len(MODULATIONS))])


def _key(point: complex) -> tuple[int, int]:
    return round(point.real * 1000), round(point.imag * 1000)


def _known_indices(row: int, modulation: Modulation) -> NDArray[np.uint8]:
    """The known symbols as places in POINT; points of no label get places after the labels."""
    places = {_key(point): label for label, point in modulation.points.items()}
    indices = []
    for symbol in modulation.turn_on.known:
        if _key(symbol) not in places:
            place = _MOST_LABELS + sum(place >= _MOST_LABELS for place in places.values())
            places[_key(symbol)] = place
            POINT[row, place] = symbol * modulation.unit
        indices.append(places[_key(symbol)])
    return np.array(indices, np.uint8)


#: The symbols from the end of the alternation to the first data symbol, as places in POINT; all rows one
#: after another.
KNOWN = np.concatenate([_known_indices(row, m) for row, m in enumerate(MODULATIONS)])
TEP_POINT = np.array([m.turn_on.tep_point * m.unit for m in MODULATIONS], np.complex64)
ALTERNATION = np.array([np.array(m.turn_on.alternation) * m.unit for m in MODULATIONS], np.complex64)
DATA_SCRAMBLER_STATE = np.array([m.turn_on.scrambler_state for m in MODULATIONS], np.int64)
DATA_TRELLIS_STATE = _ints([m.turn_on.trellis_state for m in MODULATIONS])
IS_SHORT = np.array([m.turn_on.short for m in MODULATIONS])
#: The row of the long training at the same rate.
LONG_ROW = _ints(
    [
        next(
            k
            for k, m in enumerate(MODULATIONS)
            if m.code == (short.code - 1 if short.turn_on.short else short.code)
        )
        for short in MODULATIONS
    ]
)
DATA_PHASE = _ints([m.turn_on.phase for m in MODULATIONS])
N_TURN_OFF = _ints([m.n_turn_off for m in MODULATIONS])
N_TURN_OFF_SILENCE = _ints([m.n_turn_off_silence for m in MODULATIONS])

# --- pulses: several rates share one

_PULSES = list(dict.fromkeys((m.baud, m.carrier_hz, m.rolloff) for m in MODULATIONS))
PULSE = _ints([_PULSES.index((m.baud, m.carrier_hz, m.rolloff)) for m in MODULATIONS])
#: A symbol is TX_PHASES[pulse] / TX_STEP[pulse] samples long.
TX_PHASES = _ints([len(tx_phases(baud, rolloff)) for baud, _, rolloff in _PULSES])
TX_STEP = _ints([baud * len(tx_phases(baud, rolloff)) // SAMPLE_RATE_HZ for baud, _, rolloff in _PULSES])
#: Samples that a symbol reaches, rounded up for vector instructions.
TX_REACH = _ints([-(-TX_SYMBOLS * SAMPLE_RATE_HZ // baud // 8) * 8 for baud, _, _ in _PULSES])
#: What a symbol of 1 adds to these samples, by how far into the symbol (less than TX_STEP) the first one is.
TX_PULSE = np.zeros((len(_PULSES), TX_STEP.max(), TX_REACH.max()), np.float32)
for _pulse, (_baud, _, _rolloff) in enumerate(_PULSES):
    for _phase in range(TX_STEP[_pulse]):
        _ages = np.arange(_phase, TX_SYMBOLS * TX_PHASES[_pulse], TX_STEP[_pulse])
        TX_PULSE[_pulse, _phase, : len(_ages)] = tx_phases(_baud, _rolloff)[
            _ages % TX_PHASES[_pulse], _ages // TX_PHASES[_pulse]
        ]
#: So many half symbols are a whole number of samples, the least there is.
CYCLE_OUTPUTS = _ints([2 * baud // math.gcd(SAMPLE_RATE_HZ, 2 * baud) for baud, _, _ in _PULSES])
CYCLE_SAMPLES = _ints([SAMPLE_RATE_HZ // math.gcd(SAMPLE_RATE_HZ, 2 * baud) for baud, _, _ in _PULSES])
RX_HALF = _ints([rx_half_taps(baud) for baud, _, _ in _PULSES])
RX_PULSE = np.array([rx_phases(*pulse) for pulse in _PULSES])


@kernel
def row_of(code: int) -> int:
    """Row of the modulation with T.31 ``code``; -1 if there is none."""
    for row in range(len(CODE)):
        if CODE[row] == code:
            return row
    return -1
