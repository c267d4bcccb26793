"""Every timed answer against its clause, in samples of a real DSP channel: ±80 samples are T.31's 10 ms."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cusemodem.at import Engine
from cusemodem.at import events as e
from tests.at.fake_line import FakeLine
from tests.at.signal_line import BLOCK, SignalLine
from tests.at.words import CONNECT, END, ERROR, FINAL, NO_ANSWER, NO_CARRIER, OK, RING, SHORT

UNIT = 80
"""10 ms."""

SILENT_SEGMENT = 160
"""Turn-on begins with 20 ms without energy (V.29's segment 1, ours of the others); V.17, V.27ter end so."""


def tone_until(end: int) -> NDArray[np.int16]:
    audio = np.zeros(80_000, np.int16)
    audio[:end] = np.round(6000 * np.sin(2 * np.pi * 1500 / 8000 * np.arange(end)))
    return audio


def say(title: str, errors: list[int]) -> None:
    print(f"{title}: {min(errors) / 8:+.1f} … {max(errors) / 8:+.1f} ms of its clause")


# ---------------------------------------------------------------------- silence


def test_fts_lasts_n_units_from_its_command() -> None:
    errors = []
    line = SignalLine()
    for n in (*range(1, 30), 50, 99, 100, 255):
        asked = line.now
        assert line.host(b"AT+FTS=%d\r" % n) == b""
        errors.append(line.until(OK) - (asked + n * UNIT))
        assert not line.sent[asked:].any()
    say("OK of +FTS", errors)
    assert max(map(abs, errors)) <= UNIT


def test_the_silence_of_mgetty_s_chain() -> None:
    """AT+FTS=8;+FTH=3 between two carriers: 80 ms, and what of the first one's last block was silent."""
    line = SignalLine()
    line.host(b"AT+FTM=96\r" + bytes(200) + END)
    line.until(OK)
    end = line.carrier_end
    assert line.host(b"AT+FTS=8;+FTH=3\r") == b""
    connected = line.until(CONNECT)
    line.run_to(connected + 10 * BLOCK)
    assert 0 <= line.carrier_from(connected) - connected <= UNIT
    assert 8 * UNIT <= line.carrier_from(connected) - end <= 8 * UNIT + 2 * UNIT


@pytest.mark.parametrize("n", [1, 2, 5, 7, 8, 20])
def test_frs_answers_when_the_silence_is_long_enough(n: int) -> None:
    """The far signal ends anywhere in a block; the answer is due n units later."""
    errors = []
    for end in range(4000, 4160, 13):
        audio = tone_until(end)
        line = SignalLine(lambda at, k, audio=audio: audio[at : at + k])
        line.run_to(3200)
        assert line.host(b"AT+FRS=%d\r" % n) == b""
        errors.append(line.until(OK) - (end + n * UNIT))
    say(f"OK of +FRS={n}", errors)
    meter = 40 if n == 1 else 0  # the level meter needs about 4 ms to fall
    assert max(map(abs, errors)) <= UNIT + meter


@pytest.mark.parametrize("late", range(0, 9))
def test_frs_given_late_answers_at_the_same_moment_or_at_once(late: int) -> None:
    end, n = 4003, 7
    audio = tone_until(end)
    line = SignalLine(lambda at, k: audio[at : at + k])
    line.run_to(4000 + late * BLOCK)
    asked = line.now
    said = line.host(b"AT+FRS=%d\r" % n)
    answered = line.now if said == OK else line.until(OK)
    assert abs(answered - max(asked, end + n * UNIT)) <= UNIT


# ---------------------------------------------------------------------- carriers


@pytest.mark.parametrize("code", [24, 48, 72, 96, 73, 74, 97, 98, 121, 122, 145, 146])
def test_ftm_connects_at_the_start_of_its_turn_on_sequence(code: int) -> None:
    line = SignalLine()
    line.run_to(800)
    asked = line.now
    assert line.host(b"AT+FTM=%d\r" % code) == CONNECT
    line.host(bytes(100) + END)
    said = line.until(OK)
    turn_off = 0 if code in (72, 96) else SILENT_SEGMENT  # V.29's is all energy (V.17 §5.3, V.27ter §2.5.2)
    errors = [line.carrier_from(asked) - asked, said - line.carrier_end - turn_off]
    print(f"+FTM={code}: energy {errors[0] / 8:.1f} ms after CONNECT, OK {errors[1] / 8:.1f} ms after it all")
    assert abs(errors[0] - SILENT_SEGMENT) <= UNIT
    assert 0 <= errors[1] <= 2 * UNIT, "OK comes with the block in which the carrier ends, never before"


def test_fth_connects_at_the_start_of_the_carrier_and_ends_with_it() -> None:
    line = SignalLine()
    line.run_to(800)
    asked = line.now
    assert line.host(b"AT+FTH=3\r") == CONNECT
    line.host(SHORT + b"abc" + END)
    line.until(CONNECT)
    line.host(FINAL + END)
    said = line.until(OK)
    assert 0 <= line.carrier_from(asked) - asked <= UNIT
    assert 0 <= said - line.carrier_end <= 2 * UNIT


def test_answer_tone_and_connect() -> None:
    """T.30 §4.1.1: 0.2 s of silence, 2.6 to 4 s of 2100 Hz, 75 ± 20 ms of silence, then flags and CONNECT."""
    line = SignalLine()
    asked = line.now
    assert line.host(b"ATA\r") == b""
    said = line.until(CONNECT)
    tone = np.flatnonzero(line.sent[asked:said])
    line.run_to(said + 10 * BLOCK)
    assert abs(tone[0] - 0.2 * 8000) <= UNIT
    assert 2.6 * 8000 <= tone[-1] - tone[0] <= 4.0 * 8000
    assert abs(said - (asked + tone[-1]) - 0.075 * 8000) <= 2 * UNIT
    assert line.carrier_from(said) - said <= UNIT


# ---------------------------------------------------------------------- limits, in blocks of the engine


def expect(line: FakeLine, text: bytes, seconds: float) -> None:
    error = round((line.until(text, within_s=seconds + 1) - seconds) * 8000)
    print(f"{text.strip().decode()} after {seconds} s: {error} samples off")
    assert abs(error) <= UNIT


def on_a_call() -> FakeLine:
    line = FakeLine()
    line.host(b"ATE0+FCLASS=1;D5;\r")
    line.far(e.CallAnswered())
    return line


def test_inactivity_of_fth_and_ftm_is_five_seconds() -> None:
    for command in (b"AT+FTH=3\r", b"AT+FTM=96\r"):
        line = on_a_call()
        assert line.host(command) == CONNECT
        expect(line, ERROR, 5.0)


def test_inactivity_counts_alike_when_connect_came_with_an_event() -> None:
    """CONNECT of the chain comes in mid-block: the next block is the first that counts."""
    line = on_a_call()
    line.host(b"AT+FTH=3\r" + SHORT + END)
    line.until(CONNECT, within_s=4)
    expect(line, ERROR, 5.0)


@pytest.mark.parametrize("gap", [1, 2, 7, 20])
def test_fcl_is_a_gap_in_tenths_of_a_second(gap: int) -> None:
    line = on_a_call()
    line.host(b"AT+FCL=%d;+FRM=96\r" % gap)
    line.far(e.Trained(), e.DataReceived(b"data"))
    line.block()
    line.far(e.CarrierLost(False))
    expect(line, END + NO_CARRIER, gap / 10 + 0.02)  # the block of the event itself, and then the gap


@pytest.mark.parametrize("seconds", [1, 20, 255])
def test_s7_from_dialling(seconds: int) -> None:
    line = FakeLine()
    line.host(b"ATE0+FCLASS=1;S7=%dD5\r" % seconds)
    expect(line, NO_ANSWER, seconds)


def test_ring_and_the_pause_after_a_call() -> None:
    line = FakeLine(Engine())
    line.host(b"ATE0+FCLASS=1\r")
    line.block(e.IncomingCall())
    for _ in range(5):
        expect(line, RING, 5.0)
    line.host(b"ATH\r")
    line.run(4.98)
    assert not line.engine.accepts_calls
    line.run(0.02)
    assert line.engine.accepts_calls


@pytest.mark.parametrize("seconds", [1, 255])
def test_fit(seconds: int) -> None:
    line = on_a_call()
    line.host(b"AT+FIT=%d,1\r" % seconds)
    line.run(seconds - 0.02)
    assert line.engine.off_hook
    line.run(0.02)
    assert not line.engine.off_hook
