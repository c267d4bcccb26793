"""`cusemodem status`, against a service of real processes and by itself."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from cusemodem import cli
from cusemodem.status_command import call_text, table
from tests.service.running import CUSEMODEM, RunningService, eventually

CALL = {
    "outgoing": True,
    "number": "100[bold]",
    "state": "up",
    "duration_s": 12.3,
    "rate": "V.29 9600",
    "level_dbm0": -14.21,
}


def test_a_table_of_a_call_and_a_failure() -> None:
    lines = [
        {"name": "a", "device": "/dev/a", "kind": "cuse", "state": "ready", "registered": "yes", "open": 1}
        | {"reason": "", "call": CALL, "last_call": None},
        {"name": "b", "device": "/dev/b", "state": "failed", "reason": "no permission"},
    ]
    console = Console(width=160, highlight=False)
    with console.capture() as captured:
        console.print(table({"lines": lines}))
    text = captured.get()
    assert "/dev/a (cuse)" in text
    assert "to 100[bold], up 12 s, V.29 9600, -14.2 dBm0" in text, "what comes from outside is no markup"
    assert "failed: no permission" in text


def test_what_a_line_without_a_call_says() -> None:
    assert call_text({"call": None, "last_call": None}) == ""
    last = {"outgoing": False, "number": "", "duration_s": 0}
    assert call_text({"call": None, "last_call": last}) == "last: from an unknown number, not answered"


def test_without_a_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--control", str(tmp_path / "none")]) == 1
    said = f"no service answers at {tmp_path}/none (No such file or directory); is it running?"
    assert capsys.readouterr().err == f"cusemodem status: {said}\n"


def test_of_a_running_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RunningService(tmp_path) as service:
        service.modem(0)
        service.start()
        assert cli.main(["status", "--config", str(service.etc)]) == 0
        assert f"{tmp_path}/ttyIAX0 (pty)" in capsys.readouterr().out.replace("\n", "")
        assert cli.main(["status", "--json", "--config", str(service.etc)]) == 0
        assert json.loads(capsys.readouterr().out)["lines"][0]["state"] == "ready"
        command = [*CUSEMODEM, "status", "--json", "--watch", "--config", str(service.etc)]
        watch = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert watch.stdout is not None
        assert json.loads(watch.stdout.readline())["service"]["state"] == "ready"
        service.stop()
        _, err = watch.communicate(timeout=60)
        assert watch.returncode == 1
        assert err.startswith("cusemodem status: ")
        assert eventually(lambda: not (tmp_path / "run" / "control").exists())
