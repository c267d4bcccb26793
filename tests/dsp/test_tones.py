import numpy as np
import pytest

from dsp import BLOCK, Bank, ToneDetected, TransmitDone
from dsp.level import measure_dbm0
from tests.dsp.signals import Samples, added, amplified, joined, noise, play, record, silence, tone


def frequency_hz(samples: Samples) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 18))
    return float(np.argmax(spectrum)) * 8000 / (1 << 18)


def test_cng_cadence() -> None:
    bank = Bank(1)
    bank.channels[0].send_cng()
    sent, events = record(bank, 400)
    on = np.abs(sent.astype(float)).reshape(-1, 40).max(axis=1) > 100
    changes = np.flatnonzero(np.diff(on.astype(int))) * 5 + 5
    assert on[0]
    assert changes.tolist() == [500, 3500, 4000, 7000, 7500]
    assert frequency_hz(sent[:4000]) == pytest.approx(1100, abs=1)
    assert measure_dbm0(sent[:4000]) == pytest.approx(-11, abs=0.1)
    assert events == []


def test_ced() -> None:
    bank = Bank(1)
    bank.channels[0].send_ced()
    sent, events = record(bank, 180)
    assert not sent[:1600].any()
    assert frequency_hz(sent[1600:25600]) == pytest.approx(2100, abs=0.5)
    assert measure_dbm0(sent[1600:25600]) == pytest.approx(-11, abs=0.1)
    assert not sent[25600:].any()
    done_at = [n for n, event in events if event == TransmitDone()]
    assert len(done_at) == len(events) == 1
    assert 75 - 20 <= (done_at[0] - 25600) / 8 <= 75 + 20


def test_silence_stops_a_tone_with_the_next_block() -> None:
    bank = Bank(1)
    bank.channels[0].send_ced()
    record(bank, 50)
    bank.channels[0].send_silence()
    sent, events = record(bank, 200)
    assert not sent.any()
    assert events == []


@pytest.mark.parametrize("level", [-6, -14, -30, -42])
@pytest.mark.parametrize(("name", "frequencies"), [("cng", (1062, 1100, 1138)), ("ced", (2085, 2100, 2115))])
def test_a_tone_is_heard(name: str, frequencies: tuple[float, ...], level: float) -> None:
    for frequency in frequencies:
        bank = Bank(1)
        events = play(bank, joined(silence(800), tone(frequency, level, 4800), silence(4000)))
        assert [event for _, event in events] == [ToneDetected(name)]


@pytest.mark.parametrize("duration_ms", [425, 575])
@pytest.mark.parametrize("frequency", [1062, 1100, 1138])
def test_cng_is_heard_within_its_tolerances_wherever_blocks_begin(frequency: float, duration_ms: int) -> None:
    """T.30: 0.5 s and 3 s, ±15 %; once each time. The shortest fills 20 blocks at the worst of 160 places."""
    on, off = 8 * duration_ms, 24000 * 85 // 100
    bank = Bank(BLOCK)
    line = np.zeros((BLOCK, 2 * (on + off) + BLOCK), np.int16)
    for late in range(BLOCK):
        cadence = joined(tone(frequency, -20, on), silence(off))
        line[late, late : late + 2 * (on + off)] = joined(cadence, cadence)
        line[late] = added(line[late], noise(-40, line.shape[1], late))
    times: list[list[int]] = [[] for _ in range(BLOCK)]
    for k in range(0, line.shape[1] - BLOCK + 1, BLOCK):
        bank.process(line[:, k : k + BLOCK], np.zeros(BLOCK, np.bool_))
        for i, event in bank.events():
            assert event == ToneDetected("cng")
            times[i].append(k + BLOCK - i)
    assert {len(heard) for heard in times} == {2}
    assert all(heard[0] <= on + BLOCK and on + off < heard[1] <= 2 * on + off + BLOCK for heard in times)


def test_our_own_tones_are_heard_once_each() -> None:
    for order, name, times in (("send_cng", "cng", 2), ("send_ced", "ced", 1)):
        sender, hearer = Bank(1), Bank(1)
        getattr(sender.channels[0], order)()
        sent, _ = record(sender, 250)
        noisy = added(amplified(sent, -10), noise(-45, len(sent), 5))
        assert [event for _, event in play(hearer, noisy)] == [ToneDetected(name)] * times


@pytest.mark.parametrize(
    "signal",
    [
        noise(-20, 40000, 2),
        tone(1020, -10, 16000),
        tone(1180, -10, 16000),
        tone(2050, -10, 16000),
        tone(2225, -10, 16000),
        added(tone(1100, -16, 16000), tone(2100, -16, 16000)),
        joined(*[joined(tone(1100, -10, 1600), silence(800)) for _ in range(10)]),
        tone(2100, -50, 16000),
    ],
    ids="noise 1020 1180 2050 2225 both short-bursts too-weak".split(),
)
def test_other_sounds_are_no_connect_tone(signal: Samples) -> None:
    assert play(Bank(1), signal) == []
