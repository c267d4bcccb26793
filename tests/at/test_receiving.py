"""+FRM and +FRH: data, wrong carriers, aborts, the frame queue, held OK, +FCL, +FDD"""

from __future__ import annotations

import pytest

from cusemodem.at import actions as a
from cusemodem.at import events as e
from cusemodem.at.frame_queue import MAX_QUEUED
from tests.at.fake_line import FakeLine, line_on_call
from tests.at.words import (
    CAN,
    CONNECT,
    END,
    ERROR,
    FCERROR,
    FINAL,
    NO_CARRIER,
    OK,
    SHORT,
)


@pytest.fixture
def line() -> FakeLine:
    """On a call, in command state, nothing heard yet."""
    return line_on_call()


def test_receive_data(line: FakeLine) -> None:
    assert line.host(b"AT+FRM=96\r") == b""
    assert line.take_log() == [a.ReceiveFast(96)]
    assert line.far(e.TrainingFailed()) == b""  # stays waiting
    assert line.far(e.Trained()) == CONNECT
    assert line.engine.dcd
    assert line.far(e.DataReceived(b"a\x10b"), e.FlagsDetected(), e.DataReceived(b"\x10\x10")) == (
        b"a\x10\x10b\x10\x10\x10\x10"
    )
    assert line.far(e.CarrierLost(True)) == b""
    assert line.far(e.CarrierLost(False)) == END + NO_CARRIER
    # V.21 is next and may come before the host asks: listened for at once
    assert line.take_log() == [a.ReceiveV21()]
    line.far(e.FlagsDetected(), e.FrameReceived(FINAL + b"ab", True), e.CarrierLost(True))
    assert line.host(b"AT+FRH=3\r") == CONNECT + FINAL + b"ab" + END + OK
    assert line.take_log() == []


def test_settings_can_be_carried_over(line: FakeLine) -> None:
    other = FakeLine()
    other.engine.settings.load(line.engine.settings)
    assert other.host(b"AT+FCLASS?\r") == b"\r\n1\r\n" + OK


def test_statistics_are_a_snapshot(line: FakeLine) -> None:
    before = line.engine.statistics()
    line.host(b"AT+FTH=3\r" + FINAL + END)
    after = line.engine.statistics()
    assert (before.class1.frames_sent, after.class1.frames_sent) == (0, 1)
    assert (before.class1_state, after.class1_state) == ("COMMAND", "HDLC_ENDING")


def test_second_frm_starts_the_receiver_afresh(line: FakeLine) -> None:
    line.host(b"AT+FRM=96\r")
    line.host(CAN)
    line.take_log()
    line.host(b"AT+FRM=96\r")
    assert line.take_log() == [a.ReceiveFast(96)]


def test_wrong_carrier(line: FakeLine) -> None:
    line.host(b"AT+FRM=96\r")
    assert line.far(e.FlagsDetected()) == FCERROR
    assert line.engine.statistics().class1.wrong_carriers == 1
    assert line.far(e.FrameReceived(FINAL + b"ab", True)) == b""
    assert line.host(b"AT+FRH=3\r") == CONNECT + FINAL + b"ab" + END
    assert line.far(e.CarrierLost(True)) == OK


def test_wrong_carrier_found_by_its_frame(line: FakeLine) -> None:
    line.host(b"AT+FRM=96\r")
    assert line.far(e.FrameReceived(b"\0", True)) == b""  # noise is no carrier
    assert line.far(e.FrameReceived(SHORT + b"ab", True)) == FCERROR
    assert line.host(b"AT+FRH=3\r") == CONNECT + SHORT + b"ab" + END + OK


def test_numeric_fcerror(line: FakeLine) -> None:
    line.host(b"ATV0\r")
    line.host(b"AT+FRM=96\r")
    assert line.far(e.FlagsDetected()) == b"+F4\r"


