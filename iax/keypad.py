"""The keys of one call: DTMF digits, each pressed for a time and let go, one after the other.

On the wire a digit is a frame for its beginning (type 12, chan_iax2's) and one for its end (type 1, RFC 5456
§8.2). A peer that knows the end only takes that for a whole digit.
"""

from __future__ import annotations

from collections import deque

from iax.call_state import DTMF_DIGITS
from iax.frames import FrameType

DTMF_S = 0.1
DTMF_PAUSE_S = 0.08
"""A digit and the pause behind it; Asterisk stretches digits shorter than 80 ms, pauses shorter than 45."""
MAX_KEYS = 64
"""More digits than these do not wait."""


def key_of(digit: str) -> int:
    """Return the subclass of DIGIT; raise ValueError if it is none of 0-9 * # A-D."""
    if len(digit) != 1 or digit.upper() not in DTMF_DIGITS:
        raise ValueError(f"{digit!r} is not a DTMF digit (0-9 * # A-D)")
    return ord(digit.upper())


class Keypad:
    """Keys that wait to be pressed, and to be let go."""

    def __init__(self) -> None:
        self._keys: deque[tuple[float, FrameType, int]] = deque()
        self._free_at = -1e9

    @property
    def due(self) -> float | None:
        """When `take` has something."""
        return self._keys[0][0] if self._keys else None

    def press(self, key: int, duration_s: float, now: float) -> None:
        """Press KEY for DURATION_S, after those that are pressed already."""
        if len(self._keys) + 2 > 2 * MAX_KEYS:
            return
        down = max(now, self._free_at)
        up = down + duration_s
        self._keys += (down, FrameType.DTMF_BEGIN, key), (up, FrameType.DTMF, key)
        self._free_at = up + DTMF_PAUSE_S

    def take(self, now: float) -> list[tuple[FrameType, int]]:
        """Return the types and subclasses of the frames that are due."""
        frames = []
        while self._keys and self._keys[0][0] <= now:
            _, frame_type, key = self._keys.popleft()
            frames.append((frame_type, key))
        return frames
