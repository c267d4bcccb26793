"""The receive filter, which computes many instants side by side, against the formula at each instant."""

import numpy as np
import pytest

from dsp.kernel import argument, records
from dsp.matched_filter import half_symbols
from dsp.pulse import rx_half_taps
from dsp.qam_rx_state import BLOCK, QAM_RX, RING
from dsp.qam_tables import MODULATIONS
from tests.dsp.twins.signals import received_half_symbols


@pytest.mark.parametrize("code", [24, 48, 96, 145])  # one for each pulse
@pytest.mark.parametrize(
    ("n", "late", "ppm", "n_blocks"),
    [(96, 0.3, 200, 40), (100, 777.7, -200, 100), (300, 12.2, 200, 20), (5, 3.1, 0, 33), (32, 1.0, 50, 32)],
)
def test_half_symbols(code: int, n: int, late: float, ppm: float, n_blocks: int) -> None:
    """``n`` of them, the last one ``late`` samples before the end of what the ring has received."""
    row = next(k for k, m in enumerate(MODULATIONS) if m.code == code)
    m = MODULATIONS[row]
    step = 8000 / (2 * m.baud) * (1 + ppm * 1e-6)
    samples = np.random.default_rng(n + code).normal(0, 1000, n_blocks * BLOCK).astype(np.float32)
    state = records(QAM_RX, 1)
    rx = state[0]
    rx.row, rx.gain, rx.step, rx.n_in = row, 1.0, step, len(samples)
    for at in range(max(len(samples) - RING, 0), len(samples)):
        rx.ring[at % RING] = samples[at]
    first = len(samples) - rx_half_taps(m.baud) - 2 - n * step - late
    rx.t_z = first
    half_symbols(argument(state)[0], n, 0)
    expected = received_half_symbols(samples, first, step, n, m)
    got = rx.z_re[:n] + 1j * rx.z_im[:n]
    # Instants are rounded to 1/32 of a sample, and those of a run to the one in its middle: -41 dB at worst.
    assert np.mean(np.abs(got - expected) ** 2) < 1e-4 * np.mean(np.abs(expected) ** 2)
    assert rx.t_z == pytest.approx(first + n * step, abs=1e-6)