def test_adaptive_reception(line: FakeLine) -> None:
    line.host(b"AT+FAR=1\r")
    line.host(b"AT+FRM=96\r")
    assert line.far(e.FlagsDetected()) == b"\r\n+FRH:3\r\n" + CONNECT
    assert line.far(e.FrameReceived(SHORT + b"ab", True)) == SHORT + b"ab" + END + OK
    line.host(b"AT+FRM=96\r")
    assert line.far(e.FrameReceived(SHORT + b"ab", True)) == (
        b"\r\n+FRH:3\r\n" + CONNECT + SHORT + b"ab" + END + OK
    )
    line.host(b"AT+FRM=96\r")
    assert line.far(e.Trained()) == CONNECT
    assert line.far(e.FlagsDetected()) == b""  # data flows: V.21 is not looked for any more


@pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\r\0", b"\r\r\n", b"\r\n\0\0"])
@pytest.mark.parametrize("abort", [CAN, b"x", b"\r", b"\n", b"\0", b" "])
def test_abort(line: FakeLine, abort: bytes, end: bytes) -> None:
    """Whatever ends the line; the host's character 125 ms later ends the wait (V.250 §5.6.1)."""
    assert line.host(b"AT+FRM=96" + end) == b""
    line.run(0.14)
    assert line.host(b"\x11\x13\x91") == b""
    line.take_log()
    assert line.host(abort) == OK
    assert line.take_log() == [a.ReceiveOff()]
    line.host(b"AT+FRM=96" + end)
    line.far(e.Trained(), e.DataReceived(b"data"))
    line.run(0.14)
    assert line.host(abort) == END + OK
    assert line.far(e.DataReceived(b"late"), e.CarrierLost(False)) == b""
    line.host(b"AT+FRH=3" + end)
    line.far(e.FlagsDetected())
    line.run(0.14)
    assert line.host(abort) == OK
    assert line.host(b"AT+FTS=1\r") == b""  # the original's defect: no answer after an aborted receive
    line.until(OK, within_s=0.1)


def test_noise_while_waiting_for_flags(line: FakeLine) -> None:
    line.host(b"AT+FRH=3\r")
    assert line.far(e.FrameReceived(b"\xff\x03", False)) == b""
    assert line.far(e.FrameReceived(SHORT + b"ab", True)) == CONNECT + SHORT + b"ab" + END + OK


def test_bad_frames(line: FakeLine) -> None:
    line.host(b"AT+FRH=3\r")
    assert line.far(e.FlagsDetected()) == CONNECT
    for noise in (b"", b"\xff", bytes(4), bytes(285)):
        assert line.far(e.FrameReceived(noise, False)) == b""
    assert line.far(e.FrameReceived(FINAL + b"ab", False)) == FINAL + b"ab" + END + ERROR
    statistics = line.engine.statistics().class1
    assert (statistics.frames_bad, statistics.frames_dropped) == (1, 4)
    assert line.host(b"AT+FRH=3\r") == CONNECT  # the carrier is still there


def test_final_frame_waits_for_the_end_of_the_carrier(line: FakeLine) -> None:
    line.host(b"AT+FRH=3\r")
    line.far(e.FlagsDetected())
    assert line.far(e.FrameReceived(FINAL + b"\x10b", True)) == FINAL + b"\x10\x10b" + END
    assert 5.0 <= line.until(OK, within_s=6) <= 5.02  # but not for ever


def test_a_frame_after_the_final_one_releases_it(line: FakeLine) -> None:
    line.host(b"AT+FRH=3\r")
    line.far(e.FrameReceived(FINAL + b"ab", True))
    assert line.far(e.FrameReceived(b"\0", False)) == b""
    assert line.far(e.FrameReceived(SHORT + b"cd", True)) == OK
    assert line.host(b"AT+FRH=3\r") == CONNECT + SHORT + b"cd" + END + OK


def test_carrier_without_a_frame(line: FakeLine) -> None:
    line.host(b"AT+FRH=3\r")
    line.far(e.FlagsDetected())
    assert line.far(e.CarrierLost(False)) == b""
    assert line.far(e.CarrierLost(True)) == END + NO_CARRIER
    line.host(b"AT+FRH=3\r")
    assert line.far(e.CarrierLost(True)) == b""  # not connected yet: goes on waiting


