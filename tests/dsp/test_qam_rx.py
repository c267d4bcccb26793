"""The fast receiver on lines good and bad; sensitivity has its own file."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp import g711
from dsp.kernel import argument, records
from dsp.qam_rx import QAM_RX, qam_rx_block, qam_rx_start, qam_rx_stop
from dsp.qam_tables import MODULATIONS
from dsp.qam_tx import qam_burst
from tests.dsp.qam_bench import (
    CODES,
    GOAL_DB,
    V17_CODES,
    Audio,
    at_level,
    receive,
    receive_in_turn,
    silence,
    with_carrier_offset,
    with_clock_offset,
    with_noise,
)

RATES = pytest.mark.parametrize("code", CODES)


def some_data(code: int, seconds: float, seed: int = 0) -> bytes:
    n = int(CODES[code] * seconds / 8)
    return np.random.default_rng(code + seed).integers(0, 256, n, dtype=np.uint8).tobytes()


def burst(code: int, data: bytes, start: int = 3000) -> Audio:
    return np.concatenate([silence(start), qam_burst(code, data), silence(1600)])


def bits_before(code: int, sample: int, start: int = 3000) -> int:
    """Data bits of :func:`burst` that are sent before ``sample``."""
    m = next(m for m in MODULATIONS if m.code == code)
    n_turn_on = m.turn_on.n_silence + m.turn_on.n_alternation + len(m.turn_on.known)
    return int((sample - start - n_turn_on * 8000 / m.baud) * m.bit_rate / 8000)


@pytest.mark.parametrize("modulation", MODULATIONS, ids=lambda m: f"{m.name} {m.bit_rate}")
def test_clean_line_at_every_sample_offset(modulation: object) -> None:
    code = modulation.code  # type: ignore[attr-defined]
    data = np.random.default_rng(1).integers(0, 256, 150, dtype=np.uint8).tobytes()
    audio = qam_burst(code, data)
    for start in range(0, 170, 13):
        reception = receive(code, np.concatenate([silence(start), audio, silence(800)]))
        assert len(reception.trained) == 1
        assert reception.bit_errors(data) == 0
        assert len(reception.carrier_lost) == 1
        n_turn_off = modulation.n_turn_off * modulation.bits_per_symbol // 8  # type: ignore[attr-defined]
        assert len(reception.data) - len(data) <= n_turn_off + 8  # turn-off ones, and a few bits


@RATES
@pytest.mark.parametrize("level_dbm0", [-45, -43, -30, -6, -3])
def test_levels(code: int, level_dbm0: float) -> None:
    data = some_data(code, 0.5)
    reception = receive(code, at_level(burst(code, data), level_dbm0 + 14))
    assert reception.bit_errors(data) == 0
    assert reception.record.level_dbm0 == pytest.approx(level_dbm0, abs=0.3)


@RATES
@pytest.mark.parametrize("offset_hz", [-20, -10, 10, 20])
def test_carrier_offset(code: int, offset_hz: float) -> None:
    data = some_data(code, 1)
    audio = with_noise(with_carrier_offset(burst(code, data), offset_hz), GOAL_DB[code] + 3, -14, 1)
    reception = receive(code, audio)
    assert reception.bit_errors(data) == 0
    assert reception.record.carrier_offset_hz == pytest.approx(offset_hz, abs=0.3)


@RATES
@pytest.mark.parametrize("offset_ppm", [-200, 200])
def test_clock_offset_for_a_minute(code: int, offset_ppm: float) -> None:
    data = some_data(code, 60)
    audio = with_noise(with_clock_offset(burst(code, data), offset_ppm), GOAL_DB[code] + 3, -14, 2)
    reception = receive(code, audio)
    assert reception.bit_errors(data) == 0
    assert reception.record.clock_offset_ppm == pytest.approx(offset_ppm, abs=20)


def line_shape(
    audio: Audio, loss_db: list[tuple[float, float]], delay_ms: list[tuple[float, float]]
) -> Audio:
    """A line with this loss and group delay, each given as (Hz, value)."""
    spectrum = np.fft.rfft(audio)
    hz = np.fft.rfftfreq(len(audio), 1 / 8000)
    loss = np.interp(hz, *np.transpose(loss_db))
    phase = -2 * np.pi * np.cumsum(np.interp(hz, *np.transpose(delay_ms)) * 1e-3) * hz[1]
    shaped: Audio = np.fft.irfft(spectrum * 10 ** (-loss / 20) * np.exp(1j * phase), len(audio))
    return shaped


SHAPES = {
    # about the limits of M.1020
    "m1020": (
        [(0, 40), (200, 20), (300, 6), (500, 3), (1000, 1), (1700, 0), (2400, 1.5), (2800, 3), (3000, 6),
         (3400, 20), (4000, 60)],
        [(0, 3), (500, 3), (600, 1.5), (1000, 0.5), (1700, 0), (2600, 0.5), (2800, 3), (3000, 4), (4000, 5)],
    ),
    # a long copper loop: loss rising with frequency
    "loop": (
        [(0, 40), (200, 15), (300, 5), (500, 2), (1000, 0), (1700, 1.5), (2400, 4), (2800, 6), (3000, 8),
         (3400, 14), (4000, 60)],
        [(0, 2), (500, 1), (1000, 0.3), (1700, 0), (2400, 0.2), (2800, 0.8), (3000, 1.2), (4000, 3)],
    ),
}  # fmt: skip


@RATES
@pytest.mark.parametrize("shape", SHAPES)
def test_line_shapes(code: int, shape: str) -> None:
    data = some_data(code, 2)
    audio = with_noise(line_shape(burst(code, data), *SHAPES[shape]), GOAL_DB[code] + 7, -14, 3)
    assert receive(code, audio).bit_errors(data) == 0


@pytest.mark.parametrize("code", V17_CODES)
@pytest.mark.parametrize("shape", SHAPES)
def test_short_training_on_line_shapes(code: int, shape: str) -> None:
    """What the long training taught of the line serves the short ones, at other instants and levels."""
    data = some_data(code, 1)
    sounds = []
    for short in range(3):
        sent = np.concatenate(
            [silence(2000 + 11 * short), qam_burst(code + (short > 0), data), silence(1600)]
        )
        audio = at_level(with_carrier_offset(line_shape(sent, *SHAPES[shape]), 3), -2.0 * short)
        sounds.append((code + (short > 0), with_noise(audio, GOAL_DB[code] + 7, -18, short)))
    for reception in receive_in_turn(sounds):
        assert len(reception.trained) == len(reception.carrier_lost) == 1
        assert reception.bit_errors(data) == 0


@RATES
@pytest.mark.parametrize("delay_ms", [4, 10, 15])
def test_listener_echo(code: int, delay_ms: int) -> None:
    """Also where the equaliser does not reach: past decisions take it off."""
    data = some_data(code, 2)
    audio = burst(code, data).astype(np.float64)
    audio[8 * delay_ms :] += 0.1 * audio[: -8 * delay_ms].copy()  # -20 dB
    reception = receive(code, with_noise(with_carrier_offset(audio, 4), GOAL_DB[code] + 3, -14, 4))
    assert reception.bit_errors(data) == 0
    assert len(reception.carrier_lost) == 1


@RATES
def test_no_echo_is_seen_where_there_is_none(code: int) -> None:
    for seed in range(20):
        audio = with_noise(burst(code, b"x" * 20), GOAL_DB[code], -14, seed)
        assert not receive(code, audio).record.echo


@RATES
def test_echo_and_offset_and_hum(code: int) -> None:
    data = some_data(code, 2)
    audio = burst(code, data)
    audio[80:] += 0.1 * audio[:-80]  # listener echo, 10 ms late, -20 dB
    audio += 1500 + 500 * np.sin(2 * np.pi * 50 / 8000 * np.arange(len(audio)))
    assert receive(code, with_noise(audio, 28, -14, 4)).bit_errors(data) == 0


@RATES
def test_both_laws_one_after_the_other(code: int) -> None:
    data = some_data(code, 2)
    audio = g711.alaw_decode(g711.alaw_encode(np.rint(burst(code, data)).astype(np.int16)))
    audio = np.rint(with_clock_offset(audio, 0, 0.37)).astype(np.int16)
    assert receive(code, g711.ulaw_decode(g711.ulaw_encode(audio))).bit_errors(data) == 0


@RATES
def test_lost_blocks_cost_themselves_only(code: int) -> None:
    """Five blocks never arrive; symbols are counted on, so everything between is right and in its place."""
    data = some_data(code, 6)
    audio = with_carrier_offset(burst(code, data), 5)
    lost = set(range(120, 320, 40))
    for block in lost:
        audio[160 * block : 160 * (block + 1)] = 0
    reception = receive(code, with_noise(audio, GOAL_DB[code] + 5, -14, 5), lost)
    assert len(reception.carrier_lost) == 1
    bits_a_block = CODES[code] // 50
    assert reception.bit_errors(data) < len(lost) * bits_a_block
    for block in lost:  # right until shortly before each loss
        good = slice(bits_before(code, 160 * block - 1600) // 8, bits_before(code, 160 * block - 80) // 8)
        assert reception.data[good] == data[good]
    assert reception.data[len(data) - 100 : len(data)] == data[-100:]
    assert reception.record.n_lost_samples == 160 * len(lost)


@RATES
@pytest.mark.parametrize("at", [0, 37, 80, 120])
@pytest.mark.parametrize("fill", ["silence", "repeat"])
def test_gap_that_nobody_told_of(code: int, at: int, fill: str) -> None:
    """A packet lost on the far side of the exchange arrives as silence, or as the last one again."""
    data = some_data(code, 3)
    audio = burst(code, data)
    gap = slice(160 * 130 + at, 160 * 131 + at)
    audio[gap] = 0 if fill == "silence" else audio[gap.start - 160 : gap.start]
    reception = receive(code, with_noise(audio, GOAL_DB[code] + 5, -14, 6))
    assert len(reception.carrier_lost) == 1
    assert reception.bit_errors(data) < CODES[code] // 50 + 60
    assert reception.data[len(data) - 100 : len(data)] == data[-100:]


@RATES
@pytest.mark.parametrize("at", [0, 37, 159])
@pytest.mark.parametrize("n_packets", [2, 3])
def test_packets_in_a_row_that_nobody_told_of(code: int, at: int, n_packets: int) -> None:
    """Filled with digital silence, up to three of them cost themselves only: no carrier, no training."""
    data = some_data(code, 3)
    audio = np.rint(with_noise(burst(code, data), GOAL_DB[code] + 5, -14, 6))
    audio[160 * 130 + at : 160 * (130 + n_packets) + at] = 0
    reception = receive(code, audio)
    assert len(reception.trained) == len(reception.carrier_lost) == 1
    assert reception.bit_errors(data) < n_packets * CODES[code] // 50 + 60
    assert reception.data[len(data) - 100 : len(data)] == data[-100:]


@RATES
@pytest.mark.parametrize("turn_off", [True, False])
def test_end_in_digital_silence(code: int, turn_off: bool) -> None:
    """With turn-off ones before it within 30 ms as ever; a carrier that just stops, within 83."""
    data = some_data(code, 2)
    for start in range(3000, 3160, 53):
        audio = np.rint(burst(code, data[:500] if turn_off else data, start))
        end = int(np.nonzero(np.abs(audio) > 100)[0][-1]) if turn_off else 17000 + start
        audio[end:] = 0
        reception = receive(code, audio)
        assert len(reception.carrier_lost) == 1
        assert (reception.carrier_lost[0] + 1) * 160 - end <= (240 if turn_off else 660)


@RATES
@pytest.mark.parametrize("n_samples", [-160, -20, -5, -3, -1, 1, 2, 3, 5, 8, 20, 80, 160])
def test_slip_of_any_size_is_overcome(code: int, n_samples: int) -> None:
    """Samples inserted or dropped in mid-page: right again within 20 ms, without training."""
    data = some_data(code, 3)
    audio = burst(code, data)
    at = 160 * 150 + 33
    after = audio[at:] if n_samples > 0 else audio[at - n_samples :]
    audio = np.concatenate([audio[:at], silence(max(n_samples, 0)), after])
    reception = receive(code, with_noise(audio, GOAL_DB[code] + 4, -14, 7))
    assert len(reception.trained) == len(reception.carrier_lost) == 1
    got = np.unpackbits(np.frombuffer(reception.data, np.uint8), bitorder="little").tobytes()
    sent = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").tobytes()
    right_from = bits_before(code, at + 160 + max(-n_samples, 0))
    assert sent[right_from:] in got
    assert got[: bits_before(code, at - 160)] == sent[: bits_before(code, at - 160)]
    moved = n_samples * CODES[code] / 8000  # as many bits as time has passed
    n_turn_off = len(got) - len(sent) - moved
    assert 0 <= n_turn_off <= 350


@RATES
def test_level_and_phase_hits(code: int) -> None:
    data = some_data(code, 3)
    audio = burst(code, data)
    audio[160 * 150 :] *= 0.6
    audio[160 * 165 :] *= -1
    reception = receive(code, with_noise(audio, 32, -14, 8))
    assert len(reception.carrier_lost) == 1
    assert reception.bit_errors(data) < CODES[code] // 10
    assert reception.data[len(data) - 100 : len(data)] == data[-100:]


@RATES
def test_any_one_block_of_the_training_may_be_lost(code: int) -> None:
    data = some_data(code, 0.5)
    clean = burst(code, data)
    first = 3000 // 160
    n_training = receive(code, clean).trained[0] - first - 1
    for block in range(first, first + n_training, 1 if n_training < 20 else 5):
        audio = clean.copy()
        audio[160 * block : 160 * (block + 1)] = 0
        reception = receive(code, with_noise(audio, 28, -14, block), {block})
        assert len(reception.trained) == 1, block
        assert reception.bit_errors(data) < 30, block


@RATES
@pytest.mark.parametrize("noise_db", [50, None])
def test_end_of_carrier_is_noticed_in_time(code: int, noise_db: float | None) -> None:
    """A proper end within 30 ms, a sudden one within 43; hardly any bits of it."""
    data = some_data(code, 2)
    snr = noise_db or GOAL_DB[code] + 2
    proper = burst(code, data[:500])
    last = int(np.nonzero(np.abs(proper) > 100)[0][-1])
    for start in range(0, 160, 23):
        reception = receive(code, with_noise(np.concatenate([silence(start), proper]), snr, -14, start))
        assert len(reception.carrier_lost) == 1
        assert (reception.carrier_lost[0] + 1) * 160 - (last + start) <= 240
        cut = 17000 + 3 * start
        audio = burst(code, data)
        audio[cut:] = 0
        whole = receive(code, with_noise(burst(code, data), snr, -14, start)).data
        reception = receive(code, with_noise(audio, snr, -14, start))
        assert len(reception.carrier_lost) == 1
        assert (reception.carrier_lost[0] + 1) * 160 - cut <= 340
        # all that was sent is there but for what the filters had not yet seen, and hardly a byte more
        right = next(
            (n for n, (a, b) in enumerate(zip(reception.data, whole, strict=False)) if a != b),
            len(reception.data),
        )
        assert len(reception.data) - right <= 6


@RATES
def test_searches_again_after_the_carrier(code: int) -> None:
    pages = [some_data(code, 0.5, seed) for seed in range(3)]
    audio = np.concatenate([burst(code, page, 700 + 31 * n) for n, page in enumerate(pages)])
    reception = receive(code, with_noise(audio, 40, -14, 9))
    assert len(reception.trained) == len(reception.carrier_lost) == 3
    at = 0
    for page in pages:
        at = reception.data.index(page, at) + len(page)


def test_carrier_lost_while_blocks_are_lost() -> None:
    data = some_data(96, 2)
    audio = burst(96, data)
    at = 80
    audio[160 * at :] = 0
    reception = receive(96, audio, set(range(at, at + 8)))
    assert len(reception.carrier_lost) == 1
    assert reception.data == data[: len(reception.data) - 4] + reception.data[-4:]
    endless = receive(96, audio, set(range(at, len(audio) // 160 + 1)))
    assert endless.carrier_lost == [at + 10]


def test_long_silence_fill_yields_no_bits_before_the_verdict() -> None:
    """Held blocks come out together with the next good one, as many bits as time has passed."""
    data = some_data(96, 2)
    audio = burst(96, data)
    audio[160 * 80 : 160 * 84] = 0
    reception = receive(96, audio, {80, 81, 82, 83})
    assert reception.data[-200:-50] in data
    assert abs(len(reception.data) - len(data) - 17) < 5
    assert reception.data[1900:2000] == data[1900:2000]


@pytest.mark.parametrize(("sent", "listening"), [(96, 72), (72, 96), (48, 24), (24, 48), (48, 96), (96, 48)])
def test_another_modulation_does_not_train(sent: int, listening: int) -> None:
    reception = receive(listening, burst(sent, some_data(sent, 2)))
    assert not reception.trained
    assert not reception.data


@RATES
def test_training_cut_off_fails_and_the_next_succeeds(code: int) -> None:
    data = some_data(code, 0.5)
    cut = burst(code, data)
    on = next(m for m in MODULATIONS if m.code == code)
    cut[3000 + int((on.turn_on.n_silence + on.turn_on.n_alternation + 250) * 8000 / on.baud) :] = 0
    reception = receive(code, np.concatenate([cut[:9000], burst(code, data)]))
    assert len(reception.failed) == len(reception.trained) == 1
    assert reception.bit_errors(data) == 0


def test_off_is_off_and_start_forgets() -> None:
    data = some_data(96, 0.5)
    audio = burst(96, data).astype(np.float32)
    state = records(QAM_RX, 1)
    record = argument(state)[0]
    out = np.zeros(64, np.uint8)

    def feed(samples: NDArray[np.float32]) -> bytes:
        got = b""
        for at in range(0, len(samples) - 159, 160):
            n = qam_rx_block(record, samples[at : at + 160], False, out)
            got += out[:n].tobytes()
        return got

    assert feed(audio) == b""
    assert not qam_rx_start(record, 144)
    assert feed(audio) == b""
    assert qam_rx_start(record, 48)
    feed(audio[:8000])
    assert qam_rx_start(record, 96)
    assert feed(audio)[: len(data)] == data
    qam_rx_stop(record)
    assert feed(audio) == b""


def test_small_output_space_only_delays() -> None:
    data = some_data(96, 1)
    audio = burst(96, data).astype(np.float32)
    record = argument(records(QAM_RX, 1))[0]
    assert qam_rx_start(record, 96)
    out = np.zeros(26, np.uint8)  # a block is 24
    got = b""
    for at in range(0, len(audio) - 159, 160):
        got += out[: qam_rx_block(record, audio[at : at + 160], False, out)].tobytes()
    assert got[: len(data)] == data
