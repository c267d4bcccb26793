"""Self-synchronising scramblers of the fast modems (V.27ter §5, V.29 §7, V.17 §4).

A scrambler's state is one integer: its low bits are the last bits *on the line*, newest lowest. Both
directions use the same two steps: the bit on the line is ``bit ^ mask(state)``, and afterwards
``state = push(state, line_bit)``. V.27ter also keeps its guard counter, above bit 32.
"""

from __future__ import annotations

from dsp.kernel import kernel

#: 1 + x^-18 + x^-23 (V.29, V.17).
V29_SCRAMBLER = 0
#: 1 + x^-6 + x^-7 with the guard against repetitions of 1, 2, 3, 4, 6, 8, 9 and 12 bits (V.27ter).
V27TER_SCRAMBLER = 1

_GUARD_SHIFT = 32
_GUARD_LIMIT = 33


def scrambler_mask(kind: int, state: int) -> int:
    """The bit that is added (modulo 2) between data and line."""
    if kind == V29_SCRAMBLER:
        return ((state >> 17) ^ (state >> 22)) & 1
    inverted = 1 if (state >> _GUARD_SHIFT) >= _GUARD_LIMIT else 0
    return (((state >> 5) ^ (state >> 6)) & 1) ^ inverted


def scrambler_push(kind: int, state: int, line_bit: int) -> int:
    """The state after ``line_bit`` has been sent or received."""
    if kind == V29_SCRAMBLER:
        return ((state << 1) | line_bit) & 0x7FFFFF
    guard = state >> _GUARD_SHIFT
    if guard >= _GUARD_LIMIT:
        guard = 0
    else:
        differs = (line_bit ^ (state >> 7)) & (line_bit ^ (state >> 8)) & (line_bit ^ (state >> 11)) & 1
        guard = 0 if differs else guard + 1
    return (guard << _GUARD_SHIFT) | ((state << 1) & 0xFFF) | line_bit


#: Compiled twins, for kernels.
mask_kernel = kernel(scrambler_mask)
push_kernel = kernel(scrambler_push)
