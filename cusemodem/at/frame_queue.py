"""Received V.21 frames that wait for the host's next +FRH=3 (T.31 §8.3.6), and what is no frame at all."""

from __future__ import annotations

from collections import deque
from typing import Final

from cusemodem.at.events import FrameReceived

MAX_QUEUED: Final = 8192
"""Bytes kept; at 300 bit/s more than three minutes of frames."""

MAX_FRAME: Final = 284
"""Longer ones are noise (measured with class 1 programs: none sends or takes more)."""

MIN_GOOD_FRAME: Final = 4
"""Address, control and check sequence."""

MIN_BAD_FRAME: Final = 5
"""A shorter one with a wrong check sequence is noise between flags."""

_FINAL: Final = 0x10


def is_final(frame: bytes) -> bool:
    """The control field marks the last frame of a transmission (T.30 §5.3.5)."""
    return len(frame) > 1 and bool(frame[1] & _FINAL)


def is_noise(frame: FrameReceived) -> bool:
    """Too short or too long to be a T.30 frame."""
    shortest = MIN_GOOD_FRAME if frame.fcs_ok else MIN_BAD_FRAME
    return not shortest <= len(frame.data) <= MAX_FRAME


class FrameQueue:
    """First in, first out, bounded."""

    def __init__(self) -> None:
        self._frames: deque[FrameReceived] = deque()
        self._n_bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: FrameReceived) -> bool:
        """Keep `frame`; False when there is no room for it."""
        if self._n_bytes + len(frame.data) > MAX_QUEUED:
            return False
        self._frames.append(frame)
        self._n_bytes += len(frame.data)
        return True

    def get(self) -> FrameReceived:
        """The oldest frame."""
        frame = self._frames.popleft()
        self._n_bytes -= len(frame.data)
        return frame

    def clear(self) -> None:
        """Forget all frames."""
        self._frames.clear()
        self._n_bytes = 0
