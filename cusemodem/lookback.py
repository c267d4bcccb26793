"""Received audio kept for a moment, for a host program that is late with its order to receive.

V.17's short training lasts 142 ms, and it is the far end that decides when it begins. A program that gets
the processor 100 ms late orders +FRM in the midst of it, and the page is lost: with a modem of hardware for
good. Here the order looks back: what came in since the line was last ours or the last carrier ended is heard
first, and the receiver stays as far behind the line until the carrier ends.
"""

from __future__ import annotations

import numpy as np

import dsp
from cusemodem.voice_payload import Samples

LENGTH_BLOCKS = 25
"""Half a second (chosen): the far end waits 3 s for an answer (T.30's T4), and so late it gets it."""

QUIET_RMS = 160.0
"""About -40 dBm0: below it, nothing has begun."""


class Lookback:
    """The last blocks of one line's received audio, and how many of them the receiver is behind."""

    def __init__(self) -> None:
        self._rows = np.zeros((LENGTH_BLOCKS, dsp.BLOCK), np.int16)
        self._fates = [dsp.Fate.HEARD] * LENGTH_BLOCKS
        self._n = 0
        self._since = 0
        self.behind = 0
        """In blocks of 20 ms."""

    def begin(self) -> None:
        """What was received until now is nobody's business any more: a call, our own signal, a carrier."""
        self._since = self._n
        self.behind = 0

    def go_back(self) -> None:
        """Hear again from where a signal began, if one has since `begin`; the same one not twice."""
        first = max(self._since, self._n - LENGTH_BLOCKS)
        self._since = self._n
        for n in range(first, self._n):
            row = self._rows[n % LENGTH_BLOCKS].astype(np.float32)
            if float(row @ row) > QUIET_RMS * QUIET_RMS * dsp.BLOCK:
                self.behind = min(self._n - max(n - 1, first), LENGTH_BLOCKS - 1)
                return

    def block(self, row: Samples, fate: dsp.Fate) -> dsp.Fate:
        """Take the block in `row`; give the one that is to be heard now, in its place, and its fate.

        A block that is held back because its audio is late is time to come nearer by one.
        """
        if fate is dsp.Fate.HELD:
            if not self.behind:
                return fate
            self.behind -= 1
            return self._hear(row, self._n - 1 - self.behind)
        at = self._n % LENGTH_BLOCKS
        self._rows[at] = row
        self._fates[at] = fate
        self._n += 1
        return fate if not self.behind else self._hear(row, self._n - 1 - self.behind)

    def _hear(self, row: Samples, n: int) -> dsp.Fate:
        row[:] = self._rows[n % LENGTH_BLOCKS]
        return self._fates[n % LENGTH_BLOCKS]
