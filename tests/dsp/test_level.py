import numpy as np
import pytest

from dsp import BLOCK, Bank
from dsp.level import dbm0_to_rms, measure_dbm0, rms_to_dbm0
from tests.dsp.signals import joined, noise, play, silence, tone


def test_the_scale() -> None:
    assert rms_to_dbm0(32768 / 2**0.5) == pytest.approx(3.14, abs=0.01)  # full-scale sine, G.711 A-law
    assert dbm0_to_rms(0.0) == pytest.approx(16140, abs=5)
    assert rms_to_dbm0(dbm0_to_rms(-43.0)) == pytest.approx(-43.0)
    assert rms_to_dbm0(0.0) == -99.0


@pytest.mark.parametrize("level", [0.0, -6.0, -14.0, -36.0, -43.0, -60.0])
def test_level_of_a_tone_and_of_noise(level: float) -> None:
    for signal in (tone(1100, level, 1600), noise(level, 1600, 1)):
        bank = Bank(1)
        play(bank, signal)
        assert bank.channels[0].level_dbm0 == pytest.approx(level, abs=1.0)
        assert measure_dbm0(signal) == pytest.approx(level, abs=0.6)


def test_direct_current_is_not_signal() -> None:
    bank = Bank(1)
    play(bank, np.full(16000, 3000, np.int16))
    assert bank.channels[0].level_dbm0 < -80
    assert bank.channels[0].silence_samples == 16000


def test_silence_is_counted_from_the_end_of_the_signal() -> None:
    bank = Bank(1)
    play(bank, joined(tone(1650, -20, 1600 + 80), silence(720)))
    assert 720 - 40 <= bank.channels[0].silence_samples <= 720


def test_silence_threshold() -> None:
    bank = Bank(1)
    play(bank, tone(1700, -37.0, 8000))
    assert bank.channels[0].silence_samples == 8000
    play(bank, tone(1700, -35.0, 8000))
    assert bank.channels[0].silence_samples == 0


def test_a_lost_block_changes_nothing() -> None:
    for signal, expected in ((silence(BLOCK), 4 * BLOCK), (tone(1100, -10, BLOCK), 0)):
        bank = Bank(1)
        for lost, block in (
            (False, signal),
            (True, tone(500, -3, BLOCK)),
            (True, silence(BLOCK)),
            (False, signal),
        ):
            bank.process(block[np.newaxis], np.array([lost]))
        assert bank.channels[0].silence_samples == expected


def test_audio_lost_for_long_is_silence() -> None:
    bank = Bank(1)
    play(bank, tone(1100, -10, 1600))
    for _ in range(20):
        bank.process(np.zeros((1, BLOCK), np.int16), np.ones(1, np.bool_))
    assert bank.channels[0].silence_samples == 10 * BLOCK
    assert bank.channels[0].measures().n_lost_blocks == 20
