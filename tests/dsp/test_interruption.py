"""What a fast receiver says of the samples that it had to do without."""

import numpy as np
import pytest

from dsp import BLOCK, Bank, Interruption, Measures, burst
from dsp.interruption import GAP, INTERRUPTIONS, KEPT, LOST, SLIP, interruptions, note_interruption
from dsp.kernel import argument, records
from dsp.line_model import BlockLoss, Idle, Impairment, Line, Noise, Slip
from dsp.qam_tables import MODULATIONS
from tests.dsp.signals import joined, play, silence

CODES = [24, 48, 2948, 72, 96, 73, 97, 121, 145]
RATE = {m.code: m.bit_rate for m in MODULATIONS}


def heard(code: int, *accidents: Impairment, told: bool, snr_db: float = 35) -> Measures:
    """Measures after 3 s of data; accidents are at 2.5 s from the beginning or later."""
    data = np.random.default_rng(code).integers(0, 256, 3 * RATE[code] // 8, np.uint8).tobytes()
    line = Line([Idle(0.1, 0.2), Noise(-14 - snr_db, idle_dbm0=None), *accidents], seed=1)
    audio = line.run(burst.transmit(code, data))
    _, measures = burst.receive(code, audio, line.lost if told else None)
    assert measures.n_trained == 1
    return measures


@pytest.mark.parametrize("code", CODES)
def test_nothing_is_told_of_a_good_signal(code: int) -> None:
    measures = heard(code, told=True, snr_db=30)
    assert measures.interruptions == ()
    assert (measures.n_slips, measures.n_lost_samples, measures.n_lost_blocks) == (0, 0, 0)


@pytest.mark.parametrize("code", CODES)
def test_marked_blocks_are_told_to_the_sample(code: int) -> None:
    """Two neighbours are one interruption; a block that is lost before the signal is none."""
    measures = heard(code, BlockLoss(at_s=(0.0, 2.5, 2.52, 2.8)), told=True)
    assert measures.interruptions == (
        Interruption("lost", 20000, 320),
        Interruption("lost", 22400, 160),
    )
    assert measures.n_lost_samples == 480
    assert measures.n_lost_blocks == 4


@pytest.mark.parametrize("code", CODES)
def test_a_packet_of_silence_that_nothing_marks_is_told(code: int) -> None:
    measures = heard(code, BlockLoss(at_s=(2.5,)), told=False)
    gaps = [i for i in measures.interruptions if i.kind == "gap"]
    assert len(gaps) == 1
    assert gaps[0].at_sample == pytest.approx(20000, abs=40)
    assert gaps[0].n_samples == pytest.approx(BLOCK, abs=60)
    assert measures.n_lost_samples == 0


#: Almost a whole number of symbols and of turns that the points allow: the loops follow, and nobody notices.
UNNOTICED = {(2948, -37), (48, 5), (24, 101)}


@pytest.mark.parametrize(
    ("code", "n"), [(code, n) for code in CODES for n in (-37, 5, 101) if (code, n) not in UNNOTICED]
)
def test_a_slip_is_told(code: int, n: int) -> None:
    measures = heard(code, Slip(2.5, n), told=False)
    slips = [i for i in measures.interruptions if i.kind == "slip"]
    assert len(slips) == measures.n_slips == 1
    assert slips[0].at_sample == pytest.approx(20000, abs=160)
    assert slips[0].n_samples == 0


def test_a_new_order_counts_anew() -> None:
    bank = Bank(1)
    channel = bank.channels[0]
    channel.receive_fast(96)
    data = bytes(2400)
    audio = Line([BlockLoss(at_s=(1.0,))]).run(joined(silence(800), burst.transmit(96, data), silence(1600)))
    play(bank, audio)
    assert [i.kind for i in channel.measures().interruptions] == ["gap"]
    channel.receive_fast(96)
    assert channel.measures().interruptions == ()


def test_the_last_ones_are_kept() -> None:
    log = records(INTERRUPTIONS, 1)
    for k in range(KEPT + 3):
        note_interruption(argument(log)[0], (GAP, SLIP)[k % 2], 1000 * k, k)
    kept = interruptions(log[0])
    assert [i.n_samples for i in kept] == list(range(3, KEPT + 3))
    assert kept[0] == Interruption("slip", 3000, 3)
    note_interruption(argument(log)[0], LOST, 10**6, 160)
    note_interruption(argument(log)[0], LOST, 10**6 + 160, 160)
    assert interruptions(log[0])[-1] == Interruption("lost", 10**6, 320)
