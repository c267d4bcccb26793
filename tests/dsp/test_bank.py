import numpy as np
import pytest

import dsp
from dsp import BLOCK, Bank, CarrierLost, FlagsDetected, FrameReceived, burst
from dsp.hdlc import fcs
from tests.dsp.signals import joined, record, silence


def test_a_bank_has_channels() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Bank(0)
    assert len(Bank(5).channels) == 5


def test_shapes_are_checked() -> None:
    bank = Bank(2)
    with pytest.raises(ValueError, match=r"\(2, 160\)"):
        bank.process(np.zeros((1, BLOCK), np.int16), np.zeros(2, np.bool_))
    with pytest.raises(ValueError, match=r"\(2,\)"):
        bank.process(np.zeros((2, BLOCK), np.int16), np.zeros(1, np.bool_))


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


def test_input_of_any_layout_is_taken() -> None:
    bank = Bank(1)
    strided = np.zeros((2, 2 * BLOCK), np.int16)[::2, ::2]
    read_only = np.frombuffer(bytes(2 * BLOCK), np.int16).reshape(1, BLOCK)
    for rx in (strided, read_only):
        bank.process(rx, np.zeros(1, np.bool_))
    with pytest.raises(TypeError):
        bank.process(np.zeros((1, BLOCK)), np.zeros(1, np.bool_))


def test_every_kernel_can_be_warmed_up() -> None:
    names = []
    for name, compile_it in dsp.kernels():
        compile_it()
        names.append(name)
    assert len(set(names)) == len(names) >= 3
