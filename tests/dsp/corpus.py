"""Sounds that are no fax: what a receiver must not take for a carrier. Synthetic, seeded, as long as wanted.

Each maker takes a number of samples and a seed and gives floats of about unit rms; :func:`clip` puts one on
the line: a level, a codec, a little noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from dsp.call_progress import NAMES as PROGRESS
from dsp.call_progress import TONES
from dsp.dtmf import HIGH_HZ, LOW_HZ
from dsp.level import dbm0_to_rms
from dsp.line_model import Codec, Line, Noise

Sound = NDArray[np.float64]
Maker = Callable[[int, np.random.Generator], Sound]
RATE = 8000


def _band(x: Sound, low_hz: float, high_hz: float) -> Sound:
    spectrum = np.fft.rfft(x)
    hz = np.fft.rfftfreq(len(x), 1 / RATE)
    spectrum[(hz < low_hz) | (hz > high_hz)] = 0
    return np.fft.irfft(spectrum, len(x))


def _unit(x: Sound) -> Sound:
    return x / max(float(np.sqrt(np.mean(x**2))), 1e-9)


def _smooth_walk(n: int, rng: np.random.Generator, every_s: float, draw: Callable[[int], Sound]) -> Sound:
    """Values drawn every so often, on average, and glided between."""
    n_points = max(int(n / RATE / every_s), 2) + 1
    at = np.sort(rng.uniform(0, n, n_points))
    return np.interp(np.arange(n), at, draw(n_points))


_VOWELS = np.array(
    [
        (730, 1090, 2440),
        (270, 2290, 3010),
        (300, 870, 2240),
        (530, 1840, 2480),
        (570, 840, 2410),
        (440, 1020, 2240),
    ]
)


def speech(n: int, rng: np.random.Generator) -> Sound:
    """Voice: harmonics of a gliding pitch under moving formants, hissing consonants, syllables and pauses."""
    pitch = _smooth_walk(n, rng, 0.25, lambda k: rng.uniform(0.75, 1.3, k)) * rng.choice([110.0, 200.0])
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    which = rng.integers(0, len(_VOWELS), max(int(n / RATE / 0.18), 2) + 1)
    at = np.linspace(0, n, len(which))
    formants = [np.interp(np.arange(n), at, _VOWELS[which, k]) for k in range(3)]
    voiced = np.zeros(n)
    slow = np.arange(0, n, 40)  # every 5 ms will do for the strength of an overtone
    for harmonic in range(1, 34):
        hz = harmonic * pitch[slow]
        gain = sum(
            weight / (1 + ((hz - formant[slow]) / width) ** 2)
            for formant, weight, width in zip(formants, (1.0, 0.5, 0.25), (60, 90, 140), strict=True)
        )
        strength = np.where(hz < 3500, gain, 0) / harmonic**0.3
        voiced += np.interp(np.arange(n), slow, strength) * np.sin(harmonic * phase)
    hiss = _unit(_band(rng.standard_normal(n), 1800, 3600))
    kind = np.repeat(rng.choice(3, n // 800 + 1, p=[0.6, 0.15, 0.25]), 800)[:n]  # 100 ms: vowel, hiss, pause
    ramp = np.hanning(400) / np.hanning(400).sum()
    is_voiced, is_hiss = (np.convolve(kind == k, ramp, "same") for k in (0, 1))
    return _unit(_band(_unit(voiced) * is_voiced + 0.3 * hiss * is_hiss, 250, 3500))


def music(n: int, rng: np.random.Generator) -> Sound:
    """Chords and a tune with overtones that die away, and a drum."""
    out = np.zeros(n)
    beat = int(RATE * rng.uniform(0.18, 0.4))
    t = np.arange(int(1.2 * RATE)) / RATE
    for start in range(0, n, beat):
        length = min(len(t), n - start)
        time = t[:length]
        root = 55 * 2 ** (rng.choice([0, 3, 5, 7, 10, 12]) / 12)
        notes = [root * 2 ** (step / 12) for step in rng.choice([0, 4, 7, 12, 16, 19, 24, 31, 36, 43], 4)]
        for note in notes:
            decay = rng.uniform(1.5, 8)
            for overtone in range(1, 1 + int(rng.integers(2, 9))):
                hz = note * overtone
                if hz < 3600:
                    out[start : start + length] += (
                        np.exp(-decay * overtone**0.5 * time) * np.sin(2 * np.pi * hz * time) / overtone
                    )
        drum = min(400, length)
        out[start : start + drum] += (
            rng.uniform(0, 1.5) * rng.standard_normal(drum) * np.exp(-np.arange(drum) / 80)
        )
    return _unit(_band(out, 100, 3600))


def white_noise(n: int, rng: np.random.Generator) -> Sound:
    return rng.standard_normal(n)


def coloured_noise(n: int, rng: np.random.Generator) -> Sound:
    """Noise in a narrow band somewhere, ever another."""
    piece = RATE
    parts = []
    for _ in range(0, n, piece):
        centre, width = rng.uniform(400, 3200), rng.uniform(50, 1500)
        parts.append(_unit(_band(rng.standard_normal(piece), centre - width / 2, centre + width / 2)))
    return np.concatenate(parts)[:n]


def _sines(n: int, frequencies: Sequence[float]) -> Sound:
    t = 2 * np.pi * np.arange(n) / RATE
    return np.sum([np.sin(t * hz) for hz in frequencies], axis=0)


def _cadence(frequencies: Sequence[float], on_s: float, off_s: float) -> Maker:
    def make(n: int, rng: np.random.Generator) -> Sound:
        period = on_s + off_s
        sounding = (np.arange(n) / RATE + rng.uniform(0, period)) % period < on_s
        return _sines(n, frequencies) / len(frequencies) ** 0.5 * 2**0.5 * sounding

    return make


def calling_tones(n: int, rng: np.random.Generator) -> Sound:
    """CED, ANSam, V.25's 1300 Hz, Bell's 2225 Hz and CNG, seconds each, with pauses."""
    t = np.arange(3 * RATE) / RATE
    reversals = np.where((t / 0.45).astype(int) % 2, -1.0, 1.0)
    am = 1 + 0.2 * np.sin(2 * np.pi * 15 * t)
    makers = [
        np.sin(2 * np.pi * 2100 * t),
        am * np.sin(2 * np.pi * 2100 * t),
        reversals * am * np.sin(2 * np.pi * 2100 * t),
        np.sin(2 * np.pi * 1300 * t),
        np.sin(2 * np.pi * 2225 * t),
        np.sin(2 * np.pi * 1100 * t) * (t % 1 < 0.5),
    ]
    parts: list[Sound] = []
    while sum(map(len, parts)) < n:
        parts += [makers[rng.integers(len(makers))], np.zeros(int(rng.uniform(0.05, 0.5) * RATE))]
    return 2**0.5 * np.concatenate(parts)[:n]


def fax_like_tones(n: int, rng: np.random.Generator) -> Sound:
    """Steady tones at the frequencies that modems use: carriers, band edges, marks, spaces; pairs too."""
    hz = [500, 600, 1000, 1200, 1650, 1700, 1750, 1800, 1850, 2400, 2600, 2900, 3000]
    parts: list[Sound] = []
    while sum(map(len, parts)) < n:
        chosen = rng.choice(hz, int(rng.integers(1, 3)), replace=False)
        parts.append(_unit(_sines(int(rng.uniform(0.1, 1.5) * RATE), chosen)))
    return np.concatenate(parts)[:n]


def sweeps(n: int, rng: np.random.Generator) -> Sound:
    """Whistling up and down through the band."""
    hz = _smooth_walk(n, rng, 0.4, lambda k: rng.uniform(300, 3300, k))
    return 2**0.5 * np.sin(2 * np.pi * np.cumsum(hz) / RATE)


def dtmf(n: int, rng: np.random.Generator) -> Sound:
    parts: list[Sound] = []
    while sum(map(len, parts)) < n:
        length = int(rng.uniform(0.05, 0.3) * RATE)
        parts += [_sines(length, [rng.choice(LOW_HZ), rng.choice(HIGH_HZ)]), np.zeros(length)]
    return np.concatenate(parts)[:n]


def call_progress(n: int, rng: np.random.Generator) -> Sound:
    """Dial, busy, congestion and ringback tones of both worlds, ten seconds each."""
    parts: list[Sound] = []
    while sum(map(len, parts)) < n:
        tone = TONES[PROGRESS[rng.integers(len(PROGRESS))]]
        parts.append(_cadence(tone.frequencies_hz, tone.on_s, tone.off_s)(10 * RATE, rng))
    return np.concatenate(parts)[:n]


def _fsk(mark_hz: float, space_hz: float, bit_rate: float) -> Maker:
    def make(n: int, rng: np.random.Generator) -> Sound:
        bits = rng.integers(0, 2, int(n / RATE * bit_rate) + 2)
        hz = np.where(bits[(np.arange(n) * bit_rate / RATE).astype(int)], mark_hz, space_hz)
        return 2**0.5 * np.sin(2 * np.pi * np.cumsum(hz) / RATE)

    return make


def random_v21(n: int, rng: np.random.Generator) -> Sound:
    """The fax's own FSK, but with random bits: flags come in it by chance only."""
    return _fsk(1650, 1850, 300)(n, rng)


