"""The jitter buffer: incoming voice until the tick takes it, its samples counted.

A modem wants exact time: what was lost is replaced by exactly as much silence and flagged, nothing is
stretched, repeated or concealed while a carrier is up. Positions are sample numbers in the peer's own time
(8 per ms of its time stamps), so loss, reordering, duplicates and frames of any length need no special cases.
"""

from __future__ import annotations

from iax.formats import FRAME_SAMPLES, SAMPLE_RATE, SAMPLES_PER_MS, Format
from iax.playout import CAPACITY_SAMPLES, LOST_RUN_SAMPLES, MAX_FRAME_SAMPLES, Playout

DEFAULT_DEPTH_MS = 60
MAX_DEPTH_MS = 200
MAX_FRAMES = 256
MAX_JUMP_SAMPLES = 3 * SAMPLE_RATE
"""A time stamp further than this from the play position is not believed, until `JUMP_RUN` in a row agree."""
JUMP_RUN = 3
LATE_RUN = 3
"""So many late frames in a row mean that the path's delay has changed: playing starts anew from them."""
CLOSE_GAP_AFTER_SAMPLES = 4 * FRAME_SAMPLES
"""A hole in the time stamps that comes after the reader has waited for at least so long is closed: a sender
that was stalled goes on where it stopped, yet stamps the time that has passed (Asterisk, beyond 160 ms).
Were the audio truly lost, a modem would miss the same bits either way, and keep its carrier only this way:
20 ms are a whole number of symbols and of carrier cycles in every fax modulation."""
STAMP_JUMP_SAMPLES = 8 * FRAME_SAMPLES
JUMP_TO_JITTER = 4
JUMP_EARLY_S = 0.04
"""From the first on such a hole is closed without a wait, too, if none of it has been played, and it is
neither disorder (so many times the path's jitter) nor a stamp from the future (earlier than any came). A
machine that stalls, or gives its programs too little time, slows both ends of a call: then the reader stands
still as well, and has not waited."""
QUIET_RUN = 5
"""Frames of silence before the buffer may drop or insert one to come back to its depth."""
ADJUST_SLACK_SAMPLES = 2 * FRAME_SAMPLES
SHRINK_AFTER_SAMPLES = 30 * SAMPLE_RATE

# Codes of magnitudes up to 120 of 32768, -45 dBm0 (G.711 tables 1 and 2): segment 0, of A-law its lower half.
QUIET_ULAW = bytes(range(0x70, 0x80)) + bytes(range(0xF0, 0x100))
QUIET_ALAW = bytes(code ^ 0x55 for code in (*range(8), *range(0x80, 0x88)))


