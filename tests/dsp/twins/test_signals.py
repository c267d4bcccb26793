"""The signal kernels do what their slow twins do: samples equal but for rounding, decisions the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dsp import Bank, FrameReceived, ToneDetected, burst
from dsp.kernel import argument, records
from dsp.level import LEVEL, level_block
from dsp.qam_tables import MODULATIONS
from dsp.qam_tx import qam_burst
from dsp.tones import CED_HZ, CNG_HZ, LEVEL_DBM0
from tests.dsp.signals import Samples, added, amplified, joined, noise, play, record, silence
from tests.dsp.signals import tone as sine
from tests.dsp.twins import bits as bit_twin
from tests.dsp.twins import signals as twin

#: Largest error of the sine table, of the amplitude, and half of a rounded sample.
_TABLE_ERROR = 2 * np.pi / 4096


# --- level


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    parts=st.lists(st.tuples(st.integers(1, 20), st.floats(-60, 0), st.booleans()), min_size=1, max_size=5),
    dc=st.integers(-3000, 3000),
    seed=st.integers(0, 999),
)
def test_level(parts: list[tuple[int, float, bool]], dc: int, seed: int) -> None:
    pieces = [sine(1100, db, 80 * n) if is_tone else noise(db, 80 * n, seed) for n, db, is_tone in parts]
    x = joined(*pieces)
    x = np.clip(x[: len(x) // 160 * 160].astype(int) + dc, -32768, 32767).astype(np.float64)
    assume(len(x) > 0)
    windows = x.reshape(-1, 40).var(axis=1)
    assume(
        np.all(np.abs(windows / twin.rms(-36.0) ** 2 - 1) > 0.05)
    )  # neither side of the threshold by rounding
    power, estimate, silence_samples = twin.level(x)
    rec = argument(records(LEVEL, 1))[0]
    for k in range(len(x) // 160):
        level_block(rec, x[160 * k : 160 * k + 160].astype(np.float32), False)
        # Single precision: what is lost is relative to the power with DC.
        assert rec["power"] == pytest.approx(power[k], rel=1e-4, abs=1e-6 * (dc**2 + power[k]) + 1e-3)
        assert rec["dc"] == pytest.approx(estimate[k], rel=1e-4, abs=0.05)
    assert rec["silence_samples"] == silence_samples


# --- tones


@pytest.mark.parametrize(
    ("order", "hz", "begin", "end", "period"),
    [("send_cng", CNG_HZ, 0, 4000, 28000), ("send_ced", CED_HZ, 1600, 25600, 1 << 30)],
)
def test_tone_transmitters(order: str, hz: float, begin: int, end: int, period: int) -> None:
    bank = Bank(1)
    getattr(bank.channels[0], order)()
    sent, _ = record(bank, 360)
    expected = twin.tone(len(sent), hz, LEVEL_DBM0, begin=begin, end=end, period=period)
    assert np.max(np.abs(sent - expected)) < np.max(expected) * _TABLE_ERROR + 0.6


def twin_tones(x: Samples) -> tuple[list[tuple[int, str]], float]:
    """(end of the block, name) of each tone heard, and how near the nearest decision was to its threshold."""
    heard = []
    margin = np.inf
    whole = x.astype(np.float64)
    for name, hz, off_most, needed in (("cng", CNG_HZ, 40.0, 20), ("ced", CED_HZ, 20.0, 25)):
        level, share, off_hz = twin.tone_blocks(whole, hz)
        score, reported = 0, False
        for k in range(len(level)):
            sounding = level[k] > -43 and share[k] >= 0.78 and abs(off_hz[k]) < off_most
            score = min(score + 1, needed) if sounding else max(score - 4, 0)
            margin = min(margin, abs(level[k] + 43) / 10, abs(share[k] / 0.78 - 1))
            if share[k] > 0.7:
                margin = min(margin, abs(abs(off_hz[k]) / off_most - 1))
            if score == needed and not reported:
                reported = True
                heard.append((160 * (k + 1), name))
            elif score == 0:
                reported = False
    return sorted(heard), margin


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    hz=st.tuples(st.sampled_from([1100.0, 2100.0]), st.floats(-60, 60)).map(sum),
    level=st.floats(-45, -5),
    snr=st.floats(0, 40),
    samples=st.tuples(st.integers(0, 500), st.integers(1000, 8000)),
    seed=st.integers(0, 999),
)
def test_tone_receiver(hz: float, level: float, snr: float, samples: tuple[int, int], seed: int) -> None:
    start, length = samples
    x = joined(silence(start), sine(hz, level, length), silence(3200))
    x = added(x, noise(level - snr, len(x), seed))
    x = x[: len(x) // 160 * 160]
    expected, margin = twin_tones(x)
    assume(margin > 1e-3)  # single precision may fall on either side
    heard = [(at, event.name) for at, event in play(Bank(1), x) if isinstance(event, ToneDetected)]
    assert heard == expected


# --- V.21


@settings(derandomize=True, deadline=None, max_examples=20)
@given(frames=st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=4))
def test_v21_transmitter(frames: list[bytes]) -> None:
    sent = burst.transmit_frames(frames)
    bits = bit_twin.hdlc_transmission(frames, 37)
    n = -(-len(bits) * 80 // 3)
    assert np.max(np.abs(sent[:n] - twin.v21(bits, n))) < np.max(sent) * _TABLE_ERROR + 0.6
    assert not sent[n:].any()


@settings(derandomize=True, deadline=None, max_examples=15)
@given(
    frames=st.lists(st.binary(min_size=3, max_size=20), min_size=1, max_size=3, unique=True),
    start=st.integers(0, 400),
    level=st.floats(-38, -8),
    snr=st.floats(9, 40),
    seed=st.integers(0, 999),
)
def test_v21_receiver(frames: list[bytes], start: int, level: float, snr: float, seed: int) -> None:
    x = joined(silence(start), amplified(burst.transmit_frames(frames), level + 14), silence(1600))
    x = added(x, noise(level - snr, len(x), seed))
    bank = Bank(1)
    bank.channels[0].receive_v21()
    heard = [event.data for _, event in play(bank, x) if isinstance(event, FrameReceived) and event.fcs_ok]
    assert [frame[:-2] for frame in heard] == frames
    # The twin finds frames in the order of its eighty clocks, and one may by chance bring out a frame
    # that nobody sent; but it misses none.
    assert set(heard) <= set(twin.v21_frames(x.astype(np.float64)))


@settings(derandomize=True, deadline=None, max_examples=20)
@given(frame=st.binary(min_size=1, max_size=10), start=st.integers(0, 159))
def test_the_twin_decides_for_the_bits_that_were_sent(frame: bytes, start: int) -> None:
    bits = bit_twin.hdlc_transmission([frame], 3)
    n = len(bits) * 80 // 3
    x = np.concatenate([np.zeros(start), twin.v21(bits, n)])
    ends = start + 80 * np.arange(1, len(bits)) // 3 - 1  # the last sample of each bit
    assert "".join("1" if mark else "0" for mark in twin.v21_decisions(x)[ends]) == bits[: len(ends)]


# --- fast modems


@pytest.mark.parametrize("modulation", MODULATIONS, ids=lambda m: f"{m.name}-{m.bit_rate}-{m.code}")
@settings(derandomize=True, deadline=None, max_examples=2)
@given(data=st.binary(min_size=1, max_size=40), tep=st.booleans())
def test_fast_transmitter(modulation, data: bytes, tep: bool) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    bits = [octet >> k & 1 for octet in data for k in range(8)]
    symbols = twin.qam_symbols(modulation, bits, tep=tep)
    sent = qam_burst(modulation.code, data, tep=tep)
    # The beginning, and the end where the data are: the formula is slow.
    n = min(len(sent), int((len(symbols) + 20) * 8000 / modulation.baud))
    expected = twin.qam(modulation, symbols, n)
    assert np.max(np.abs(sent[:n] - expected)) < 2.0
    assert np.max(np.abs(expected[-800:])) > 1000
