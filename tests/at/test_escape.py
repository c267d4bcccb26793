"""`+++`: no class here has a data state that an escape could leave, so it means nothing, and must do nothing.

Class 1 data is left by DLE ETX (T.31 §8.3.3), and class 0 has no data mode. Programs send `+++` all the same,
to find a modem that was left on-line: it must neither be answered nor spoil what comes after it.
"""

from __future__ import annotations

import pytest

from cusemodem.at import events as e
from tests.at.fake_line import FakeLine, line_on_call
from tests.at.words import CONNECT, END, FINAL, OK

GUARD_S = 1.0


@pytest.mark.parametrize("fax_class", ["0", "1", "1.0"])
@pytest.mark.parametrize("guard_s", [0.0, GUARD_S])
def test_in_command_state_it_is_passed_over(fax_class: str, guard_s: float) -> None:
    line = FakeLine()
    line.host(f"ATE0+FCLASS={fax_class}\r".encode())
    line.run(guard_s)
    assert line.host(b"+++") == b""
    assert line.run(guard_s) == b""
    assert line.host(b"ATH\r") == OK
    assert line.host(b"+++ATS7?\r") == b"\r\n060\r\n" + OK


@pytest.mark.parametrize("guard_s", [0.0, GUARD_S])
def test_in_a_burst_it_is_data(guard_s: float) -> None:
    line = line_on_call()
    assert line.host(b"AT+FTM=96\r") == CONNECT
    line.run(guard_s)
    line.host(b"+++")
    line.run(guard_s)
    line.host(b"ATH\r" + END)
    line.until(OK, within_s=2)
    assert line.sent == b"+++ATH\r"
    assert line.engine.off_hook


@pytest.mark.parametrize("guard_s", [0.0, GUARD_S])
def test_in_a_frame_it_is_data(guard_s: float) -> None:
    line = line_on_call()
    assert line.host(b"AT+FTH=3\r") == CONNECT
    line.host(FINAL)
    line.run(guard_s)
    line.host(b"+++")
    line.run(guard_s)
    line.host(END)
    line.until(OK, within_s=3)
    assert line.frames == [FINAL + b"+++"]


def test_a_wait_is_given_up_by_it_as_by_any_character() -> None:
    line = line_on_call()
    line.host(b"AT+FRM=96\r")
    line.run(GUARD_S)
    assert line.host(b"+++") == OK
    assert line.run(GUARD_S) == b""
    assert line.engine.off_hook


def test_received_data_may_hold_it() -> None:
    line = line_on_call()
    line.host(b"AT+FRM=96\r")
    assert line.far(e.Trained(), e.DataReceived(b"+++")) == CONNECT + b"+++"


def test_the_escape_character_and_its_guard_time_are_kept() -> None:
    line = FakeLine()
    line.host(b"ATE0S2=255S12=50\r")
    assert line.host(b"ATS2?S12?\r") == b"\r\n255\r\n\r\n050\r\n" + OK
