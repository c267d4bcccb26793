"""The grammar of a command line's body (V.250 §5.3, §5.4): text in, a list of commands out.

What a command means, and whether it exists, is `commands.py`'s. Faulty text becomes one command of form
`MALFORMED` in its place, so that what stands before it is still executed (V.250 §5.4.1… left to right).

>>> parse("E0+FCLASS=1;&D2")
[Command(name='E', form=<Form.ACTION: 1>, argument='0'), \
Command(name='+FCLASS', form=<Form.SET: 2>, argument='1'), \
Command(name='&D', form=<Form.ACTION: 1>, argument='2')]
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


class Form(Enum):
    """How a command is put."""

    ACTION = auto()
    "`E0`, `+GMI`, `DT123`"
    SET = auto()
    "`S7=60`, `+FCLASS=1`"
    READ = auto()
    "`S7?`, `+FCLASS?`"
    TEST = auto()
    "`+FTM=?`"
    MALFORMED = auto()
    "not a command; `name` holds the text"


@dataclass(frozen=True, slots=True)
class Command:
    """One command: `name` with its prefix character, in upper case; `argument` as sent, blanks removed.

    Basic commands have their digits as argument, D the dial string, S-register commands the name `S` and
    the form and argument in `argument`'s place: name `S7`, argument `60`.
    """

    name: str
    form: Form
    argument: str = ""


_EXTENDED: Final = re.compile(r"(?:[+#][A-Z]|%CCID)[A-Z0-9!%\-./:_]*")
_REGISTER: Final = re.compile(r"S(?P<register>\d+(?:\.\d+)?)")
_BASIC: Final = re.compile(r"(?P<name>[A-Z]|[&\\%\-][A-Z])(?P<digits>\d*)")
_TAIL: Final = re.compile(r"=\?|\?|=")


def parse(body: str) -> list[Command]:
    """The commands of a body, in order. Never raises; at most the last one is MALFORMED."""
    text = _fold(body)
    commands: list[Command] = []
    position = 0
    while position < len(text):
        if text[position] == ";":
            position += 1
            continue
        command, position = _next(text, position)
        commands.append(command)
        if command.form is Form.MALFORMED:
            break
    return commands


def _next(text: str, at: int) -> tuple[Command, int]:
    if text[at] == "D":
        return _dial(text, at)
    if text[at] == "$":
        return Command("$", Form.ACTION), at + 1
    if text[at] == "*":  # makers' own commands, to the end of the command
        end = _end_of_value(text, at)
        return Command("*", Form.ACTION, text[at + 1 : end]), end
    if match := _EXTENDED.match(text, at):
        return _extended(text, at, match.group(), match.end())
    if match := _REGISTER.match(text, at):
        return _tailed(text, at, "S" + match["register"], match.end())
    if match := _BASIC.match(text, at):
        name, end = match["name"], match.end()
        if text[end : end + 1] in ("=", "?") and end < len(text):
            if name == "&Z":  # stored number: &Zn=string
                return _stored_number(text, match["digits"], end)
            return _malformed(text, at)
        return Command(name, Form.ACTION, match["digits"]), end
    return _malformed(text, at)


def _dial(text: str, at: int) -> tuple[Command, int]:
    end = text.find(";", at)
    end = len(text) if end < 0 else end + 1  # the ';' is the dial string's: stay in command state
    return Command("D", Form.ACTION, text[at + 1 : end]), end


def _extended(text: str, at: int, name: str, end: int) -> tuple[Command, int]:
    tail = _TAIL.match(text, end)
    if tail is None:
        if end == len(text) or text[end] == ";":
            return Command(name, Form.ACTION), end
        return _malformed(text, at)
    stop = _end_of_value(text, tail.end())
    value = text[tail.end() : stop]
    if tail.group() == "=":
        return Command(name, Form.SET, value), stop
    if value:  # something between the '?' and the ';'
        return _malformed(text, at)
    return Command(name, Form.TEST if tail.group() == "=?" else Form.READ), stop


def _tailed(text: str, at: int, name: str, end: int) -> tuple[Command, int]:
    """An S-register command: its value is digits, so no separator is needed after it."""
    tail = _TAIL.match(text, end)
    if tail is None:
        return Command(name, Form.ACTION), end
    if tail.group() != "=":
        return Command(name, Form.TEST if tail.group() == "=?" else Form.READ), tail.end()
    stop = tail.end()
    while stop < len(text) and text[stop].isdigit():
        stop += 1
    return Command(name, Form.SET, text[tail.end() : stop]), stop


def _stored_number(text: str, index: str, end: int) -> tuple[Command, int]:
    stop = _end_of_value(text, end)
    if text[end] != "=":
        return _malformed(text, end)
    return Command("&Z", Form.SET, f"{index or '0'}={text[end + 1 : stop]}"), stop


def _malformed(text: str, at: int) -> tuple[Command, int]:
    return Command(text[at:], Form.MALFORMED), len(text)


def _fold(body: str) -> str:
    """Upper case and no blanks outside quoted strings; a string's own case and blanks stay."""
    parts = body.split('"')
    for i in range(0, len(parts), 2):
        parts[i] = parts[i].upper().replace(" ", "")
    return '"'.join(parts)


def _end_of_value(text: str, start: int) -> int:
    """Where the value that begins at `start` ends: the next `;` outside a string."""
    quoted = False
    for position in range(start, len(text)):
        if text[position] == '"':
            quoted = not quoted
        elif text[position] == ";" and not quoted:
            return position
    return len(text)


_HEX: Final = re.compile(r"\\([0-9A-Fa-f]{2})")


def split_values(argument: str) -> list[str] | None:
    """The comma-separated values of an argument; a quoted one without its quotes, `\\hh` resolved.

    None when a quote is not closed or text touches it (V.250 §5.4.2.2).

    >>> split_values('"Fax, Inc.",12')
    ['Fax, Inc.', '12']
    """
    values: list[str] = []
    position = 0
    while True:
        if argument[position : position + 1] == '"':
            close = argument.find('"', position + 1)
            if close < 0:
                return None
            values.append(_HEX.sub(lambda match: chr(int(match[1], 16)), argument[position + 1 : close]))
            position = close + 1
        else:
            comma = argument.find(",", position)
            end = len(argument) if comma < 0 else comma
            value = argument[position:end]
            if '"' in value:
                return None
            values.append(value)
            position = end
        if position == len(argument):
            return values
        if argument[position] != ",":
            return None
        position += 1
