"""The history of calls: kept, private, bounded, and what `report` and ATI6 make of it."""

from __future__ import annotations

import json
import random
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from cusemodem import cli
from cusemodem.at.engine import Engine
from cusemodem.at.line_facts import LineFacts
from cusemodem.history import History, HistoryError
from cusemodem.report import CallReport
from tests.call.test_fax_call import fax
from tests.call.world import World
from tests.host.pages import random_page
from tests.host.t30_receiver import FaxReceiver
from tests.host.t30_sender import FaxSender


def _report(line: str = "ttyIAX0", number: str = "100") -> CallReport:
    return CallReport(True, number, line, "2026-11-24T10:00:00+0000")


def test_what_is_put_in_comes_out_in_order(tmp_path: Path) -> None:
    history = History(tmp_path / "state")
    for k in range(5):
        history.add(_report(f"ttyIAX{k % 2}", str(k)).as_dict())
    assert [call["number"] for call in history.last(3)] == ["2", "3", "4"]
    assert [call["number"] for call in history.last(10, line="ttyIAX1")] == ["1", "3"]
    assert stat.S_IMODE(history.path.stat().st_mode) == 0o600


def test_old_calls_and_too_many_go(tmp_path: Path) -> None:
    history = History(tmp_path, keep_s=100.0, max_calls=3)
    for k in range(5):
        history.add(_report(number=str(k)).as_dict(), ended=1000.0 + k)
    assert [call["number"] for call in history.last(10)] == ["2", "3", "4"]
    history.add(_report(number="new").as_dict(), ended=1103.5)
    assert [call["number"] for call in history.last(10)] == ["4", "new"]
    assert [call["number"] for call in history.last(10, since=1100.0)] == ["new"]


def test_several_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    def write(k: int) -> None:
        for _ in range(10):
            History(tmp_path).add(_report(f"line{k}").as_dict())

    threads = [threading.Thread(target=write, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(History(tmp_path).last(100)) == 40


def test_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    history = History(tmp_path)
    with pytest.raises(HistoryError, match="no call has been recorded"):
        history.last(1)
    history.path.write_bytes(b"this is no database" * 100)
    with pytest.raises(HistoryError, match="not a database"):
        history.last(1)
    with pytest.raises(OSError, match="not a database"):
        history.add(_report().as_dict())


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", "--state", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("cusemodem report: ")
    History(tmp_path).add(_report().as_dict())
    assert cli.main(["report", "--state", str(tmp_path), "--since", "1h"]) == 0
    said = "2026-11-24 10:00:00 ttyIAX0: outgoing call to 100; never answered; ended\n"
    assert capsys.readouterr().out == said
    assert cli.main(["report", "ttyIAX0", "--json", "-n", "1", "--state", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["number"] == "100"
    assert cli.main(["report", "--since", "soon"]) == 2


def test_a_fax_calls_record_has_what_diagnosis_needs(tmp_path: Path) -> None:
    world = World(2)
    fax(world, FaxSender((random_page(1),), "200", codes=(96,)), FaxReceiver())
    report = world.stations[1].line.last_report
    assert report is not None
    History(tmp_path).add(report.as_dict())
    (call,) = History(tmp_path).last(1)
    assert (call["line"], call["number"], call["called_number"]) == ("modem1", "100", "200")
    assert (call["rate"], call["voice_format"]) == ("V.29 9600", "ulaw")
    assert call["duration_s"] > 10
    burst = call["bursts"][-1]
    assert burst["trained"]
    assert burst["snr_db"] > 25
    assert 0 < burst["evm"] < 0.1
    assert abs(burst["clock_offset_ppm"]) < 20
    assert call["media"]["received"] > 500
    assert call["media"]["dropped_ms"] == call["media"]["inserted_ms"] == 0
    with sqlite3.connect(tmp_path / "history.sqlite") as database:
        (row,) = database.execute("SELECT line, outgoing, number, cause FROM calls").fetchall()
    database.close()
    assert row == ("modem1", 0, "100", 16)


def test_audio_that_a_page_misses_is_told_of_its_burst() -> None:
    silent_at: list[float] = []

    def delay_s(_rng: random.Random) -> float | None:
        report = world.stations[1].line.report
        if not silent_at and report and len(report.bursts) == 2 and report.bursts[1].n_bytes > 500:
            silent_at.append(world.now + 0.01)  # from the next step on, for one
        return None if silent_at and 0 < world.now - silent_at[0] < 0.02 else 0.002

    world = World(2, delay_s=delay_s)
    fax(world, FaxSender((random_page(1),), "200", codes=(145,)), FaxReceiver())
    report = world.stations[1].line.last_report
    assert report is not None
    assert [burst.missing_ms for burst in report.bursts] == [0, 40.0], "a frame on each leg"
    assert "; within carriers: 40 ms missing, 0 slips; " in report.sentence()
    sent = world.stations[0].line.last_report
    assert sent is not None
    assert "within carriers" not in sent.sentence()


def test_ati6_tells_of_the_last_call() -> None:
    said: list[str] = []
    engine = Engine(facts=LineFacts(last_call=lambda: said))
    engine.host_bytes(b"ATE0\r")
    engine.take_output()
    engine.host_bytes(b"ATI6\r")
    assert b"\r\nno call yet\r\n" in engine.take_output()
    said.append("call report: outgoing call to \x1b[2J\u00e9; ended")
    engine.host_bytes(b"ATI6\r")
    assert b"\r\ncall report: outgoing call to ?[2J?; ended\r\n" in engine.take_output()
