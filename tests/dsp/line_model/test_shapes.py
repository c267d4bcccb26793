"""The filters have the attenuation and the group delay that their shapes say."""

from __future__ import annotations

import numpy as np
import pytest

from dsp.line_model import SHAPES, Line, Shape
from dsp.line_model.impairment import Samples
from tests.dsp.signals import tone

RATE = 8000
N = 1 << 14


def measured(name: str) -> tuple[Samples, Samples, Samples]:
    """Frequency, attenuation (dB) and group delay (ms) of a pulse sent through the impairment."""
    shape = Shape(name)
    pulse = np.zeros(2000)
    pulse[1000] = 1.0
    heard = np.concatenate([shape.process(pulse), shape.flush()])
    assert len(heard) == 2000
    spectrum = np.fft.rfft(np.roll(np.pad(heard, (0, N - 2000)), -1000))
    hz = np.arange(len(spectrum)) * RATE / N
    phase = np.unwrap(np.angle(spectrum))
    return hz, -20 * np.log10(np.abs(spectrum)), -np.gradient(phase, 2 * np.pi * hz[1]) * 1e3


@pytest.mark.parametrize("name", SHAPES)
def test_the_filter_is_the_shape(name: str) -> None:
    hz, attenuation_db, delay_ms = measured(name)
    response = SHAPES[name].response()
    band = (hz >= 300) & (hz <= 3400)
    wanted_db = np.interp(hz, response.hz, response.attenuation_db)[band]
    wanted_ms = np.interp(hz, response.hz, response.delay_ms)[band]
    assert np.max(np.abs(attenuation_db[band] - wanted_db)) < 0.15
    assert np.max(np.abs(delay_ms[band] - wanted_ms)) < 0.1
    assert np.interp(1020, hz, attenuation_db) == pytest.approx(0, abs=0.05)
    assert delay_ms[(hz >= 500) & (hz <= 2800)].min() == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("name", SHAPES)
def test_out_of_band_is_little(name: str) -> None:
    hz, attenuation_db, _ = measured(name)
    assert attenuation_db[(hz < 30) | (hz > 3900)].min() > 15


def test_m1020_keeps_its_limits_and_reaches_them() -> None:
    """ITU-T M.1020, figures 1 and 2: loss against 1020 Hz, group delay against its least."""
    hz, attenuation_db, delay_ms = measured("m1020")
    for low, high, most_db, most_ms in (
        (300, 500, 6.0, None),
        (500, 600, 3.0, 3.0),
        (600, 1000, 3.0, 1.5),
        (1000, 2600, 3.0, 0.5),
        (2600, 2800, 3.0, 3.0),
        (2800, 3000, 6.0, None),
    ):
        band = (hz > low) & (hz < high)
        assert most_db - 1.2 < attenuation_db[band].max() < most_db + 0.15 or low in (600, 1000)
        assert attenuation_db[band].min() > -1.0
        if most_ms is not None:
            assert most_ms - 0.25 < delay_ms[band].max() < most_ms + 0.05


def test_bell_3002_keeps_its_limits() -> None:
    hz, attenuation_db, delay_ms = measured("bell-3002")
    assert attenuation_db[(hz > 300) & (hz < 3000)].min() > -3
    assert attenuation_db[(hz > 300) & (hz < 3000)].max() < 12
    assert attenuation_db[(hz > 500) & (hz < 2500)].max() < 8
    assert 1.5 < delay_ms[(hz > 800) & (hz < 2600)].max() < 1.75


def test_cable_behaves_like_cable() -> None:
    """More of it, more slope; coils flatten the band and cut it off."""
    slope = {}
    for name in ("g712", "loop-short", "loop-long", "loop-loaded"):
        hz, attenuation_db, _ = measured(name)
        slope[name] = np.interp(2800, hz, attenuation_db)
        slope[name + " edge"] = np.interp(3400, hz, attenuation_db) - slope[name]
    assert slope["g712"] < 0.2
    assert 2 < slope["loop-short"] < 5
    assert 6 < slope["loop-long"] < 11
    assert slope["loop-loaded"] < slope["loop-long"] / 2
    assert slope["loop-loaded edge"] > 3 * slope["loop-short edge"]


def test_a_tone_comes_through_as_weakly_as_it_should() -> None:
    heard = Line([Shape("m1020")]).run(tone(2800, -10, 8000))[1000:-1000]
    weaker_db = 20 * np.log10(np.std(tone(2800, -10, 8000)[1000:-1000]) / np.std(heard))
    assert weaker_db == pytest.approx(2.9, abs=0.1)
