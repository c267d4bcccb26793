"""The jitter buffer: incoming voice until the tick takes it, its samples counted.

A modem wants exact time: what was lost is replaced by exactly as much silence and flagged, nothing is
stretched, repeated or concealed while a carrier is up. Positions are sample numbers in the peer's own time
(8 per ms of its time stamps), so loss, reordering, duplicates and frames of any length need no special cases.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from iax.arrivals import Arrivals
from iax.formats import FRAME_SAMPLES, SAMPLE_RATE, SAMPLES_PER_MS, Format

DEFAULT_DEPTH_MS = 60
MAX_DEPTH_MS = 200
CAPACITY_SAMPLES = 2 * SAMPLE_RATE
"""Audio further ahead than this is an overrun: the oldest goes."""
MAX_FRAMES = 256
MAX_FRAME_SAMPLES = SAMPLE_RATE // 10
MAX_JUMP_SAMPLES = 3 * SAMPLE_RATE
"""A time stamp further than this from the play position is not believed, until `JUMP_RUN` in a row agree."""
JUMP_RUN = 3
LATE_RUN = 3
"""So many late frames in a row mean that the path's delay has changed: playing starts anew from them."""
LOST_RUN_SAMPLES = SAMPLE_RATE // 2
"""After this much has been missing, the peer has stopped sending: the stand-in is silence, no longer
"lost"."""
HOLD_MAX_SAMPLES = SAMPLE_RATE
"""A reader may wait for so long when nothing at all has come: a stall of the peer, the network or this
machine. Beyond it the peer has stopped sending."""
CLOSE_GAP_AFTER_SAMPLES = 4 * FRAME_SAMPLES
"""A hole in the time stamps that comes after the reader has waited for at least so long is closed: a sender
that was stalled goes on where it stopped, yet stamps the time that has passed (Asterisk, beyond 160 ms).
Were the audio truly lost, a modem would miss the same bits either way, and keep its carrier only this way:
20 ms are a whole number of symbols and of carrier cycles in every fax modulation."""
QUIET_RUN = 5
"""Frames of silence before the buffer may drop or insert one to come back to its depth."""
ADJUST_SLACK_SAMPLES = 2 * FRAME_SAMPLES
SHRINK_AFTER_SAMPLES = 30 * SAMPLE_RATE

# Codes of magnitudes up to 120 of 32768, -45 dBm0 (G.711 tables 1 and 2): segment 0, of A-law its lower half.
_QUIET_ULAW = bytes(range(0x70, 0x80)) + bytes(range(0xF0, 0x100))
_QUIET_ALAW = bytes(code ^ 0x55 for code in (*range(8), *range(0x80, 0x88)))


@dataclass(frozen=True, slots=True)
class MediaStatistics:
    """What happened to the incoming audio of a call."""

    frames_received: int = 0
    frames_duplicate: int = 0
    frames_late: int = 0
    """Came after their time was played; not used."""
    frames_reordered: int = 0
    """Came after a later one, but in time."""
    frames_refused: int = 0
    """Impossible length or time stamp."""
    samples_lost: int = 0
    """Replaced by silence flagged lost."""
    samples_dropped: int = 0
    """Received but thrown away: overrun, or silence left out to come back to the depth."""
    samples_inserted: int = 0
    """Silence inserted into silence to come back to the depth."""
    samples_held: int = 0
    """Time the reader waited because nothing had come; none of it is lost."""
    gaps_closed: int = 0
    """Holes in the time stamps after such a wait, left out."""
    restarts: int = 0
    """The time line jumped and playing began anew."""
    jitter_ms: float = 0.0
    """Mean deviation of the arrivals (RFC 3550 §6.4.1)."""
    jitter_p95_ms: float = 0.0
    """How late behind the fastest of its time a frame was, exceeded by one in twenty."""
    clock_ppm: float | None = None
    """The far end's clock against ours, + fast; None while too little has been heard."""
    depth_samples: int = 0
    """The fill before a read that the buffer aims at."""
    fill_samples: int = 0


