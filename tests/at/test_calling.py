"""Calling: what is dialled, how calls fail, S7, aborts; times in samples."""

from __future__ import annotations

import pytest

from cusemodem.at import Engine
from cusemodem.at import actions as a
from cusemodem.at import events as e
from cusemodem.at.call_rules import CallRules
from cusemodem.at.call_states import CallState
from tests.at.fake_line import FakeLine
from tests.at.words import (
    BUSY,
    CONNECT,
    NO_ANSWER,
    NO_CARRIER,
    OK,
)


@pytest.fixture
def line() -> FakeLine:
    line = FakeLine()
    line.host(b"ATE0+FCLASS=1\r")
    line.take_log()
    return line


def test_dial_says_what_the_line_must_know(line: FakeLine) -> None:
    line.host(b'AT+VSID="Joe","123";S7=30S8=2\r')
    line.host(b"ATDT555@,,7\r")
    assert line.dials() == [
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
    assert line.host(b"ATX0S6=0D5\r") == b""
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


@pytest.mark.parametrize("answers", [False, True])
def test_a_character_after_the_answer_and_before_connect_hangs_up(line: FakeLine, answers: bool) -> None:
    """V.250 §6.3.1, §6.3.5: an aborted D or A clears the call, answered or not."""
    if answers:
        line.far(e.IncomingCall())
        line.host(b"ATA\r")
    else:
        line.host(b"ATD5\r")
        line.far(e.CallAnswered())
    line.run(0.5)
    line.take_log()
    assert line.host(b"\x18") == OK
    assert line.take_log()[-1] == a.HangUp()
    assert not line.engine.off_hook
    assert line.run(100) == b""


@pytest.mark.parametrize("command", [b"ATD\r", b"ATA\r"])
def test_a_character_on_an_operator_s_call_leaves_it(line: FakeLine, command: bytes) -> None:
    """D or A on a call that was up already: what the command began ends, the call does not."""
    line.host(b"ATD5;\r")
    line.far(e.CallAnswered())
    line.host(command)
    line.take_log()
    assert line.host(b"\x18") == OK
    assert a.HangUp() not in line.take_log()
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


@pytest.mark.parametrize("rest", [b"\n", b"\0", b"\r\n", b"\n\0\0", b"\r", b" ", b"x"])
def test_what_comes_with_the_end_of_the_line_aborts_nothing(line: FakeLine, rest: bytes) -> None:
    """V.250 §5.6.1: characters in the first 125 ms after the terminator are ignored."""
    line.host(b"ATD5\r")
    for byte in rest:
        assert line.host(bytes((byte,))) == b""
    line.run(0.1)
    assert line.host(rest) == b""  # a slow one is still the line's end
    assert line.engine.off_hook
    assert line.engine.calls.state is CallState.DIALLING


@pytest.mark.parametrize("character", [b"\r", b"\n", b"\0", b" ", b"x"])
def test_a_later_character_aborts(line: FakeLine, character: bytes) -> None:
    line.host(b"ATD5\r")
    line.run(0.14)
    assert line.host(character) == OK
    assert not line.engine.off_hook


# ---------------------------------------------------------------------- dial modifiers, S6


@pytest.mark.parametrize("x", [0, 1, 3])
def test_blind_dialling_waits_s6(line: FakeLine, x: int) -> None:
    """X0, X1 and X3 do not listen for a dial tone but pause (V.250 §6.3.9); X2 and X4 dial at once."""
    assert line.host(b"ATX%dS6=4S7=20D5\r" % x) == b""
    assert line.take_log()[-1] == a.TakeOffHook()
    assert line.engine.off_hook
    assert not line.engine.accepts_calls
    assert line.run(3.98) == b""
    assert line.dials() == []
    line.run(0.02)
    assert len(line.dials()) == 1
    assert line.until(NO_ANSWER, within_s=21) == 20.0  # S7 counts from dialling


@pytest.mark.parametrize("body", [b"X2D5", b"X4D5", b"X3DW5", b"X3S6=0D5", b"X3H1D5"])
def test_no_pause_where_there_is_a_dial_tone_or_the_line_is_ours(line: FakeLine, body: bytes) -> None:
    assert line.host(b"AT" + body + b"\r") == b""
    assert len(line.dials()) == 1


@pytest.mark.parametrize("gives_up", [b"\x18", b"ATH\r", b"dtr"])
def test_a_call_given_up_before_it_was_placed(line: FakeLine, gives_up: bytes) -> None:
    line.host(b"ATX3D5\r")
    line.run(1)
    if gives_up == b"dtr":
        line.engine.dtr_dropped()
    else:
        assert line.host(gives_up) == OK
    line.run(10)
    assert [type(action) for action in line.take_log()].count(a.Dial) == 0
    assert not line.engine.off_hook


@pytest.mark.parametrize(
    ("prefix", "text", "number"),
    [
        ("", b"+44 (0)20 7946-0018", "442079460018"),
        ("00", b"+44 (0)20 7946-0018", "00442079460018"),
        ("+", b"T+1 (212) 555.0100", "+12125550100"),
        ("00", b"020 7946 0018", "02079460018"),
        ("00", b"9W+4420", "94420"),  # a + after digits is layout
    ],
)
def test_international_forms(prefix: str, text: bytes, number: str) -> None:
    line = FakeLine(Engine(rules=CallRules(international_prefix=prefix)))
    line.host(b"ATE0+FCLASS=1\r")
    line.host(b"ATD" + text + b"\r")
    assert [dial.number for dial in line.dials()] == [number]


def test_redial_and_stored_numbers_are_dialled_alike() -> None:
    line = FakeLine(Engine(rules=CallRules(international_prefix="00")))
    line.host(b"ATE0+FCLASS=1;&Z1=+4420,5@\r")
    for text in (b"DS=1", b"DL", b"DTL"):
        line.host(b"AT" + text + b"\r")
        assert [(dial.number, dial.after_answer, dial.silent) for dial in line.dials()] == [
            ("004420", ",5", True)
        ]
        line.far(e.CallFailed("BUSY"))


# ---------------------------------------------------------------------- X: which failures have names


@pytest.mark.parametrize(
    ("x", "hidden"),
    [(0, "BUSY NO_DIALTONE"), (1, "BUSY NO_DIALTONE"), (2, "BUSY"), (3, "NO_DIALTONE"), (4, "")],
)
@pytest.mark.parametrize("failure", ["BUSY", "NO DIALTONE", "NO ANSWER", "NO CARRIER"])
@pytest.mark.parametrize("verbose", [True, False])
def test_x_levels(line: FakeLine, x: int, hidden: str, failure: str, verbose: bool) -> None:
    """V.250 table 3: what X hides is NO CARRIER."""
    line.host(b"ATV%dX%dS6=0\r" % (verbose, x))
    line.host(b"ATD5\r")
    said = "NO CARRIER" if failure.replace(" ", "_") in hidden else failure
    number = {"BUSY": "7", "NO DIALTONE": "6", "NO ANSWER": "8", "NO CARRIER": "3"}[said]
    expected = f"\r\n{said}\r\n" if verbose else f"{number}\r"
    assert line.far(e.CallFailed(failure)) == expected.encode()


@pytest.mark.parametrize("x", range(5))
def test_a_busy_tone_after_the_answer(line: FakeLine, x: int) -> None:
    """A gateway answers and plays busy tone: X3 and X4 know it, the others wait for S7."""
    line.host(b"ATX%dS6=0S7=20\r" % x)
    line.host(b"ATD5\r")
    line.far(e.CallAnswered())
    line.run(4)
    if x >= 3:
        assert line.far(e.BusyTone()) == BUSY
        assert line.take_log()[-1] == a.HangUp()
        assert not line.engine.off_hook
    else:
        assert line.far(e.BusyTone()) == b""
        line.until(NO_CARRIER, within_s=17)


def test_a_busy_tone_matters_to_nobody_else(line: FakeLine) -> None:
    """Not once the fax was heard, not when we were called, not in command state."""
    line.host(b"ATD5\r")
    line.far(e.CallAnswered(), e.FlagsDetected())
    assert line.far(e.BusyTone()) == b""
    line.far(e.FrameReceived(b"\xff\x13\x80abcd", True), e.CarrierLost(True))
    assert line.far(e.BusyTone()) == b""
    assert line.engine.off_hook
    line.host(b"ATH\r")
    line.run(5)
    line.far(e.IncomingCall())
    line.host(b"ATA\r")
    line.run(1)
    assert line.far(e.BusyTone()) == b""
    assert line.engine.off_hook
