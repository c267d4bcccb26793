"""The host's stuffed data on its way to the transmitter: frames of +FTH, bursts of +FTM, data to swallow.

Each takes bytes in any pieces and says how many it took: none after DLE ETX, which may be followed by the
next command line in the same write.
"""

from __future__ import annotations

from typing import Final

from cusemodem.at.dle import Unstuffer

SAMPLE_RATE_HZ: Final = 8000

MAX_FRAME: Final = 282
"""Bytes of one frame without its check sequence: what receivers take, 284 with it (`frame_queue.py`)."""

BUFFER: Final = 4096
"""Bytes of +FTM data kept here, unstuffed."""


class FrameData:
    """One frame of +FTH=3."""

    def __init__(self) -> None:
        self.unstuffer = Unstuffer()
        self._frame = bytearray()

    def take(self, data: bytes | bytearray) -> int:
        """Take data up to DLE ETX; how many bytes."""
        payload, n_taken = self.unstuffer.feed(data, len(data))
        # one byte more than allowed is kept, so that the excess is known at the frame's end
        self._frame += payload[: MAX_FRAME + 1 - len(self._frame)]
        return n_taken

    @property
    def ended(self) -> bool:
        """DLE ETX has come."""
        return self.unstuffer.ended

    def frame(self) -> bytes | None:
        """The whole frame, b"" for the empty one that ends the carrier, None for what cannot be a frame."""
        n_bytes = len(self._frame)
        return None if n_bytes == 1 or n_bytes > MAX_FRAME else bytes(self._frame)


class BurstData:
    """The data of one +FTM burst at `rate_bps`, between host and transmitter."""

    def __init__(self, rate_bps: int) -> None:
        self._rate_bps = rate_bps
        self.unstuffer = Unstuffer()
        self._data = bytearray()
        self._busy_samples = 0

    def take(self, data: bytes | bytearray) -> int:
        """Take data up to DLE ETX or until the buffer is full; how many bytes."""
        payload, n_taken = self.unstuffer.feed(data, self.room)
        self._data += payload
        return n_taken

    @property
    def room(self) -> int:
        """Bytes that `take` accepts now."""
        return max(0, BUFFER - len(self._data))

    @property
    def ended(self) -> bool:
        """DLE ETX has come."""
        return self.unstuffer.ended

    @property
    def empty(self) -> bool:
        """The transmitter has taken everything."""
        return not self._data

    @property
    def starving(self) -> bool:
        """Nothing here, and what the transmitter took has gone out too, as far as its rate tells."""
        return not self._data and self._busy_samples <= 0

    def pull(self, max_bytes: int) -> bytes:
        """Up to `max_bytes` for the transmitter."""
        data = bytes(self._data[: max(0, max_bytes)])
        del self._data[: len(data)]
        self._busy_samples += len(data) * 8 * SAMPLE_RATE_HZ // self._rate_bps
        return data

    def tick(self, n_samples: int) -> None:
        """`n_samples` of line time have passed."""
        self._busy_samples = max(0, self._busy_samples - n_samples)


class DiscardedData:
    """What the host still sends after its transmission was cut short (far-end hang-up, inactivity).

    It ends with DLE ETX, or where the host, after a pause, begins a command line: then it has noticed.
    `unstuffer` is that of the data that was cut short, which may stand between DLE and ETX.
    """

    def __init__(self, unstuffer: Unstuffer) -> None:
        self.unstuffer = unstuffer
        self.ended = False

    def take(self, data: bytes | bytearray, *, after_pause: bool) -> tuple[int, bool]:
        """(n_taken, after_pause for the next call). A lone A after a pause is left until the T is there."""
        for i, byte in enumerate(data):
            if after_pause and byte & 0x7F in b"Aa":
                if i + 1 == len(data):
                    return i, True
                if data[i + 1] & 0x7F in b"Tt":
                    self.ended = True
                    return i, True
            after_pause = after_pause and byte in b"\r\n"
            self.unstuffer.feed(bytes((byte,)), 2)
            if self.unstuffer.ended:
                self.ended = True
                return i + 1, after_pause
        return len(data), after_pause
