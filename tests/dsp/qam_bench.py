"""The bench of the fast-modem tests: a receiver in a box, and what a line does to a signal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsp.kernel import argument, records
from dsp.qam_rx import (
    EVENT_CARRIER_LOST,
    EVENT_FAILED,
    EVENT_TRAINED,
    EVENT_TRAINING_SEEN,
    QAM_RX,
    qam_rx_block,
    qam_rx_start,
)
from dsp.v29 import V29_4800_CODE

Audio = NDArray[np.float64]

#: Bit rates by T.31 code; V.17 with long training.
CODES = {
    24: 2400, 48: 4800, V29_4800_CODE: 4800, 72: 7200, 96: 9600, 73: 7200, 97: 9600, 121: 12000, 145: 14400
}  # fmt: skip
V17_CODES = (73, 97, 121, 145)
#: SNR (0–4 kHz) at which no more than 1e-4 of the bits may be wrong, dB.
#: An ideal receiver: 7.2, 13.4, 10.2, 14.3, 17.9; 11.0, 14.1, 17.4, 20.3.
GOAL_DB = {
    24: 8.0, 48: 14.2, V29_4800_CODE: 11.1, 72: 15.2, 96: 18.8, 73: 12.2, 97: 15.2, 121: 18.4, 145: 21.3
}  # fmt: skip


@dataclass
class Reception:
    """What a receiver made of some audio; events are block numbers."""

    data: bytes = b""
    seen: list[int] = field(default_factory=list)
    trained: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    carrier_lost: list[int] = field(default_factory=list)
    record: Any = None

    def bit_errors(self, sent: bytes) -> int:
        """Wrong or missing bits of ``sent``, position by position."""
        n = min(len(sent), len(self.data))
        wrong = np.frombuffer(sent[:n], np.uint8) ^ np.frombuffer(self.data[:n], np.uint8)
        return int(np.unpackbits(wrong).sum()) + 8 * (len(sent) - n)


def receive(code: int, audio: Audio | NDArray[np.int16], lost: Collection[int] = ()) -> Reception:
    """Run a fresh receiver over ``audio``; blocks numbered in ``lost`` are flagged as stand-ins."""
    return receive_in_turn([(code, audio)], lost)[0]


def receive_in_turn(
    sounds: Sequence[tuple[int, Audio | NDArray[np.int16]]], lost: Collection[int] = ()
) -> list[Reception]:
    """Run one receiver over several pieces of audio, started anew for each, with the code given with it.

    A short training relies on what a long one taught before; ``lost`` is for the last piece.
    """
    state = records(QAM_RX, 1)
    record = argument(state)[0]
    out = np.zeros(64, np.uint8)
    results = []
    for n_sound, (code, audio) in enumerate(sounds, 1):
        assert qam_rx_start(record, code)
        result = Reception()
        samples = np.concatenate([audio, np.zeros(-len(audio) % 160)])
        samples = np.clip(np.rint(samples), -32768, 32767).astype(np.float32)
        for block in range(len(samples) // 160):
            is_lost = n_sound == len(sounds) and block in lost
            n = qam_rx_block(record, samples[160 * block : 160 * block + 160], is_lost, out)
            result.data += out[:n].tobytes()
            events = state[0].events
            for bit, blocks in (
                (EVENT_TRAINING_SEEN, result.seen),
                (EVENT_TRAINED, result.trained),
                (EVENT_FAILED, result.failed),
                (EVENT_CARRIER_LOST, result.carrier_lost),
            ):
                if events & bit:
                    blocks.append(block)
        result.record = state.copy()[0]
        results.append(result)
    return results


def silence(n_samples: int) -> Audio:
    return np.zeros(n_samples)


def power_dbm0(audio: Audio | NDArray[np.int16]) -> float:
    """Level of all of ``audio``."""
    return float(10 * np.log10(np.mean(np.square(audio, dtype=np.float64)) / 32768.0**2) + 6.15)


def at_level(audio: Audio | NDArray[np.int16], change_db: float) -> Audio:
    return audio * 10 ** (change_db / 20)


def with_noise(audio: Audio | NDArray[np.int16], snr_db: float, signal_dbm0: float, seed: int) -> Audio:
    """White noise over 0–4 kHz, ``snr_db`` below a signal of ``signal_dbm0``, everywhere in ``audio``."""
    rms = 32768 * 10 ** ((signal_dbm0 - snr_db - 6.15) / 20)
    return audio + np.random.default_rng(seed).normal(0, rms, len(audio))


def with_carrier_offset(audio: Audio | NDArray[np.int16], offset_hz: float) -> Audio:
    """Every frequency moved by ``offset_hz`` (single side band)."""
    n = len(audio)
    spectrum = np.fft.fft(audio)
    spectrum[n // 2 + 1 :] = 0
    spectrum[1 : (n + 1) // 2] *= 2
    turn = np.exp(2j * np.pi * offset_hz * np.arange(n) / 8000)
    shifted: Audio = (np.fft.ifft(spectrum) * turn).real
    return shifted


def with_clock_offset(audio: Audio | NDArray[np.int16], offset_ppm: float, delay: float = 0.0) -> Audio:
    """As sent by a clock that is ``offset_ppm`` fast, ``delay`` samples late (windowed sinc)."""
    reach = 32
    at = np.arange(int(len(audio) / (1 + offset_ppm * 1e-6)) - 1) * (1 + offset_ppm * 1e-6) - delay
    whole = np.floor(at).astype(np.int64)
    padded = np.concatenate([np.zeros(reach), audio, np.zeros(reach + 1)])
    result = np.zeros(len(at))
    for k in range(-reach + 1, reach + 1):
        distance = at - whole - k
        weight = np.sinc(distance) * np.cos(np.pi * distance / (2 * reach)) ** 2
        result += weight * padded[np.clip(whole + k + reach, 0, len(padded) - 1)]
    return result
