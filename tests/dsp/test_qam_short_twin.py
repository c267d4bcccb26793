"""The lock to a short training: the instant of least error, the phase there, and numpy's least squares."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.line_model import CarrierOffset, ClockOffset, Idle, Impairment, Line, Noise, Shape
from dsp.qam_rx_state import ECHO_PAST, EQ_TAPS, TRAINING
from dsp.qam_short import fit_short
from dsp.qam_tx import qam_burst
from tests.dsp.test_qam_fit_twin import least_squares
from tests.dsp.twins.receiver import FIRST, Complexes, Receiver, in_data, known_begins, known_symbols, windows

_PRIOR = 3.0


class Judge:
    """What the known symbols say of an instant, with the receiver's present taps, level and clock."""

    def __init__(self, receiver: Receiver, usable: NDArray[np.bool_]) -> None:
        self.receiver, self.usable = receiver, usable
        self.known = known_symbols(receiver.modulation)
        self.k = np.arange(len(self.known))

    def windows_at(self, first: float) -> Complexes:
        step = self.receiver.state.step
        return windows(self.receiver.z(first - FIRST * step, 2 * len(self.k) + EQ_TAPS), len(self.k))

    def __call__(self, first: float, turn: float, taps: Complexes) -> tuple[float, complex]:
        """Mean squared error, of the energy, at the best level and phase; and that level and phase."""
        y = self.windows_at(first) @ taps * np.exp(-1j * turn * self.k)
        y, c = y[self.usable], self.known[self.usable]
        factor = np.vdot(c, y) / np.vdot(c, c).real
        return float(np.sum(np.abs(y / factor - c) ** 2) / np.sum(np.abs(c) ** 2)), complex(factor)


def heard(
    code: int, stages: list[Impairment], seed: int, ppm: float = 0.0
) -> tuple[NDArray[np.int16], float]:
    """A short burst after a pause of some odd length, and the instant of its first known symbol."""
    audio = Line([*stages, ClockOffset(ppm), Idle(0.0173)], seed=seed).run(qam_burst(code, bytes(300)))
    return audio, known_begins(Receiver(code).modulation, ppm) + round(0.0173 * 8000)


