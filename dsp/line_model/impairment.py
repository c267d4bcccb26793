"""What every impairment of the line simulator is: a block of samples in, what is ready of them out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dsp.level import SAMPLE_RATE

#: Samples inside the simulator: 64-bit floats on the int16 scale, neither rounded nor clipped.
Samples: TypeAlias = NDArray[np.float64]

_NOTHING: Samples = np.zeros(0)


class Impairment(ABC):
    """One thing that a line does to a signal.

    Life cycle: the constructor checks its arguments (``ValueError``); ``reset`` returns to the state before
    the first sample; ``process`` takes any number of samples and gives what is ready; ``flush`` gives what is
    still inside. Whatever the samples are cut into, the whole that comes out is the same.
    """

    def reset(self, rng: np.random.Generator) -> None:  # noqa: B027 - many have nothing to forget
        """Begin anew; ``rng`` is where everything random is to come from."""

    @abstractmethod
    def process(self, x: Samples) -> Samples:
        """Take ``x`` and give what is ready."""

    def flush(self) -> Samples:
        """Give what is still inside; the signal has ended."""
        return _NOTHING


def checked(name: str, value: float, least: float, most: float, unit: str) -> float:
    """``value`` as a float, or ``ValueError`` that says where it may lie."""
    number = float(value)
    if not (math.isfinite(number) and least <= number <= most):
        raise ValueError(f"{name} {value} is not from {least:g} to {most:g}{unit and ' ' + unit}")
    return number


def samples_in(name: str, seconds: float) -> int:
    """Whole samples nearest to ``seconds`` (0 to a day)."""
    return round(checked(name, seconds, 0.0, 86400.0, "s") * SAMPLE_RATE)