def test_queue_is_bounded(line: FakeLine) -> None:
    line.host(b"AT+FRH=3\r")
    line.far(e.FrameReceived(SHORT + b"ab", True))
    frame = SHORT + bytes(281)
    for _ in range(60):
        line.far(e.FrameReceived(frame, True))
    kept = MAX_QUEUED // len(frame)
    assert line.engine.statistics().class1.frames_dropped == 60 - kept
    for _ in range(kept):
        assert line.host(b"AT+FRH=3\r") == CONNECT + frame + END + OK
    assert line.host(b"AT+FRH=3\r") == CONNECT  # flags are there, no frame is


def test_queue_is_forgotten_when_we_send(line: FakeLine) -> None:
    line.host(b"AT+FRH=3\r")
    line.far(e.FrameReceived(SHORT + b"ab", True), e.FrameReceived(SHORT + b"cd", True))
    line.host(b"AT+FTS=1\r")
    line.run(0.1)
    assert line.host(b"AT+FRH=3\r") == b""
    assert line.far(e.CarrierLost(True)) == b""


def test_frames_survive_the_far_end_s_hang_up(line: FakeLine) -> None:
    line.host(b"AT+FRH=3\r")
    line.far(e.FrameReceived(SHORT + b"ab", True), e.FrameReceived(FINAL + b"cd", True))
    assert line.far(e.CallEnded()) == b""
    assert line.host(b"AT+FRH=3\r") == CONNECT + FINAL + b"cd" + END + OK
    assert line.host(b"AT+FRH=3\r") == ERROR


def test_frames_of_one_call_are_not_shown_on_the_next(line: FakeLine) -> None:
    line.host(b"AT+FRH=3\r")
    line.far(e.FrameReceived(SHORT + b"ab", True), e.FrameReceived(FINAL + b"cd", True), e.CallEnded())
    line.run(5)
    line.far(e.IncomingCall())
    assert line.host(b"AT+FRH=3\r") == ERROR


def test_what_was_kept_moves_up_with_each_pull(line: FakeLine) -> None:
    """Without waiting for the next tick: the transmitter must not run dry while data is here."""
    engine = line.engine
    engine.host_bytes(b"AT+FTM=96\r" + bytes(4096 + 50) + END)
    engine.take_actions()
    assert engine.room == 0
    assert engine.pull_data(4096) == bytes(4096)
    assert engine.room == 4096 - 50
    assert engine.pull_data(4096) == bytes(50)
    assert engine.take_actions() == [a.EndTransmission()]


def test_hang_up_in_the_other_states(line: FakeLine) -> None:
    def new() -> FakeLine:
        other = FakeLine()
        other.host(b"ATE0+FCLASS=1;D5;\r")
        other.far(e.CallAnswered())
        return other

    for way, answer in (
        (b"AT+FRH=3\r", NO_CARRIER),
        (b"AT+FRM=96\r", NO_CARRIER),
        (b"AT+FTS=100\r", NO_CARRIER),
        (b"AT\r", b""),
    ):
        line = new()
        line.host(way)
        assert line.far(e.CallEnded()) == answer
        assert not line.engine.off_hook
        assert not line.engine.accepts_calls
        for command in (b"+FTS=1", b"+FRS=1", b"+FTH=3", b"+FRH=3", b"+FTM=96", b"+FRM=96"):
            assert line.host(b"AT" + command + b"\r") == ERROR
        assert line.host(b"ATH\r") == OK


@pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\r\0", b"\r\r\n"])
def test_can_and_the_next_command_abort_at_once(line: FakeLine, end: bytes) -> None:
    """Fax programs do not wait for 125 ms, and nobody appends these to a line."""
    line.host(b"AT+FRM=96" + end)
    assert line.host(CAN) == OK
    line.host(b"AT+FRM=96" + end)
    assert line.host(b"AT+FRS=0" + end) == OK


