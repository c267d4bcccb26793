"""What the arrival times of voice tell: how late frames are, and how fast the far end's clock runs.

The transit of a frame is its arrival less its time stamp, with an unknown constant. The least transit of
each window is a frame that waited nowhere; those least values drift by the difference of the clocks, and a
straight line through them is its estimate. It is as good as the arrival times: a reader that looks every
20 ms by a clock of its own sees steps of 20 ms, which is 70 ppm over the five minutes looked back at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

WINDOW_S = 4.0
N_WINDOWS = 75
"""Five minutes are looked back at."""
LEAST_WINDOWS = 8
MAX_STEP_S = 0.1
"""Least transits further apart than this are a new path or a new time line: all begins anew."""
BIN_MS = 1
N_BINS = 500


class Arrivals:
    """Fed with every frame's transit; cheap."""

    def __init__(self) -> None:
        self._window_ends: float | None = None
        self._least = 0.0
        self._least_at = 0.0
        self._floor: float | None = None
        self._points: deque[tuple[float, float]] = deque(maxlen=N_WINDOWS)
        self._bins = [0] * N_BINS
        self._count = 0

    @classmethod
    def of(cls, points: Iterable[tuple[float, float]], bins: list[int], count: int) -> Arrivals:
        """Return one that was kept elsewhere, for its figures."""
        arrivals = cls()
        arrivals._points.extend(points)
        arrivals._bins, arrivals._count = bins, count
        return arrivals

    def note(self, transit_s: float, now: float) -> None:
        """Take one frame."""
        if self._window_ends is None or now >= self._window_ends:
            self._next_window(transit_s, now)
        elif transit_s < self._least:
            self._least, self._least_at = transit_s, now
        late_ms = int((transit_s - self.fastest_s) * 1000)
        self._bins[late_ms if late_ms < N_BINS else N_BINS - 1] += 1
        self._count += 1

    def _next_window(self, transit_s: float, now: float) -> None:
        if self._window_ends is not None:
            if self._points and abs(self._least - self._points[-1][1]) > MAX_STEP_S:
                self._points.clear()
            self._points.append((self._least_at, self._least))
            self._floor = self._least
            if transit_s - self._least > 10 * MAX_STEP_S or self._least - transit_s > MAX_STEP_S:
                self._floor = None  # another time line
        self._window_ends = now + WINDOW_S
        self._least, self._least_at = transit_s, now

    @property
    def fastest_s(self) -> float:
        """The least transit of this window and the last one."""
        return self._least if self._floor is None else min(self._least, self._floor)

    @property
    def lateness_p95_ms(self) -> float:
        """How late a frame is behind the fastest of its time, exceeded by 5 %."""
        wanted = 0.95 * self._count
        seen = 0
        for late_ms, count in enumerate(self._bins):
            seen += count
            if seen >= wanted and self._count:
                return float(late_ms * BIN_MS)
        return 0.0

    @property
    def clock_ppm(self) -> float | None:
        """The far end's clock against ours: + fast. None while too little has been heard."""
        n = len(self._points)
        if n < LEAST_WINDOWS:
            return None
        mean_at = sum(at for at, _ in self._points) / n
        mean = sum(transit for _, transit in self._points) / n
        spread = sum((at - mean_at) ** 2 for at, _ in self._points)
        if spread <= 0:
            return None
        slope = sum((at - mean_at) * (transit - mean) for at, transit in self._points) / spread
        return -slope * 1e6
