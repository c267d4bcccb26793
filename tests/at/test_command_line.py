"""Collecting lines (V.250 §5.2) and the body's grammar (§5.3, §5.4)."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cusemodem.at import Engine, caller_id, dial_string, engine, grammar
from cusemodem.at.command_line import MAX_BODY, CommandLine, Line
from cusemodem.at.grammar import Command, Form, parse, split_values

CR, BS = 13, 8


def lines(data: bytes) -> list[Line]:
    """The lines that `data` holds."""
    collector = CommandLine()
    fed = [collector.feed(byte, CR, BS) for byte in data]
    return [line for line in fed if line is not None]


@pytest.mark.parametrize(
    ("data", "bodies"),
    [
        (b"AT\r", [""]),
        (b"at\r", [""]),
        (b"aTz\r", ["z"]),
        (b"noise ATZ\r", ["Z"]),  # what stands before the prefix is ignored, blanks too
        (b"AAATZ\r", ["Z"]),
        (b"A T\r", []),
        (b"\r\n\r\nATZ\r\n", ["Z"]),
        (b"ATE0\x08\x08\x08\x08Z\r", ["Z"]),  # editing never reaches into the prefix
        (b"ATE1\x7f0\r", ["E0"]),
        (b"ATE0\x18ATZ\r", ["Z"]),  # CAN forgets the line
        (b"AT\x00E\x110\x13\n\r", ["E0"]),  # fill, flow control and LF are harmless
        (b"AT\tI\x1b3\x07\r", ["I3"]),  # and so is every other control character (V.250 §5.2.2)
        (b"ATI3\x1b[A\r", ["I3[A"]),  # an arrow key leaves printable characters: ERROR, not silence
        (b"\xc1\xd4\xda\x8d", ["Z"]),  # the top bit is parity
        (b"ATZ\rA/", ["Z", "Z"]),  # repeated at once, without a terminator
        (b"A/", [""]),
        (b"ATE0\rATX\x18a/a/", ["E0", "E0", "E0"]),
        (b"AT\rAT\r", ["", ""]),
    ],
)
def test_lines(data: bytes, bodies: list[str]) -> None:
    assert lines(data) == [Line(body) for body in bodies]


def test_too_long_a_line_is_one_error_and_forgotten() -> None:
    assert lines(b"AT" + b"E" * MAX_BODY + b"\r") == [Line("E" * MAX_BODY)]
    assert lines(b"AT" + b"E" * (MAX_BODY + 1) + b"\r") == [Line("", too_long=True)]
    assert lines(b"ATZ\rAT" + b"E" * 10_000 + b"\rA/") == [Line("Z"), Line("", too_long=True), Line("Z")]
    assert lines(b"AT" + b"E" * 10_000 + b"\x18\r") == []


def test_ten_thousand_characters_answer_error_and_the_next_line_works() -> None:
    at = Engine()
    at.host_bytes(b"ATE0\r")
    at.take_output()
    at.host_bytes(b"AT" + b"X" * 10_000 + b"\r")
    assert at.take_output() == b"\r\nERROR\r\n"
    at.host_bytes(b"AT\r")
    assert at.take_output() == b"\r\nOK\r\n"
    assert at.statistics().lines_too_long == 1


@pytest.mark.parametrize(("typed", "answer"), [(b"\tI3", b"cusemodem"), (b"I3\x1b[D", b"ERROR")])
def test_a_stray_key_never_leads_to_silence(typed: bytes, answer: bytes) -> None:
    at = Engine()
    at.host_bytes(b"ATE0\r")
    at.take_output()
    at.host_bytes(b"AT" + typed + b"\r")
    assert b"\r\n" + answer + b"\r\n" in at.take_output()


def test_echo_is_what_came_and_comes_before_the_answer() -> None:
    at = Engine()
    for byte, echo in (
        (b"\xe1", b"\xe1"),
        (b"T", b"T"),
        (b"i", b"i"),
        (b"\x08", b"\x08"),
        (b"\xe5", b"\xe5"),
    ):
        at.host_bytes(byte)
        assert at.take_output() == echo
    at.host_bytes(b"0\r\n")
    assert at.take_output() == b"0\r\r\nOK\r\n"  # the LF of a CR LF is no character of the next line
    at.host_bytes(b"AT\r")
    assert at.take_output() == b"\r\nOK\r\n"


@pytest.mark.parametrize(
    ("body", "commands"),
    [
        ("", []),
        ("E0", [("E", Form.ACTION, "0")]),
        ("e0v1 x 4", [("E", Form.ACTION, "0"), ("V", Form.ACTION, "1"), ("X", Form.ACTION, "4")]),
        ("&FE0&D2S7=120", [("&F", 1, ""), ("E", 1, "0"), ("&D", 1, "2"), ("S7", 2, "120")]),
        ("S0=0Q0&D3&C1", [("S0", 2, "0"), ("Q", 1, "0"), ("&D", 1, "3"), ("&C", 1, "1")]),
        ("S37?S7.3=1S7.3?S8=?", [("S37", 3, ""), ("S7.3", 2, "1"), ("S7.3", 3, ""), ("S8", 4, "")]),
        ("+FTS=8;+FTH=3", [("+FTS", 2, "8"), ("+FTH", 2, "3")]),
        ("E0+FCLASS=1;Z", [("E", 1, "0"), ("+FCLASS", 2, "1"), ("Z", 1, "")]),
        ("+FCLASS=1Z", [("+FCLASS", 2, "1Z")]),  # a missing ';' is part of the value, an error later
        ("+FTM=?;+FTM?", [("+FTM", 4, ""), ("+FTM", 3, "")]),
        (";;E0;", [("E", 1, "0")]),
        ("DT 9,,123;H", [("D", 1, "T9,,123;"), ("H", 1, "")]),
        ("D123", [("D", 1, "123")]),
        ('+VSID="Joe; A B",12;E1', [("+VSID", 2, '"Joe; A B",12'), ("E", 1, "1")]),
        (
            "&K3\\N5%C0-J1\\q2",
            [("&K", 1, "3"), ("\\N", 1, "5"), ("%C", 1, "0"), ("-J", 1, "1"), ("\\Q", 1, "2")],
        ),
        ("#CID=1;*N3;E0", [("#CID", 2, "1"), ("*", 1, "N3"), ("E", 1, "0")]),
        ("&Z1=555,9;E1", [("&Z", 2, "1=555,9"), ("E", 1, "1")]),
    ],
)
def test_grammar(body: str, commands: list[tuple[str, int | Form, str]]) -> None:
    assert parse(body) == [Command(name, Form(form), argument) for name, form, argument in commands]


@pytest.mark.parametrize(
    "faulty", ["E0?", "E=1", "/", "?", "+;", "+?", "+FTM=?1", "+FTM?1", "E0)", "&1", "Z;!"]
)
def test_faults_come_last_and_only_once(faulty: str) -> None:
    commands = parse("E0" + faulty + "E1") if not faulty.startswith("E") else parse(faulty)
    assert [command.form for command in commands].count(Form.MALFORMED) == 1
    assert commands[-1].form is Form.MALFORMED


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=120))
def test_any_body_parses(body: str) -> None:
    for command in parse(body):
        assert command.name or command.form is Form.MALFORMED
        split_values(command.argument)


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("", [""]),
        ("1,2", ["1", "2"]),
        ('"a,b","c"', ["a,b", "c"]),
        ('"say \\22hi\\22"', ['say "hi"']),
        ('"",""', ["", ""]),
        ('"open', None),
        ('"a"b', None),
        ('a"b"', None),
    ],
)
def test_values(argument: str, values: list[str] | None) -> None:
    assert split_values(argument) == values


@pytest.mark.parametrize("module", [grammar, dial_string, caller_id, engine])
def test_docstring_examples(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0
