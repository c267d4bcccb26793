"""V.17's trellis decoder against a slow twin, and what it must survive."""

import numpy as np
import pytest

from dsp.kernel import argument, records
from dsp.modulation import Modulation
from dsp.qam_rx import QAM_RX
from dsp.qam_rx_state import BATCH
from dsp.qam_tables import MODULATIONS
from dsp.training import TrellisEncoder, data_encoder
from dsp.trellis import NEXT_STATE
from dsp.v17 import V17
from dsp.viterbi import (
    DEPTH,
    oldest_lowest,
    path_growth,
    viterbi_begin,
    viterbi_decide,
    viterbi_normalise,
    viterbi_symbols,
)

LONG = pytest.mark.parametrize(
    "modulation", [m for m in V17 if not m.turn_on.short], ids=lambda m: str(m.bit_rate)
)


def coded(m: Modulation, n_symbols: int, seed: int) -> tuple[bytes, np.ndarray]:
    """Random data and their points of unit energy."""
    bits = np.random.default_rng(seed).integers(0, 2, n_symbols * m.bits_per_symbol)
    encoder = data_encoder(m)
    n = m.bits_per_symbol
    labels = [encoder.symbol(bits[k : k + n].tolist(), ()) for k in range(0, len(bits), n)]
    data = np.packbits(bits[: len(bits) // 8 * 8], bitorder="little").tobytes()
    return data, np.array([m.points[label] for label in labels]) * m.unit


def decode(m: Modulation, symbols: np.ndarray, start: int, block: int = 48) -> tuple[bytes, float]:
    """What the decoder makes of ``symbols``, in blocks; and the mean growth of its best path."""
    state = records(QAM_RX, 1)
    record = argument(state)[0]
    state[0].row = MODULATIONS.index(m)
    state[0].phase = m.turn_on.phase
    state[0].scrambler_state = oldest_lowest(m.turn_on.scrambler_state)
    viterbi_begin(record, start)
    out = np.zeros(64, np.uint8)
    data = b""
    growth = 0.0
    for at in range(0, len(symbols), block):
        for first in range(at, min(at + block, len(symbols)), BATCH):
            batch = symbols[first : min(first + BATCH, at + block)].astype(np.complex64)
            trusted = np.ones(len(batch), np.uint8)
            viterbi_symbols(record, batch.real.copy(), batch.imag.copy(), trusted, len(batch))
        growth += float(path_growth(state[0].least_metric))
        viterbi_normalise(record)
        data += out[: viterbi_decide(record, DEPTH, out, 0)].tobytes()
    assert state[0].n_pending == min(DEPTH, len(symbols))
    data += out[: viterbi_decide(record, 0, out, 0)].tobytes()
    return data, growth / len(symbols)


def twin_path(m: Modulation, symbols: np.ndarray, start: int) -> np.ndarray:
    """Labels of the likeliest path of all, by the book: every branch, every point, whole history."""
    points = np.array([m.points[k] for k in range(len(m.points))]) * m.unit
    metric = np.full(8, np.inf)
    metric[start] = 0
    paths: list[list[int]] = [[] for _ in range(8)]
    for symbol in symbols:
        distance = np.abs(symbol - points) ** 2
        new = np.full(8, np.inf)
        new_paths: list[list[int]] = [[] for _ in range(8)]
        for state in range(8):
            for y in range(4):
                subset = y << 1 | state & 1
                label = subset + 8 * int(np.argmin(distance[subset::8]))
                total = metric[state] + distance[label]
                to = NEXT_STATE[state][y]
                if total < new[to]:
                    new[to], new_paths[to] = total, [*paths[state], label]
        metric, paths = new, new_paths
    return np.array(paths[int(np.argmin(metric))])


def bits_of_path(m: Modulation, labels: np.ndarray) -> bytes:
    """Differential decoding and descrambling by the book."""
    phase, line = m.turn_on.phase, []
    for label in labels.tolist():
        y = label >> 1 & 3
        value = (label >> 3) << 2 | (y - phase) % 4
        phase = y
        line += [value >> k & 1 for k in range(m.bits_per_symbol)]
    before = [m.turn_on.scrambler_state >> k & 1 for k in range(22, -1, -1)]
    line = before + line
    bits = [line[k] ^ line[k - 18] ^ line[k - 23] for k in range(23, len(line))]
    return np.packbits(bits[: len(bits) // 8 * 8], bitorder="little").tobytes()


@LONG
@pytest.mark.parametrize("block", [48, 47, 7])
def test_clean_symbols_give_their_bits(modulation: Modulation, block: int) -> None:
    data, symbols = coded(modulation, 500, 1)
    got, growth = decode(modulation, symbols, modulation.turn_on.trellis_state, block)
    assert got == data
    assert growth < 1e-4


@LONG
def test_equals_the_twin_in_noise(modulation: Modulation) -> None:
    """Where a depth of 32 and whole-history decisions agree, which is nearly everywhere."""
    _, symbols = coded(modulation, 600, 2)
    noise = np.random.default_rng(3).normal(0, 1, (2, 600))
    symbols = symbols + (noise[0] + 1j * noise[1]) * np.sqrt(modulation.hopeless_mse * 0.3)
    start = modulation.turn_on.trellis_state
    expected = bits_of_path(modulation, twin_path(modulation, symbols, start))
    got, _ = decode(modulation, symbols, start)
    wrong = np.unpackbits(np.frombuffer(got, np.uint8) ^ np.frombuffer(expected, np.uint8)).sum()
    assert wrong <= 0.002 * len(got) * 8


@LONG
def test_growth_of_the_path_is_the_noise(modulation: Modulation) -> None:
    """What ``mse`` and the SNR figure are made of; and what is not V.17 is well above ``hopeless_mse``."""
    _, symbols = coded(modulation, 4000, 4)
    rng = np.random.default_rng(5)
    variance = modulation.hopeless_mse / 2.5
    noise = rng.normal(0, np.sqrt(variance / 2), (2, 4000))
    _, growth = decode(modulation, symbols + noise[0] + 1j * noise[1], modulation.turn_on.trellis_state)
    assert growth == pytest.approx(variance, rel=0.06)
    other = rng.normal(0, np.sqrt(0.5), (2, 4000))
    _, growth = decode(modulation, other[0] + 1j * other[1], -1)
    assert growth > 1.15 * modulation.hopeless_mse


@LONG
@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_any_quarter_turn_and_unknown_start(modulation: Modulation, quarter_turns: int) -> None:
    """After the first symbols (the wrong differential start, 23 bits of descrambler) all is right."""
    data, symbols = coded(modulation, 300, 6)
    got, _ = decode(modulation, symbols * 1j**quarter_turns, -1)
    assert got[12:] == data[12:]


@LONG
def test_wild_symbols_do_no_harm(modulation: Modulation) -> None:
    data, symbols = coded(modulation, 600, 7)
    symbols[100:148] *= 1e6
    got, _ = decode(modulation, symbols, modulation.turn_on.trellis_state)
    assert len(got) == len(data)
    n = modulation.bits_per_symbol
    assert got[: 60 * n // 8] == data[: 60 * n // 8]
    assert got[190 * n // 8 :] == data[190 * n // 8 :]


def test_a_random_walk_of_the_encoder_stays_in_the_trellis() -> None:
    encoder = TrellisEncoder(0, 1)
    for _ in range(100):
        before = encoder.trellis_state
        label = encoder.symbol([1, 0, 1], ())
        assert label & 1 == before & 1
        assert encoder.trellis_state == NEXT_STATE[before][label >> 1 & 3]
