"""V.17: 14400, 12000, 9600 and 7200 bit/s at 2400 Bd, carrier 1800 Hz, trellis coded (trellis.py).

Each rate has two turn-on sequences. The long one teaches a receiver the line; the short one, a tenth of it,
only says when the data begin to a receiver that remembers the long one.
"""

from __future__ import annotations

from dsp.modulation import Modulation, TurnOn
from dsp.scrambler import V29_SCRAMBLER
from dsp.training import TrellisEncoder, v17_conditioning

# Turn-on sequence, grid units (V.17 §5).
POINT_A, POINT_B, POINT_C, POINT_D = -6 - 2j, 2 - 6j, 6 + 2j, -2 + 6j
N_ALTERNATION = 256
N_CONDITIONING_LONG = 2976
N_CONDITIONING_SHORT = 38
N_BRIDGE = 64
N_ONES = 48
#: Y of the differential coder before segment 4, after long and short training.
_Y_START_LONG = 1
_Y_START_SHORT = 0


def _points(table: str) -> tuple[complex, ...]:
    return tuple(complex(*map(int, cell.split(","))) for cell in table.split())


#: Points by label (…Q4 Q3 Y2 Y1 Y0), grid units; eight labels a line.
POINTS = {
    14400: _points("""
    -8,-3  9,2  2,-9  -3,8  8,3  -9,-2  -2,9  3,-8
    -8,1  9,-2  -2,-9  1,8  8,-1  -9,2  2,9  -1,-8
    -4,-3  5,2  2,-5  -3,4  4,3  -5,-2  -2,5  3,-4
    -4,1  5,-2  -2,-5  1,4  4,-1  -5,2  2,5  -1,-4
    4,-3  -3,2  2,3  -3,-4  -4,3  3,-2  -2,-3  3,4
    4,1  -3,-2  -2,3  1,-4  -4,-1  3,2  2,-3  -1,4
    0,-3  1,2  2,-1  -3,0  0,3  -1,-2  -2,1  3,0
    0,1  1,-2  -2,-1  1,0  0,-1  -1,2  2,1  -1,0
    8,-3  -7,2  2,7  -3,-8  -8,3  7,-2  -2,-7  3,8
    8,1  -7,-2  -2,7  1,-8  -8,-1  7,2  2,-7  -1,8
    -4,-7  5,6  6,-5  -7,4  4,7  -5,-6  -6,5  7,-4
    -4,5  5,-6  -6,-5  5,4  4,-5  -5,6  6,5  -5,-4
    4,-7  -3,6  6,3  -7,-4  -4,7  3,-6  -6,-3  7,4
    4,5  -3,-6  -6,3  5,-4  -4,-5  3,6  6,-3  -5,4
    0,-7  1,6  6,-1  -7,0  0,7  -1,-6  -6,1  7,0
    0,5  1,-6  -6,-1  5,0  0,-5  -1,6  6,1  -5,0
    """),
    12000: _points("""
    7,1  -5,-1  -1,5  1,-7  -7,-1  5,1  1,-5  -1,7
    3,-3  -1,3  3,1  -3,-3  -3,3  1,-3  -3,-1  3,3
    7,-7  -5,7  7,5  -7,-7  -7,7  5,-7  -7,-5  7,7
    -1,-7  3,7  7,-3  -7,1  1,7  -3,-7  -7,3  7,-1
    3,5  -1,-5  -5,1  5,-3  -3,-5  1,5  5,-1  -5,3
    -1,1  3,-1  -1,-3  1,1  1,-1  -3,1  1,3  -1,-1
    -5,5  7,-5  -5,-7  5,5  5,-5  -7,5  5,7  -5,-5
    -5,-3  7,3  3,-7  -3,5  5,3  -7,-3  -3,7  3,-5
    """),
    9600: _points("""
    -8,2  -6,-4  -4,6  2,8  8,-2  6,4  4,-6  -2,-8
    0,2  -6,4  4,6  2,0  0,-2  6,-4  -4,-6  -2,0
    0,-6  2,-4  -4,-2  -6,0  0,6  -2,4  4,2  6,0
    8,2  2,4  4,-2  2,-8  -8,-2  -2,-4  -4,2  -2,8
    """),
    7200: _points("""
    6,-6  -2,6  6,2  -6,-6  -6,6  2,-6  -6,-2  6,6
    -2,2  6,-2  -2,-6  2,2  2,-2  -6,2  2,6  -2,-2
    """),
}

#: Mean squared error of the likeliest path through what is no V.17 signal is 0.27 of the least squared
#: distance of two points; this much less is still hopeless.
_HOPELESS = 0.2


def _modulation(code: int, bit_rate: int, *, short: bool) -> Modulation:
    n_bits = bit_rate // 2400
    points = dict(enumerate(POINTS[bit_rate]))
    circle = (POINT_A, POINT_B, POINT_C, POINT_D)
    conditioning, state = v17_conditioning(
        N_CONDITIONING_SHORT if short else N_CONDITIONING_LONG, 0 if short else N_BRIDGE, circle
    )
    encoder = TrellisEncoder(V29_SCRAMBLER, state, _Y_START_SHORT if short else _Y_START_LONG)
    ones = encoder.ones(N_ONES, n_bits, (), points)
    turn_on = TurnOn(
        tep_point=POINT_A,
        n_tep=480,
        n_silence=48,
        alternation=(POINT_A, POINT_B),
        n_alternation=N_ALTERNATION,
        known=(*conditioning, *ones),
        scrambler_state=encoder.state,
        phase=encoder.phase,
        trellis_state=encoder.trellis_state,
        short=short,
    )
    least_distance, energy = {14400: (2, 41), 12000: (4, 42), 9600: (8, 40), 7200: (16, 40)}[bit_rate]
    return Modulation(
        name="V.17 short" if short else "V.17",
        code=code,
        bit_rate=bit_rate,
        baud=2400,
        carrier_hz=1800,
        rolloff=0.25,
        bits_per_symbol=n_bits,
        points=points,
        changes=(),
        scrambler=V29_SCRAMBLER,
        turn_on=turn_on,
        n_turn_off=32,
        n_turn_off_silence=48,
        hopeless_mse=_HOPELESS * least_distance / energy,
    )


#: The long and short training of every rate, by T.31 code.
V17 = tuple(
    _modulation(code + short, bit_rate, short=bool(short))
    for code, bit_rate in ((73, 7200), (97, 9600), (121, 12000), (145, 14400))
    for short in (0, 1)
)
