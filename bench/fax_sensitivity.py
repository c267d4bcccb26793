"""How much noise the receivers stand: the SNR at an error rate of 1e-4, and trainings that succeed there.

Both receivers hear the same samples: our transmitter at -14 dBm0 with white noise over 0 to 4 kHz.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np

from bench.fax_modems import (
    Audio,
    Heard,
    Modem,
    OurReceiver,
    PeerReceiver,
    bit_errors,
    bits_of,
    ours_frames,
    ours_send,
    peer_frames,
    random_data,
)
from bench.rows import Row
from dsp import burst
from dsp.line_model import FractionalDelay, Gain, Idle, Line, Noise

LEVEL_DBM0 = -14.0
ERROR_RATE = 1e-4
_STEP_DB = 0.25
_WORST_DB = 20.0  # above ideal: then there is no such SNR

#: V.21: the ideal non-coherent receiver, and the goal.
V21_IDEAL_DB, V21_GOAL_DB = 1.0, 2.5
_V21_OCTETS = 100


def crossing(
    error_rate: Callable[[float], float], start_db: float, least_db: float, most_db: float
) -> float | None:
    """SNR at which ``error_rate`` is 1e-4, log-linear between two steps; None if beyond ``most_db``."""
    snr_db = start_db
    rate = error_rate(snr_db)
    up = rate > ERROR_RATE
    while least_db <= snr_db <= most_db:
        before_db, before = snr_db, rate
        snr_db += _STEP_DB if up else -_STEP_DB
        rate = error_rate(snr_db)
        if (rate > ERROR_RATE) != up:
            low, high = math.log(before), math.log(rate)
            share = (math.log(ERROR_RATE) - low) / (high - low)
            return before_db + share * (snr_db - before_db)
    return None if up else least_db


def fast_rows(modems: Sequence[Modem], quick: bool) -> Iterator[Row]:
    """Sensitivity of the fast modems."""
    n_bursts, seconds = (2, 5) if quick else (6, 25)
    for modem in modems:
        for_both = []
        for kind in (OurReceiver, PeerReceiver):
            for_both.append(
                crossing(
                    cache(_fast_error_rate(modem, kind, n_bursts, seconds)),
                    modem.goal_db,
                    modem.ideal_db - 2,
                    modem.ideal_db + _WORST_DB,
                )
            )
        ours, reference = for_both
        yield Row(
            modem.name,
            ours,
            reference,
            "dB SNR at 1e-4",
            ideal=modem.ideal_db,
            goal=modem.goal_db,
        )


def _fast_error_rate(
    modem: Modem, receiver: type[OurReceiver] | type[PeerReceiver], n_bursts: int, seconds: int
) -> Callable[[float], float]:
    signals = [
        (data := random_data(modem.rate // 8 * seconds, seed), ours_send(modem, data))
        for seed in range(n_bursts)
    ]

    def error_rate(snr_db: float) -> float:
        n_wrong = n_bits = 0
        for seed, (data, audio) in enumerate(signals):
            line = Line([Idle(0.2, 0.1), Noise(LEVEL_DBM0 - snr_db, idle_dbm0=None)], seed)
            heard: Heard = receiver(modem).hear(line.run(audio))
            if heard.trained:
                sent = bits_of(data)
                n_wrong += bit_errors(sent, heard.bits)
                n_bits += len(sent)
        return max(n_wrong, 0.5) / n_bits if n_bits else 0.5

    return error_rate


def v21_row(quick: bool) -> Row:
    """Sensitivity of V.21, by the frames that arrive: 1e-4 leaves 92 % of those of 100 octets."""
    n_frames = 40 if quick else 400
    frames = [random_data(_V21_OCTETS, seed) for seed in range(n_frames)]
    audio = burst.transmit_frames(frames)
    bits_a_frame = (_V21_OCTETS + 2) * 8 * 63 / 62  # with the zeros inserted on average

    def error_rate(receive: Callable[[Audio], list[bytes]]) -> Callable[[float], float]:
        @cache
        def rate(snr_db: float) -> float:
            line = Line([Idle(0.2, 0.1), Noise(LEVEL_DBM0 - snr_db, idle_dbm0=None)], seed=1)
            missing = n_frames - len(set(receive(line.run(audio))) & set(frames))
            if missing == n_frames:
                return 0.5
            return -math.log(1 - max(missing, 0.5) / n_frames) / bits_a_frame

        return rate

    ours, reference = (
        crossing(error_rate(receive), V21_GOAL_DB, -3, 20) for receive in (ours_frames, peer_frames)
    )
    return Row("V.21 300", ours, reference, "dB SNR at 1e-4", ideal=V21_IDEAL_DB, goal=V21_GOAL_DB)


#: Received level; noise on the line before the signal too.
TRAINING_CASES = (
    (LEVEL_DBM0, False),
    (LEVEL_DBM0, True),
    (-4.0, True),
    (-28.0, True),
    (-35.0, True),
    (-43.0, True),
)


def training_rows(modems: Sequence[Modem], quick: bool) -> Iterator[Row]:
    """Share of trainings that succeed at the goal's SNR."""
    n = 20 if quick else 200
    for modem in modems:
        for level_dbm0, before in TRAINING_CASES:
            ours = reference = 0
            for seed in range(n):
                data = random_data(60, seed)
                heard = training_audio(modem, data, level_dbm0, before, seed)
                ours += _trains(OurReceiver(modem), heard, data)
                reference += _trains(PeerReceiver(modem), heard, data)
            where = "noise 1 s before too" if before else "silence before"
            yield Row(
                f"{modem.name}, {level_dbm0:g} dBm0, {where}",
                100 * ours / n,
                100 * reference / n,
                "% trained",
                goal=99,
                more_is_better=True,
            )


def training_audio(modem: Modem, data: bytes, level_dbm0: float, before: bool, seed: int) -> Audio:
    """A short transmission at the goal's SNR, beginning at any fraction of a block."""
    rng = np.random.default_rng(seed)
    noise_dbm0 = level_dbm0 - modem.goal_db
    line = Line(
        [
            Idle(1.0 + rng.integers(160) / 8000, 0.2),
            FractionalDelay(rng.uniform(0, 0.9)),
            Gain(level_dbm0 - LEVEL_DBM0),
            Noise(noise_dbm0) if before else Noise(noise_dbm0, idle_dbm0=None),
        ],
        seed,
    )
    return line.run(ours_send(modem, data))


def _trains(receiver: OurReceiver | PeerReceiver, audio: Audio, data: bytes) -> bool:
    """Trained, on this signal: its data are mostly right."""
    heard = receiver.hear(audio)
    sent = bits_of(data)
    return heard.trained and bit_errors(sent, heard.bits) < len(sent) // 10
