"""How long after what happens on the line its answer comes, in samples of a real DSP channel.

Nothing is said amid a block, so each answer has a width of 20 ms; below it lies what the receiver needs to be
sure, and nothing is ever said before its cause.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.at.signal_line import BLOCK, SignalLine
from tests.at.words import CONNECT, END, FCERROR, FINAL, NO_CARRIER, OK, SHORT
from tests.host.class1 import fcs

MS = 8
"""Samples."""

Audio = NDArray[np.int16]


@functools.cache
def sent_by(command: bytes, data: bytes) -> Audio:
    """What a modem sends for `command` and `data`, from the first to the last sample of energy."""
    line = SignalLine()
    line.host(command)
    line.host(data + END)
    line.until(OK)
    return line.sent[int(np.flatnonzero(line.sent)[0]) : line.carrier_end]


def frame_signal() -> Audio:
    return sent_by(b"AT+FTH=3\r", FINAL + b"abc")


def starts() -> range:
    """The far end begins anywhere in a block."""
    return range(4000, 4000 + BLOCK, 13)


def hearing(signal: Audio, start: int) -> SignalLine:
    """A modem on a call, some time before `signal` comes at sample `start`."""
    audio = np.zeros(start + len(signal) + 40_000, np.int16)
    audio[start : start + len(signal)] = signal
    line = SignalLine(lambda at, n: audio[at : at + n])
    line.run_to(3200)
    line.said.clear()
    return line


def said(line: SignalLine, text: bytes) -> int:
    """Let time pass until `text` is among what was said; the sample time of it."""
    limit = line.now + 10 * 8000
    while text not in line.said:
        assert line.now < limit, f"{text!r} is not in {bytes(line.said)!r}"
        line.block()
    return line.now


def check(title: str, delays: list[int], low_ms: float, high_ms: float) -> None:
    print(f"{title}: {min(delays) / MS:.1f} … {max(delays) / MS:.1f} ms")
    assert min(delays) >= low_ms * MS
    assert max(delays) <= high_ms * MS


# ---------------------------------------------------------------------- receiving


def test_connect_and_the_held_ok_of_frh() -> None:
    signal = frame_signal()
    connects, frames, oks = [], [], []
    for start in starts():
        line = hearing(signal, start)
        line.host(b"AT+FRH=3\r")
        connects.append(said(line, CONNECT) - start)
        frames.append(said(line, END) - (start + len(signal)))
        oks.append(said(line, OK) - (start + len(signal)))
    check("CONNECT of +FRH after the first flag begins", connects, 27, 100)
    check("last frame after the carrier's end", frames, -40, 0)
    check("OK of a last frame after the carrier's end", oks, 0, 30)


def test_fcerror() -> None:
    delays = []
    for start in starts():
        line = hearing(frame_signal(), start)
        line.host(b"AT+FRM=96\r")
        delays.append(said(line, FCERROR) - start)
    check("+FCERROR after the first flag begins", delays, 27, 100)


@pytest.mark.parametrize("code", [24, 48, 72, 96, 73, 97, 121, 145])
def test_no_carrier_of_frm(code: int) -> None:
    signal = sent_by(b"AT+FTM=%d\r" % code, bytes(400))
    delays = []
    for start in itertools.islice(starts(), 0, None, 2):
        line = hearing(signal, start)
        line.host(b"AT+FRM=%d\r" % code)
        said(line, CONNECT)
        delays.append(said(line, NO_CARRIER) - (start + len(signal)))
    check(f"NO CARRIER of +FRM={code} after the carrier's end", delays, 0, 30)


# ---------------------------------------------------------------------- sending

N_SAMPLES_OF_3_BITS = 80


def v21_bits(audio: Audio, n_bits: int) -> str:
    """The bits of a V.21 channel 2 carrier that begins with its first bit: 1650 Hz is 1, 1850 Hz is 0."""
    bits = []
    for k in range(n_bits):
        first, last = k * N_SAMPLES_OF_3_BITS // 3, (k + 1) * N_SAMPLES_OF_3_BITS // 3
        at = np.arange(first, last)
        one, zero = (abs(audio[first:last] @ np.exp(2j * np.pi * hz / 8000 * at)) for hz in (1650, 1850))
        bits.append("1" if one > zero else "0")
    return "".join(bits)


@pytest.mark.parametrize("n_octets", range(5, 13))
def test_connect_after_a_frame_with_more_to_come(n_octets: int) -> None:
    """The frame and the flag behind it have gone out: found in what was sent, bit by bit."""
    line = SignalLine()
    asked = line.now
    assert line.host(b"AT+FTH=3\r") == CONNECT
    frame = SHORT + bytes(range(0x40, 0x40 + n_octets))
    line.host(frame + END)
    connected = line.until(CONNECT)
    line.run_to(connected + 10 * BLOCK)
    start = line.carrier_from(asked)
    n_bits = (connected + 5 * BLOCK - start) * 3 // N_SAMPLES_OF_3_BITS
    coded = "".join(f"{octet:08b}"[::-1] for octet in frame + fcs(frame)).replace("11111", "111110")
    sent = v21_bits(line.sent[start:], n_bits)
    end_of_flag = sent.index(coded + "01111110") + len(coded) + 8
    delay = connected - (start + end_of_flag * N_SAMPLES_OF_3_BITS // 3)
    check("CONNECT after the flag that ends the frame", [delay], 0, 20)
