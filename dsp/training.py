"""Encoders and training sequences in plain Python (V.27ter §4, V.29 §8, V.17 §5)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from dsp.constellation import Points
from dsp.modulation import Modulation
from dsp.scrambler import V29_SCRAMBLER, scrambler_mask, scrambler_push
from dsp.trellis import next_trellis_state, trellis_label


@dataclass
class Encoder:
    """Scrambler and differential encoder in plain Python: source of the tables and of the tests' twins."""

    scrambler: int
    state: int
    phase: int = 0

    def scramble(self, bit: int) -> int:
        """The next line bit for a data bit."""
        line_bit = bit ^ scrambler_mask(self.scrambler, self.state)
        self.state = scrambler_push(self.scrambler, self.state, line_bit)
        return line_bit

    def symbol(self, bits: list[int], changes: tuple[int, ...]) -> int:
        """Label of the symbol for data ``bits``, first in time first."""
        value = 0
        for bit in bits:
            value = value << 1 | self.scramble(bit)
        change = changes[value]
        self.phase = (self.phase + change) & 7
        return self.phase | (change & 8)

    def ones(self, n_symbols: int, n_bits: int, changes: tuple[int, ...], points: Points) -> list[complex]:
        """Points of ``n_symbols`` of scrambled ones."""
        return [points[self.symbol([1] * n_bits, changes)] for _ in range(n_symbols)]


@dataclass
class TrellisEncoder(Encoder):
    """The same for V.17: ``phase`` is Y of the last symbol, ``trellis_state`` that of the coder."""

    trellis_state: int = 0

    def symbol(self, bits: list[int], changes: tuple[int, ...] = ()) -> int:
        """Label of the symbol for data ``bits``, first in time first."""
        value = 0
        for weight, bit in enumerate(bits):
            value |= self.scramble(bit) << weight
        self.phase = (self.phase + value) & 3
        label = trellis_label(value, self.phase, self.trellis_state)
        self.trellis_state = next_trellis_state(self.trellis_state, self.phase)
        return label


def data_encoder(modulation: Modulation) -> Encoder:
    """The encoder as it stands when the turn-on sequence of ``modulation`` has ended."""
    on = modulation.turn_on
    if modulation.trellis:
        return TrellisEncoder(modulation.scrambler, on.scrambler_state, on.phase, on.trellis_state)
    return Encoder(modulation.scrambler, on.scrambler_state, on.phase)


def v27ter_conditioning(encoder: Encoder, n_symbols: int) -> list[complex]:
    """Segment 4: 0° or 180° change by every third bit of scrambled ones; the encoder keeps the phase."""
    symbols = []
    for _ in range(n_symbols):
        first, *_ = [encoder.scramble(1) for _ in range(3)]
        encoder.phase = (encoder.phase + 4 * first) & 7
        symbols.append(1 + 0j if encoder.phase == 0 else -1 + 0j)
    return symbols


def v29_conditioning(n_symbols: int, c: complex, d: complex) -> list[complex]:
    """Segment 3: points C and D chosen by the generator 1 + x^-6 + x^-7 starting at 0101010."""
    register = 0x2A
    symbols = []
    for _ in range(n_symbols):
        bit = register & 1
        symbols.append(d if bit else c)
        register = register >> 1 | (bit ^ (register >> 1 & 1)) << 6
    return symbols


#: V.17 §5.1: scrambler register at the start of segment 2.
_V17_SCRAMBLER_START = 0x2ECDD5
#: V.17 §5.3: this word, lowest bit first, eight times.
_V17_BRIDGE_WORD = 0x8880


@cache
def v17_conditioning(
    n_symbols: int, n_bridge: int, circle: tuple[complex, complex, complex, complex]
) -> tuple[tuple[complex, ...], int]:
    """Segments 2 and 3 and the scrambler's state after them; ``circle``: A, B, C, D, each +90° from the last.

    Segment 2 is scrambled ones, two bits a symbol naming the point; segment 3 the scrambled bridge word, two
    bits a symbol naming the change of phase.
    """
    encoder = Encoder(V29_SCRAMBLER, _V17_SCRAMBLER_START)
    at = 0
    symbols = []
    for _ in range(n_symbols):
        first, second = encoder.scramble(1), encoder.scramble(1)
        at = (2, 3, 1, 0)[first << 1 | second]
        symbols.append(circle[at])
    for n in range(n_bridge):
        first, second = (encoder.scramble(_V17_BRIDGE_WORD >> (2 * n + k) % 16 & 1) for k in (0, 1))
        at = (at + (1, 0, 2, 3)[first << 1 | second]) % 4
        symbols.append(circle[at])
    return tuple(symbols), encoder.state
