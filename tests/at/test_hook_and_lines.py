"""Hook, carrier detect, DTR, DTMF, counters."""

from __future__ import annotations

import pytest

from cusemodem.at import actions as a
from cusemodem.at import events as e
from tests.at.fake_line import FakeLine
from tests.at.words import (
    OK,
)


@pytest.fixture
def line() -> FakeLine:
    line = FakeLine()
    line.host(b"ATE0+FCLASS=1\r")
    line.take_log()
    return line


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
    assert len(line.dials()) == 1


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
