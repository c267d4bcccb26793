"""Whatever comes in and whatever is ordered, events keep to their grammar and nothing fails."""

import numpy as np
import pytest

from dsp import (
    BLOCK,
    Bank,
    CarrierLost,
    Channel,
    DataReceived,
    Event,
    FlagsDetected,
    FrameReceived,
    FrameSent,
    ToneDetected,
    Trained,
    TrainingFailed,
    TransmitDone,
    burst,
)
from dsp.hdlc import fcs_ok
from dsp.qam_tables import LONG_ROW, MODULATIONS
from tests.dsp.signals import Samples, amplified, noise, silence, tone

N = 4
#: Every modulation, trellis coded and short ones too.
CODES = [m.code for m in MODULATIONS]


class Listener:
    """Checks one channel's events against what may follow what."""

    def __init__(self) -> None:
        self.v21 = False
        self.fast = False
        self.code = CODES[0]
        self.trained: set[int] = set()

    def take(self, event: Event) -> None:
        match event:
            case FlagsDetected():
                self.v21 = True
            case FrameReceived(data, ok):
                assert self.v21
                assert 3 <= len(data) <= 284
                assert ok == fcs_ok(data)
            case CarrierLost(v21=True):
                assert self.v21
                self.v21 = False
            case Trained():
                assert not self.fast
                assert not self.v21
                self.fast = True
                self.trained.add(self.code)
            case DataReceived(data):
                assert self.fast
                assert data
            case CarrierLost(v21=False):
                assert self.fast
                self.fast = False
            case TrainingFailed() | FrameSent() | TransmitDone() | ToneDetected():
                pass
            case _:
                pytest.fail(f"unknown event {event}")

    def forget(self, code: int = 0) -> None:
        """A new receive order: the old carrier may never be heard of again."""
        self.v21 = False
        self.fast = False
        self.code = code or self.code


def some_signal(rng: np.random.Generator, expected: int) -> Samples:
    """Anything; of fast modems often the one waited for, or the long training that a short one relies on."""
    data = rng.integers(0, 256, int(rng.integers(1500)), dtype=np.uint8).tobytes()
    likely = (expected, CODES[int(LONG_ROW[CODES.index(expected)])], int(rng.choice(CODES)))
    code = int(rng.choice(likely))
    signal = (
        lambda: silence(int(rng.integers(100, 5000))),
        lambda: noise(float(rng.uniform(-60, 3)), 2000, int(rng.integers(1000))),
        lambda: rng.integers(-32768, 32768, 1000).astype(np.int16),
        lambda: np.full(1000, rng.choice([-32768, 32767, 5000]), np.int16),
        lambda: tone(float(rng.uniform(200, 3800)), float(rng.uniform(-50, 3)), 5000),
        lambda: burst.transmit_frames([b"\xff\x03" + data[:40], b"\xff\x13" + data[:5]]),
        lambda: burst.transmit(code, data),
        lambda: spoilt(rng, burst.transmit(code, data)),
    )[rng.integers(8)]()
    signal = amplified(signal, float(rng.uniform(-30, 6)))
    cut = int(rng.integers(len(signal)))
    return signal[cut:] if rng.random() < 0.2 else signal


def spoilt(rng: np.random.Generator, signal: Samples) -> Samples:
    """Packets lost or repeated, samples inserted or dropped, in training or data."""
    signal = signal.copy()
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(len(signal)))
        n = int(rng.integers(1, 700))
        match rng.integers(4):
            case 0:
                signal[at : at + n] = 0
            case 1:
                signal[at : at + n] = noise(-20, len(signal[at : at + n]), n)
            case 2:
                signal = np.delete(signal, np.arange(at, min(at + n, len(signal) - 1)))
            case 3:
                signal = np.insert(signal, at, signal[max(at - n, 0) : at])
    return signal


def order_something(rng: np.random.Generator, channel: Channel, listener: Listener) -> None:
    match rng.integers(12):
        case 0:
            channel.receive_off()
            listener.forget()
        case 1 | 2:
            channel.receive_v21()
            listener.forget()
        case 3 | 4 | 5:
            code = int(rng.choice(CODES))
            channel.receive_fast(code)
            listener.forget(code)
        case 6:
            channel.send_silence()
        case 7:
            channel.send_cng()
        case 8:
            channel.send_ced()
        case 9:
            channel.send_flags()
            channel.send_frame(rng.integers(0, 256, 30, dtype=np.uint8).tobytes())
        case 10:
            channel.send_fast(int(rng.choice(CODES)))
            assert channel.write(bytes(rng.integers(0, 256, 1000, dtype=np.uint8))) == 1000
        case 11:
            channel.end()


@pytest.mark.parametrize("seed", range(8))
def test_anything_goes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bank = Bank(N)
    listeners = [Listener() for _ in range(N)]
    waiting = [silence(0) for _ in range(N)]
    for _ in range(3000):
        for i in range(N):
            if len(waiting[i]) < BLOCK:
                waiting[i] = np.concatenate([waiting[i], some_signal(rng, listeners[i].code)])
            if rng.random() < 0.01:
                order_something(rng, bank.channels[i], listeners[i])
        while min(map(len, waiting)) < BLOCK:
            i = int(np.argmin([len(samples) for samples in waiting]))
            waiting[i] = np.concatenate([waiting[i], some_signal(rng, listeners[i].code)])
        rx = np.stack([samples[:BLOCK] for samples in waiting])
        waiting = [samples[BLOCK:] for samples in waiting]
        bank.process(rx, rng.random(N) < 0.05)
        for i, event in bank.events():
            listeners[i].take(event)
    for channel in bank.channels:
        measures = channel.measures()
        assert np.isfinite(
            [
                measures.level_dbm0,
                measures.snr_db,
                measures.evm,
                measures.carrier_offset_hz,
                measures.clock_offset_ppm,
                channel.level_dbm0,
            ]
        ).all()
        assert measures.n_lost_blocks > 0
        for interruption in measures.interruptions:
            assert 0 <= interruption.at_sample <= 3000 * BLOCK
            assert 0 <= interruption.n_samples <= 3000 * BLOCK
    heard = {code for listener in listeners for code in listener.trained}
    assert len(heard) >= 3  # not all of it was in vain
