"""What one fast modulation is, as data; v27ter.py, v29.py and v17.py fill it in."""

from __future__ import annotations

from dataclasses import dataclass

from dsp.constellation import Points, mean_energy


@dataclass(frozen=True)
class TurnOn:
    """A turn-on sequence (training) in grid units of the constellation, and what it leaves behind."""

    tep_point: complex
    #: Symbols of unmodulated carrier when talker echo protection is asked for.
    n_tep: int
    #: Symbols of silence between it and the rest; sent always.
    n_silence: int
    #: The two points that alternate, first one first; receivers recognise this.
    alternation: tuple[complex, complex]
    n_alternation: int
    #: All symbols after the alternation until data: equaliser conditioning, then scrambled ones.
    known: tuple[complex, ...]
    #: Scrambler state and label's phase (45° steps) after the last of them; with a trellis code, Y instead.
    scrambler_state: int
    phase: int
    #: State of the convolutional coder after them.
    trellis_state: int = 0
    #: Too short to learn a line from: the receiver must remember what a longer one taught it.
    short: bool = False


@dataclass(frozen=True)
class Modulation:
    """One modulation at one rate."""

    name: str
    #: T.31 +FTM/+FRM code.
    code: int
    bit_rate: int
    baud: int
    carrier_hz: int
    rolloff: float
    bits_per_symbol: int
    #: Points by label, grid units.
    points: Points
    #: Change (see constellation.py) by value; empty with a trellis code (trellis.py).
    changes: tuple[int, ...]
    scrambler: int
    turn_on: TurnOn
    #: Symbols of scrambled ones after the data, then symbols of silence before the next signal.
    n_turn_off: int
    n_turn_off_silence: int
    #: Mean squared slicing error (points of unit energy) that means: this is not our signal at all.
    hopeless_mse: float

    @property
    def trellis(self) -> bool:
        """Whether the convolutional code of V.17 is used."""
        return not self.changes

    @property
    def unit(self) -> float:
        """Factor from grid units to unit mean energy."""
        return float(mean_energy(self.points) ** -0.5)
