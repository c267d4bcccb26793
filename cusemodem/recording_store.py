"""Recordings on disk: one directory a call, readable by the owner only, bounded in size and age.

STATE/recordings/ttyIAX0/20261124T101502.123/
    ttyIAX0-iax.raw   what the modem heard, signed 16-bit little-endian, 8000 Hz, mono
    ttyIAX0-dsp.raw   what the modem sent; both begin at the answer and are equally long
    ttyIAX0-iax.wav, ttyIAX0-dsp.wav   the same to play, made when the call is over
    call.jsonl        the journal (journal.py); report.json: the call report
STATE/recordings/ttyIAX0-iax.raw, ttyIAX0-dsp.raw   links to the last call's, under IAXmodem's names
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import time
import wave
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

SAMPLE_RATE = 8000
DIRECTIONS = ("iax", "dsp")

_STAMP = re.compile(r"\d{8}T\d{6}\.\d{3}(-\d+)?")
_log = logging.getLogger("cusemodem.recording")


@dataclass(frozen=True)
class Limits:
    """How much is kept."""

    total_bytes: int = 1 << 30
    """All recordings of one line together, the one under way included."""
    keep_s: float = 30 * 86400.0
    """A recording older than this is removed when a call ends."""


class RecordingStore:
    """The recordings below one directory."""

    def __init__(
        self, directory: Path, limits: Limits = Limits(), may_expire: Callable[[], bool] = lambda: True
    ) -> None:
        self.directory = directory
        self.limits = limits
        self._may_expire = may_expire

    def new_call(self, line: str, local_time: datetime) -> CallFiles:
        """Name a new recording; nothing is written yet."""
        stamp = local_time.strftime("%Y%m%dT%H%M%S.") + f"{local_time.microsecond // 1000:03d}"
        return CallFiles(self, line, self.directory / line / stamp)

    def calls(self, line: str) -> list[Path]:
        """The recordings of `line`, oldest first."""
        try:
            found = [p for p in (self.directory / line).iterdir() if _STAMP.fullmatch(p.name) and p.is_dir()]
        except OSError:
            return []
        return sorted(found)

    def expire(self, line: str, keep: Path) -> None:
        """Remove what is too old, and the oldest while there is too much; never `keep`."""
        calls = self.calls(line)
        sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for path in calls}
        total = sum(sizes.values())
        oldest = time.time() - self.limits.keep_s if self._may_expire() else 0.0
        for path in calls:
            if path == keep or (path.stat().st_mtime >= oldest and total <= self.limits.total_bytes):
                continue
            shutil.rmtree(path)
            total -= sizes[path]
            _log.info("removed the recording %s", path)


class CallFiles:
    """The files of one call. Each method may wait for the disk; after a failure the rest is left out, with
    one line in the log, and the call goes on."""

    def __init__(self, store: RecordingStore, line: str, directory: Path) -> None:
        self.directory = directory
        self._store = store
        self._line = line
        self._open: list[IO[bytes]] = []
        self._failed = False
        self._n_bytes = 0
        self._n_audio_bytes = 0
        """Of each direction, complete on the disk."""

    def path(self, direction: str, form: str) -> Path:
        """The file of `direction` (iax, dsp) in `form` (raw, wav)."""
        return self.directory / f"{self._line}-{direction}.{form}"

    def write(self, received: bytes, transmitted: bytes, text: str) -> None:
        """Append audio of both directions, and the journal's lines."""
        if self._failed:
            return
        try:
            if not self._open:
                self._create()
            limit = self._store.limits.total_bytes
            # raw and wav: the audio is on the disk twice in the end
            if self._n_bytes + 2 * len(received) + 2 * len(transmitted) + len(text) > limit:
                self._fail(f"the call is longer than {limit >> 20} MB, the limit for recordings")
                return
            for file, data in zip(self._open, (received, transmitted, text.encode()), strict=True):
                _write_all(file, data)
            self._n_audio_bytes += len(received)
            self._n_bytes += 2 * len(received) + 2 * len(transmitted) + len(text)
        except OSError as error:
            self._fail(error.strerror or str(error))

    def _create(self) -> None:
        self.directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        base = self.directory
        for attempt in range(1, 100):
            try:
                self.directory.mkdir(mode=0o700)
                break
            except FileExistsError:  # the clock was set back
                self.directory = base.with_name(f"{base.name}-{attempt}")
        paths = [self.path(direction, "raw") for direction in DIRECTIONS] + [self.directory / "call.jsonl"]
        self._open = [_create(path) for path in paths]

    def finish(self, report: Mapping[str, object]) -> None:
        """The call is over: write the report and the WAV pair, set the links, remove what is too much."""
        for file in self._open:
            with suppress(OSError):
                file.close()
        try:
            if self._open:
                with _create(self.directory / "report.json") as file:
                    _write_all(file, json.dumps(report, indent=1).encode() + b"\n")
                if not self._failed:
                    self._make_wavs()
                self._set_links()
        except OSError as error:
            self._fail(error.strerror or str(error))
        try:
            self._store.expire(self._line, self.directory)  # all the more when the disk is full
        except OSError as error:
            self._fail(error.strerror or str(error))

    def _make_wavs(self) -> None:
        for direction in DIRECTIONS:
            with _create(self.path(direction, "wav"), -1) as file, wave.open(file, "wb") as out:
                out.setnchannels(1)
                out.setsampwidth(2)
                out.setframerate(SAMPLE_RATE)
                with self.path(direction, "raw").open("rb") as raw:
                    out.setnframes(os.fstat(raw.fileno()).st_size // 2)
                    while piece := raw.read(1 << 16):
                        out.writeframesraw(piece)

    def _set_links(self) -> None:
        for direction in DIRECTIONS:
            target = self.path(direction, "raw")
            link = self._store.directory / target.name
            fresh = link.with_name(f".{link.name}.new")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(target.relative_to(self._store.directory))
            fresh.replace(link)

    def _fail(self, reason: str) -> None:
        if not self._failed:
            self._failed = True
            for file in self._open[: len(DIRECTIONS)]:  # both equally long, so that they can be replayed
                with suppress(OSError, ValueError):
                    file.truncate(self._n_audio_bytes)
            _log.error("recording in %s stopped: %s; the call goes on", self.directory, reason)


def _write_all(file: IO[bytes], data: bytes) -> None:
    """Write to an unbuffered file, which may take less than all at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _create(path: Path, buffering: int = 0) -> IO[bytes]:
    """A new file for the owner alone; never one that is there already, nor through a link."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "wb", buffering=buffering)


def last_call(directory: Path, line: str) -> tuple[Path, Path] | None:
    """The raw files (heard, sent) that IAXmodem's names in `directory` lead to, or None."""
    heard, sent = (directory / f"{line}-{direction}.raw" for direction in DIRECTIONS)
    return (heard, sent) if heard.is_file() and sent.is_file() else None


def blocks(path: Path, size: int = 320) -> Iterator[bytes]:
    """The whole blocks of a raw file."""
    with path.open("rb") as file:
        while len(piece := file.read(size)) == size:
            yield piece
