"""Phase jitter from the mains: found, followed, and nothing found where there is none."""

import numpy as np
import pytest

from dsp.line_model import Idle, Impairment, Line, Noise, PhaseJitter
from dsp.qam_tx import qam_burst
from tests.dsp.qam_bench import CODES, GOAL_DB, Reception, receive, receive_in_turn


def sound(
    code: int, data: bytes, margin_db: float, jitter: list[tuple[float, float]], seed: int
) -> np.ndarray:
    """A burst of ``data``, with (degrees peak to peak, Hz) of jitter."""
    stages: list[Impairment] = [Idle(0.2, 0.2), *(PhaseJitter(degrees, hz) for degrees, hz in jitter)]
    stages.append(Noise(-14 - GOAL_DB.get(code, GOAL_DB[145]) - margin_db))
    return Line(stages, seed).run(qam_burst(code, data))


def some_data(code: int, seconds: float) -> bytes:
    return np.random.default_rng(code).integers(0, 256, int(CODES[code] * seconds / 8), np.uint8).tobytes()


def hz_of(reception: Reception, baud: int = 2400) -> list[float]:
    """Frequencies of the lines that are followed."""
    record = reception.record
    return sorted(float(turn) * baud / (2 * np.pi) for turn in record.jitter_turn[: record.jitter_lines])


@pytest.mark.parametrize("hz", [25, 50, 60, 100, 120, 180])
def test_jitter_of_the_mains_costs_nothing_at_the_highest_rate(hz: float) -> None:
    """V.17 14400, 3 dB above the goal's SNR: without a canceller 5e-3 at 10° and 60 Hz, 0.4 at 20°."""
    data = some_data(145, 5)
    reception = receive(145, sound(145, data, 3, [(20, hz)], 1))
    assert reception.bit_errors(data) == 0
    assert hz_of(reception) == pytest.approx([hz], abs=0.2)
    amplitude = np.hypot(reception.record.jitter_re[0], reception.record.jitter_im[0])
    assert np.degrees(amplitude) == pytest.approx(10, abs=1.0)


@pytest.mark.parametrize("code", CODES)
def test_jitter_at_every_rate(code: int) -> None:
    data = some_data(code, 4)
    reception = receive(code, sound(code, data, 3, [(20, 60)], 2))
    assert reception.bit_errors(data) == 0


def test_two_lines_at_once() -> None:
    data = some_data(145, 6)
    reception = receive(145, sound(145, data, 5, [(14, 50), (10, 100)], 3))
    assert reception.bit_errors(data) == 0
    assert hz_of(reception) == pytest.approx([50, 100], abs=0.3)


@pytest.mark.parametrize("degrees", [10, 20])
def test_a_short_training_knows_the_jitter_from_the_long_one(degrees: float) -> None:
    """Its frequency, that is: amplitude and phase are in the short training's own 86 symbols."""
    data = some_data(145, 2)
    sounds = [
        (code, sound(code, data, 3, [(degrees, 60)], code + n)) for n, code in enumerate((145, 146, 146))
    ]
    for reception in receive_in_turn(sounds):
        assert reception.bit_errors(data) == 0
        assert hz_of(reception) == pytest.approx([60], abs=0.3)


@pytest.mark.parametrize("code", CODES)
def test_no_jitter_is_seen_where_there_is_none(code: int) -> None:
    data = some_data(code, 20)
    reception = receive(code, sound(code, data, 0, [], 4))
    assert reception.record.jitter_lines == 0


def test_jitter_that_begins_and_ends_in_the_page() -> None:
    data = some_data(97, 12)
    audio = sound(97, data, 4, [], 5).astype(np.float64)
    swinging = sound(97, data, 4, [(20, 60)], 5)
    begin, end = 4 * 8000, 8 * 8000
    audio[begin:end] = swinging[begin:end]
    reception = receive(97, audio)
    assert reception.bit_errors(data) < 200  # where it sets in and where it stops
    assert reception.data[len(data) - 1000 : len(data)] == data[-1000:]
    assert reception.record.jitter_lines == 0
