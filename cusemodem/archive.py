"""What the state directory keeps: recordings for lines that ask for them, and every call's report."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from cusemodem.background import Background
from cusemodem.config import ModemConfig
from cusemodem.history import History
from cusemodem.live_replay import LiveReplay
from cusemodem.recording import Recorder
from cusemodem.recording_store import Limits, RecordingStore
from cusemodem.report import CallReport
from cusemodem.tap import Tap

MAX_WAITING = 1000
"""Reports that are kept for a disk that takes none."""

CLOCK_STEP_S = 3600.0
"""A wall clock that differs by so much from the time that has passed has been set, not corrected."""

_log = logging.getLogger("cusemodem.archive")


class Archive:
    """Hands everything to `background`; nothing here waits for a disk."""

    def __init__(
        self,
        state: Path,
        background: Background,
        limits: Limits | None = None,
        history_s: float = 365 * 86400.0,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.recordings = state / "recordings"
        self._clock_offset_s = wall_clock() - time.monotonic()
        self._wall_clock = wall_clock
        self._clock_was_set = False
        self._store = RecordingStore(self.recordings, limits or Limits(), self.may_expire)
        self._history = History(state, history_s)
        self._background = background
        self._waiting: deque[dict[str, Any]] = deque(maxlen=MAX_WAITING)

    def new_tap(self, config: ModemConfig) -> Tap | None:
        """The recorder or replay of a line that asks for one."""
        if config.replay:
            return LiveReplay(config.name, self.recordings)
        if config.record:
            return Recorder(config.name, self._store, self._background.submit)
        return None

    def keep(self, report: CallReport) -> None:
        """Put a call's report into the history; while that is impossible, with the next one."""
        self.keep_dict(report.as_dict())

    def keep_dict(self, report: dict[str, Any]) -> None:
        """The same, of a report in its plain form."""
        self._background.submit(partial(self._add, report))

    def close(self) -> None:
        """The last try for reports that are still waiting."""
        self._background.submit(self._add_waiting)

    def _add(self, report: dict[str, Any]) -> None:
        self._waiting.append(report)
        self._add_waiting()

    def _add_waiting(self) -> None:
        while self._waiting:
            try:
                self._history.add(self._waiting[0], self._wall_clock(), expire=self.may_expire())
            except OSError as error:
                n = len(self._waiting)
                many = f"{n} call reports wait" if n > 1 else "one call report waits"
                _log.error("cannot keep the history: %s; %s for the next call", error, many)
                return
            self._waiting.popleft()

    def may_expire(self) -> bool:
        """Whether the wall clock can be trusted to say what is old; not after somebody has set it."""
        step_s = self._wall_clock() - time.monotonic() - self._clock_offset_s
        if not self._clock_was_set and abs(step_s) > CLOCK_STEP_S:
            self._clock_was_set = True
            _log.warning(
                "this machine's clock was set %+.0f s: nothing is removed as too old until the next start",
                step_s,
            )
        return not self._clock_was_set
