"""T.31 class 1 in detail: times, back pressure, what follows DLE ETX, far-end hang-up, adaptive reception."""

from __future__ import annotations

import pytest

from cusemodem.at import actions as a
from cusemodem.at import events as e
from cusemodem.at.frame_queue import MAX_QUEUED
from cusemodem.at.host_data import MAX_FRAME
from tests.at.fake_line import FakeLine

OK, ERROR, CONNECT = b"\r\nOK\r\n", b"\r\nERROR\r\n", b"\r\nCONNECT\r\n"
NO_CARRIER, FCERROR = b"\r\nNO CARRIER\r\n", b"\r\n+FCERROR\r\n"
END = b"\x10\x03"
SHORT = b"\xff\x03\x40"
FINAL = b"\xff\x13\x80"
CAN = b"\x18"


@pytest.fixture
def line() -> FakeLine:
    """On a call, in command state, nothing heard yet."""
    line = FakeLine()
    line.host(b"ATE0+FCLASS=1;D5;\r")
    line.far(e.CallAnswered())
    line.take_log()
    return line


# ---------------------------------------------------------------------- silence


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
    line.silence_samples = 560
    line.block()
    assert line.host(b"AT+FRS=7\r") == OK
    assert line.host(b"AT+FRS=8\r") == b""
    line.silence_samples = 0  # it spoke again
    assert line.run(1) == b""
    line.silence_samples = 639
    assert line.run(0.02) == b""
    line.silence_samples = 640
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


# ---------------------------------------------------------------------- +FTH


def test_frames_and_their_results(line: FakeLine) -> None:
    assert line.host(b"AT+FTH=3\r") == CONNECT
    assert line.take_log() == [a.SendFlags()]
    assert line.host(SHORT + b"\x10\x10\x10\x1a" + END) == b""
    assert line.take_log() == [a.SendFrame(SHORT + b"\x10\x10\x10")]
    line.until(CONNECT, within_s=4)
    assert line.host(FINAL + END) == b""
    assert line.take_log() == [a.SendFrame(FINAL), a.EndTransmission()]
    line.until(OK, within_s=4)
    assert line.engine.statistics().class1.frames_sent == 2


def test_empty_frame_ends_the_carrier(line: FakeLine) -> None:
    line.host(b"AT+FTH=3\r")
    line.take_log()
    assert line.host(END) == b""
    assert line.take_log() == [a.EndTransmission()]
    line.until(OK, within_s=2)


@pytest.mark.parametrize("frame", [b"\xff", b"\xff\x03" + bytes(MAX_FRAME - 1)])
def test_what_is_no_frame_is_an_error(line: FakeLine, frame: bytes) -> None:
    line.host(b"AT+FTH=3\r")
    line.host(frame + END)
    line.until(ERROR, within_s=2)
    assert line.frames == []
    assert line.host(b"AT\r") == OK


def test_longest_frame(line: FakeLine) -> None:
    line.host(b"AT+FTH=3\r")
    line.host(b"\xff\x03" + bytes(MAX_FRAME - 2) + END)
    line.until(CONNECT, within_s=12)
    assert len(line.frames[0]) == MAX_FRAME


def test_next_frame_sent_early_is_not_lost(line: FakeLine) -> None:
    line.host(b"AT+FTH=3\r")
    line.host(SHORT + END + FINAL + END)
    assert line.frames == [SHORT]
    line.until(CONNECT, within_s=4)
    assert line.frames == [SHORT, FINAL]
    line.until(OK, within_s=4)


def test_command_in_the_same_write_as_the_last_frame(line: FakeLine) -> None:
    line.host(b"AT+FTH=3\r")
    assert line.host(FINAL + END + b"AT+FRH=3\r") == b""
    line.until(OK, within_s=4)
    assert line.take_log()[-1] == a.ReceiveV21()


def test_host_inactivity_ends_the_carrier(line: FakeLine) -> None:
    line.host(b"AT+FTH=3\r")
    assert line.until(ERROR, within_s=6) == 5.0
    assert line.take_log()[-1] == a.SendSilence()
    assert line.host(b"AT\r") == OK  # the host has been silent long enough: this is a command
    line.host(b"AT+FTH=3\r")
    line.run(4)
    line.host(SHORT + END)
    line.until(CONNECT, within_s=3)
    assert line.until(ERROR, within_s=6) == 5.0  # each frame has its own five seconds
    assert line.engine.statistics().class1.inactivity_timeouts == 2


