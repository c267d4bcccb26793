"""Tracking against its loops written out: equalise, turn, decide, and learn from what was decided."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.line_model import CarrierOffset, ClockOffset, Impairment, Line, Noise, Shape
from dsp.qam_fit import fit
from dsp.qam_rx import qam_rx_block, qam_rx_start
from dsp.qam_rx_state import BLOCK, DATA, EQ_TAPS, SYMBOL_RING, TRAINING
from dsp.qam_track import track
from dsp.qam_tx import qam_burst
from dsp.trellis import NEXT_STATE
from tests.dsp.twins.receiver import Complexes, Receiver, known_begins, known_symbols, windows


@dataclass
class Tracker:
    """What tracking does from the state in which ``receiver`` is when this is made; no echo, no jitter."""

    receiver: Receiver
    received: list[complex] = field(default_factory=list)
    decided: list[complex] = field(default_factory=list)
    trusted: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        rx, m = self.receiver.state, self.receiver.modulation
        self.z = (rx.z_re + 1j * rx.z_im)[:EQ_TAPS].astype(np.complex128)
        self.taps = self.receiver.taps
        self.t, self.step, self.angle, self.turn = (float(rx[f]) for f in ("t_z", "step", "angle", "turn"))
        self.mse = float(rx.mse)
        self.n_known = int(rx.n_symbols)
        self.training = rx.state == TRAINING
        self.late_sum, self.late_weight, self.late_symbols = (
            float(rx[f]) for f in ("timing_sum", "timing_weight", "timing_symbols")
        )
        self.metric = (rx.metric >> 3) / 65536
        self.points = np.array([m.points[label] for label in m.points]) * m.unit
        self.known = known_symbols(m)

    def run(self, until: float) -> None:
        """All symbols before ``until``, 48 at a time; to the end of the training, if it is under way."""
        m = self.receiver.modulation
        half = 24 if m.baud == 1200 else 20
        while True:
            ready = int(np.floor((self.receiver.state.n_in - half - 1 - self.t) / self.step)) + 1
            begins = self.t - EQ_TAPS / 2 * self.step
            n = min(48, ready // 2, int(np.ceil((until - begins) / (2 * self.step))))
            if self.training:
                n = min(n, len(self.known) - self.n_known)
            if n <= 0:
                return
            self.chunk(n, begins, half)
            if self.training and self.n_known == len(self.known):
                self.training = False
                self.metric = np.where(np.arange(8) == m.turn_on.trellis_state, 0, np.inf)
                return

    def chunk(self, n: int, begins: float, half: int) -> None:
        rx = self.receiver.state
        self.z = np.concatenate([self.z, self.receiver.z(self.t, 2 * n, self.step)])
        self.t += 2 * n * self.step
        a = windows(self.z, n)
        y = a @ self.taps
        slope = (windows(self.z, n, 2) - windows(self.z, n, 0)) @ self.taps
        instant = begins + 2 * self.step * np.arange(n)
        reach = 17 * self.step + half
        trusted = (instant + reach < rx.bad_from) | (instant - reach > rx.bad_to)
        settling = self.training and self.n_known < 384 and not self.receiver.modulation.turn_on.short
        now, for_good = (0.06, 0.001) if settling else (0.02, 0.00015)
        turn = self.turn
        error, square = np.zeros(n, complex), np.zeros(n)
        for first in range(0, n, 8):
            batch = slice(first, min(first + 8, n))
            phase = self.angle + turn * np.arange(batch.stop - first)
            u = y[batch] * np.exp(-1j * phase)
            d, square[batch] = self.decide(u, trusted[batch])
            error[batch] = (d - u) * np.exp(1j * phase) * trusted[batch]
            off = np.sum(np.clip(np.imag(u * d.conj()), -0.5, 0.5) * trusted[batch])
            self.angle += len(u) * turn + now * off
            turn += for_good * off
            self.received += u.tolist()
            self.decided += d.tolist()
            self.trusted += trusted[batch].tolist()
        squares, n_trusted = np.sum(square[trusted]), np.sum(trusted)
        self.mse += (squares - n_trusted * self.mse) / 256
        hopeless = self.receiver.modulation.hopeless_mse
        if self.training or squares <= hopeless * n_trusted:
            self.turn = turn
            self.taps = self.taps + 0.02 / EQ_TAPS * a.conj().T @ error
            self.late_sum -= np.sum(np.real(error * slope.conj()))
            self.late_weight += np.sum(np.abs(slope[trusted]) ** 2)
            self.steer_timing(n)
        self.z = self.z[2 * n :]

    def decide(self, u: Complexes, trusted: NDArray[np.bool_]) -> tuple[Complexes, NDArray[np.float64]]:
        """The points, and how much further the likeliest symbols are away with these."""
        if self.training:
            d = self.known[self.n_known : self.n_known + len(u)]
            self.n_known += len(u)
            return d, np.abs(d - u) ** 2
        distance = np.abs(u[:, np.newaxis] - self.points) ** 2
        if not self.receiver.modulation.trellis:
            return self.points[np.argmin(distance, axis=1)], np.min(distance, axis=1)
        decided, growth = [], []
        for row in distance * np.where(trusted, 1, 0.125)[:, np.newaxis]:
            branches = [
                (self.metric[state] + row[label], NEXT_STATE[state][y], label)
                for state in range(8)
                for y in range(4)
                for label in [min(range(y << 1 | state & 1, len(row), 8), key=row.__getitem__)]
            ]
            before = np.min(self.metric)
            self.metric = np.array([min(total for total, to, _ in branches if to == s) for s in range(8)])
            growth.append(np.min(self.metric) - before)
            decided.append(self.points[min(branches)[2]])
        return np.array(decided), np.array(growth)

    def steer_timing(self, n: int) -> None:
        """Every 48 symbols: lateness, in symbols, moves the next instant at once, and the clock for good."""
        self.late_symbols += n
        if self.late_symbols < 48:
            return
        symbol = 8000 / self.receiver.modulation.baud
        if self.late_weight > 0:
            late = np.clip(self.late_sum / self.late_weight, -0.1, 0.1)
            self.t -= 0.12 * late * symbol
            self.step -= 0.004 * late / self.late_symbols * symbol / 2
        self.late_sum = self.late_weight = self.late_symbols = 0


def prepared(code: int, stages: list[Impairment], data: bytes) -> tuple[Receiver, NDArray[np.int16]]:
    """A receiver that has just begun to track the training, and the samples to come."""
    audio = Line(stages, seed=code).run(qam_burst(code, data))
    blocks = audio[: len(audio) // BLOCK * BLOCK].reshape(-1, BLOCK)
    receiver = Receiver(code)
    assert qam_rx_start(receiver.rec, code)
    out = np.zeros(64, np.uint8)
    for k, block in enumerate(blocks):
        qam_rx_block(receiver.rec, block.astype(np.float32), False, out)
        if receiver.state.state >= TRAINING:
            return receiver, blocks[k + 1 :]
    raise AssertionError("no training")


def assert_alike(receiver: Receiver, twin: Tracker) -> None:
    rx = receiver.state
    assert np.linalg.norm(receiver.taps - twin.taps) < 2e-4 * np.linalg.norm(twin.taps)
    assert np.angle(np.exp(1j * (rx.angle - twin.angle))) == pytest.approx(0, abs=5e-4)
    assert rx.turn == pytest.approx(twin.turn, abs=2e-6)
    assert rx.t_z == pytest.approx(twin.t, abs=5e-4)
    assert rx.step == pytest.approx(twin.step, rel=1e-7)
    # The trellis decoder's metrics are whole numbers of 2^-16, rounded down.
    assert rx.mse == pytest.approx(twin.mse, rel=2e-3, abs=2**-16 if receiver.modulation.trellis else 1e-6)


@pytest.mark.parametrize("code", [24, 48, 72, 96, 73, 145])
def test_settling(code: int) -> None:
    """Right after the fit, whose last 96 symbols are gone through with quicker loops."""
    receiver = Receiver(code)
    rx, m = receiver.state, receiver.modulation
    audio = Line([Shape("loop-long"), Noise(-40)], seed=code).run(qam_burst(code, bytes(100)))
    begins = known_begins(m)
    receiver.hear(audio[: int(begins + 470 * 8000 / m.baud)])
    rx.t_z = begins
    fit(receiver.rec)
    rx.turn += 0.002  # something to be settled
    twin = Tracker(receiver)
    twin.run(float(rx.n_in))
    before = float(rx.turn)
    track(receiver.rec, float(rx.n_in), np.zeros(64, np.uint8), 0)
    assert rx.n_symbols == twin.n_known > 384
    assert abs(rx.turn - before) > 5e-4
    assert_alike(receiver, twin)


@pytest.mark.parametrize("code", [24, 48, 72, 96, 73, 121, 145])
@pytest.mark.parametrize(
    ("stages", "bad"),
    [
        ([Noise(-54)], False),
        ([Shape("loop-long"), CarrierOffset(9), ClockOffset(-200), Noise(-44)], False),
        ([CarrierOffset(-5), ClockOffset(150), Noise(-46)], True),
    ],
    ids=["clean", "loop", "lost"],
)
def test_track(code: int, stages: list[Impairment], bad: bool) -> None:
    """Block by block from the training into the data; ``bad``: 20 ms of noise that are known to be lost."""
    data = np.random.default_rng(code).integers(0, 256, 200 if code == 24 else 500, np.uint8).tobytes()
    receiver, blocks = prepared(code, stages, data)
    rx = receiver.state
    rx.watched = 1
    n_watched = int(rx.n_watched)
    twin = Tracker(receiver)
    out = np.zeros(64, np.uint8)
    received = b""
    in_data = 0
    for block in blocks:
        in_data += rx.state == DATA
        lost = bad and in_data in (5, 6)
        if lost:
            rx.bad_from, rx.bad_to = rx.bad_from if in_data == 6 else rx.n_in, rx.n_in + BLOCK
        receiver.hear_more(np.random.default_rng(1).normal(0, 2000, BLOCK) if lost else block)
        for _ in range(2):  # a second time for the data after the training's end
            until = float(rx.n_in)
            twin.run(until)
            received += out[: track(receiver.rec, until, out, 0)].tobytes()
        n = int(rx.n_watched) - n_watched
        at = (n_watched + np.arange(n)) % SYMBOL_RING
        n_watched += n
        assert n == len(twin.received)
        assert np.max(np.abs(rx.watched_received[at] - twin.received), initial=0) < 2e-3
        differs = np.abs(rx.watched_decided[at] - twin.decided) > 1e-5
        assert not np.any(
            differs & twin.trusted
        )  # noise may be as near to two points as single precision tells
        twin.received, twin.decided, twin.trusted = [], [], []
        assert_alike(receiver, twin)
        if len(received) >= len(data) - 30:
            break
    assert in_data > 8
    same = np.frombuffer(received, np.uint8) == np.frombuffer(data[: len(received)], np.uint8)
    assert same.all() or bad
    assert same[:20].all()
    assert same[-20:].all()
