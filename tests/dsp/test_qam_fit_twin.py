"""The fit to a long training against numpy's least squares, on what the kernel chose and around it."""

from __future__ import annotations

import numpy as np
import pytest

from dsp.line_model import CarrierOffset, ClockOffset, Impairment, Line, Noise, Shape
from dsp.qam_fit import fit, solve_near
from dsp.qam_rx_state import EQ_TAPS, FIT_SYMBOLS, TRAINING
from dsp.qam_tx import qam_burst
from tests.dsp.twins.receiver import (
    FIRST,
    Complexes,
    Receiver,
    known_begins,
    known_symbols,
    windows,
)

#: Symbols of the fit's end that tracking sees again.
_OVERLAP = 96


def least_squares(
    a: Complexes, wanted: Complexes, prior: float = 0.0, near: Complexes | None = None
) -> Complexes:
    """Taps of the least error; 0.002 of the mean diagonal against large ones, ``prior`` against new ones."""
    loading = 0.002 * np.mean(np.sum(np.abs(a) ** 2, axis=0))
    near = np.zeros(EQ_TAPS, complex) if near is None else near
    rows = [a, np.sqrt(loading) * np.eye(EQ_TAPS), np.sqrt(prior) * np.eye(EQ_TAPS)]
    values = [wanted, np.zeros(EQ_TAPS), np.sqrt(prior) * near]
    return np.linalg.lstsq(np.vstack(rows), np.concatenate(values), rcond=None)[0]


@pytest.mark.parametrize("code", [24, 48, 96, 145, 146])
@pytest.mark.parametrize(("prior", "n"), [(0.0, 60), (3.0, 60), (40.0, 20)])
def test_solve_near(code: int, prior: float, n: int) -> None:
    """Random half symbols, some of them not to be used: the taps are numpy's."""
    rng = np.random.default_rng(code + n)
    receiver = Receiver(code)
    z = rng.normal(size=(2, 2 * n + EQ_TAPS + 1)).astype(np.float32)
    receiver.state.z_re[: z.shape[1]], receiver.state.z_im[: z.shape[1]] = z
    near = rng.normal(size=(2, EQ_TAPS))
    receiver.set_taps(near[0] + 1j * near[1])
    receiver.state.turn = 0.03
    usable = rng.random(n) < 0.9
    wanted = known_symbols(receiver.modulation)[:n] * np.exp(1j * (0.7 + 0.03 * np.arange(n)))
    a = windows(z[0] + 1j * z[1].astype(np.complex128), n)
    expected = least_squares(a[usable], wanted[usable], prior, receiver.taps)
    solve_near(receiver.rec, n, usable.astype(np.uint8), 0.7, prior)
    # Single precision: what is lost grows with how badly the equations are conditioned.
    assert np.linalg.norm(receiver.taps - expected) < 2e-3 * np.linalg.norm(expected)


@pytest.mark.parametrize("code", [24, 48, 72, 96, 73, 145])
@pytest.mark.parametrize(
    ("hz", "ppm", "shape", "bad"),
    [(0.0, 0.0, None, None), (8.0, 200.0, "loop-long", None), (-15.0, -200.0, "m1020", (1, 3))],
)
def test_fit(code: int, hz: float, ppm: float, shape: str | None, bad: tuple[int, int] | None) -> None:
    """Level, taps and error are those of the twin; carrier and clock are the line's, and the best there are.

    ``bad``: a packet that is not to be used, in blocks after the first known symbol.
    """
    receiver = Receiver(code)
    m, rx = receiver.modulation, receiver.state
    stages: list[Impairment] = [CarrierOffset(hz), ClockOffset(ppm), Noise(-14 - 30)]
    line = Line([Shape(shape), *stages] if shape else stages, seed=code)
    audio = line.run(qam_burst(code, bytes(100))).astype(np.float64)
    begins = known_begins(m, ppm)
    audio = audio[: int(begins + (FIT_SYMBOLS + 30) * 8000 / m.baud)]
    if bad:
        rx.bad_from, rx.bad_to = (int(begins) + 160 * k for k in bad)
        audio[rx.bad_from : rx.bad_to] = 0
    receiver.hear(audio)
    rx.t_z = begins + 0.3  # as the search finds them, nearly
    rx.turn = 2 * np.pi * (hz + 0.5) / m.baud
    fit(receiver.rec)
    assert rx.state == TRAINING

    first = rx.t_z - (EQ_TAPS + 2 * (FIT_SYMBOLS - _OVERLAP) - FIRST) * rx.step
    z = receiver.z(first - FIRST * rx.step, 2 * FIT_SYMBOLS + EQ_TAPS)
    assert np.mean(np.abs(z) ** 2) == pytest.approx(1, abs=2e-3)
    k = np.arange(FIT_SYMBOLS)
    centre = first + 2 * k * rx.step
    reach = (FIRST + 1) * rx.step + (24 if m.baud == 1200 else 20)
    usable = (centre + reach < rx.bad_from) | (centre - reach > rx.bad_to)
    known = known_symbols(m)[:FIT_SYMBOLS]

    def best(turn: float, stretch: float = 0.0) -> tuple[Complexes, float]:
        """Best taps, and their mean squared error, if carrier and clock were these."""
        step = rx.step * (1 + stretch)
        a = windows(receiver.z(first - FIRST * step, 2 * FIT_SYMBOLS + EQ_TAPS, step), FIT_SYMBOLS)[usable]
        wanted = (known * np.exp(1j * turn * k))[usable]
        taps = least_squares(a, wanted)
        return taps, float(np.mean(np.abs(a @ taps - wanted) ** 2))

    taps, mse = best(rx.turn)
    assert np.linalg.norm(receiver.taps - taps) < 2e-3 * np.linalg.norm(taps)
    assert rx.mse == pytest.approx(mse, rel=1e-3)
    # A clock that is fast raises the carrier, too.
    turned_hz = (m.carrier_hz + hz) * (1 + ppm * 1e-6) - m.carrier_hz
    assert rx.turn * m.baud / (2 * np.pi) == pytest.approx(turned_hz, abs=0.06)
    assert (8000 / (2 * m.baud) / rx.step - 1) * 1e6 == pytest.approx(ppm, abs=80)
    assert mse < 1.05 * min(best(rx.turn + more)[1] for more in (-4e-4, -2e-4, -1e-4, 1e-4, 2e-4, 4e-4))
    assert mse < 1.05 * min(best(rx.turn, more)[1] for more in (-2e-4, -1e-4, -5e-5, 5e-5, 1e-4, 2e-4))
