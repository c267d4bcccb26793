"""Time stamps of one call's voice: those we send, and where in the peer's time its frames belong."""

from __future__ import annotations

from collections.abc import Sequence

from iax.formats import FRAME_MS, SAMPLES_PER_MS, Format
from iax.frames import FrameType
from iax.reliability import Link

MAX_VOICE_UNACKNOWLEDGED = 48
"""Reliable voice goes on in mini frames while so many full frames wait: the network stands still."""
TRUNK_BACK_MS = 1000
"""A trunk's stamp that is further back is no late frame: the trunk's clock has begun anew."""
ANCHOR_BACK_MS = 1000
ANCHOR_AHEAD_MS = 5000
"""A mini frame's stamp within these of what is expected moves the expectation."""
PLAUSIBLE_MS = 2000
"""A decrypted mini frame whose stamp is further off was read with the wrong key."""


class VoiceSender:
    """Sends voice: exactly one time stamp step per frame; a full frame first, at each wrap and change of
    format; only full frames if it is to be reliable."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._relay_offset: int | None = None
        self.reliable = False
        """Every frame is numbered, acknowledged, and sent again if it was lost. A receiver that numbers are
        for (chan_iax2) hands on no frame before the one that is missing: late, but whole and in order."""

    def send(self, payload: bytes, format_: Format, now: float) -> bool:
        """Send one frame of our own audio. Time stamps are n·20 whatever the clock says: the modem is the
        clock. Return whether it waits for an acknowledgement."""
        stamps = self._link.stamps
        timestamp = self._start(now) if stamps.next_voice is None else stamps.next_voice
        stamps.next_voice = timestamp + len(payload) // format_.sample_bytes // SAMPLES_PER_MS
        return self._send(payload, format_, timestamp, now)

    def skip(self, n_frames: int) -> None:
        """Leave out N_FRAMES of 20 ms: audio that was never made, so the peer must see the gap."""
        stamps = self._link.stamps
        if stamps.next_voice is not None:
            stamps.next_voice += n_frames * FRAME_MS

    def relay(self, payload: bytes, format_: Format, peer_timestamp: int, now: float) -> bool:
        """Send on a frame of another leg at once, its (unwrapped) time stamp moved to this leg's time. Return
        whether it waits for an acknowledgement."""
        if self._relay_offset is None:
            self._relay_offset = self._start(now) - peer_timestamp
        timestamp = peer_timestamp + self._relay_offset
        return timestamp >= 0 and self._send(payload, format_, timestamp, now)

    def restart(self) -> None:
        """Begin the next frame with a full frame at the clock's time (new source)."""
        self._link.stamps.next_voice = self._relay_offset = None

    def _start(self, now: float) -> int:
        self._link.stamps.sent_format = 0
        earliest = max(self._link.clock(now), self._link.last_timestamp + 1)
        return -(-earliest // FRAME_MS) * FRAME_MS

    def _send(self, payload: bytes, format_: Format, timestamp: int, now: float) -> bool:
        link = self._link
        stamps = link.stamps
        link.voice_stamped(timestamp, now)
        stamps.frames_sent += 1
        known = format_ == stamps.sent_format and timestamp >> 16 <= stamps.epoch
        if known and not (self.reliable and link.n_unacknowledged < MAX_VOICE_UNACKNOWLEDGED):
            # chan_iax2 (22) forgets to turn round the octets of linear samples that come in trunk frames
            link.send_mini(timestamp, payload, now, may_trunk=format_ is not Format.SLINEAR)
            return False
        stamps.sent_format = int(format_)
        stamps.epoch = timestamp >> 16
        link.send(FrameType.VOICE, format_, payload, now, timestamp=timestamp)
        return True


class Unwrapper:
    """Turns 16- and 32-bit time stamps into milliseconds that only grow; relies on no full frame at a
    wrap."""

    def __init__(self) -> None:
        self._timestamp: int | None = None
        self._time = 0.0

    @property
    def anchored(self) -> bool:
        """True once any time stamp is known."""
        return self._timestamp is not None

    def anchor(self, timestamp: int, now: float) -> None:
        """Take TIMESTAMP as what the peer's clock says now."""
        self._timestamp, self._time = timestamp, now

    def expected(self, now: float) -> int:
        """Return what the peer's clock says now; it must be anchored."""
        assert self._timestamp is not None
        return self._timestamp + int((now - self._time) * 1000)

    def full(self, timestamp: int, now: float) -> int:
        """Return the unwrapped value of a 32-bit time stamp."""
        return self._unwrap(timestamp, now, 32)

    def mini(self, timestamp: int, now: float) -> int:
        """Return the unwrapped value of a 16-bit time stamp: the one nearest to what is expected now."""
        return self._unwrap(timestamp, now, 16)

    def offset(self, timestamp: int, now: float) -> int:
        """Return how far a mini frame's stamp is from what is expected now, in ms."""
        return (timestamp - self.expected(now) + 0x8000 & 0xFFFF) - 0x8000

    def _unwrap(self, timestamp: int, now: float, bits: int) -> int:
        if self._timestamp is None:
            self.anchor(timestamp, now)
            return timestamp
        expected = self.expected(now)
        half = 1 << bits - 1
        delta = (timestamp - expected + half & (1 << bits) - 1) - half
        unwrapped = expected + delta
        # one wild stamp must not move what is expected
        if bits == 32 or -ANCHOR_BACK_MS <= delta <= ANCHOR_AHEAD_MS:
            self.anchor(unwrapped, now)
        return unwrapped


class Timeline:
    """Where each incoming voice frame of a call belongs, in unwrapped ms of the peer's clock.

    Mini frames before the first full voice frame are placed by the peer's other time stamps, and the
    missing frame is asked for, once.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._unwrapper = Unwrapper()
        self._full_heard = False
        self._trunk_offset: int | None = None
        self._trunk_timestamp = -1
        self._trunk_next = 0

    def full(self, timestamp: int, now: float) -> int:
        """Return the place of a full voice frame."""
        self._full_heard = True
        return self._unwrapper.full(timestamp, now)

    def mini(self, timestamp: int, now: float) -> int | None:
        """Return the place of a mini frame with these 16 bits, None if nothing is known of the peer's
        clock."""
        return self._unwrapper.mini(timestamp, now) if self._ready(timestamp, now) else None

    def trunked(self, timestamp: int, lengths_ms: Sequence[int], now: float) -> int | None:
        """Return the place of the first of this call's frames in a trunk frame that has only the trunk's
        stamp.

        The first trunk frame is laid where the call's clock stands, and so is the first after the trunk's
        clock has begun anew; others keep their distances from it. A trunk timer that was late puts two
        frames of a call under one stamp: the last of them is the one of that time. None: a duplicate, or
        nothing is known of the peer's clock.
        """
        if not self._ready(timestamp, now) or timestamp == self._trunk_timestamp:
            return None
        if timestamp < self._trunk_timestamp - TRUNK_BACK_MS:
            self._trunk_offset, self._trunk_timestamp = None, -1
        if self._trunk_offset is None:
            self._trunk_offset = self._unwrapper.expected(now) - timestamp
        at = timestamp + self._trunk_offset - sum(lengths_ms[:-1])
        if timestamp > self._trunk_timestamp:
            at = max(at, self._trunk_next)
            self._trunk_next = at + sum(lengths_ms)
            self._trunk_timestamp = timestamp
        return at

    def plausible(self, timestamp: int, now: float) -> bool:
        """Say whether a mini frame's 16 bits are near to what is expected now."""
        if not self._unwrapper.anchored:
            return True
        return -PLAUSIBLE_MS <= self._unwrapper.offset(timestamp, now) <= PLAUSIBLE_MS

    def _ready(self, timestamp: int, now: float) -> bool:
        if self._full_heard:
            return True
        self._link.request_missing(timestamp)
        if not self._unwrapper.anchored:
            clock = self._link.peer_clock(now)
            if clock is None:
                return False
            self._unwrapper.anchor(clock, now)
        return True
