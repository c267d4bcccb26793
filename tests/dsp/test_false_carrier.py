"""No receiver takes for a fax what is none: a corpus of speech, music, noise, tones and other modems.

``pytest -s`` prints the figures; ``python -m bench.dsp --only false`` gives more, beside libspandsp's.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from dsp import (
    BLOCK,
    Bank,
    DtmfDetected,
    FlagsDetected,
    FrameReceived,
    ToneDetected,
    Trained,
    TrainingFailed,
    burst,
)
from dsp.v29 import V29_4800_CODE
from tests.dsp.corpus import SOUNDS, clip, clip_of, random_v21
from tests.dsp.signals import Samples, joined, silence

#: One channel listens for each; V.21 flags are listened for by all of them.
CODES = (3, 24, 48, V29_4800_CODE, 72, 96, 73, 97, 121, 145)
_CLIP_S = 10
_N_CLIPS = 9  # a minute and a half of each sound

#: What is really there to be heard.
_TONES_THERE = {
    "CED, ANSam, calling tones": {"ced", "cng"},
    "CNG": {"cng"},
    "call progress": {"dial", "busy", "congestion", "ringback"},
    "tones at modem frequencies": set(),
}


def listening() -> Bank:
    bank = Bank(len(CODES))
    for channel, code in zip(bank.channels, CODES, strict=True):
        if code == 3:
            channel.receive_v21()
            channel.listen_for(dtmf=True, call_progress=True)
        else:
            channel.receive_fast(code)
    return bank


def heard(bank: Bank, samples: Samples) -> list[tuple[int, object]]:
    """All that any of the channels reported of the same samples: (code, event)."""
    events: list[tuple[int, object]] = []
    rx = np.zeros((len(CODES), BLOCK), np.int16)
    lost = np.zeros(len(CODES), np.bool_)
    for start in range(0, len(samples) - BLOCK + 1, BLOCK):
        rx[:] = samples[start : start + BLOCK]
        bank.process(rx, lost)
        events += [(CODES[i], event) for i, event in bank.events()]
    return events


@pytest.mark.parametrize("name", SOUNDS)
def test_nothing_is_taken_for_a_fax(name: str) -> None:
    counts: Counter[str] = Counter()
    for seed in range(_N_CLIPS):
        for code, event in heard(listening(), clip(name, _CLIP_S, seed)):
            counts[
                f"{type(event).__name__} {getattr(event, 'name', getattr(event, 'digit', ''))}".strip()
            ] += 1
            assert not isinstance(event, Trained | FlagsDetected | FrameReceived), (seed, code, event)
            if isinstance(event, ToneDetected):
                assert event.name in _TONES_THERE.get(name, ()), (seed, event)
            if isinstance(event, DtmfDetected):
                assert name == "DTMF", (seed, event)
    print(f"\n{name}: {_N_CLIPS * _CLIP_S} s, {len(CODES)} receivers: {dict(counts) or 'nothing'}")
    assert counts["TrainingFailed"] <= 2  # a search that began and gave up: a lost half second, no more


def test_random_bits_in_v21_show_flags_by_chance_only() -> None:
    """Three flags that share their zeros are 22 given bits: once in four hours of random ones."""
    flags = [
        event
        for seed in range(10)
        for code, event in heard(listening(), clip_of(random_v21, 30, [seed]))
        if isinstance(event, FlagsDetected) and code == 3
    ]
    print(f"\nrandom bits in V.21, 300 s: flags {len(flags)} times")
    assert len(flags) <= 1


def _family(code: int) -> str:
    return {3: "V.21", 24: "V.27ter 2400", 48: "V.27ter 4800", 72: "V.29", 96: "V.29"}.get(code, "V.17")


@pytest.mark.parametrize("sent", [3, 24, 48, 96, 145])
def test_another_modulation_does_not_train(sent: int) -> None:
    """Whole transmissions of the others; rates of one modulation share their training: one family."""
    data = np.random.default_rng(sent).integers(0, 256, 3000, dtype=np.uint8).tobytes()
    if sent == 3:
        audio = burst.transmit_frames([data[k : k + 60] for k in range(0, 600, 60)])
    else:
        audio = burst.transmit(sent, data)
    events = heard(listening(), joined(silence(1000), audio, silence(4000), audio, silence(4000)))
    for code, event in events:
        if isinstance(event, Trained):
            assert _family(code) == _family(sent), event
        if isinstance(event, FlagsDetected | FrameReceived):
            assert sent == 3, event
    assert sum(isinstance(event, Trained) for _, event in events) >= (sent != 3)
    assert not any(isinstance(event, ToneDetected | DtmfDetected) for _, event in events)
    failed = [code for code, event in events if isinstance(event, TrainingFailed)]
    print(f"\n{_family(sent)} sent twice: trainings that failed: {failed or 'none'}")
