"""DTMF: sixteen digits as pairs of tones (ITU-T Q.23), sent and heard within the tolerances of Q.24.

The hearer looks at the last 15 ms every 5 ms. A digit is two tones, one of each group, that hold most of
the energy, for as long as 40 ms must be and 23 ms must not. What decides is therefore how many such looks in
a row agree; a break of 10 ms is none, one of 30 ms is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.events import DTMF_DETECTED, push_data
from dsp.kernel import Record, kernel
from dsp.level import BLOCK, SAMPLE_RATE, dbm0_to_rms
from dsp.oscillator import PHASE_MASK, SINE, SINE_MASK, SINE_SHIFT, phase_step, sine_amplitude

LOW_HZ = (697.0, 770.0, 852.0, 941.0)
HIGH_HZ = (1209.0, 1336.0, 1477.0, 1633.0)
#: Digit of the i-th low and j-th high tone at ``4 * i + j``.
DIGITS = "123A456B789C*0#D"

#: The higher tone is sent 2 dB stronger, since cables weaken it.
LOW_DBM0, HIGH_DBM0 = -11.0, -9.0
ON_MS = OFF_MS = 100

# --- sending ----------------------------------------------------------------------------------------

QUEUE = 64

DTMF_TX = np.dtype(
    [
        ("low_phase", "i8"),
        ("high_phase", "i8"),
        ("time", "i4"),  # samples into the present digit
        ("head", "i4"),
        ("count", "i4"),  # digits waiting, the present one included
        ("done", "u1"),  # the last pause is over; the reader clears it
        ("queue", "u1", (QUEUE,)),  # places in DIGITS
    ],
    align=True,
)

_LOW_STEP = np.array([phase_step(hz) for hz in LOW_HZ])
_HIGH_STEP = np.array([phase_step(hz) for hz in HIGH_HZ])
_LOW_AMPLITUDE = np.float32(sine_amplitude(LOW_DBM0))
_HIGH_AMPLITUDE = np.float32(sine_amplitude(HIGH_DBM0))
_ON = SAMPLE_RATE * ON_MS // 1000
_PERIOD = _ON + SAMPLE_RATE * OFF_MS // 1000


@kernel
def dtmf_tx_start(rec: Record) -> None:
    """Empty the queue."""
    rec.count = 0
    rec.head = 0
    rec.time = 0
    rec.done = 0


@kernel
def dtmf_tx_put(rec: Record, digits: NDArray[np.uint8], n: int) -> bool:
    """Queue ``n`` digits, places in ``DIGITS``; False if there is no room for all."""
    if rec.count + n > QUEUE:
        return False
    for k in range(n):
        rec.queue[(rec.head + rec.count + k) % QUEUE] = digits[k]
    rec.count += n
    return True


@kernel
def dtmf_tx_block(rec: Record, out: NDArray[np.float32]) -> None:
    """Set ``out`` to the next 160 samples; ``done`` when the pause after the last digit ended."""
    for k in range(BLOCK):
        out[k] = np.float32(0.0)
        if rec.count == 0:
            continue
        if rec.time < _ON:
            digit = rec.queue[rec.head]
            out[k] = (
                _LOW_AMPLITUDE * SINE[(rec.low_phase >> SINE_SHIFT) & SINE_MASK]
                + _HIGH_AMPLITUDE * SINE[(rec.high_phase >> SINE_SHIFT) & SINE_MASK]
            )
            rec.low_phase = (rec.low_phase + _LOW_STEP[digit >> 2]) & PHASE_MASK
            rec.high_phase = (rec.high_phase + _HIGH_STEP[digit & 3]) & PHASE_MASK
        rec.time += 1
        if rec.time == _PERIOD:
            rec.time = 0
            rec.low_phase = 0
            rec.high_phase = 0
            rec.head = (rec.head + 1) % QUEUE
            rec.count -= 1
            if rec.count == 0:
                rec.done = 1


# --- hearing ----------------------------------------------------------------------------------------

_HOP = 40  # 5 ms
_HOPS = 3  # of a look
_LOOK = _HOP * _HOPS
_POWER_SCALE = 0.5 * 2.0 / (2 * _HOP) ** 2  # squared correlations over 10 ms, two of them, to mean square
_LEAST_POWER = dbm0_to_rms(-37.0) ** 2  # of each tone; Q.24 asks for -25 dBm and no digit below -55
#: Mean square of a block in which no digit can begin.
QUIET_POWER = dbm0_to_rms(-43.0) ** 2
#: Twist, high against low tone. Q.24: +4…-8 dB (AT&T), ±5 dB (NTT), ±6 dB (Denmark), +7…-9 dB (Brazil).
_MOST_TWIST = 10 ** (+8 / 10)
_LEAST_TWIST = 10 ** (-10 / 10)
_SHARE = 0.7  # of the energy that both tones together must have
_NEIGHBOUR = 10 ** (-6 / 10)  # most that another tone of the group may have of the strongest one's power
_LOOKS = 6  # that agree, as in 40 ms there always are and in 23 ms never
_MISSES = 6  # that end a digit: a break of 24 ms or more
#: Q.24: ±1.5 % must be a digit (1.8 % for NTT), ±3.5 % must not (3.0 % for NTT).
_OFF_FREQUENCY = 0.0235
_TURNS = 3  # from look to look, before the frequency is known well enough

DTMF_RX = np.dtype(
    [
        ("hop_re", "f4", (_HOPS - 1, 8)),  # correlations over the hops before this one, last first
        ("hop_im", "f4", (_HOPS - 1, 8)),
        ("hop_energy", "f4", (_HOPS - 1,)),
        ("look_re", "f4", (8,)),  # over the last look
        ("look_im", "f4", (8,)),
        ("power", "f4", (8,)),  # mean square of each tone in it
        ("digit", "i4"),  # the present one, plus 1; 0: none
        ("looks", "i4"),  # that have agreed on it
        ("misses", "i4"),  # since the last of them
        ("turns", "i4"),
        ("turn_re", "f4", (2,)),  # sums of the phase advances from look to look, low and high tone
        ("turn_im", "f4", (2,)),
        ("reported", "u1"),
    ],
    align=True,
)

_HZ = np.array([*LOW_HZ, *HIGH_HZ])
_ANGLE = 2 * np.pi * _HZ[:, np.newaxis] / SAMPLE_RATE * np.arange(_HOP)
_COS = np.cos(_ANGLE).astype(np.float32)
_SIN = np.sin(_ANGLE).astype(np.float32)
_HOP_TURN = np.exp(2j * np.pi * _HZ / SAMPLE_RATE * _HOP).astype(np.complex64)
_LETTERS = np.frombuffer(DIGITS.encode(), np.uint8).copy()


@kernel
def _look(rec: Record, x: NDArray[np.float32], start: int, dc: float) -> np.float32:
    """Take one hop: the last 15 ms against all tones; returns their mean square."""
    energy = np.float32(0.0)
    offset = np.float32(dc)
    for n in range(start, start + _HOP):
        y = x[n] - offset
        energy += y * y
    for f in range(8):
        re = np.float32(0.0)
        im = np.float32(0.0)
        for n in range(_HOP):
            y = x[start + n] - offset
            re += y * _COS[f, n]
            im -= y * _SIN[f, n]
        now = np.complex64(complex(re, im))
        before = np.complex64(complex(rec.hop_re[0, f], rec.hop_im[0, f]))
        oldest = np.complex64(complex(rec.hop_re[1, f], rec.hop_im[1, f]))
        last_two = now + _HOP_TURN[f] * before
        first_two = before + _HOP_TURN[f] * oldest
        total = now + _HOP_TURN[f] * first_two
        # Over 10 ms a tone 1.8 % away still has three quarters of its power, over 15 ms it has half.
        rec.power[f] = np.float32(_POWER_SCALE) * (
            last_two.real**2 + last_two.imag**2 + first_two.real**2 + first_two.imag**2
        )
        rec.hop_re[1, f] = before.real
        rec.hop_im[1, f] = before.imag
        rec.hop_re[0, f] = re
        rec.hop_im[0, f] = im
        rec.look_re[f] = total.real
        rec.look_im[f] = total.imag
    mean_square: np.float32 = (energy + rec.hop_energy[0] + rec.hop_energy[1]) / np.float32(_LOOK)
    rec.hop_energy[1] = rec.hop_energy[0]
    rec.hop_energy[0] = energy
    return mean_square


@kernel
def _strongest(rec: Record, first: int) -> int:
    """The strongest of four tones; -1 if another one comes near it."""
    best = -1
    most = np.float32(0.0)
    second = np.float32(0.0)
    for f in range(first, first + 4):
        power = rec.look_re[f] * rec.look_re[f] + rec.look_im[f] * rec.look_im[f]
        if power > most:
            second = most
            most = power
            best = f
        elif power > second:
            second = power
    return -1 if second > np.float32(_NEIGHBOUR) * most else best


@kernel
def _digit_of_look(rec: Record, mean_square: np.float32) -> int:
    """Place in ``DIGITS`` plus 1 of what the last 15 ms are; 0 if they are no digit."""
    low = _strongest(rec, 0)
    high = _strongest(rec, 4)
    if low < 0 or high < 0:
        return 0
    low_power = rec.power[low]
    high_power = rec.power[high]
    if low_power < _LEAST_POWER or high_power < _LEAST_POWER:
        return 0
    if not _LEAST_TWIST * low_power < high_power < _MOST_TWIST * low_power:
        return 0
    if low_power + high_power < _SHARE * mean_square:
        return 0
    return 4 * low + high - 4 + 1


@kernel
def _off_frequency(rec: Record, digit: int) -> bool:
    """Whether one of the digit's tones is, or may be, too far from what it should be."""
    if rec.turns < _TURNS:
        return True
    for group in range(2):
        f = digit >> 2 if group == 0 else 4 + (digit & 3)
        advance = np.arctan2(rec.turn_im[group], rec.turn_re[group])
        off_hz = advance * (SAMPLE_RATE / (2 * np.pi * _HOP))
        if abs(off_hz) > _OFF_FREQUENCY * _HZ[f]:
            return True
    return False


