"""docs/at.md says what the program does: its answers are asked for, and no command is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cusemodem.at import Engine
from cusemodem.at.commands import COMMANDS
from cusemodem.at.modulations import MODULATIONS
from cusemodem.at.parameters import PARAMETERS, TOLERATED_BASIC
from cusemodem.at.registers import REGISTERS
from cusemodem.at.results import Result
from cusemodem.call_causes import USUAL_CAUSES
from tests.at import compare_iaxmodem

TEXT = (Path(__file__).parents[2] / "docs" / "at.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("|")
]
QUESTIONS = [
    (command, row[1].strip("`"))
    for row in ROWS
    for command in re.findall(r"`([^`]+)`", row[0])
    if re.fullmatch(r"(I\d|\+G\w+|[+#]\w+=?\?)", command) and re.fullmatch(r"`[^`]+`", row[1])
]


def test_there_is_something_to_check() -> None:
    assert len(QUESTIONS) > 30


@pytest.mark.parametrize(("command", "answer"), QUESTIONS)
def test_answers_are_the_program_s(command: str, answer: str) -> None:
    engine = Engine()
    engine.host_bytes(b"ATE0\r")
    engine.take_output()
    engine.host_bytes(b"AT" + command.encode("ascii") + b"\r")
    assert engine.take_output().decode("utf-8") == f"\r\n{answer}\r\n\r\nOK\r\n"


def test_no_command_is_missing() -> None:
    words = set(re.split(r"[`|\s=?*…,.]+", TEXT))
    words |= {word.rstrip("0123456789") for word in words}
    for name in COMMANDS:
        assert name in words or name == "*", name


def test_no_register_is_missing() -> None:
    for number, register in REGISTERS.items():
        assert f"| S{number} | {register.factory:03} | {register.low}–{register.high} |" in TEXT


def test_results_and_modulations() -> None:
    for result in Result:
        assert f"| `{result.text}` | {result.number} |" in TEXT
    assert all(modulation.offered for modulation in MODULATIONS.values())
    assert f"`{','.join(map(str, MODULATIONS))}`" in TEXT


def test_causes() -> None:
    for result in set(USUAL_CAUSES.values()):
        causes = " ".join(str(cause) for cause in sorted(USUAL_CAUSES) if USUAL_CAUSES[cause] == result)
        assert f"| {causes} | `{result}` |" in TEXT


# ---------------------------------------------------------------------- the table beside IAXmodem


BESIDE = compare_iaxmodem.rows_of_the_page()


def test_the_table_beside_iaxmodem_has_every_row() -> None:
    assert list(BESIDE) == [command for command, _ in compare_iaxmodem.ROWS]
    assert all(them != "not asked" for _, them, _ in BESIDE.values())


@pytest.mark.parametrize(("command", "recommendation"), compare_iaxmodem.ROWS)
def test_our_column_is_the_program_s(command: str, recommendation: str) -> None:
    assert BESIDE[command][0] == compare_iaxmodem.ours(command)
    assert BESIDE[command][2] == recommendation


def test_every_command_that_takes_a_value_is_compared() -> None:
    names = [re.match(r"[+#%&*]?[A-Z]+|", command) for command in BESIDE]
    asked = {name[0] for name in names if name} | {"+A8E"}
    assert set(PARAMETERS) <= asked
    for name in ("+FCLASS", "+FTS", "+FRS", "+FTH", "+FRH", "+FTM", "+FRM", "+VRID", "+VSID", "+GCAP"):
        assert name in asked
    for name in ("+GCI", "+FMI", "#CID", "%CCID", "#CC", "*ID", "&Y", "&D", "&Z", "&W", "&V"):
        assert name in asked
    together = " ".join(command for command in BESIDE if not command.startswith("+"))
    assert all(name in together for name in TOLERATED_BASIC)
