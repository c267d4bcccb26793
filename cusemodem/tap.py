"""What may listen in on a line, and put its own audio in the place of the call's.

A line without a tap pays one `is None` for each of these places. The order of the calls within a block is
the order in which things happened, which is what makes a recorded call repeatable.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cusemodem.at.settings import Settings
from cusemodem.report import CallReport
from dsp import Fate

Samples = NDArray[np.int16]


class Tap:
    """Does nothing at each place; recorder and replay fill in what they need."""

    exhausted = False
    """True: a replay has come to its end, and the line shall end the call as if the far end had hung up."""

    def begin(self, settings: Settings, *, is_open: bool, dtr: bool) -> None:
        """The line is idle and stands like this; called when it is made and after each call."""

    def port_event(self, name: str) -> None:
        """Opened, Closed, DtrDropped, DtrRaised: as the engine is told of it."""

    def host_bytes(self, data: bytes) -> None:
        """The engine is given these bytes of the host program."""

    def modem_bytes(self, data: bytes) -> None:
        """The engine said this to the host program."""

    def call_event(self, name: str, details: Mapping[str, object]) -> None:
        """The call's side told the line something."""

    def audio_begins(self) -> None:
        """The call is up: from now on there are two blocks of audio in each block."""

    def received(self, row: Samples, fate: Fate) -> Fate:
        """The block that the modem is about to hear; may be changed in place. Returns what became of it."""
        return fate

    def transmitted(self, row: Samples) -> None:
        """The block that is about to be sent; may be changed in place."""

    def call_ended(self, report: CallReport) -> None:
        """The call is over; a word of the engine may still follow in this block."""

    def block_done(self) -> bool:
        """20 ms have passed; True until `begin` is called, which the line does when it is idle."""
        return False
