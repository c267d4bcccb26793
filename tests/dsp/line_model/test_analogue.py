"""Each analogue impairment does what it claims, as measured."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.level import dbm0_to_rms, measure_dbm0
from dsp.line_model import (
    CarrierOffset,
    ClockOffset,
    DirectCurrent,
    FractionalDelay,
    Gain,
    Idle,
    Impairment,
    Line,
    ListenerEcho,
    Noise,
    PhaseHits,
    PhaseJitter,
)
from dsp.line_model.impairment import Samples
from tests.dsp.signals import silence, tone


def through(impairment: Impairment, x: Samples, seed: int = 1) -> Samples:
    """Exact samples, before they are rounded."""
    impairment.reset(np.random.default_rng(seed))
    return np.concatenate([impairment.process(x), impairment.flush()])


def sine(frequency_hz: float, n: int, amplitude: float = 1000.0, phase: float = 0.0) -> Samples:
    return amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(n) / 8000 + phase)


def phase_deg(x: Samples, frequency_hz: float) -> NDArray[np.float64]:
    """Phase of a tone, against a steady one, in pieces of 1 ms, a whole number of its cycles."""
    turn = x * np.exp(-2j * np.pi * frequency_hz * np.arange(len(x)) / 8000)
    pieces = turn[: len(x) // 8 * 8].reshape(-1, 8).sum(axis=1)
    return np.degrees(np.unwrap(np.angle(pieces)))


def test_idle() -> None:
    heard = through(Idle(0.5, 0.25), np.ones(100))
    assert len(heard) == 4000 + 100 + 2000
    assert not heard[:4000].any()
    assert np.all(heard[4000:4100] == 1)
    assert not heard[4100:].any()


@pytest.mark.parametrize("gain_db", [-29.0, -3.0, 0.0, 6.0])
def test_gain(gain_db: float) -> None:
    heard = Line([Gain(gain_db)]).run(tone(1020, -14, 8000))
    assert measure_dbm0(heard) == pytest.approx(-14 + gain_db, abs=0.05)


def test_direct_current() -> None:
    heard = Line([DirectCurrent(-321)]).run(tone(1000, -20, 8000))
    assert np.mean(heard) == pytest.approx(-321, abs=0.5)
    assert measure_dbm0(heard) == pytest.approx(-20, abs=0.05)


class TestNoise:
    def test_power_and_whiteness(self) -> None:
        noise = through(Noise(-30), np.zeros(80000))
        assert measure_dbm0(noise) == pytest.approx(-30, abs=0.1)
        spectrum = np.abs(np.fft.rfft(noise.reshape(-1, 800), axis=1)) ** 2
        octaves = spectrum.mean(axis=0)[1:401].reshape(8, 50).mean(axis=1)  # eight bands of 500 Hz
        assert np.all(np.abs(10 * np.log10(octaves / octaves.mean())) < 0.5)

    def test_is_gaussian(self) -> None:
        noise = through(Noise(-30), np.zeros(80000)) / dbm0_to_rms(-30)
        assert np.mean(noise**3) == pytest.approx(0, abs=0.05)
        assert np.mean(noise**4) == pytest.approx(3, abs=0.15)

    def test_signal_to_noise_ratio(self) -> None:
        signal = tone(1700, -14, 40000)
        heard = Line([Noise(-14 - 17.5)]).run(signal).astype(float)
        ratio_db = 10 * np.log10(np.var(signal) / np.var(heard - signal))
        assert ratio_db == pytest.approx(17.5, abs=0.1)

    @pytest.mark.parametrize(("idle", "expected"), [(None, -99.0), (-60.0, -60.0), ("same", -40.0)])
    def test_before_and_after_the_signal(self, idle: float | None, expected: float) -> None:
        signal = np.concatenate([silence(8000), tone(1700, -14, 8000), silence(8000)])
        heard = Line([Noise(-40, idle_dbm0=idle)]).run(signal).astype(float) - signal
        assert measure_dbm0(heard[:8000]) == pytest.approx(expected, abs=0.3)
        assert measure_dbm0(heard[8000 : 16000 + 160]) == pytest.approx(-40, abs=0.3)
        assert measure_dbm0(heard[16000 + 170 :]) == pytest.approx(expected, abs=0.3)

    def test_none_is_none(self) -> None:
        assert not through(Noise(None), np.zeros(1000)).any()


def test_listener_echo() -> None:
    impulse = np.zeros(400)
    impulse[5] = 1000
    heard = through(ListenerEcho(0.010, 20), impulse)
    assert len(heard) == 480  # the echo of the end is heard
    assert np.flatnonzero(heard).tolist() == [5, 85]
    assert heard[85] == pytest.approx(100)


class TestPhase:
    @pytest.mark.parametrize("offset_hz", [-20.0, -7.0, 0.0, 0.5, 15.0])
    @pytest.mark.parametrize("frequency_hz", [300.0, 1800.0, 3400.0])
    def test_carrier_offset_moves_every_frequency_by_the_same(
        self, offset_hz: float, frequency_hz: float
    ) -> None:
        heard = through(CarrierOffset(offset_hz), sine(frequency_hz, 8000))
        expected = sine(frequency_hz + offset_hz, 8000)
        assert len(heard) == 8000
        middle = slice(400, -400)
        assert np.sqrt(np.mean((heard - expected)[middle] ** 2)) < 707 * 1e-3  # -60 dB, image included

    def test_phase_jitter(self) -> None:
        heard = through(PhaseJitter(10, 60), sine(1000, 16000))[800:-800]
        phase = phase_deg(heard, 1000)
        assert phase.max() - phase.min() == pytest.approx(10, rel=0.02)
        spectrum = np.abs(np.fft.rfft((phase - phase.mean()) * np.hanning(len(phase)), 8192))
        assert np.argmax(spectrum) * 1000 / 8192 == pytest.approx(60, abs=0.5)

    def test_phase_hits(self) -> None:
        heard = through(PhaseHits([(0.5, 30), (1.0, -90)]), sine(1000, 12000))
        phase = phase_deg(heard, 1000)
        for begin, end, expected in ((0.1, 0.45, 0), (0.55, 0.95, 30), (1.05, 1.4, -60)):
            piece = phase[int(begin * 1000) : int(end * 1000)] + 90
            assert np.allclose(piece, expected, atol=0.5)


class TestClock:
    @pytest.mark.parametrize("offset_ppm", [-200.0, -37.0, 100.0, 200.0])
    def test_length_and_frequency(self, offset_ppm: float) -> None:
        n = 160000
        heard = through(ClockOffset(offset_ppm), sine(1800, n))
        assert len(heard) == pytest.approx(n / (1 + offset_ppm * 1e-6), abs=1)
        expected = sine(1800 * (1 + offset_ppm * 1e-6), len(heard))
        error = (heard - expected)[100:-100]
        assert 10 * np.log10(np.mean(error**2) / 500000) < -85

    @pytest.mark.parametrize("frequency_hz", [200.0, 2500.0, 3500.0])
    @pytest.mark.parametrize("delay", [0.0, 0.25, 0.5, 0.99])
    def test_resampling_is_clean_up_to_3500_hz(self, frequency_hz: float, delay: float) -> None:
        heard = through(FractionalDelay(delay), sine(frequency_hz, 4000))
        assert len(heard) == 4000
        expected = sine(frequency_hz, 4000, phase=-2 * np.pi * frequency_hz * delay / 8000)
        error = (heard - expected)[100:-100]
        assert 10 * np.log10(np.mean(error**2) / 500000) < -80

    def test_ten_minutes_stay_exact(self) -> None:
        """No drift: after all that time the instants are still the right ones."""
        clock = ClockOffset(200.0)
        clock.reset(np.random.default_rng(0))
        n = 10 * 60 * 8000
        step = 1 + 200e-6
        silent = np.zeros(1 << 18)
        at = 0
        while at + len(silent) < n - 8000:  # silence costs the same, but needs no sine
            clock.process(silent)
            at += len(silent)
        pulse = np.zeros(n - at)
        pulse[4000] = 1.0
        heard = clock.process(pulse)
        total = int(np.floor((n - 1 - 40) / step)) + 1
        expected_at = (at + 4000) / step
        peak = int(np.argmax(heard)) + total - len(heard)
        assert peak == pytest.approx(expected_at, abs=0.51)
        assert heard.max() == pytest.approx(np.sinc(expected_at - peak), abs=0.01)
