"""Log files, one for each line, that grow to a bound; lines that cannot be written now are kept for later.

A full disk, a directory that is not there or that may not be written in is told once; the lines go to stderr,
and into the file as well when it can be written again.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

SERVICE_NAME = "cusemodem"
LOG_DIRECTORY = "/var/log/cusemodem"
FILE_MODE = 0o640
MAX_WAITING = 1000
"""Lines of one file that are kept while it cannot be written; older ones are dropped and counted."""


class Ids(NamedTuple):
    """A user and a group."""

    uid: int
    gid: int


@dataclass
class _Waiting:
    """What one file could not take."""

    since: float
    reason: str
    lines: deque[bytes] = field(default_factory=deque)
    n_lost: int = 0


class FileSink:
    """A file for each line, `directory/NAME`, and `directory/cusemodem`; beyond `limit_bytes` it becomes
    `NAME.old`. `owner`: whom a new file belongs to, when the process is root's."""

    def __init__(self, directory: Path, limit_bytes: int, owner: Ids | None = None) -> None:
        self.directory = directory
        self._limit_bytes = limit_bytes
        self._owner = owner
        with suppress(OSError):  # the first line will tell
            directory.mkdir(mode=0o750, exist_ok=True)
        self._files: dict[str, int] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._complained = False

    def write(self, line: str, level: int, text: str, fields: Mapping[str, object]) -> None:
        """Append it, or keep it until that is possible."""
        name = line or SERVICE_NAME
        data = (text + "\n").encode("utf-8", "backslashreplace")
        waiting = self._waiting.get(name)
        try:
            if waiting is not None:
                self._catch_up(name, waiting)
            self._append(name, data)
        except OSError as error:
            self._keep(name, data, error)
            _say(text)
        else:
            self._catch_up_all()

    def close(self) -> None:
        """The last try for what is waiting."""
        self._catch_up_all()
        self.reopen()

    def _catch_up_all(self) -> None:
        for name, waiting in list(self._waiting.items()):
            with suppress(OSError):
                self._catch_up(name, waiting)

    def _append(self, name: str, data: bytes) -> None:
        """Write all of it; on an error nothing, or a part whose rest is put in `_waiting`."""
        descriptor = self._file(name)
        done = os.write(descriptor, data)
        while done < len(data):  # a disk that is about to be full
            try:
                done += os.write(descriptor, data[done:])
            except OSError as error:
                self._keep(name, data[done:], error)
                return

    def _catch_up(self, name: str, waiting: _Waiting) -> None:
        """The disk has room again: what was kept, with a line that says what happened. Raises OSError."""
        del self._waiting[name]
        while waiting.lines:
            try:
                self._append(name, waiting.lines[0])
            except OSError:
                self._waiting[name] = waiting
                raise
            waiting.lines.popleft()
            if name in self._waiting:  # it could take a part
                self._waiting[name].lines.extend(waiting.lines)
                raise OSError(self._waiting[name].reason)
        self._complained = False
        since = time.strftime("%H:%M:%S", time.localtime(waiting.since))
        lost = f"{waiting.n_lost} lines were lost" if waiting.n_lost else "nothing was lost"
        at = time.strftime("%Y-%m-%d %H:%M:%S")
        said = f"[{at}] this log could not be written from {since} on ({waiting.reason}); {lost}\n"
        self._append(name, said.encode())

    def _keep(self, name: str, data: bytes, error: OSError) -> None:
        if (descriptor := self._files.pop(name, None)) is not None:
            os.close(descriptor)
        reason = error.strerror or str(error)
        waiting = self._waiting.setdefault(name, _Waiting(time.time(), reason))
        waiting.lines.append(data)
        if len(waiting.lines) > MAX_WAITING:
            waiting.lines.popleft()
            waiting.n_lost += 1
        if not self._complained:
            self._complained = True
            said = f"cannot log to {self._path(name)}: {reason}; logging here"
            _say(f"{SERVICE_NAME}: {said}")

    def reopen(self) -> None:
        """Close all; the next line opens its file again."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()
        self._complained = False

    def _path(self, name: str) -> Path:
        return self.directory / name

    def _file(self, name: str) -> int:
        """The open file of `name`, within its bound."""
        descriptor = self._files.get(name)
        if descriptor is None:
            descriptor = self._files[name] = self._open(name)
        if os.fstat(descriptor).st_size > self._limit_bytes:
            del self._files[name]
            mine = os.fstat(descriptor)
            os.close(descriptor)
            with suppress(FileNotFoundError):
                if os.path.samestat(mine, self._path(name).stat()):  # else another process has done it
                    self._path(name).replace(self._path(f"{name}.old"))
            descriptor = self._files[name] = self._open(name)
        return descriptor

    def _open(self, name: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path(name), flags, FILE_MODE)
        if self._owner is not None and os.geteuid() == 0:
            os.fchown(descriptor, *self._owner)
        return descriptor


def _say(text: str) -> None:
    with suppress(OSError):  # stderr may be a file on the same disk
        print(text, file=sys.stderr, flush=True)
