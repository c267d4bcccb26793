"""The convolutional code of V.17 (§3): eight states, one redundant bit Y0 a symbol.

A label is ``… Q4 Q3 Y2 Y1 Y0``. The data bits Q1 and Q2 turn the phase: Y = Y2 Y1 grows by them modulo 4.
The coder's state and Y lead to the next state; Y0 says which half of the states it came from. The code does
not change when everything is turned by 90°, so a receiver need not know which quarter turn is right.
"""

from __future__ import annotations

import numpy as np

from dsp.kernel import kernel

N_STATES = 8
#: Next state by state and Y = Y1 + 2·Y2; the top bit of the next state is the lowest bit of this one: Y0.
NEXT_STATE = (
    (0, 2, 3, 1), (4, 7, 5, 6), (1, 3, 2, 0), (7, 4, 6, 5),
    (2, 0, 1, 3), (6, 5, 7, 4), (3, 1, 0, 2), (5, 6, 4, 7),
)  # fmt: skip
_NEXT_STATE = np.array(NEXT_STATE, np.int32)


def next_trellis_state(state: int, y: int) -> int:
    """The coder's state after a symbol with ``y``."""
    return int(_NEXT_STATE[state, y])


def trellis_label(value: int, y: int, state: int) -> int:
    """Label of a symbol of data bits ``value`` (Q1 lowest), new Y ``y``, from the coder's old ``state``."""
    return (value >> 2) << 3 | y << 1 | (state & 1)


#: Compiled twins, for kernels.
next_state_kernel = kernel(next_trellis_state)
label_kernel = kernel(trellis_label)
