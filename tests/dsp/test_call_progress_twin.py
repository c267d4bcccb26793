"""Call progress, sent and heard, against sines, numpy's least squares, and the lengths of runs."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.call_progress import (
    NAMES,
    PROGRESS_RX,
    PROGRESS_TX,
    TONES,
    _follow,
    _kind_of_block,
    progress_tx_block,
    progress_tx_start,
)
from dsp.events import EVENTS, ToneDetected, decode
from dsp.kernel import argument, records
from tests.dsp.signals import added, noise
from tests.dsp.test_call_progress import made
from tests.dsp.twins.signals import Signal, rms

QUIET, SINGLE, DIAL_PAIR, RING_PAIR, BUSY_PAIR, OTHER = range(6)
PAIRS = {DIAL_PAIR: (350, 440), RING_PAIR: (440, 480), BUSY_PAIR: (480, 620)}


# --- sending


@pytest.mark.parametrize("name", NAMES)
def test_sender(name: str) -> None:
    """Sines that together have -10 dBm0 while the tone is on; their phases rest in the pauses."""
    tx = argument(records(PROGRESS_TX, 1))[0]
    progress_tx_start(tx, NAMES.index(name))
    sent = np.zeros((650, 160), np.float32)
    for block in sent:
        progress_tx_block(tx, block)
    tone = TONES[name]
    n = np.arange(sent.size)
    sounding = n % round(8000 * (tone.on_s + tone.off_s)) < round(8000 * tone.on_s)
    before = np.cumsum(sounding) - sounding
    sines = [np.sin(2 * np.pi * hz / 8000 * before) for hz in tone.frequencies_hz]
    peak = rms(-10) * (2 / len(sines)) ** 0.5
    expected = peak * np.sum(sines, axis=0) * sounding
    assert np.max(np.abs(sent.reshape(-1) - expected)) < len(sines) * peak * 2 * np.pi / 4096


# --- what 20 ms are made of


def part_at(x: Signal, frequencies: tuple[int, ...]) -> tuple[float, Signal]:
    """Energy of what is in ``x`` at these frequencies, and the amplitude at each (least squares)."""
    waves = np.exp(2j * np.pi * np.outer(np.arange(len(x)), frequencies) / 8000)
    amplitudes = np.linalg.lstsq(waves, x.astype(complex), rcond=None)[0]
    return float(2 * np.sum(np.abs(waves @ amplitudes) ** 2)), np.abs(amplitudes)


def kind_of(block: Signal, last: Signal, last_was_quiet: bool) -> tuple[int, float]:
    """What ``block``, and the one before it, are made of; and how near that was to something else."""
    power = np.mean(block**2)
    quiet = power / rms(-43) ** 2
    margin = abs(quiet - 1)
    if quiet < 1:
        return QUIET, margin
    # One frequency: 5 ms at a time the phase against 425 Hz grows evenly, and no 5 ms are weak.
    both = np.concatenate([last, block])
    pieces = (both * np.exp(-2j * np.pi * 425 * np.arange(320) / 8000)).reshape(8, 40).sum(axis=1)
    energy = np.abs(pieces) ** 2
    share = 2 * energy[4:].sum() / (40 * np.sum(block**2))
    even = min(energy) / max(energy)
    off_hz = abs(np.angle(np.sum(pieces[4:] * np.conj(pieces[3:7])))) * 200 / (2 * np.pi)
    tests = [share / 0.75, 0 if last_was_quiet else even / 0.35, 32 / max(off_hz, 1e-9)]
    margin = min(margin, abs(min(tests) - 1))
    if min(tests) > 1:
        return SINGLE, margin
    total = np.sum(both**2)
    heard = np.concatenate([last * (not last_was_quiet), block])
    best, most = OTHER, 0.75 * total
    for kind, frequencies in PAIRS.items():
        explained, amplitudes = part_at(heard, frequencies)
        balance = (min(amplitudes) / max(amplitudes)) ** 2 / 0.2
        if explained > 0.7 * total:
            margin = min(margin, abs(balance - 1), abs(explained / most - 1))
        if balance > 1 and explained > most:
            best, most = kind, explained
    return best, margin


def assert_kinds_equal(x: Signal) -> list[int]:
    """The kernel finds in each block what the twin does, where that is not by a hair; returns the twin's."""
    rx = argument(records(PROGRESS_RX, 1))[0]
    blocks = x[: len(x) // 160 * 160].reshape(-1, 160).astype(np.float32).astype(np.float64)
    last, was_quiet = np.zeros(160), True
    kinds = []
    for block in blocks:
        kind, margin = kind_of(block, last, was_quiet)
        power = float(np.mean(block**2))
        found = _kind_of_block(rx, block.astype(np.float32), 0.0, power)
        assert found == kind or margin < 1e-3
        kinds.append(kind)
        last, was_quiet = block, kind == QUIET
    return kinds


@settings(derandomize=True, deadline=None, max_examples=80)
@given(
    parts=st.lists(
        st.tuples(
            st.sampled_from([*PAIRS.values(), (425, 425), (425, 1000), (400, 450)]),
            st.one_of(st.floats(-40, 40), st.floats(31, 33), st.floats(-33, -31)),  # Hz off, both alike
            st.one_of(st.floats(-25, 0), st.floats(-7.5, -6.5), st.floats(-14, -9)),  # dB, the weaker one
            st.floats(-45, -5),  # dBm0
            st.integers(100, 1200),  # samples
        ),
        min_size=1,
        max_size=5,
    ),
    snr=st.one_of(st.floats(-3, 30), st.floats(20, 50)),
    seed=st.integers(0, 999),
)
def test_kinds_of_random_sounds(
    parts: list[tuple[tuple[int, int], float, float, float, int]], snr: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pieces = []
    for frequencies, off, weaker, level, n in parts:
        t = np.arange(n) / 8000
        for hz, db in zip(frequencies, (0, weaker), strict=True):
            wave = np.sin(2 * np.pi * ((hz + off) * t + rng.random()))
            pieces.append(2**0.5 * rms(level + db) * wave)
        pieces[-2:] = [pieces[-2] + pieces[-1]]
    x = np.concatenate(pieces)
    x += rng.normal(0, rms(max(level for *_, level, _ in parts) - snr), len(x))
    assert_kinds_equal(x)


def test_kinds_of_a_tone_that_grows_weaker() -> None:
    """By 3.5 to 5.5 dB from one block to the next: somewhere between it is no steady tone any more."""
    kinds = []
    for drop_db in np.arange(3.5, 5.5, 0.05):
        factor = np.repeat([1, 1, 10 ** (-drop_db / 20), 10 ** (-drop_db / 20)], 160)
        kinds.append(
            assert_kinds_equal(rms(-12) * factor * np.sin(2 * np.pi * 425 / 8000 * np.arange(640)))[2]
        )
    assert set(kinds) == {SINGLE, OTHER}


@pytest.mark.parametrize("name", NAMES)
def test_kinds_of_tones_on_a_line(name: str) -> None:
    """Each in its block, and not only quiet and other ones."""
    tone = TONES[name]
    x = made(tone.frequencies_hz, tone.on_s, tone.off_s, 3.0)[: 8000 * 5]
    kinds = assert_kinds_equal(added(x, noise(-32, len(x), 5)).astype(np.float64))
    kind = {1: SINGLE, 2: next((k for k, f in PAIRS.items() if f == tone.frequencies_hz), 0)}
    assert kinds.count(kind[len(tone.frequencies_hz)]) > 0.35 * len(kinds) * min(tone.on_s / 2, 1)


# --- cadence


def names_of(kinds: list[int]) -> list[tuple[int, str]]:
    """(place of the block, tone) of all that is to be reported for these blocks.

    A tone is followed from its first block; blocks of another kind count to what came before them, until
    there are four in a row (which may be the first of another tone), and so does silence until it is longer
    than any ringing's. The lengths of the times on and off then tell.
    """
    reported = []
    at = 0
    while at < len(kinds):
        kind = kinds[at]
        if kind in (QUIET, OTHER):
            at += 1
            continue
        names, at = follow(kinds, at, kind)
        reported += names
    return reported


def follow(kinds: list[int], start: int, kind: int) -> tuple[list[tuple[int, str]], int]:
    """What is reported of a tone of ``kind`` from block ``start`` on, and the block after it was given up."""
    on: list[int] = []  # which blocks of the tone are on, odd ones as those before
    end = len(kinds)
    odd = silence = 0
    for at in range(start, len(kinds)):
        odd = odd + 1 if kinds[at] not in (kind, QUIET) else 0
        on.append(int(kinds[at] == kind) if not odd else on[-1])
        silence = 0 if on[-1] else silence + 1
        if odd == 4:
            end = at  # it may be the first of the next tone
            break
        if not odd and silence > 320:
            end = at + 1
            break
    names: list[tuple[int, str]] = []
    said = ""  # once, until a cycle is no longer like that

    def report(at: int, name: str) -> None:
        nonlocal said
        if at < end and name != said:
            said = name
            names.append((at, name))

    runs = [(value, len(list(run))) for value, run in groupby(on)]
    at = start
    alike = 0
    before = 0
    last_on = 0
    for value, length in runs:
        if value:
            last_on = length
            least = {SINGLE: 110, DIAL_PAIR: 40}.get(kind)
            if least is not None:
                firm = [k for k in range(at, at + length) if k - at + 1 >= least and kinds[k] == kind]
                if firm:
                    report(firm[0], "dial")
        else:
            ringing = 30 <= last_on <= 115
            if kind == RING_PAIR and ringing:
                firm = [k for k in range(at, at + length) if k - at + 1 >= 130 and kinds[k] == QUIET]
                if firm:
                    report(firm[0], "ringback")
            again, period = at + length, last_on + length
            if again >= start + len(on):
                break
            short = 5 <= last_on <= 36 and 5 <= length <= 36 and 14 <= period <= 57
            if ringing and 130 <= length <= 320:
                if kind in (SINGLE, RING_PAIR):
                    report(again, "ringback")
            elif short and kind in (SINGLE, BUSY_PAIR):
                alike = alike + 1 if abs(period - before) <= 3 else 1
                before = period
                if alike >= 2:
                    report(again, "busy" if period >= 30 else "congestion")
            else:
                alike = before = 0
                said = ""
        at += length
    return names, end


def kernel_names(kinds: list[int]) -> list[tuple[int, str]]:
    rx, events = argument(records(PROGRESS_RX, 1))[0], records(EVENTS, 1)
    rec, n = argument(events)[0], argument(events)["n"]
    names = []
    for at, kind in enumerate(kinds):
        _follow(rx, kind, 1000.0, rec)
        if n[0]:
            names += [(at, event.name) for event in decode(events[0]) if isinstance(event, ToneDetected)]
            n[0] = 0
    return names


def test_cadences_of_the_tables() -> None:
    """50 blocks a second."""
    cadences = {
        "dial": [DIAL_PAIR] * 100,
        "busy": ([SINGLE] * 25 + [QUIET] * 25) * 4,
        "congestion": ([BUSY_PAIR] * 12 + [OTHER] + [QUIET] * 12) * 4,
        "ringback": ([OTHER] + [RING_PAIR] * 100 + [QUIET] * 128 + [OTHER] * 3 + [QUIET] * 69) * 2,
    }
    for name, kinds in cadences.items():
        assert [heard for _, heard in names_of(kinds)] == [name]
        assert kernel_names(kinds) == names_of(kinds)


run_lengths = st.one_of(st.integers(1, 8), st.integers(10, 60), st.integers(100, 140), st.integers(300, 330))
cycle_lengths = st.one_of(st.integers(5, 30), run_lengths)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    runs=st.lists(st.tuples(st.sampled_from([QUIET, SINGLE, OTHER]), run_lengths), max_size=14),
    kind=st.sampled_from([SINGLE, DIAL_PAIR, RING_PAIR, BUSY_PAIR]),
    cycle=st.tuples(cycle_lengths, cycle_lengths, st.lists(st.integers(-1, 5), max_size=6)),
    odd=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 5)), max_size=6),
)
def test_cadences(
    runs: list[tuple[int, int]],
    kind: int,
    cycle: tuple[int, int, list[int]],
    odd: list[tuple[float, int]],
) -> None:
    """Runs of any length, a cycle again and again but a little longer at times, and odd blocks."""
    on, off, longer = cycle
    kinds = [kind if k == SINGLE else k for k, n in runs for _ in range(n)]
    for more in longer:
        kinds += [kind] * on + [QUIET] * (off + more)
    for where, n in odd:
        at = int(where * len(kinds))
        kinds[at : at + n] = [OTHER] * len(kinds[at : at + n])
    assert kernel_names(kinds) == names_of(kinds)
