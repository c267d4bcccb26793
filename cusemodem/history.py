"""The history of calls: a small SQLite file, one row a call with its whole report as JSON; old rows go.

Several processes may write; each call of these functions opens the file, because one call an hour or ten a
minute is all there ever is.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

FILE_NAME = "history.sqlite"
KEEP_S = 365 * 86400.0
MAX_CALLS = 100_000
BUSY_S = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY,
    ended REAL NOT NULL,         -- seconds since 1970
    line TEXT NOT NULL,
    outgoing INTEGER NOT NULL,
    number TEXT NOT NULL,
    duration_s REAL NOT NULL,    -- 0: never answered
    cause INTEGER,
    report TEXT NOT NULL         -- JSON, all of it
);
CREATE INDEX IF NOT EXISTS calls_by_line ON calls (line, ended);
CREATE INDEX IF NOT EXISTS calls_by_end ON calls (ended);
"""


class HistoryError(Exception):
    """The history cannot be read; one sentence."""


class History:
    """The calls kept in `directory`."""

    def __init__(self, directory: Path, keep_s: float = KEEP_S, max_calls: int = MAX_CALLS) -> None:
        self.path = directory / FILE_NAME
        self._keep_s = keep_s
        self._max_calls = max_calls

    def add(self, report: Mapping[str, Any], ended: float | None = None, *, expire: bool = True) -> None:
        """Keep one call's report and, with `expire`, let the oldest go. Raises OSError if it cannot."""
        now = time.time() if ended is None else ended
        row = (now, report["line"], report["outgoing"], report["number"], report["duration_s"])
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.path.exists():
            os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        try:
            with self._open(f"file:{_quoted(self.path)}") as database, database:
                database.executescript(_SCHEMA)
                database.execute(
                    "INSERT INTO calls (ended, line, outgoing, number, duration_s, cause, report) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*row, report["cause"], json.dumps(report)),
                )
                if expire:
                    database.execute("DELETE FROM calls WHERE ended < ?", (now - self._keep_s,))
                beyond = "DELETE FROM calls WHERE id <= (SELECT max(id) FROM calls) - ?"
                database.execute(beyond, (self._max_calls,))
        except sqlite3.Error as error:
            raise OSError(f"{self.path}: {error}") from error

    def last(self, n: int, *, line: str = "", since: float = 0.0) -> list[dict[str, Any]]:
        """The reports of the last `n` calls (of one line, since a time), the oldest of them first.

        Raises HistoryError.
        """
        if not self.path.exists():
            raise HistoryError(f"{self.path}: no call has been recorded there yet")
        try:
            with self._open(f"file:{_quoted(self.path)}?mode=ro") as database:
                rows = database.execute(
                    "SELECT report FROM calls WHERE (?1 = '' OR line = ?1) AND ended >= ?2 "
                    "ORDER BY id DESC LIMIT ?3",
                    (line, since, n),
                ).fetchall()
        except sqlite3.Error as error:
            if "no such table" in str(error):  # made on a full disk
                raise HistoryError(f"{self.path}: no call has been recorded there yet") from error
            raise HistoryError(f"{self.path}: {error}; move it away to begin a new one") from error
        return [json.loads(row[0]) for row in reversed(rows)]

    @contextmanager
    def _open(self, uri: str) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_S)) as database:
            yield database


def _quoted(path: Path) -> str:
    return path.absolute().as_uri().removeprefix("file://")