def other_fsk(n: int, rng: np.random.Generator) -> Sound:
    """Caller identification (Bell 202), V.23, V.21 channel 1, Bell 103; two seconds each."""
    makers = [_fsk(1200, 2200, 1200), _fsk(1300, 2100, 1200), _fsk(980, 1180, 300), _fsk(2225, 2025, 300)]
    return np.concatenate([makers[rng.integers(4)](2 * RATE, rng) for _ in range(n // RATE // 2 + 1)])[:n]


def hum_and_clicks(n: int, rng: np.random.Generator) -> Sound:
    """Mains hum with harmonics, and crackle."""
    hum = _sines(n, [50 * k for k in range(1, 12)])
    clicks = rng.standard_normal(n) * (rng.random(n) < 2e-3) * 30
    return _unit(_unit(hum) + clicks)


SOUNDS: dict[str, Maker] = {
    "speech": speech,
    "music": music,
    "white noise": white_noise,
    "coloured noise": coloured_noise,
    "CED, ANSam, calling tones": calling_tones,
    "CNG": _cadence([1100.0], 0.5, 3.0),
    "tones at modem frequencies": fax_like_tones,
    "sweeps": sweeps,
    "DTMF": dtmf,
    "call progress": call_progress,
    "other FSK": other_fsk,
    "hum and clicks": hum_and_clicks,
}


def clip(name: str, seconds: float, seed: int) -> NDArray[np.int16]:
    """``seconds`` of the sound ``name`` on a line: level and codec by the seed, noise 35 dB below."""
    return clip_of(SOUNDS[name], seconds, [seed, *name.encode()])


def clip_of(make: Maker, seconds: float, seed: Sequence[int]) -> NDArray[np.int16]:
    """As :func:`clip`, of any sound."""
    rng = np.random.default_rng(seed)
    level_dbm0 = rng.uniform(-38, -8)
    sound = make(int(seconds * RATE), rng) * dbm0_to_rms(level_dbm0)
    line = Line([Noise(level_dbm0 - 35), Codec("alaw" if rng.random() < 0.5 else "ulaw")], seed[0])
    return line.run(np.clip(np.rint(sound), -32768, 32767).astype(np.int16))
