"""IAXmodem's `replay`: in each call of a line the modem hears the recorded call once more, in real time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cusemodem.at.settings import Settings
from cusemodem.recording_store import blocks, last_call
from cusemodem.replay import Difference
from cusemodem.report import CallReport
from cusemodem.tap import Samples, Tap
from cusemodem.tick import BLOCK_S
from dsp import Fate

_log = logging.getLogger("cusemodem.replay")


class LiveReplay(Tap):
    """IAXmodem's `replay`: in each call of the line the modem hears the recorded call, and the far end hears
    what was sent then; what the modem sends now is held against it."""

    def __init__(self, line: str, directory: Path) -> None:
        self._line = line
        self._directory = directory
        self._heard: Iterator[bytes] = iter(())
        self._sent: Iterator[bytes] = iter(())
        self._n_blocks = 0
        self._told = False

    def begin(self, settings: Settings, *, is_open: bool, dtr: bool) -> None:
        """Nothing to do."""

    def audio_begins(self) -> None:
        """Open the last recording."""
        self.exhausted, self._n_blocks, self._told = False, 0, False
        found = last_call(self._directory, self._line)
        if found is None:
            _log.error("%s: nothing to replay: no %s-iax.raw there", self._directory, self._line)
            self.exhausted = True
            return
        self._heard, self._sent = map(blocks, found)
        _log.info("replaying %s", found[0].resolve().parent)

    def received(self, row: Samples, fate: Fate) -> Fate:
        """Put the recorded block in the place of the received one."""
        if (piece := next(self._heard, None)) is None:
            self.exhausted = True
            row[:] = 0
        else:
            row[:] = np.frombuffer(piece, "<i2")
        return Fate.HEARD

    def transmitted(self, row: Samples) -> None:
        """Compare, then put the recorded block in the place of the modem's."""
        if (piece := next(self._sent, None)) is None:
            return
        then = np.frombuffer(piece, "<i2")
        if not self._told and not np.array_equal(then, row):
            k = int(np.flatnonzero(then != row)[0])
            at_s = self._n_blocks * BLOCK_S + k / 8000
            _log.info(
                "replay: first difference: %s", Difference("audio sent", at_s, str(then[k]), str(row[k]))
            )
            self._told = True
        row[:] = then
        self._n_blocks += 1

    def call_ended(self, report: CallReport) -> None:
        """Say how it went."""
        if self._n_blocks and not self._told:
            _log.info("replay: %.2f s sent as recorded, bit for bit", self._n_blocks * BLOCK_S)
        self.exhausted = False
