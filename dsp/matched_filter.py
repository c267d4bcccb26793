"""The receivers' matched filter: any instant of the ring, mixed down by the nominal carrier.

A half symbol is 5/3, 5/2 or 10/3 samples long, so every third (or second) output stands at the same place
between two samples, 5 (or 10) samples after the last. Such outputs are computed side by side, each tap for
all of them at once; how far the real clock is off the nominal one is made good from run to run.
"""

from __future__ import annotations

import numpy as np

from dsp.kernel import Record, kernel
from dsp.pulse import CARRIER_STEPS, RX_PHASES, RX_TAPS
from dsp.qam_rx_state import RING
from dsp.qam_tables import CARRIER_STEP, COSINE, CYCLE_OUTPUTS, CYCLE_SAMPLES, PULSE, RX_HALF, RX_PULSE, SINE

#: Outputs computed in one run: a clock 200 ppm off moves by 1/64 of a sample from its middle to its ends.
_RUN = 96
#: Taps taken together.
_TOGETHER = 4
#: Outputs of one place, and samples of one place in a cycle, at most.
_MOST = _RUN // 2
_MOST_PLACES = 10
_LONGEST = _MOST + RX_TAPS // 5 + 4


@kernel
def half_symbols(rx: Record, n: int, at: int) -> None:
    """Filter ``n`` half-symbol samples, from instant ``t_z`` on, into ``z[at:at + n]``; moves ``t_z``.

    The samples up to ``RX_HALF`` after the last instant must have been received.
    """
    folded = np.empty(_MOST_PLACES * _LONGEST, np.float32)
    sums = np.empty((2, _MOST), np.float32)
    done = 0
    while done < n:
        n_run = min(n - done, _RUN)
        _run(rx, n_run, at + done, folded, sums)
        done += n_run


@kernel
def _run(rx: Record, n: int, at: int, folded: Record, sums: Record) -> None:
    """As :func:`half_symbols` for one run; ``folded`` and ``sums`` are scratch."""
    pulse = PULSE[rx.row]
    half = RX_HALF[pulse]
    cycle = CYCLE_SAMPLES[pulse]
    n_places = CYCLE_OUTPUTS[pulse]
    gain = rx.gain
    step = rx.step
    first = np.int64(np.floor(rx.t_z)) - half - 1  # sample
    # folded[place * _LONGEST + k] is sample first + k * cycle + place
    length = ((n - 1) // n_places) + (2 * half + cycle) // cycle + 2
    source = first % RING
    ring = rx.ring
    for k in range(length):
        for place in range(cycle):
            folded[place * _LONGEST + k] = ring[source]
            source += 1
            if source == RING:
                source = 0
    carrier_step = CARRIER_STEP[rx.row]
    carrier_cycle = cycle * carrier_step % CARRIER_STEPS
    last_place = (cycle - 1) * _LONGEST
    re, im = sums[0], sums[1]
    for offset in range(min(n_places, n)):
        count = (n - offset + n_places - 1) // n_places
        middle = 0.5 * (count - 1)
        instant = np.int64(
            np.floor((rx.t_z + (offset + middle * n_places) * step - middle * cycle) * RX_PHASES + 0.5)
        )
        sample = instant // RX_PHASES
        p = instant % RX_PHASES
        start = sample - half - first
        for k in range(count):
            re[k] = np.float32(0)
            im[k] = np.float32(0)
        place = start % cycle * _LONGEST + start // cycle
        pulse_re, pulse_im = RX_PULSE[pulse, 0, p], RX_PULSE[pulse, 1, p]
        for m in range(0, 2 * half, _TOGETHER):
            a0, a1, a2, a3 = pulse_re[m], pulse_re[m + 1], pulse_re[m + 2], pulse_re[m + 3]
            b0, b1, b2, b3 = pulse_im[m], pulse_im[m + 1], pulse_im[m + 2], pulse_im[m + 3]
            at0 = place
            at1 = at0 + _LONGEST if at0 < last_place else at0 - last_place + 1
            at2 = at1 + _LONGEST if at1 < last_place else at1 - last_place + 1
            at3 = at2 + _LONGEST if at2 < last_place else at2 - last_place + 1
            place = at3 + _LONGEST if at3 < last_place else at3 - last_place + 1
            x0, x1, x2, x3 = folded[at0:], folded[at1:], folded[at2:], folded[at3:]
            for k in range(count):
                re[k] += a0 * x0[k] + a1 * x1[k] + a2 * x2[k] + a3 * x3[k]
                im[k] += b0 * x0[k] + b1 * x1[k] + b2 * x2[k] + b3 * x3[k]
        turn = (sample % CARRIER_STEPS) * carrier_step % CARRIER_STEPS
        for k in range(count):
            cosine = COSINE[turn] * gain
            sine = SINE[turn] * gain
            rx.z_re[at + offset + k * n_places] = re[k] * cosine + im[k] * sine
            rx.z_im[at + offset + k * n_places] = im[k] * cosine - re[k] * sine
            turn += carrier_cycle
            if turn >= CARRIER_STEPS:
                turn -= CARRIER_STEPS
    rx.t_z += n * step


@kernel
def n_half_symbols_ready(rx: Record) -> int:
    """How many half-symbol samples the received samples allow, from ``t_z`` on."""
    last = rx.n_in - RX_HALF[PULSE[rx.row]] - 1
    n: int = int(np.floor((last - rx.t_z) / rx.step)) + 1
    return max(n, 0)