def test_data_late_by_more_than_five_seconds_is_swallowed(line: FakeLine) -> None:
    line.host(b"AT+FTH=3\r")
    line.until(ERROR, within_s=6)
    assert line.host(FINAL + END + b"AT\r") == OK
    assert line.frames == []


# ---------------------------------------------------------------------- +FTM


def test_back_pressure(line: FakeLine) -> None:
    """The buffer fills to 4096 unstuffed bytes, whatever the stuffing, and nothing is lost."""
    line.read_rate = 0
    line.host(b"AT+FTM=24\r")
    assert line.engine.room == 4096
    page = b"\x10" * 5000
    stuffed = page.replace(b"\x10", b"\x10\x10") + END
    while stuffed and line.engine.room:
        piece, stuffed = stuffed[: line.engine.room], stuffed[line.engine.room :]
        line.host(piece)
    assert line.engine.room == 0
    assert len(stuffed) == 2 * 904 + 2
    line.read_rate = 6
    while stuffed:
        piece, stuffed = stuffed[: line.engine.room], stuffed[line.engine.room :]
        line.host(piece)
        line.block()
    line.until(OK, within_s=20)
    assert line.sent == page
    assert line.engine.statistics().host_bytes_dropped == 0


def test_overfull_line_keeps_order_and_end(line: FakeLine) -> None:
    """More than `room` in one write, with DLE ETX and a command behind it: kept and done in order."""
    line.host(b"AT+FTM=96\r")
    page = bytes(range(256)) * 30
    line.host(page.replace(b"\x10", b"\x10\x10") + END + b"ATI3\r")
    line.until(OK + b"\r\ncusemodem\r\n" + OK, within_s=9)
    assert line.sent == page


def test_end_of_transmission_is_ordered_by_the_pull_that_empties_the_burst(line: FakeLine) -> None:
    engine = line.engine
    engine.host_bytes(b"AT+FTM=96\r" + bytes(30) + END)
    assert engine.take_actions() == [a.SendFast(96)]
    assert engine.pull_data(24) == bytes(24)
    assert engine.take_actions() == []
    assert engine.pull_data(24) == bytes(6)
    assert engine.take_actions() == [a.EndTransmission()]
    assert engine.pull_data(24) == b""
    engine.host_bytes(b"AT")
    engine.event(e.TransmitDone())
    assert engine.take_output() == CONNECT + OK
    engine.host_bytes(b"\r")
    assert engine.take_output() == OK


def test_burst_without_data(line: FakeLine) -> None:
    line.host(b"AT+FTM=96\r" + END)
    assert line.take_log() == [a.SendFast(96), a.EndTransmission()]
    line.until(OK, within_s=1)


def test_inactivity_counts_from_the_end_of_what_the_line_has(line: FakeLine) -> None:
    """A host may write ten seconds' worth and rest; only a starving transmitter is a silent host."""
    line.host(b"AT+FTM=24\r")
    line.read_rate = 4096
    line.host(bytes(3000))  # ten seconds at 2400 bit/s, taken by the transmitter at once
    assert 14.9 <= line.until(ERROR, within_s=20) <= 15.1
    line.host(b"AT+FTM=24\r")
    assert line.until(ERROR, within_s=20) == 5.0


@pytest.mark.parametrize(("action", "fax_class"), [(0, b"0"), (1, b"1")])
@pytest.mark.parametrize("waits_for", ["command", "frame", "data"])
def test_fit_hangs_up_on_a_host_that_has_died(
    line: FakeLine, action: int, fax_class: bytes, waits_for: str
) -> None:
    """T.31 §8.5.3: action 0 goes back to class 0 as well."""
    line.host(b"AT+FIT=2,%d\r" % action)
    said = b""
    if waits_for == "frame":
        line.host(b"AT+FTH=3\r")
        said = ERROR
    elif waits_for == "data":
        line.host(b"AT+FTM=96\r\0")
        said = ERROR
    line.take_log()
    assert line.run(1.9) == b""
    assert line.run(0.2) == said
    assert a.HangUp() in line.take_log()
    assert not line.engine.off_hook
    assert line.host(b"AT+FCLASS?\r") == b"\r\n" + fax_class + b"\r\n" + OK


