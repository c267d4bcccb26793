"""Tracking: from half-symbol samples to decided symbols and bits, with every loop running.

Symbols are taken in chunks: filter, equalise (outputs at the symbols and half-way between), then one pass
that turns, decides and steers the carrier loop, then one step of equaliser and timing for the whole chunk.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.kernel import Record, kernel
from dsp.matched_filter import half_symbols, n_half_symbols_ready
from dsp.pulse import SAMPLE_RATE_HZ
from dsp.qam_echo import adapt_echo, move_past, take_echo_off
from dsp.qam_hold import MOST_HELD, NOTE, decide_again, take_back, take_note
from dsp.qam_jitter import steer_jitter, turn_by_jitter, watch_jitter
from dsp.qam_rx_state import (
    BATCH,
    CHUNK,
    DATA,
    ECHO_PAST,
    EQ_CENTRE,
    EQ_TAPS,
    FIT_SYMBOLS,
    SYMBOL_RING,
    TRAINING,
    TRELLIS_HISTORY,
)
from dsp.qam_tables import (
    BAUD,
    BITS_PER_SYMBOL,
    DATA_PHASE,
    DATA_SCRAMBLER_STATE,
    DATA_TRELLIS_STATE,
    HOPELESS_MSE,
    IS_SHORT,
    KNOWN,
    KNOWN_START,
    LABELS,
    N_KNOWN,
    N_LABELS,
    POINT,
    POINT_IM,
    POINT_RE,
    PULSE,
    RX_HALF,
    SCRAMBLER,
    TRELLIS,
    VALUE,
)
from dsp.scrambler import mask_kernel, push_kernel
from dsp.viterbi import (
    DEPTH,
    n_final,
    oldest_lowest,
    viterbi_begin,
    viterbi_decide,
    viterbi_normalise,
    viterbi_symbols,
)

#: Carrier loop (second order): of each phase error, this much now and this much for good.
_CARRIER_TRAINING = (0.06, 0.0010)
_CARRIER_DATA = (0.02, 0.00015)
#: Timing loop (second order), a correction every _TIMING_SYMBOLS.
_TIMING = (0.12, 0.004)
_TIMING_SYMBOLS = CHUNK
#: Furthest that the clock may be off, of 1.
_CLOCK_LIMIT = 1e-3
#: Equaliser step, of the one that would be unstable.
_EQUALISER = 0.02
#: Symbols in a chunk that must make sense to end nonsense.
_SENSE_SYMBOLS = 12
#: Weight of a symbol in the running mean squared error.
_MSE_WEIGHT = 1 / 256


@kernel
def _equalise(rx: Record, n: int, re: NDArray[np.float32], im: NDArray[np.float32]) -> None:
    """Equaliser outputs at ``n`` successive half symbols; output 1 is the first symbol."""
    z_re, z_im = rx.z_re, rx.z_im
    tap_re, tap_im = rx.tap_re, rx.tap_im
    n = (n + 7) // 8 * 8  # vector instructions want a round number
    for k in range(n):
        re[k] = np.float32(0)
        im[k] = np.float32(0)
    for i in range(0, EQ_TAPS, 4):  # taps together, so that sums are not written out for each
        a0, a1, a2, a3 = tap_re[i], tap_re[i + 1], tap_re[i + 2], tap_re[i + 3]
        b0, b1, b2, b3 = tap_im[i], tap_im[i + 1], tap_im[i + 2], tap_im[i + 3]
        x, y = z_re[i:], z_im[i:]
        for k in range(n):
            re[k] += (a0 * x[k] + a1 * x[k + 1] + a2 * x[k + 2] + a3 * x[k + 3]) - (
                b0 * y[k] + b1 * y[k + 1] + b2 * y[k + 2] + b3 * y[k + 3]
            )
            im[k] += (a0 * y[k] + a1 * y[k + 1] + a2 * y[k + 2] + a3 * y[k + 3]) + (
                b0 * x[k] + b1 * x[k + 1] + b2 * x[k + 2] + b3 * x[k + 3]
            )


@kernel
def _adapt(rx: Record, n: int, e_re: NDArray[np.float32], e_im: NDArray[np.float32]) -> None:
    """One equaliser step for the errors (wanted less received) of ``n`` symbols."""
    step = np.float32(_EQUALISER / EQ_TAPS)
    for k in range(n):
        s_re, s_im = step * e_re[k], step * e_im[k]
        at = 2 * k + 1
        for i in range(EQ_TAPS):
            z_re, z_im = rx.z_re[at + i], rx.z_im[at + i]
            rx.tap_re[i] += s_re * z_re + s_im * z_im
            rx.tap_im[i] += s_im * z_re - s_re * z_im


@kernel
def _steer_timing(rx: Record) -> None:
    """Correct instant and step of the symbol clock by the lateness seen since the last time."""
    if rx.timing_symbols < _TIMING_SYMBOLS:
        return
    if rx.timing_weight > 0:
        late = min(max(rx.timing_sum / rx.timing_weight, -0.1), 0.1)
        nominal = SAMPLE_RATE_HZ / (2.0 * BAUD[rx.row])
        rx.t_z -= _TIMING[0] * late * 2 * nominal
        step = rx.step - _TIMING[1] * late / rx.timing_symbols * nominal
        rx.step = min(max(step, nominal * (1 - _CLOCK_LIMIT)), nominal * (1 + _CLOCK_LIMIT))
    rx.timing_sum = 0.0
    rx.timing_weight = 0.0
    rx.timing_symbols = 0


@kernel
def _put_label(rx: Record, label: int, out: NDArray[np.uint8], n_out: int) -> int:
    """Decode one decided label into bits; returns the new number of whole bytes in ``out``."""
    row = rx.row
    n_bits = BITS_PER_SYMBOL[row]
    phase = label & 7
    value = VALUE[row, ((phase - rx.phase) & 7) | (label & 8)]
    rx.phase = phase
    kind = SCRAMBLER[row]
    state = rx.scrambler_state
    for k in range(n_bits - 1, -1, -1):
        line_bit = (value >> k) & 1
        bit = line_bit ^ mask_kernel(kind, state)
        rx.n_ones = rx.n_ones + 1 if bit else 0
        rx.byte |= bit << rx.n_bits
        state = push_kernel(kind, state, line_bit)
        rx.n_bits += 1
        if rx.n_bits == 8:
            out[n_out] = rx.byte
            n_out += 1
            rx.byte = 0
            rx.n_bits = 0
    rx.scrambler_state = state
    return n_out


@kernel
def _begin_data(rx: Record) -> None:
    rx.phase = DATA_PHASE[rx.row]
    rx.scrambler_state = DATA_SCRAMBLER_STATE[rx.row]
    rx.byte = 0
    rx.n_bits = 0
    rx.n_ones = 0
    rx.state = DATA
    if TRELLIS[rx.row]:
        rx.scrambler_state = oldest_lowest(rx.scrambler_state)
        viterbi_begin(rx, DATA_TRELLIS_STATE[rx.row])


@kernel
def _recall(rx: Record, n: int, u_re: NDArray[np.float32], u_im: NDArray[np.float32]) -> None:
    """The next ``n`` known symbols into ``d``; how far ``u`` is from them, squared, into ``growth``."""
    start = KNOWN_START[rx.row] + rx.n_symbols
    for k in range(n):
        c = POINT[rx.row, KNOWN[start + k]]
        rx.d_re[k], rx.d_im[k] = c.real, c.imag
        rx.growth[k] = (c.real - u_re[k]) ** 2 + (c.imag - u_im[k]) ** 2
    rx.n_symbols += n


@kernel
def _decide(
    rx: Record,
    u: tuple[NDArray[np.float32], NDArray[np.float32]],
    n: int,
    out: NDArray[np.uint8],
    n_out: int,
) -> int:
    """The points nearest to ``n`` symbols ``u`` into ``d``; their bits to ``out``. As :func:`_recall`."""
    row = rx.row
    u_re, u_im = u
    n_labels = N_LABELS[row]
    for k in range(n):
        best = 0
        least = np.float32(1e9)
        for i in range(n_labels):
            distance = (u_re[k] - POINT_RE[row, i]) ** 2 + (u_im[k] - POINT_IM[row, i]) ** 2
            if distance < least:
                least = distance
                best = i
        rx.d_re[k], rx.d_im[k] = POINT_RE[row, best], POINT_IM[row, best]
        rx.growth[k] = least
        n_out = _put_label(rx, LABELS[row, best], out, n_out)
    return n_out


@kernel
def _show(rx: Record, n: int, u_re: NDArray[np.float32], u_im: NDArray[np.float32]) -> None:
    """Leave ``n`` symbols for whoever watches them: as received, and as they are taken."""
    for k in range(n):
        at = rx.n_watched % SYMBOL_RING
        rx.watched_received[at] = complex(u_re[k], u_im[k])
        rx.watched_decided[at] = complex(rx.d_re[k], rx.d_im[k])
        rx.n_watched += 1


@kernel
def track(rx: Record, until: float, out: NDArray[np.uint8], n_out: int) -> int:
    """Decide all symbols before sample instant ``until`` that the received samples allow.

    Whole bytes go to ``out`` from ``n_out`` on, as far as there is room; returns their new number. At the end
    of the known sequence the receiver is in DATA (the caller judges ``mse``).
    """
    row = rx.row
    n_known = N_KNOWN[row]
    noted = 0
    n_bits = BITS_PER_SYMBOL[row]
    trellis = TRELLIS[row]
    wide = np.empty((2, 2 * CHUNK + 8), np.float32)
    y_re, y_im = wide[0], wide[1]
    e = np.empty((2, CHUNK), np.float32)
    e_re, e_im = e[0], e[1]
    batch = np.empty((7, BATCH), np.float32)
    r_re, r_im, u_re, u_im = batch[0], batch[1], batch[2], batch[3]
    cosines, sines, errors = batch[4], batch[5], batch[6]
    d_re, d_im, square = rx.d_re, rx.d_im, rx.growth
    trusted = np.empty(BATCH, np.uint8)
    note = np.zeros(NOTE, np.int64)
    reach = (EQ_CENTRE + 2) * rx.step + RX_HALF[PULSE[row]]
    while True:
        symbol_at = rx.t_z - (EQ_TAPS - EQ_CENTRE - 1) * rx.step
        n = min(CHUNK, n_half_symbols_ready(rx) // 2)
        n = min(n, int(np.ceil((until - symbol_at) / (2 * rx.step))))
        if rx.state == TRAINING:
            n = min(n, n_known - rx.n_symbols)
        else:
            n = min(n, (len(out) - n_out) * 8 // n_bits - 2 - (n_final(rx) if trellis else 0))
        if n <= 0:
            break
        half_symbols(rx, 2 * n, EQ_TAPS)
        _equalise(rx, 2 * n + 1, y_re, y_im)
        training = rx.state == TRAINING
        settling = training and rx.n_symbols < FIT_SYMBOLS and not IS_SHORT[row]
        now, for_good = _CARRIER_TRAINING if settling else _CARRIER_DATA
        turn = rx.turn
        cosine, sine = np.float32(np.cos(rx.angle)), np.float32(np.sin(rx.angle))
        turned = 0.0
        timing_sum, timing_weight = np.float32(0), np.float32(0)
        squares = np.float32(0)
        n_trusted = 0
        first_bad = -1
        for first in range(0, n, BATCH):
            m = min(BATCH, n - first)
            if not training and first_bad < 0:
                take_note(rx, n_out, note)
                noted = first
            a = np.float32(turn)  # small: the second-order series will do, and the chunk's end puts it right
            b = np.float32(1) - np.float32(0.5) * a * a
            for k in range(m):
                r_re[k], r_im[k] = y_re[2 * (first + k) + 1], y_im[2 * (first + k) + 1]
            if rx.echo:
                take_echo_off(rx, first, m, r_re, r_im)
            for k in range(m):
                cosines[k], sines[k] = cosine, sine
                cosine, sine = cosine * b - sine * a, sine * b + cosine * a
                instant = symbol_at + 2 * (first + k) * rx.step
                trusted[k] = instant + reach < rx.bad_from or instant - reach > rx.bad_to
            if rx.jitter_lines > 0:
                turn_by_jitter(rx, m, cosines, sines)
            for k in range(m):
                u_re[k] = r_re[k] * cosines[k] + r_im[k] * sines[k]
                u_im[k] = r_im[k] * cosines[k] - r_re[k] * sines[k]
            if training:
                _recall(rx, m, u_re, u_im)
            elif trellis:
                viterbi_symbols(rx, u_re, u_im, trusted, m)
            else:
                n_out = _decide(rx, (u_re, u_im), m, out, n_out)
            if rx.echo:
                for k in range(m):
                    at = ECHO_PAST + first + k
                    rx.past_re[at] = d_re[k] * cosines[k] - d_im[k] * sines[k]
                    rx.past_im[at] = d_im[k] * cosines[k] + d_re[k] * sines[k]
            phase_error = np.float32(0)
            squares_before, n_trusted_before = squares, n_trusted
            for k in range(m):
                j = first + k
                if not trusted[k]:
                    e_re[j] = 0.0
                    e_im[j] = 0.0
                    errors[k] = 0.0
                    continue
                at = 2 * j + 1
                f_re, f_im = d_re[k] - u_re[k], d_im[k] - u_im[k]
                e_re[j] = f_re * cosines[k] - f_im * sines[k]
                e_im[j] = f_im * cosines[k] + f_re * sines[k]
                slope_re = y_re[at + 1] - y_re[at - 1]
                slope_im = y_im[at + 1] - y_im[at - 1]
                timing_sum -= e_re[j] * slope_re + e_im[j] * slope_im
                timing_weight += slope_re * slope_re + slope_im * slope_im
                squares += square[k]
                n_trusted += 1
                error = u_im[k] * d_re[k] - u_re[k] * d_im[k]
                errors[k] = min(max(error, np.float32(-0.5)), np.float32(0.5))
                phase_error += errors[k]
            if rx.jitter_lines > 0:
                steer_jitter(rx, m, errors)
            watch_jitter(rx, m, errors)
            if rx.watched:
                _show(rx, m, u_re, u_im)
            if first_bad < 0 and (
                rx.n_held > 0 or squares - squares_before > HOPELESS_MSE[row] * (n_trusted - n_trusted_before)
            ):
                first_bad = first
            step = now * phase_error
            turned += m * turn + step
            turn += for_good * phase_error
            a = np.float32(step)
            b = np.float32(1) - np.float32(0.5) * a * a
            cosine, sine = cosine * b - sine * a, sine * b + cosine * a
        rx.angle = (rx.angle + turned) % (2 * np.pi)
        if n_trusted > 0:
            rx.mse += np.float32(_MSE_WEIGHT) * (squares - n_trusted * rx.mse)
        nonsense = not training and not squares <= HOPELESS_MSE[row] * n_trusted
        if nonsense:
            rx.nonsense += n  # wrong decisions teach nothing
        else:
            rx.turn = turn
            rx.timing_sum += timing_sum
            rx.timing_weight += timing_weight
            if n_trusted >= _SENSE_SYMBOLS:
                rx.nonsense = 0
            _adapt(rx, n, e_re, e_im)
            if rx.echo:
                adapt_echo(rx, n, e_re, e_im)
            rx.timing_symbols += n
            _steer_timing(rx)
        for k in range(EQ_TAPS):
            rx.z_re[k] = rx.z_re[k + 2 * n]
            rx.z_im[k] = rx.z_im[k + 2 * n]
        if rx.echo:
            move_past(rx, n)
        hold = rx.n_unheld == 0 and (nonsense or rx.n_held > 0)
        rx.n_unheld = max(rx.n_unheld - n, 0)
        if hold:
            n_out = take_back(rx, note, n - noted, out, n_out)
            if rx.n_held > MOST_HELD or (not nonsense and n_trusted >= _SENSE_SYMBOLS):
                decide_again(rx)
        elif trellis and not training:
            viterbi_normalise(rx)
            if rx.n_pending > TRELLIS_HISTORY - CHUNK:
                n_out = viterbi_decide(rx, DEPTH, out, n_out)
        if training and rx.n_symbols == n_known:
            _begin_data(rx)
            return n_out
    if trellis and rx.state == DATA and rx.n_held == 0:
        n_out = viterbi_decide(rx, DEPTH, out, n_out)
    return n_out


@kernel
def put_out_all(rx: Record, out: NDArray[np.uint8], n_out: int) -> int:
    """Decide what a trellis decoder has still in hand: nothing that follows can help. As :func:`track`."""
    if not TRELLIS[rx.row] or rx.state != DATA or rx.n_held > 0:
        return n_out
    return viterbi_decide(rx, 0, out, n_out)
