"""+FTS and +FRS (T.31 §8.3.1, §8.3.2)"""

from __future__ import annotations

import pytest

from cusemodem.at import actions as a
from cusemodem.at import events as e
from tests.at.fake_line import FakeLine, line_on_call
from tests.at.words import (
    CAN,
    CONNECT,
    END,
    ERROR,
    NO_CARRIER,
    OK,
    SHORT,
)


@pytest.fixture
def line() -> FakeLine:
    """On a call, in command state, nothing heard yet."""
    return line_on_call()


@pytest.mark.parametrize(("n", "seconds"), [(1, 0.02), (2, 0.02), (7, 0.08), (8, 0.08), (255, 2.56)])
def test_fts_is_ok_when_the_silence_has_been_sent(line: FakeLine, n: int, seconds: float) -> None:
    assert line.host(b"AT+FTS=%d\r" % n) == b""
    assert line.take_log() == [a.SendSilence()]
    assert line.until(OK, within_s=3) == seconds


def test_zero_silence_is_ok_at_once(line: FakeLine) -> None:
    line.silence_samples = 0
    line.run(0.1)
    assert line.host(b"AT+FTS=0\r") == OK
    assert line.host(b"AT+FRS=0\r") == OK


def test_frs_counts_silence_that_was(line: FakeLine) -> None:
    line.silence_samples = 480
    line.block()
    assert line.host(b"AT+FRS=7\r") == OK  # to the nearest block: 60 ms known, 70 wanted
    assert line.host(b"AT+FRS=8\r") == b""
    line.silence_samples = 0  # it spoke again
    assert line.run(1) == b""
    line.silence_samples = 559
    assert line.run(0.02) == b""
    line.silence_samples = 560
    assert line.run(0.02) == OK


def test_frs_abort_and_hang_up(line: FakeLine) -> None:
    line.silence_samples = 0
    line.block()
    line.host(b"AT+FRS=7\r")
    assert line.host(CAN) == OK
    line.host(b"AT+FRS=7\r")
    assert line.far(e.CallEnded()) == NO_CARRIER


def test_mgetty_s_chain_gives_one_result(line: FakeLine) -> None:
    assert line.host(b"AT+FTS=8;+FTH=3\r") == b""
    assert line.take_log() == [a.SendSilence()]
    assert line.until(CONNECT, within_s=1) == 0.08
    assert line.take_log() == [a.SendFlags()]
    line.host(SHORT + END)
    line.until(CONNECT, within_s=3)
    line.host(END)
    line.until(OK, within_s=3)
    assert line.host(b"AT+FTS=8;+FTM=24\r") == b""
    assert line.until(CONNECT, within_s=1) == 0.08
    assert line.take_log()[-1] == a.SendFast(24)


def test_only_silence_comes_back_to_its_line(line: FakeLine) -> None:
    line.host(b"AT+FRH=3;I3\r")
    line.far(e.FlagsDetected())
    assert line.far(e.FrameReceived(SHORT + b"ab", True)) == SHORT + b"ab" + END + OK
    line.far(e.FrameReceived(SHORT + b"cd", True))
    assert line.host(b"AT+FRH=3;I3\r") == CONNECT + SHORT + b"cd" + END + OK
    line.host(b"AT+FTH=3;I3\r" + END)
    line.until(OK, within_s=3)


def test_chain_ends_with_an_error_or_an_abort(line: FakeLine) -> None:
    line.host(b"AT+FTS=8;+FTM=144\r")
    assert line.until(ERROR, within_s=1) == 0.08
    line.silence_samples = 0
    line.block()
    line.host(b"AT+FRS=8;+FTH=3\r")
    assert line.host(CAN) == OK
    assert line.run(1) == b""
    assert line.take_log() == [a.SendSilence()]


def test_fts_ordered_by_an_event_lasts_from_the_next_block(line: FakeLine) -> None:
    """A block's events come before its tick: that block had no silence of ours in it."""
    line.host(b"AT+FTM=96\r" + END + b"AT+FTS=8\r")
    line.until(OK, within_s=1)
    assert line.take_log()[-1] == a.SendSilence()
    assert line.until(OK, within_s=1) == 0.08


def test_host_bytes_during_fts_wait_their_turn(line: FakeLine) -> None:
    assert line.host(b"AT+FTS=50\rATI3\r") == b""
    assert line.run(0.48) == b""
    assert line.run(0.02) == OK + b"\r\ncusemodem\r\n" + OK
