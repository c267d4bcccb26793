"""Training sequences, computed from their generators (V.27ter §4, V.29 §8)."""

from __future__ import annotations

from dataclasses import dataclass

from dsp.constellation import Points
from dsp.scrambler import scrambler_mask, scrambler_push


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
