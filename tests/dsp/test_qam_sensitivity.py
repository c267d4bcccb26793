"""How much noise the fast receivers bear; the noise is on the line before the signal too."""

import numpy as np
import pytest

from dsp.qam_tx import qam_burst
from tests.dsp.qam_bench import CODES, receive, silence, with_noise

#: SNR in 0–4 kHz at which no more than 1e-4 of the bits may be wrong, dB; ideal: 7.2, 13.4, 14.3, 17.9.
GOALS = [(24, 8.0), (48, 14.2), (72, 15.2), (96, 18.8)]


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
