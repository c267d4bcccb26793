import numpy as np
import pytest

from dsp import BLOCK, Bank, CarrierLost, FlagsDetected, FrameReceived, FrameSent, TransmitDone, burst, g711
from dsp.hdlc import fcs
from dsp.level import measure_dbm0
from dsp.line_model import CarrierOffset, Idle, Line, Noise
from tests.dsp.signals import Samples, added, amplified, joined, noise, play, record, silence, skewed, tone

TSI = b"\xff\x03\x42" + b"             5551234"[::-1]
DCS = b"\xff\x13\x82\x00\x46\x70"
FRAMES = [TSI, DCS]
ON_AIR = [FrameReceived(frame + fcs(frame), fcs_ok=True) for frame in FRAMES]


def receiving() -> Bank:
    bank = Bank(1)
    bank.channels[0].receive_v21()
    return bank


def frames_of(samples: Samples) -> list[FrameReceived]:
    return burst.receive_frames(samples)[0]


# --- transmitter


def test_preamble_frames_and_events_in_time() -> None:
    bank = Bank(1)
    channel = bank.channels[0]
    channel.send_flags()
    for frame in FRAMES:
        channel.send_frame(frame)
    channel.end()
    sent, events = record(bank, 120)
    assert [event for _, event in events] == [FrameSent(), FrameSent(), TransmitDone()]
    carrier = np.flatnonzero(sent)
    assert carrier[0] < 3
    # 37 flags of preamble, two frames of 25 and 8 octets with FCS, two flags after each.
    n_octets = 37 + 23 + 2 + 2 + 8 + 2
    assert n_octets * 8 <= (carrier[-1] + 1) * 300 / 8000 <= n_octets * 8 * 1.05
    assert measure_dbm0(sent[:8000]) == pytest.approx(-14.0, abs=0.1)


def test_the_phase_is_continuous() -> None:
    sent = burst.transmit_frames(FRAMES).astype(float)
    amplitude = np.abs(sent).max()
    # No step between samples is larger than that of the higher tone.
    assert np.abs(np.diff(sent)).max() <= amplitude * 2 * np.sin(np.pi * 1850 / 8000) * 1.01


def test_flags_go_on_until_there_are_frames_and_then_until_the_end() -> None:
    bank = Bank(1)
    channel = bank.channels[0]
    channel.send_flags()
    sent, events = record(bank, 150)
    assert events == []
    channel.send_frame(DCS)
    more, events = record(bank, 100)
    assert [event for _, event in events] == [FrameSent()]
    channel.send_flags()  # the carrier is up: no new preamble
    channel.send_frame(TSI)
    channel.end()
    rest, events = record(bank, 100)
    assert [event for _, event in events] == [FrameSent(), TransmitDone()]
    assert frames_of(joined(sent, more, rest)) == ON_AIR[::-1]


def test_end_without_a_frame_stops_the_carrier_after_the_preamble() -> None:
    bank = Bank(1)
    bank.channels[0].send_flags()
    record(bank, 5)
    bank.channels[0].end()
    _, events = record(bank, 60)
    assert events == [(45 * BLOCK, TransmitDone())]  # 37 flags are 987 ms


def test_silence_drops_the_carrier_now() -> None:
    bank = Bank(1)
    channel = bank.channels[0]
    channel.send_flags()
    channel.send_frame(TSI)
    record(bank, 60)
    channel.send_silence()
    sent, events = record(bank, 60)
    assert not sent.any()
    assert events == []
    with pytest.raises(RuntimeError, match="send_flags"):
        channel.send_frame(DCS)


@pytest.mark.parametrize("frame", [b"", bytes(283)])
def test_impossible_frames_are_refused(frame: bytes) -> None:
    bank = Bank(1)
    bank.channels[0].send_flags()
    with pytest.raises(ValueError, match="1 to 282 octets"):
        bank.channels[0].send_frame(frame)


def test_a_full_queue_says_so() -> None:
    bank = Bank(1)
    bank.channels[0].send_flags()
    for _ in range(4096 // 284):
        bank.channels[0].send_frame(bytes(282))
    with pytest.raises(BufferError, match="FrameSent"):
        bank.channels[0].send_frame(bytes(282))


# --- receiver


@pytest.mark.parametrize("level", [0, -6, -14, -30, -43])
@pytest.mark.parametrize("offset", [0, 53, 111])
def test_frames_at_any_level_and_alignment(level: float, offset: int) -> None:
    sent = amplified(burst.transmit_frames(FRAMES), level + 14)
    events = play(receiving(), joined(silence(800 + offset), sent, silence(1600)))
    assert [event for _, event in events] == [FlagsDetected(), *ON_AIR, CarrierLost(v21=True)]


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
@pytest.mark.parametrize("level", [0, -14, -43])
def test_frames_through_g711(law: str, level: float) -> None:
    encode, decode = getattr(g711, f"{law}_encode"), getattr(g711, f"{law}_decode")
    signal = joined(silence(800), amplified(burst.transmit_frames(FRAMES), level + 14), silence(1600))
    events = play(receiving(), decode(encode(signal)))
    assert [event for _, event in events] == [FlagsDetected(), *ON_AIR, CarrierLost(v21=True)]


@pytest.mark.parametrize("level", [-43, -20, -3])
def test_the_transmit_level_can_be_set(level: float) -> None:
    assert measure_dbm0(burst.transmit_frames(FRAMES, level_dbm0=level)[:8000]) == pytest.approx(
        level, abs=0.1
    )


@pytest.mark.parametrize("level", [-61, 0])
def test_an_impossible_transmit_level_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="-60 to -3"):
        Bank(1).channels[0].set_transmit_level(level)