def test_fit_does_not_count_while_the_modem_is_at_work(line: FakeLine) -> None:
    line.host(b"AT+FIT=1\r")
    line.host(b"AT+FRH=3\r")
    assert line.run(30) == b""  # waiting for the far end is no fault of the host's
    assert line.host(b"\x18") == OK
    for _ in range(5):
        line.run(0.9)
        assert line.host(b"AT\r") == OK
    line.host(b"AT+FTM=24\r" + bytes(1500))
    line.read_rate = 4096
    assert line.run(4.9) == b""  # five seconds' worth is on its way out
    assert line.engine.off_hook


def test_without_fit_a_silent_host_is_left_alone(line: FakeLine) -> None:
    line.run(3600)
    assert line.engine.off_hook
    line.host(b"AT+FTM=96\r\0")
    assert 4.9 <= line.until(ERROR, within_s=6) <= 5.1


@pytest.mark.parametrize("code", [144, 147, 3, 0, 25])
def test_modulations_that_are_not_offered(line: FakeLine, code: int) -> None:
    assert line.host(b"AT+FTM=%d\r" % code) == ERROR
    assert line.host(b"AT+FRM=%d\r" % code) == ERROR


def test_lf_after_ftm_is_not_data_but_a_first_data_byte_0a_is(line: FakeLine) -> None:
    line.host(b"AT+FTM=96\r\n\x01" + END)
    line.until(OK, within_s=1)
    assert line.sent == b"\x01"
    line.host(b"AT+FTM=96\r")
    line.host(b"\n\x02" + END)  # the host has read CONNECT
    line.until(OK, within_s=1)
    assert line.sent == b"\x01\n\x02"


# ---------------------------------------------------------------------- +FRM


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


@pytest.mark.parametrize("abort", [CAN, b"x", b"\r", b" "])
def test_abort(line: FakeLine, abort: bytes) -> None:
    line.host(b"AT+FRM=96\r")
    line.run(0.1)
    line.host(b"\n")
    assert line.host(b"\x11\x13\x91") == b""
    line.take_log()
    assert line.host(abort) == OK
    assert line.take_log() == [a.ReceiveOff()]
    line.host(b"AT+FRM=96\r")
    line.far(e.Trained(), e.DataReceived(b"data"))
    assert line.host(b"\n" + abort) == END + OK
    assert line.far(e.DataReceived(b"late"), e.CarrierLost(False)) == b""
    line.host(b"AT+FRH=3\r")
    line.far(e.FlagsDetected())
    assert line.host(b"\n" + abort) == OK
    assert line.host(b"AT+FTS=1\r") == b""  # the original's defect: no answer after an aborted receive
    line.until(OK, within_s=0.1)


# ---------------------------------------------------------------------- +FRH


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


# ---------------------------------------------------------------------- far-end hang-up


def test_hang_up_while_sending_swallows_the_rest(line: FakeLine) -> None:
    line.host(b"AT+FTM=96\r")
    line.host(bytes(1000) + b"\x10")  # cut between DLE and ETX
    assert line.far(e.CallEnded()) == NO_CARRIER
    assert line.engine.room == 4096
    assert line.host(b"\x10ATD5\rATH0\r" + bytes(5000)) == b""
    assert line.host(b"\x10\x10\x03AT\r") == b""  # a doubled DLE is no end
    assert line.host(END + b"AT\r") == OK
    assert line.host(b"AT+FTM=96\r") == ERROR


def test_hang_up_between_dle_and_etx(line: FakeLine) -> None:
    line.host(b"AT+FTH=3\r" + SHORT + b"\x10")
    assert line.far(e.CallEnded()) == NO_CARRIER
    assert line.host(b"\x03AT\r") == OK


def test_host_that_noticed_the_hang_up_is_heard(line: FakeLine) -> None:
    """After a pause AT is a command, in pieces too, with line ends before it; amid data it is not."""
    line.host(b"AT+FTM=96\r" + bytes(50))
    line.far(e.CallEnded())
    assert line.host(b"AT\r") == b""
    line.run(0.1)
    assert line.host(b"\r\nA") == b""
    line.run(3)
    assert line.host(b"X\r") == b""  # it was not AT
    line.run(0.1)
    assert line.host(b"a") == b""
    assert line.host(b"tH0\r") == OK


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


def test_commands_queued_behind_a_frame_survive_a_hang_up(line: FakeLine) -> None:
    """The last frame is out to the modem, the next command waits: NO CARRIER, then that command."""
    line.host(b"AT+FTH=3\r")
    line.host(FINAL + END + b"ATI3\r")
    assert line.far(e.CallEnded()) == NO_CARRIER + b"\r\ncusemodem\r\n" + OK


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


# ---------------------------------------------------------------------- +FDD, +FCL


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
