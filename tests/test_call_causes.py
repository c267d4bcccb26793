"""Causes of failed calls and their V.250 results; digits behind the first comma."""

from __future__ import annotations

from pathlib import Path

import pytest

from cusemodem.at.call_rules import CallRules
from cusemodem.call_causes import RESULTS, USUAL_CAUSES, read_causes, result_of_cause
from cusemodem.config import load
from cusemodem.digits_after_answer import BLOCKS_PER_DIGIT, DigitsAfterAnswer
from cusemodem.modem_engine import new_engine
from cusemodem.served_line import Served


@pytest.mark.parametrize("cause", range(1, 128))
def test_every_cause_has_one_of_the_four_results(cause: int) -> None:
    assert result_of_cause(cause, server_answered=True) in RESULTS


@pytest.mark.parametrize(
    ("result", "causes"),
    [
        ("BUSY", (17,)),
        ("NO ANSWER", (18, 19, 20)),
        ("NO CARRIER", (1, 3, 16, 21, 28, 31, 127)),
        ("NO DIALTONE", (27, 34, 38, 41, 42, 44, 50)),
    ],
)
def test_the_usual_causes(result: str, causes: tuple[int, ...]) -> None:
    assert {result_of_cause(cause, server_answered=True) for cause in causes} == {result}


def test_a_server_that_never_answered_is_no_dial_tone() -> None:
    assert result_of_cause(None, server_answered=False) == "NO DIALTONE"
    assert result_of_cause(None, server_answered=True) == "NO CARRIER"


def test_causes_by_configuration() -> None:
    causes = read_causes("1:no dialtone, 3 : NO  DIALTONE,28:NO DIALTONE,34:NO CARRIER")
    assert {cause: causes[cause] for cause in (1, 3, 28)} == dict.fromkeys((1, 3, 28), "NO DIALTONE")
    assert causes[34] == "NO CARRIER"
    assert {17: causes[17], 19: causes[19]} == {17: "BUSY", 19: "NO ANSWER"}
    assert result_of_cause(28, server_answered=True, causes=causes) == "NO DIALTONE"
    assert USUAL_CAUSES[34] == "NO DIALTONE"  # another modem's are as they were


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("17", "'17' is no cause with a result; write for example 1:NO DIALTONE"),
        ("x:BUSY", "'x:BUSY' is no cause with a result; write for example 1:NO DIALTONE"),
        ("0:BUSY", "'0:BUSY' is no cause with a result; write for example 1:NO DIALTONE"),
        ("128:BUSY", "'128:BUSY' is no cause with a result; write for example 1:NO DIALTONE"),
        ("17:LATER", "'LATER' is no result of a call; write one of BUSY, NO ANSWER, NO CARRIER, NO DIALTONE"),
    ],
)
def test_causes_that_cannot_be_read(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_causes(text)


def test_digits_come_one_by_one_and_commas_wait() -> None:
    digits, sent = DigitsAfterAnswer(",1,2,", pause_blocks=100), []
    n_blocks = 0
    while digits:
        if digit := digits.step():
            sent.append((n_blocks, digit))
        n_blocks += 1
    assert sent == [(101, "1"), (101 + BLOCKS_PER_DIGIT + 1 + 101, "2")]
    assert n_blocks == sent[1][0] + 1 + BLOCKS_PER_DIGIT + 1 + 100
    assert not DigitsAfterAnswer()


def test_the_configuration_s_keys_for_calls(tmp_path: Path) -> None:
    path = tmp_path / "ttyIAX0"
    path.write_text(
        "[modem]\npeername = x\ncauses = 1:no dialtone\nbusy_after_call = 2.5\n"
        "distinctive_ring = 5550101:1, 5550102:b\ninternational_prefix = 00\nidentity = iaxmodem\n"
    )
    config = load(path)
    assert dict(config.causes) == dict(USUAL_CAUSES) | {1: "NO DIALTONE"}
    assert config.busy_after_call_s == 2.5
    assert config.ring_types == (("5550101", "1"), ("5550102", "B"))
    assert config.international_prefix == "00"
    engine = new_engine(Served(config), tmp_path)
    assert engine.calls.rules == CallRules(2.5, {"5550101": "1", "5550102": "B"}, "00")
    engine.host_bytes(b"ATE0I3&W\r")
    assert b"www.soft-switch.org" in engine.take_output()
    assert (tmp_path / "profiles" / "ttyIAX0.json").exists()
    engine.host_bytes(b"ATI7\r")
    assert b"\r\nttyIAX0: /dev/ttyIAX0\r\n\r\nx at 127.0.0.1:4569: not ready\r\n" in engine.take_output()
    shown = list(config.describe())
    assert "ring_types = 5550101:1, 5550102:B" in shown


def test_the_words_of_a_plain_configuration(tmp_path: Path) -> None:
    path = tmp_path / "ttyIAX0"
    path.write_text("[modem]\npeername = x\ninternational_prefix =\n")
    config = load(path)
    assert new_engine(Served(config), None).calls.rules == CallRules()
    assert dict(config.causes) == dict(USUAL_CAUSES)
