"""The search for a training's line spectrum against numpy's FFT of the same 10 ms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dsp.line_model import CarrierOffset, Idle, Impairment, Line, Noise, Shape
from dsp.modulation import Modulation
from dsp.qam_rx_state import ALTERNATION, BLOCK, SEARCH
from dsp.qam_search import search_block
from dsp.qam_tx import qam_burst
from tests.dsp.signals import noise, tone
from tests.dsp.twins.receiver import Receiver
from tests.dsp.twins.signals import rms

Signal = NDArray[np.float64]


def spectrum_of(m: Modulation, half_block: Signal) -> tuple[NDArray[np.complex128], float]:
    """At the carrier and half the symbol rate below and above it, and the energy of it all but the mean."""
    bins = (m.carrier_hz + np.array([-1, 0, 1]) * m.baud // 2) // 100
    return np.fft.fft(half_block)[bins], float(80 * np.var(half_block))


@dataclass
class Searcher:
    """The search; ``margin`` is how near the nearest decision so far was to its limit."""

    m: Modulation
    state: int = SEARCH
    n_in: int = 0
    patience: int = 0
    alternation_end: int = 0
    turned: complex = 0j
    margin: float = np.inf

    def __post_init__(self) -> None:
        self.last: tuple[NDArray[np.complex128], float] = (np.zeros(3, complex), 0.0)
        self.alone = False

    def has_lines(self, halves: list[tuple[NDArray[np.complex128], float]]) -> bool:
        """Half the energy in the three lines, 15 % in the outer ones, 1.5 % in each; -48 dBm0 or more."""
        weakest = min(energy for _, energy in halves) / (80 * rms(-48) ** 2)
        energy = sum(energy for _, energy in halves)
        share = sum(np.abs(lines) ** 2 for lines, _ in halves) * 2 / max(80 * energy, 1e-9)
        tests = [weakest, min(share[0], share[2]) / 0.015, (share[0] + share[2]) / 0.15, sum(share) / 0.5]
        self.margin = min(self.margin, abs(min(tests) - 1))
        return min(tests) > 1

    def block(self, x: Signal) -> None:
        self.n_in += BLOCK
        for half, samples in enumerate(np.split(x, 2)):
            this = spectrum_of(self.m, samples)
            alone, before = self.has_lines([this]), self.alone
            if self.has_lines([self.last, this]) or (alone and self.state == SEARCH):
                if self.state == SEARCH:
                    self.state, self.turned = ALTERNATION, 0j
                self.patience = 6
                self.alternation_end = self.n_in - BLOCK + half * 80
                if alone and before:
                    self.turned += np.vdot(self.last[0], this[0])
            self.last, self.alone = this, alone
        if self.state == ALTERNATION:
            self.patience -= 1
            if self.patience < 0:
                self.state = SEARCH


def search(code: int, x: Signal) -> list[tuple[int, int]]:
    """Kernel and twin over ``x`` until the known sequence is found; (state, block) of each change."""
    receiver = Receiver(code)
    rx = receiver.state
    rx.state = SEARCH
    twin = Searcher(receiver.modulation)
    changes = []
    for k, block in enumerate(x[: len(x) // BLOCK * BLOCK].reshape(-1, BLOCK)):
        samples = block.astype(np.float32)
        receiver.hear_more(samples)
        search_block(receiver.rec, samples)
        before = twin.state
        twin.block(samples.astype(np.float64))
        if twin.margin < 1e-4:  # single precision may fall on either side
            break
        if rx.state not in (SEARCH, ALTERNATION):
            changes.append((int(rx.state), k))
            break
        assert rx.state == twin.state
        if twin.state != before:
            changes.append((twin.state, k))
        if twin.state == ALTERNATION:
            assert (rx.patience, rx.alternation_end) == (twin.patience, twin.alternation_end)
            hz = np.angle(twin.turned) * 8000 / (2 * np.pi * 80)
            off_hz = rx.turn * receiver.modulation.baud / (2 * np.pi)
            assert off_hz == pytest.approx(hz, abs=2e-3)
    return changes


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    code=st.sampled_from([24, 48, 96, 145]),
    parts=st.lists(
        st.tuples(
            st.tuples(*[st.floats(-25, 0)] * 3),  # dB of each line
            st.floats(-52, -10),  # dBm0
            st.floats(-25, 25),  # Hz off
            st.integers(100, 1500),  # samples
        ),
        min_size=1,
        max_size=5,
    ),
    snr=st.floats(-4, 15),
    seed=st.integers(0, 999),
)
def test_random_lines_in_noise(
    code: int, parts: list[tuple[tuple[float, ...], float, float, int]], snr: float, seed: int
) -> None:
    m = Receiver(code).modulation
    rng = np.random.default_rng(seed)
    pieces = []
    for decibels, level, off, n in parts:
        hz = m.carrier_hz + np.array([-1, 0, 1]) * m.baud / 2 + off
        phase = 2 * np.pi * (np.outer(np.arange(n), hz) / 8000 + rng.random(3))
        x = np.sin(phase) @ 10 ** (np.array(decibels) / 20)
        x *= rms(level) / np.sqrt(np.mean(x**2))
        pieces.append(x + rng.normal(0, rms(level - snr), n))
    search(code, np.concatenate([*pieces, np.zeros(1600)]))


@pytest.mark.parametrize("code", [24, 48, 72, 96, 73, 145, 146])
@pytest.mark.parametrize(
    "stages",
    [[Noise(-60)], [Shape("m1020"), CarrierOffset(17), Noise(-30)], [CarrierOffset(-20), Noise(-24)]],
    ids=["clean", "m1020", "noise"],
)
def test_trainings(code: int, stages: list[Impairment]) -> None:
    """Found once, and kept until the known sequence has been found."""
    audio = Line([Idle(0.31, 0.1), *stages], seed=code).run(qam_burst(code, bytes(100)))
    changes = search(code, audio.astype(np.float64))
    assert changes[-2][0] == ALTERNATION
    assert changes[-1][0] not in (SEARCH, ALTERNATION)


@pytest.mark.parametrize("code", [48, 145])
@pytest.mark.parametrize("sound", ["noise", "ced", "v21", "other"])
def test_other_sounds(code: int, sound: str) -> None:
    """None of them is an alternation for long."""
    x = {
        "noise": lambda: noise(-15, 40000, 1),
        "ced": lambda: tone(2100, -12, 16000),
        "v21": lambda: qam_burst(24, bytes(200)),  # another modem's training
        "other": lambda: qam_burst(96, bytes(200)),
    }[sound]()
    changes = search(code, np.concatenate([x, np.zeros(1600)]).astype(np.float64))
    assert all(state in (SEARCH, ALTERNATION) for state, _ in changes) or (code, sound) == (48, "v21")
