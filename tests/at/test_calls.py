"""Call control: ringing, answering, dialling, S0, S7, hook, DTR, carrier detect; times in samples."""

from __future__ import annotations

import pytest

from cusemodem.at import actions as a
from cusemodem.at import events as e
from tests.at.fake_line import FakeLine

OK, ERROR, RING, CONNECT = b"\r\nOK\r\n", b"\r\nERROR\r\n", b"\r\nRING\r\n", b"\r\nCONNECT\r\n"
NO_CARRIER, NO_ANSWER, BUSY = b"\r\nNO CARRIER\r\n", b"\r\nNO ANSWER\r\n", b"\r\nBUSY\r\n"


@pytest.fixture
def line() -> FakeLine:
    line = FakeLine()
    line.host(b"ATE0+FCLASS=1\r")
    line.take_log()
    return line


# ---------------------------------------------------------------------- being called


def test_ring_every_five_seconds_until_the_caller_gives_up(line: FakeLine) -> None:
    assert line.far(e.IncomingCall()) == RING
    assert line.engine.ring_indicator
    for _ in range(3):
        assert line.until(RING, within_s=6) == 5.0
    assert line.host(b"ATS1?\r") == b"\r\n004\r\n" + OK
    assert line.far(e.CallerGone()) == b""
    assert not line.engine.ring_indicator
    assert line.engine.accepts_calls  # nobody was on the line: no pause
    assert line.run(12) == b""
    assert line.host(b"ATS1?\r") == b"\r\n000\r\n" + OK
    assert line.host(b"ATA\r") == ERROR


def test_no_ring_after_ata(line: FakeLine) -> None:
    line.answer_at_once = False
    line.far(e.IncomingCall())
    line.run(4.98)
    assert line.host(b"ATA\r") == b""
    assert line.run(20) == b""  # S7 has not run out, and RING must not come any more
    assert line.far(e.CallAnswered()) == b""
    assert 3.2 <= line.until(CONNECT, within_s=4) <= 3.4


def test_ring_waits_for_a_line_being_typed(line: FakeLine) -> None:
    assert line.host(b"ATI") == b""
    assert line.far(e.IncomingCall()) == b""
    line.run(0.5)
    assert line.host(b"3\r") == b"\r\ncusemodem\r\n" + OK
    assert line.until(RING, within_s=0.1) <= 0.02
    line.host(b"AT")  # and nobody who stops typing can keep the modem from ringing
    assert 5.9 <= line.until(RING, within_s=7) <= 6.1


def test_caller_id_comes_once_before_the_first_ring_and_again_when_asked(line: FakeLine) -> None:
    line.host(b"AT+VCID=1\r")
    caller = e.CallerId(name="Joe\r\nCONNECT", number="555", called_number="99", date="1231", time="2359")
    block = b"".join(
        b"\r\n" + text + b"\r\n"
        for text in (
            b"DATE=1231", b"TIME=2359", b"NAME=JoeCONNECT", b"NMBR=555", b"ANID=<NONE>", b"USER=<NONE>",
            b"PASS=<NONE>", b"CDID=<NONE>", b"NDID=99",
        )
    )  # fmt: skip
    assert line.far(e.IncomingCall(caller)) == block + RING
    assert line.run(5) == RING
    assert line.host(b"AT+VRID=1\r") == block + OK
    line.far(e.CallerGone())
    assert line.host(b"AT+VCID=0;+VRID\r") == block + OK
    assert line.far(e.IncomingCall(caller)) == RING


def test_s0_answers_at_its_ring(line: FakeLine) -> None:
    line.host(b"ATS0=3\r")
    assert line.far(e.IncomingCall()) == RING
    assert line.run(5) == RING
    assert line.run(4.98) == b""
    assert a.Answer() not in line.take_log()
    assert line.until(RING, within_s=1) <= 0.04
    assert line.take_log() == [a.Answer()]
    assert 3.2 <= line.until(CONNECT, within_s=5) <= 3.4


