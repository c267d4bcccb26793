"""The receivers' matched filter: any instant of the ring, mixed down by the nominal carrier."""

from __future__ import annotations

import numpy as np

from dsp.kernel import Record, kernel
from dsp.pulse import CARRIER_STEPS, RX_PHASES
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
    for k in range(at, at + n):
        sample = np.int64(np.floor(rx.t_z))
        p = int((rx.t_z - sample) * RX_PHASES + 0.5)
        if p == RX_PHASES:
            p = 0
            sample += 1
        start = (sample - half) % RING
        re = np.float32(0)
        im = np.float32(0)
        for m in range(2 * half):
            x = ring[start + m]
            re += RX_PULSE[pulse, 0, p, m] * x
            im += RX_PULSE[pulse, 1, p, m] * x
        turn = (sample % CARRIER_STEPS) * carrier_step % CARRIER_STEPS
        cosine = COSINE[turn] * gain
        sine = SINE[turn] * gain
        rx.z_re[k] = re * cosine + im * sine
        rx.z_im[k] = im * cosine - re * sine
        rx.t_z += rx.step


@kernel
def n_half_symbols_ready(rx: Record) -> int:
    """How many half-symbol samples the received samples allow, from ``t_z`` on."""
    last = rx.n_in - RX_HALF[PULSE[rx.row]] - 1
    n: int = int(np.floor((last - rx.t_z) / rx.step)) + 1
    return max(n, 0)
