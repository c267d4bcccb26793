"""What a call leaves behind, when the disk is full and when the clock is set: nothing is lost."""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cusemodem.archive import Archive
from cusemodem.background import Background, Job
from cusemodem.history import History
from cusemodem.recording_store import Limits, RecordingStore
from cusemodem.report import CallReport


class AtOnce(Background):
    """Jobs run where they are submitted."""

    def submit(self, job: Job) -> None:
        job()


@contextmanager
def _no_file_beyond(n_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _report(number: str) -> CallReport:
    return CallReport(True, number, "ttyIAX0", "2026-11-24T10:00:00+0000")


def test_reports_wait_for_a_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    archive = Archive(tmp_path, AtOnce())
    archive.keep(_report("1"))
    with _no_file_beyond(100):
        archive.keep(_report("2"))
        archive.keep(_report("3"))
    said = [record.message for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith(f"cannot keep the history: {tmp_path}/history.sqlite: ")
    assert said[1].endswith("; 2 call reports wait for the next call")
    archive.keep(_report("4"))
    assert [call["number"] for call in History(tmp_path).last(9)] == ["1", "2", "3", "4"]


def test_reports_that_wait_are_tried_once_more_at_the_end(tmp_path: Path) -> None:
    archive = Archive(tmp_path, AtOnce())
    with _no_file_beyond(0):
        archive.keep(_report("1"))
    archive.close()
    assert [call["number"] for call in History(tmp_path).last(9)] == ["1"]


def test_a_clock_that_is_set_removes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = [time.time()]
    archive = Archive(tmp_path, AtOnce(), history_s=86400.0, wall_clock=lambda: now[0])
    archive.keep(_report("1"))
    now[0] += 10 * 365 * 86400
    archive.keep(_report("2"))
    archive.keep(_report("3"))
    assert [call["number"] for call in History(tmp_path).last(9)] == ["1", "2", "3"]
    (said,) = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == (
        "this machine's clock was set +315360000 s: nothing is removed as too old until the next start"
    )
    now[0] -= 20 * 365 * 86400
    archive.keep(_report("4"))
    assert len(History(tmp_path).last(9)) == 4


def test_a_clock_that_is_set_removes_no_recording(tmp_path: Path) -> None:
    old = tmp_path / "ttyIAX0" / "20160101T000000.000"
    old.mkdir(parents=True)
    may_expire = [False]
    store = RecordingStore(tmp_path, Limits(keep_s=-1.0), lambda: may_expire[0])
    store.expire("ttyIAX0", tmp_path)
    assert old.exists()
    may_expire[0] = True
    store.expire("ttyIAX0", tmp_path)
    assert not old.exists()


def test_a_recording_on_a_full_disk_stops_and_what_there_is_can_be_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = RecordingStore(tmp_path)
    files = store.new_call("ttyIAX0", datetime(2026, 11, 24, tzinfo=UTC))
    block = bytes(320)
    files.write(block, block, "{}\n")
    with _no_file_beyond(700):
        files.write(block * 2, block, "{}\n")  # one direction fits, the other does not
        files.write(block, block, "{}\n")
    files.write(block, block, "{}\n")
    files.finish({"cause": 16})
    assert [files.path(way, "raw").stat().st_size for way in ("iax", "dsp")] == [320, 320]
    assert (files.directory / "report.json").exists()
    said = [record.message for record in caplog.records]
    assert said == [f"recording in {files.directory} stopped: File too large; the call goes on"]
