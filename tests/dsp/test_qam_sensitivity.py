"""How much noise the fast receivers bear; the noise is on the line before the signal too."""

import numpy as np
import pytest

from dsp.qam_tx import qam_burst
from tests.dsp.qam_bench import CODES, GOAL_DB, V17_CODES, receive, receive_in_turn, silence, with_noise

GOALS = list(GOAL_DB.items())


@pytest.mark.parametrize(("code", "snr_db"), GOALS)
def test_bit_errors_at_the_goal(code: int, snr_db: float) -> None:
    data = np.random.default_rng(code).integers(0, 256, CODES[code] * 8, dtype=np.uint8).tobytes()  # 64 s
    audio = np.concatenate([silence(8000), qam_burst(code, data), silence(1600)])
    reception = receive(code, with_noise(audio, snr_db, -14, code))
    assert len(reception.trained) == 1
    assert len(reception.carrier_lost) == 1
    assert reception.bit_errors(data) / (8 * len(data)) < 1e-4
    assert reception.record.snr_db == pytest.approx(
        snr_db + 10 * np.log10(4000 / (2400 if code > 50 else CODES[code] / (2 if code == 24 else 3))),
        abs=0.4,
    )


@pytest.mark.parametrize(("code", "snr_db"), GOALS)
def test_training_succeeds_at_the_goal(code: int, snr_db: float) -> None:
    data = bytes(range(30))
    trained = 0
    for start in range(100):
        audio = np.concatenate([silence(3000 + 13 * start), qam_burst(code, data), silence(1600)])
        reception = receive(code, with_noise(audio, snr_db, -14, start))
        trained += len(reception.trained) == 1 and reception.bit_errors(data) <= 6
    assert trained >= 99


@pytest.mark.parametrize("level_dbm0", [-43, -3])
@pytest.mark.parametrize(("code", "snr_db"), GOALS)
def test_training_in_noise_at_the_ends_of_the_range(code: int, snr_db: float, level_dbm0: float) -> None:
    data = bytes(range(30))
    for start in range(10):
        burst = qam_burst(code, data, level_change_db=level_dbm0 + 14)
        audio = np.concatenate([silence(3000 + 13 * start), burst, silence(1600)])
        reception = receive(code, with_noise(audio, snr_db + 2, level_dbm0, start))
        assert len(reception.trained) == 1
        assert reception.bit_errors(data) <= 4


@pytest.mark.parametrize("level_dbm0", [-43, -14, -3])
@pytest.mark.parametrize("code", V17_CODES)
def test_short_training_succeeds_at_the_goal(code: int, level_dbm0: float) -> None:
    """The short one comes at any other instant and phase, and the loops have their say in between."""
    data = np.random.default_rng(code).integers(0, 256, 300, dtype=np.uint8).tobytes()
    n = 34 if level_dbm0 == -14 else 10
    trained = 0
    for start in range(n):
        sounds = []
        for short in range(4):
            burst = qam_burst(code + (short > 0), data, level_change_db=level_dbm0 + 14)
            audio = np.concatenate([silence(1600 + 13 * start + 7 * short), burst, silence(1600)])
            sounds.append(
                (code + (short > 0), with_noise(audio, GOAL_DB[code], level_dbm0, 4 * start + short))
            )
        receptions = receive_in_turn(sounds)
        trained += sum(len(r.trained) == 1 and r.bit_errors(data) <= 30 for r in receptions[1:])
    assert trained >= 0.99 * 3 * n


@pytest.mark.parametrize("code", V17_CODES)
def test_short_training_without_a_long_one_does_on_a_clean_line(code: int) -> None:
    data = bytes(range(200))
    audio = np.concatenate([silence(1234), qam_burst(code + 1, data), silence(1600)])
    assert receive(code + 1, with_noise(audio, 35, -14, 1)).bit_errors(data) == 0
