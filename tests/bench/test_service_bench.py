"""The bench of the service measures all processes, and what they really do."""

import subprocess
import sys

from bench import service

BUSY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"])
buffer = bytearray(b"x") * 20_000_000
while time.process_time() < 0.3: pass
print("done", flush=True)
time.sleep(60)
"""


def test_time_and_memory_of_a_family() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert {process.stdout.readline(), process.stdout.readline()} == {"1\n", "done\n"}
            pids = service.family(process.pid)
            assert (pids[0], len(pids)) == (process.pid, 2)
            assert 0.3 <= service.cpu_s(pids[:1]) < 5
            assert service.pss_mb(pids[:1]) > 20
            assert service.pss_mb(pids) > service.pss_mb(pids[:1])
        finally:
            subprocess.run(["kill", *map(str, service.family(process.pid))], check=False)


def test_each_figure_has_its_row() -> None:
    us, them = service.Measured(1.0, 0.9, 0.1, 130.0, 2), service.Measured(0.1, 0.01, 1.0, 30.0, 8)
    figures = [(row.ours, row.peer, row.goal) for row in service.rows(8, us, them)]
    assert figures == [
        (1.0, 0.1, 1.5),
        (0.9, 0.01, None),
        (0.1, 1.0, 0.5),
        (130.0, 30.0, 200),
        (2, 8, None),
    ]
    assert [row.peer for row in service.rows(8, us, None)] == [None] * 5
