"""Call-progress tones, US and European (ITU-T E.180): dial, busy, congestion and ringback; sent and heard.

What a tone means is in its frequencies and its cadence. Europe has one frequency, 425 Hz (E.180: 400 to
450), so there only the cadence tells; the US have pairs. The hearer therefore names what each 20 ms are made
of (:func:`_kind_of_block`) and then follows how long they come and go (:func:`_follow`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsp.events import BUSY_DETECTED, CONGESTION_DETECTED, DIAL_DETECTED, RINGBACK_DETECTED, push
from dsp.kernel import Record, kernel
from dsp.level import BLOCK, SAMPLE_RATE, dbm0_to_rms
from dsp.oscillator import PHASE_MASK, SINE, SINE_MASK, SINE_SHIFT, phase_step, sine_amplitude


@dataclass(frozen=True)
class ProgressTone:
    """A tone: one or two frequencies of equal level, on and off for ever (``off_s`` 0: continuous)."""

    frequencies_hz: tuple[float, ...]
    on_s: float = 1.0
    off_s: float = 0.0


#: E.180: 425 Hz; busy and congestion with a period of 300…1100 ms; ringback 0.67…1.5 s every 3…5 s.
TONES = {
    "dial-us": ProgressTone((350.0, 440.0)),
    "busy-us": ProgressTone((480.0, 620.0), 0.5, 0.5),
    "congestion-us": ProgressTone((480.0, 620.0), 0.25, 0.25),
    "ringback-us": ProgressTone((440.0, 480.0), 2.0, 4.0),
    "dial-eu": ProgressTone((425.0,)),
    "busy-eu": ProgressTone((425.0,), 0.5, 0.5),
    "congestion-eu": ProgressTone((425.0,), 0.25, 0.25),
    "ringback-eu": ProgressTone((425.0,), 1.0, 4.0),
}
NAMES = tuple(TONES)
#: E.180 §2: -10 ± 5 dBm0, all frequencies together.
LEVEL_DBM0 = -10.0

# --- sending ----------------------------------------------------------------------------------------

PROGRESS_TX = np.dtype([("tone", "i4"), ("time", "i8"), ("phase", "i8", (2,))], align=True)

_STEP = np.zeros((len(TONES), 2), np.int64)
_AMPLITUDE = np.zeros((len(TONES), 2), np.float32)
_ON = np.zeros(len(TONES), np.int64)
_PERIOD = np.zeros(len(TONES), np.int64)
for _i, _tone in enumerate(TONES.values()):
    for _k, _hz in enumerate(_tone.frequencies_hz):
        _STEP[_i, _k] = phase_step(_hz)
        _AMPLITUDE[_i, _k] = sine_amplitude(LEVEL_DBM0) / len(_tone.frequencies_hz) ** 0.5
    _ON[_i] = round(_tone.on_s * SAMPLE_RATE)
    _PERIOD[_i] = _ON[_i] + round(_tone.off_s * SAMPLE_RATE)


@kernel
def progress_tx_start(rec: Record, tone: int) -> None:
    """Begin the tone ``NAMES[tone]``."""
    rec.tone = tone
    rec.time = 0
    for k in range(2):
        rec.phase[k] = 0


@kernel
def progress_tx_block(rec: Record, out: NDArray[np.float32]) -> None:
    """Set ``out`` to the next 160 samples."""
    tone = rec.tone
    for n in range(BLOCK):
        total = np.float32(0.0)
        if rec.time < _ON[tone]:
            for k in range(2):
                total += _AMPLITUDE[tone, k] * SINE[(rec.phase[k] >> SINE_SHIFT) & SINE_MASK]
                rec.phase[k] = (rec.phase[k] + _STEP[tone, k]) & PHASE_MASK
        out[n] = total
        rec.time += 1
        if rec.time == _PERIOD[tone]:
            rec.time = 0


# --- what 20 ms are made of -------------------------------------------------------------------------

_QUIET = 0
_SINGLE = 1  # one frequency of 400…450 Hz
_DIAL_PAIR = 2
_RING_PAIR = 3
_BUSY_PAIR = 4
_OTHER = 5

_PAIRS_HZ = ((350.0, 440.0), (440.0, 480.0), (480.0, 620.0))
_PAIR_HZ = np.array([350.0, 440.0, 480.0, 620.0])
_PAIR_FIRST = np.array([0, 1, 2])  # the second one follows it in _PAIR_HZ
_LEAST_POWER = dbm0_to_rms(-43.0) ** 2
_FALL = 0.06  # of the tone's own power: quieter is a pause
_PAIR_SHARE = 0.75  # of the energy of 40 ms
_BALANCE = 0.2  # power of the weaker of a pair: -7 dB

# A single tone is looked at in pieces of 5 ms: its pieces are alike and turn steadily.
_PIECE = 40
_PIECES = BLOCK // _PIECE
_SINGLE_HZ = 425.0
_SINGLE_OFF_HZ = 32.0
_SINGLE_SHARE = 0.75
_EVEN = 0.35  # least power of a piece of the strongest one's; a pair's beat is far below

PROGRESS_RX = np.dtype(
    [
        ("pair_re", "f4", (4,)),  # correlations over the block before this one
        ("pair_im", "f4", (4,)),
        ("energy", "f4"),
        ("piece_re", "f4"),  # last piece of the block before
        ("piece_im", "f4"),
        ("piece_least", "f4"),  # of its pieces
        ("piece_most", "f4"),
        ("kind", "i4"),  # of the tone that is being followed; 0: none
        ("power", "f4"),  # of it
        ("sounding", "u1"),
        ("odd", "i4"),  # blocks in a row that do not fit
        ("on", "i4"),  # blocks of the present or last time on
        ("off", "i4"),  # and off
        ("period", "i4"),  # of the last cycle
        ("cycles", "i4"),  # in a row that are alike
        ("reported", "u1"),  # event kind that was noted last
    ],
    align=True,
)

_N = np.arange(BLOCK) / SAMPLE_RATE
_PAIR_COS = np.cos(2 * np.pi * _PAIR_HZ[:, np.newaxis] * _N).astype(np.float32)
_PAIR_SIN = np.sin(2 * np.pi * _PAIR_HZ[:, np.newaxis] * _N).astype(np.float32)
_BLOCK_TURN = np.exp(2j * np.pi * _PAIR_HZ / SAMPLE_RATE * BLOCK).astype(np.complex64)
#: How much the two frequencies of a pair look alike over 40 ms.
_ALIKE = np.array(
    [np.exp(2j * np.pi * (b - a) / SAMPLE_RATE * np.arange(-BLOCK, BLOCK)).mean() for a, b in _PAIRS_HZ]
).astype(np.complex64)
_SINGLE_COS = np.cos(2 * np.pi * _SINGLE_HZ * _N).astype(np.float32)
_SINGLE_SIN = np.sin(2 * np.pi * _SINGLE_HZ * _N).astype(np.float32)
#: How far it turns in a block, which is no whole number of its cycles.
_SINGLE_TURN = np.complex64(np.exp(2j * np.pi * _SINGLE_HZ / SAMPLE_RATE * BLOCK))


@kernel
def _is_single(rec: Record, x: NDArray[np.float32], dc: float, power: float) -> bool:
    """Whether this block and the last are one steady frequency of about 425 Hz."""
    last = _SINGLE_TURN * np.complex64(complex(rec.piece_re, rec.piece_im))
    turn = np.complex64(0.0)
    energy = np.float32(0.0)
    least = np.float32(np.inf)
    most = np.float32(0.0)
    for w in range(_PIECES):
        re = np.float32(0.0)
        im = np.float32(0.0)
        for n in range(w * _PIECE, (w + 1) * _PIECE):
            y = x[n] - np.float32(dc)
            re += y * _SINGLE_COS[n]
            im -= y * _SINGLE_SIN[n]
        now = np.complex64(complex(re, im))
        turn += now * np.conj(last)
        here = re * re + im * im
        energy += here
        least = min(least, here)
        most = max(most, here)
        last = now
    both_least = min(least, rec.piece_least)
    both_most = max(most, rec.piece_most)
    rec.piece_re = last.real
    rec.piece_im = last.imag
    rec.piece_least = least
    rec.piece_most = most
    share = energy * np.float32(2.0) / (np.float32(_PIECE * BLOCK) * np.float32(power))
    if share < _SINGLE_SHARE or both_least < np.float32(_EVEN) * both_most:
        return False
    off_hz = np.arctan2(turn.imag, turn.real) * (SAMPLE_RATE / _PIECE / (2 * np.pi))
    return bool(abs(off_hz) < _SINGLE_OFF_HZ)


@kernel
def _pair_of_block(rec: Record, x: NDArray[np.float32], dc: float, power: float) -> int:
    """Which pair of frequencies this block and the last consist of (least squares); -1 if none."""
    now = np.empty(4, np.complex64)
    energy = np.float32(power) * np.float32(BLOCK)
    for f in range(4):
        re = np.float32(0.0)
        im = np.float32(0.0)
        for n in range(BLOCK):
            y = x[n] - np.float32(dc)
            re += y * _PAIR_COS[f, n]
            im -= y * _PAIR_SIN[f, n]
        now[f] = np.complex64(complex(re, im)) + _BLOCK_TURN[f] * np.complex64(
            complex(rec.pair_re[f], rec.pair_im[f])
        )
        rec.pair_re[f] = re
        rec.pair_im[f] = im
    total = energy + rec.energy
    rec.energy = energy
    best = -1
    most = np.float32(_PAIR_SHARE) * total
    for pair in range(3):
        first = _PAIR_FIRST[pair]
        a = now[first]
        b = now[first + 1]
        alike = _ALIKE[pair]
        whole = np.float32(1.0) - (alike.real * alike.real + alike.imag * alike.imag)
        # Amplitudes, but for a factor: the inverse of [[1, alike], [conj(alike), 1]] times [a, b].
        first_amplitude = (a - alike * b) / whole
        second_amplitude = (b - np.conj(alike) * a) / whole
        explained = (np.conj(a) * first_amplitude + np.conj(b) * second_amplitude).real / np.float32(BLOCK)
        first_power = first_amplitude.real**2 + first_amplitude.imag**2
        second_power = second_amplitude.real**2 + second_amplitude.imag**2
        balanced = min(first_power, second_power) > np.float32(_BALANCE) * max(first_power, second_power)
        if balanced and explained > most:
            most = explained
            best = pair
    return best


@kernel
def _kind_of_block(rec: Record, x: NDArray[np.float32], dc: float, power: float) -> int:
    """Quiet, one of the tones, or something else."""
    quiet = max(np.float32(_LEAST_POWER), np.float32(_FALL) * rec.power if rec.kind else np.float32(0.0))
    if power < quiet:
        rec.piece_re = 0.0
        rec.piece_im = 0.0
        rec.piece_least = 0.0
        rec.energy = np.float32(power) * np.float32(BLOCK)
        for f in range(4):
            rec.pair_re[f] = 0.0
            rec.pair_im[f] = 0.0
        return _QUIET
    single = _is_single(rec, x, dc, power)
    pair = _pair_of_block(rec, x, dc, power)
    if single:
        return _SINGLE
    return _DIAL_PAIR + pair if pair >= 0 else _OTHER


# --- cadence ----------------------------------------------------------------------------------------

_BLOCKS_A_SECOND = SAMPLE_RATE // BLOCK
_ODD = 3  # blocks at the edges of a tone that may look like anything


def _blocks(seconds: float) -> int:
    return round(seconds * _BLOCKS_A_SECOND)


_DIAL_SINGLE = _blocks(2.2)  # longer than any ringing in Europe
_DIAL_PAIR_ON = _blocks(0.8)
_SHORT_LEAST, _SHORT_MOST = _blocks(0.1), _blocks(0.72)  # on and off of busy and congestion, edges included
_PERIOD_LEAST, _PERIOD_MOST = _blocks(0.28), _blocks(1.14)
_BUSY_PERIOD = _blocks(0.6)  # and longer; shorter is congestion
_RING_LEAST, _RING_MOST = _blocks(0.6), _blocks(2.3)
_RING_OFF_LEAST, _RING_OFF_MOST = _blocks(2.6), _blocks(6.4)
_LIKE = _blocks(0.06)  # two periods that differ by less are alike


@kernel
def _forget(rec: Record) -> None:
    rec.kind = 0
    rec.sounding = 0
    rec.odd = 0
    rec.on = 0
    rec.off = 0
    rec.period = 0
    rec.cycles = 0
    rec.reported = 0


@kernel
def _begin(rec: Record, kind: int, power: float) -> None:
    _forget(rec)
    rec.kind = kind
    rec.power = power
    rec.sounding = 1
    rec.on = 1


@kernel
def _report(rec: Record, what: int, events: Record) -> None:
    if rec.reported != what:
        rec.reported = what
        push(events, what)


@kernel
def _cycle_done(rec: Record, events: Record) -> None:
    """The tone comes again: what were the times on and off?"""
    period = rec.on + rec.off
    if _RING_LEAST <= rec.on <= _RING_MOST and _RING_OFF_LEAST <= rec.off <= _RING_OFF_MOST:
        if rec.kind in (_SINGLE, _RING_PAIR):
            _report(rec, RINGBACK_DETECTED, events)
        return
    short = _SHORT_LEAST <= rec.on <= _SHORT_MOST and _SHORT_LEAST <= rec.off <= _SHORT_MOST
    if not short or not _PERIOD_LEAST <= period <= _PERIOD_MOST or rec.kind not in (_SINGLE, _BUSY_PAIR):
        rec.cycles = 0
        rec.period = 0
        rec.reported = 0
        return
    rec.cycles = rec.cycles + 1 if abs(period - rec.period) <= _LIKE else 1
    rec.period = period
    if rec.cycles >= 2:
        _report(rec, BUSY_DETECTED if period >= _BUSY_PERIOD else CONGESTION_DETECTED, events)


@kernel
def _follow(rec: Record, kind: int, power: float, events: Record) -> None:
    """One more block of ``kind``."""
    if rec.kind == 0:
        if kind not in (_QUIET, _OTHER):
            _begin(rec, kind, power)
        return
    if kind == rec.kind:
        if not rec.sounding:
            rec.off += rec.odd
            _cycle_done(rec, events)
            rec.on = 0
            rec.odd = 0
            rec.sounding = 1
        rec.on += 1 + rec.odd
        rec.odd = 0
        rec.power += np.float32(0.25) * (np.float32(power) - rec.power)
        if rec.on >= (_DIAL_PAIR_ON if rec.kind == _DIAL_PAIR else _DIAL_SINGLE) and rec.kind <= _DIAL_PAIR:
            _report(rec, DIAL_DETECTED, events)
    elif kind == _QUIET:
        if rec.sounding:
            rec.sounding = 0
            rec.off = 0
            rec.on += rec.odd
        else:
            rec.off += rec.odd
        rec.odd = 0
        rec.off += 1
        if rec.kind == _RING_PAIR and _RING_LEAST <= rec.on <= _RING_MOST and rec.off >= _RING_OFF_LEAST:
            _report(rec, RINGBACK_DETECTED, events)  # the pair alone leaves no doubt
        if rec.off > _RING_OFF_MOST:
            _forget(rec)
    else:
        rec.odd += 1
        if rec.odd > _ODD:
            _forget(rec)
            if kind != _OTHER:
                _begin(rec, kind, power)


@kernel
def progress_rx_block(rec: Record, x: NDArray[np.float32], dc: float, power: float, events: Record) -> None:
    """Listen to 160 samples of mean ``dc`` and mean square, without it, of ``power``; note each tone once."""
    _follow(rec, _kind_of_block(rec, x, dc, power), power, events)
