"""Signals and listening for the tests of dsp: seeded noise, levels, delays, clock differences."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dsp import BLOCK, Bank, Event
from dsp.level import dbm0_to_rms

Samples: TypeAlias = NDArray[np.int16]


def silence(n_samples: int) -> Samples:
    return np.zeros(n_samples, np.int16)


def noise(level_dbm0: float, n_samples: int, seed: int) -> Samples:
    samples = np.random.default_rng(seed).normal(0.0, dbm0_to_rms(level_dbm0), n_samples)
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


def tone(frequency_hz: float, level_dbm0: float, n_samples: int) -> Samples:
    t = np.arange(n_samples) / 8000
    peak = dbm0_to_rms(level_dbm0) * 2**0.5
    return np.rint(peak * np.sin(2 * np.pi * frequency_hz * t)).astype(np.int16)


def amplified(samples: Samples, db: float) -> Samples:
    return np.clip(np.rint(samples * 10 ** (db / 20)), -32768, 32767).astype(np.int16)


def added(a: Samples, b: Samples) -> Samples:
    return np.clip(a.astype(np.int32) + b[: len(a)], -32768, 32767).astype(np.int16)


def skewed(samples: Samples, ppm: float) -> Samples:
    """As sent by a clock that is ``ppm`` fast."""
    at = np.arange(int(len(samples) / (1 + ppm * 1e-6)) - 1) * (1 + ppm * 1e-6)
    return np.rint(np.interp(at, np.arange(len(samples)), samples)).astype(np.int16)


def joined(*parts: Samples) -> Samples:
    return np.concatenate(parts)


def play(bank: Bank, samples: Samples) -> list[tuple[int, Event]]:
    """Play whole blocks to channel 0: its events, each with the number of samples heard by then."""
    heard = []
    for k in range(0, len(samples) - BLOCK + 1, BLOCK):
        bank.process(samples[np.newaxis, k : k + BLOCK], np.zeros(1, np.bool_))
        heard += [(k + BLOCK, event) for i, event in bank.events() if i == 0]
    return heard


def record(bank: Bank, n_blocks: int) -> tuple[Samples, list[tuple[int, Event]]]:
    """What channel 0 sends in ``n_blocks``, and its events with the number of samples sent by then."""
    sent = []
    events = []
    for k in range(n_blocks):
        tx = bank.process(np.zeros((1, BLOCK), np.int16), np.zeros(1, np.bool_))
        sent.append(tx[0].copy())
        events += [((k + 1) * BLOCK, event) for _, event in bank.events()]
    return np.concatenate(sent), events
