"""The 20 ms tick's schedule: when the next block is due, steered by the far end's clock.

A modem's transmit clock is the tick; its receive clock is the far end's. The jitter buffer's fill tells
the difference: were the tick left alone, a far end that is 50 ppm faster would overfill the buffer by
one block in under seven minutes, and a dropped block is a cut page. So the tick's period follows the
fill through a slow proportional-integral loop, by parts per million, and nothing is ever dropped for
the sake of a clock.

Pure: time comes in as an argument, in seconds of a monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass

BLOCK_S = 0.02
"""Length of one block: 160 samples at 8000 Hz."""

MAX_CORRECTION_PPM = 200.0
"""Far clocks are within ±100 ppm of nominal each (T.30 gives ±0.01 %), so two of them within ±200."""

MAX_BEHIND_S = 1.0
"""A process that was stopped for longer than this does not replay the lost time (chosen)."""

CATCH_UP_SPACING_S = 0.01
"""Least time between two blocks of a call. Sent back to back, the frames of a stall may be swapped on their
way (Asterisk hands each to whichever of its threads is free); and a stall usually stopped the far end too, so
that blocks run at once would find an empty jitter buffer."""

_PROPORTIONAL_PPM_PER_SAMPLE = 4.0
_INTEGRAL_PPM_PER_SAMPLE_S = 0.03
_FILL_SMOOTHING_S = 4.0


@dataclass(frozen=True)
class TickStatistics:
    """What the schedule has seen since it was made."""

    n_ticks: int
    n_skipped: int
    correction_ppm: float
    worst_lateness_s: float


class TickClock:
    """An absolute schedule of block boundaries whose period can be corrected by parts per million.

    `due(now)` answers how many blocks should be processed now. After a stall the schedule is caught up with
    block by block, `CATCH_UP_SPACING_S` apart, because the far end's audio went on meanwhile; time beyond
    `MAX_BEHIND_S` is skipped and counted.
    """

    def __init__(self, now: float) -> None:
        self._next = now + BLOCK_S
        self._last = now
        self._correction_ppm = 0.0
        self._integral_ppm = 0.0
        self._smoothed_error: float | None = None
        self._n_ticks = 0
        self._n_skipped = 0
        self._worst_lateness_s = 0.0

    @property
    def next_due(self) -> float:
        """When the next block is due, in the seconds of `now`."""
        return max(self._next, self._last + CATCH_UP_SPACING_S)

    @property
    def period_s(self) -> float:
        """Present length of a tick: a far end that is faster by x ppm makes it shorter by x ppm."""
        return BLOCK_S * (1.0 - self._correction_ppm * 1e-6)

    def due(self, now: float, *, at_once: bool = False) -> int:
        """How many blocks to process at `now`: 0 (early) or 1; the schedule moves on by as many.

        `at_once`: all that are due, for lines that have no audio to wait for.
        """
        if now < (self._next if at_once else self.next_due):
            return 0
        lateness_s = now - self._next
        self._worst_lateness_s = max(self._worst_lateness_s, lateness_s)
        if lateness_s > MAX_BEHIND_S:
            skipped = int((lateness_s - MAX_BEHIND_S) / self.period_s)
            self._next += skipped * self.period_s
            self._n_skipped += skipped
        self._last = now
        n_blocks = 1 + int((now - self._next) / self.period_s) if at_once else 1
        self._next += n_blocks * self.period_s
        self._n_ticks += n_blocks
        return n_blocks

    def resume(self, now: float) -> None:
        """Nobody needed the blocks until `now`: the schedule goes on from here."""
        self._next = max(self._next, now)

    def steer(self, fill_error_samples: float | None) -> None:
        """Take one tick's jitter-buffer fill, as samples above (+) or below (−) what it should hold.

        None means that no call is up: the correction decays to zero, so that the next call starts from
        the nominal rate.
        """
        if fill_error_samples is None:
            self._smoothed_error = None
            self._integral_ppm *= 0.99
            self._correction_ppm = self._integral_ppm
            return
        if self._smoothed_error is None:
            self._smoothed_error = 0.0  # a call starts in the middle; its first fill is chance
        self._smoothed_error += (fill_error_samples - self._smoothed_error) * (BLOCK_S / _FILL_SMOOTHING_S)
        self._integral_ppm += self._smoothed_error * _INTEGRAL_PPM_PER_SAMPLE_S * BLOCK_S
        self._integral_ppm = _clamp(self._integral_ppm)
        self._correction_ppm = _clamp(
            self._integral_ppm + self._smoothed_error * _PROPORTIONAL_PPM_PER_SAMPLE
        )

    def take_worst_lateness_s(self) -> float:
        """The worst lateness since the last time this was asked: for a call's log line."""
        worst, self._worst_lateness_s = self._worst_lateness_s, 0.0
        return worst

    def statistics(self) -> TickStatistics:
        """A snapshot of the counters."""
        return TickStatistics(self._n_ticks, self._n_skipped, self._correction_ppm, self._worst_lateness_s)


def _clamp(ppm: float) -> float:
    return max(-MAX_CORRECTION_PPM, min(MAX_CORRECTION_PPM, ppm))
