"""DTMF sender and hearer against what they are to compute: sines, and energies of tones in 10 and 15 ms."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dsp import Bank, DtmfDetected
from dsp.dtmf import (
    DIGITS,
    DTMF_RX,
    DTMF_TX,
    HIGH_HZ,
    LOW_HZ,
    _digit_of_look,
    _look,
    dtmf_rx_block,
    dtmf_tx_block,
    dtmf_tx_put,
)
from dsp.events import EVENTS, decode
from dsp.kernel import argument, records
from tests.dsp.signals import Samples, added, joined, noise, play, silence
from tests.dsp.test_dtmf import pair
from tests.dsp.twins.signals import Signal, rms

_HZ = np.array([*LOW_HZ, *HIGH_HZ])
_HOP = 40
#: What 15 ms are compared with, or their first 10.
_WAVES = np.exp(-2j * np.pi * _HZ[:, np.newaxis] * np.arange(3 * _HOP) / 8000)


# --- sending


def sent_digits(digits: str, n: int) -> Signal:
    """100 ms of two sines for each digit, -11 and -9 dBm0, and 100 ms of nothing."""
    out = np.zeros(n)
    t = 2 * np.pi * np.arange(800) / 8000
    for k, digit in enumerate(digits):
        place = DIGITS.index(digit)
        low, high = LOW_HZ[place // 4], HIGH_HZ[place % 4]
        out[1600 * k : 1600 * k + 800] = rms(-11) * np.sin(t * low) + rms(-9) * np.sin(t * high)
    return 2**0.5 * out


@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    first=st.text(DIGITS, min_size=1, max_size=6), later=st.text(DIGITS, max_size=6), after=st.integers(0, 5)
)
def test_sender(first: str, later: str, after: int) -> None:
    """Digits that are added while others are being sent follow them in the same rhythm."""
    state = records(DTMF_TX, 1)
    tx = argument(state)[0]
    blocks = []
    block = np.zeros(160, np.float32)
    for k in range(10 * (len(first) + len(later)) + 1):
        for when, digits in ((0, first), (after, later)):
            if k == when:
                places = np.array([DIGITS.index(digit) for digit in digits], np.uint8)
                assert dtmf_tx_put(tx, places, len(places))
        assert not state[0].done
        dtmf_tx_block(tx, block)
        blocks.append(block.copy())
        if state[0].done:
            break
    sent = np.concatenate(blocks)
    expected = sent_digits(first + later, len(sent))
    assert len(sent) == 1600 * len(first + later)
    assert np.max(np.abs(sent - expected)) < np.max(expected) * 2 * np.pi / 4096  # the sine table's steps


# --- hearing


def tone_energies(x: Signal) -> Signal:
    """``[8]``: squared magnitude of ``x`` at each tone."""
    energies: Signal = np.abs(_WAVES[:, : len(x)] @ x) ** 2
    return energies


class Look:
    """What 15 ms say of a digit, and how near that was to the contrary."""

    def __init__(self, x: Signal) -> None:
        whole = tone_energies(x)
        # Of 10 ms each, so that a tone 1.8 % away is not lost; as mean squares of the tones.
        halves = (tone_energies(x[: 2 * _HOP]) + tone_energies(x[_HOP:])) / (2 * _HOP) ** 2
        total = np.mean(x**2)
        low, high = int(np.argmax(whole[:4])), 4 + int(np.argmax(whole[4:]))
        self.digit = 4 * low + high - 4
        tests = [
            np.sort(group)[-1] / max(np.sort(group)[-2], 1e-9) / 10**0.6 for group in (whole[:4], whole[4:])
        ]
        tests += [halves[f] / rms(-37) ** 2 for f in (low, high)]
        twist = halves[high] / max(halves[low], 1e-9)
        tests += [twist / 10**-1.0, 10**0.8 / max(twist, 1e-9)]
        tests.append((halves[low] + halves[high]) / max(0.7 * total, 1e-9))
        self.is_digit = min(tests) > 1
        #: Of the test that decides: the nearest to its limit, or when several fail the clearest one.
        self.margin = abs(min(tests) - 1)
        self.phasors = _WAVES[[low, high]] @ x
        self.nominal = _HZ[[low, high]]


def heard_digits(x: Signal) -> tuple[list[tuple[int, str]], float]:
    """(end of the block, digit) of each digit in ``x``, and how near the nearest decision was.

    A digit: six looks, one every 5 ms, that agree with none in a row of six that do not between; and both
    tones, by how they turn from look to look, within 2.35 % of what they should be.
    """
    x = np.concatenate([np.zeros(2 * _HOP), x])
    heard, margin = [], np.inf
    digit, looks, misses, reported = -1, 0, 0, False
    turns: list[Signal] = []
    before = Look(x[:120])
    for end in range(3 * _HOP, len(x) + 1, _HOP):
        look = Look(x[end - 3 * _HOP : end])
        margin = min(margin, look.margin)
        if not look.is_digit:
            misses += 1
            digit = -1 if misses >= 6 else digit
        elif look.digit != digit:
            digit, looks, misses, reported, turns = look.digit, 1, 0, False, []
        else:
            looks += 1
            if misses == 0:
                expected = 2 * np.pi * look.nominal * _HOP / 8000
                turns.append(look.phasors * np.conj(before.phasors) * np.exp(-1j * expected))
            misses = 0
        before = look
        if look.is_digit and looks >= 6 and not reported and len(turns) >= 3:
            off = np.abs(np.angle(np.sum(turns, axis=0))) * 8000 / (2 * np.pi * _HOP) / look.nominal / 0.0235
            margin = min(margin, float(np.min(np.abs(off - 1))))
            if np.all(off <= 1):
                reported = True
                heard.append(((end - 2 * _HOP + 159) // 160 * 160, DIGITS[digit]))
    return heard, margin


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    digit=st.sampled_from(DIGITS),
    levels=st.tuples(  # dBm0, low tone; dB, the high one more
        st.one_of(st.floats(-42, -5), st.floats(-37.5, -36.5)),
        st.one_of(st.floats(-13, 11), st.floats(7.6, 8.4), st.floats(-10.4, -9.6)),
    ),
    off=st.tuples(st.floats(-4, 4), st.one_of(st.floats(-4, 4), st.floats(-0.5, 0.5))),
    snr=st.one_of(st.floats(0, 12), st.floats(12, 30)),
    seed=st.integers(0, 999),
)
def test_looks(
    digit: str, levels: tuple[float, float], off: tuple[float, float], snr: float, seed: int
) -> None:
    """One by one, as they are near the limits."""
    level, twist = levels
    x = pair(digit, 100, low_dbm0=level, high_dbm0=level + twist, low_off=off[0], high_off=off[1])
    x = added(x, noise(max(level, level + twist) - snr, len(x), seed))
    rx = argument(records(DTMF_RX, 1))[0]
    for end in range(_HOP, len(x) + 1, _HOP):
        mean_square = _look(rx, x.astype(np.float32), end - _HOP, 0.0)
        if end >= 3 * _HOP:
            look = Look(x[end - 3 * _HOP : end].astype(np.float64))
            assert mean_square == pytest.approx(
                np.mean(x[end - 3 * _HOP : end].astype(np.float64) ** 2), rel=1e-4
            )
            if look.margin > 1e-4:
                assert _digit_of_look(rx, mean_square) == (look.digit + 1 if look.is_digit else 0)


def kernel_digits(x: Samples) -> list[tuple[int, str]]:
    rx, events = argument(records(DTMF_RX, 1))[0], records(EVENTS, 1)
    heard = []
    for k in range(0, len(x), 160):
        events[0].n = events[0].n_data = 0
        dtmf_rx_block(rx, x[k : k + 160].astype(np.float32), 0.0, argument(events)[0])
        heard += [(k + 160, event.digit) for event in decode(events[0]) if isinstance(event, DtmfDetected)]
    return heard


_OFF = st.one_of(st.floats(-3.5, 3.5), st.floats(2.1, 2.6), st.floats(-2.6, -2.1))
Press: TypeAlias = tuple[str, float, float, float, float, float, int]
presses = st.lists(
    st.tuples(
        st.sampled_from(DIGITS),
        st.one_of(st.floats(20, 50), st.floats(40, 90)),  # ms
        st.floats(-40, -3),  # dBm0, low tone
        st.floats(-12, 10),  # dB, twist
        _OFF,  # %, low tone
        _OFF,
        st.integers(20, 700),  # samples of pause
    ),
    min_size=1,
    max_size=5,
)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(presses=presses, snr=st.one_of(st.floats(3, 40), st.floats(20, 40)), seed=st.integers(0, 999))
def test_hearer(presses: list[Press], snr: float, seed: int) -> None:
    """Digits good, bad and doubtful, in noise: the same are heard in the same blocks."""
    parts = []
    for digit, ms, level, twist, low_off, high_off, pause in presses:
        how = {"low_dbm0": level, "high_dbm0": level + twist, "low_off": low_off, "high_off": high_off}
        parts += [pair(digit, ms, **how), silence(pause)]
    x = joined(*parts)
    x = added(x, noise(max(level for _, _, level, *_ in presses) - snr, len(x), seed))
    x = x[: len(x) // 160 * 160]
    assume(len(x) > 0)
    expected, margin = heard_digits(x.astype(np.float64))
    assume(margin > 1e-4)  # single precision may fall on either side
    assert kernel_digits(x) == expected


@pytest.mark.parametrize("seed", range(3))
def test_hearer_on_a_call(seed: int) -> None:
    """Through a channel, as a line sends them: the twin and the channel hear the digits that were pressed."""
    rng = np.random.default_rng(seed)
    digits = "".join(rng.choice(list(DIGITS), 12))
    parts = [silence(800)]
    for digit in digits:
        how = {"low_off": rng.uniform(-1.4, 1.4), "high_off": rng.uniform(-1.4, 1.4)}
        parts += [pair(digit, rng.uniform(45, 120), **how), silence(int(rng.uniform(400, 900)))]
    x = joined(*parts, silence(800))
    x = added(x, noise(-30, len(x), seed))
    x = x[: len(x) // 160 * 160]
    bank = Bank(1)
    bank.channels[0].listen_for(dtmf=True)
    heard = [(at, event.digit) for at, event in play(bank, x) if isinstance(event, DtmfDetected)]
    assert heard == heard_digits(x.astype(np.float64))[0]
    assert "".join(digit for _, digit in heard) == digits
