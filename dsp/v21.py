"""V.21 channel 2, the T.30 control channel: 300 bit/s FSK, mark 1650 Hz, space 1850 Hz, HDLC frames.

The transmitter is phase-continuous. The receiver correlates with both tones over one bit (non-coherent
matched filters), recovers the bit clock from the crossings, and believes in a carrier only when it has seen
flags in a signal that really consists of these two tones: energy alone says nothing, since V.17, V.29 and
voices have it.

One 20 ms block is exactly 6 bits, 33 periods of mark and 37 of space. So every block starts with the same
oscillator phases, and a lost block is skipped without disturbing the clock.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dsp.events import FLAGS_DETECTED, V21_CARRIER_LOST, push, push_data
from dsp.events import FRAME_BAD as EVENT_FRAME_BAD
from dsp.events import FRAME_GOOD as EVENT_FRAME_GOOD
from dsp.hdlc import (
    END,
    FRAME_BAD,
    FRAME_GOOD,
    HDLC_RX,
    HDLC_TX,
    hdlc_rx_bit,
    hdlc_rx_reset,
    hdlc_tx_bit,
    hdlc_tx_start,
)
from dsp.kernel import Record, kernel
from dsp.level import BLOCK, SAMPLE_RATE, dbm0_to_rms
from dsp.oscillator import PHASE_MASK, SINE, SINE_MASK, SINE_SHIFT, phase_step, sine_amplitude

MARK_HZ = 1650.0
SPACE_HZ = 1850.0
BIT_RATE = 300
LEVEL_DBM0 = -14.0
#: 987 ms; T.30 asks for 1 s ± 15 %.
PREAMBLE_FLAGS = 37

# --- transmitter ---------------------------------------------------------------------------------

V21_TX = np.dtype(
    [
        ("phase", "i8"),
        ("clock", "i4"),  # counts BIT_RATE a sample; a bit ends at SAMPLE_RATE
        ("bit", "i4"),
        ("on", "u1"),
        ("done", "u1"),  # the carrier has just gone off by itself; the reader clears it
        ("hdlc", HDLC_TX),
    ],
    align=True,
)

_MARK_STEP = phase_step(MARK_HZ)
_SPACE_STEP = phase_step(SPACE_HZ)
_AMPLITUDE = sine_amplitude(LEVEL_DBM0)


@kernel
def v21_tx_start(rec: Record) -> None:
    """Carrier on, beginning with the preamble."""
    hdlc_tx_start(rec.hdlc, PREAMBLE_FLAGS)
    rec.on = 1
    rec.done = 0
    rec.clock = SAMPLE_RATE  # the first sample begins a bit


@kernel
def v21_tx_block(rec: Record, out: NDArray[np.float32]) -> None:
    """Set ``out`` to the next 160 samples; ``done`` when the carrier went off in this block."""
    phase = rec.phase
    clock = rec.clock
    step = _MARK_STEP if rec.bit else _SPACE_STEP
    k = 0
    while rec.on and k < BLOCK:
        if clock >= SAMPLE_RATE:
            clock -= SAMPLE_RATE
            bit = hdlc_tx_bit(rec.hdlc)
            if bit == END:
                rec.on = 0
                rec.done = 1
                break
            rec.bit = bit
            step = _MARK_STEP if bit else _SPACE_STEP
        out[k] = np.float32(_AMPLITUDE) * SINE[(phase >> SINE_SHIFT) & SINE_MASK]
        phase = (phase + step) & PHASE_MASK
        clock += BIT_RATE
        k += 1
    while k < BLOCK:
        out[k] = np.float32(0.0)
        k += 1
    rec.phase = phase
    rec.clock = clock


# --- receiver ------------------------------------------------------------------------------------

_SPAN = 27  # samples correlated: one bit is 26 2/3
_TAIL = 48  # samples kept of the last block
_BETWEEN = 13  # samples from the end of a bit back to the end of the span that lies between it and the last
_MEASURE_WEIGHT = 1 / 32
_POWER_SCALE = np.float32(2 / _SPAN**2)  # squared correlation with a sine to its mean square
_HALF_BIT = SAMPLE_RATE // 2  # in clock units
_FLAGS_NEEDED = 3  # consecutive, within the T.31 practice of one to five
_ON_POWER = dbm0_to_rms(-45.5) ** 2
_OFF_POWER = dbm0_to_rms(-49.0) ** 2
_OFF_RATIO = 0.1  # of the carrier's own power: -10 dB
# How long it must be that weak. After the final frame of a command the DTE waits for nothing else (T.31); at
# any other time a gap of 20 ms in the audio is likelier than a far end that has fallen silent.
_OFF_SAMPLES_AFTER_FINAL = 48
_OFF_SAMPLES = 200
# Digital silence, to the bit, is likelier still to be packets filled up on the way: up to three of them.
_OFF_SAMPLES_STILL = 520
_STILL = 48  # samples unlike the one before that it may have, at its ends
_CONTROL_FINAL = 0x10  # bit of the second octet of a frame
# Quality is the share of the power within a bit that the stronger tone has: 1 for clean FSK, about 0.15 for a
# fast modem's carrier, 0.5 for FSK at 0 dB SNR (0-4 kHz).
_GOOD_QUALITY = 0.45
_POOR_QUALITY = 0.25
_POOR_BITS = 10

V21_RX = np.dtype(
    [
        ("clock", "i4"),  # counts BIT_RATE a sample, a bit is sampled at SAMPLE_RATE
        ("last_sign", "i4"),
        ("in_band", "f4"),  # smoothed power of the stronger tone
        ("quality", "f4"),
        ("carrier", "u1"),  # flags have been seen: this is V.21
        ("carrier_power", "f4"),
        ("final", "u1"),  # the last frame said that no other follows
        ("weak_samples", "i4"),
        ("moving", "i4"),  # of these, samples that are not like the one before
        ("poor_bits", "i4"),
        ("n_good", "i4"),  # frames received
        ("n_bad", "i4"),
        # measures
        ("last_bit", "i4"),
        ("last_re", "f4"),  # correlation between the last two bits, when they were alike; 0 otherwise
        ("last_im", "f4"),
        ("tone_energy", "f4"),  # running sums of what lies between two like bits: the tone and the rest
        ("rest_energy", "f4"),
        ("turn_re", "f4"),  # running sum of the tone's phase advances a bit
        ("turn_im", "f4"),
        ("tail", "f4", (_TAIL,)),  # last samples of the block before
        ("hdlc", HDLC_RX),
    ],
    align=True,
)


def _reference(frequency_hz: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    t = np.arange(-_TAIL, BLOCK) / SAMPLE_RATE
    turn = 2 * np.pi * frequency_hz * t
    return np.cos(turn).astype(np.float32), np.sin(turn).astype(np.float32)


_MARK_COS, _MARK_SIN = _reference(MARK_HZ)
_SPACE_COS, _SPACE_SIN = _reference(SPACE_HZ)


@kernel
def v21_rx_reset(rec: Record) -> None:
    """Forget signal and frames; counters stay."""
    rec.last_sign = 0
    rec.in_band = 0.0
    rec.quality = 0.0
    rec.carrier = 0
    rec.final = 0
    rec.weak_samples = 0
    rec.poor_bits = 0
    for k in range(_TAIL):
        rec.tail[k] = 0.0
    hdlc_rx_reset(rec.hdlc)


@kernel
def _tone_power(
    y: NDArray[np.float32], c: NDArray[np.float32], s: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Squared magnitude of the correlation with one tone over the last bit, for each sample of the block."""
    re = np.float32(0.0)
    im = np.float32(0.0)
    for k in range(_SPAN):
        re += y[k] * c[k]
        im += y[k] * s[k]
    for k in range(BLOCK):
        new = k + _SPAN
        re += y[new] * c[new] - y[k] * c[k]
        im += y[new] * s[new] - y[k] * s[k]
        out[k] = re * re + im * im


