"""What the state directory keeps: recordings for lines that ask for them, and every call's report."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from cusemodem.background import Background
from cusemodem.config import ModemConfig
from cusemodem.history import History
from cusemodem.live_replay import LiveReplay
from cusemodem.recording import Recorder
from cusemodem.recording_store import Limits, RecordingStore
from cusemodem.report import CallReport
from cusemodem.tap import Tap


class Archive:
    """Hands everything to `background`; nothing here waits for a disk."""

    def __init__(
        self,
        state: Path,
        background: Background,
        limits: Limits | None = None,
        history_s: float = 365 * 86400.0,
    ) -> None:
        self.recordings = state / "recordings"
        self._store = RecordingStore(self.recordings, limits or Limits())
        self._history = History(state, history_s)
        self._background = background

    def new_tap(self, config: ModemConfig) -> Tap | None:
        """The recorder or replay of a line that asks for one."""
        if config.replay:
            return LiveReplay(config.name, self.recordings)
        if config.record:
            return Recorder(config.name, self._store, self._background.submit)
        return None

    def keep(self, report: CallReport) -> None:
        """Put a call's report into the history."""
        self._background.submit(partial(self._history.add, report.as_dict()))
