"""+FTH and +FTM: frames, bursts, back pressure, inactivity, +FIT, hang-up amid data"""

from __future__ import annotations

import pytest

from cusemodem.at import actions as a
from cusemodem.at import events as e
from cusemodem.at.host_data import MAX_FRAME
from tests.at.fake_line import FakeLine, line_on_call
from tests.at.words import (
    CONNECT,
    END,
    ERROR,
    FINAL,
    NO_CARRIER,
    OK,
    SHORT,
)


@pytest.fixture
def line() -> FakeLine:
    """On a call, in command state, nothing heard yet."""
    return line_on_call()


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


def test_commands_queued_behind_a_frame_survive_a_hang_up(line: FakeLine) -> None:
    """The last frame is out to the modem, the next command waits: NO CARRIER, then that command."""
    line.host(b"AT+FTH=3\r")
    line.host(FINAL + END + b"ATI3\r")
    assert line.far(e.CallEnded()) == NO_CARRIER + b"\r\ncusemodem\r\n" + OK


def test_flow_control_characters_in_frames_and_data_are_not_eaten(line: FakeLine) -> None:
    """T.30's control octet of a final frame is 0x13, which is XOFF; 0x11, XON, occurs as well."""
    frame = b"\xff\x13\x11\x13\x91\x93"
    line.host(b"AT+FTH=3\r")
    for byte in b"\xff\x03\x11\x13":
        line.host(bytes((byte,)))
    line.host(END + frame + END)  # the next one early, while the first is still on its way
    line.until(CONNECT, within_s=4)
    line.until(OK, within_s=4)
    assert line.frames == [b"\xff\x03\x11\x13", frame]
    line.host(b"AT+FTM=96\r\x11\x13" + bytes(8) + b"\x13\x11" + END)
    line.until(OK, within_s=2)
    assert line.sent == b"\x11\x13" + bytes(8) + b"\x13\x11"


def test_flow_control_characters_received_are_passed_on(line: FakeLine) -> None:
    line.host(b"AT+FRH=3\r")
    frame = b"\xff\x13\x11\x13ab"
    assert line.far(e.FlagsDetected(), e.FrameReceived(frame, True)) == CONNECT + frame + END
    assert line.far(e.CarrierLost(True)) == OK
    line.host(b"AT+FRM=96\r")
    assert line.far(e.Trained(), e.DataReceived(b"\x11\x13")) == CONNECT + b"\x11\x13"