def test_the_end_of_a_line_does_not_abort_the_command_after_its_silence(line: FakeLine) -> None:
    """The LF comes at once, though the reception it might abort begins 200 ms later."""
    assert line.host(b"AT+FTS=20;+FRM=96\r\n\0") == b""
    assert line.run(1.0) == b""
    assert line.far(e.Trained()) == CONNECT


def test_the_end_of_a_line_is_no_data(line: FakeLine) -> None:
    assert line.host(b"AT+FTH=3\r\0") == CONNECT
    line.host(FINAL + END)
    assert line.frames == [FINAL]
    line.until(OK, within_s=5)
    assert line.host(b"AT+FTH=3\r\r\n") == CONNECT
    line.host(FINAL + END)
    assert line.frames == [FINAL, FINAL]


def test_a_command_instead_of_an_abort_has_the_only_result(line: FakeLine) -> None:
    """Efax gives a +FRM up by its next command, perhaps after CAN: it must get that command's result.

    With an OK for the abort besides, it takes each OK for the answer to a +FRH that the next one aborts,
    for ever (seen with Asterisk after lost audio).
    """
    line.host(b"AT+FRM=96\r")
    assert line.host(b"AT+FRH=3\r") == b""
    assert line.far(e.FlagsDetected()) == CONNECT
    line.host(CAN)
    line.host(b"AT+FRM=96\r")
    assert line.host(CAN + b"AT+FRH=3\r") == OK  # the OK of CAN; the program sends its command again
    assert line.host(b"AT+FRH=3\r") == b""
    assert line.far(e.FlagsDetected()) == CONNECT


def test_an_a_that_begins_no_command_is_an_abort_like_any_other(line: FakeLine) -> None:
    line.host(b"AT+FRM=96\r")
    assert line.host(b"A") == b""
    assert line.host(b"x") == OK
    assert line.host(b"\rAT\r") == OK


def test_fdd_writes_pairs_of_dle_as_dle_sub(line: FakeLine) -> None:
    line.host(b"AT+FDD=1\r")
    receive_fast(line)
    assert line.far(e.DataReceived(b"\x10\x10\x10a\x10")) == b"\x10\x1a\x10\x10a\x10\x10"
    line.far(e.CarrierLost(False))
    line.host(b"AT+FDD=0\r")
    receive_fast(line)
    assert line.far(e.DataReceived(b"\x10\x10")) == b"\x10\x10\x10\x10"


def receive_fast(line: FakeLine) -> None:
    assert line.host(b"AT+FRM=96\r") == b""
    assert line.far(e.Trained()) == CONNECT


def test_fcl_lets_the_carrier_come_back(line: FakeLine) -> None:
    line.host(b"AT+FCL=5\r")
    receive_fast(line)
    assert line.far(e.DataReceived(b"one"), e.CarrierLost(False)) == b"one"
    assert line.run(0.4) == b""
    assert line.far(e.Trained(), e.DataReceived(b"two"), e.CarrierLost(False)) == b"two"
    assert line.run(0.4) == b""
    assert line.far(e.DataReceived(b"three"), e.CarrierLost(False)) == b"three"
    assert line.until(END + NO_CARRIER, within_s=1) in (0.5, 0.52)


def test_fcl_gap_ends_with_v21_and_the_frame_is_kept(line: FakeLine) -> None:
    line.host(b"AT+FCL=255\r")
    receive_fast(line)
    frame = b"\xff\x13\x40ab"
    assert line.far(e.CarrierLost(False)) == b""
    assert line.far(e.FlagsDetected()) == END + NO_CARRIER
    line.far(e.FrameReceived(frame, True), e.CarrierLost(True))
    assert line.host(b"AT+FRH=3\r") == CONNECT + frame + END + OK

    receive_fast(line)
    assert line.far(e.CarrierLost(False)) == b""
    assert line.host(b"\x18") == END + OK
