"""Constellations and differential encoding of V.27ter and V.29, as tables.

A *label* says where a point stands: its phase in steps of 45° (0…7), plus 8 for the outer of two
amplitudes. A *value* is the group of data bits of one symbol, first bit in time highest. A *change* is
what a value asks for: a phase change in steps of 45°, plus 8 for the outer amplitude.
"""

from __future__ import annotations

import cmath
import math

#: V.27ter §2.5.1 and V.29 §2: phase change in 45° for a tribit 000…111 (first bit in time highest).
TRIBIT_CHANGE = (1, 0, 2, 3, 6, 7, 5, 4)
#: V.27ter §2.5.2, V.29 §3.2: phase change in 45° for a dibit 00…11.
DIBIT_CHANGE = (0, 2, 6, 4)

Points = dict[int, complex]


def psk_points(amplitude: float, phases: range) -> Points:
    """Points of one amplitude at ``phases`` (steps of 45°), by label."""
    return {phase: cmath.rect(amplitude, phase * math.pi / 4) for phase in phases}


def v29_points() -> Points:
    """The sixteen points of V.29 §2.2: 3 and 5 on the axes, √2 and 3√2 on the diagonals."""
    points = {}
    for phase in range(8):
        inner, outer = (3.0, 5.0) if phase % 2 == 0 else (math.sqrt(2), 3 * math.sqrt(2))
        points[phase] = cmath.rect(inner, phase * math.pi / 4)
        points[phase + 8] = cmath.rect(outer, phase * math.pi / 4)
    return points


def v29_quadbit_changes() -> tuple[int, ...]:
    """Change for Q1 Q2 Q3 Q4: Q1 chooses the amplitude, the rest the phase change."""
    return tuple(TRIBIT_CHANGE[value & 7] + (8 if value & 8 else 0) for value in range(16))


def mean_energy(points: Points) -> float:
    """Mean squared amplitude, all points equally likely."""
    return sum(abs(point) ** 2 for point in points.values()) / len(points)
