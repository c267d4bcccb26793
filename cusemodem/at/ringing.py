"""RING every 5 s, caller-ID lines before the first, S1; when a call rings is `call_control.py`'s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cusemodem.at.caller_id import caller_lines
from cusemodem.at.events import CallerId
from cusemodem.at.host_data import SAMPLE_RATE_HZ
from cusemodem.at.outbox import Outbox
from cusemodem.at.settings import Settings

BLOCK: Final = 160
"""Samples of one tick."""

RING_PERIOD: Final = 5 * SAMPLE_RATE_HZ
"""From RING to RING, as IAXmodem has it."""

RING_PATIENCE: Final = SAMPLE_RATE_HZ
"""RING waits this long for the end of a command line being typed (V.250 §5.6 wants it whole; chosen)."""

_MOST_RINGS: Final = 255
"""S1 holds no more."""


class Ringer:
    """The bell of one modem. `ring_types`: what stands behind RING for a called number."""

    def __init__(self, settings: Settings, outbox: Outbox, ring_types: Mapping[str, str]) -> None:
        self.caller: CallerId | None = None
        self.n_rings = 0
        self._settings = settings
        self._out = outbox
        self._types = ring_types
        self._shown_caller = False
        self._due = False
        self._overdue = 0
        self._left = 0

    def begin(self, caller: CallerId) -> None:
        """A call has come: the first RING is due."""
        self.caller = caller
        self._shown_caller = False
        self._due, self._overdue = True, 0
        self.n_rings = 0
        self._settings.registers.set(1, 0)

    def stop(self) -> None:
        """Answered, refused or given up."""
        self._due, self._left, self.n_rings = False, 0, 0
        self._settings.registers.set(1, 0)

    def tick(self) -> None:
        """One block has passed."""
        if self._left > 0:
            self._left -= BLOCK
            self._due = self._due or self._left <= 0

    def ring(self, *, line_in_progress: bool, block_left: bool = False) -> bool:
        """RING if it is due, but after the command line being typed; True when it was said.

        `block_left`: an event of this block made it due, the block's own tick is still to come.
        """
        if not self._due:
            return False
        self._overdue += BLOCK
        if line_in_progress and self._overdue <= RING_PATIENCE:
            return False
        self._due, self._overdue, self._left = False, 0, RING_PERIOD + BLOCK * block_left
        if self._settings.number("+VCID") and not self._shown_caller:
            self.show_caller()
        self.n_rings = min(self.n_rings + 1, _MOST_RINGS)
        self._settings.registers.set(1, self.n_rings)
        self._out.ring(self._types.get(self.caller.called_number, "") if self.caller else "")
        return True

    def show_caller(self) -> None:
        """The caller-ID lines of the present or last incoming call."""
        self._shown_caller = True
        if self.caller is not None:
            for line in caller_lines(self.caller):
                self._out.text(line)
