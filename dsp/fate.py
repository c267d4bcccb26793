"""What became of a received block on its way here: the second thing a receiver must know about it."""

from __future__ import annotations

from enum import IntEnum


class Fate(IntEnum):
    """One value for each received block of 160 samples; a bool array of lost blocks will do as well."""

    HEARD = 0
    """The audio that was sent."""
    LOST = 1
    """A stand-in for audio that never arrived; its time has passed all the same."""
    HELD = 2
    """No time has passed for the receivers: nothing has come yet, and what comes next follows on."""
