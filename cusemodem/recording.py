"""The recorder: keeps both directions of each call and all that is needed to repeat it exactly.

Here nothing touches a file: pieces of about a second are handed to the store (`recording_store.py`) through
`submit`, which in the product is a thread of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from cusemodem import journal
from cusemodem.at.settings import Settings
from cusemodem.background import Submit
from cusemodem.recording_store import CallFiles, RecordingStore
from cusemodem.report import CallReport
from cusemodem.tap import Samples, Tap
from dsp import Fate

PIECE_BLOCKS = 50
"""Audio goes to the store once a second."""

MAX_SEGMENT_BYTES = 1 << 18
"""What host programs say between calls is kept up to here; beyond it the journal begins anew, with the
settings of that moment."""

_log = logging.getLogger("cusemodem.recording")


class Recorder(Tap):
    """Records every answered call of one line.

    `local_now` names the recordings; it is read once a call.
    """

    def __init__(
        self,
        line: str,
        store: RecordingStore,
        submit: Submit,
        local_now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self._line = line
        self._store = store
        self._submit = submit
        self._local_now = local_now
        self._text: list[str] = []
        self._text_bytes = 0
        self._block = 0
        self._files: CallFiles | None = None
        self._rx: list[bytes] = []
        self._tx: list[bytes] = []
        self._fate = Fate.HEARD
        self._ended = self._stale = False
        self._report: CallReport | None = None

    def begin(self, settings: Settings, *, is_open: bool, dtr: bool) -> None:
        """Start a new journal with these settings."""
        self._text = [journal.header_line(self._line, settings, is_open=is_open, dtr=dtr)]
        self._text_bytes = len(self._text[0])
        self._block = 0
        self._fate, self._stale = Fate.HEARD, False

    def _note(self, kind: str, value: object, details: dict[str, object] | None = None) -> None:
        self._text.append(journal.entry_line(self._block, kind, value, details))
        self._text_bytes += len(self._text[-1])

    def port_event(self, name: str) -> None:
        """Note it."""
        self._note("port", name)

    def host_bytes(self, data: bytes) -> None:
        """Note them."""
        self._note("host", data)

    def modem_bytes(self, data: bytes) -> None:
        """Note them, for comparison."""
        self._note("modem", data)

    def call_event(self, name: str, details: Mapping[str, object]) -> None:
        """Note it."""
        self._note("call", name, dict(details))

    def audio_begins(self) -> None:
        """Open a recording."""
        self._note("up", 1)
        self._files = self._store.new_call(self._line, self._local_now())

    def received(self, row: Samples, fate: Fate) -> Fate:
        """Keep the block that the modem hears."""
        if fate is not self._fate and self._files is not None:
            self._fate = fate
            self._note("fate", int(fate))
        self._rx.append(row.astype("<i2").tobytes())
        return fate

    def transmitted(self, row: Samples) -> None:
        """Keep the block that is sent."""
        self._tx.append(row.astype("<i2").tobytes())

    def call_ended(self, report: CallReport) -> None:
        """Close the recording at the end of this block."""
        self._ended, self._report = True, report

    def block_done(self) -> bool:
        """Hand a piece over when it is due; True when the line is idle again."""
        self._block += 1
        if self._ended:
            self._finish()
        elif self._files is not None:
            if len(self._tx) >= PIECE_BLOCKS:
                self._hand_over(self._files)
            return False
        return self._stale or self._text_bytes > MAX_SEGMENT_BYTES

    def _hand_over(self, files: CallFiles) -> None:
        self._submit(partial(files.write, b"".join(self._rx), b"".join(self._tx), "".join(self._text)))
        self._rx, self._tx, self._text = [], [], []

    def _finish(self) -> None:
        files, report = self._files, self._report
        self._files, self._report, self._ended, self._stale = None, None, False, True
        if files is not None and report is not None:
            self._hand_over(files)
            self._submit(partial(files.finish, report.as_dict()))
            _log.info("recorded in %s", files.directory)
