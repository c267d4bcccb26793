"""Slow twins of the signal kernels: formulas on whole arrays of 64-bit floats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dsp.modulation import Modulation
from dsp.pulse import TX_SYMBOLS, root_raised_cosine, rx_half_taps
from dsp.training import data_encoder
from tests.dsp.twins.bits import hdlc_frames

Signal = NDArray[np.float64]
RATE = 8000


def rms(level_dbm0: float) -> float:
    """dBm0 = 20·log10(rms / 32768) + 6.15."""
    return float(32768 * 10 ** ((level_dbm0 - 6.15) / 20))


# --- level ------------------------------------------------------------------------------------------


def level(x: Signal) -> tuple[Signal, Signal, int]:
    """Mean square without DC and DC estimate after each block; how long the silence at the end is."""
    pieces = x.reshape(-1, 40)
    power = pieces.var(axis=1)
    quiet = power < rms(-36.0) ** 2
    loud = np.flatnonzero(~quiet)
    silence = 40 * (len(quiet) - 1 - loud[-1]) if len(loud) else 40 * len(quiet)
    dc = np.zeros(len(pieces) // 4)
    estimate = 0.0
    for k, mean in enumerate(x.reshape(-1, 160).mean(axis=1)):
        estimate += (mean - estimate) / 8
        dc[k] = estimate
    return power.reshape(-1, 4).mean(axis=1), dc, int(silence)


# --- tones ------------------------------------------------------------------------------------------


def tone(n: int, hz: float, level_dbm0: float, *, begin: int, end: int, period: int) -> Signal:
    """A sine that is on from ``begin`` to ``end`` of each ``period`` samples; its phase rests meanwhile."""
    sounding = (np.arange(n) % period >= begin) & (np.arange(n) % period < end)
    sounded_before = np.cumsum(sounding) - sounding
    return 2**0.5 * rms(level_dbm0) * np.sin(2 * np.pi * hz / RATE * sounded_before) * sounding


def tone_blocks(x: Signal, hz: float) -> tuple[Signal, Signal, Signal]:
    """For each block: level in dBm0, share of its power at ``hz``, and how far off in Hz the tone is.

    Both from the correlations over pieces of 5 ms: their energy, and how they turn from one to the next.
    """
    blocks = x.reshape(-1, 160)
    power = blocks.reshape(-1, 4, 40).var(axis=2).mean(axis=1)
    reference = np.exp(-2j * np.pi * hz * np.arange(160) / RATE)
    pieces = (blocks * reference).reshape(-1, 40).sum(axis=1)
    before = np.concatenate([[0], pieces[:-1]])
    turn = (pieces * np.conj(before)).reshape(-1, 4).sum(axis=1)
    energy = (np.abs(pieces) ** 2).reshape(-1, 4).sum(axis=1)
    share = 2 * energy / (40 * 160 * np.maximum(power, 1e-9))
    level_dbm0 = 10 * np.log10(np.maximum(power, 1e-9) / 32768**2) + 6.15
    return level_dbm0, share, np.angle(turn) * RATE / 40 / (2 * np.pi)


# --- V.21 -------------------------------------------------------------------------------------------


def v21(bits: str, n: int) -> Signal:
    """Continuous-phase FSK of -14 dBm0: 1650 Hz for ones, 1850 Hz for zeros, 300 bit/s."""
    number = np.arange(n) * 300 // RATE
    hz = np.where(np.array(list(bits))[number] == "1", 1650.0, 1850.0)
    phase = 2 * np.pi * np.concatenate([[0.0], np.cumsum(hz)[:-1]]) / RATE
    return 2**0.5 * rms(-14.0) * np.sin(phase)


def v21_decisions(x: Signal) -> NDArray[np.bool_]:
    """For each sample, whether the last bit's time had more of mark than of space (non-coherent)."""
    t = np.arange(len(x)) / RATE
    mark, space = (
        np.abs(np.convolve(x * np.exp(-2j * np.pi * hz * t), np.ones(27))[: len(x)])
        for hz in (1650.0, 1850.0)
    )
    return mark > space


def v21_frames(x: Signal) -> list[bytes]:
    """Frames with a right check sequence that any of 80 bit clocks, a third of a sample apart, brings out."""
    decisions = v21_decisions(x)
    found: dict[bytes, int] = {}
    for start in range(80):
        at = (start + 80 * np.arange((3 * len(x) - start) // 80)) // 3
        line = "".join("1" if mark else "0" for mark in decisions[at])
        for frame, good in hdlc_frames(line):
            if good:
                found.setdefault(frame, len(found))
    return list(found)


# --- fast modems ------------------------------------------------------------------------------------


def qam_symbols(modulation: Modulation, bits: Sequence[int], *, tep: bool = False) -> list[complex]:
    """All symbols of a transmission, unit mean energy: turn-on, data filled up with ones, turn-off."""
    on = modulation.turn_on
    symbols: list[complex] = [on.tep_point] * (on.n_tep if tep else 0)
    symbols += [0j] * on.n_silence
    symbols += [on.alternation[k % 2] for k in range(on.n_alternation)]
    symbols += on.known
    encoder = data_encoder(modulation)
    size = modulation.bits_per_symbol
    n_data = -(-len(bits) // size)
    padded = [*bits, *[1] * (size * (n_data + modulation.n_turn_off) - len(bits))]
    for k in range(0, len(padded), size):
        label = encoder.symbol(padded[k : k + size], modulation.changes)
        symbols.append(modulation.points[label])
    return [modulation.unit * symbol for symbol in symbols]


def qam(modulation: Modulation, symbols: Sequence[complex], n: int) -> Signal:
    """Root-raised-cosine pulses at the symbols' instants, on the carrier, at -14 dBm0; ``n`` samples."""
    reach = TX_SYMBOLS // 2
    out = np.zeros(n)
    values = np.array(symbols)
    for sample in range(n):
        at = sample * modulation.baud / RATE  # symbols since the first was due
        newest = int(np.floor(at + 1e-9))
        base = 0j
        for k in range(max(newest - TX_SYMBOLS + 1, 0), min(newest + 1, len(values))):
            base += values[k] * root_raised_cosine(at - k - reach, modulation.rolloff)
        turn = 2j * np.pi * modulation.carrier_hz * sample / RATE
        out[sample] = (base * np.exp(turn)).real
    return 2**0.5 * rms(-14.0) * out


def received_half_symbols(
    samples: NDArray[np.float32], first: float, step: float, n: int, modulation: Modulation
) -> NDArray[np.complex128]:
    """Mix down by the nominal carrier, then the root-raised-cosine at each of ``n`` instants."""
    at = np.arange(len(samples))
    baseband = samples * np.exp(-2j * np.pi * modulation.carrier_hz * at / 8000)
    reach = rx_half_taps(modulation.baud)
    symbols_a_sample = modulation.baud / 8000
    result = np.zeros(n, complex)
    for k in range(n):
        instant = first + k * step
        whole = int(np.floor(instant))
        for j in range(whole - reach, whole + reach):
            weight = root_raised_cosine((j - instant) * symbols_a_sample, modulation.rolloff)
            result[k] += baseband[j] * weight * symbols_a_sample
    return result
