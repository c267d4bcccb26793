"""No jitter buffer: incoming voice in order of arrival."""

from __future__ import annotations

from iax.formats import FRAME_SAMPLES
from iax.playout import CAPACITY_SAMPLES, LOST_RUN_SAMPLES, MAX_FRAME_SAMPLES, Playout


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