@kernel
def _lose_carrier(rec: Record, events: Record) -> None:
    push(events, V21_CARRIER_LOST)
    rec.carrier = 0
    rec.final = 0
    rec.weak_samples = 0
    rec.poor_bits = 0
    hdlc_rx_reset(rec.hdlc)


@kernel
def _is_off(rec: Record) -> bool:
    """Whether the signal has been weak for too long."""
    limit = _OFF_SAMPLES_STILL if rec.moving <= _STILL else _OFF_SAMPLES
    return bool(rec.weak_samples >= (_OFF_SAMPLES_AFTER_FINAL if rec.final else limit))


@kernel
def _take_bit(rec: Record, bit: int, quality: float, in_band: float, events: Record) -> None:
    """Give one bit to HDLC and judge the carrier by it."""
    rec.quality += np.float32((quality - rec.quality) * 0.125)
    result = hdlc_rx_bit(rec.hdlc, bit)
    believable = in_band > _ON_POWER and rec.quality > _GOOD_QUALITY
    if rec.carrier == 0:
        # A good frame is as sure a sign as flags: the receiver may have been turned on late.
        if believable and (rec.hdlc.n_flags >= _FLAGS_NEEDED or result == FRAME_GOOD):
            rec.carrier = 1
            rec.carrier_power = in_band
            rec.weak_samples = 0
            rec.poor_bits = 0
            rec.tone_energy = 0.0
            rec.rest_energy = 0.0
            rec.turn_re = 0.0
            rec.turn_im = 0.0
            push(events, FLAGS_DETECTED)
        else:
            return
    if result == FRAME_GOOD:
        rec.n_good += 1
        rec.final = 1 if rec.hdlc.frame[1] & _CONTROL_FINAL else 0
        push_data(events, EVENT_FRAME_GOOD, rec.hdlc.frame, rec.hdlc.length)
    elif result == FRAME_BAD:
        rec.n_bad += 1
        push_data(events, EVENT_FRAME_BAD, rec.hdlc.frame, rec.hdlc.length)
    if in_band > 0.25 * rec.carrier_power:
        rec.carrier_power += np.float32((in_band - rec.carrier_power) * 0.125)
    # What follows without a pause may be as strong, but is no FSK.
    rec.poor_bits = rec.poor_bits + 1 if rec.quality < _POOR_QUALITY else 0
    if rec.poor_bits >= _POOR_BITS:
        _lose_carrier(rec, events)


