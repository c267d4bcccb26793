"""What incoming voice waits in until the tick takes it, whatever its kind: the door and the figures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from iax.arrivals import Arrivals
from iax.formats import SAMPLE_RATE, Format

CAPACITY_SAMPLES = 2 * SAMPLE_RATE
"""Audio further ahead than this is an overrun: the oldest goes."""
MAX_FRAME_SAMPLES = SAMPLE_RATE // 10
LOST_RUN_SAMPLES = SAMPLE_RATE // 2
"""After this much has been missing, the peer has stopped sending: the stand-in is silence, no longer
"lost"."""
HOLD_MAX_SAMPLES = SAMPLE_RATE
"""A reader may wait for so long when nothing at all has come: a stall of the peer, the network or this
machine. Beyond it the peer has stopped sending."""


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