class JitterBuffer(Playout):
    """Reorders frames within a small depth; what is missing when its time comes becomes silence, exactly as
    long.

    With ADAPTIVE, late frames make the target depth grow (to MAX_DEPTH_MS), half a minute without one makes
    it shrink; the buffer comes back to its target only by leaving out or inserting silence in the middle of
    silence, where no modem minds. Fine matching of clocks is left to the reader, who paces its reads by
    `mean_fill_samples`.
    """

    def __init__(
        self, depth_ms: int = DEFAULT_DEPTH_MS, *, adaptive: bool = True, max_depth_ms: int = MAX_DEPTH_MS
    ) -> None:
        if not 0 <= depth_ms <= max_depth_ms:
            raise ValueError(f"jitter buffer depth of {depth_ms} ms is not within 0 to {max_depth_ms} ms")
        super().__init__()
        self._base_depth = self._depth = depth_ms * SAMPLES_PER_MS
        self._max_depth = max_depth_ms * SAMPLES_PER_MS
        self._adaptive = adaptive
        self._frames: dict[int, bytes] = {}
        self._seen: dict[int, None] = {}
        self._read: int | None = None
        self._reading = False
        self._closed = 0
        self._first = 0
        self._newest_end = 0
        self._mean_fill = float(self.depth_samples)
        self._late_run = 0
        self._jump_run = 0
        self._jump_next = 0
        self._missing_run = 0
        self._announced_silence = False
        self._quiet_run = 0
        self._last_late = 0

    # -- in

    def put(self, timestamp_ms: int, payload: bytes, now: float) -> None:
        """Take a frame with its unwrapped time stamp."""
        n = len(payload) // self.format.sample_bytes
        if not 0 < n <= MAX_FRAME_SAMPLES or len(payload) % self.format.sample_bytes:
            self._refused += 1
            return
        position = timestamp_ms * SAMPLES_PER_MS - self._closed
        if self._read is None:
            self._start(position)
        else:
            # sloppy time stamps (19, 21, ...) must not tear holes: snap to whole frames from the newest end
            offset = position - self._newest_end
            position = self._newest_end + (offset + n // 2) // n * n
            gap = position - self._newest_end
            has_waited = self._held_run >= CLOSE_GAP_AFTER_SAMPLES and gap <= self._held_run + self._max_depth
            if gap > 0 and (has_waited or self._is_stamp_jump(gap, now - timestamp_ms / 1000)):
                self._closed += gap
                self._gaps_closed += 1
                position -= gap
            if not -MAX_JUMP_SAMPLES <= position - self._read <= MAX_JUMP_SAMPLES:
                if not self._jumped(position, n):
                    return
                self._frames.clear()
                self._start(position)
        assert self._read is not None
        if position in self._seen:
            self._duplicate += 1
            return
        self._note_arrival(timestamp_ms, now)
        self._received += 1
        self._announced_silence = False
        self._jump_run = 0
        if position + n <= self._read:
            self._note_late(position)
            if self._late_run < LATE_RUN:
                return
            self._start(position)
        self._late_run = 0
        if len(self._frames) >= MAX_FRAMES:
            self._refused += 1
            return
        self._frames[position] = payload
        seen = self._seen
        seen[position] = None
        if len(seen) > MAX_FRAMES:
            del seen[next(iter(seen))]
        if position < self._newest_end:
            self._reordered += 1
            return
        self._newest_end = position + n
        backlog = self._newest_end - self._read
        if not self._reading and backlog > self.depth_samples:
            self._advance(self._newest_end - self.depth_samples)  # nobody listens yet: keep the newest
        elif backlog > CAPACITY_SAMPLES:
            self._samples_dropped += backlog - self.depth_samples
            self._advance(self._newest_end - self.depth_samples)

    def _is_stamp_jump(self, gap: int, transit_s: float) -> bool:
        return (
            self._read is not None
            and self._read <= self._newest_end
            and gap >= max(STAMP_JUMP_SAMPLES, JUMP_TO_JITTER * self._jitter * SAMPLE_RATE)
            and transit_s >= self._arrivals.fastest_s - JUMP_EARLY_S
        )

    def comfort_noise(self) -> None:
        """Note that the peer has announced silence."""
        self._announced_silence = True

    def _waits(self) -> bool:
        """Whether the play position has come to the end of all that was received."""
        return (
            self._reading
            and not self._announced_silence
            and self._read is not None
            and self._newest_end <= self._read
        )

    def clear(self) -> None:
        """Forget all audio."""
        self._frames.clear()
        self._seen.clear()
        self._read = None
        self._closed = 0

    def _start(self, position: int) -> None:
        if self._read is None:
            self._first = position
        else:
            self._restarts += 1
            self._first = min(self._first, position - self._depth)
        sample_bytes = self.format.sample_bytes
        self._frames = {at: data for at, data in self._frames.items() if at >= position}
        self._seen.clear()
        self._read = position - self._depth
        self._newest_end = max(
            (at + len(data) // sample_bytes for at, data in self._frames.items()), default=position
        )
        self._mean_fill = float(self.depth_samples)
        self._late_run = self._jump_run = self._missing_run = 0
        self._last_late = position

    def _jumped(self, position: int, n: int) -> bool:
        # a single stray stamp is dropped; a source that goes on from there is followed
        self._jump_run = self._jump_run + 1 if abs(position - self._jump_next) < SAMPLE_RATE // 2 else 1
        self._jump_next = position + n
        if self._jump_run < JUMP_RUN:
            self._refused += 1
            return False
        return True

    def _note_late(self, position: int) -> None:
        assert self._read is not None
        self._late += 1
        self._late_run += 1
        self._last_late = self._read
        if self._adaptive:
            wanted = self._depth + -(-(self._read - position) // FRAME_SAMPLES) * FRAME_SAMPLES
            self._depth = min(self._max_depth, max(self._depth, wanted))

    def _advance(self, position: int) -> None:
        self._read = position
        sample_bytes = self.format.sample_bytes
        for at in [at for at, data in self._frames.items() if at + len(data) // sample_bytes <= position]:
            del self._frames[at]

    # -- out

    def read(self, n_samples: int = FRAME_SAMPLES) -> tuple[bytes, bool]:
        """Return exactly N_SAMPLES and whether any of them stands in for audio that never arrived."""
        self._reading = True
        start = self._read
        if start is None:
            return self.format.silence(n_samples), False
        fill = self._newest_end - start
        if fill > 0:
            self._mean_fill += (fill - self._mean_fill) / 32
            if self._adaptive and abs(self._mean_fill - self.depth_samples) > ADJUST_SLACK_SAMPLES:
                adjusted = self._adjust(start, n_samples)
                if adjusted is None:
                    return self.format.silence(n_samples), False
                start = adjusted
        if self._depth > self._base_depth and start - self._last_late > SHRINK_AFTER_SAMPLES:
            self._depth = max(self._base_depth, self._depth - FRAME_SAMPLES)
            self._last_late = start
        self._read = start + n_samples
        payload = self._frames.pop(start, None)
        if payload is not None:
            if len(payload) == n_samples * self.format.sample_bytes:
                self._missing_run = 0
                return payload, False
            self._frames[start] = payload
        return self._assemble(start, start + n_samples)

    def _assemble(self, start: int, end: int) -> tuple[bytes, bool]:
        sample_bytes = self.format.sample_bytes
        block = bytearray(self.format.silence(end - start))
        at = start
        covered = 0
        for position in sorted(self._frames):
            if position >= end:
                break
            data = self._frames[position]
            frame_end = position + len(data) // sample_bytes
            low, high = max(position, at), min(frame_end, end)
            if low < high:
                block[(low - start) * sample_bytes : (high - start) * sample_bytes] = data[
                    (low - position) * sample_bytes : (high - position) * sample_bytes
                ]
                covered += high - low
                at = high
            if frame_end <= end:
                del self._frames[position]
        missing = end - start - covered - max(0, min(end, self._first) - start)
        if missing <= 0:
            self._missing_run = 0
            return bytes(block), False
        self._missing_run = missing if covered else self._missing_run + missing
        lost = self._missing_run <= LOST_RUN_SAMPLES and not self._announced_silence
        if lost:
            self._samples_lost += missing
        return bytes(block), lost

    def _adjust(self, start: int, n_samples: int) -> int | None:
        """Return where to read from (a frame of silence left out, or not), or None to insert silence now."""
        payload = self._frames.get(start)
        if payload is None or not self._quiet(payload):
            self._quiet_run = 0
            return start
        self._quiet_run += 1
        if self._quiet_run < QUIET_RUN:
            return start
        self._quiet_run = 0
        if self._mean_fill < self.depth_samples:
            self._mean_fill += n_samples
            self._samples_inserted += n_samples
            return None
        del self._frames[start]
        skipped = len(payload) // self.format.sample_bytes
        self._mean_fill -= skipped
        self._samples_dropped += skipped
        return start + skipped

    def _quiet(self, payload: bytes) -> bool:
        if self.format is Format.SLINEAR:
            return not payload[::2].translate(None, b"\x00\xff")
        return not payload.translate(None, QUIET_ULAW if self.format is Format.ULAW else QUIET_ALAW)

    @property
    def depth_samples(self) -> int:
        """The fill to steer for: the delay in force, and the frame that is about to be read."""
        return self._depth + FRAME_SAMPLES

    @property
    def fill_samples(self) -> int:
        """Audio between the play position and the newest frame, gaps included."""
        return 0 if self._read is None else max(0, self._newest_end - self._read)

    @property
    def mean_fill_samples(self) -> float:
        """The fill just before each read, smoothed."""
        return self._mean_fill
