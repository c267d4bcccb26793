"""The receivers' matched filter: any instant of the ring, mixed down by the nominal carrier."""

from __future__ import annotations

import numpy as np

from dsp.kernel import Record, kernel
from dsp.pulse import CARRIER_STEPS, RX_PHASES, RX_TAPS
from dsp.qam_rx_state import RING
from dsp.qam_tables import CARRIER_STEP, COSINE, PULSE, RX_HALF, RX_PULSE, SINE


@kernel
def half_symbols(rx: Record, n: int, at: int) -> None:
    """Filter ``n`` half-symbol samples, from instant ``t_z`` on, into ``z[at:at + n]``; moves ``t_z``.

    The samples up to ``RX_HALF`` after the last instant must have been received.
    """
    pulse = PULSE[rx.row]
    half = RX_HALF[pulse]
    gain = rx.gain
    carrier_step = CARRIER_STEP[rx.row]
    ring = rx.ring
    t = rx.t_z
    step = rx.step
    z_re, z_im = rx.z_re, rx.z_im
    for k in range(at, at + n):
        instant = np.int64(np.floor(t * RX_PHASES + 0.5))
        sample = instant // RX_PHASES
        p = instant % RX_PHASES
        start = (sample - half) % RING
        x = ring[start : start + RX_TAPS]
        pulse_re = RX_PULSE[pulse, 0, p]
        pulse_im = RX_PULSE[pulse, 1, p]
        re = np.float32(0)
        im = np.float32(0)
        for m in range(RX_TAPS):  # zeros fill up the shorter filters: a known length is quicker
            re += pulse_re[m] * x[m]
            im += pulse_im[m] * x[m]
        turn = (sample % CARRIER_STEPS) * carrier_step % CARRIER_STEPS
        cosine = COSINE[turn] * gain
        sine = SINE[turn] * gain
        z_re[k] = re * cosine + im * sine
        z_im[k] = im * cosine - re * sine
        t += step
    rx.t_z = t


@kernel
def n_half_symbols_ready(rx: Record) -> int:
    """How many half-symbol samples the received samples allow, from ``t_z`` on."""
    last = rx.n_in - RX_HALF[PULSE[rx.row]] - 1
    n: int = int(np.floor((last - rx.t_z) / rx.step)) + 1
    return max(n, 0)
