"""The port in a real kernel against a tty, under real programs and under stress: one guest runs all of
`port_checks.py`, each check is a test here.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.bed.guest import BED, Guest
from tests.kernel.checks_terminal_programs import PYSERIAL_TESTS
from tests.kernel.differential import Difference, Listed, judge, listed
from tests.kernel.port_checks import CHECKED

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def results(uml: Guest) -> dict[str, dict[str, Any]]:
    subprocess.run([str(BED / "guest-packages"), "fetch"], check=True)
    _fetch_pyserials_tests()
    done = uml([sys.executable, "-m", "tests.kernel.port_checks"], timeout_s=600)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"check"')]
    found = {line["check"]: line for line in lines}
    assert found, f"no check ran: status {done.returncode}\n{done.stdout}{done.stderr}"
    found["the end"] = {"status": done.returncode, "stderr": done.stderr[-3000:]}
    return found


def _fetch_pyserials_tests() -> None:
    """They are in its source package only."""
    if PYSERIAL_TESTS.is_dir():
        return
    directory = PYSERIAL_TESTS.parent.parent
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as download:
        command = ["pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "pyserial==3.5"]
        subprocess.run([sys.executable, "-m", *command, "-d", download], check=True)
        (archive,) = Path(download).glob("*.tar.gz")
        shutil.unpack_archive(archive, directory)


@pytest.mark.parametrize("name", CHECKED)
def test_port(name: str, results: dict[str, dict[str, Any]]) -> None:
    assert name in results, f"the guest did not come so far: {results['the end']}"
    assert "failed" not in results[name], results[name]["failed"]


def test_the_table_of_differences_is_read_whole() -> None:
    admitted = listed()
    assert len(admitted) > 30
    assert all(line.reason and line.ours and line.tty for line in admitted)


def test_what_the_table_does_not_admit_is_complained_of() -> None:
    admitted = [Listed("lseek", "`0`", "`ESPIPE`", "why"), Listed("TCSETS?2 *", "code", "`BOTHER`", "why")]
    lseek, speed = Difference("lseek", "0", "ESPIPE"), Difference("TCSETSW2 at 9600", "x", "BOTHER")
    assert judge([lseek, speed], admitted) == []
    assert len(judge([lseek], admitted)) == 1, "a line that no longer holds"
    assert len(judge([lseek, speed, Difference("mmap", "0", "ENODEV")], admitted)) == 1
    assert len(judge([Difference("lseek", "1", "ESPIPE"), speed], admitted)) == 2
