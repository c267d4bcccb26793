"""What is no fax and yet is taken for one: trainings and flags in speech, music, noise, tones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bench.fax_modems import PEER_CUTOFF_DBM0, Modem
from bench.rows import Row
from dsp import BLOCK, Bank, FlagsDetected, Trained, TrainingFailed
from tests.dsp.corpus import SOUNDS, clip
from tests.peers import spandsp_peer as peer

_CLIP_S = 30


def false_rows(modems: Sequence[Modem], quick: bool) -> Iterator[Row]:
    """Per hour of listening, all receivers of that hour together; the unit says how much was heard."""
    n_clips = 2 if quick else 40
    receivers = [modem for modem in modems if not modem.short]
    for name in SOUNDS:
        ours = np.zeros(2)
        theirs = np.zeros(2)
        for seed in range(n_clips):
            audio = clip(name, _CLIP_S, seed)
            ours += _ours(receivers, audio)
            theirs += _theirs(receivers, audio)
        hours = n_clips * _CLIP_S / 3600
        for k, what in enumerate(("trained, or flags", "trainings begun in vain")):
            unit = f"an hour, from {60 * hours:.0f} min"
            yield Row(f"{name}: {what}", ours[k] / hours, theirs[k] / hours, unit)


def _ours(modems: Sequence[Modem], audio: np.ndarray) -> np.ndarray:
    bank = Bank(len(modems) + 1)
    bank.channels[-1].receive_v21()
    for channel, modem in zip(bank.channels, modems, strict=False):
        channel.receive_fast(modem.code)
    counts = np.zeros(2)
    rx = np.zeros((len(modems) + 1, BLOCK), np.int16)
    lost = np.zeros(len(rx), np.bool_)
    for start in range(0, len(audio) - BLOCK + 1, BLOCK):
        rx[:] = audio[start : start + BLOCK]
        bank.process(rx, lost)
        for i, event in bank.events():
            counts[0] += isinstance(event, Trained)
            counts[0] += isinstance(event, FlagsDetected) and i == len(
                modems
            )  # all channels see the same ones
            counts[1] += isinstance(event, TrainingFailed)
    return counts


def _theirs(modems: Sequence[Modem], audio: np.ndarray) -> np.ndarray:
    counts = np.zeros(2)
    for modem in modems:
        names = (
            peer.ModemRx(modem.peer, modem.rate, cutoff_dbm0=PEER_CUTOFF_DBM0)
            .rx(audio, len(audio))
            .event_names()
        )
        counts += names.count("trained"), names.count("training_failed")
    sink = peer.HdlcRx()
    peer.ModemRx("v21ch2", 300, sink).rx(audio, len(audio))
    counts[0] += sink.event_names().count("framing_ok")
    return counts
