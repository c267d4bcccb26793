import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsp
from dsp import BLOCK, Bank, CarrierLost, FlagsDetected, FrameReceived, burst
from dsp.channel import CHANNEL
from dsp.hdlc import fcs
from tests.dsp.signals import joined, record, silence


def test_a_bank_has_channels() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Bank(0)
    assert len(Bank(5).channels) == 5


GOOD_RX = np.zeros((2, BLOCK), np.int16)
GOOD_FATE = np.zeros(2, np.bool_)


@pytest.mark.parametrize(
    ("rx", "fate", "kind", "message"),
    [
        (GOOD_RX[:1], GOOD_FATE, ValueError, "rx: expected int16 (2, 160), got int16 (1, 160)"),
        (GOOD_RX.ravel(), GOOD_FATE, ValueError, "rx: expected int16 (2, 160), got int16 (320,)"),
        (
            GOOD_RX + np.int64(40000),
            GOOD_FATE,
            TypeError,
            "rx: expected int16 (2, 160), got int64 (2, 160)",
        ),
        (GOOD_RX.astype(float), GOOD_FATE, TypeError, "rx: expected int16 (2, 160), got float64 (2, 160)"),
        (GOOD_RX.astype(">i2"), GOOD_FATE, TypeError, "rx: expected int16 (2, 160), got >i2 (2, 160)"),
        (GOOD_RX.tolist(), GOOD_FATE, TypeError, "rx: expected a numpy array of int16 (2, 160), got list"),
        (GOOD_RX, GOOD_FATE[:1], ValueError, "fate: expected bool or uint8 (2,), got bool (1,)"),
        (GOOD_RX, GOOD_FATE.astype(int), TypeError, "fate: expected bool or uint8 (2,), got int64 (2,)"),
        (GOOD_RX, None, TypeError, "fate: expected a numpy array of bool or uint8 (2,), got NoneType"),
    ],
)
def test_what_is_no_audio_is_refused_by_name(
    rx: object, fate: object, kind: type[Exception], message: str
) -> None:
    bank: Any = Bank(2)
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        bank.process(rx, fate)


def test_a_whole_recording_is_checked_too() -> None:
    with pytest.raises(TypeError, match=r"samples: expected int16 \(n,\), got float64"):
        burst.receive(96, np.zeros(320))
    with pytest.raises(ValueError, match=r"samples: expected int16 \(n,\), got int16 \(2, 160\)"):
        burst.receive(96, np.zeros((2, BLOCK), np.int16))
    with pytest.raises(ValueError, match=r"lost: expected bool or uint8 \(2,\), got bool \(3,\)"):
        burst.receive_frames(np.zeros(200, np.int16), np.zeros(3, np.bool_))


def test_a_channel_fits_into_its_memory() -> None:
    assert CHANNEL.itemsize <= 64 * 1024


def test_an_idle_channel_is_silent_and_has_nothing_to_say() -> None:
    bank = Bank(1)
    sent, events = record(bank, 3)
    assert not sent.any()
    assert events == []


def test_channels_do_not_touch_each_other() -> None:
    n = 6
    bank = Bank(n)
    frames = [bytes([0xFF, 0x13, 0x80, i]) for i in range(n)]
    signals = [
        joined(silence(37 * i), burst.transmit_frames([frame]), silence(4000 - 37 * i))
        for i, frame in enumerate(frames)
    ]
    audio = np.stack(signals)
    for channel in bank.channels[:-1]:
        channel.receive_v21()
    events: dict[int, list[dsp.Event]] = {i: [] for i in range(n)}
    for k in range(0, audio.shape[1] - BLOCK + 1, BLOCK):
        bank.process(audio[:, k : k + BLOCK], np.zeros(n, np.bool_))
        for i, event in bank.events():
            events[i].append(event)
    for i, frame in enumerate(frames[:-1]):
        assert events[i] == [
            FlagsDetected(),
            FrameReceived(frame + fcs(frame), fcs_ok=True),
            CarrierLost(v21=True),
        ]
    assert events[n - 1] == []


def test_input_of_any_layout_is_taken(tmp_path: Path) -> None:
    bank = Bank(1)
    strided = np.zeros((2, 2 * BLOCK), np.int16)[::2, ::2]
    read_only = np.frombuffer(bytes(2 * BLOCK), np.int16).reshape(1, BLOCK)
    (tmp_path / "audio").write_bytes(bytes(2 * BLOCK))
    mapped = np.memmap(tmp_path / "audio", np.int16, "r", shape=(1, BLOCK))
    for rx in (strided, read_only, mapped):
        bank.process(rx, np.zeros(1, np.bool_))


def test_every_kernel_can_be_warmed_up() -> None:
    names = []
    for name, compile_it in dsp.kernels():
        compile_it()
        names.append(name)
    assert len(set(names)) == len(names) >= 3