@kernel
def dtmf_rx_quiet(rec: Record) -> None:
    """In place of :func:`dtmf_rx_block`, for 160 samples that are too weak for a digit."""
    rec.digit = 0
    for k in range(_HOPS - 1):
        rec.hop_energy[k] = 0.0
        for f in range(8):
            rec.hop_re[k, f] = 0.0
            rec.hop_im[k, f] = 0.0


@kernel
def dtmf_rx_block(rec: Record, x: NDArray[np.float32], dc: float, events: Record) -> None:
    """Listen to 160 samples, whose DC is about ``dc``; each digit is noted once, when it is certain."""
    letter = np.empty(1, np.uint8)
    before = np.empty(8, np.complex64)
    for start in range(0, BLOCK, _HOP):
        for f in range(8):
            before[f] = np.complex64(complex(rec.look_re[f], -rec.look_im[f]))
        mean_square = _look(rec, x, start, dc)
        found = _digit_of_look(rec, mean_square)
        if found == 0:
            rec.misses += 1
            if rec.misses >= _MISSES:
                rec.digit = 0
            continue
        if found != rec.digit:
            rec.digit = found
            rec.looks = 1
            rec.reported = 0
            rec.turns = 0
            for group in range(2):
                rec.turn_re[group] = 0.0
                rec.turn_im[group] = 0.0
        else:
            rec.looks += 1
            if rec.misses == 0:
                rec.turns += 1
                for group in range(2):
                    f = (found - 1) >> 2 if group == 0 else 4 + ((found - 1) & 3)
                    now = np.complex64(complex(rec.look_re[f], rec.look_im[f]))
                    turn = now * before[f] * np.conj(_HOP_TURN[f])
                    rec.turn_re[group] += turn.real
                    rec.turn_im[group] += turn.imag
        rec.misses = 0
        if rec.looks >= _LOOKS and rec.reported == 0 and not _off_frequency(rec, found - 1):
            rec.reported = 1
            letter[0] = _LETTERS[found - 1]
            push_data(events, DTMF_DETECTED, letter, 1)
