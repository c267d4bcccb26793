"""The line simulator: what a telephone line and a packet network do to a signal, repeatable from a seed.

>>> from dsp.line_model import BlockLoss, ClockOffset, Gain, Line, Noise, Shape
>>> line = Line([Gain(-10), ClockOffset(100), Shape("m1020"), Noise(-50), BlockLoss(share=0.01)], seed=7)
>>> heard = line.run(samples)  # int16 in and out
>>> line.lost  # which blocks of 160 samples are stand-ins

Everything is plain numpy and knows nothing of modems.
"""

from __future__ import annotations

from dsp.line_model.analogue import (
    CarrierOffset,
    ClockOffset,
    DirectCurrent,
    FractionalDelay,
    Gain,
    Idle,
    ListenerEcho,
    Noise,
    PhaseHits,
    PhaseJitter,
)
from dsp.line_model.impairment import Impairment
from dsp.line_model.line import Line, signal_level_dbm0
from dsp.line_model.packets import FILLS, LAWS, BlockLoss, Codec, Slip, codecs
from dsp.line_model.shapes import SHAPES, Shape

__all__ = [
    "FILLS",
    "LAWS",
    "SHAPES",
    "BlockLoss",
    "CarrierOffset",
    "ClockOffset",
    "Codec",
    "DirectCurrent",
    "FractionalDelay",
    "Gain",
    "Idle",
    "Impairment",
    "Line",
    "ListenerEcho",
    "Noise",
    "PhaseHits",
    "PhaseJitter",
    "Shape",
    "Slip",
    "codecs",
    "signal_level_dbm0",
]
