"""In real time, with real programs: whole faxes over a network that loses frames; Debian's iaxmodem on our
exchange. Both at once: they take their time, but little of the processor."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bed.guest import BED, REPOSITORY

pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces with mounts need root"),
]
PLACE = REPOSITORY / ".cache" / "system-tests"
COMMANDS = {
    "bad_network": "--runs 2 --cases loss-0.5 --lines 4 --short --goal 1/2",
    "iaxmodem_on_exchange": "",
}


@pytest.fixture(scope="module")
def running() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Both commands, started."""
    processes = {}
    for name, arguments in COMMANDS.items():
        place: Path = PLACE / name
        place.mkdir(parents=True, exist_ok=True)
        processes[name] = subprocess.Popen(
            [
                *(BED / "namespace-run", "--timeout", "300", "--share", place, "--"),
                *(sys.executable, "-m", f"tests.system.{name}", "--directory", place, *arguments.split()),
            ],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield processes
    finally:
        for process in processes.values():
            process.terminate()
            process.communicate()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_page_arrives(running: dict[str, subprocess.Popen[str]], name: str) -> None:
    """Of the lossy calls, at least one each way: the full campaign asks for 19 of 20."""
    said, _ = running[name].communicate(timeout=320)
    print(said)
    assert running[name].returncode == 0, said
