"""Short training (V.17): too few symbols to learn a line from, so what the last long training taught is used.

The taps, level, carrier offset and clock offset are remembered; only one instant and one phase are new, and
a handful of symbols tell them. A receiver that was never taught starts from a perfect line and bends its
equaliser to the short sequence as far as that goes; so does one whose line has changed meanwhile.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.kernel import Record, kernel
from dsp.matched_filter import half_symbols
from dsp.pulse import SAMPLE_RATE_HZ
from dsp.qam_echo import echo_begin
from dsp.qam_fit import solve_near
from dsp.qam_jitter import fit_jitter
from dsp.qam_rx_state import ECHO_PAST, ECHO_TAPS, EQ_CENTRE, EQ_TAPS, TRAINING
from dsp.qam_tables import ALTERNATION, BAUD, KNOWN, KNOWN_START, N_KNOWN, POINT, PULSE, RX_HALF

_FIRST = EQ_CENTRE + 1
#: Instants tried either side of the one that the search found, and their distance, symbols.
_TRIALS = 6
_TRIAL = 0.1
#: Symbols before and after which the phase is compared for the carrier offset.
_PARTS = 3
#: Carrier offset, radians a symbol, that the short sequence alone may claim against the remembered (3 Hz).
_TURN_LIMIT = 0.008
#: An error so much greater than the remembered one means that the line has changed.
_CHANGED, _CHANGED_LEAST = 2.0, 0.002
#: Weight of the remembered taps, in symbols.
_PRIOR = 3.0
_LEAST_USABLE = 24


@kernel
def remember(rx: Record) -> None:
    """Keep what a long training of V.17 taught of line, level, carrier and clock for the next short one."""
    rx.kept = 1
    for i in range(EQ_TAPS):
        rx.kept_tap_re[i] = rx.tap_re[i]
        rx.kept_tap_im[i] = rx.tap_im[i]
    rx.kept_gain = rx.gain
    rx.kept_turn = rx.turn
    rx.kept_step = rx.step
    rx.kept_mse = rx.mse
    rx.kept_echo = rx.echo
    for i in range(ECHO_TAPS):
        rx.kept_echo_re[i] = rx.echo_re[i]
        rx.kept_echo_im[i] = rx.echo_im[i]


@kernel
def fit_short_instant(rx: Record) -> float:
    """The sample instant up to which :func:`fit_short` needs samples."""
    n_z = 2 * (N_KNOWN[rx.row] + int(_TRIALS * _TRIAL) + 2) + EQ_TAPS
    last: float = rx.t_z + n_z * rx.step + RX_HALF[PULSE[rx.row]] + 1
    return last


@kernel
def _recall(rx: Record) -> None:
    if rx.kept:
        for i in range(EQ_TAPS):
            rx.tap_re[i] = rx.kept_tap_re[i]
            rx.tap_im[i] = rx.kept_tap_im[i]
        rx.gain = rx.kept_gain
        rx.turn = rx.kept_turn
        rx.step = rx.kept_step
        rx.echo = rx.kept_echo
        for i in range(ECHO_TAPS):
            rx.echo_re[i] = rx.kept_echo_re[i]
            rx.echo_im[i] = rx.kept_echo_im[i]
    else:
        rx.echo = 0
        for i in range(EQ_TAPS):
            rx.tap_re[i] = np.float32(1) if i == EQ_CENTRE else np.float32(0)
            rx.tap_im[i] = np.float32(0)
        rx.step = SAMPLE_RATE_HZ / (2.0 * BAUD[rx.row])


@kernel
def _judge(
    rx: Record, first: float, usable: NDArray[np.uint8], y_re: NDArray[np.float32], y_im: NDArray[np.float32]
) -> tuple[float, float, float, float]:
    """Equalise the known symbols when the first one is at instant ``first``.

    Returns mean squared error at the best level and phase; that level and phase as a complex factor (real and
    imaginary part) from known to equalised symbols; the remaining carrier offset, radians a symbol.
    """
    n = N_KNOWN[rx.row]
    known = KNOWN_START[rx.row]
    rx.t_z = first - _FIRST * rx.step
    half_symbols(rx, 2 * n + EQ_TAPS, 0)
    sums = np.zeros((_PARTS, 2), np.float64)
    energy = 1e-9
    wanted = 1e-9
    for k in range(n):
        re, im = np.float32(0), np.float32(0)
        at = 2 * k + 1
        for i in range(EQ_TAPS):
            re += rx.tap_re[i] * rx.z_re[at + i] - rx.tap_im[i] * rx.z_im[at + i]
            im += rx.tap_re[i] * rx.z_im[at + i] + rx.tap_im[i] * rx.z_re[at + i]
        cosine, sine = np.float32(np.cos(rx.turn * k)), np.float32(np.sin(rx.turn * k))
        y_re[k] = re * cosine + im * sine
        y_im[k] = im * cosine - re * sine
        if usable[k]:
            c = POINT[rx.row, KNOWN[known + k]]
            part = k * _PARTS // n
            sums[part, 0] += y_re[k] * c.real + y_im[k] * c.imag
            sums[part, 1] += y_im[k] * c.real - y_re[k] * c.imag
            energy += y_re[k] ** 2 + y_im[k] ** 2
            wanted += c.real**2 + c.imag**2
    turn_re, turn_im = 0.0, 0.0
    for part in range(1, _PARTS):
        a_re, a_im = sums[part - 1, 0], sums[part - 1, 1]
        turn_re += sums[part, 0] * a_re + sums[part, 1] * a_im
        turn_im += sums[part, 1] * a_re - sums[part, 0] * a_im
    turn = np.arctan2(turn_im, turn_re) * _PARTS / n
    re, im = sums[:, 0].sum() / wanted, sums[:, 1].sum() / wanted
    power = re * re + im * im
    mse = (energy - power * wanted) / (max(power, 1e-9) * wanted)
    return mse, re, im, turn


@kernel
def _find_instant(rx: Record, first: float, usable: NDArray[np.uint8]) -> float:
    """The first known symbol's instant near ``first`` with the least error."""
    y_re = np.empty(N_KNOWN[rx.row], np.float32)
    y_im = np.empty(N_KNOWN[rx.row], np.float32)
    error = np.empty(2 * _TRIALS + 1, np.float64)
    best = 0
    spacing = _TRIAL * 2 * rx.step
    for trial in range(2 * _TRIALS + 1):
        error[trial] = _judge(rx, first + (trial - _TRIALS) * spacing, usable, y_re, y_im)[0]
        if error[trial] < error[best]:
            best = trial
    between = 0.0
    if 0 < best < 2 * _TRIALS:
        bend = error[best - 1] - 2 * error[best] + error[best + 1]
        between = 0.5 * (error[best - 1] - error[best + 1]) / bend if bend > 0 else 0.0
    found: float = first + (best - _TRIALS + min(max(between, -0.5), 0.5)) * spacing
    return found