def test_s0_waits_while_dtr_is_off_and_in_class_0(line: FakeLine) -> None:
    line.host(b"ATS0=1\r")
    line.engine.dtr_dropped()
    line.far(e.IncomingCall())
    line.run(11)
    assert a.Answer() not in line.take_log()
    line.engine.dtr_raised()
    line.run(5)
    assert a.Answer() in line.take_log()

    other = FakeLine()
    other.host(b"ATE0S0=1\r")
    other.far(e.IncomingCall())
    other.run(11)
    assert a.Answer() not in other.take_log()


def test_ath0_refuses_a_ringing_call_and_ath1_answers_it_without_tone(line: FakeLine) -> None:
    line.far(e.IncomingCall())
    line.take_log()
    assert line.host(b"ATH0\r") == OK
    assert line.take_log()[-1] == a.HangUp()
    assert not line.engine.accepts_calls

    line.run(5)
    line.far(e.IncomingCall())
    line.take_log()
    assert line.host(b"ATH1\r") == OK
    assert line.run(1) == b""
    assert line.take_log() == [a.Answer()]
    assert line.engine.off_hook
    assert not line.engine.dcd
    assert line.host(b"AT+FTH=3\r") == CONNECT  # the line is ours, in command state


def test_answer_that_comes_too_late(line: FakeLine) -> None:
    line.answer_at_once = False
    line.far(e.IncomingCall())
    line.host(b"ATA\r")
    assert line.far(e.CallerGone()) == NO_CARRIER
    assert not line.engine.off_hook


def test_answer_is_given_up_after_s7(line: FakeLine) -> None:
    line.answer_at_once = False
    line.host(b"ATS7=10\r")
    line.far(e.IncomingCall())
    line.host(b"ATA\r")
    assert line.until(NO_CARRIER, within_s=11) == 10.0
    assert line.take_log()[-1] == a.HangUp()


def test_class_0_neither_answers_nor_dials_fax(line: FakeLine) -> None:
    line.host(b"AT+FCLASS=0\r")
    line.far(e.IncomingCall())
    assert line.host(b"ATA\r") == ERROR
    assert line.engine.ring_indicator
    line.far(e.CallerGone())
    assert line.host(b"ATD5\r") == ERROR
    assert line.host(b"ATD5;\r") == b""
    assert line.far(e.CallAnswered()) == OK


# ---------------------------------------------------------------------- calling


def dials(line: FakeLine) -> list[a.Dial]:
    return [action for action in line.take_log() if isinstance(action, a.Dial)]


def test_dial_says_what_the_line_must_know(line: FakeLine) -> None:
    line.host(b'AT+VSID="Joe","123";S7=30S8=2\r')
    line.host(b"ATDT555@,,7\r")
    assert dials(line) == [
        a.Dial(
            number="555", after_answer=",,7", silent=True, timeout_s=30.0, pause_s=2.0,
            calling_name="Joe", calling_number="123",
        )
    ]  # fmt: skip
    assert line.engine.off_hook
    assert not line.engine.accepts_calls
    # the pauses of the dial string are not the far end's fault
    assert line.until(NO_ANSWER, within_s=40) == 34.0


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("BUSY", BUSY),
        ("NO ANSWER", NO_ANSWER),
        ("NO DIALTONE", b"\r\nNO DIALTONE\r\n"),
        ("NO CARRIER", NO_CARRIER),
    ],
)
def test_failed_calls(line: FakeLine, result: str, text: bytes) -> None:
    line.host(b"ATD5\r")
    assert line.far(e.CallFailed(result)) == text
    assert not line.engine.off_hook
    assert line.engine.accepts_calls  # nothing was up: the next call may come at once
    assert line.host(b"ATX0D5\r") == b""
    hidden = NO_CARRIER if result in ("BUSY", "NO DIALTONE") else text
    assert line.far(e.CallFailed(result)) == hidden


def test_no_answer_after_s7_hangs_up(line: FakeLine) -> None:
    line.host(b"ATS7=20D5\r")
    assert line.until(NO_ANSWER, within_s=21) == 20.0
    assert line.take_log()[-1] == a.HangUp()
    assert not line.engine.accepts_calls
    line.run(4.96)
    assert not line.engine.accepts_calls
    line.run(0.04)
    assert line.engine.accepts_calls