@pytest.mark.parametrize("snr_db", [10, 6])
def test_frames_in_noise(snr_db: float) -> None:
    sent = joined(silence(1000), burst.transmit_frames(FRAMES), silence(1000))
    for seed in range(10):
        noisy = added(amplified(sent, -10), noise(-24 - snr_db, len(sent), seed))
        assert [frame for frame in frames_of(noisy) if frame.fcs_ok] == ON_AIR


@pytest.mark.parametrize("ppm", [-1000, -200, 200, 1000])
def test_frames_from_another_clock(ppm: float) -> None:
    long_frame = bytes(range(256))
    sent = skewed(burst.transmit_frames([long_frame] * 3), ppm)
    assert [frame.data[:-2] for frame in frames_of(sent) if frame.fcs_ok] == [long_frame] * 3


@pytest.mark.parametrize("dc", [-800, 800])
def test_frames_with_direct_current(dc: int) -> None:
    sent = amplified(burst.transmit_frames(FRAMES), -25)
    assert frames_of(added(joined(silence(4000), sent), np.full(80000, dc, np.int16))) == ON_AIR


def test_flags_are_reported_soon_and_the_loss_of_a_final_frames_carrier_at_once() -> None:
    sent = burst.transmit_frames(FRAMES)
    for offset in range(0, BLOCK, 13):
        signal = joined(silence(1600 + offset), sent, silence(4000))
        on, off = np.flatnonzero(signal)[[0, -1]]
        times = {type(event): n for n, event in play(receiving(), signal)}
        assert (times[FlagsDetected] - on) / 8 <= 105
        assert (times[CarrierLost] - off) / 8 <= 30


def test_20_ms_of_silence_among_flags_is_bridged() -> None:
    sent = burst.transmit_frames(FRAMES)
    sent[3000:3160] = 0
    events = [event for _, event in play(receiving(), joined(sent, silence(1600)))]
    assert events == [FlagsDetected(), *ON_AIR, CarrierLost(v21=True)]


@pytest.mark.parametrize("filler", [silence(BLOCK), noise(-10, BLOCK, 1), tone(1650, -14, BLOCK)])
def test_a_lost_block_costs_only_its_frame(filler: Samples) -> None:
    sent = joined(burst.transmit_frames([TSI, TSI, DCS]), silence(1600))
    n_blocks = len(sent) // BLOCK
    blocks = sent[: n_blocks * BLOCK].reshape(n_blocks, BLOCK).copy()
    lost = np.zeros(n_blocks, np.bool_)
    lost[[20, 60]] = True  # in the preamble, in the first frame
    blocks[lost] = filler
    bank = receiving()
    events = burst.listen(bank, blocks.reshape(-1), lost)
    good = [event for event in events if isinstance(event, FrameReceived) and event.fcs_ok]
    assert good == ON_AIR
    assert [event for event in events if not isinstance(event, FrameReceived)] == [
        FlagsDetected(),
        CarrierLost(v21=True),
    ]
    assert bank.channels[0].measures().n_lost_blocks == 2


def test_a_broken_frame_is_delivered_as_such() -> None:
    sent = burst.transmit_frames(FRAMES)
    spoilt = 8400  # within TSI
    sent[spoilt : spoilt + 100] = noise(-5, 100, 4)
    frames = frames_of(sent)
    assert [frame.fcs_ok for frame in frames] == [False, True]
    assert frames[1] == ON_AIR[1]


def test_a_receiver_turned_on_late_takes_what_is_left() -> None:
    sent = joined(burst.transmit_frames(FRAMES), silence(800))
    start = 9000 // BLOCK * BLOCK  # in the middle of TSI
    events = [event for _, event in play(receiving(), sent[start:])]
    assert FlagsDetected() in events
    assert events[-2:] == [ON_AIR[1], CarrierLost(v21=True)]


