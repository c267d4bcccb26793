"""A worker process: what it leaves behind when it fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FAILS = """
import sys
from multiprocessing import Pipe
from pathlib import Path
from cusemodem import logs, worker_process
from cusemodem.config_service import ServiceConfig

async def fail(self):
    raise ZeroDivisionError("a fault of ours")

worker_process.Worker.run = fail
root = Path(sys.argv[1])
service = ServiceConfig(state=root / "state", control=root / "control")
ours, theirs = Pipe()
sys.exit(worker_process.main([], service, theirs, logs.new_sink(str(root / "log"), 1 << 20)))
"""


def test_the_reason_of_its_death_is_in_the_log(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILS, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    said = (tmp_path / "log" / "cusemodem").read_text()
    assert "this process fails, and all its lines" in said
    assert "ZeroDivisionError: a fault of ours" in said
    assert 'worker_process.py", line' in said
