"""V.17: 14400, 12000, 9600 and 7200 bit/s, trellis coded, 2400 Bd, carrier 1800 Hz.

The tables of the Recommendation, checked by their structure (``tests/dsp/test_v17.py``). No modem uses
them yet: V.17 has its place here, and +FTM=? and +FRM=? do not offer it.
"""

from __future__ import annotations

BAUD = 2400
CARRIER_HZ = 1800
ROLLOFF = 0.25
#: T.31 codes: (bit rate, short training).
CODES = {
    73: (7200, False), 74: (7200, True), 97: (9600, False), 98: (9600, True),
    121: (12000, False), 122: (12000, True), 145: (14400, False), 146: (14400, True),
}  # fmt: skip

# Turn-on sequence, grid units (V.17 §5).
POINT_A, POINT_B, POINT_C, POINT_D = -6 - 2j, 2 - 6j, 6 + 2j, -2 + 6j
N_ALTERNATION = 256
N_CONDITIONING_LONG = 2976
N_CONDITIONING_SHORT = 38
N_BRIDGE = 64
N_ONES = 48
N_TURN_OFF = 32
#: Scrambler register at the start of segment 2; two bits a symbol choose C, D, B, A for 00, 01, 10, 11.
SCRAMBLER_START = 0x2ECDD5
#: Segment 3: this word, lowest bit first, eight times; two bits a symbol change the phase.
BRIDGE_WORD = 0x8880
#: Differential coder before segment 4, after long and short training.
Y_START_LONG = 1
Y_START_SHORT = 0

#: Convolutional coder: next state by state and Y1 + 2·Y2; Y0 is the top bit of the new state.
NEXT_STATE = (
    (0, 2, 3, 1), (4, 7, 5, 6), (1, 3, 2, 0), (7, 4, 6, 5),
    (2, 0, 1, 3), (6, 5, 7, 4), (3, 1, 0, 2), (5, 6, 4, 7),
)  # fmt: skip


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
