"""The journal of a recorded call: everything that entered the modem besides the audio, and what it said.

JSON, one object a line. The first is the header: how the line stood. The others have `b`, the number of
blocks (20 ms) that had passed since, and one of: `host` and `modem` (bytes, as Latin-1 text), `port` (an
event of the port), `call` (an event of the call, with its details), `lost` (received blocks from here on are
stand-ins, or are not), `up` (audio begins: from here on each block has its 160 samples in either file).

Pure: text in, values out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cusemodem.at.identity import VERSION
from cusemodem.at.settings import Settings
from cusemodem.settings_values import settings_of, values_of

FORMAT = 1


class JournalError(Exception):
    """A file that is no journal, or a damaged one; the text says where."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened after `block` blocks."""

    block: int
    kind: str
    """host, modem, port, call, fate or up."""
    value: Any
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Header:
    """How the line stood when the journal began."""

    line: str
    settings: Settings
    is_open: bool
    dtr: bool
    version: str = VERSION


def header_line(line: str, settings: Settings, *, is_open: bool, dtr: bool) -> str:
    """The journal's first line."""
    what = {
        "cusemodem": VERSION,
        "format": FORMAT,
        "line": line,
        "open": is_open,
        "dtr": dtr,
        "settings": values_of(settings),
    }
    return json.dumps(what) + "\n"


def entry_line(block: int, kind: str, value: object, details: dict[str, object] | None = None) -> str:
    """One line of the journal."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return json.dumps({"b": block, kind: value} | (details or {})) + "\n"


def parse(lines: Iterable[str]) -> tuple[Header, Iterator[Entry]]:
    """The header, and the entries as they are read. Raises JournalError, also while iterating."""
    numbered = enumerate(lines, 1)
    first = next(numbered, (1, ""))[1]
    return _header(first), _entries(numbered)


def _header(text: str) -> Header:
    try:
        head = json.loads(text)
        if head["format"] != FORMAT:
            version = head["cusemodem"]
            raise JournalError(f"line 1: made by cusemodem {version}, in another form; use that version")
        settings = settings_of(head["settings"])
        return Header(head["line"], settings, head["open"], head["dtr"], head["cusemodem"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JournalError("line 1: this is no journal of a recorded call") from error


def _entries(numbered: Iterable[tuple[int, str]]) -> Iterator[Entry]:
    for number, text in numbered:
        try:
            what = json.loads(text)
            block = int(what.pop("b"))
            kind = next(iter(what))
            value = what.pop(kind)
            if kind in ("host", "modem"):
                value = str(value).encode("latin-1")
        except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
            if not text.endswith("\n"):
                return  # cut off by a crash: what came before is good
            raise JournalError(f"line {number}: damaged") from error
        yield Entry(block, kind, value, what)
