"""Being called: RING, caller ID, S0, answering; times in samples."""

from __future__ import annotations

import pytest

from cusemodem.at import Engine
from cusemodem.at import actions as a
from cusemodem.at import events as e
from cusemodem.at.call_rules import CallRules
from tests.at.fake_line import FakeLine
from tests.at.words import (
    CONNECT,
    END,
    ERROR,
    FINAL,
    NO_CARRIER,
    OK,
    RING,
)


@pytest.fixture
def line() -> FakeLine:
    line = FakeLine()
    line.host(b"ATE0+FCLASS=1\r")
    line.take_log()
    return line


def test_ring_every_five_seconds_until_the_caller_gives_up(line: FakeLine) -> None:
    line.block(e.IncomingCall())
    assert line.seen.endswith(RING)
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


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_a_ringing_call_goes_on_ringing_when_dtr_drops_or_the_port_is_closed(
    line: FakeLine, mode: int
) -> None:
    """faxgetty and mgetty drop DTR or reopen the port when they begin anew; the caller must not get busy."""
    line.host(b"AT&D%d\r" % mode)
    assert line.far(e.IncomingCall()) == RING
    line.run(1)
    line.take_log()
    line.engine.dtr_dropped()
    line.engine.host_gone()
    assert line.engine.take_actions() == []
    assert line.engine.ring_indicator
    line.run(1)
    line.engine.dtr_raised()
    assert RING in line.run(3)
    assert line.host(b"ATE0+FCLASS=1\r").endswith(OK)
    assert RING in line.run(5)
    line.host(b"ATA\r")
    line.until(CONNECT, within_s=5)


@pytest.mark.parametrize("command", [b"ATZ\r", b"ATZ1\r", b"AT&F\r"])
def test_a_reset_while_it_rings_leaves_the_call_to_be_answered(line: FakeLine, command: bytes) -> None:
    """`efax -iZ` and mgetty begin with Z, whatever the line does."""
    assert line.far(e.IncomingCall()) == RING
    line.host(b"ATS7=9\r")
    line.take_log()
    assert line.host(command).endswith(OK)
    assert line.engine.take_actions() == []
    assert b"060" in line.host(b"ATE0S7?\r")
    assert RING in line.run(5)
    line.host(b"AT+FCLASS=1\r")
    line.host(b"ATA\r")
    line.until(CONNECT, within_s=5)


def test_dtr_with_d3_resets_even_while_it_rings(line: FakeLine) -> None:
    line.host(b"AT&D3S7=9\r")
    line.far(e.IncomingCall())
    line.engine.dtr_dropped()
    assert b"060" in line.host(b"ATS7?\r")
    line.run(5)
    assert b"002" in line.host(b"ATS1?\r")  # the rings of this call are still counted


def test_distinctive_ring_by_the_called_number() -> None:
    line = FakeLine(Engine(rules=CallRules(ring_types={"100": "1", "200": "2"})))
    line.host(b"ATE0+FCLASS=1;+VCID=1\r")
    said = line.far(e.IncomingCall(e.CallerId(called_number="200")))
    assert said.endswith(b"\r\nNDID=200\r\n\r\nRING 2\r\n")
    assert line.run(5) == b"\r\nRING 2\r\n"
    line.far(e.CallerGone())
    assert line.far(e.IncomingCall(e.CallerId(called_number="300"))).endswith(RING)
    line.far(e.CallerGone())
    line.host(b"ATV0\r")
    assert line.far(e.IncomingCall(e.CallerId(called_number="100"))).endswith(b"2\r")


@pytest.mark.parametrize("seconds", [0, 2, 5, 30])
def test_the_busy_time_after_a_call_is_configurable(seconds: int) -> None:
    line = FakeLine(Engine(rules=CallRules(busy_after_call_s=seconds)))
    line.host(b"ATE0+FCLASS=1\r")
    line.far(e.IncomingCall())
    line.host(b"ATA\r")
    line.run(1)
    line.far(e.CallEnded())
    if seconds:
        line.run(seconds - 0.02)
        assert not line.engine.accepts_calls
        line.run(0.02)
    assert line.engine.accepts_calls


def test_call_waiting_is_ignored(line: FakeLine) -> None:
    """A second call is not even mentioned; the line refuses it as busy (`accepts_calls`)."""
    line.far(e.IncomingCall())
    assert line.far(e.IncomingCall()) == b""
    line.host(b"ATA\r")
    line.until(CONNECT, within_s=5)
    assert not line.engine.accepts_calls
    assert line.far(e.IncomingCall(), e.CallerGone()) == b""
    assert line.engine.off_hook
    line.host(FINAL + END)
    line.until(OK, within_s=3)


@pytest.mark.parametrize("rings", [1, 2])
def test_caller_id_comes_before_the_first_ring_even_when_the_modem_answers_at_once(
    line: FakeLine, rings: int
) -> None:
    """There is no race: the network's facts come with the call, and the lines before its first RING."""
    line.host(b"AT+VCID=1;S0=%d\r" % rings)
    before = len(line.seen)
    line.far(e.IncomingCall(e.CallerId(name="Joe", number="555", called_number="99")))
    line.run(5 * rings)
    said = bytes(line.seen[before:])
    assert said.startswith(b"\r\nDATE=")
    assert said.count(b"NMBR=555") == 1
    assert said.index(b"NDID=99") < said.index(b"RING")
    assert said.count(RING) == rings
    assert said.endswith(RING + CONNECT)


def test_caller_id_asked_for_while_it_rings_comes_before_the_next_ring(line: FakeLine) -> None:
    line.far(e.IncomingCall(e.CallerId(number="555")))
    line.host(b"AT+VCID=1\r")
    said = line.run(5)
    assert said.index(b"NMBR=555") < said.index(b"RING")
    assert line.run(5) == RING
