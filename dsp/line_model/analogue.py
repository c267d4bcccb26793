"""Impairments of the analogue part: level, direct current, noise, echo, phase, frequency, clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np

from dsp.level import SAMPLE_RATE, dbm0_to_rms
from dsp.line_model.filters import Resampler, StreamFilter
from dsp.line_model.impairment import Impairment, Samples, checked, samples_in


class Idle(Impairment):
    """Silence before and after the signal, for the impairments that follow to fill."""

    def __init__(self, before_s: float = 0.0, after_s: float = 0.0) -> None:
        self._before = samples_in("silence before", before_s)
        self._after = samples_in("silence after", after_s)
        self._begun = False

    def reset(self, rng: np.random.Generator) -> None:
        """Begin anew."""
        self._begun = False

    def process(self, x: Samples) -> Samples:
        """Put the silence before the first sample."""
        if self._begun:
            return x
        self._begun = True
        joined: Samples = np.concatenate([np.zeros(self._before), x])
        return joined

    def flush(self) -> Samples:
        """The silence after."""
        silence: Samples = np.zeros(self._after)
        return silence


class Gain(Impairment):
    """Everything louder by ``gain_db`` (-80…+40)."""

    def __init__(self, gain_db: float) -> None:
        self._factor = 10.0 ** (checked("gain", gain_db, -80.0, 40.0, "dB") / 20.0)

    def process(self, x: Samples) -> Samples:
        """Multiply."""
        louder: Samples = x * self._factor
        return louder


class DirectCurrent(Impairment):
    """A constant ``offset`` (int16 units, ±16384) on all samples, silence too."""

    def __init__(self, offset: float) -> None:
        self._offset = checked("DC offset", offset, -16384.0, 16384.0, "")

    def process(self, x: Samples) -> Samples:
        """Add."""
        return x + self._offset


_ACTIVE = 1.0  # int16 units: more is signal
_HOLD = SAMPLE_RATE // 50  # a signal goes on for 20 ms after its last such sample


class Noise(Impairment):
    """White Gaussian noise over 0…4 kHz of ``level_dbm0``; of ``idle_dbm0`` where there is no signal.

    No signal is where the input has been 0 for more than 20 ms; by default noise does not care. A level of
    ``None`` is no noise.
    """

    def __init__(
        self, level_dbm0: float | None, *, idle_dbm0: float | Literal["same"] | None = "same"
    ) -> None:
        idle = level_dbm0 if isinstance(idle_dbm0, str) else idle_dbm0
        self._rms, self._idle_rms = self._rms_of(level_dbm0), self._rms_of(idle)
        self.reset(np.random.default_rng(0))

    @staticmethod
    def _rms_of(level_dbm0: float | None) -> float:
        if level_dbm0 is None:
            return 0.0
        return dbm0_to_rms(checked("noise", level_dbm0, -99.0, 3.0, "dBm0"))

    def reset(self, rng: np.random.Generator) -> None:
        """Begin anew with noise of ``rng``."""
        self._rng = rng
        self._since = _HOLD + 1  # samples since there was signal

    def process(self, x: Samples) -> Samples:
        """Add noise; as much is drawn whatever its level, so that the same seed gives the same shape."""
        noise = self._rng.standard_normal(len(x))
        if self._rms == self._idle_rms or not len(x):
            return x + noise * self._rms
        at = np.arange(len(x))
        last = np.maximum.accumulate(np.where(np.abs(x) > _ACTIVE, at, -1))
        since = np.where(last >= 0, at - last, at + 1 + self._since)
        self._since = min(int(since[-1]), _HOLD + 1)
        return x + noise * np.where(since <= _HOLD, self._rms, self._idle_rms)


class ListenerEcho(Impairment):
    """The signal once more, ``delay_s`` later and weaker by ``loss_db`` (there and back between hybrids)."""

    def __init__(self, delay_s: float, loss_db: float) -> None:
        self._n = samples_in("echo delay", delay_s)
        self._factor = 10.0 ** (-checked("echo loss", loss_db, 0.0, 99.0, "dB") / 20.0)
        self._past = np.zeros(self._n)

    def reset(self, rng: np.random.Generator) -> None:
        """Begin anew."""
        self._past = np.zeros(self._n)

    def process(self, x: Samples) -> Samples:
        """Add what came before."""
        joined = np.concatenate([self._past, x])
        self._past = joined[len(x) :]
        y: Samples = x + self._factor * joined[: len(x)]
        return y

    def flush(self) -> Samples:
        """The echo of the end."""
        echo: Samples = self._factor * self._past
        return echo


_HILBERT_REACH = 200


def _hilbert() -> StreamFilter:
    """-90° for all frequencies from 50 to 3950 Hz."""
    n = np.arange(-_HILBERT_REACH, _HILBERT_REACH + 1)
    odd = n % 2 != 0
    taps = np.zeros(len(n))
    taps[odd] = 2.0 / (np.pi * n[odd])
    return StreamFilter(taps * np.kaiser(len(n), 8.0), _HILBERT_REACH)


class _Phase(Impairment):
    """All frequencies turned by the same, changing angle (single side band)."""

    def __init__(self) -> None:
        self._quadrature = _hilbert()
        self._in_phase = np.zeros(0)
        self._n = 0

    def angle(self, n: Samples) -> Samples:
        """Radians at the samples numbered ``n``."""
        raise NotImplementedError

    def reset(self, rng: np.random.Generator) -> None:
        """Begin anew."""
        self._quadrature.reset()
        self._in_phase = np.zeros(0)
        self._n = 0

    def process(self, x: Samples) -> Samples:
        """Turn what the Hilbert transform is ready for."""
        return self._turn(x, self._quadrature.process(x))

    def flush(self) -> Samples:
        """The rest."""
        return self._turn(np.zeros(0), self._quadrature.flush())

    def _turn(self, x: Samples, quadrature: Samples) -> Samples:
        waiting = np.concatenate([self._in_phase, x])
        ready, self._in_phase = waiting[: len(quadrature)], waiting[len(quadrature) :]
        angle = self.angle(np.arange(self._n, self._n + len(ready), dtype=np.float64))
        self._n += len(ready)
        turned: Samples = ready * np.cos(angle) - quadrature * np.sin(angle)
        return turned


class CarrierOffset(_Phase):
    """Every frequency moved by ``offset_hz`` (±200), as by carrier systems with unequal oscillators."""

    def __init__(self, offset_hz: float) -> None:
        super().__init__()
        self._offset_hz = checked("carrier offset", offset_hz, -200.0, 200.0, "Hz")

    def angle(self, n: Samples) -> Samples:
        """Grows steadily."""
        return 2 * np.pi * self._offset_hz / SAMPLE_RATE * n


class PhaseJitter(_Phase):
    """Phase that swings by ``peak_to_peak_deg`` (0…180) at ``rate_hz`` (0…400), as from mains ripple."""

    def __init__(self, peak_to_peak_deg: float, rate_hz: float = 60.0) -> None:
        super().__init__()
        self._peak = np.radians(checked("phase jitter", peak_to_peak_deg, 0.0, 180.0, "degrees") / 2)
        self._rate_hz = checked("jitter rate", rate_hz, 0.0, 400.0, "Hz")

    def angle(self, n: Samples) -> Samples:
        """A sine."""
        swing: Samples = self._peak * np.sin(2 * np.pi * self._rate_hz / SAMPLE_RATE * n)
        return swing


class PhaseHits(_Phase):
    """Sudden turns of the phase: at ``(seconds, degrees)`` each, and from then on."""

    def __init__(self, hits: Iterable[tuple[float, float]]) -> None:
        super().__init__()
        self._hits = sorted(
            (samples_in("phase hit at", at), np.radians(checked("phase hit", turn, -360.0, 360.0, "degrees")))
            for at, turn in hits
        )

    def angle(self, n: Samples) -> Samples:
        """A staircase."""
        angle = np.zeros(len(n))
        for at, turn in self._hits:
            angle[n >= at] += turn
        return angle


class ClockOffset(Impairment):
    """As sent by a clock that is ``offset_ppm`` (±10 000) fast against ours: as much shorter, and higher."""

    def __init__(self, offset_ppm: float) -> None:
        offset_ppm = checked("clock offset", offset_ppm, -10000.0, 10000.0, "ppm")
        self._resampler = Resampler(1.0 + offset_ppm * 1e-6)

    def reset(self, rng: np.random.Generator) -> None:
        """Begin anew."""
        self._resampler.reset()

    def process(self, x: Samples) -> Samples:
        """Resample what is ready."""
        return self._resampler.process(x)

    def flush(self) -> Samples:
        """The rest."""
        return self._resampler.flush()


class FractionalDelay(Impairment):
    """``delay`` samples (0…0.99) late: the same signal, but sampled at other instants."""

    def __init__(self, delay: float) -> None:
        self._resampler = Resampler(1.0, checked("fractional delay", delay, 0.0, 0.99, "samples"))

    def reset(self, rng: np.random.Generator) -> None:
        """Begin anew."""
        self._resampler.reset()

    def process(self, x: Samples) -> Samples:
        """Read between the samples."""
        return self._resampler.process(x)

    def flush(self) -> Samples:
        """The rest."""
        return self._resampler.flush()
