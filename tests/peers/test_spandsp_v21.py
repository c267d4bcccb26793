"""V.21 frames and connect tones between dsp and libspandsp, in both directions."""

import numpy as np
import pytest

from dsp import Bank, CarrierLost, FlagsDetected, FrameReceived, ToneDetected, burst
from dsp.hdlc import fcs
from tests.dsp.signals import added, amplified, joined, noise, play, record, silence
from tests.peers import spandsp_peer as spandsp

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not spandsp.available(), reason="libspandsp2 is not installed"),
]

RNG = np.random.default_rng(21)
FRAMES = [
    b"\xff\x03\x20" + RNG.integers(0, 256, 45, dtype=np.uint8).tobytes(),
    b"\xff\x03\x40" + b"12345678901234567890",
    b"\xff\x13\x80\x00\xce\xf8\xc4\x80\x13",
]


@pytest.mark.parametrize("level", [-6, -14, -22, -30])
def test_spandsp_receives_our_frames(level: float) -> None:
    hdlc = spandsp.HdlcRx()
    modem = spandsp.ModemRx("v21ch2", 300, hdlc)
    modem.rx(joined(silence(800), amplified(burst.transmit_frames(FRAMES), level + 14), silence(1600)))
    assert hdlc.frames == [(frame, True) for frame in FRAMES]
    assert modem.event_names() == ["carrier_up", "carrier_down"]


def test_spandsp_recognises_our_preamble() -> None:
    detector = spandsp.ConnectToneRx("preamble")
    detector.rx(burst.transmit_frames(FRAMES[:1]))
    assert detector.tones[0][1] == "preamble"


@pytest.mark.parametrize("level", [0, -14, -30, -43])
@pytest.mark.parametrize("offset", [0, 31, 97])
def test_we_receive_spandsps_frames(level: float, offset: int) -> None:
    sent = amplified(spandsp.ModemTx("v21ch2", 300, spandsp.HdlcTx(FRAMES)).all(), level + 14)
    bank = Bank(1)
    bank.channels[0].receive_v21()
    events = [event for _, event in play(bank, joined(silence(800 + offset), sent, silence(1600)))]
    frames = [FrameReceived(frame + fcs(frame), fcs_ok=True) for frame in FRAMES]
    assert events == [FlagsDetected(), *frames, CarrierLost(v21=True)]


def test_we_receive_spandsps_frames_in_noise() -> None:
    sent = spandsp.ModemTx("v21ch2", 300, spandsp.HdlcTx(FRAMES)).all()
    for seed in range(10):
        frames, _ = burst.receive_frames(added(sent, noise(-20, len(sent), seed)))
        assert [frame.data[:-2] for frame in frames if frame.fcs_ok] == FRAMES


@pytest.mark.parametrize(("order", "kind", "name"), [("send_cng", "cng", "cng"), ("send_ced", "ced", "ans")])
def test_spandsp_hears_our_tones(order: str, kind: str, name: str) -> None:
    bank = Bank(1)
    getattr(bank.channels[0], order)()
    detector = spandsp.ConnectToneRx(kind)
    detector.rx(record(bank, 175)[0])
    assert [heard for _, heard, _, _ in detector.tones if heard != "none"] == [name]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("cng", "cng"), ("ced", "ced"), ("ans_pr", "ced"), ("ansam", "ced"), ("ansam_pr", "ced")],
)
def test_we_hear_spandsps_tones(kind: str, name: str) -> None:
    sender = spandsp.ConnectToneTx(kind)
    sent = np.concatenate([sender.tx(160) for _ in range(150)])
    events = [event for _, event in play(Bank(1), joined(sent, silence(1600)))]
    assert events == [ToneDetected(name)]


@pytest.mark.parametrize("kind", ["cng", "ced", "ansam_pr", "calling", "bell_ans"])
def test_no_flags_in_spandsps_tones(kind: str) -> None:
    sender = spandsp.ConnectToneTx(kind)
    bank = Bank(1)
    bank.channels[0].receive_v21()
    heard = play(bank, np.concatenate([sender.tx(160) for _ in range(200)]))
    assert FlagsDetected() not in [event for _, event in heard]


@pytest.mark.parametrize("modulation", ["v17", "v29", "v27ter"])
def test_no_flags_in_spandsps_fast_carriers(modulation: str) -> None:
    hdlc = spandsp.hdlc_encode([RNG.integers(0, 256, 256, dtype=np.uint8).tobytes() for _ in range(8)], 100)
    for rate in spandsp.MODULATIONS[modulation]:
        for bits in (RNG.integers(0, 2, rate * 10, dtype=np.uint8), np.zeros(rate, np.uint8), hdlc):
            bank = Bank(1)
            bank.channels[0].receive_v21()
            assert play(bank, spandsp.ModemTx(modulation, rate, bits, tep=True).all()) == []