@kernel
def fit_short(rx: Record) -> None:
    """Lock to the short sequence that begins about instant ``t_z``; leaves the receiver in TRAINING.

    ``mse`` tells how well it went. ``z`` and ``t_z`` are then as tracking wants them.
    """
    n = N_KNOWN[rx.row]
    near = rx.t_z
    heard_turn = rx.turn
    _recall(rx)
    usable = np.ones(n, np.uint8)
    reach = (EQ_CENTRE + 2) * rx.step + RX_HALF[PULSE[rx.row]]
    n_usable = 0
    for k in range(n):
        instant = near + 2 * k * rx.step
        usable[k] = instant + reach < rx.bad_from or instant - reach > rx.bad_to
        n_usable += usable[k]
    if not rx.kept:
        rx.turn = heard_turn
    if n_usable < _LEAST_USABLE:
        rx.mse = 1.0
        return
    first = _find_instant(rx, near, usable)
    y_re = np.empty(n, np.float32)
    y_im = np.empty(n, np.float32)
    mse, re, im, more = _judge(rx, first, usable, y_re, y_im)
    if rx.jitter_lines == 0:  # jitter looks like an offset, too
        rx.turn += min(max(more, -_TURN_LIMIT), _TURN_LIMIT)
    first = _find_instant(rx, first, usable)
    mse, re, im, more = _judge(rx, first, usable, y_re, y_im)
    rx.gain /= np.float32(np.sqrt(max(re * re + im * im, 1e-9)))
    angle = np.arctan2(im, re)
    if rx.jitter_lines > 0:
        further, more, mse = fit_jitter(rx, usable, y_re, y_im, angle)
        angle += further
        rx.turn += min(max(more, -_TURN_LIMIT), _TURN_LIMIT)
    expected = rx.kept_mse
    if rx.echo:  # it is still in what was judged here
        for i in range(ECHO_TAPS):
            expected += rx.echo_re[i] ** 2 + rx.echo_im[i] ** 2
    if not rx.kept or mse > _CHANGED * expected + _CHANGED_LEAST:
        _judge(rx, first, usable, y_re, y_im)
        solve_near(rx, n, usable, angle, _PRIOR)
        mse, re, im, more = _judge(rx, first, usable, y_re, y_im)
        angle = np.arctan2(im, re)
    rx.mse = mse
    rx.angle = angle
    rx.n_symbols = 0
    past = np.empty(ECHO_PAST, np.complex64)
    for k in range(ECHO_PAST):
        past[k] = ALTERNATION[rx.row, k & 1]
    echo_begin(rx, past, angle)
    rx.t_z = first - _FIRST * rx.step
    half_symbols(rx, EQ_TAPS, 0)
    rx.timing_sum = 0.0
    rx.timing_weight = 0.0
    rx.timing_symbols = 0
    rx.state = TRAINING
