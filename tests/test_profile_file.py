"""The file of stored profiles: atomic, lasting, and one sentence when it is of no use."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from cusemodem.at import Engine
from cusemodem.modem_engine import quality_lines
from cusemodem.profile_file import MAX_BYTES, load_profiles
from cusemodem.report import Burst, CallReport, MediaCounts


def modem(state: Path, name: str = "ttyIAX0") -> Engine:
    return Engine(profiles=load_profiles(state, name))


def said(engine: Engine, line: bytes) -> bytes:
    engine.host_bytes(line)
    return engine.take_output().removeprefix(line)


def test_what_w_stored_is_there_after_a_restart_of_this_modem_only(tmp_path: Path) -> None:
    assert said(modem(tmp_path), b"ATE0S7=90&W\r").endswith(b"OK\r\n")
    assert modem(tmp_path).settings.registers[7] == 90
    assert modem(tmp_path, "ttyIAX1").settings.registers[7] == 60
    assert os.listdir(tmp_path / "profiles") == ["ttyIAX0.json"]  # noqa: PTH208
    assert (tmp_path / "profiles" / "ttyIAX0.json").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff\xfe", b"x" * (MAX_BYTES + 1), b'{"format": 1, "profiles": [1, 2]}']
)
def test_a_bad_file_is_one_sentence_and_factory_settings(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    path = tmp_path / "profiles" / "ttyIAX0.json"
    path.parent.mkdir()
    path.write_bytes(content)
    with caplog.at_level(logging.ERROR):
        engine = modem(tmp_path)
    assert len(caplog.messages) == 1
    assert str(path) in caplog.messages[0]
    assert "factory settings instead, AT&W stores new ones" in caplog.messages[0]
    assert engine.settings.registers[7] == 60
    assert str(path) in said(engine, b"ATI2\r").decode()
    assert said(engine, b"ATE0S7=90&W\r").endswith(b"OK\r\n")
    assert said(engine, b"ATI2\r") == b"\r\nstored profiles: good\r\n\r\nOK\r\n"
    assert modem(tmp_path).settings.registers[7] == 90


def test_a_directory_that_cannot_be_written_is_error_and_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "profiles").write_text("a file where the directory should be")
    engine = modem(tmp_path)
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        assert said(engine, b"ATE0&W\r").endswith(b"ERROR\r\n")
    assert len(caplog.messages) == 1
    assert "cannot be written" in caplog.messages[0]


def test_a_write_that_was_cut_short_leaves_the_old_file(tmp_path: Path) -> None:
    said(modem(tmp_path), b"ATE0S7=90&W\r")
    (tmp_path / "profiles" / "ttyIAX0.new").write_text('{"format": 1, "prof')
    assert modem(tmp_path).settings.registers[7] == 90


def test_line_quality_is_one_line_a_burst_and_one_for_the_packets() -> None:
    report = CallReport(outgoing=False, number="555", n_blocks=500, answered_block=0, frames_received=7)
    report.bursts = [
        Burst(145, transmitted=True, start_s=1.0, n_bytes=9),
        Burst(145, transmitted=False, start_s=2.0, trained=False),
        Burst(96, False, 5.0, True, 0, 12000, -14.0, 33.1, 0.021, 0.3, 12.0),
    ]
    report.media = MediaCounts(received=500, lost_ms=20.0, jitter_ms=1.5, rtt_ms=3.0)
    assert quality_lines(report) == [
        "incoming call from 555, 10.0 s",
        "V.17 14400 at 2.0 s: not trained",
        "V.29 9600 at 5.0 s: 12000 bytes, level -14.0 dBm0, SNR 33.1 dB, EVM 2.1%, carrier +0.30 Hz, "
        "clock +12.0 ppm",
        "V.21 frames: 7 received, 0 bad, 0 sent",
        "packets: 20 ms lost, jitter 1.5 ms, 0 reordered, 0 late, round trip 3 ms",
    ]