class Playout(ABC):
    """Incoming voice until the tick takes it."""

    def __init__(self) -> None:
        self.format: Format = Format.ULAW
        self._received = self._duplicate = self._late = self._reordered = self._refused = 0
        self._samples_lost = self._samples_dropped = self._samples_inserted = self._restarts = 0
        self._samples_held = self._held_run = self._gaps_closed = 0
        self._jitter = 0.0
        self._transit: float | None = None
        self._arrivals = Arrivals()

    @property
    def clock_ppm(self) -> float | None:
        """Return how much faster (+) the far end's clock is than ours; None while too little is known."""
        return self._arrivals.clock_ppm

    @abstractmethod
    def put(self, timestamp_ms: int, payload: bytes, now: float) -> None:
        """Take a frame with its unwrapped time stamp."""

    @abstractmethod
    def read(self, n_samples: int) -> tuple[bytes, bool]:
        """Return exactly N_SAMPLES and whether any of them is a stand-in for audio that never arrived."""

    def hold(self, n_samples: int) -> bool:
        """Return whether a modem should let N_SAMPLES pass without a `read`.

        True when nothing has come for that time, nor anything later, so that the audio is more likely late
        than lost; what comes next is then read as if no time had passed, and no bit is missed. For at most
        `HOLD_MAX_SAMPLES` on end, and not while the peer has announced silence.
        """
        if not self._waits():
            self._held_run = 0
            return False
        if self._held_run >= HOLD_MAX_SAMPLES:
            return False
        self._held_run += n_samples
        self._samples_held += n_samples
        return True

    @abstractmethod
    def _waits(self) -> bool:
        """Whether reading has begun and there is nothing to read."""

    @abstractmethod
    def clear(self) -> None:
        """Forget all audio: the format changed."""

    @abstractmethod
    def comfort_noise(self) -> None:
        """Note that the peer has announced silence: until its next voice, missing audio is not lost."""

    @property
    @abstractmethod
    def depth_samples(self) -> int:
        """The fill to steer for, seen just before a read."""

    @property
    @abstractmethod
    def fill_samples(self) -> int:
        """Audio between the play position and the newest frame, gaps included."""

    @property
    @abstractmethod
    def mean_fill_samples(self) -> float:
        """`fill_samples` before each read, smoothed over about 32 reads: what a clock is steered by."""

    def statistics(self) -> MediaStatistics:
        """Return the counters."""
        return MediaStatistics(
            self._received,
            self._duplicate,
            self._late,
            self._reordered,
            self._refused,
            self._samples_lost,
            self._samples_dropped,
            self._samples_inserted,
            self._samples_held,
            self._gaps_closed,
            self._restarts,
            self._jitter * 1000,
            self._arrivals.lateness_p95_ms,
            self._arrivals.clock_ppm,
            self.depth_samples,
            self.fill_samples,
        )

    def _note_arrival(self, timestamp_ms: int, now: float) -> None:
        # interarrival jitter as RFC 3550 §6.4.1 has it
        transit = now - timestamp_ms / 1000
        if self._transit is not None:
            self._jitter += (abs(transit - self._transit) - self._jitter) / 16
        self._transit = transit
        self._arrivals.note(transit, now)


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
            if self._held_run >= CLOSE_GAP_AFTER_SAMPLES and 0 < gap <= self._held_run + self._max_depth:
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
        return not payload.translate(None, _QUIET_ULAW if self.format is Format.ULAW else _QUIET_ALAW)

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


class ArrivalQueue(Playout):
    """The `nojitterbuffer` mode: audio in order of arrival, time stamps ignored, nothing waits.

    A read that finds too little still returns its full length (a tick has to have a block), filled up with
    silence flagged lost.
    """

    def __init__(self) -> None:
        super().__init__()
        self._audio = bytearray()
        self._started = False
        self._mean_fill = 0.0
        self._announced_silence = False
        self._missing_run = 0

    def put(self, timestamp_ms: int, payload: bytes, now: float) -> None:
        """Take a frame."""
        sample_bytes = self.format.sample_bytes
        if not 0 < len(payload) <= MAX_FRAME_SAMPLES * sample_bytes or len(payload) % sample_bytes:
            self._refused += 1
            return
        self._note_arrival(timestamp_ms, now)
        self._received += 1
        self._announced_silence = False
        self._audio += payload
        excess = len(self._audio) - CAPACITY_SAMPLES * sample_bytes
        if excess > 0:
            del self._audio[:excess]
            self._samples_dropped += excess // sample_bytes

    def read(self, n_samples: int = FRAME_SAMPLES) -> tuple[bytes, bool]:
        """Return exactly N_SAMPLES and whether the queue ran dry."""
        self._mean_fill += (self.fill_samples - self._mean_fill) / 32
        wanted = n_samples * self.format.sample_bytes
        payload = bytes(self._audio[:wanted])
        del self._audio[:wanted]
        missing = n_samples - len(payload) // self.format.sample_bytes
        self._started = self._started or bool(payload)
        if not missing or not self._started:
            self._missing_run = 0
            return payload + self.format.silence(missing), False
        self._missing_run += missing
        lost = self._missing_run <= LOST_RUN_SAMPLES and not self._announced_silence
        if lost:
            self._samples_lost += missing
        return payload + self.format.silence(missing), lost

    def comfort_noise(self) -> None:
        """Note that the peer has announced silence."""
        self._announced_silence = True

    def _waits(self) -> bool:
        """Whether the queue has run dry."""
        return self._started and not self._announced_silence and not self._audio

    def clear(self) -> None:
        """Forget all audio."""
        self._audio.clear()

    @property
    def depth_samples(self) -> int:
        """The fill to steer for: one frame."""
        return FRAME_SAMPLES

    @property
    def fill_samples(self) -> int:
        """Audio waiting."""
        return len(self._audio) // self.format.sample_bytes

    @property
    def mean_fill_samples(self) -> float:
        """The fill just before each read, smoothed."""
        return self._mean_fill