@kernel
def _measure(rec: Record, bit: int, y: NDArray[np.float32], start: int) -> None:
    """Tone, noise and frequency from the span at ``y[start]``, half in this bit, half in the last."""
    if bit != rec.last_bit:
        rec.last_bit = bit
        rec.last_re = 0.0
        rec.last_im = 0.0
        return
    total, yc, ys, cc, cs, ss = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(start, start + _SPAN):
        c = _MARK_COS[k] if bit else _SPACE_COS[k]
        s = _MARK_SIN[k] if bit else _SPACE_SIN[k]
        yc += y[k] * c
        ys += y[k] * s
        cc += c * c
        cs += c * s
        ss += s * s
        total += y[k] * y[k]
    # least squares: the span is no whole number of periods
    determinant = cc * ss - cs * cs
    re = (yc * ss - ys * cs) / determinant
    im = (yc * cs - ys * cc) / determinant
    tone = re * yc - im * ys
    weight = np.float32(_MEASURE_WEIGHT)
    rec.tone_energy += weight * (tone - rec.tone_energy)
    rec.rest_energy += weight * (max(total - tone, 0.0) - rec.rest_energy)
    rec.turn_re += weight * (re * rec.last_re + im * rec.last_im - rec.turn_re)
    rec.turn_im += weight * (im * rec.last_re - re * rec.last_im - rec.turn_im)
    rec.last_re = re
    rec.last_im = im


def v21_snr_db(rec: Record) -> float:
    """SNR of the last V.21 carrier over 0…4 kHz, up to 60 dB; 0 before the first."""
    tone, rest = float(rec["tone_energy"]), float(rec["rest_energy"]) * _SPAN / (_SPAN - 2)
    return 10 * math.log10(tone / max(rest, 1e-6 * tone)) if tone > 0 else 0.0


def v21_carrier_offset_hz(rec: Record) -> float:
    """How much higher than they should be the tones of the last V.21 carrier are."""
    advance = math.atan2(float(rec["turn_im"]), float(rec["turn_re"]))
    return advance / (2 * math.pi) * BIT_RATE


@kernel
def v21_rx_block(rec: Record, x: NDArray[np.float32], dc: float, events: Record) -> None:
    """Receive 160 samples, whose DC is about ``dc``, and note in ``events`` what they brought."""
    y = np.empty(_TAIL + BLOCK, np.float32)
    mark = np.empty(BLOCK, np.float32)
    space = np.empty(BLOCK, np.float32)
    for k in range(_TAIL):
        y[k] = rec.tail[k]
    for k in range(BLOCK):
        y[_TAIL + k] = x[k] - np.float32(dc)
    for k in range(_TAIL):
        rec.tail[k] = y[BLOCK + k]
    before = _TAIL - _SPAN
    _tone_power(y[before:], _MARK_COS[before:], _MARK_SIN[before:], mark)
    _tone_power(y[before:], _SPACE_COS[before:], _SPACE_SIN[before:], space)

    clock = rec.clock
    sign = rec.last_sign
    in_band = rec.in_band
    for k in range(BLOCK):
        stronger = max(mark[k], space[k])
        in_band += (stronger * _POWER_SCALE - in_band) * np.float32(1 / 8)
        new_sign = 1 if mark[k] > space[k] else 0
        weak = rec.carrier and (
            in_band < np.float32(_OFF_RATIO) * rec.carrier_power or in_band < np.float32(_OFF_POWER)
        )
        if new_sign != sign:
            sign = new_sign
            if not weak:  # halfway through a bit, if the clock is right
                clock -= (clock - _HALF_BIT) // (8 if rec.carrier else 4)
        clock += BIT_RATE
        if clock >= SAMPLE_RATE:
            clock -= SAMPLE_RATE
            total = np.float32(0.0)
            for j in range(before + k + 1, before + k + 1 + _SPAN):
                total += y[j] * y[j]
            quality = stronger / (total * np.float32(_SPAN / 2) + np.float32(1.0))
            _take_bit(rec, sign, quality, in_band, events)
            if rec.carrier:
                _measure(rec, sign, y, before + k + 1 - _BETWEEN)
        if weak:
            rec.weak_samples += 1
            rec.moving += k > 0 and x[k] != x[k - 1]
            if _is_off(rec):
                _lose_carrier(rec, events)
        else:
            rec.weak_samples = 0
            rec.moving = 0
    rec.clock = clock
    rec.last_sign = sign
    rec.in_band = in_band
