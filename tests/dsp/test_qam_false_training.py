"""What else is heard on a fax line must not be taken for a training."""

from collections.abc import Callable

import numpy as np
import pytest

from dsp import burst
from tests.dsp.qam_bench import CODES, Audio, receive


def rms(level_dbm0: float) -> float:
    return float(32768 * 10 ** ((level_dbm0 - 6.15) / 20))


def tones(*hz: float, seconds: float = 4) -> Audio:
    t = np.arange(int(8000 * seconds)) / 8000
    total: Audio = np.sum([np.sin(2 * np.pi * f * t + f) for f in hz], axis=0)
    return total * rms(-14) / np.sqrt(len(hz) / 2)


def noise(level_dbm0: float) -> Audio:
    return np.random.default_rng(1).normal(0, rms(level_dbm0), 30 * 8000)


def speech_like(seed: int) -> Audio:
    """Half a minute of gliding harmonics under wandering formants, hisses and pauses."""
    rng = np.random.default_rng(seed)
    pieces = []
    for _ in range(120):
        n = int(rng.uniform(0.05, 0.45) * 8000)
        if rng.random() < 0.2:
            pieces.append(np.zeros(n))
            continue
        if rng.random() < 0.25:
            piece = rng.normal(0, 1, n)
        else:
            pitch = rng.uniform(80, 260) * np.exp(np.linspace(0, rng.uniform(-0.2, 0.2), n))
            phase = 2 * np.pi * np.cumsum(pitch) / 8000
            formants = (rng.uniform(250, 900), rng.uniform(900, 2300), rng.uniform(2200, 3200))
            piece = np.zeros(n)
            for harmonic in range(1, int(3700 / pitch.max())):
                distance = [(harmonic * pitch.mean() - f) / 80 for f in formants]
                loudness = sum(w / (1 + d * d) for w, d in zip((1, 0.6, 0.3), distance, strict=True))
                piece += loudness * np.cos(harmonic * phase + rng.uniform(0, 6.28))
        pieces.append(piece * np.hanning(n) * rng.uniform(0.3, 1))
    audio = np.concatenate(pieces)
    return audio / np.sqrt(np.mean(audio**2)) * rms(-16)


def ced_with_reversals() -> Audio:
    audio = tones(2100)
    for k in range(1, 8, 2):
        audio[k * 3600 : (k + 1) * 3600] *= -1
    return audio * (1 + 0.2 * np.sin(2 * np.pi * 15 / 8000 * np.arange(len(audio))))


def dtmf() -> Audio:
    pairs = [(697, 1209), (941, 1633), (770, 1336), (852, 1477), (941, 1336)]
    return np.concatenate([np.concatenate([tones(*pair, seconds=0.1), np.zeros(800)]) for pair in pairs * 3])


def v21() -> Audio:
    rng = np.random.default_rng(2)
    frames = [b"\xff\x13" + rng.integers(0, 256, 60, dtype=np.uint8).tobytes() for _ in range(3)]
    return burst.transmit_frames(frames).astype(np.float64)


SOUNDS: dict[str, Callable[[], Audio]] = {
    "loud noise": lambda: noise(-10),
    "line noise": lambda: noise(-40),
    "speech a": lambda: speech_like(1),
    "speech b": lambda: speech_like(2),
    "v21": v21,
    "ced": lambda: tones(2100),
    "ansam": ced_with_reversals,
    "cng": lambda: tones(1100),
    "dtmf": dtmf,
    "busy": lambda: tones(480, 620),
    "carrier 1700 (TEP)": lambda: tones(1700),
    "carrier 1800 (TEP)": lambda: tones(1800),
    "the three lines of V.29 without an end": lambda: tones(500, 1700, 2900),
    "the two lines of V.27ter 4800": lambda: tones(1000, 2600),
    "the two lines of V.27ter 2400": lambda: tones(1200, 2400),
    "buzz": lambda: np.sign(tones(60)) * rms(-14),
}


@pytest.mark.parametrize("sound", SOUNDS)
@pytest.mark.parametrize("code", CODES)
def test_does_not_train_on(sound: str, code: int) -> None:
    reception = receive(code, SOUNDS[sound]())
    assert reception.seen == reception.trained == reception.failed == []
    assert reception.data == b""


@pytest.mark.parametrize("code", CODES)
def test_finds_the_training_right_after_another_sound(code: int) -> None:
    """A sound that looks like an alternation must not make the receiver miss the real one."""
    data = bytes(range(50))
    signal = burst.transmit(code, data)
    for sound in (tones(1200, 2400), tones(500, 1700, 2900), v21(), speech_like(3)[:16000]):
        reception = receive(code, np.concatenate([sound, np.zeros(600), signal, np.zeros(800)]))
        assert len(reception.trained) == 1
        assert reception.data.startswith(data)
