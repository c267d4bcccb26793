"""The late echo: found by correlating what the fit leaves, taken off by convolution, learned by gradient."""

from __future__ import annotations

import numpy as np
import pytest

from dsp.qam_echo import adapt_echo, echo_begin, find_echo, move_past, take_echo_off
from dsp.qam_rx_state import BATCH, CHUNK, ECHO_PAST, ECHO_TAPS, EQ_TAPS, FIT_SYMBOLS
from tests.dsp.twins.receiver import Complexes, Receiver, known_symbols, windows


def echo_of(receiver: Receiver) -> Complexes:
    return (receiver.state.echo_re + 1j * receiver.state.echo_im).astype(np.complex128)


def past_of(receiver: Receiver) -> Complexes:
    return (receiver.state.past_re + 1j * receiver.state.past_im).astype(np.complex128)


def random_echo(receiver: Receiver, rng: np.random.Generator) -> None:
    """Taps, past symbols and a chunk's symbols after them."""
    for name, n in (("echo", ECHO_TAPS), ("past", ECHO_PAST + CHUNK)):
        receiver.state[name + "_re"], receiver.state[name + "_im"] = rng.normal(size=(2, n))


@pytest.mark.parametrize("code", [24, 48, 96, 145])
@pytest.mark.parametrize(
    "echoes",
    [
        {},
        {14: 0.1},
        {8: 0.06j, 39: -0.05},
        dict.fromkeys(range(8, 40), 0.0085),  # near what one tap must have
        {20: 0.028},  # and all together
        {20: 0.021j},
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_found_where_it_stands_out(code: int, echoes: dict[int, complex], seed: int) -> None:
    """An equaliser that passes all, half symbols that are the known ones, noise and echoes (by symbols late).

    A tap is the correlation of what is left with the known symbols, less their mean, so much earlier; it
    counts where its energy is 14 times what the noise would make it, and all together when they have -32 dB.
    """
    rng = np.random.default_rng([seed, code])
    receiver = Receiver(code)
    rx = receiver.state
    known = known_symbols(receiver.modulation)[:FIT_SYMBOLS]
    received = known.copy()
    for lag, factor in echoes.items():
        received[lag:] += factor * known[: FIT_SYMBOLS - lag]
    received += 0.03 * (rng.normal(size=(2, FIT_SYMBOLS)) * [[1], [1j]]).sum(axis=0)
    z = 0.01 * (rng.normal(size=(2, 2 * FIT_SYMBOLS + EQ_TAPS)) * [[1], [1j]]).sum(axis=0)
    taps = 0.01 * (rng.normal(size=(2, EQ_TAPS)) * [[1], [1j]]).sum(axis=0)
    taps[15] = 1
    z[16 : 16 + 2 * FIT_SYMBOLS : 2] += received
    rx.z_re[: len(z)], rx.z_im[: len(z)] = z.real, z.imag
    receiver.set_taps(taps)
    rx.turn = 0.02
    usable = np.ones(FIT_SYMBOLS, np.uint8)
    usable[100:130] = 0
    z = (rx.z_re + 1j * rx.z_im)[: len(z)].astype(np.complex128)
    left = np.where(usable, windows(z, FIT_SYMBOLS) @ receiver.taps - known, 0)
    rx.mse = np.mean(np.abs(left[usable == 1]) ** 2)
    find_echo(receiver.rec, usable)

    varying = known - known.mean()
    expected = np.zeros(ECHO_TAPS, complex)
    for i, lag in enumerate(range(BATCH, BATCH + ECHO_TAPS)):
        earlier = varying[: FIT_SYMBOLS - lag]
        energy = np.sum(np.abs(earlier) ** 2)
        tap = np.vdot(earlier, left[lag:]) / energy
        ratio = np.abs(tap) ** 2 / (14 * rx.mse / energy)
        assert abs(ratio - 1) > 1e-3
        if ratio > 1:
            expected[i] = tap * np.exp(1j * rx.turn * lag)  # it comes turned as the carrier was then
    assert np.max(np.abs(echo_of(receiver) - expected)) < 1e-5
    assert rx.echo == (np.sum(np.abs(expected) ** 2) > 6e-4)
    if len(echoes) == 2:  # by what it does, too
        assert set(np.flatnonzero(expected) + BATCH) >= set(echoes)
        assert rx.echo


def test_past_symbols_stand_as_they_were_received() -> None:
    rng = np.random.default_rng(1)
    receiver = Receiver(96)
    receiver.state.turn = -0.013
    symbols = (rng.normal(size=(2, ECHO_PAST)) * [[1], [1j]]).sum(axis=0).astype(np.complex64)
    echo_begin(receiver.rec, symbols, 0.4)
    before = np.arange(-ECHO_PAST, 0)
    expected = symbols * np.exp(1j * (0.4 - 0.013 * before))
    assert np.max(np.abs(past_of(receiver)[:ECHO_PAST] - expected)) < 1e-5


@pytest.mark.parametrize("first", [0, 8, 40])
@pytest.mark.parametrize("n", [8, 3])
def test_taken_off_by_convolution(first: int, n: int) -> None:
    rng = np.random.default_rng(first + n)
    receiver = Receiver(96)
    random_echo(receiver, rng)
    received = rng.normal(size=(2, BATCH)).astype(np.float32)
    re, im = received.copy()
    take_echo_off(receiver.rec, first, n, re, im)
    # Symbol k of the chunk hears those 8 to 39 symbols before it.
    echo = np.convolve(past_of(receiver), np.concatenate([np.zeros(BATCH), echo_of(receiver)]))
    at = ECHO_PAST + first
    expected = received[0, :n] + 1j * received[1, :n] - echo[at : at + n]
    assert np.max(np.abs(re[:n] + 1j * im[:n] - expected)) < 1e-4
    assert np.array_equal([re[n:], im[n:]], received[:, n:])


@pytest.mark.parametrize("n", [48, 13])
def test_learned_down_the_gradient(n: int) -> None:
    """Of the squared error, by 0.02 / 32; an echo taken off too little is an error of its sign turned."""
    rng = np.random.default_rng(n)
    receiver = Receiver(96)
    random_echo(receiver, rng)
    before, past = echo_of(receiver), past_of(receiver)
    errors = rng.normal(size=(2, CHUNK)).astype(np.float32)
    adapt_echo(receiver.rec, n, errors[0].copy(), errors[1].copy())
    error = errors[0, :n] + 1j * errors[1, :n]
    heard = np.array([past[ECHO_PAST - BATCH - i : ECHO_PAST - BATCH - i + n] for i in range(ECHO_TAPS)])
    expected = before - 0.02 / ECHO_TAPS * heard.conj() @ error
    assert np.max(np.abs(echo_of(receiver) - expected)) < 1e-5


@pytest.mark.parametrize("n", [48, 13])
def test_the_chunk_becomes_past(n: int) -> None:
    receiver = Receiver(96)
    random_echo(receiver, np.random.default_rng(n))
    before = past_of(receiver)
    move_past(receiver.rec, n)
    assert np.array_equal(past_of(receiver)[:ECHO_PAST], before[n : n + ECHO_PAST])
