"""The two forms of a configuration file, as entries with their line numbers: our INI, and IAXmodem's.

What a key or its value means is not known here.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

NO_WORDS = ("no", "off", "false", "0")


HIDDEN = "***"
"""Stands for what may be a secret on the wrong line, or a line of a file that is no configuration."""


class Problem(NamedTuple):
    """One thing that is wrong with a file; `line` is 0 when it is the file itself. A key that could be none
    is not shown."""

    path: Path
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        # what the file says reaches terminals and logs: nothing unprintable may
        key = self.key if re.fullmatch(r"([a-z][a-z0-9_]{0,23})?", self.key) else HIDDEN
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in f"{key}: {self.text}")
        where = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{where}: {text}" if self.key else f"{where}{text}"


class Entry(NamedTuple):
    """One setting of a file."""

    line: int
    key: str
    value: str | None
    """None: the key stands alone."""


def is_ini(text: str) -> bool:
    """Whether the first line that says anything begins a section."""
    return next((line.startswith("[") for _, line in significant_lines(text)), False)


def significant_lines(text: str) -> Iterator[tuple[int, str]]:
    """(line number, text) of each line that is neither empty nor all comment."""
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if stripped and stripped[0] not in "#;":
            yield number, stripped


def iaxmodem_entries(
    path: Path, text: str, flags: Collection[str], problems: list[Problem]
) -> Iterator[Entry]:
    """Keyword, blanks, value; a `;` begins a comment wherever it stands.

    `flags`: the keywords that need no value; what cannot be read is added to `problems`.
    """
    for number, line in significant_lines(text):
        keyword, *rest = line.partition(";")[0].split(None, 1)
        key, value = keyword.lower(), rest[0].strip() if rest else None
        if "=" in keyword or (value or "").startswith("="):
            said = (
                "has a `=`, which IAXmodem's form does not; write a first line [modem], or leave the `=` out"
            )
            problems.append(Problem(path, number, key.partition("=")[0], said))
        elif key in flags and value and value.lower() in NO_WORDS:
            said = f"IAXmodem takes `{line}` for yes; delete the line for no, or write `{key}` alone for yes"
            problems.append(Problem(path, number, key, said))
        elif key in flags:
            yield Entry(number, key, "yes")
        else:
            yield Entry(number, key, value)


class Section(NamedTuple):
    """One section of an INI file."""

    line: int
    title: str
    entries: list[Entry]


def ini_sections(path: Path, text: str, problems: list[Problem]) -> list[Section]:
    """The sections in their order. configparser reads the syntax; it keeps no line numbers: these are found
    again."""
    parser = configparser.RawConfigParser(
        allow_no_value=True, strict=False, default_section="\n", empty_lines_in_values=False
    )
    text = "\n".join(line.strip() for line in text.split("\n"))  # an indented line continues nothing
    try:
        parser.read_string(text, str(path))
    except configparser.MissingSectionHeaderError as error:
        problems.append(Problem(path, error.lineno, "", "is no section; write [modem]"))
        return []
    except configparser.ParsingError as error:
        for number, _line in error.errors:
            said = "the line is neither `key = value` nor `[modem]`; write one of them"
            problems.append(Problem(path, number, "", said))
    sections: dict[str, Section] = {}
    lines = list(_ini_lines(text))
    last_line_of = {(title, key): number for number, title, key in lines}
    for number, title, key in lines:
        if key is None:
            if title in sections:
                said = f"[{title}] was begun in line {sections[title].line} already; put its keys there"
                problems.append(Problem(path, number, "", said))
            sections.setdefault(title, Section(number, title, []))
        elif key.startswith("["):
            problems.append(
                Problem(path, number, "", f"{key} is no section; write [modem], one modem a file")
            )
        elif last_line_of[title, key] != number:
            said = f"is given again in line {last_line_of[title, key]}; keep one of the two"
            problems.append(Problem(path, number, key, said))
        elif title in sections:
            sections[title].entries.append(Entry(number, key, parser.get(title, key, fallback=None)))
    return list(sections.values())


def _ini_lines(text: str) -> Iterator[tuple[int, str, str | None]]:
    """(line, section, key) of each key and (line, section, None) of each section header."""
    section = ""
    for number, line in enumerate(text.split("\n"), 1):
        header = re.match(r"\[(.+)\]", line)
        option = re.match(r"([^\s#;=:][^=:]*?)\s*(?:[=:]|$)", line)
        if header:
            section = header[1]
            yield number, section, None
        elif option:
            yield number, section, option[1].lower()
