"""A telephone line as a chain of impairments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dsp.arguments import INT16, checked_array
from dsp.level import BLOCK, FLOOR_DBM0, rms_to_dbm0
from dsp.line_model.impairment import Impairment, Samples
from dsp.line_model.packets import BlockLoss, to_int16


class Line:
    """int16 samples through ``impairments``, in that order; the same ``seed`` brings the same accidents.

    >>> line = Line([Gain(-20), Noise(-60)], seed=1)
    >>> heard = line.run(samples)  # all at once; or line.process(block) … line.flush()
    """

    def __init__(self, impairments: Sequence[Impairment], seed: int = 0) -> None:
        if any(isinstance(impairment, BlockLoss) for impairment in impairments[:-1]):
            raise ValueError("BlockLoss must be a line's last impairment: its marks count the line's blocks")
        self._impairments = list(impairments)
        self._seed = seed
        self.reset()

    def reset(self) -> None:
        """Return to the state before the first sample."""
        self._n_out = 0
        for number, impairment in enumerate(self._impairments):
            # One stream of random numbers each, so that one impairment more leaves the others as they were.
            key = (self._seed, *type(impairment).__name__.encode(), number)
            impairment.reset(np.random.default_rng(key))

    def process(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Take any number of samples; give what has come through, which may be none.

        Raises ``TypeError`` for what is not an int16 array, ``ValueError`` for one of several dimensions.
        """
        given = checked_array("samples", samples, INT16, (None,))
        return self._give(self._through(0, given.astype(np.float64)))

    def flush(self) -> NDArray[np.int16]:
        """The signal has ended: give what is still on the line."""
        parts = [self._through(i + 1, stage.flush()) for i, stage in enumerate(self._impairments)]
        return self._give(np.concatenate([np.zeros(0), *parts]))

    def run(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Begin anew, and give all that comes out for all that goes in."""
        self.reset()
        return np.concatenate([self.process(samples), self.flush()])

    @property
    def lost(self) -> NDArray[np.bool_]:
        """For each 160 samples that have come out, whether they stand in for a packet that never arrived."""
        lost = np.zeros(-(-self._n_out // BLOCK), np.bool_)
        if self._impairments and isinstance(self._impairments[-1], BlockLoss):
            lost[:] = self._impairments[-1].marks
        return lost

    def _through(self, first: int, x: Samples) -> Samples:
        for impairment in self._impairments[first:]:
            x = impairment.process(x)
        return x

    def _give(self, x: Samples) -> NDArray[np.int16]:
        self._n_out += len(x)
        return to_int16(x)


def signal_level_dbm0(samples: NDArray[np.int16]) -> float:
    """Level of the signal in ``samples`` without its pauses: of all blocks within 15 dB of the loudest."""
    blocks = samples[: len(samples) // BLOCK * BLOCK].reshape(-1, BLOCK)
    if not len(blocks):
        return FLOOR_DBM0
    power = np.var(blocks.astype(np.float64), axis=1)
    active = power > np.quantile(power, 0.9) * 10**-1.5
    return rms_to_dbm0(float(np.mean(power[active])) ** 0.5) if active.any() else FLOOR_DBM0
