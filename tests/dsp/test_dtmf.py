"""DTMF within the tolerances of Q.23 (sent) and Q.24 (heard); the figures are those of its table."""

from __future__ import annotations

import numpy as np
import pytest

from dsp import Bank, DtmfDetected, TransmitDone, g711
from dsp.dtmf import DIGITS, HIGH_HZ, LOW_HZ
from dsp.level import dbm0_to_rms, measure_dbm0
from dsp.line_model import DirectCurrent, Line, ListenerEcho, Shape
from tests.dsp.signals import Samples, added, joined, noise, play, record, silence, tone


def pair(
    digit: str,
    ms: float,
    *,
    low_dbm0: float = -11,
    high_dbm0: float = -9,
    low_off: float = 0,
    high_off: float = 0,
) -> Samples:
    """One key press; ``off`` in per cent."""
    n = round(8 * ms)
    t = 2 * np.pi * np.arange(n) / 8000
    place = DIGITS.index(digit)
    low = dbm0_to_rms(low_dbm0) * np.sin(t * LOW_HZ[place // 4] * (1 + low_off / 100))
    high = dbm0_to_rms(high_dbm0) * np.sin(t * HIGH_HZ[place % 4] * (1 + high_off / 100))
    return np.rint(2**0.5 * (low + high)).astype(np.int16)


def all_digits(ms: float, pause_ms: float = 60, start: int = 0, **how: float) -> Samples:
    """Each of the sixteen, pressed once, at ever different places in the 5 ms grid."""
    parts = [silence(800 + start)]
    for i, digit in enumerate(DIGITS):
        parts += [pair(digit, ms, **how), silence(round(8 * pause_ms) + 3 * i)]
    return joined(*parts, silence(800))


def heard(samples: Samples) -> str:
    bank = Bank(1)
    bank.channels[0].listen_for(dtmf=True)
    return "".join(event.digit for _, event in play(bank, samples) if isinstance(event, DtmfDetected))


# --- sending


def test_sent_tones_are_q23() -> None:
    bank = Bank(1)
    bank.channels[0].send_dtmf(DIGITS)
    sent, events = record(bank, 170)
    assert events == [(16 * 1600, TransmitDone())]
    assert not sent[16 * 1600 :].any()
    for i in range(16):
        press = sent[1600 * i : 1600 * i + 800]
        assert not sent[1600 * i + 800 : 1600 * i + 1600].any()
        spectrum = np.abs(np.fft.rfft(press * np.hanning(800), 1 << 16)) ** 2
        hz = np.arange(len(spectrum)) * 8000 / (1 << 16)
        for band, expected in (((600, 1050), LOW_HZ[i // 4]), ((1100, 1750), HIGH_HZ[i % 4])):
            inside = (hz > band[0]) & (hz < band[1])
            found = hz[inside][np.argmax(spectrum[inside])]
            assert abs(found / expected - 1) < 0.005  # Q.23: ±1.8 %; 80 ms do not resolve it better
        wanted = np.zeros(len(hz), np.bool_)
        for expected in (LOW_HZ[i // 4], HIGH_HZ[i % 4]):
            wanted |= np.abs(hz - expected) < 40
        assert spectrum[~wanted].sum() < spectrum[wanted].sum() / 1000  # Q.23: distortion 20 dB below
    assert measure_dbm0(sent[:800]) == pytest.approx(-6.9, abs=0.2)


def test_digits_may_be_added_and_silence_stops_them() -> None:
    bank = Bank(1)
    channel = bank.channels[0]
    channel.send_dtmf("12")
    first, _ = record(bank, 5)
    channel.send_dtmf("3")
    rest, events = record(bank, 40)
    assert heard(joined(silence(800), first, rest)) == "123"
    assert [event for _, event in events] == [TransmitDone()]
    channel.send_dtmf("999")
    channel.send_silence()
    assert not record(bank, 5)[0].any()
    channel.send_dtmf("4")
    assert heard(joined(silence(800), record(bank, 20)[0])) == "4"


def test_what_is_no_digit_is_refused() -> None:
    channel = Bank(1).channels[0]
    for wrong in ("", "12E", "1 2", "a"):
        with pytest.raises(ValueError, match="DTMF digits"):
            channel.send_dtmf(wrong)
    with pytest.raises(BufferError, match="64"):
        channel.send_dtmf("1" * 65)
    channel.send_dtmf("1" * 64)
    with pytest.raises(BufferError, match="64"):
        channel.send_dtmf("2")


# --- hearing: Q.24 table A-1


def test_our_own_digits_are_heard_once_each() -> None:
    bank = Bank(1)
    bank.channels[0].send_dtmf("0123456789*#ABCD5577")
    assert heard(joined(silence(333), record(bank, 220)[0])) == "0123456789*#ABCD5577"


def test_nothing_is_heard_without_asking() -> None:
    assert play(Bank(1), all_digits(60)) == []


@pytest.mark.parametrize("start", [0, 13, 27])
def test_duration_of_40_ms_is_heard_and_23_ms_is_not(start: int) -> None:
    assert heard(all_digits(40, 40, start)) == DIGITS
    assert heard(all_digits(23, 60, start)) == ""
    assert heard(all_digits(24, 60, start)) == ""  # NTT


@pytest.mark.parametrize("start", [0, 13, 27])
def test_pause_of_30_ms_parts_digits_and_a_break_of_10_ms_does_not(start: int) -> None:
    for ms, times in ((30, 2), (10, 1)):
        twice = [joined(pair(digit, 60), silence(8 * ms), pair(digit, 60), silence(800)) for digit in DIGITS]
        assert heard(joined(silence(800 + start), *twice)) == "".join(digit * times for digit in DIGITS)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (1, -1), (-1, 1), (-1, -1), (1, 0), (0, -1)])
def test_frequency_1_8_percent_off_is_a_digit_and_3_percent_off_is_not(low: int, high: int) -> None:
    for off in (1.5, 1.8):
        assert heard(all_digits(50, low_off=low * off, high_off=high * off)) == DIGITS
    for off in (3.0, 3.5, 5.0):
        assert heard(all_digits(200, low_off=low * off, high_off=high * off)) == ""


@pytest.mark.parametrize("level", [0, -5, -15, -25, -30])
def test_levels(level: float) -> None:
    assert heard(all_digits(45, low_dbm0=level - 3, high_dbm0=level - 3)) == DIGITS


def test_too_weak_is_nothing() -> None:
    assert heard(all_digits(60, low_dbm0=-41, high_dbm0=-41)) == ""


@pytest.mark.parametrize("twist", [-9, -8, -5, 4, 5, 7])
def test_twist(twist: float) -> None:
    assert heard(all_digits(45, low_dbm0=-15 - twist / 2, high_dbm0=-15 + twist / 2)) == DIGITS


def test_one_tone_is_no_digit() -> None:
    for hz in (*LOW_HZ, *HIGH_HZ):
        assert heard(joined(silence(800), tone(hz, -10, 1600), silence(800))) == ""
    two_of_one_group = added(tone(697, -10, 1600), tone(852, -10, 1600))
    assert heard(joined(silence(800), two_of_one_group, silence(800))) == ""


@pytest.mark.parametrize("seed", range(4))
def test_noise_12_db_below(seed: int) -> None:
    digits = all_digits(45)
    assert heard(added(digits, noise(-6.9 - 12, len(digits), seed))) == DIGITS


def test_noise_alone_has_no_digits() -> None:
    assert heard(noise(-15, 8000 * 60, 9)) == ""


@pytest.mark.parametrize("spoil", ["ulaw", "alaw", "shape", "echo", "dc"])
def test_lines(spoil: str) -> None:
    digits = all_digits(45)
    if spoil in ("ulaw", "alaw"):
        digits = getattr(g711, f"{spoil}_decode")(getattr(g711, f"{spoil}_encode")(digits))
    else:
        impairment = {"shape": Shape("loop-long"), "echo": ListenerEcho(0.02, 10), "dc": DirectCurrent(1500)}[
            spoil
        ]
        digits = Line([impairment]).run(digits)
    assert heard(digits) == DIGITS


def test_a_lost_block_does_not_make_two_of_one() -> None:
    bank = Bank(1)
    bank.channels[0].listen_for(dtmf=True)
    press = joined(silence(800), pair("7", 120), silence(800))
    digits = []
    for k in range(len(press) // 160):
        block, lost = press[160 * k : 160 * k + 160], k == 8
        bank.process((block * (not lost))[np.newaxis], np.array([lost]))
        digits += [event for _, event in bank.events()]
    assert digits == [DtmfDetected("7")]