@pytest.mark.parametrize("code", [74, 98, 122, 146])
@pytest.mark.parametrize(
    ("stages", "level"),
    [
        ([Noise(-50)], (1.0, 0.2)),
        ([Shape("loop-long"), CarrierOffset(7), Noise(-45)], (0.5, -0.3)),
        ([Shape("m1020"), CarrierOffset(-12), Noise(-40)], (1.4, 0.25)),
    ],
    ids=["clean", "loop", "m1020"],
)
@pytest.mark.parametrize("taught", ["this line", "another line", "nothing"])
@pytest.mark.parametrize("lost", [False, True])
def test_fit_short(
    code: int, stages: list[Impairment], level: tuple[float, float], taught: str, lost: bool
) -> None:
    """``level``: factor on the signal, and by how many symbols the search is wrong.

    ``taught``: by a long training before; ``lost``: some samples are not to be used.
    """
    gain, late = level
    receiver = Receiver(code)
    if taught != "this line":  # then the carrier must be heard
        stages = [stage for stage in stages if not isinstance(stage, CarrierOffset)]
    if taught != "nothing":
        before = stages if taught == "this line" else [Noise(-50)]
        longer = Line([*before, ClockOffset(80)], seed=1).run(qam_burst(code - 1, bytes(900)))
        receiver = in_data(code - 1, longer, 0.1)[0].becoming(code)
        for name in ("gain", "turn", "step"):
            receiver.state[name] = receiver.state["kept_" + name]
        receiver.set_taps((receiver.state.kept_tap_re + 1j * receiver.state.kept_tap_im).astype(complex))
        assert not receiver.state.kept_echo
    else:
        receiver.set_taps(np.where(np.arange(EQ_TAPS) == FIRST - 1, 1, 0) + 0j)
    rx, m = receiver.state, receiver.modulation
    audio, begins = heard(code, stages, 2, 80)
    rx.bad_from = rx.bad_to = 0
    audio = audio[: int(begins + 160 * 8000 / m.baud)].astype(np.float64) * gain
    if lost:
        rx.bad_from, rx.bad_to = int(begins) + 190, int(begins) + 250
        audio[rx.bad_from : rx.bad_to] = 0
    receiver.hear(audio)
    shape_delay = 0.0
    if any(isinstance(stage, Shape) for stage in stages):
        # A shape delays; the search finds where the symbols stand out most.
        trial = Judge(receiver, np.ones(len(m.turn_on.known), np.bool_))
        delays = np.arange(-10, 25, 0.5)
        shape_delay = delays[np.argmin([trial(begins + d, rx.turn, receiver.taps)[0] for d in delays])]
    near = begins + shape_delay + late * 8000 / m.baud
    rx.t_z = near
    heard_turn = rx.turn
    kept = receiver.clone()
    if taught != "nothing":  # what is remembered counts, and nothing else
        rx.gain, rx.turn, rx.step = 3.0, 0.3, 2.0
    receiver.set_taps(np.ones(EQ_TAPS, complex))
    fit_short(receiver.rec)
    assert rx.state == TRAINING
    assert rx.step == kept.state.step

    first = rx.t_z - (EQ_TAPS - FIRST) * rx.step
    n = len(m.turn_on.known)
    instant = near + 2 * rx.step * np.arange(n)
    reach = (FIRST + 1) * rx.step + 20
    usable = (instant + reach < rx.bad_from) | (instant - reach > rx.bad_to)
    judge = Judge(kept, usable)
    # Instant and carrier are as good as any in reach.
    mse, factor = judge(first, rx.turn, kept.taps)
    tenths = np.arange(-0.55, 0.56, 0.05) * 8000 / m.baud
    assert mse < 1.05 * min(judge(near + d, rx.turn, kept.taps)[0] for d in tenths) + 2e-5
    assert abs(rx.turn - heard_turn) <= 0.008 + 1e-9
    turns = rx.turn + np.array([-0.002, -0.001, 0.001, 0.002])
    assert mse < 1.04 * min(judge(first, turn, kept.taps)[0] for turn in turns)
    # So is the level.
    assert rx.gain == pytest.approx(kept.state.gain / abs(factor), rel=1e-3)
    # The taps: kept, or bent to these symbols when the line is another one.
    expected = float(kept.state.kept_mse)
    changed = taught == "nothing" or mse > 2 * expected + 0.002
    assert changed or taught == "this line" or len(stages) == 1
    if changed:
        scaled = Judge(receiver, usable)
        wanted = scaled.known * np.exp(1j * (np.angle(factor) + rx.turn * scaled.k))
        taps = least_squares(scaled.windows_at(first)[usable], wanted[usable], _PRIOR, kept.taps)
        assert np.linalg.norm(receiver.taps - taps) < 5e-3 * np.linalg.norm(taps)
        mse, factor = scaled(first, rx.turn, taps)
    else:
        assert np.array_equal(receiver.taps, kept.taps)
    assert rx.mse == pytest.approx(mse, rel=0.02, abs=1e-5)
    assert np.exp(1j * rx.angle) == pytest.approx(factor / abs(factor), abs=2e-3)
    # Ready to track: half symbols, and the alternation as the past.
    z = receiver.z(rx.t_z - EQ_TAPS * rx.step, EQ_TAPS)
    assert np.max(np.abs((rx.z_re + 1j * rx.z_im)[:EQ_TAPS] - z)) < 1e-6
    ago = np.arange(-ECHO_PAST, 0)
    past = np.array(m.turn_on.alternation)[ago % 2] * m.unit * np.exp(1j * (rx.angle + rx.turn * ago))
    assert np.max(np.abs((rx.past_re + 1j * rx.past_im)[:ECHO_PAST] - past)) < 1e-5
