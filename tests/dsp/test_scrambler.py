import numpy as np
import pytest

from dsp.scrambler import (
    V27TER_SCRAMBLER,
    V29_SCRAMBLER,
    mask_kernel,
    push_kernel,
    scrambler_mask,
    scrambler_push,
)

KINDS = pytest.mark.parametrize("kind", [V29_SCRAMBLER, V27TER_SCRAMBLER])


def scramble(kind: int, bits: list[int], state: int) -> list[int]:
    line = []
    for bit in bits:
        line.append(bit ^ scrambler_mask(kind, state))
        state = scrambler_push(kind, state, line[-1])
    return line


def descramble(kind: int, line: list[int], state: int) -> list[int]:
    bits = []
    for line_bit in line:
        bits.append(line_bit ^ scrambler_mask(kind, state))
        state = scrambler_push(kind, state, line_bit)
    return bits


@KINDS
def test_descrambler_undoes_scrambler(kind: int) -> None:
    bits = np.random.default_rng(1).integers(0, 2, 20000).tolist()
    assert descramble(kind, scramble(kind, bits, 0x3C), 0x3C) == bits


@pytest.mark.parametrize(("kind", "memory"), [(V29_SCRAMBLER, 23), (V27TER_SCRAMBLER, 12)])
def test_descrambler_synchronises_itself(kind: int, memory: int) -> None:
    bits = np.random.default_rng(2).integers(0, 2, 3000).tolist()
    got = descramble(kind, scramble(kind, bits, 0x3C), 0)
    # V.27ter's guard counter also has to meet: it does at the first bit that ends a repetition.
    settled = memory if kind == V29_SCRAMBLER else 100
    assert got[settled:] == bits[settled:]


def test_v29_of_zeros_is_its_polynomial() -> None:
    line = scramble(V29_SCRAMBLER, [0] * 400, 0x2ECDD5)
    for n in range(23, 400):
        assert line[n] == line[n - 18] ^ line[n - 23]


@pytest.mark.parametrize("period", [1, 2, 3, 4, 6, 9, 12])
def test_v27ter_guard_breaks_repetitions(period: int) -> None:
    """Data chosen to make the line repeat must not make it repeat for long."""
    state = 0x3C
    line: list[int] = [0] * 12
    longest = run = 0
    for _ in range(2000):
        wanted = line[-period]
        bit = wanted ^ scrambler_mask(
            V27TER_SCRAMBLER, state & 0xFFF
        )  # as a sender without guard would see it
        line.append(bit ^ scrambler_mask(V27TER_SCRAMBLER, state))
        state = scrambler_push(V27TER_SCRAMBLER, state, line[-1])
        run = run + 1 if line[-1] == wanted else 0
        longest = max(longest, run)
    assert longest < 34 + 12


@KINDS
def test_compiled_twins_agree(kind: int) -> None:
    rng = np.random.default_rng(3)
    state = twin = 0x2ECD
    for bit in rng.integers(0, 2, 500).tolist():
        assert scrambler_mask(kind, state) == mask_kernel(kind, twin)
        state, twin = scrambler_push(kind, state, bit), push_kernel(kind, twin, bit)
        assert state == twin