def test_asking_again_keeps_the_carrier_and_says_so() -> None:
    bank = receiving()
    sent = burst.transmit_frames(FRAMES)
    assert [event for _, event in play(bank, sent[: 20 * BLOCK])] == [FlagsDetected()]
    bank.channels[0].receive_v21()
    events = play(bank, joined(sent[20 * BLOCK :], silence(800)))
    assert events[0] == (BLOCK, FlagsDetected())
    assert [event for _, event in events[1:]] == [*ON_AIR, CarrierLost(v21=True)]


def test_each_carrier_is_reported() -> None:
    sent = joined(burst.transmit_frames([DCS]), silence(1600))
    events = [event for _, event in play(receiving(), joined(sent, sent))]
    assert events == [FlagsDetected(), ON_AIR[1], CarrierLost(v21=True)] * 2


def test_off_hears_nothing() -> None:
    bank = receiving()
    bank.channels[0].receive_off()
    assert play(bank, joined(burst.transmit_frames(FRAMES), silence(800))) == []


@pytest.mark.parametrize("frequency", [1100, 1300, 1600, 1650, 1700, 1750, 1800, 1850, 2100])
def test_no_flags_in_a_tone(frequency: float) -> None:
    assert FlagsDetected() not in [event for _, event in play(receiving(), tone(frequency, -10, 16000))]


@pytest.mark.parametrize("level", [-10, -30, -45])
def test_no_flags_in_noise(level: float) -> None:
    assert play(receiving(), noise(level, 8000 * 60, 9)) == []


def test_no_flags_in_narrow_band_noise() -> None:
    spectrum = np.fft.rfft(noise(-10, 8000 * 60, 10).astype(float))
    frequency = np.fft.rfftfreq(8000 * 60, 1 / 8000)
    spectrum[(frequency < 1500) | (frequency > 2000)] = 0
    assert play(receiving(), np.rint(np.fft.irfft(spectrum)).astype(np.int16)) == []


@pytest.mark.parametrize("code", [24, 48, 72, 96])
def test_no_flags_in_a_fast_modems_carrier(code: int) -> None:
    data = np.random.default_rng(code).integers(0, 256, 8000, dtype=np.uint8).tobytes()
    for content in (data, bytes(2000), b"\x7e" * 2000):
        assert play(receiving(), burst.transmit(code, content)) == []


def test_measures() -> None:
    frames, measures = burst.receive_frames(amplified(burst.transmit_frames(FRAMES), -10))
    assert len(frames) == 2
    assert measures.level_dbm0 == pytest.approx(-24, abs=0.5)
    assert (measures.n_frames_good, measures.n_frames_bad) == (2, 0)


@pytest.mark.parametrize(("snr_db", "offset_hz"), [(30, 0), (15, 10), (10, -10), (6, 5)])
def test_snr_and_carrier_offset_are_measured(snr_db: float, offset_hz: float) -> None:
    """An offset is noise to the correlators, too: little of it at these SNRs."""
    line = Line([Idle(0.2, 0.2), CarrierOffset(offset_hz), Noise(-14 - snr_db)], seed=int(snr_db))
    _, measures = burst.receive_frames(line.run(burst.transmit_frames([TSI, DCS] * 2)))
    assert measures.v21_snr_db == pytest.approx(snr_db, abs=1.5)
    assert measures.v21_carrier_offset_hz == pytest.approx(offset_hz, abs=1.5)


def test_nothing_is_measured_before_the_first_flags() -> None:
    _, measures = burst.receive_frames(noise(-30, 16000, 3))
    assert (measures.v21_snr_db, measures.v21_carrier_offset_hz) == (0, 0)


@pytest.mark.parametrize("at", [0, 77, 159])
@pytest.mark.parametrize("n_packets", [1, 2, 3])
def test_packets_filled_with_silence_do_not_cost_the_carrier(n_packets: int, at: int) -> None:
    sent = joined(silence(400), burst.transmit_frames([TSI, DCS]), silence(1600)).copy()
    gap = 20 * BLOCK + at  # in the preamble
    sent[gap : gap + n_packets * BLOCK] = 0
    events = [event for _, event in play(receiving(), sent)]
    assert events == [FlagsDetected(), *ON_AIR, CarrierLost(v21=True)]


@pytest.mark.parametrize("fill", ["digital silence", "a quiet line"])
def test_a_carrier_that_stops_is_noticed(fill: str) -> None:
    """Not after a final frame, where 6 ms do: a quiet line within 40 ms, digital silence within 80."""
    sent = joined(burst.transmit_frames([TSI] * 4)[: 100 * BLOCK], silence(2400))
    if fill == "a quiet line":
        sent = added(sent, noise(-60, len(sent), 1))
    events = play(receiving(), sent)
    at, event = events[-1]
    assert event == CarrierLost(v21=True)
    assert at - 100 * BLOCK <= (640 if fill == "digital silence" else 320)