def test_answered_by_no_fax_is_no_carrier_after_s7_from_dialling(line: FakeLine) -> None:
    line.host(b"ATS7=20D5\r")
    line.run(8)
    assert line.far(e.CallAnswered()) == b""
    assert line.until(NO_CARRIER, within_s=21) == 12.0
    assert line.take_log()[-1] == a.HangUp()


def test_silent_dialling_sends_no_calling_tone(line: FakeLine) -> None:
    line.host(b"ATD5@\r")
    line.take_log()
    line.far(e.CallAnswered())
    assert line.take_log() == [a.SendSilence(), a.ReceiveV21()]


def test_semicolon_comes_back_to_command_state_and_goes_on_with_the_line(line: FakeLine) -> None:
    line.host(b"ATD5;I3\r")
    line.take_log()
    assert line.far(e.CallAnswered()) == b"\r\ncusemodem\r\n" + OK
    assert line.take_log() == []
    assert not line.engine.dcd
    assert line.host(b"ATD\r") == b""  # an empty D on a call: calling tone and V.21
    assert line.take_log() == [a.SendCng(), a.ReceiveV21()]
    assert line.far(e.FlagsDetected()) == CONNECT
    assert line.engine.dcd


def test_a_character_aborts_dialling_and_hangs_up(line: FakeLine) -> None:
    line.host(b"ATD5\r\n")
    line.run(1)
    assert line.host(b"\x11\x13") == b""  # flow control aborts nothing
    assert line.host(b"\x18") == OK
    assert line.take_log()[-1] == a.HangUp()
    assert not line.engine.off_hook


def test_a_character_after_the_answer_stays_on_the_line(line: FakeLine) -> None:
    line.host(b"ATD5\r")
    line.far(e.CallAnswered())
    line.take_log()
    assert line.host(b"\x18") == OK
    assert line.take_log() == [a.SendSilence(), a.ReceiveOff()]
    assert line.engine.off_hook
    assert line.run(100) == b""  # S7 no longer runs
    assert line.host(b"ATO\r") == NO_CARRIER
    assert line.host(b"ATH\r") == OK


def test_a_command_aborts_and_is_obeyed(line: FakeLine) -> None:
    """HylaFAX gives a dial up with ATH0, not with a lone character; its A must not be lost."""
    line.host(b"ATD5\r")
    assert line.host(b"ATH0\r") == OK
    assert not line.engine.off_hook
    line.run(6)
    line.host(b"ATD5\r")
    line.far(e.CallAnswered())
    assert line.host(b"A") == b""
    assert line.host(b"TH0\r") == OK
    assert not line.engine.off_hook


def test_lf_after_cr_does_not_abort_but_a_later_enter_does(line: FakeLine) -> None:
    line.host(b"ATD5\r\n")
    line.run(1)
    assert line.engine.off_hook
    assert line.host(b"\r") == OK
    line.run(6)
    line.host(b"ATD5\r")
    line.run(0.1)
    assert line.host(b"\n") == b""  # a slow LF is still the line's end
    assert line.engine.off_hook


# ---------------------------------------------------------------------- hook, carrier, DTR


def test_busy_out(line: FakeLine) -> None:
    assert line.host(b"ATH1\r") == OK
    assert line.host(b"ATH1\r") == OK
    assert line.take_log() == [a.TakeOffHook()]
    assert not line.engine.accepts_calls
    line.run(60)
    assert line.host(b"ATH0\r") == OK
    assert line.take_log() == [a.GoOnHook()]
    assert not line.engine.accepts_calls  # and the five seconds begin anew
    line.run(5)
    assert line.engine.accepts_calls
    assert line.host(b"ATH1D5\r") == b""
    assert len(dials(line)) == 1


def connected(line: FakeLine) -> None:
    line.host(b"ATD5\r")
    line.far(e.CallAnswered(), e.FlagsDetected())
    line.far(e.FrameReceived(b"\xff\x03\x40ab", True))
    line.take_log()


