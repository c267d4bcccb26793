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
from tests.dsp.signals import Samples, amplified, noise, silence, tone

N = 4
CODES = [24, 48, 72, 96]


class Listener:
    """Checks one channel's events against what may follow what."""

    def __init__(self) -> None:
        self.v21 = False
        self.fast = False

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

    def forget(self) -> None:
        """A new receive order: the old carrier may never be heard of again."""
        self.v21 = False
        self.fast = False


def some_signal(rng: np.random.Generator) -> Samples:
    data = rng.integers(0, 256, 150, dtype=np.uint8).tobytes()
    signal = (
        lambda: silence(int(rng.integers(100, 5000))),
        lambda: noise(float(rng.uniform(-60, 3)), 2000, int(rng.integers(1000))),
        lambda: rng.integers(-32768, 32768, 1000).astype(np.int16),
        lambda: np.full(1000, rng.choice([-32768, 32767, 5000]), np.int16),
        lambda: tone(float(rng.uniform(200, 3800)), float(rng.uniform(-50, 3)), 5000),
        lambda: burst.transmit_frames([b"\xff\x03" + data[:40], b"\xff\x13" + data[:5]]),
        lambda: burst.transmit(int(rng.choice(CODES)), data),
    )[rng.integers(7)]()
    signal = amplified(signal, float(rng.uniform(-30, 6)))
    cut = int(rng.integers(len(signal)))
    return signal[cut:] if rng.random() < 0.2 else signal


def order_something(rng: np.random.Generator, channel: Channel, listener: Listener) -> None:
    match rng.integers(12):
        case 0:
            channel.receive_off()
            listener.forget()
        case 1 | 2:
            channel.receive_v21()
            listener.forget()
        case 3 | 4 | 5:
            channel.receive_fast(int(rng.choice(CODES)))
            listener.forget()
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


@pytest.mark.parametrize("seed", range(4))
def test_anything_goes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bank = Bank(N)
    listeners = [Listener() for _ in range(N)]
    waiting = [silence(0) for _ in range(N)]
    for _ in range(3000):
        for i in range(N):
            if len(waiting[i]) < BLOCK:
                waiting[i] = np.concatenate([waiting[i], some_signal(rng)])
            if rng.random() < 0.01:
                order_something(rng, bank.channels[i], listeners[i])
        while min(map(len, waiting)) < BLOCK:
            i = int(np.argmin([len(samples) for samples in waiting]))
            waiting[i] = np.concatenate([waiting[i], some_signal(rng)])
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
                channel.level_dbm0,
            ]
        ).all()
        assert measures.n_lost_blocks > 0
