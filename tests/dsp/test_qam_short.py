"""V.17's short training: lines of bad shape, lines never learned, long trainings that come instead."""

import numpy as np
import pytest

from dsp.line_model import SHAPES, Idle, Line, Noise, Shape
from dsp.qam_tables import IS_SHORT, MODULATIONS
from dsp.qam_tx import qam_burst
from dsp.v29 import V29_4800_CODE
from tests.dsp.qam_bench import GOAL_DB, V17_CODES, receive, receive_in_turn

DATA = np.random.default_rng(1).integers(0, 256, 1500, np.uint8).tobytes()
CODES = pytest.mark.parametrize("code", V17_CODES)


def sound(code: int, shape: str | None, snr_db: float, seed: int, *sent: int) -> np.ndarray:
    bursts = [qam_burst(one, DATA) for one in (sent or (code,))]
    gap = np.zeros(1200, np.int16)
    audio = np.concatenate([part for burst in bursts for part in (burst, gap)])
    shapes = [Shape(shape)] if shape else []
    return Line([Idle(0.2, 0.2), *shapes, Noise(-18 - snr_db)], seed).run(audio)


@CODES
@pytest.mark.parametrize("shape", SHAPES)
def test_every_line_shape(code: int, shape: str) -> None:
    """Found through the equaliser that the long training left: bell-3002 leaves too little without it."""
    snr = GOAL_DB[code] + 4
    sounds = [(one, sound(one, shape, snr, n)) for n, one in enumerate((code, code + 1, code + 1))]
    for reception in receive_in_turn(sounds):
        assert len(reception.trained) == 1
        assert reception.bit_errors(DATA) == 0


@CODES
@pytest.mark.parametrize("shape", [None, "bell-3002"])
@pytest.mark.parametrize("taught", [False, True])
def test_a_long_training_where_a_short_one_is_expected(code: int, shape: str | None, taught: bool) -> None:
    """As a far end sends it that starts again; what follows it is a short one as before."""
    snr = GOAL_DB[code] + 4
    heard = sound(code, shape, snr, 3, code, code + 1)
    before = [(code, sound(code, shape, snr, 2))] if taught else []
    reception = receive_in_turn([*before, (code + 1, heard)])[-1]
    assert len(reception.trained) == 2
    assert reception.bit_errors(DATA) == 0
    assert reception.data.count(DATA) == 2
    assert IS_SHORT[reception.record.row]
    assert MODULATIONS[int(reception.record.row)].code == code + 1


@CODES
def test_a_short_training_is_none_for_who_expects_a_long_one(code: int) -> None:
    reception = receive(code, sound(code, None, 40, 4, code + 1))
    assert not reception.trained


@CODES
def test_another_line_than_the_one_learned(code: int) -> None:
    """A call that was moved: the old equaliser does not hide the training, and is bent to the new line."""
    sounds = [(code, sound(code, "m1020", 40, 5)), (code + 1, sound(code + 1, None, 40, 6))]
    first, second = receive_in_turn(sounds)
    assert first.bit_errors(DATA) == 0
    assert len(second.trained) == 1


@pytest.mark.parametrize("other", [24, 48, 72, 96, V29_4800_CODE])
def test_other_trainings_in_between_are_not_what_is_remembered(other: int) -> None:
    """Their carrier and pulse are others: V.17's short training relies on V.17's long one."""
    sounds = [(one, sound(one, "bell-3002", 40, n)) for n, one in enumerate((145, other, 146))]
    long, between, short = receive_in_turn(sounds)
    assert len(between.trained) == 1
    for name in ("kept_tap_re", "kept_tap_im", "kept_gain", "kept_turn", "kept_step"):
        assert np.array_equal(between.record[name], long.record[name])
    assert len(short.trained) == 1
    assert short.bit_errors(DATA) == 0