def test_carrier_detect(line: FakeLine) -> None:
    assert not line.engine.dcd
    line.host(b"ATD5\r")
    line.far(e.CallAnswered())
    assert not line.engine.dcd
    line.far(e.FlagsDetected())
    assert line.engine.dcd
    line.far(e.FrameReceived(b"\xff\x03\x40ab", True))
    assert line.engine.dcd  # not between commands: to the end of the call
    line.far(e.CallEnded())
    assert not line.engine.dcd
    line.host(b"AT&C0\r")
    assert line.engine.dcd


@pytest.mark.parametrize(
    ("mode", "hangs_up", "fax_class"), [(0, 0, "1"), (1, 0, "1"), (2, 1, "1"), (3, 1, "0")]
)
def test_dtr_in_command_state(line: FakeLine, mode: int, hangs_up: int, fax_class: str) -> None:
    connected(line)
    line.host(b"AT&D%d\r" % mode)
    line.engine.dtr_dropped()
    assert line.engine.take_output() == b""
    assert line.engine.take_actions().count(a.HangUp()) == hangs_up
    assert line.engine.off_hook is not bool(hangs_up)
    assert line.engine.statistics().fax_class == fax_class


@pytest.mark.parametrize("mode", [1, 2, 3])
def test_dtr_in_mid_page(line: FakeLine, mode: int) -> None:
    """Whatever was under way ends in command state, and half a page is not read as commands."""
    connected(line)
    line.host(b"AT&D%d\r" % mode)
    line.host(b"AT+FTM=96\r")
    line.host(bytes(3000) + b"AT")
    line.take_log()
    line.engine.dtr_dropped()
    ordered = line.engine.take_actions()
    assert a.SendSilence() in ordered
    assert (a.HangUp() in ordered) is (mode > 1)
    said = line.engine.take_output()
    assert said == (OK if mode == 1 else b"")
    line.engine.dtr_raised()
    assert line.host(b"ATE0Q0V1+FCLASS=1\r").endswith(OK)
    assert line.engine.room == 4096


def test_nobody_has_the_port_open(line: FakeLine) -> None:
    connected(line)
    line.host(b"AT&D0\r")
    line.engine.host_gone()
    assert line.engine.take_actions()[-1] == a.HangUp()
    assert line.engine.take_output() == b""
    assert not line.engine.off_hook


def test_dtmf_is_shown_in_command_state_of_a_call_only(line: FakeLine) -> None:
    assert line.far(e.DtmfReceived("5")) == b""
    connected(line)
    assert line.far(e.DtmfReceived("#")) == b"\r\nDTMF=#\r\n"
    line.host(b"AT+FRM=96\r")
    assert line.far(e.DtmfReceived("5")) == b""


def test_unexpected_events_are_counted(line: FakeLine) -> None:
    line.far(e.CallAnswered(), e.CallFailed("BUSY"), e.CallEnded())
    line.host(b"ATH1\r")
    assert line.far(e.IncomingCall()) == b""
    assert line.engine.statistics().calls.events_ignored == 4


def test_calls_are_counted(line: FakeLine) -> None:
    line.far(e.IncomingCall(), e.CallerGone(), e.IncomingCall())
    line.host(b"ATA\r")
    line.run(1)
    line.host(b"\x18")
    line.host(b"ATH\r")
    for _ in range(4):
        line.host(b"ATD1\r")
        line.far(e.CallFailed("BUSY"))
    line.host(b"ATD1\r")
    line.far(e.CallEnded())
    line.host(b"ATS7=1D1\r")
    line.run(1)
    line.host(b"ATD1\r")
    line.far(e.CallAnswered())
    line.run(1)
    calls = line.engine.statistics().calls
    assert (calls.calls_in, calls.calls_answered, calls.calls_out, calls.calls_failed) == (2, 1, 7, 7)


def test_second_call_starts_clean(line: FakeLine) -> None:
    connected(line)
    line.far(e.FrameReceived(b"\xff\x03\x40old", True))
    line.host(b"ATH\r")
    line.run(5)
    connected(line)
    line.take_log()
    assert line.host(b"AT+FRH=3\r") != b""  # flags are there: CONNECT, and no old frame
    assert b"old" not in line.seen[-40:]
