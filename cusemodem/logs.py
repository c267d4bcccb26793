"""Where log lines go: the journal, files that grow to a bound, or the standard streams; as text or JSON.

A line of the log is one event; what came from the network is printable by then, and is escaped here once
more. `Log.write` may wait for a disk: a process with a tick gives its records to a background thread.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from cusemodem.background import Submit
from cusemodem.log_files import LOG_DIRECTORY, SERVICE_NAME, FileSink, Ids

JOURNAL_SOCKET = "/run/systemd/journal/socket"
MAX_MESSAGE_BYTES = 8192

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class Sink(Protocol):
    """A place for log lines."""

    def write(self, line: str, level: int, text: str, fields: Mapping[str, object]) -> None:
        """Put one event there; `line` is the modem's name, "" for the service."""

    def reopen(self) -> None:
        """Begin new files, the old ones having been moved away."""

    def close(self) -> None:
        """Nothing more comes."""


class StreamSink:
    """Informational lines to stdout, warnings and errors to stderr, as the original has it."""

    def write(self, line: str, level: int, text: str, fields: Mapping[str, object]) -> None:
        """Print it; a reader that has gone is no reason to end."""
        try:
            print(text, file=sys.stdout if level < logging.WARNING else sys.stderr, flush=True)
        except OSError:
            return

    def reopen(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class JournalSink:
    """systemd's journal, with priority and fields, in its native protocol. Never waits: what the journal
    cannot take now is counted in the next line."""

    def __init__(self, path: str = "") -> None:
        self._path = path or JOURNAL_SOCKET
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._n_lost = 0

    def write(self, line: str, level: int, text: str, fields: Mapping[str, object]) -> None:
        """Send it."""
        if self._n_lost:
            text = f"({self._n_lost} lines lost, the journal was busy) {text}"
        values = {
            "MESSAGE": text,
            "PRIORITY": _PRIORITIES.get(level, 6),
            "SYSLOG_IDENTIFIER": SERVICE_NAME,
            **({"CUSEMODEM_LINE": line} if line else {}),
            **{f"CUSEMODEM_{key.upper()}": json.dumps(value) for key, value in fields.items()},
        }
        datagram = "".join(f"{key}={_one_line(str(value))}\n" for key, value in values.items())
        try:
            self._socket.sendto(datagram.encode("utf-8", "backslashreplace"), self._path)
            self._n_lost = 0
        except OSError:
            self._n_lost += 1

    def close(self) -> None:
        """Send nothing more."""
        self._socket.close()

    def reopen(self) -> None:
        """Nothing to do."""


class LogHandler(logging.Handler):
    """Formats in the thread that logs, writes wherever `submit` runs it."""

    def __init__(self, sink: Sink, *, as_json: bool, name_lines: bool, submit: Submit | None = None) -> None:
        super().__init__()
        self._sink = sink
        self._as_json = as_json
        self._name_lines = name_lines
        self._submit = submit

    def emit(self, record: logging.LogRecord) -> None:
        """Hand it over."""
        line = getattr(record, "line", "")
        call = getattr(record, "call", None)
        fields = {} if call is None else {"call": call}
        try:
            message = self._message(record)
            text = (
                self._json(record, line, message, fields)
                if self._as_json
                else self._text(record, line, message)
            )
            if self._submit is None:
                self._sink.write(line, record.levelno, text, fields)
            else:
                self._submit(lambda: self._sink.write(line, record.levelno, text, fields))
        except Exception:
            self.handleError(record)

    def _message(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message += "; " + logging.Formatter().formatException(record.exc_info).replace("\n", " | ")
        return _one_line(message)[:MAX_MESSAGE_BYTES]

    def _text(self, record: logging.LogRecord, line: str, message: str) -> str:
        named = f"{line}: {message}" if line and self._name_lines else message
        if isinstance(self._sink, JournalSink):
            return named
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        return f"[{at}.{int(record.msecs):03d}] {named}"

    def _json(self, record: logging.LogRecord, line: str, message: str, fields: Mapping[str, object]) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(record.created))
        zone = time.strftime("%z", time.localtime(record.created))
        what: dict[str, object] = {
            "time": f"{at}.{int(record.msecs):03d}{zone}",
            "level": record.levelname.lower(),
            "message": message,
        }
        return json.dumps(what | ({"line": line} if line else {}) | dict(fields))


def set_up(handler: logging.Handler, level: int = logging.INFO) -> None:
    """Send all of the process's log to `handler`."""
    logging.basicConfig(level=level, handlers=[handler], force=True)


def new_sink(log: str, limit_bytes: int, owner: Ids | None = None) -> Sink:
    """The place that the key `log` names; `owner` of files that it makes."""
    if log == "auto":
        log = "journal" if under_systemd() else LOG_DIRECTORY
    if log == "journal":
        return JournalSink()
    return StreamSink() if log == "stderr" else FileSink(Path(log), limit_bytes, owner)


def names_lines(sink: Sink) -> bool:
    """Whether the lines' names belong into the text: not where each has its own file."""
    return not isinstance(sink, FileSink)


def under_systemd() -> bool:
    """Whether stdout or stderr is the journal's, as JOURNAL_STREAM says (systemd.exec(5)); a program further
    down may have inherited the variable alone."""
    if not Path(JOURNAL_SOCKET).exists():
        return False
    for descriptor in (1, 2):
        with suppress(OSError):
            found = os.fstat(descriptor)
            if os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}":
                return True
    return False


def _one_line(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
