"""Log files: bounded, and complete as soon as the disk allows it."""

from __future__ import annotations

import logging
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cusemodem.log_files import MAX_WAITING, FileSink
from cusemodem.logs import JournalSink


def _write(sink: FileSink, text: str, line: str = "ttyIAX0") -> None:
    sink.write(line, logging.INFO, text, {})


@contextmanager
def _no_file_beyond(n_bytes: int) -> Iterator[None]:
    """A disk as full as that, for this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_costs_no_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sink = FileSink(tmp_path, 1 << 20)
    written = [f"line {k} with some words" for k in range(25)]
    with _no_file_beyond(300):
        for text in written[:16]:
            _write(sink, text)
    said = capfd.readouterr().err.splitlines()
    assert said[0] == f"cusemodem: cannot log to {tmp_path}/ttyIAX0: File too large; logging here"
    assert said[1:] == [text for text in written[:16] if text in said], "each line once, and nothing else"
    for text in written[16:]:
        _write(sink, text)
    log = (tmp_path / "ttyIAX0").read_text().splitlines()
    (told,) = (line for line in log if "could not be written" in line)
    assert told.endswith("on (File too large); nothing was lost")
    assert [line for line in log if line != told] == written
    assert capfd.readouterr().err == ""


def test_what_a_dead_disk_costs_is_bounded_and_counted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "none" / "log"
    sink = FileSink(directory, 1 << 20)
    for k in range(MAX_WAITING + 7):
        _write(sink, f"line {k}")
    assert capfd.readouterr().err.count("cannot log") == 1
    directory.mkdir(parents=True)
    _write(sink, "the last")
    log = (directory / "ttyIAX0").read_text().splitlines()
    assert log[0] == "line 7"
    assert log[-2].endswith("(No such file or directory); 7 lines were lost")
    assert log[-1] == "the last"
    assert len(log) == MAX_WAITING + 2


def test_two_processes_move_a_full_log_away_once(tmp_path: Path) -> None:
    one, other = FileSink(tmp_path, 100), FileSink(tmp_path, 100)
    _write(other, "early", "")
    _write(one, "x" * 120, "")
    _write(one, "after", "")
    _write(other, "from the other one", "")
    assert (tmp_path / "cusemodem").read_text() == "after\nfrom the other one\n"
    assert (tmp_path / "cusemodem.old").read_text() == "early\n" + "x" * 120 + "\n"


def test_a_log_is_never_written_through_a_link(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "ttyIAX0").symlink_to(tmp_path / "precious")
    _write(FileSink(tmp_path / "log", 100), "text")
    assert not (tmp_path / "precious").exists()
    assert "cannot log to" in capfd.readouterr().err


def test_a_journal_that_stalls_costs_lines_that_are_counted_and_no_time(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        journal.setblocking(False)
        sink = JournalSink(str(tmp_path / "journal"))
        for k in range(2000):  # would block for ever, if it could
            sink.write("ttyIAX0", logging.INFO, f"line {k}", {})
        taken = []
        while True:
            try:
                taken.append(journal.recv(4096).decode())
            except BlockingIOError:
                break
        sink.write("ttyIAX0", logging.ERROR, "after", {})
        last = journal.recv(4096).decode()
        assert f"MESSAGE=({2000 - len(taken)} lines lost, the journal was busy) after\n" in last
        assert "PRIORITY=3\n" in last
        assert "CUSEMODEM_LINE=ttyIAX0\n" in last
        sink.close()
