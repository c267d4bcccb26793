"""Call-progress tones: sent as the tables say, heard within E.180's and the US tolerances, not otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from dsp import Bank, DtmfDetected, ToneDetected
from dsp.call_progress import NAMES, TONES
from dsp.level import measure_dbm0
from dsp.line_model import Codec, DirectCurrent, Line, Noise, Shape
from tests.dsp.signals import Samples, added, amplified, joined, noise, play, record, silence, tone


def made(
    frequencies: tuple[float, ...], on_s: float, off_s: float, seconds: float, start: int = 333
) -> Samples:
    """A cadence at -10 dBm0 after a little silence."""
    share_db = 10 * np.log10(len(frequencies))
    parts = [tone(hz, -10 - share_db, round(on_s * 8000)) for hz in frequencies]
    burst = parts[0] if len(parts) == 1 else added(parts[0], parts[1])
    n = int(seconds / (on_s + off_s)) + 1
    return joined(silence(start), *[burst, silence(round(off_s * 8000))] * n)


def heard(samples: Samples) -> list[str]:
    bank = Bank(1)
    bank.channels[0].listen_for(call_progress=True)
    names = [event.name for _, event in play(bank, samples) if isinstance(event, ToneDetected)]
    return [name for name in names if name not in ("cng", "ced")]


# --- sending


@pytest.mark.parametrize("name", NAMES)
def test_sent_tones_have_frequency_cadence_and_level(name: str) -> None:
    bank = Bank(1)
    bank.channels[0].send_call_progress(name)
    sent, events = record(bank, 650)
    what = TONES[name]
    assert events == []
    on, off = round(what.on_s * 8000), round(what.off_s * 8000)
    burst = sent[:on]
    assert measure_dbm0(burst) == pytest.approx(-10, abs=0.2)
    spectrum = np.abs(np.fft.rfft(burst * np.hanning(on), 1 << 18))
    for hz in what.frequencies_hz:
        near = slice(int((hz - 20) * 2**18 / 8000), int((hz + 20) * 2**18 / 8000))
        found = (near.start + np.argmax(spectrum[near])) * 8000 / 2**18
        assert found == pytest.approx(hz, abs=2)
    if off:
        sounding = np.abs(sent[: len(sent) // (on + off) * (on + off)].reshape(-1, on + off)).astype(int)
        assert not sounding[:, on:].any()
        assert sounding[:, :on].max(axis=1).min() > 1000


def test_a_wrong_name_is_refused() -> None:
    with pytest.raises(ValueError, match="'dial' is none of dial-us"):
        Bank(1).channels[0].send_call_progress("dial")


# --- hearing


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", [0, -20, -30])
def test_our_own_tones_are_heard_once(name: str, level: float) -> None:
    bank = Bank(1)
    bank.channels[0].send_call_progress(name)
    sent, _ = record(bank, 650)
    line = Line([Shape("loop-short"), Noise(-10 + level - 20), DirectCurrent(300), Codec("alaw")])
    signal = line.run(amplified(joined(silence(500), sent), level))
    assert heard(signal) == [name.partition("-")[0]]


@pytest.mark.parametrize("hz", [400, 425, 450])
@pytest.mark.parametrize(
    ("on", "off", "name"),
    [
        (0.35, 0.35, "busy"), (0.5, 0.5, "busy"), (0.375, 0.375, "busy"), (0.55, 0.55, "busy"),
        (0.44, 0.66, "busy"), (0.4, 0.27, "busy"),
        (0.15, 0.15, "congestion"), (0.2, 0.2, "congestion"), (0.25, 0.25, "congestion"),
        (0.2, 0.3, "congestion"),
        (0.67, 3.0, "ringback"), (1.0, 4.0, "ringback"), (1.5, 5.0, "ringback"), (1.0, 5.0, "ringback"),
    ],
)  # fmt: skip
def test_e180_tolerances(hz: float, on: float, off: float, name: str) -> None:
    """E.180: frequency 400…450 Hz; periods 300…1100 ms; ratio 0.67…1.5; ringing 0.67…1.5 s and 3…5 s."""
    for start in (0, 77):
        assert heard(made((hz,), on, off, max(4.0, 2 * (on + off)), start)) == [name]


@pytest.mark.parametrize("off", [-0.5, 0.5])
def test_us_frequencies_half_a_percent_off(off: float) -> None:
    for name in ("dial-us", "busy-us", "congestion-us", "ringback-us"):
        what = TONES[name]
        frequencies = tuple(hz * (1 + off / 100) for hz in what.frequencies_hz)
        signal = made(frequencies, what.on_s, what.off_s, 7.0)
        assert heard(signal) == [name.partition("-")[0]]


def test_twist_of_a_pair() -> None:
    busy = added(tone(480, -10, 4000), tone(620, -15, 4000))
    assert heard(joined(*[busy, silence(4000)] * 4)) == ["busy"]


def test_dial_tone_with_a_break_is_heard_again() -> None:
    dial = tone(425, -12, 8000 * 3)
    assert heard(joined(dial, noise(-30, 8000, 1), dial)) == ["dial", "dial"]


def test_busy_after_ringback() -> None:
    signal = joined(made((425,), 1.0, 4.0, 6.0), made((425,), 0.5, 0.5, 4.0))
    assert heard(signal) == ["ringback", "busy"]
    signal = joined(made((440, 480), 2.0, 4.0, 5.0), made((480, 620), 0.5, 0.5, 4.0))
    assert heard(signal) == ["ringback", "busy"]


@pytest.mark.parametrize(
    "signal",
    [
        noise(-15, 80000, 3),
        tone(1100, -10, 40000),
        tone(2100, -10, 40000),
        made((380,), 0.5, 0.5, 5),
        made((475,), 0.5, 0.5, 5),
        made((425,), 0.08, 0.08, 4),
        made((425,), 0.9, 0.9, 6),
        joined(made((425,), 1.0, 1.0, 1), silence(80000)),
        made((350, 620), 0.5, 0.5, 5),
        made((1000,), 0.5, 0.5, 5),
        amplified(made((425,), 0.5, 0.5, 5), -40),
    ],
    ids="noise cng ced 380 475 too-fast too-slow one-beep wrong-pair 1000 too-weak".split(),
)
def test_other_sounds_are_no_call_progress(signal: Samples) -> None:
    assert heard(signal) == []


def test_listening_can_be_turned_off_and_for_one_only() -> None:
    bank = Bank(1)
    channel = bank.channels[0]
    signal = made((425,), 0.5, 0.5, 5)
    assert play(bank, signal) == []
    channel.listen_for(dtmf=True)
    assert not [event for _, event in play(bank, signal) if not isinstance(event, DtmfDetected)]
    channel.listen_for(call_progress=True)
    assert [event for _, event in play(bank, signal)] == [ToneDetected("busy")]
