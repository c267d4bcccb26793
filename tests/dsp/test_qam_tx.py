"""The fast transmitter: judged against a slow twin written from the tables, and against T.31's rules."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.kernel import Record, argument, records
from dsp.modulation import Modulation
from dsp.pulse import TX_SYMBOLS, root_raised_cosine
from dsp.qam_rx import QAM_RX
from dsp.qam_tables import MODULATIONS
from dsp.qam_tx import QAM_TX, TX_RING, qam_burst, qam_tx_block, qam_tx_start, qam_tx_stop, qam_tx_write
from dsp.training import data_encoder
from tests.dsp.qam_bench import power_dbm0, receive

ALL = pytest.mark.parametrize("modulation", MODULATIONS, ids=lambda m: f"{m.name} {m.bit_rate}")


def twin(m: Modulation, data: bytes, *, tep: bool = False) -> NDArray[np.float64]:
    """The whole waveform by formula: one sum of pulses, at -14 dBm0."""
    on = m.turn_on
    symbols = [on.tep_point] * (on.n_tep if tep else 0) + [0j] * on.n_silence
    symbols += list(on.alternation) * (on.n_alternation // 2) + list(on.known)
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").tolist()
    bits += [1] * (-len(bits) % m.bits_per_symbol + m.n_turn_off * m.bits_per_symbol)
    encoder = data_encoder(m)
    n = m.bits_per_symbol
    symbols += [m.points[encoder.symbol(bits[k : k + n], m.changes)] for k in range(0, len(bits), n)]

    length = int((len(symbols) + TX_SYMBOLS) * 8000 / m.baud)
    out = np.zeros(length, np.complex128)
    at = np.arange(length) * m.baud / 8000
    half = TX_SYMBOLS // 2
    for k, symbol in enumerate(symbols):
        # the pulse of symbol k peaks half its span later
        near = np.nonzero((at >= k) & (at < k + TX_SYMBOLS))[0]
        out[near] += symbol * np.array([root_raised_cosine(at[i] - k - half, m.rolloff) for i in near])
    rms = 32768 * 10 ** ((-14 - 6.15) / 20)
    carrier = np.exp(2j * np.pi * m.carrier_hz * np.arange(length) / 8000)
    waveform: NDArray[np.float64] = (out * carrier).real * m.unit * rms * np.sqrt(2)
    return waveform


@ALL
@pytest.mark.parametrize("tep", [False, True])
def test_equals_its_twin(modulation: Modulation, tep: bool) -> None:
    data = np.random.default_rng(1).integers(0, 256, 61, dtype=np.uint8).tobytes()
    expected = twin(modulation, data, tep=tep)
    got = qam_burst(modulation.code, data, tep=tep)
    assert len(got) >= len(expected)
    assert np.abs(got[: len(expected)] - expected).max() < 2
    assert not got[len(expected) :].any()


@ALL
def test_level_is_minus_14_dbm0(modulation: Modulation) -> None:
    data = np.random.default_rng(2).integers(0, 256, modulation.bit_rate, dtype=np.uint8).tobytes()
    audio = qam_burst(modulation.code, data)
    assert power_dbm0(audio[15000:-2000]) == pytest.approx(-14, abs=0.15)
    assert power_dbm0(qam_burst(modulation.code, data, level_change_db=6)[12000:-2000]) == pytest.approx(
        -8, abs=0.15
    )
    assert np.abs(audio).max() < 32768 * 0.5


def start(code: int) -> tuple[Record, Record]:
    state = records(QAM_TX, 1)
    assert qam_tx_start(argument(state)[0], code)
    return state[0], argument(state)[0]


def run(record: Record, n_blocks: int) -> NDArray[np.float32]:
    out = np.zeros((n_blocks, 160), np.float32)
    for block in out:
        qam_tx_block(record, block)
    return out.ravel()


def write(record: Record, data: bytes) -> int:
    return int(qam_tx_write(record, np.frombuffer(data, np.uint8), len(data)))


@pytest.mark.parametrize("code", [24, 48, 72, 96])
def test_ones_before_the_first_byte_zeros_when_late(code: int) -> None:
    """T.31 §8.3.3: a DTE that takes its time is covered by the modem."""
    state, record = start(code)
    audio = [run(record, 70)]
    first, second = b"\x01first\x80", b"\x01second\x80"
    write(record, first)
    audio.append(run(record, 20))
    write(record, second)
    state.end = 1
    audio.append(run(record, 20))
    assert state.done
    data = receive(code, np.concatenate(audio)).data
    assert data.startswith(b"\xff\xff\xff\xff")
    filling, _, rest = data.partition(first)
    assert set(filling) == {0xFF}
    late, _, rest = rest.partition(second)
    assert len(late) > 20
    assert set(late) == {0}
    assert len(rest) < 25  # turn-off


def test_ring_takes_what_it_can_and_goes_round() -> None:
    state, record = start(96)
    data = np.random.default_rng(3).integers(0, 256, 3 * TX_RING, dtype=np.uint8).tobytes()
    assert write(record, data) == TX_RING
    assert write(record, data) == 0
    sent = TX_RING
    audio = []
    while sent < len(data):
        audio.append(run(record, 50))
        sent += write(record, data[sent:])
        assert state.ring_count <= TX_RING
    state.end = 1
    while not state.done:
        audio.append(run(record, 10))
    assert receive(96, np.concatenate(audio)).data[: len(data)] == data


def test_done_comes_after_the_last_sound_and_silence_stays() -> None:
    state, record = start(72)
    write(record, b"x" * 10)
    state.end = 1
    last = 0
    for block in range(100):
        if run(record, 1).any():
            last = block
        if state.done:
            break
    assert last <= block <= last + 2
    assert not run(record, 5).any()
    assert state.done


def test_stop_and_restart_forget_everything() -> None:
    state, record = start(96)
    write(record, b"never to be sent")
    run(record, 5)
    qam_tx_stop(record)
    assert not run(record, 2).any()
    assert not state.done
    assert qam_tx_start(record, 48)
    assert state.ring_count == 0
    write(record, b"this")
    state.end = 1
    assert receive(48, run(record, 60)).data.startswith(b"this")


def test_zeroed_record_is_silent_and_unknown_code_refused() -> None:
    record = argument(records(QAM_TX, 1))[0]
    assert not run(record, 1).any()
    assert not qam_tx_start(record, 144)
    assert not run(record, 1).any()
    with pytest.raises(ValueError, match="144"):
        qam_burst(144, b"")


def test_records_are_small() -> None:
    assert QAM_TX.itemsize + QAM_RX.itemsize < 64 * 1024
